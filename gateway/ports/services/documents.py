"""Documents: statements and bills that are made from a template, and those that others made (docs/documents.md).

Threads may share one; a process makes its own (its adapter starts child processes at the first call).
"""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

from gateway.errors import Reason

# quick: the file's two ends: is it a whole PDF, is it locked, is it too large. opened: its pages are found, too, and it
# can be read aloud (ISO 14289-1: tags, language, title). thorough: everything in it can be decompressed, too.
Depth = Literal["quick", "opened", "thorough"]


class Documents(Protocol):
    """Templates by name: `statement` and `bill` of the distribution, and the bank's own."""

    def names(self) -> tuple[str, ...]:
        """The templates that there are, sorted."""
        ...

    def digest(self, template: str) -> str:
        """SHA-256 (hex) of a template and of all files beside it: another one may make other octets.

        GatewayError(PDF_NOT_MADE): it is not there.
        """
        ...

    def make(self, template: str, language: str, values: Mapping[str, object], at: datetime) -> bytes:
        """The PDF. The same template, language, values and `at` (aware: the document's date) give the same octets.

        `values`: what JSON can say, and Decimal and date, which become text; they reach the template as data and are
        never read as its language. GatewayError(PDF_NOT_MADE): the template is not there, fails, or takes too long or
        too much; `detail` names template and line, and holds no value. GatewayError(PDF_TOO_LARGE).
        """
        ...

    def check(self, document: Path | bytes, depth: Depth = "thorough", *, accessible: bool = True) -> Reason | None:
        """What is wrong with a document: PDF_MISSING, PDF_TOO_LARGE, PDF_UNREADABLE, PDF_LOCKED, PDF_INACCESSIBLE.

        None: nothing. `accessible` False: what cannot be read aloud is right too.
        """
        ...

    def lacking(self, octets: bytes) -> str:
        """What a PDF_INACCESSIBLE document lacks, in words; '' where that cannot be read."""
        ...

    def close(self) -> None:
        """Ends the child processes; another call starts them again."""
        ...
