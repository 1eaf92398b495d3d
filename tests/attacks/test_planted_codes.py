"""Planted codes: what a customer pays, to whom, and the code itself are nowhere once the mail has left.

`sealgate run` with the HTTP interface at log level debug. Codes for payments and batches go through every way that they
can take: mailed, mailed again, tried wrong and right, cancelled, replaced, refused, deferred, malformed. Then amounts,
payees, accounts and codes are looked for: in the log of all processes, in every answer, in the database with its
write-ahead log, in every file of the gateway's directory, in the memory of every process of it that lives. The codes
are known because customers open their mail, with openssl.
"""

import json
import re
import subprocess
from collections.abc import Iterator

import pytest

from gateway.demo import openssl
from tests.support import memory
from tests.support.command_server import prefix
from tests.support.planted import Planted, grouped, needs_memory, until
from tests.support.process import ROOT, new_bank, relay
from tests.support.smtp import Hop

CLIENT = "online-banking"
PAYEE, OTHER = "Quittengelee Röster KG", "Holunderblüten Vertriebs GmbH"
ACCOUNT, OTHER_ACCOUNT = "AT611904300234573201", "GB33BUKB20201555555555"  # not those of examples
AMOUNT, TOTAL = "48151623.42", "31415926.53"
SHOWN = ("48.151.623,42", "48,151,623.42", "31.415.926,53", "31,415,926.53")
WORDS = (PAYEE, OTHER, ACCOUNT, OTHER_ACCOUNT, grouped(ACCOUNT), grouped(OTHER_ACCOUNT), AMOUNT, TOTAL, *SHOWN)
REFERENCE = "auftrag-Kornblume-8"  # no secret: the caller's own, which the database holds
PAID = {"amount": AMOUNT, "currency": "EUR", "payee": PAYEE, "account": grouped(ACCOUNT)}
BATCH = {"total": TOTAL, "currency": "EUR", "payees": [
    {"name": PAYEE, "account": ACCOUNT}, {"name": OTHER, "account": OTHER_ACCOUNT}]}


class Scene(Planted):
    """With the mails that left."""

    hop: Hop
    keys = 0

    def order(self, status: int = 201, **fields: object) -> str:
        """The code's id."""
        self.keys += 1
        body = {"customer": "10001", "purpose": "payment", "digits": 10, "language": "de", "reference": REFERENCE}
        answer = self.ask("/v1/codes", body | fields, CLIENT, idempotency_key=f"order-{self.keys}")
        assert answer.status == status, answer.body
        return re.findall(rb'"id": ?"([0-9a-f]{24})"', answer.body)[0].decode() if status == 201 else ""

    def opened(self, name: str = "anna") -> str:
        """The code in the newest mail, which the customer opens; from now on it is looked for."""
        bank = self.relay.bank
        signed = openssl.decrypt(self.hop.mails[-1], bank.people[name])
        text = openssl.verify(signed, bank.root).decode("utf-8", "replace")
        (code,) = set(re.findall(r"(?m)^ {4}(\d{10})\r?$", text))
        if code not in self.secrets:
            self.secrets.append(code)
        return code

    def tries(self, id_: str, code: str, transaction: object = None) -> bool:
        """Whether it was right."""
        answer = self.ask(f"/v1/codes/{id_}/verify", {"code": code, "transaction": transaction}, CLIENT)
        assert answer.status == 200, answer.body
        return b'"valid":true' in answer.body.replace(b" ", b"")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    def data(_line: bytes) -> str | None:
        return "451 4.3.0 later" if b"later" in wanted else None

    wanted: set[bytes] = set()
    with Hop(DATA=data) as hop:
        bank = new_bank(tmp_path_factory.mktemp("planted") / "bank", hop=hop.port, api=True,
                        change=lambda text: "log_level: debug\n" + text)
        with relay(bank) as running:
            until(lambda: f'"port": {bank.ports.api}' in running.told, running)
            scene = Scene(running, list(WORDS))
            scene.hop = hop
            play(scene, wanted)
            yield scene


def play(scene: Scene, wanted: set[bytes]) -> None:
    """Every way that a code can take."""
    paid = scene.order(transaction=PAID)
    code = scene.opened()
    assert scene.ask(f"/v1/codes/{paid}/resend", {"transaction": PAID}, CLIENT).status == 200
    assert scene.opened() == code
    assert not scene.tries(paid, code, PAID | {"amount": TOTAL})
    assert not scene.tries(paid, code, PAID | {"account": OTHER_ACCOUNT})
    assert not scene.tries(paid, "0123456789", PAID)
    assert scene.tries(paid, code, PAID)
    assert not scene.tries(paid, code, PAID)
    batch = scene.order(purpose="batch", transaction=BATCH, language="en")
    assert scene.tries(batch, scene.opened(), BATCH)
    login = scene.order(purpose="login", customer="10002")
    scene.opened("ben")
    assert scene.ask(f"/v1/codes/{login}/cancel", {}, CLIENT).status == 200
    scene.order(transaction=PAID)
    scene.opened()
    scene.order(transaction=PAID | {"amount": TOTAL})  # in its place
    scene.opened()
    # Asked twice, refused, deferred, and what is no order at all.
    for _ in range(2):
        twice = {"customer": "10001", "purpose": "twice", "digits": 10, "transaction": PAID}
        assert scene.ask("/v1/codes", twice, CLIENT, idempotency_key="the-same").status == 201
    scene.opened()
    changed = scene.ask("/v1/codes", twice | {"transaction": BATCH}, CLIENT, idempotency_key="the-same")
    assert changed.status in (409, 422)
    assert scene.ask("/v1/codes", {"customer": "99999", "purpose": "x", "transaction": PAID}, CLIENT,
                     idempotency_key="nobody").status >= 400
    wanted.add(b"later")
    scene.order(503, transaction=PAID)
    wanted.clear()
    for wrong in (PAID | {"amount": f"{AMOUNT}1"}, PAID | {"payee": PAYEE + "\x07"}, PAID | {"more": ACCOUNT},
                  {"amount": AMOUNT}, [PAYEE, ACCOUNT], BATCH | {"payees": []}):
        scene.order(400, transaction=wrong)
    commanded(scene)


def commanded(scene: Scene) -> None:
    """The same by command. The file with the payment is the caller's own, and lies elsewhere."""
    file = scene.relay.bank.home.parent / "payment.json"
    file.write_text(json.dumps(PAID), "utf-8")
    client = ("--client", CLIENT)
    sent = _command(scene, "", "send", "10001", *client, "--purpose", "by-hand", "--digits", "10", "--json",
                    "--transaction", str(file))
    id_, code = json.loads(sent)["id"], scene.opened()
    for line, valid in (("0123456789", False), (code, True)):
        told = _command(scene, line + "\n", "verify", id_, *client, "--transaction", str(file), "--json")
        assert json.loads(told)["valid"] is valid
    assert _command(scene, "", "verify", id_, *client, "--transaction", str(file.with_name("none.json"))) == ""
    assert id_ in _command(scene, "", "list", "10001", "--json")


def _command(scene: Scene, typed: str, *words: str) -> str:
    """`sealgate otp …`; what it printed."""
    command = [*prefix(), "--config", str(scene.relay.bank.config), "otp", *words]
    done = subprocess.run(command, input=typed, capture_output=True, text=True, check=False, cwd=ROOT, timeout=120)
    scene.told.append(done.stdout + done.stderr)
    return done.stdout


def test_the_codes_were_really_there(scene: Scene) -> None:
    """Else the rest would prove nothing."""
    assert len(scene.secrets) >= len(WORDS) + 5
    assert len(scene.hop.mails) >= 6
    assert [answer.status for answer in scene.answers].count(201) >= 7
    assert '"event": "code.tried"' in scene.relay.told


def test_no_line_of_the_log(scene: Scene) -> None:
    assert scene.in_log() == []
    assert "Traceback" not in scene.relay.told


def test_no_answer(scene: Scene) -> None:
    assert scene.in_answers() == []


def test_no_file_and_no_database(scene: Scene) -> None:
    assert scene.in_files() == {}


def test_the_search_through_files_finds_what_the_database_holds(scene: Scene) -> None:
    looking = Planted(scene.relay, [REFERENCE])
    assert any("sealgate.db" in name for name in looking.in_files())


def test_nothing_leaves_in_clear(scene: Scene) -> None:
    for mail in scene.hop.mails:
        assert [secret for secret in scene.secrets if any(form in mail for form in memory.forms(secret))] == []


@needs_memory
def test_no_memory_of_any_process(scene: Scene) -> None:
    assert scene.in_memory() == {}


@needs_memory
def test_the_search_through_memory_finds_what_the_process_keeps(scene: Scene) -> None:
    """The name of the gateway's host stands in the settings that every process has read."""
    assert memory.found(scene.pid_of(" api"), ["gateway.bank.example"])
