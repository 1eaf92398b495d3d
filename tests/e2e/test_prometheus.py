"""Debian's Prometheus scrapes the real relay by conf/prometheus, and answers every question of the dashboard.

Starts: one relay with its children, a next hop of the tests' own, prometheus. Truth: Prometheus's parser and engine.
"""

import json
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from gateway.demo import openssl
from tests.support.http_service import asking
from tests.support.peers import need
from tests.support.process import Relay, free_ports, new_bank, relay
from tests.support.smtp import Hop

ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "conf" / "grafana" / "sealgate.json"
CONF = ROOT / "conf" / "prometheus"
START_S = 60.0
VARIABLES = {"$job": "sealgate", "$instance": ".*", "$__rate_interval": "1m"}

# Panels that have something to show for the mails below; the others are about what does not happen here.
FULL = ("Nodes that answer", "Processes that accept mail", "Mails a minute", "Next expiry of a key or certificate",
        "Mails by answer", "Reasons", "Time to the answer", "Next hop: answers", "Size of mails",
        "Rejected before a mail", "Rules that decide", "What was done to outbound mail",
        "Share of outbound recipients whose mail was encrypted", "Trust", "Signatures", "Encryption",
        "Answers by source", "Revocation lists", "Waiting", "Octets", "Expiry of the bank's keys and certificates",
        "Customers' certificates that expire soon", "Connections", "Version and policies", "Database")


@dataclass
class Prometheus:
    port: int

    def ask(self, path: str) -> dict[str, Any]:
        with asking(self.port) as asker:
            answer: dict[str, Any] = json.loads(asker.ask(f"/api/v1/{path}").body)
            return answer

    def query(self, expression: str) -> list[Any]:
        answer = self.ask(f"query?query={quote(expression)}")
        assert answer["status"] == "success", (expression, answer)
        result: list[Any] = answer["data"]["result"]
        return result


def until(true: Callable[[], object], why: str) -> None:
    end = time.monotonic() + START_S
    while not true():
        assert time.monotonic() < end, why
        time.sleep(0.1)


@contextmanager
def prometheus(home: Path, target: int) -> Iterator[Prometheus]:
    """By conf/prometheus as it is, but for the target, the directory, and how often."""
    (port,) = free_ports(1)
    settings = yaml.safe_load((CONF / "scrape.yml").read_text())
    settings["rule_files"] = [str(CONF / one.removeprefix("sealgate-")) for one in settings["rule_files"]]
    settings["global"] = {"evaluation_interval": "1s"}
    (scrape,) = settings["scrape_configs"]
    scrape |= {"scrape_interval": "1s", "scrape_timeout": "1s",
               "static_configs": [{"targets": [f"127.0.0.1:{target}"]}]}
    home.mkdir()
    (home / "prometheus.yml").write_text(yaml.safe_dump(settings))
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [need("prometheus", "prometheus"), f"--config.file={home}/prometheus.yml",
             f"--storage.tsdb.path={home}/data", f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
        try:
            running = Prometheus(port)
            until(lambda: b"Server is ready" in (home / "log").read_bytes(), (home / "log").read_text())
            yield running
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def code(number: int, to: str) -> bytes:
    return (f"From: otp@bank.example\r\nTo: {to}\r\nSubject: Code\r\nMessage-ID: <{number}@bank.example>\r\n\r\n"
            "4711\r\n").encode()


def traffic(running: Relay, number: int) -> None:
    """Something of each kind."""
    anna, zoe, bank = "anna@customer.example", "zoe@nowhere.example", running.bank
    assert running.submit(code(number, anna), [anna])[0] == 250
    assert running.submit(code(number, zoe), [zoe])[0] == 550
    assert running.receive(code(number, "x@elsewhere.example"), ["x@elsewhere.example"])[0] == 550
    header = ("Anna <anna@customer.example>", "support@bank.example", "Frage")
    entity = b"Content-Type: text/plain\r\n\r\nFrage\r\n"
    sealed = openssl.encrypt(openssl.sign(entity, bank.people["anna"]), bank.support_certificate, header)
    assert running.receive(sealed, ["support@bank.example"])[0] == 250


@pytest.fixture(scope="module")
def watching(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    need("prometheus", "prometheus")
    home = tmp_path_factory.mktemp("prometheus")
    with Hop() as hop:
        bank = new_bank(home / "bank", hop=hop.port)
        shorter = {"gateway.app.measurements.NUMBERS_LIFE_S": 2.0}
        with (relay(bank, forked=True, constants=shorter) as running,
              prometheus(home / "prometheus", bank.ports.metrics) as one):
            traffic(running, 1)
            seen = "sealgate_mails_total{{direction='outbound', answer='taken'}} >= {}"
            until(lambda: one.query(seen.format(1)), "it never saw the first mail")
            for number in range(2, 5):
                traffic(running, number)
            until(lambda: one.query(seen.format(4)), "it never saw the others")
            until(lambda: one.query("sealgate_connections") and one.query("sealgate_processes_ready > 0"), "no load")
            yield one


def panels() -> list[dict[str, Any]]:
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


def expression(target: dict[str, Any]) -> str:
    text = str(target["expr"])
    for name, value in VARIABLES.items():
        text = text.replace(name, value)
    assert "$" not in text
    return text


def test_every_question_of_the_dashboard_can_be_answered(watching: Prometheus) -> None:
    for panel in panels():
        for target in panel["targets"]:
            watching.query(expression(target))


@pytest.mark.parametrize("title", FULL)
def test_the_panel_shows_something(watching: Prometheus, title: str) -> None:
    (panel,) = [panel for panel in panels() if panel["title"] == title]
    until(lambda: all(watching.query(expression(target)) for target in panel["targets"]), f"nothing to show: {title}")


def test_every_metric_that_is_asked_for_is_one_that_there_is(watching: Prometheus) -> None:
    """Prometheus answers a question about a name that nobody has with nothing at all, and so would an alarm.

    docs/metrics.md names what there is (`test_metrics` holds that); what is there now must stand in it.
    """
    page = (ROOT / "docs" / "metrics-list.md").read_text()
    documented = set(re.findall(r"^\| `(sealgate_\w+)` \|", page, re.MULTILINE))
    asked = {name for panel in panels() for target in panel["targets"]
             for name in re.findall(r"sealgate_[a-z_]+", target["expr"])}
    asked |= set(re.findall(r"\bsealgate_[a-z_]+", (CONF / "alerts.yml").read_text()))
    there = {name for name in watching.ask("label/__name__/values")["data"] if name.startswith("sealgate_")}
    assert len(there) > 40
    assert {name for name in asked | there
            if not {name, re.sub("_(bucket|sum|count)$", "", name)} & documented} == set()


def test_the_rules_are_evaluated_and_nothing_is_wrong_here(watching: Prometheus) -> None:
    def rules() -> list[dict[str, Any]]:
        return [rule for group in watching.ask("rules")["data"]["groups"] for rule in group["rules"]]

    until(lambda: all(rule["health"] == "ok" for rule in rules()), "a rule was not evaluated")
    assert [rule["name"] for rule in rules() if rule["state"] == "firing"] == []


def test_the_dashboard_is_one_that_can_be_imported() -> None:
    """What Grafana's import needs: unique ids and places, a data source that is chosen, rows for what is asked."""
    board = json.loads(DASHBOARD.read_text())
    assert board["uid"] == "sealgate"
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    rows = [panel["title"] for panel in board["panels"] if panel["type"] == "row"]
    assert rows == ["At a glance", "Mail flow", "Protection", "Verdicts on inbound mail", "Look-ups", "Held mail",
                    "Keys and expiry", "Machine"]
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + across, place["y"] + down) for across in range(place["w"]) for down in range(place["h"])}
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, f"{panel['title']} lies over another panel"
        taken |= cells
    for panel in panels():
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["targets"]
