"""Documents as the settings have them: the bank's templates, the limits."""

from typing import TYPE_CHECKING

from gateway.pdf.documents import PdfDocuments
from gateway.pdf.renderer import Limits

if TYPE_CHECKING:
    from gateway.ports.documents import Documents
    from gateway.settings import Settings


def documents(settings: "Settings") -> "Documents":
    """A process's own; `close` it. Starts and reads nothing yet."""
    statements = settings.statements
    if statements is None:
        return PdfDocuments()
    return PdfDocuments(statements.templates, Limits(
        deadline_s=statements.document_timeout_s, octets_max=statements.document_octets_max,
        children_max=statements.threads))
