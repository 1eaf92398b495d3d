"""What the gateway learns from inbound mail: capabilities, certificates by the verb `harvest`, unknown authorities.

1. After the mail was settled, and never to its harm: a failure is logged.
2. Only of senders elsewhere: data about the bank's own people is not learned from outside.
3. Capabilities belong to certificates that are in the store already, bound ones too. A newer mail counts, also if it
   says less or nothing: then the cipher is the one that every program reads. They choose among what the policy allows.
4. A certificate is harvested if the rule says so and the signer is unrevoked on fresh data. It is merely found; if the
   address has a bound one, nothing is kept. The limits are in `ports.certificates`.
5. Authorities that no administrator has decided on are noted. A signer counts only if the signature is arithmetically
   right, so that a name alone does not get on the list.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog

from gateway.clock import Clock
from gateway.cms.certificate import Certificate, parse_certificate
from gateway.errors import GatewayError, Reason
from gateway.model.lookup import CertificateRow
from gateway.model.verdict import SignerVerdict, Verdicts
from gateway.pki.harvest import Announcement, announcement_of, usable
from gateway.pki.revocation.verdict import Revocation
from gateway.pki.trust import TrustSet
from gateway.ports.authorities import UnknownAuthorities
from gateway.ports.certificates import Harvest, LearnedCertificates
from gateway.smime.open import Opened

REPEATED_AFTER: Final = timedelta(days=1)  # the same capabilities are written again only so often: it costs a commit
AUTHORITIES_MAX: Final = 4  # of one mail: an honest one has one or two signers
_UNKNOWN: Final = frozenset({Reason.PATH_UNTRUSTED_ROOT, Reason.PATH_ISSUER_MISSING})

log = structlog.get_logger("sealgate.harvest")


@dataclass(frozen=True, slots=True)
class Learning:
    """Where it is kept, and whom the bank encrypts to. `recipients`: revocation as it is judged for those."""

    store: LearnedCertificates
    trust: TrustSet
    recipients: Revocation
    clock: Clock

    def from_mail(self, opened: Opened, from_: str | None, incident: str, *, ours: Callable[[str], bool],
                  harvest: bool) -> None:
        """After delivery. `from_`: the one address of the From; `ours`: whether one is the bank's own; `harvest`:
        whether the rule says so. Never raises.
        """
        if opened.signed is None or from_ is None or ours(from_):  # 2
            return
        try:
            announcement = announcement_of(opened.signed, from_)
            if announcement is None:
                return
            rows = self.store.rows(from_)
            self._capabilities(announcement, rows)
            if harvest:
                self._harvest(announcement, rows, incident)
        except GatewayError as trouble:
            log.warning("certificate.harvest_failed", incident=incident, reason=str(trouble.reason),
                        detail=trouble.detail)
        except Exception:  # the mail was taken: a failure here must not have it sent again
            log.exception("certificate.harvest_failed", incident=incident)

    def _capabilities(self, announcement: Announcement, rows: tuple[CertificateRow, ...]) -> None:
        """3."""
        for row in rows:
            if not announcement.speaks_of(row, rows):
                continue
            before = row.capabilities_at
            if before is None or announcement.at > before + (
                    REPEATED_AFTER if row.capabilities == announcement.capabilities else timedelta()):
                self.store.set_capabilities(row.sha256, announcement.capabilities, announcement.at)

    def _harvest(self, announcement: Announcement, rows: tuple[CertificateRow, ...], incident: str) -> None:
        """4."""
        if announcement.encrypt_to is not None and any(row.sha256 == announcement.encrypt_to.sha256 for row in rows):
            return
        if any(row.customer is not None for row in rows):
            return
        if not announcement.fresh:
            way: tuple[Certificate, ...] | Reason = Reason.REVOCATION_NOT_CHECKED
        else:
            way = usable(announcement, self.clock.now(), self.trust, self.recipients)
        if isinstance(way, Reason):
            log.info("certificate.not_harvested", incident=incident, address=announcement.address, reason=str(way))
            return
        what = self.store.harvest(Harvest(
            announcement.address, way[0], way[1:], announcement.capabilities, announcement.at))
        log.info("certificate.harvested" if what == "stored" else "certificate.not_harvested", incident=incident,
                 address=announcement.address, certificate=way[0].sha256, what=what)


def note_unknown(authorities: UnknownAuthorities | None, verdicts: Iterable[Verdicts], at: datetime) -> None:
    """5. Every authority at which the path of a signer ended. Never raises GatewayError."""
    if authorities is None:
        return
    path_ends: dict[bytes, SignerVerdict] = {}
    for one in verdicts:
        for signer in one.signature.signers:
            if signer.reason in _UNKNOWN and signer.path_end is not None:
                path_ends.setdefault(signer.path_end, signer)
    for der, signer in list(path_ends.items())[:AUTHORITIES_MAX]:
        try:
            _note(authorities, der, signer, at)
        except GatewayError as trouble:
            log.warning("certificate.unknown_authority_not_recorded", reason=str(trouble.reason), detail=trouble.detail)


def _note(authorities: UnknownAuthorities, der: bytes, signer: SignerVerdict, at: datetime) -> None:
    last = parse_certificate(der)
    example = signer.emails[0] if signer.emails else ""
    if signer.reason is Reason.PATH_UNTRUSTED_ROOT:
        authorities.record(last.subject, last.issuer, last.der, example, at)
    else:  # the issuer did not come with the mail: only its name is known
        authorities.record(last.issuer, "", None, example, at)
