"""The proof of a client whose networks others use, too.

Truth: the promise of `pipeline.tenant`: without the right value nobody, and the field is in nothing that goes on.
"""

import secrets
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.errors import GatewayError, Reason
from gateway.model.mail import Envelope, Mail, Origin, Recipient
from gateway.model.outcome import Settled
from gateway.pipeline.outbound.tenant import Proof, proven
from gateway.settings import Settings
from tests.support.bank import Context, context
from tests.support.pki import NOW

SECRET = "kUZ1-Hs8v-QwEr-7731"
PROOFS = {"cloud": Proof("x-bank-route", (SECRET.encode(),))}
MAIL = b"From: otp@bank.example\r\n%bTo: anna@customer.example\r\nSubject: x\r\n\r\nX-Bank-Route: body\r\n"


def mail(fields: bytes, client: str | None = "cloud") -> Mail:
    origin = Origin(client is not None, client, NOW, "i")
    return Mail(MAIL % fields, Envelope("otp@bank.example", (Recipient("anna@customer.example"),)), origin)


@pytest.mark.parametrize("field", [
    f"X-Bank-Route: {SECRET}\r\n", f"x-bank-route:{SECRET}\r\n", f"X-BANK-ROUTE :  {SECRET} \r\n",
    f"X-Bank-Route:\r\n {SECRET}\r\n",
    f"X-Bank-Route: wrong\r\nX-Bank-Route: {SECRET}\r\n", f"X-Bank-Route: {SECRET}\r\nX-Bank-Route: {SECRET}\r\n",
])
def test_with_the_value_it_is_the_client_and_the_field_is_gone(field: str) -> None:
    assert proven(mail(field.encode()), PROOFS).octets == MAIL % b""


@pytest.mark.parametrize("field", [
    "", "X-Bank-Route:\r\n", "X-Bank-Route: wrong\r\n", f"X-Bank-Route: {SECRET[:-1]}\r\n",
    f"X-Bank-Route: {SECRET}x\r\n", f"X-Bank-Route: {SECRET.lower()}\r\n", f"X-Bank-Rout: {SECRET}\r\n",
    f"X-Bank-Route: {SECRET}, {SECRET}\r\n", "X-Bank-Route: =?utf-8?q?kUZ1-Hs8v-QwEr-7731?=\r\n",
    f"Subject: X-Bank-Route: {SECRET}\r\n",
])
def test_without_it_it_is_nobody(field: str) -> None:
    with pytest.raises(GatewayError) as caught:
        proven(mail(field.encode()), PROOFS)
    assert caught.value.reason is Reason.CLIENT_UNKNOWN
    assert not caught.value.retry
    assert SECRET not in str(caught.value) + caught.value.detail


def test_behind_the_header_it_does_not_count() -> None:
    behind = b"From: otp@bank.example\r\n\r\nX-Bank-Route: " + SECRET.encode() + b"\r\n"
    with pytest.raises(GatewayError):
        proven(replace(mail(b""), octets=behind), PROOFS)


@pytest.mark.parametrize("client", ["other", None])
def test_it_leaves_everybodys_mail(client: str | None) -> None:
    """A detour of such a mail must not tell the secret to whoever gets it."""
    assert proven(mail(f"X-Bank-Route: {SECRET}\r\n".encode(), client), PROOFS).octets == MAIL % b""


def test_nobody_has_one() -> None:
    untouched = mail(b"X-Bank-Route: x\r\n")
    assert proven(untouched, {}) is untouched


def test_it_does_not_show_itself() -> None:
    assert SECRET not in repr(PROOFS)


@pytest.mark.parametrize("octets", [b"", b"\n", b"bank\n", f"{SECRET}\nbank\n".encode()])
def test_a_value_that_could_be_guessed_is_refused(octets: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        Proof.of("X-Bank-Route", octets)
    assert caught.value.reason is Reason.CONFIG_INVALID


def test_each_line_counts_while_a_value_is_changed() -> None:
    proofs = {"cloud": Proof.of("X-Bank-Route", f"{SECRET}\r\n\n another-value-of-it \n".encode())}
    for value in (SECRET, "another-value-of-it"):
        assert proven(mail(f"X-Bank-Route: {value}\r\n".encode()), proofs).octets == MAIL % b""
    with pytest.raises(GatewayError):
        proven(mail(b"X-Bank-Route:\r\n"), proofs)


# In the whole gateway


def cloud(path: Path, secret: str = SECRET) -> Callable[[Settings], Settings]:
    """See `house`: online banking shares its networks."""
    path.write_text(f"{secret}\n")
    path.chmod(0o600)

    def change(settings: Settings) -> Settings:
        first, *others = settings.clients
        proving = first.model_copy(update={"header": "X-Bank-Route", "header_file": path})
        return settings.model_copy(update={"clients": (proving, *others)})

    return change


def code(house_: Context, field: str) -> Mail:
    octets = (f"From: otp@bank.example\r\n{field}To: anna@customer.example\r\nSubject: code\r\n"
              f"Message-ID: <{secrets.token_hex(4)}@bank.example>\r\n\r\n1234\r\n").encode()
    return house_.send(octets, "anna@customer.example")


def test_the_gateway_asks_for_it(tmp_path: Path) -> None:
    with context(tmp_path / "bank", cloud(tmp_path / "route")) as bank:
        with pytest.raises(GatewayError) as caught:
            bank.gateway.handle(code(bank, ""))
        assert caught.value.reason is Reason.CLIENT_UNKNOWN
        assert bank.outbound.taken == []
        assert bank.gateway.handle(code(bank, f"X-Bank-Route: {SECRET}\r\n")).answer is Settled.TAKEN
        others = replace(code(bank, ""), origin=replace(code(bank, "").origin, client="staff"))
        assert bank.gateway.handle(others).reason is not Reason.CLIENT_UNKNOWN, "others need none"
        (_, octets, _), = bank.outbound.taken
        assert SECRET.encode() not in octets


def test_in_place_it_is_asked_for_too(tmp_path: Path) -> None:
    with context(tmp_path / "bank", cloud(tmp_path / "route")) as bank:
        with pytest.raises(GatewayError) as caught:
            bank.gateway.handle_in_place(code(bank, ""), lambda octets, envelope: True)
        assert caught.value.reason is Reason.CLIENT_UNKNOWN


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    change = cloud(tmp_path / "route")
    (tmp_path / "route").chmod(0o644)
    with pytest.raises(GatewayError) as caught, context(tmp_path / "bank", change):
        pass
    assert caught.value.reason is Reason.KEY_UNAVAILABLE
