"""What a code is good for: one payment, or a batch of payments, in exactly one spelling.

Dynamic linking (EU 2018/389): the code of a payment is specific to its amount and payee (Art. 5 (1)(b)), that of a
batch to the total and to the payees (Art. 5 (3)(b)). An amount is an integer of minor units: `10`, `10.0` and `10.00`
euros are one amount. Names and accounts are compared as people read them: Unicode NFC, blanks at the ends and double
ones do not count, accounts without any blank and with a to z in capitals (IBANs are printed in groups of four).
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from string import ascii_lowercase, ascii_uppercase
from typing import Final

from babel.core import get_global

from gateway.errors import GatewayError, Reason

NAME_CHARACTERS_MAX: Final = 140  # ISO 20022 Max140Text, which SEPA's names are
ACCOUNT_CHARACTERS_MAX: Final = 64  # an IBAN has 34 at most; accounts elsewhere and proxies are longer
MINOR_DIGITS_MAX: Final = 15  # as ISO 20022 amounts have 18 digits with 5 behind the point; an int of 64 bits holds it
PAYEES_MAX: Final = 200  # all of them are in the mail

# No others: in Unicode the capitals of `straße` and `strasse` are one, and those are two people's aliases.
_CAPITALS: Final = str.maketrans(ascii_lowercase, ascii_uppercase)
_AMOUNT = re.compile(r"(0|[1-9][0-9]{0,14})(?:\.([0-9]{1,5}))?")
# Characters of no width or ink, which Unicode calls letters, marks and symbols all the same (DerivedCoreProperties,
# Default_Ignorable_Code_Point; U+2800). Variation selectors are none of them: names in Japanese have them.
_UNSEEN = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\uffa0]")
_MARKS_MAX: Final = 8  # on one letter; no script has so many, and a pile of them covers the lines around it
# Minor units of ISO 4217, where they are not two digits. Babel knows which currencies there are, but its digits are
# those that people write in prices: none for HUF, IDR or RSD, whose payments have two.
_NO_DIGITS: Final = frozenset({"BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI",
                               "VND", "VUV", "XAF", "XOF", "XPF"})
_THREE_DIGITS: Final = frozenset({"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"})
_FOUR_DIGITS: Final = frozenset({"CLF", "UYW"})
_OF_SEVERAL_COUNTRIES: Final = frozenset({"XAF", "XCD", "XCG", "XOF", "XPF"})  # all else with an X is gold or nothing


@dataclass(frozen=True, slots=True, repr=False)
class Money:
    """`minor` units (cents) of a currency that has `digits` of them behind the point."""

    minor: int
    currency: str
    digits: int

    @classmethod
    def of(cls, amount: str, currency: str) -> "Money":
        """From a decimal string with a point and an ISO 4217 code. INPUT_MALFORMED, never with the amount in it."""
        if currency not in _currencies():
            raise GatewayError(Reason.INPUT_MALFORMED, "currency: no code of ISO 4217")
        digits = minor_digits(currency)
        found = _AMOUNT.fullmatch(amount)
        if found is None:
            raise GatewayError(Reason.INPUT_MALFORMED, "amount: a decimal number with a point, such as `1234.50`")
        whole, part = found[1], (found[2] or "").rstrip("0")
        if len(part) > digits:
            raise GatewayError(Reason.INPUT_MALFORMED, f"amount: {currency} has {digits} digits behind the point")
        minor = int(whole + part.ljust(digits, "0"))
        if minor == 0 or len(str(minor)) > MINOR_DIGITS_MAX:
            raise GatewayError(Reason.INPUT_MALFORMED,
                               f"amount: more than nothing, and at most {MINOR_DIGITS_MAX} digits")
        return cls(minor, currency, digits)

    @property
    def decimal(self) -> Decimal:
        """In whole units."""
        return Decimal(self.minor).scaleb(-self.digits)

    def __str__(self) -> str:
        """With all its digits, such as `1234.50`."""
        if not self.digits:
            return str(self.minor)
        text = str(self.minor).rjust(self.digits + 1, "0")
        return f"{text[:-self.digits]}.{text[-self.digits:]}"


@dataclass(frozen=True, slots=True, repr=False)
class Payee:
    """Make one with `Payee.of`. `account`: IBAN or what the bank has for it; `amount`: if a batch has some."""

    name: str
    account: str
    amount: Money | None = None

    @classmethod
    def of(cls, name: str, account: str, amount: Money | None = None) -> "Payee":
        """In the one spelling. INPUT_MALFORMED for what is empty, too long or not printable; never with what it is."""
        return cls(_text("payee", name, NAME_CHARACTERS_MAX),
                   _text("account", account, ACCOUNT_CHARACTERS_MAX).replace(" ", "").translate(_CAPITALS), amount)


@dataclass(frozen=True, slots=True, repr=False)
class Payment:
    """One payment to one payee."""

    amount: Money
    payee: Payee


@dataclass(frozen=True, slots=True, repr=False)
class Batch:
    """Several payments that the customer consents to at once: what they come to, and to whom. Order does not count.

    Either every payee has an amount, or none has one. With amounts, two equal entries are two payments.
    """

    total: Money
    payees: tuple[Payee, ...]

    @classmethod
    def of(cls, total: Money, payees: Sequence[Payee]) -> "Batch":
        """INPUT_MALFORMED for no payee, more than PAYEES_MAX, or amounts that do not add up to the total."""
        if not 1 <= len(payees) <= PAYEES_MAX:
            raise GatewayError(Reason.INPUT_MALFORMED, f"payees: 1 to {PAYEES_MAX}")
        amounts = [one.amount for one in payees if one.amount is not None]
        if not amounts:
            return cls(total, tuple(sorted(set(payees), key=lambda one: (one.name, one.account))))
        if len(amounts) < len(payees):
            raise GatewayError(Reason.INPUT_MALFORMED, "payees: an amount for each, or for none")
        if {one.currency for one in amounts} != {total.currency} or sum(one.minor for one in amounts) != total.minor:
            raise GatewayError(Reason.INPUT_MALFORMED, "payees: the amounts do not add up to the total")
        return cls(total, tuple(sorted(
            payees, key=lambda one: (one.name, one.account, one.amount.minor if one.amount is not None else 0))))


Transaction = Payment | Batch


@cache
def _currencies() -> frozenset[str]:
    """Those that some country has now."""
    used = get_global("territory_currencies")
    return frozenset(code for entries in used.values() for code, _, until, _ in entries
                     if until is None and (code[0] != "X" or code in _OF_SEVERAL_COUNTRIES))


def currencies() -> tuple[str, ...]:
    """All codes that `Money.of` takes, sorted."""
    return tuple(sorted(_currencies()))


def minor_digits(currency: str) -> int:
    """How many digits ISO 4217 has behind the point."""
    if currency in _NO_DIGITS:
        return 0
    return 3 if currency in _THREE_DIGITS else 4 if currency in _FOUR_DIGITS else 2


def _text(what: str, value: str, characters_max: int) -> str:
    plain = " ".join(unicodedata.normalize("NFC", value).split())
    if (not plain or len(plain) > characters_max or not plain.isprintable() or _UNSEEN.search(plain)
            or _marks(plain) > _MARKS_MAX):
        raise GatewayError(Reason.INPUT_MALFORMED, f"{what}: 1 to {characters_max} printable characters")
    return plain


def _marks(text: str) -> int:
    """The longest row of them."""
    if text.isascii():
        return 0
    kinds = "".join("m" if unicodedata.category(one)[0] == "M" else " " for one in text)
    return max(map(len, kinds.split(" ")))
