"""Old evidence records."""

from collections.abc import Sequence
from functools import cache, partial
from typing import Any

from sqlalchemy import Connection, delete, or_, select

from gateway.adapters.db.evidence import RECORD, values_of
from gateway.adapters.db.retention.candidates import Candidate
from gateway.adapters.db.tables.mail import evidence, moment
from gateway.model.legal_hold import RecordWords, words_of
from gateway.ports.retention import Place

_c = evidence.c


class OldEvidence:
    """See candidates.OldRecords."""

    def find(self, connection: Connection, before: int, after: Place, limit: int) -> Sequence[Candidate]:
        """See OldRecords."""
        query = select(_c.id, _c.queue_id, *RECORD).where(_c.at < before)
        if after:
            at, number = after
            query = query.where(or_(_c.at > at, (_c.at == at) & (_c.id > number)))
        found = connection.execute(query.order_by(_c.at, _c.id).limit(limit))
        return [Candidate(row.id, (row.at, row.id), cache(partial(_words, row))) for row in found]

    def delete(self, connection: Connection, keys: Sequence[int | str]) -> int:
        """See OldRecords."""
        return connection.execute(delete(evidence).where(_c.id.in_(keys))).rowcount


def _words(row: Any) -> RecordWords:
    """Every text of the record: an address may be in any of its facts."""
    record = values_of(row)
    signer = record["facts"].get("signer_customer")
    customer = signer.get("value") if isinstance(signer, dict) else None
    words = words_of([record, row.queue_id or "", *_ids_in(record["message_id"])])
    return RecordWords(moment(row.at), frozenset(words),
                       frozenset([customer] if isinstance(customer, str) else []))


def _ids_in(message_id: str) -> tuple[str, str]:
    """The ids of the mail, and of its run or code, in a Message-ID of the bank's services (services.verp)."""
    mail_id = message_id.strip().removeprefix("<").partition("@")[0].partition(".")[0]
    return mail_id, mail_id.rpartition("-")[0]
