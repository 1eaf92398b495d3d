"""`without_certificate: encrypted_pdf`: a whole bank, a real hook over HTTP, qpdf and poppler to open what left.

Truth: docs/fallbacks.md; the password is what the hook got and nothing else opens the file.
"""

import hashlib
import hmac
import json
import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.demo import openssl
from gateway.errors import Reason
from gateway.frontends.milter.edits import edits
from gateway.mime.header import parse_headers
from gateway.model.mail import Envelope
from gateway.model.outcome import Outcome, Settled
from gateway.pipeline.fallbacks.encrypted_pdf import LETTERS, password
from gateway.settings import EncryptedPdf, Settings
from tests.support.bank import Context, context, policy
from tests.support.locked import is_locked, mail_of, opened, pdf_of
from tests.support.web import Line, Request, WebServer, reply

MAIL = (
    b"Received: from inside\r\nFrom: Bank <otp@bank.example>\r\n"
    b"To: Ben <ben@nowhere.example>, anna@customer.example\r\n"
    b"Subject: =?utf-8?q?Ihr_Auszug_M=C3=A4rz_4711?=\r\nMessage-ID: <1@bank.example>\r\nX-Account: 4711\r\n"
    b"Date: Thu, 26 Nov 2026 10:00:00 +0100\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nIhr Saldo: 4711,08 \xe2\x82\xac\r\n"
    b"--b\r\nContent-Type: text/csv; name=bookings.csv\r\n"
    b"Content-Disposition: attachment; filename=bookings.csv\r\n\r\n"
    b"4711;08\r\n--b--\r\n")
BEN = "ben@nowhere.example"
RULES = """
version: 1
rules:
  - name: letters
    when: {direction: outbound, client: online-banking}
    then: {protect_headers: {}, sign: {with: otp}, encrypt: {without_certificate: encrypted_pdf}}
    cases:
      - given: {client: online-banking, from: otp@bank.example, certificate: found}
        expect: {then: [protect_headers, sign, encrypt]}
      - given: {client: online-banking, from: otp@bank.example, certificate: absent}
        expect: {then: [protect_headers, sign, encrypted_pdf], end: deliver}
      - given: {client: online-banking, from: otp@bank.example, certificate: unusable}
        expect: {end: reject}
      - given: {client: online-banking, from: otp@bank.example, certificate: conflict}
        expect: {end: reject}
      - given: {client: online-banking, from: otp@bank.example, certificate: unavailable}
        expect: {end: defer}
otherwise: reject
"""


class Hook(WebServer):
    """The bank's: keeps what it is given."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.status = "200 OK"
        self.refuse = ""
        self.answers["/password"] = self.keep

    def keep(self, request: Request, line: Line) -> None:
        refused = bool(self.refuse) and self.refuse.encode() in request.body
        line.send(reply(request.body, "500 Oops" if refused else self.status))

    @property
    def given(self) -> list[dict[str, Any]]:
        return [json.loads(request.body) for request in self.requests]


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook() as server:
        yield server


def pdf_section(home: Path, **more: Any) -> EncryptedPdf:
    for name in ("pdf.secret", "hook.secret"):
        path = home / "keys" / name
        if not path.exists():
            path.write_text(secrets.token_hex(32))
            path.chmod(0o600)
    return EncryptedPdf(secret_file=home / "keys" / "pdf.secret", **more)


@pytest.fixture
def bank(home: Path, hook: Hook) -> Iterator[Context]:
    section = pdf_section(home, hook_url=hook.url("/password"), hook_secret_file=home / "keys" / "hook.secret",
                          timeout_s=2)
    with context(home, with_pdf(home, section)) as built:
        yield built


def with_pdf(home: Path, section: EncryptedPdf, rules: str = RULES) -> Any:
    with_rules = policy(home / "letters.yaml", rules)

    def change(settings: Settings) -> Settings:
        fallbacks = settings.fallbacks.model_copy(update={"encrypted_pdf": section, "language": "de"})
        return with_rules(settings).model_copy(update={"fallbacks": fallbacks})

    return change


def send(bank: Context, *to: str, octets: bytes = MAIL) -> Outcome:
    return bank.gateway.handle(bank.send(octets, *to))


def test_mail_and_files_leave_in_a_locked_pdf(bank: Context, hook: Hook, tmp_path: Path) -> None:
    assert send(bank, BEN).answer is Settled.TAKEN
    left = bank.outbound.octets_for(BEN)
    (given,) = hook.given
    inside = opened(pdf_of(left), given["password"], tmp_path)
    assert "Ihr Saldo: 4711,08 €" in inside[""].decode()
    assert "Ihr Auszug März 4711" in inside[""].decode()
    assert inside["bookings.csv"].strip() == b"4711;08"
    assert is_locked(pdf_of(left), tmp_path, given["password"][:-1], given["password"].upper())


def test_nothing_of_the_mail_is_outside_of_it(bank: Context, hook: Hook) -> None:
    """Subject, text, files, and fields that the bank's own systems wrote."""
    send(bank, BEN)
    left = bank.outbound.octets_for(BEN)
    (given,) = hook.given
    for word in (b"_4711", b": 4711", b"Auszug", b"bookings", b"X-Account", given["password"].encode()):
        assert word not in left
    read = mail_of(left)
    assert read["subject"] == "Eine vertrauliche Nachricht für Sie"
    assert read["message-id"] == "<1@bank.example>"
    assert read["to"] == "Ben <ben@nowhere.example>, anna@customer.example"


def test_it_is_signed_by_the_bank(bank: Context) -> None:
    send(bank, BEN)
    assert b"message.pdf" in openssl.verify(bank.outbound.octets_for(BEN), bank.bank.root)


def test_the_hook_hears_whose_it_is_and_knows_a_repetition(bank: Context, hook: Hook, home: Path) -> None:
    bank.outbound.codes[BEN] = 451
    assert send(bank, BEN).answer is Settled.LATER
    del bank.outbound.codes[BEN]
    assert send(bank, BEN).answer is Settled.TAKEN
    first, second = hook.given
    assert first == second
    assert {**first, "key": "", "password": ""} == {
        "event": "pdf.password", "key": "", "recipient": BEN, "customer": None, "password": "",
        "from": "Bank <otp@bank.example>", "message_id": "<1@bank.example>", "language": "de"}
    assert {request.headers["idempotency-key"] for request in hook.requests} == {first["key"]}
    for request in hook.requests:  # as docs/fallbacks.md says that it is checked
        seconds, mac = (part.partition("=")[2] for part in request.headers["sealgate-signature"].split(","))
        key = (home / "keys" / "hook.secret").read_bytes()
        assert hmac.new(key, seconds.encode() + b"." + request.body, hashlib.sha256).hexdigest() == mac


def test_each_recipient_and_mail_has_a_password_of_its_own(bank: Context, hook: Hook) -> None:
    send(bank, BEN, "cara@nowhere.example")
    send(bank, BEN, octets=MAIL.replace(b"<1@", b"<2@"))
    assert len({one["password"] for one in hook.given}) == len({one["key"] for one in hook.given}) == 3
    assert len(bank.outbound.taken) == 3


@pytest.mark.parametrize("status", ["500 Oops", "404 Not Found", "401 Unauthorized", "302 Found"])
def test_without_the_handover_no_mail_leaves(bank: Context, hook: Hook, status: str) -> None:
    hook.status = status
    outcome = send(bank, BEN)
    assert (outcome.answer, outcome.reason) == (Settled.LATER, Reason.PASSWORD_NOT_HANDED_OVER)
    assert bank.outbound.taken == []


def test_a_hook_that_does_not_answer_ends_at_its_deadline(bank: Context, hook: Hook) -> None:
    hook.answers["/password"] = lambda request, line: line.trickle(b"HTTP/1.1 200 OK\r\n" * 99, 0.2)
    assert send(bank, BEN).reason is Reason.PASSWORD_NOT_HANDED_OVER
    assert bank.outbound.taken == []


def test_whoever_has_a_certificate_gets_it_sealed(bank: Context, hook: Hook) -> None:
    assert send(bank, BEN, "anna@customer.example").answer is Settled.TAKEN
    assert [one["recipient"] for one in hook.given] == [BEN]
    assert b"enveloped-data" in bank.outbound.octets_for("anna@customer.example")


def test_what_a_rule_asks_for_and_the_settings_lost_is_deferred(bank: Context) -> None:
    """Rules with a fallback whose section is missing do not load; if they are in force all the same, nothing leaves."""
    before = bank.gateway.context
    bank.gateway.use(replace(before, fallbacks=replace(before.fallbacks, conversions={})))
    outcome = send(bank, BEN)
    bank.gateway.use(before)
    assert (outcome.answer, outcome.reason) == (Settled.LATER, Reason.CONFIG_INVALID)
    assert bank.outbound.taken == []


def test_it_is_counted_and_recorded(bank: Context) -> None:
    outcome = send(bank, BEN)
    (record,) = bank.gateway.store.evidence.find(outcome.incident)
    assert record.steps == ("protect_headers", "sign", "encrypted_pdf")
    assert (record.facts["fallback"], record.facts["dropped"]) == ("encrypted_pdf", ["encrypt"])
    (row,) = bank.gateway.context.fallbacks.book.figures()
    assert (row.rule, row.way, row.people, row.mails) == ("letters:letters", "encrypted_pdf", 1, 1)


def test_the_password_is_nowhere(bank: Context, hook: Hook, capfd: pytest.CaptureFixture[str]) -> None:
    """Neither log nor database; a failing handover says nothing of it either, though the hook repeats it."""
    send(bank, BEN)
    hook.status = "500 Oops"
    send(bank, BEN, octets=MAIL.replace(b"<1@", b"<2@"))
    told = capfd.readouterr()
    files = [path for path in bank.bank.home.rglob("*") if path.is_file() and "sealgate.db" in str(path)]
    database = b"".join(path.read_bytes() for path in files)
    assert len(hook.given) == 2
    for one in hook.given:
        assert one["password"] not in told.out + told.err
        assert one["password"].encode() not in database
    assert b"letters:letters" in database, "the search finds what is there"


def test_passwords_are_even_and_of_letters_that_are_not_mistaken() -> None:
    """Each of 32 letters as often as any other, within five standard deviations of 1/32."""
    assert len(set(LETTERS)) == 32
    assert not set(LETTERS) & set("il10ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    drawn = "".join(password(b"k" * 32, 64, f"{number}", BEN) for number in range(500))
    expected, spread = 32_000 / 32, (32_000 * (1 / 32) * (31 / 32)) ** 0.5
    assert all(abs(drawn.count(letter) - expected) < 5 * spread for letter in LETTERS)


def test_a_password_hangs_on_secret_mail_and_recipient_alone() -> None:
    one = password(b"k" * 32, 16, "mail", BEN)
    assert one == password(b"k" * 32, 16, "mail", "BEN@Nowhere.example")
    assert len(one) == 16
    assert password(b"k" * 32, 64, "mail", BEN).startswith(one)
    assert len({one, password(b"l" * 32, 16, "mail", BEN), password(b"k" * 32, 16, "liam", BEN),
                password(b"k" * 32, 16, "mail", "anna@customer.example")}) == 4


def test_the_password_is_what_openssl_derives() -> None:
    """The first octets of HMAC-SHA-256, five bits each; `openssl dgst -mac HMAC` is the judge."""
    told = openssl.run("dgst", "-sha256", "-mac", "HMAC", "-macopt", "key:" + "k" * 32, "-binary",
                       stdin=b"pdf password\0mail\0ben@nowhere.example\0" + b"0")
    assert password(b"k" * 32, 16, "mail", BEN) == "".join(LETTERS[octet >> 3] for octet in told[:16])


def test_in_a_milter_the_mail_is_put_in_its_place_and_nothing_of_it_stays(bank: Context, hook: Hook, tmp_path: Path,
                                                                          ) -> None:
    """Postfix is told to delete each field that is not there any more, and gets another body."""
    taken: list[bytes] = []

    def take(octets: bytes, envelope: Envelope) -> bool:
        del envelope
        taken.append(octets)
        return True

    outcome = bank.gateway.handle_in_place(bank.send(MAIL, BEN), take)
    assert outcome.recipients[0].settled is Settled.TAKEN
    (octets,) = taken
    (given,) = hook.given
    assert b"Ihr Saldo" in opened(pdf_of(octets), given["password"], tmp_path)[""]
    assert b"_4711" not in octets
    assert b": 4711" not in octets
    fields = [(field.name, field.raw) for field in parse_headers(MAIL).fields]
    wanted = edits(fields, memoryview(MAIL)[sum(len(raw) for _, raw in fields) + 2:], octets)
    assert wanted is not None
    assert {"X-Account", "Subject"} <= {name for name, _ in wanted.deleted}
    assert wanted.body is not None
    assert bank.outbound.taken == []


def test_where_each_recipient_has_an_answer_each_has_his_own(bank: Context, hook: Hook) -> None:
    """LMTP: one password is not handed over, and the others' mail does not wait for it."""
    mail = bank.send(MAIL, BEN, "anna@customer.example", "cara@nowhere.example")
    mail = replace(mail, origin=replace(mail.origin, answers_each=True))
    hook.refuse = "cara@nowhere.example"
    settled = {one.address: one.settled for one in bank.gateway.handle(mail).recipients}
    assert settled == {BEN: Settled.TAKEN, "anna@customer.example": Settled.TAKEN,
                       "cara@nowhere.example": Settled.LATER}
    hook.refuse = ""
    again = {one.address: one.settled for one in bank.gateway.handle(mail).recipients}
    assert again == {BEN: Settled.DISCARDED, "anna@customer.example": Settled.DISCARDED,
                     "cara@nowhere.example": Settled.TAKEN}
    assert len(bank.outbound.taken) == 3


def test_what_is_only_tried_hands_nothing_over(home: Path, hook: Hook) -> None:
    """`mode: observe` and `sealgate seal`: decided, drawn and locked, and nobody hears a password."""
    section = pdf_section(home, hook_url=hook.url("/password"), hook_secret_file=home / "keys" / "hook.secret")
    change = with_pdf(home, section)
    with context(home, lambda settings: change(settings).model_copy(update={"mode": "observe"})) as bank:
        outcome = send(bank, BEN)
        assert outcome.answer is Settled.TAKEN
        assert bank.outbound.octets_for(BEN) == MAIL, "it goes as it came"
        (record,) = bank.gateway.store.evidence.find(outcome.incident)
        assert record.steps == ("protect_headers", "sign", "encrypted_pdf")
        assert record.facts["would"]["settled"] == "taken"
        assert bank.gateway.context.fallbacks.book.figures() == ()
    assert hook.requests == []


def test_what_cannot_be_drawn_is_refused_and_nobody_hears_a_password(bank: Context, hook: Hook) -> None:
    inner = b"--b\r\nContent-Type: image/png\r\n\r\nx\r\n" * 201
    outcome = send(bank, BEN, octets=MAIL.partition(b"--b\r\n")[0] + inner + b"--b--\r\n")
    assert (outcome.answer, outcome.reason) == (Settled.REFUSED, Reason.PDF_TOO_LARGE)
    assert (hook.requests, bank.outbound.taken) == ([], [])
