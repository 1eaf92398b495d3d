"""The mail with a code: what it says, and its header. It leaves by the one outbound way like any mail of a client."""

import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any, Final, assert_never

from babel.core import Locale, UnknownLocaleError
from babel.numbers import format_decimal

from gateway.errors import GatewayError, Reason
from gateway.letters.compose import Heading, compose
from gateway.letters.write import Writer
from gateway.model.mail import Envelope, Mail, Origin, Recipient
from gateway.ports.services.codes import CodeRow, CodeState
from gateway.services.codes.transaction import Batch, Money, Payee, Payment, Transaction
from gateway.services.verp import Verp

_BARELY_S: Final = 5  # a code of five minutes, sent a moment later, still says five
_REHEARSED_LIFE: Final = timedelta(minutes=5)
_IBAN = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}")


@dataclass(frozen=True, slots=True)
class Sender:
    """In whose name. `bounces`: mailbox of bounces and answers, '' = none; `returns` names mails in either case."""

    from_: str
    bounces: str
    returns: Verp
    writer: Writer


def mail_id(row: CodeRow) -> str:
    """Which of a code's mails it is: in its return path and Message-ID. See `code_of`."""
    return mail_ids(row)[-1]


def mail_ids(row: CodeRow) -> tuple[str, ...]:
    """Of all mails of a code up to now, the newest last."""
    return tuple(f"{row.code_id}-{number}" for number in range(1, row.sends + 1))


def code_of(identifier: str) -> tuple[str, int]:
    """The code's id and the mail's number, of what `mail_id` gives; ('', 0) for anything else."""
    code_id, _, number = identifier.partition("-")
    return (code_id, int(number)) if number.isascii() and number.isdigit() else ("", 0)


def write(sender: Sender, row: CodeRow, code: str, transaction: Transaction | None, to: tuple[str, ...],
          now: datetime) -> Mail:
    """The mail to all of the customer's addresses. CONFIG_INVALID names a template that breaks a rule."""
    identifier = mail_id(row)
    row = replace(row, language=_written(row.language, sender.writer.chosen("code", row.language)))
    letter = sender.writer.write(
        "code", row.language, values(row, code, transaction, now, answers=bool(sender.bounces)))
    octets = compose(letter, Heading(
        sender.from_, to, f"<{sender.returns.message_id(identifier)}>", now,
        sender.writer.letterhead.sender, sender.bounces,
        more=(b"Auto-Submitted: auto-generated\r\n",)))  # RFC 3834 5: no absence note answers it
    path = sender.returns.address(identifier) if sender.bounces else sender.from_
    # Of several addresses none that cannot be had keeps the others from the mail.
    origin = Origin(ours=True, client=row.client, received_at=now, incident=secrets.token_hex(8), listener="codes",
                    answers_each=len(to) > 1, customers=(row.customer,))
    envelope = Envelope(path, tuple(map(Recipient, to)), smtputf8=not all(one.isascii() for one in to))
    return Mail(octets, envelope, origin)


def _written(asked: str, chosen: str) -> str:
    """The form of amounts: English letters have English amounts; those to Austria have Austrian ones."""
    return asked if asked.partition("-")[0] == chosen.partition("-")[0] else chosen


def rehearse(writer: Writer, languages: Iterable[str]) -> None:
    """Writes each kind of mail once, of something made up. CONFIG_INVALID names each template that breaks a rule, and
    how.

    The customer is to be made aware of amount and payee (EU 2018/389 Art. 5 (1)(a)): a template that leaves out one
    of them, or the code, is refused.
    """
    at = datetime(2026, 1, 1, tzinfo=UTC)
    payees = [Payee.of("Musterhaus", "DE02120300000000202051"), Payee.of("Example", "ACCOUNT7")]
    money = Money.of("1234.50", "EUR")
    kinds: tuple[tuple[str, Transaction | None], ...] = (
        ("login", None), ("another", None), ("payment", Payment(money, payees[0])),
        ("payment", Batch.of(money, payees)),
        ("payment", Batch.of(money, [replace(one, amount=Money.of("617.25", "EUR")) for one in payees])))
    wrong: dict[str, None] = {}  # in order, each once
    for language in languages:
        for (purpose, transaction), bounces, sends in product(kinds, (False, True), (1, 2)):
            row = CodeRow("0" * 24, "", "", purpose, CodeState.LIVE, 8, b"", b"", language, "", at,
                          at + _REHEARSED_LIFE, sends=sends)
            try:
                _must_show(writer, row, values(row, "40302019", transaction, at, answers=bounces))
            except GatewayError as trouble:
                wrong[trouble.detail] = None
                break
    if wrong:
        raise GatewayError(Reason.CONFIG_INVALID, "\n".join(wrong))


def _must_show(writer: Writer, row: CodeRow, given: Mapping[str, Any]) -> None:
    letter = writer.write("code", row.language, given)
    required = {"code": given["code"], "amount": given["amount"]}
    required |= {f"{what} of {one['name']}": one[what] for one in given["payees"] for what in ("name", "account")}
    for name, form in (("txt", letter.text), ("html", letter.html)):
        for what, words in required.items():
            if form is not None and words not in form:
                raise GatewayError(
                    Reason.CONFIG_INVALID, f"{writer.file('code', letter.language, name)} does not show everything: "
                    f"{what} of a {'payment' if given['payees'] else 'code'} is missing")


def values(row: CodeRow, code: str, transaction: Transaction | None, now: datetime, *, answers: bool
           ) -> Mapping[str, Any]:
    """What the templates `code.*` may name.

    `row.language` is how amounts are written; `answers`: whether an answer of the customer is read.
    """
    left = max(0, int((row.expires_at - now).total_seconds()))
    return {
        "code": code, "purpose": row.purpose, "reference": row.reference, "again": row.sends > 1,
        "answers": answers, "minutes": (left + _BARELY_S) // 60, "seconds": left, "expires_at": row.expires_at,
        **_transaction_values(transaction, row.language)}


def _transaction_values(transaction: Transaction | None, language: str) -> Mapping[str, object]:
    match transaction:
        case Payment(amount, payee):
            return {"kind": "payment", "amount": _amount(amount, language), "payees": [_shown(payee, language)]}
        case Batch(total, payees):
            return {"kind": "batch", "amount": _amount(total, language),
                    "payees": [_shown(one, language) for one in payees]}
        case None:
            return {"kind": "none", "amount": "", "payees": []}
        case _:
            assert_never(transaction)


def _amount(money: Money, language: str) -> str:
    """As the language writes it, with all digits and the code of the currency: `$` is many."""
    try:
        locale = Locale.parse(language, sep="-")
    except (UnknownLocaleError, ValueError):
        locale = Locale("en")
    pattern = "#,##0" + (f".{'0' * money.digits}" if money.digits else "")
    return f"{format_decimal(money.decimal, pattern, locale)}\N{NO-BREAK SPACE}{money.currency}"


def _shown(payee: Payee, language: str) -> Mapping[str, str]:
    account = payee.account
    groups = [account[start:start + 4] for start in range(0, len(account), 4)]
    return {"name": payee.name, "account": " ".join(groups) if _IBAN.fullmatch(account) else account,
            "amount": "" if payee.amount is None else _amount(payee.amount, language)}
