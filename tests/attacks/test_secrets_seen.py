"""Planted secrets once more, of the whole gateway: what is seen of it from outside shows none of them.

Starts: `sealgate run` with two workers, jobs and HTTP at log level debug, a next hop. Content goes through in both
directions, a partner's token through the HTTP service. Looked for in every form of `test_secrets_in_logs`: in the
metrics, in what `/readyz` says, in the log of all processes, in what `sealgate trace` tells with that log, in the files
in which processes count.
"""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from typer.testing import CliRunner

from gateway.cli.main import application
from gateway.demo import openssl
from tests.attacks.test_secrets_in_logs import QUESTION, SUBJECT, code, found
from tests.support.http_service import asking
from tests.support.process import Relay, new_bank, relay
from tests.support.smtp import Hop

IDS = ("good", "nocert", "two", "in")
WRONG_TOKEN = "Brennnessel-55-Taubnessel"


@dataclass
class Scene:
    relay: Relay
    token: str
    answers: list[bytes] = field(default_factory=list)

    def ask(self, path: str) -> bytes:
        with asking(self.relay.bank.ports.metrics) as asker:
            answer = asker.ask(path)
        assert answer.status == 200
        return answer.body

    def seen(self, octets: bytes) -> list[str]:
        return found(octets, self.token, WRONG_TOKEN)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    def change(text: str) -> str:
        partners = "partners: [{name: payments, token_file: keys/partner.token}]"
        return "log_level: debug\n" + re.sub(r"(?m)^(http: \{.*)\}$", rf"\1, {partners}}}", text)

    with Hop() as hop:
        bank = new_bank(tmp_path_factory.mktemp("seen") / "bank", hop=hop.port, change=change)
        made = CliRunner().invoke(application(["http"]), ["--config", str(bank.config), "http", "token", "payments"])
        assert made.exit_code == 0, made.stderr
        with relay(bank, forked=True) as running:
            scene = Scene(running, made.stdout.strip())
            listening(running)
            play(scene)
            yield scene


def listening(running: Relay) -> None:
    end = time.monotonic() + 60
    while not all(f'"port": {port}' in running.told for port in (running.bank.ports.http, running.bank.ports.metrics)):
        assert time.monotonic() < end, running.told[-2000:]
        time.sleep(0.05)


def play(scene: Scene) -> None:
    running, anna = scene.relay, "anna@customer.example"
    assert running.submit(code("good"), [anna])[0] == 250
    assert running.submit(code("two"), [anna, "ben@customer.example"])[0] == 250
    assert running.submit(code("nocert"), ["zoe@nowhere.example"])[0] == 550
    inside = f"Message-ID: <inside@customer.example>\r\nSubject: {SUBJECT}\r\n"
    hidden = f'Content-Type: text/plain; hp="cipher"\r\n{inside}From: {anna}\r\n\r\n{QUESTION}\r\n'.encode()
    sealed = openssl.encrypt(openssl.sign(hidden, running.bank.people["anna"]), running.bank.support_certificate,
                             (anna, "support@bank.example", "..."))
    assert running.receive(b"Message-ID: <in@bank.example>\r\n" + sealed, ["support@bank.example"])[0] == 250
    with asking(running.bank.ports.http) as asker:
        for token, status in ((scene.token, 200), (WRONG_TOKEN, 401)):
            answer = asker.ask(f"/certificates/{anna}", authorization=f"Bearer {token}")
            assert answer.status == status, answer.body
            scene.answers.append(answer.body)
        scene.answers.append(asker.ask(f"/certificates/{anna}?token={WRONG_TOKEN}").body)


def test_the_search_finds_the_token(scene: Scene) -> None:
    assert scene.seen(b"x" + scene.token.encode()) == [scene.token]


def test_no_number_and_no_word_of_readiness(scene: Scene) -> None:
    page = scene.ask("/metrics")
    assert b'sealgate_mails_total{answer="taken"' in page
    assert scene.seen(page + scene.ask("/readyz") + scene.ask("/healthz")) == []


def test_no_line_of_any_process(scene: Scene) -> None:
    told = scene.relay.told
    for word in ('"event": "request"', '"event": "certificate.looked_up"', '"event": "worker.started"'):
        assert word in told, word
    assert [line for line in told.splitlines() if scene.seen(line.encode())] == []
    assert all(json.loads(line)["event"] for line in told.splitlines())


def test_no_answer_to_a_partner(scene: Scene) -> None:
    assert [answer for answer in scene.answers if scene.seen(answer)] == []


@pytest.mark.parametrize("options", [(), ("--json",), ("--all",)], ids=["words", "json", "all"])
def test_no_trace(scene: Scene, options: tuple[str, ...]) -> None:
    app = application(["trace"])
    for id_ in IDS:
        done = CliRunner().invoke(app, ["--config", str(scene.relay.bank.config), "trace", f"<{id_}@bank.example>",
                                        "--log", str(scene.relay.log), *options])
        assert done.exit_code == 0, (id_, done.stderr)
        assert "mail" in done.stdout
        assert scene.seen(done.output.encode()) == [], id_


def test_no_file_in_which_processes_count(scene: Scene) -> None:
    files = list((scene.relay.bank.home / "metrics").iterdir())
    assert len(files) > 8
    for path in files:
        octets = path.read_bytes()
        assert scene.seen(octets) == []
        assert b".example" not in octets
        assert path.stat().st_mode & 0o077 == 0
