"""Very many customers and certificates at once, out of the store: for pre-flights, which ask about a million."""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from gateway.model.lookup import CertificateRow, Customer

AT_ONCE_MAX: Final = 5_000  # numbers or addresses in one question; PostgreSQL takes 65,535 parameters, SQLite 32,766


class BulkRows(Protocol):
    """Few statements for each question, however much is asked for. GatewayError(STORE_UNAVAILABLE, retry=True)."""

    def customers(self, numbers: Sequence[str]) -> Mapping[str, Customer]:
        """Those that there are, by number. At most AT_ONCE_MAX numbers."""
        ...

    def owners(self, addresses: Sequence[str]) -> Mapping[str, str]:
        """By address the number of the customer to whom it belongs. At most AT_ONCE_MAX addresses, folded.

        An address that no customer has is not in the answer.
        """
        ...

    def blocked(self, numbers: Sequence[str]) -> frozenset[str]:
        """Those of these customers who get no codes: somebody ought to speak with them. At most AT_ONCE_MAX."""
        ...

    def sent(self, series: Sequence[bytes]) -> frozenset[tuple[bytes, str]]:
        """Series and version of all statements in these series that an item has."""
        ...

    def certificates(self, addresses: Sequence[str]) -> Mapping[str, tuple[CertificateRow, ...]]:
        """All certificates that name an address, as CertificateSource.rows gives them; by address, folded.

        At most AT_ONCE_MAX addresses, folded. Those that have none are not in the answer.
        """
        ...
