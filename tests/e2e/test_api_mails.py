"""`/v1/mails` of a real `sealgate api`: what happened to mails, page by page, for those who may see it.

Truth: the records that were stored, and RFC 9110, 9457 for the rest.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from gateway import app as composition
from gateway.model.outcome import Settled
from gateway.settings import load
from tests.ports.test_evidence import RECORD
from tests.support.api_service import Api, api
from tests.support.pki import NOW

RECORDS = tuple(
    replace(RECORD, incident=f"{number:016x}", at=NOW + timedelta(minutes=number),
            settled=Settled.REFUSED if number % 2 else Settled.TAKEN,
            reasons=("certificate.expired",) if number % 2 else ()) for number in range(5))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with api(tmp_path_factory.mktemp("mails") / "bank",
             lambda text: text.replace("scopes: [codes]", "scopes: [codes, operate]")) as running:
        store = composition.open_store(load(running.bank.config))
        try:
            store.evidence.add(RECORDS)
        finally:
            store.close()
        yield running


def test_every_mail_once_over_several_pages(service: Api) -> None:
    found, cursor = [], ""
    for _ in range(4):
        page = service.system().ask("GET", f"/v1/mails?limit=2&until=2100-01-01T00:00:00Z{cursor}").json
        found += page["items"]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert [one["id"] for one in found] == [one.incident for one in RECORDS[::-1]]
    assert found[-1] == {
        "at": NOW.isoformat().replace("+00:00", "Z"), "id": RECORDS[0].incident, "direction": "outbound",
        "client": "online-banking", "sender": "otp@bank.example", "recipient": "anna@customer.example",
        "outcome": "taken", "reasons": [], "rule": "otp.yaml:otp"}
    assert "Ihr Code" not in str(found), "a subject is content"


@pytest.mark.parametrize(("query", "numbers"), [
    ("outcome=refused", (3, 1)), ("reason=certificate", (3, 1)), ("reason=certificate.expired&limit=1", (3,)),
    ("address=anna@CUSTOMER.example&outcome=taken", (4, 2, 0)), ("client=core-banking", ()),
    ("since=2026-11-24T08:03:00Z", None)])
def test_conditions(service: Api, query: str, numbers: "tuple[int, ...] | None") -> None:
    answer = service.system().ask("GET", f"/v1/mails?{query}")
    assert answer.status == 200, answer.body
    if numbers is not None:
        assert [int(one["id"], 16) for one in answer.json["items"]] == list(numbers)


@pytest.mark.parametrize("query", [
    "limit=0", "limit=1001", "cursor=x", "outcome=sent", "direction=out", "since=yesterday", "client=%0a",
    "since=2026-11-24T08:03:00", "cursor=1-99999999999999999"])
def test_what_cannot_be_asked(service: Api, query: str) -> None:
    answer = service.system().ask("GET", f"/v1/mails?{query}")
    assert (answer.status, answer.json["reason"]) == (400, "input.malformed")


def test_only_for_those_who_operate(service: Api) -> None:
    assert service.system("core-banking").ask("GET", "/v1/mails").status == 403
    assert service.system("").ask("GET", "/v1/mails").status == 401
