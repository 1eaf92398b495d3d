"""What keys the bank has: every one that the settings name, with what it does now and what is wrong with it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from gateway.adapters.keys.combined import all_keys
from gateway.adapters.keys.files import ARCHIVE_KEY, AUDIT_KEY, CARD_KEY, FileKeys, KeyFile, generation_key, stamper_key
from gateway.cms.certificate import Certificate, load_certificates
from gateway.errors import GatewayError, Reason
from gateway.ports.keys import Keys
from gateway.settings import InternalStamperSettings, KeyPlace, KeySet, Settings


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """One key of the settings. `place`: its file, or TOKEN:OBJECT.

    `use`: what it does now: signs, opens, stamps; 'coming' and 'past' for a generation whose certificate is not valid
    now, 'ready' for one that would sign if another did not end later. `trouble` '' where it can work; what cannot be
    known is None.
    """

    key_id: str
    purpose: str
    place: str
    use: str = ""
    algorithm: str | None = None
    subject: str | None = None
    not_before: datetime | None = None
    not_after: datetime | None = None
    trouble: str = ""


def list_keys(settings: Settings, now: datetime) -> tuple[KeyEntry, ...]:
    """Every key, loaded or logged in to. CONFIG_INVALID where the package for tokens is not installed."""
    keys = all_keys(settings)
    single = [replace(one, trouble=one.trouble or _ended(one, now)) for one in _single(settings, keys)]
    found: list[KeyEntry] = []
    for key_set in settings.keys:
        entries = [_entry(keys, generation_key(key_set.name, number), key_set.purpose, _place(one), one.certificate)
                   for number, one in enumerate((key_set, *key_set.generations))]
        found += _used(key_set, entries, now)
    return (*found, *single)


def _single(settings: Settings, keys: Keys) -> Iterator[KeyEntry]:
    """Keys that have no generations."""
    for stamper in settings.stampers:
        if isinstance(stamper, InternalStamperSettings):
            entry = _entry(keys, stamper_key(stamper.name), "stamp", _place(stamper), stamper.certificate)
            yield replace(entry, use="stamps")
    hold = settings.hold
    if hold.archive_key is not None:
        entry = _entry(keys, ARCHIVE_KEY, "decrypt", str(hold.archive_key), hold.archive_certificate)
        yield replace(entry, use="opens")
    if settings.trust_card is not None:
        yield replace(_entry(keys, CARD_KEY, "card", str(settings.trust_card.key), None), use="signs")
    if settings.audit.key is not None:  # no other process loads it
        own = FileKeys([KeyFile(AUDIT_KEY, settings.audit.key, "audit", settings.audit.passphrase_file)])
        yield replace(_entry(own, AUDIT_KEY, "audit", str(settings.audit.key), None), use="signs")


def _place(one: KeyPlace) -> str:
    return f"{one.token}:{one.object}" if one.token else str(one.key)


def _entry(keys: Keys, key_id: str, purpose: str, place: str, certificate_path: Path | None) -> KeyEntry:
    """The keys of trust cards and of the audit log have no certificate."""
    entry = KeyEntry(key_id, purpose, place)
    try:
        info = keys.public(key_id)
    except GatewayError as error:
        entry = replace(entry, trouble=error.detail or str(error.reason))
    else:
        entry = replace(entry, algorithm=info.algorithm)
    if certificate_path is None:
        return entry
    try:
        certificate = _certificate(certificate_path)
    except GatewayError as error:
        return replace(entry, trouble=entry.trouble or error.detail)
    entry = replace(entry, subject=certificate.subject, not_before=certificate.not_before,
                    not_after=certificate.not_after)
    if not entry.trouble and info.public != certificate.spki:
        return replace(entry, trouble=f"{certificate_path} is the certificate of another key. Correct `key` or "
                       "`certificate` of this key set")
    return entry


def _certificate(path: Path) -> Certificate:
    try:
        return load_certificates(path.read_bytes())[0]
    except GatewayError as error:
        raise GatewayError(error.reason, f"{path}: {error.detail}; see `sealgate inspect {path}`") from None
    except OSError as error:
        raise GatewayError(Reason.CERTIFICATE_ABSENT, f"{path}: {error.strerror}") from None


def _ended(entry: KeyEntry, now: datetime) -> str:
    """Why its certificate is worth nothing now: a trouble where no other takes its place."""
    if entry.not_after is not None and entry.not_after < now:
        return "certificate expired"
    if entry.not_before is not None and entry.not_before > now:
        return f"certificate is valid only from {entry.not_before:%Y-%m-%d %H:%M}Z"
    return ""


def _used(key_set: KeySet, entries: list[KeyEntry], now: datetime) -> Iterator[KeyEntry]:
    """What each generation does now; the same rule as the signing itself follows."""
    valid = [one for one in entries if one.not_before is not None and one.not_after is not None
             and one.not_before <= now <= one.not_after]
    if not valid:
        entries = [replace(one, trouble=one.trouble or _ended(one, now)) for one in entries]
    signs = max(valid, key=lambda one: (one.not_after, one.not_before), default=None)
    for one in entries:
        if key_set.purpose == "decrypt":
            yield replace(one, use="opens")
        elif one.not_before is None:
            yield one
        elif one not in valid:
            yield replace(one, use="coming" if one.not_before > now else "past")
        else:
            yield replace(one, use="signs" if one is signs else "ready")
