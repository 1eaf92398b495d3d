"""Every mail to customers with made-up content, as pictures and as texts compare them."""

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from PIL import Image, ImageDraw

from gateway.letters.letterhead import Letterhead
from gateway.letters.write import Letter, Writer
from gateway.ports.services.codes import CodeRow, CodeState
from gateway.services.codes.message import values
from gateway.services.codes.transaction import Batch, Money, Payee, Payment, Transaction

AT = datetime(2026, 12, 1, 13, 5, tzinfo=UTC)
_STATEMENT = {"name": "Anna Müller", "account": "•••• 2051", "period": "2026-11", "run": "Statements", "version": "1",
              "row": {"number": "R-2026-4711"}, "values": {}}
_WAY = {"en": "Bring your identity card to any branch, and we will give you a certificate.",
        "de": "Kommen Sie mit Ihrem Ausweis in eine Filiale, dort erhalten Sie ein Zertifikat.",
        "fr": "Présentez-vous en agence avec votre pièce d’identité\u202f: nous vous remettrons un certificat."}  # noqa: RUF001
_PAYEES = (("Stadtwerke Musterstadt", "DE89370400440532013000", "1234.50"),
           ("Hausverwaltung Beispiel & Söhne Immobilien", "DE02120300000000202051", "98765.43"))


@dataclass(frozen=True, slots=True)
class Sample:
    """A mail. `name` of it among the others, such as `code payment`."""

    name: str
    letter: Letter


def logo() -> bytes:
    """A bank's sign, dark on transparent: what is lost on a dark page without something white behind it."""
    picture = Image.new("RGBA", (320, 80), (0, 0, 0, 0))
    draw = ImageDraw.Draw(picture)
    draw.ellipse((4, 4, 76, 76), fill="#7a0019")
    draw.polygon([(40, 14), (62, 58), (18, 58)], fill="#ffffff")
    for number in range(5):
        draw.rectangle((96 + 44 * number, 20 + 6 * (number % 2), 128 + 44 * number, 60), fill="#1a1a1a")
    file = io.BytesIO()
    picture.quantize(16).save(file, "PNG", optimize=True)
    return file.getvalue()


HEAD = Letterhead("Example Bank AG", zone=ZoneInfo("Europe/Berlin"), short_name="Example Bank",
                  telephone="+49 69 1234", web="www.bank.example", colour="#7a0019", colour_dark="#ffb3c0", logo=logo())


def samples(language: str) -> Iterator[Sample]:
    """Those of one language: statements with the logo, the others without."""
    with_logo = Writer(letterhead=HEAD)
    for kind in ("statement", "bill", "statement_replaced", "statement_recalled"):
        yield Sample(kind, with_logo.write(kind, language, _STATEMENT))
    plain = Writer(letterhead=replace(HEAD, logo=b""))
    for name, transaction in _transactions():
        row = CodeRow("0" * 24, "online-banking", "10001", "login" if transaction is None else "payment",
                      CodeState.LIVE, 8, b"", b"", language, "", AT, AT + timedelta(minutes=5))
        yield Sample(f"code {name}", plain.write("code", language, values(
            row, "40302019", transaction, AT, answers=transaction is None)))
    yield Sample("invite", plain.write("invite", language, {"way": _WAY[language], "sender": "service@bank.example"}))
    yield Sample("encrypted_pdf", plain.write("encrypted_pdf", language, {
        "sender": "Ben Beispiel <ben.beispiel@bank.example>", "file": "message.pdf"}))


def _transactions() -> Iterator[tuple[str, Transaction | None]]:
    payees = [Payee.of(name, account, Money.of(amount, "EUR")) for name, account, amount in _PAYEES]
    yield "login", None
    yield "payment", Payment(Money.of("1234.50", "EUR"), replace(payees[0], amount=None))
    yield "batch", Batch.of(Money.of("99999.93", "EUR"), payees)
