"""Two nodes of one bank take orders of its systems, over one PostgreSQL database. Real processes and a real server.

Truth: what both next hops together got; whoever asks sees one bank, whichever node answers.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support import postgres
from tests.support.api_service import PAYMENT, Api, System, api
from tests.support.nodes import moved, section, small

Both = tuple[Api, Api]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    root = tmp_path_factory.mktemp("api-nodes")
    where = postgres.server().settings(postgres.server().empty())
    moved(root / "source", where)

    def change(text: str) -> str:
        return small(text).replace("codes.secret", "codes.secret, per_customer_per_hour_max: 0") + section(where)

    with api(root / "one", change) as one, api(root / "two", change) as two:
        yield one, two


@pytest.fixture
def both(nodes: Both) -> tuple[System, System]:
    for node in nodes:
        node.hop.mails.clear()
    return nodes[0].system(), nodes[1].system()


def mails(nodes: Both) -> int:
    return sum(len(node.hop.mails) for node in nodes)


def test_one_key_at_both_nodes_is_one_code(nodes: Both, both: tuple[System, System]) -> None:
    with ThreadPoolExecutor(8) as threads:
        told = list(threads.map(lambda number: both[number % 2].order("one-key", purpose="one"), range(8)))
    assert mails(nodes) == 1
    assert {one.status for one in told} <= {201, 409}
    assert len({one.json["id"] for one in told if one.status == 201}) == 1
    again = [system.order("one-key", purpose="one") for system in both]
    assert [one.headers.get("idempotent-replayed") for one in again] == ["true", "true"]
    assert again[0].body == again[1].body


def test_a_code_of_one_node_is_good_at_the_other_and_once(nodes: Both, both: tuple[System, System]) -> None:
    made = both[0].order("made-here", purpose="there").json
    entered = {"code": nodes[0].code(), "transaction": PAYMENT}
    with ThreadPoolExecutor(8) as threads:
        told = list(threads.map(
            lambda number: both[number % 2].post(f"/v1/codes/{made['id']}/verify", entered).json["valid"], range(8)))
    assert sorted(told) == [False] * 7 + [True]


def test_a_newer_code_of_the_other_node_takes_its_place(nodes: Both, both: tuple[System, System]) -> None:
    old = both[0].order("older", purpose="same").json
    new = both[1].order("newer", purpose="same").json
    assert both[1].ask("GET", f"/v1/codes/{old['id']}").json["state"] == "replaced"
    verdict = both[0].post(f"/v1/codes/{new['id']}/verify", {"code": nodes[1].code(), "transaction": PAYMENT})
    assert verdict.json["valid"] is True
