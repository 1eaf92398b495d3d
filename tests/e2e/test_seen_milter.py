"""The milter, seen from outside: its mails, its processes and its socket, with a real Postfix in front.

Starts: Postfix with the milter's pieces, `sealgate milter` with two workers, `sealgate http`, two sinks. Truth: what
this test sends, and Postfix's queue ids.
"""

import json
import re
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from gateway.cli.main import application
from tests.e2e.test_seen import Scene, code, until
from tests.support.http_service import process
from tests.support.milter import Site, milter_site

WORKERS = 2


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Scene]]:
    with milter_site(tmp_path_factory.mktemp("milter"), workers=WORKERS) as made:
        port = made.bank.ports.metrics
        with process(made.bank) as http:
            until(lambda: f'"port": {port}' in http.told, "it does not listen")
            yield made, Scene(SimpleNamespace(bank=made.bank), port, made.internet)  # type: ignore[arg-type]


def test_its_mails_and_processes_are_counted(site: tuple[Site, Scene]) -> None:
    made, seen = site
    for number in range(3):
        assert made.submit(code(number, "anna@customer.example"), "anna@customer.example")[0] == 250
    assert made.submit(code(9, "zoe@nowhere.example"), "zoe@nowhere.example")[0] == 550
    milter = {"direction": "outbound", "listener": "milter"}
    assert seen.value("sealgate_mails_total", **milter, answer="taken") == 3
    assert seen.value("sealgate_mails_total", **milter, answer="refused", reason="certificate.absent") == 1
    assert seen.value("sealgate_protections_total", direction="outbound", verb="encrypt") == 3
    until(lambda: seen.value("sealgate_processes_ready", kind="milter") == WORKERS, "not all say that they take mail")


def test_readiness_knows_its_socket(site: tuple[Site, Scene]) -> None:
    told = json.loads(site[1].ask("/readyz").body)
    assert told["checks"]["milter"] == {"state": "ok"}


def test_a_trace_leads_from_postfix_queue_id(site: tuple[Site, Scene]) -> None:
    made, _ = site
    assert made.submit(code(20, "anna@customer.example"), "anna@customer.example")[0] == 250
    until(lambda: "message-id=<20@bank.example>" in made.maillog, "Postfix has no line of it")
    found = re.search(r"cleanup\[\d+\]: (\w+): message-id=<20@bank\.example>", made.maillog)
    assert found
    done = CliRunner().invoke(application(["trace"]), [
        "--config", str(made.bank.config), "trace", found[1], "--log", str(made.milter.log)])
    assert done.exit_code == 0, done.stderr
    assert f"previous hop {found[1]}" in done.stdout
    assert f"queue_id {found[1]}" in done.stdout
    assert "anna@customer.example" in done.stdout
