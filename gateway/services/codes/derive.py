"""The code out of what it is good for: HMAC (RFC 2104) over one canonical form, so that it need not be kept anywhere.

The canonical form is a list of fields, each with its length in four octets before it, so that no two lists are one row
of octets:

    "sealgate code 1" | id | nonce | customer | purpose | digits | kind | what the kind has
    kind "none":     nothing more
    kind "payment":  amount in minor units | currency | payee's name | payee's account
    kind "batch":    total in minor units | currency | name and account of each payee, sorted
    kind "amounts":  total in minor units | currency | name, account and amount in minor units of each payee, sorted

Keys: one for codes, one for digests of transactions, each HMAC-SHA-256(secret, its label). The code is the HMAC as an
integer of 256 bits, modulo 10^digits: of 10^10 codes none is likelier than another by more than one part in 2^222.
"""

import hmac
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, assert_never

from gateway.services.codes.transaction import Batch, Payment, Transaction

DIGITS_MIN: Final = 6
DIGITS_MAX: Final = 10
NONCE_OCTETS: Final = 16
_FORM: Final = b"sealgate code 1"


@dataclass(frozen=True, slots=True, repr=False)
class Linked:
    """What a code hangs on. `nonce` is random, NONCE_OCTETS long."""

    code_id: str
    nonce: bytes
    customer: str
    purpose: str
    digits: int
    transaction: Transaction | None


@dataclass(frozen=True, slots=True)
class CodeKeys:
    """The keys of one secret (adapters.files.mac_secret)."""

    code: bytes = field(repr=False)
    digest: bytes = field(repr=False)

    @classmethod
    def of(cls, secret: bytes) -> "CodeKeys":
        """Both out of the one."""
        return cls(hmac.digest(secret, b"one-time code", "sha256"), hmac.digest(secret, b"transaction", "sha256"))


def derived(keys: CodeKeys, linked: Linked) -> str:
    """The code: decimal digits, leading noughts included."""
    number = int.from_bytes(hmac.digest(keys.code, canonical(linked), "sha256"), "big")
    return str(number % 10**linked.digits).rjust(linked.digits, "0")


def digest(keys: CodeKeys, linked: Linked) -> bytes:
    """Distinguishes a changed transaction from a wrong code; without the keys it reveals nothing."""
    return hmac.digest(keys.digest, canonical(linked), "sha256")


def canonical(linked: Linked) -> bytes:
    """See the module."""
    fields = (_FORM, linked.code_id.encode(), linked.nonce, linked.customer.encode(), linked.purpose.encode(),
              b"%d" % linked.digits, *_of(linked.transaction))
    return b"".join(len(one).to_bytes(4, "big") + one for one in fields)


def _of(transaction: Transaction | None) -> Iterator[bytes]:
    match transaction:
        case None:
            yield b"none"
        case Payment(amount, payee):
            yield from (b"payment", b"%d" % amount.minor, amount.currency.encode(), payee.name.encode(),
                        payee.account.encode())
        case Batch(total, payees):
            yield from (b"batch" if payees[0].amount is None else b"amounts", b"%d" % total.minor,
                        total.currency.encode())
            for one in payees:
                yield from (one.name.encode(), one.account.encode())
                if one.amount is not None:
                    yield b"%d" % one.amount.minor
        case _:
            assert_never(transaction)
