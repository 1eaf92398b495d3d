"""Whom the bank believes: anchors out of files, the trust list out of the store, and how revocation is judged."""

from dataclasses import dataclass
from pathlib import Path

from gateway.adapters.files.trust import load_trusted
from gateway.app.store import Store
from gateway.cms.certificate import Certificate
from gateway.errors import GatewayError, Reason
from gateway.pki.revocation.table import StoredRevocation, Want
from gateway.pki.revocation.verdict import Revocation
from gateway.pki.trust import Mark, TrustSet, anchors_of
from gateway.ports.administration import ANCHOR_PURPOSES
from gateway.settings import Mark as MarkSettings
from gateway.settings import Settings


def load_trust(settings: Settings, store: Store) -> TrustSet:
    """Anchors by purpose out of files, the trust list out of the store. GatewayError CONFIG_UNREADABLE."""
    trust, listed = settings.trust, store.certificates.trust_list()
    own = {purpose: tuple(anchor for name, anchor in listed.anchors if name == purpose) for purpose in ANCHOR_PURPOSES}
    troubles: dict[str, None] = {}

    def read(paths: tuple[Path, ...]) -> tuple[Certificate, ...]:
        try:
            return load_trusted(paths)
        except GatewayError as trouble:
            troubles.update(dict.fromkeys(trouble.detail.splitlines()))
            return ()

    loaded = TrustSet(
        signers=anchors_of((*read(trust.signers), *own["signers"])),
        recipients=anchors_of((*read(trust.recipients), *own["recipients"])),
        stampers=(
            *anchors_of((*read(trust.stampers), *own["stampers"]), "internal"),
            *anchors_of(read(trust.stampers_external), "external"),
            *anchors_of(read(trust.stampers_qualified), "qualified"),
        ),
        intermediates=read(trust.intermediates),
        known=store.certificates,
        trusted=listed.trusted,
        distrusted=listed.distrusted,
        marks={root.sha256: _mark(mark) for mark in trust.marks for root in read((mark.root,))},
        ocsp_responders=read(trust.ocsp_responders),
    )
    if troubles:
        raise GatewayError(Reason.CONFIG_UNREADABLE, "\n".join(troubles))
    return loaded


def _mark(mark: MarkSettings) -> Mark:
    return Mark(frozenset(mark.levels), mark.policies, frozenset(mark.hardware_policies), mark.qcsscd)


@dataclass(frozen=True, slots=True)
class Revocations:
    """How revocation is looked for, by purpose; one table of the gateway's store behind all."""

    signers: Revocation
    recipients: Revocation
    stampers: Revocation


def revocations(settings: Settings, store: Store, want: Want | None = None) -> Revocations:
    """Modes out of the settings. `want` is called with certificates without fresh revocation data."""
    modes, table = settings.trust.revocation, StoredRevocation(store.revocations, want=want)
    return Revocations(
        Revocation(modes.signers, table), Revocation(modes.recipients, table), Revocation(modes.stampers, table)
    )
