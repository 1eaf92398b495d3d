"""Documents as the settings have them: the bank's templates, the limits."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from gateway.pdf.documents import PdfDocuments
from gateway.pdf.renderer import Limits

if TYPE_CHECKING:
    from gateway.ports.services.documents import Documents
    from gateway.settings import Settings


# Of each process of a run, of which there is one for each core: setting is work for a core, and takes 70 MiB.
CHILDREN_MAX: Final = 2
_SAMPLE: Final = {
    "bank": "Bank", "name": "Name", "customer": "1", "account": "DE00", "currency": "EUR", "period": "1",
    "opening": "1.00", "closing": "1.00",
}


def tried_out(settings: "Settings") -> tuple[str, ...]:
    """Makes one statement of the gateway's own; returns the bank's templates. PDF_NOT_MADE: none can be made."""
    ours, all_ = PdfDocuments(), documents(settings)
    try:
        ours.make("statement", "en", _SAMPLE, datetime(2026, 1, 1, tzinfo=UTC))
        return tuple(sorted(set(all_.names()) - set(ours.names())))
    finally:
        ours.close()
        all_.close()


def documents(settings: "Settings") -> "Documents":
    """A process's own; `close` it. Starts and reads nothing yet."""
    statements = settings.statements
    if statements is None:
        return PdfDocuments()
    return PdfDocuments(statements.templates, Limits(
        deadline_s=statements.document_timeout_s, octets_max=statements.document_octets_max,
        children_max=min(statements.threads, CHILDREN_MAX)))
