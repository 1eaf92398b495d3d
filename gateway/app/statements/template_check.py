"""Tries the templates of a run before it begins, so that a faulty one rejects no statement.

It writes the words of the mail in each language of the first rows; where documents are made, one of these.
A single wrong row affects its customer alone; a template of which none of the first rows makes a document is the run's
fault.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import cache
from itertools import chain, islice
from pathlib import Path
from typing import Final

from gateway.app.letters import letterhead, writer
from gateway.app.statements.documents import documents
from gateway.errors import GatewayError, Reason
from gateway.letters.loader import parts
from gateway.letters.write import Writer
from gateway.model.lookup import Customer
from gateway.services.statements.mail import document_values, untexted, values
from gateway.services.statements.source import BadRow, Row
from gateway.services.statements.spec import Spec
from gateway.settings import Settings

ROWS_MAX: Final = 20
RUN_KINDS: Final = frozenset({"statement", "bill", "statement_replaced", "statement_recalled"})


def tried(settings: Settings, spec: Spec, rows: Iterable[Row | BadRow], at: datetime) -> Iterator[Row | BadRow]:
    """The same rows; one in a language without texts is a BadRow.

    GatewayError PDF_NOT_MADE: none of the first makes a document (with retry: none can now); CONFIG_INVALID: none makes
    a mail in its language.
    """
    source = iter(rows)
    first = list(islice(source, ROWS_MAX))
    good = [row for row in first if isinstance(row, Row)]
    _try_words(settings, spec, good)
    if spec.documents.template:
        _try(settings, spec, good, at)
    own = settings.statements
    letters = writer(settings, own.templates, settings.language_of(own)) if own is not None else Writer()

    @cache
    def wrong(language: str) -> str:
        return untexted(letters, spec.template, language)

    for row in chain(first, source):
        problem = wrong(row.language) if isinstance(row, Row) else ""
        yield BadRow(row.number, row.customers[0], problem) if isinstance(row, Row) and problem else row


def own_words(settings: Settings) -> Iterator[tuple[Path, frozenset[str] | GatewayError]]:
    """The bank's own templates of a run's mails, each with the names that it asks for, or with its mistake.

    Those of other mails may be in the same directory, and pieces of templates.
    """
    own = settings.statements
    if own is None or own.templates is None:
        return
    letters, of_others = writer(settings, own.templates, settings.language_of(own)), Writer().kinds() - RUN_KINDS
    for file in sorted((*own.templates.glob("**/*.txt"), *own.templates.glob("**/*.html"))):
        language, kind, form = parts(file.relative_to(own.templates).as_posix()) or ("", "", "")
        if kind and kind not in of_others and kind in letters.kinds():
            try:
                yield file, letters.names(kind, language, form)
            except GatewayError as trouble:
                yield file, trouble


def _try_words(settings: Settings, spec: Spec, rows: list[Row]) -> None:
    own = settings.statements
    if own is None:
        return
    letters = writer(settings, own.templates, settings.language_of(own))
    wrong: dict[str, str] = {}
    good: set[str] = set()
    for row in rows:
        language = row.language or spec.language or settings.language_of(own)
        try:
            letters.write(spec.template, language,
                         values(spec.name, spec, row, Customer(row.customers[0], "-", (), None)))
        except GatewayError as trouble:
            wrong.setdefault(language, trouble.detail)
        else:
            good.add(language)
    if problems := [detail for language, detail in wrong.items() if language not in good]:
        raise GatewayError(Reason.CONFIG_INVALID, "\n".join(dict.fromkeys(problems)))


def _try(settings: Settings, spec: Spec, rows: list[Row], at: datetime) -> None:
    own = settings.statements
    if own is None or not rows:
        return
    made, head, problem = documents(settings), letterhead(settings), ""
    try:
        for row in rows:
            try:
                language = row.language or spec.language or settings.language_of(own)
                made.make(spec.documents.template, language, document_values(
                    head, language, spec, row, Customer(row.customers[0], "-", (), None)), at)
            except GatewayError as trouble:
                if trouble.retry:
                    raise
                problem = problem or trouble.detail
            else:
                return
    finally:
        made.close()
    raise GatewayError(Reason.PDF_NOT_MADE, f"none of the first {len(rows)} rows makes a document: {problem}")
