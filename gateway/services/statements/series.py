"""Which statement is which, without telling whose: MACs over customer, account and period."""

import hmac
from typing import Final

OCTETS: Final = 16  # 128 bits: two of a billion statements are never the same


class Series:
    """Under the secret of `statements.secret_file`."""

    def __init__(self, secret: bytes) -> None:
        self._key = hmac.digest(secret, b"series of statements", "sha256")

    def of(self, customer: str, account: str, period: str, *, about: str = "") -> bytes:
        """The series that one statement and its later versions are in. `about`: of a notice that recalls a run's."""
        parts = [part.encode("utf-8", "surrogatepass") for part in (customer, account, period, about)]
        message = b"".join(len(part).to_bytes(4, "big") + part for part in parts)  # no part runs into the next
        return hmac.digest(self._key, message, "sha256")[:OCTETS]


def masked(account: str) -> str:
    """What a mail shows of an account: the last four characters, of short ones fewer."""
    bare = account.replace(" ", "")
    shown = min(4, len(bare) // 3)
    return "\N{BULLET}\N{BULLET}" + bare[len(bare) - shown:]
