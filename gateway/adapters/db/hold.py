"""Held and quarantined mail. The body is encrypted to the archive certificate before it touches the disk (RFC 5083).

The archive key is needed only to open one again, so it may be kept off line; listing needs no key.
"""

import secrets
from dataclasses import asdict, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

from sqlalchemy import Connection, delete, func, insert, select, tuple_, update

from gateway.adapters.db.engine.database import Database
from gateway.adapters.db.engine.text import storable
from gateway.adapters.db.tables.fallbacks import held_wait
from gateway.adapters.db.tables.mail import held, held_body, micros, moment
from gateway.adapters.keys.files import ARCHIVE_KEY, FileKeys, KeyFile, StoredKey
from gateway.clock import Clock
from gateway.cms.algorithms import ContentCipher
from gateway.cms.certificate import Certificate, load_certificates
from gateway.cms.envelope import parse_enveloped
from gateway.cms.enveloped import encrypt
from gateway.cms.enveloped_reader import decrypt
from gateway.errors import GatewayError, Reason
from gateway.model.address import fold
from gateway.model.audit.acts import Act
from gateway.model.mail import Envelope, Mail, Origin, Recipient
from gateway.ports.hold import HOLD_ID_DIGITS, HeldPage, HeldRow, HoldQuery, held_act
from gateway.ports.place import Place
from gateway.ports.services.fallbacks import CertificateWait

OCTETS_MAX: Final = 1_073_741_824  # see settings.HoldSettings
READ_MAX: Final = 20_000  # rows for one page of a list
PAGE: Final = 500  # rows read at once

_h = held.c


class DbHold:
    """See ports.hold.Hold. `archive_certificate` None: nothing can be held, every `put` is deferred by name."""

    def __init__(self, database: Database, clock: Clock, archive_certificate: Path | None = None,
                 archive_key: Path | None = None, archive_passphrase_file: Path | None = None, *,
                 octets_max: int = OCTETS_MAX) -> None:
        self._database = database
        self._clock = clock
        self._certificate_path = archive_certificate
        self._key_path = archive_key
        self._passphrase_file = archive_passphrase_file
        self._octets_max = octets_max

    def put(self, mail: Mail, recipients: tuple[str, ...], *, kind: Literal["hold", "quarantine"],
            direction: Literal["outbound", "inbound"], subject: str, rule: str, reason: str,
            wait: CertificateWait | None = None) -> str:
        """See Hold. CONFIG_INVALID (retry) without a usable archive certificate: nothing is held in clear."""
        archive = self._archive
        try:
            sealed = encrypt(mail.octets, [archive], ContentCipher.AES256_GCM)
        except GatewayError as error:  # the bank's certificate, never the recipient's: the mail is not rejected for it
            raise GatewayError(Reason.CONFIG_INVALID, f"hold.archive_certificate: {error.reason}: {error.detail}",
                               retry=True) from None
        hold_id = secrets.token_hex(HOLD_ID_DIGITS // 2)
        row = {
            "hold_id": hold_id, "kind": kind, "at": micros(self._clock.now()), "direction": direction,
            "sender": storable(mail.envelope.reverse_path), "recipients": list(recipients),
            "subject": storable(subject), "rule": rule, "reason": storable(reason), "state": "waiting",
            "size": len(mail.octets), "envelope": asdict(mail.envelope), "origin": _origin_packed(mail.origin),
            "stored": len(sealed)}

        def work(connection: Connection) -> bool:
            if _occupied(connection) + len(sealed) > self._octets_max:
                return False
            # Quarantine is filled by strangers: the bank's own held mail keeps its half.
            if kind == "quarantine" and _occupied(connection, kind) + len(sealed) > self._octets_max // 2:
                return False
            connection.execute(insert(held).values(row))
            connection.execute(insert(held_body).values(hold_id=hold_id, sealed=sealed))
            if wait is not None:
                connection.execute(insert(held_wait).values(
                    hold_id=hold_id, address=fold(wait.address), way=wait.way, want=wait.want, at=row["at"]))
            return True

        if not self._database.write(work, alone="held"):
            share = "half of " if kind == "quarantine" else ""
            raise GatewayError(
                Reason.HOLD_FULL, f"{share}hold.octets_max of {self._octets_max} octets is reached", retry=True)
        return hold_id

    def list(self, *, state: str = "waiting", query: HoldQuery | None = None) -> tuple[HeldRow, ...]:
        """See Hold."""
        with self._database.read() as connection:
            found = connection.execute(select(held).where(_h.state == state).order_by(_h.at, _h.id)).all()
        rows = map(_row, found)
        return tuple(rows if query is None else filter(query.matches, rows))

    def page(self, query: HoldQuery, count: int, *, state: str, after: Place | None = None) -> HeldPage:
        """See ports.hold.HeldList. It reads at most READ_MAX rows."""
        selection = select(held).where(_h.state == state).order_by(_h.at, _h.id).limit(PAGE)
        found: list[HeldRow] = []
        for _ in range(READ_MAX // PAGE):
            later = selection if after is None else selection.where(tuple_(_h.at, _h.id) > (after.at, after.number))
            with self._database.read() as connection:
                rows = connection.execute(later).all()
            for one in rows:
                after = Place(one.at, one.id)
                if query.matches(row := _row(one)):
                    found.append(row)
                    if len(found) == count:
                        return HeldPage(tuple(found), after)
            if len(rows) < PAGE:
                return HeldPage(tuple(found), None)
        return HeldPage(tuple(found), after)

    def row(self, hold_id: str) -> HeldRow:
        """See Hold."""
        with self._database.read() as connection:
            return _row(_one(connection, hold_id))

    def get(self, hold_id: str) -> tuple[HeldRow, Mail]:
        """See Hold. The envelope has only those for whom it was held. KEY_UNAVAILABLE without the archive key."""
        with self._database.read() as connection:
            found = _one(connection, hold_id)
            sealed = connection.scalar(select(held_body.c.sealed).where(held_body.c.hold_id == hold_id))
        if sealed is None:
            raise GatewayError(Reason.USAGE, f"{hold_id} is {found.state}: its body is gone")
        octets = decrypt(parse_enveloped(sealed), [self._opener])
        if len(octets) != found.size:
            raise GatewayError(Reason.DECRYPTION_FAILED, f"{hold_id} has {len(octets)} octets, {found.size} were held")
        row = _row(found)
        origin = replace(_origin(found.origin), held_as=hold_id, answers_each=False)  # no caller waits for an answer
        return row, Mail(octets, _envelope(found.envelope, row.recipients), origin)

    def settle(self, hold_id: str, state: Literal["released", "rejected"]) -> None:
        """See Hold. GatewayError(USAGE) if it is settled already."""
        def work(connection: Connection) -> HeldRow:
            found = _one(connection, hold_id)
            if found.state != "waiting":
                raise GatewayError(Reason.USAGE, f"{hold_id} is {found.state} already")
            connection.execute(update(held).where(_h.hold_id == hold_id).values(state=state, stored=0))
            connection.execute(delete(held_body).where(held_body.c.hold_id == hold_id))
            connection.execute(delete(held_wait).where(held_wait.c.hold_id == hold_id))
            return _row(found)

        name = "hold.release" if state == "released" else "hold.reject"
        self._database.write(work, alone="held", act=Act(name, hold_id), done=lambda row: held_act(name, row))

    @cached_property
    def _archive(self) -> Certificate:
        if self._certificate_path is None:
            raise GatewayError(Reason.CONFIG_INVALID, "hold.archive_certificate is not set: mail cannot be held",
                               retry=True)
        try:
            return load_certificates(self._certificate_path.read_bytes())[0]
        except OSError as error:
            raise GatewayError(Reason.CONFIG_UNREADABLE, f"{self._certificate_path}: {error.strerror}",
                               retry=True) from None
        except GatewayError as error:  # our file, our fault: no mail is refused for good because of it
            raise GatewayError(error.reason, f"{self._certificate_path}: {error.detail}", retry=True) from None

    @cached_property
    def _opener(self) -> StoredKey:
        if self._key_path is None:
            raise GatewayError(Reason.KEY_UNAVAILABLE, "hold.archive_key is not set: held mail cannot be opened here",
                               retry=True)
        keys = FileKeys([KeyFile(ARCHIVE_KEY, self._key_path, "decrypt", self._passphrase_file)])
        if keys.public(ARCHIVE_KEY).public != self._archive.spki:
            raise GatewayError(Reason.CONFIG_INVALID, f"{self._key_path} is not the key of {self._certificate_path}")
        return StoredKey(keys, ARCHIVE_KEY, self._archive)


Found = Any  # a row of `held`: SQLAlchemy types rows by position, we read them by name


def _occupied(connection: Connection, kind: str | None = None) -> int:
    asked = select(func.coalesce(func.sum(_h.stored), 0)).where(_h.state == "waiting")
    return int(connection.scalar(asked if kind is None else asked.where(_h.kind == kind)) or 0)


def _one(connection: Connection, hold_id: str) -> Found:
    found = connection.execute(select(held).where(_h.hold_id == hold_id)).first()
    if found is None:
        raise GatewayError(Reason.USAGE, f"no held message has the id {hold_id}. `sealgate hold list` shows all")
    return found


def _row(found: Found) -> HeldRow:
    return HeldRow(
        hold_id=found.hold_id, kind=found.kind, at=moment(found.at), direction=found.direction, sender=found.sender,
        recipients=tuple(found.recipients), subject=found.subject, rule=found.rule, reason=found.reason,
        state=found.state, size=found.size, incident=found.origin.get("incident", ""))


def _envelope(packed: dict[str, Any], recipients: tuple[str, ...]) -> Envelope:
    everybody = [Recipient(one["address"], tuple(one["notify"]), one["orcpt"]) for one in packed["recipients"]]
    known = {one.address for one in everybody}
    held_for = [one for one in everybody if one.address in recipients]
    held_for += [Recipient(address) for address in recipients if address not in known]
    return replace(Envelope(**{**packed, "recipients": ()}), recipients=tuple(held_for))


def _origin_packed(origin: Origin) -> dict[str, Any]:
    """The client's patience ended long ago when a mail is released, so its deadline is not kept."""
    packed = asdict(origin)
    del packed["deadline_at"]
    if not origin.customers:  # so that a release before this field still reads the other rows
        del packed["customers"]
    return packed | {"received_at": origin.received_at.isoformat()}


def _origin(packed: dict[str, Any]) -> Origin:
    return Origin(**{**packed, "received_at": datetime.fromisoformat(packed["received_at"]),
                     "customers": tuple(packed.get("customers", ()))})
