"""The mail of one statement: words, document, header and envelope; the same item gives the same octets."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from gateway.letters.compose import Attachment, Heading, compose
from gateway.letters.letterhead import Letterhead
from gateway.letters.write import Writer
from gateway.model.lookup import Customer
from gateway.model.mail import Envelope, Mail, Origin, Recipient
from gateway.ports.services.statements.rows import ItemRow, RunRow
from gateway.services.statements.series import masked
from gateway.services.statements.source import Row
from gateway.services.statements.spec import Spec, filled_in
from gateway.services.verp import Verp

NAMES: Final = frozenset({"name", "account", "period", "run", "version", "row", "values"})  # see `values`
_PDF = "application/pdf"


@dataclass(frozen=True, slots=True)
class Sender:
    """The sender of a run's mails. `bounces`: mailbox of bounces, '' = none; `returns` names mails in either case.

    Replies go to `from_`, where people read; no person reads the mailbox of bounces.
    """

    from_: str
    bounces: str
    returns: Verp
    writer: Writer
    language: str


def write(sender: Sender, run: RunRow, spec: Spec, row: Row, item: ItemRow, customer: Customer,
          to: tuple[str, ...], document: bytes | None, dated: datetime, now: datetime) -> Mail:
    """The mail. `dated`: its Date; `document` None: a notice has none. CONFIG_INVALID for a template with a fault."""
    identifier = f"{run.id}-{item.id}"  # items of a restored database are numbered again
    message_id = sender.returns.message_id(identifier)
    letter = sender.writer.write(kind_of(run, spec), _language(sender, spec, row),
                                 values(run.name, spec, row, customer))
    attachments = () if document is None else (Attachment(filename(spec, row), _PDF, document),)
    octets = compose(letter, Heading(
        sender.from_, to, f"<{message_id}>", dated, sender.writer.letterhead.sender,
        more=(b"Auto-Submitted: auto-generated\r\n",)),  # RFC 3834 5
        attachments, seed=message_id.encode("ascii"))
    path = sender.returns.address(identifier) if sender.bounces else sender.from_
    origin = Origin(ours=True, client=run.client, received_at=now, incident=secrets.token_hex(8), listener="statements",
                    customers=row.customers)
    return Mail(octets, Envelope(path, tuple(map(Recipient, to)), ret="HDRS"), origin)


def values(run: str, spec: Spec, row: Row, customer: Customer) -> Mapping[str, object]:
    """What the templates of the mail may name; `row` holds all columns of the source. `run`: its name."""
    return {"name": customer.name, "account": masked(row.account), "period": spec.period, "run": run,
            "version": row.version, "row": row.values, "values": spec.values}


def document_values(letterhead: Letterhead, language: str, spec: Spec, row: Row, customer: Customer
                    ) -> Mapping[str, object]:
    """What the templates of the document may name: the columns of the row take precedence over the words of the run,

    and these over the letterhead.
    """
    return {"bank": letterhead.bank, "colour": letterhead.colour, "contact": letterhead.contact_in(language),
            "name": customer.name, "customer": customer.number, "account": row.account, "period": spec.period,
            "version": row.version, **spec.values, **row.values}


def language(sender: Sender, spec: Spec, row: Row) -> str:
    """Of mail and document: the row's, else the run's, else that of the settings."""
    return row.language or spec.language or sender.language


_language = language


def untexted(writer: Writer, kind: str, language: str) -> str:
    """What is wrong with a language that the mail of this kind has no texts in; '' = nothing."""
    if not language or writer.has(kind, language):
        return ""
    return (f"no texts of the mail `{kind}` in the language `{language[:10]}`; "
            f"use one of {', '.join(writer.languages(kind))}")


def filename(spec: Spec, row: Row) -> str:
    """As the customer sees it."""
    return filled_in(spec.documents.filename, {"period": spec.period, "version": _plain(row.version),
                                               "row": str(row.number)})


def _plain(text: str) -> str:
    return "".join(char if char.isalnum() or char in "._-" else "-" for char in text)[:40]


def kind_of(run: RunRow, spec: Spec) -> str:
    """The template of a run's mail."""
    match run.kind:
        case "replace":
            return "statement_replaced"
        case "recall":
            return "statement_recalled"
        case _:
            return spec.template
