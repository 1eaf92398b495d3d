"""What one sees of the gateway from outside: the real relay with its HTTP process, scraped as Prometheus does.

Starts: one relay with its children, a next hop of the tests' own. Truth: the mails that this test sends, counted by it;
Debian's promtool, which knows the text format and its conventions.
"""

import contextlib
import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from gateway.demo import openssl
from tests.support.http_service import Answer, asking
from tests.support.peers import need, run
from tests.support.process import Relay, new_bank, relay
from tests.support.smtp import Hop

START_S = 60.0
WORKERS = 2  # as the demo's bank has it
_SAMPLE = re.compile(r"([a-z_]+)(?:\{(.*)\})? (\S+)(?: \d+)?")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass
class Scene:
    relay: Relay
    port: int
    hop: Hop

    def ask(self, path: str) -> Answer:
        with asking(self.port) as asker:
            return asker.ask(path)

    def worker_pids(self) -> set[int]:
        """Processes that take mail now, as they say themselves (no label tells them apart, their files do)."""
        return {
            int(path.stem.rpartition("_")[2]) for path in (self.relay.bank.home / "metrics").glob("gauge_livesum_*.db")
            if b"sealgate_processes_ready" in path.read_bytes()}

    def samples(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        answer = self.ask("/metrics")
        assert answer.status == 200
        found = {}
        for line in answer.body.decode().splitlines():
            if not line.startswith("#"):
                match = _SAMPLE.fullmatch(line)
                assert match, line
                found[match[1], frozenset(_LABEL.findall(match[2] or ""))] = float(match[3])
        return found

    def value(self, name: str, **labels: str) -> float:
        """The sum over all series of this name that have these labels."""
        wanted = set(labels.items())
        return sum(value for (found, has), value in self.samples().items() if found == name and wanted <= has)


def until(true: Callable[[], bool], why: str) -> None:
    end = time.monotonic() + START_S
    while not true():
        assert time.monotonic() < end, why
        time.sleep(0.05)


def code(number: int, to: str) -> bytes:
    return (f"From: otp@bank.example\r\nTo: {to}\r\nSubject: Code\r\nMessage-ID: <{number}@bank.example>\r\n\r\n"
            "4711\r\n").encode()


def stopped(hop: Hop) -> None:
    """A test may have ended it already."""
    with contextlib.suppress(OSError):
        hop.__exit__()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    home = tmp_path_factory.mktemp("seen") / "bank"
    with contextlib.ExitStack() as stack:
        scene_hop = Hop()
        stack.callback(stopped, scene_hop)
        bank = new_bank(home, hop=scene_hop.port, change=lambda text: text.replace("relay: 1}", f"relay: {WORKERS}}}"))
        running = stack.enter_context(relay(bank, forked=True, constants={"gateway.app.measurements.HOPS_LIFE_S": 2.0}))
        scene = Scene(running, bank.ports.metrics, scene_hop)
        until(lambda: f'"port": {scene.port}' in running.told, "the HTTP process does not listen")
        yield scene


def test_mails_are_counted_by_what_became_of_them(scene: Scene) -> None:
    for number in range(3):
        assert scene.relay.submit(code(number, "anna@customer.example"), ["anna@customer.example"])[0] == 250
    assert scene.relay.submit(code(9, "zoe@nowhere.example"), ["zoe@nowhere.example"])[0] == 550
    outbound = {"direction": "outbound", "listener": "outbound"}
    assert scene.value("sealgate_mails_total", **outbound, answer="taken") == 3
    assert scene.value("sealgate_mails_total", **outbound, answer="refused", reason="certificate.absent") == 1
    assert scene.value("sealgate_recipients_total", direction="outbound", settled="taken") == 3
    assert scene.value("sealgate_mail_seconds_count", direction="outbound") == 4
    assert scene.value("sealgate_mail_size_bytes_sum", direction="outbound") == sum(
        len(code(number, "anna@customer.example")) for number in range(3)) + len(code(9, "zoe@nowhere.example"))


def test_what_was_looked_up_protected_and_sent(scene: Scene) -> None:
    assert scene.value("sealgate_lookups_total", source="store", answer="enrolled") == 3
    assert scene.value("sealgate_lookups_total", source="store", answer="absent") >= 1
    assert scene.value("sealgate_protections_total", direction="outbound", verb="encrypt") == 3
    assert scene.value("sealgate_protections_total", direction="outbound", verb="sign") == 3
    assert scene.value("sealgate_next_hop_replies_total", direction="outbound", answer="2xx") == 3
    assert scene.value("sealgate_decisions_total", end="reject") == 1
    assert scene.value("sealgate_policies_info") == WORKERS
    until(lambda: scene.value("sealgate_processes_ready", kind="relay") == WORKERS, "not all say that they take mail")


def test_what_was_found_in_inbound_mail(scene: Scene) -> None:
    bank = scene.relay.bank
    entity = b"Content-Type: text/plain\r\n\r\nFrage\r\n"
    header = ("Anna <anna@customer.example>", "support@bank.example", "Frage")
    sealed = openssl.encrypt(openssl.sign(entity, bank.people["anna"]), bank.support_certificate, header)
    assert scene.relay.receive(sealed, ["support@bank.example"])[0] == 250
    plain = b"From: anna@customer.example\r\nTo: support@bank.example\r\n\r\nFrage\r\n"
    assert scene.relay.receive(plain, ["support@bank.example"])[0] == 250
    for kind, status in (("trust", "trusted"), ("signature", "valid"), ("decryption", "decrypted"),
                         ("timestamp", "none"), ("signature", "not_signed"), ("decryption", "not_encrypted")):
        assert scene.value("sealgate_verdicts_total", kind=kind, status=status) == 1, (kind, status)


def test_refusals_before_there_is_a_mail(scene: Scene) -> None:
    code_, _ = scene.relay.receive(code(77, "x@elsewhere.example"), ["x@elsewhere.example"])
    assert code_ == 550
    assert scene.value("sealgate_refusals_total", listener="inbound", reason="recipient.not_ours") == 1


def test_what_ends_is_told_by_its_name(scene: Scene) -> None:
    ends = {dict(labels)["name"]: value for (name, labels), value in scene.samples().items()
            if name == "sealgate_expiry_timestamp_seconds"}
    assert {"otp", "support"} <= set(ends)
    assert min(ends.values()) > time.time()
    assert scene.value("sealgate_database_up") == 1
    assert scene.value("sealgate_held_mails") == 0


def test_no_label_names_anybody(scene: Scene) -> None:
    page = scene.ask("/metrics").body.decode()
    assert "@" not in page
    assert not [one for one in ("anna", "zoe", "customer.example") if one in page]


def test_promtool_finds_nothing_to_say(scene: Scene) -> None:
    need("promtool", "prometheus")
    run("promtool", "check", "metrics", octets=scene.ask("/metrics").body)


def test_it_lives_and_is_ready(scene: Scene) -> None:
    assert scene.ask("/healthz").status == 200
    answer = scene.ask("/readyz")
    told = json.loads(answer.body)
    assert (answer.status, told["status"]) == (200, "ready"), told
    assert set(told["checks"]) == {
        "listeners", "next_hop_outbound", "next_hop_inbound", "database", "certificates"}


def test_a_dead_worker_takes_its_gauges_with_it_and_leaves_its_counts(scene: Scene) -> None:
    """kill -9, the end that nobody can prepare for. What it counted still counts; its restart is a line of the log."""
    before = scene.value("sealgate_mails_total")
    workers = scene.worker_pids()
    os.kill(min(workers), signal.SIGKILL)
    until(lambda: scene.worker_pids() - workers, "no new worker")
    until(lambda: scene.value("sealgate_processes_ready", kind="relay") == WORKERS, "the dead one counts")
    assert scene.relay.submit(code(200, "anna@customer.example"), ["anna@customer.example"])[0] == 250
    assert scene.value("sealgate_mails_total") == before + 1
    assert scene.value("sealgate_policies_info") == WORKERS
    assert scene.value("sealgate_log_events_total", level="critical", event="worker.exited") == 1


def test_what_cannot_be_reached_is_told_and_who_can_take_no_mail_says_503(scene: Scene) -> None:
    """The mail server behind both directions goes away: no mail can be taken at all."""
    scene.hop.__exit__()
    until(lambda: scene.ask("/readyz").status == 503, "it still says that it is ready")
    told = json.loads(scene.ask("/readyz").body)
    assert told["status"] == "not_ready"
    assert told["checks"]["next_hop_outbound"] == {"state": "failed", "detail": "next_hop.unavailable"}
    assert told["checks"]["listeners"] == {"state": "ok"}
    assert scene.ask("/healthz").status == 200
    assert scene.relay.submit(code(300, "anna@customer.example"), ["anna@customer.example"])[0] == 451
    assert scene.value("sealgate_next_hop_replies_total", direction="outbound", answer="next_hop.unavailable") == 1


def test_nothing_else_is_to_be_had_there(scene: Scene) -> None:
    for path in ("/", "/openapi.json", "/tsa", "/certificates/anna@customer.example", "/metrics/..%2f", "//healthz"):
        assert scene.ask(path).status == 404, path
    with asking(scene.port) as asker:
        assert asker.ask("/metrics", method="POST", body=b"x").status == 405
        assert asker.ask("/metrics", method="HEAD").body == b""
