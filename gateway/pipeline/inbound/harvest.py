"""What delivered mail teaches: what its sender's program reads, and, where a rule says `harvest`, a certificate.

1. Once the mail was taken by the next hop, and never in the way of its answer: a failure is told in the log.
2. Only of senders elsewhere: who the bank's own people are is not learned from outside.
3. Capabilities belong to certificates that are in the store already, bound ones too. A newer mail counts, also where it
   says less or nothing: then it is the cipher that everybody reads. They choose among what the policy allows.
4. A certificate is harvested if the rule says so and the signer is unrevoked on fresh data. It is merely found; where
   the address has a bound one, nothing is kept. What bounds a flood stands in `ports.certificates`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from gateway.clock import Clock
from gateway.cms.certificate import Certificate
from gateway.errors import GatewayError, Reason
from gateway.model.lookup import CertificateRow
from gateway.pki.harvest import Told, heard, usable
from gateway.pki.revocation.verdict import Revocation
from gateway.pki.trust import TrustSet
from gateway.ports.certificates import Harvest, LearnedCertificates
from gateway.smime.open import Opened

REPEATED_AFTER: Final = timedelta(days=1)  # the same word is written anew only so often: it costs a commit

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
            told = heard(opened.signed, from_)
            if told is None:
                return
            rows = self.store.rows(from_)
            self._capabilities(told, rows)
            if harvest:
                self._harvest(told, rows, incident)
        except GatewayError as trouble:
            log.warning("certificate.harvest_failed", incident=incident, reason=str(trouble.reason),
                        detail=trouble.detail)
        except Exception:  # the mail was taken: a failure here must not have it sent again
            log.exception("certificate.harvest_failed", incident=incident)

    def _capabilities(self, told: Told, rows: tuple[CertificateRow, ...]) -> None:
        """3."""
        for row in rows:
            if not told.speaks_of(row, rows):
                continue
            before = row.capabilities_at
            if before is None or told.at > before + (
                    REPEATED_AFTER if row.capabilities == told.capabilities else timedelta()):
                self.store.set_capabilities(row.sha256, told.capabilities, told.at)

    def _harvest(self, told: Told, rows: tuple[CertificateRow, ...], incident: str) -> None:
        """4."""
        if told.encrypt_to is not None and any(row.sha256 == told.encrypt_to.sha256 for row in rows):
            return
        if any(row.customer is not None for row in rows):
            return
        if not told.fresh:
            way: tuple[Certificate, ...] | Reason = Reason.REVOCATION_NOT_CHECKED
        else:
            way = usable(told, self.clock.now(), self.trust, self.recipients)
        if isinstance(way, Reason):
            log.info("certificate.not_harvested", incident=incident, address=told.address, reason=str(way))
            return
        what = self.store.harvest(Harvest(told.address, way[0], way[1:], told.capabilities, told.at))
        log.info("certificate.harvested" if what == "stored" else "certificate.not_harvested", incident=incident,
                 address=told.address, certificate=way[0].sha256, what=what)
