"""A run whose documents are made: one is made before the run begins, so that a template with a fault refuses nobody.

A row may be wrong by itself, which is its customer's trouble alone; a template of which none of the first rows makes a
document is the run's.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import chain, islice
from typing import Final

from gateway.app.documents import documents
from gateway.errors import GatewayError, Reason
from gateway.model.lookup import Customer
from gateway.services.statements.mail import document_values
from gateway.services.statements.source import BadRow, Row
from gateway.services.statements.spec import Spec
from gateway.settings import Settings

ROWS_MAX: Final = 20


def tried(settings: Settings, spec: Spec, rows: Iterable[Row | BadRow], at: datetime) -> Iterator[Row | BadRow]:
    """The same rows. GatewayError PDF_NOT_MADE: none of the first makes a document (with retry: none can now)."""
    if not spec.documents.template:
        yield from rows
        return
    source = iter(rows)
    first = list(islice(source, ROWS_MAX))
    _try(settings, spec, [row for row in first if isinstance(row, Row)], at)
    yield from chain(first, source)


def _try(settings: Settings, spec: Spec, rows: list[Row], at: datetime) -> None:
    own = settings.statements
    if own is None or not rows:
        return
    made, told = documents(settings), ""
    try:
        for row in rows:
            try:
                made.make(spec.documents.template, row.language or spec.language or own.language,
                          document_values(spec, row, Customer(row.customers[0], "-", (), None)), at)
            except GatewayError as trouble:
                if trouble.retry:
                    raise
                told = told or trouble.detail
            else:
                return
    finally:
        made.close()
    raise GatewayError(Reason.PDF_NOT_MADE, f"none of the first {len(rows)} rows makes a document: {told}")
