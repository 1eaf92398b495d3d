"""Unknown authorities: whose signers came, and whom nobody has decided on, is noted for the administrator.

After the mail was handled, and never to its harm: what cannot be noted is logged. A signer counts only if his
signature is arithmetically right, so that a name alone brings nobody onto the list.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

import structlog

from gateway.cms.certificate import parse_certificate
from gateway.errors import GatewayError, Reason
from gateway.model.verdict import SignerVerdict, Verdicts
from gateway.ports.authorities import UnknownAuthorities

log = structlog.get_logger("sealgate.authorities")

OF_ONE_MAIL_MAX: Final = 4  # an honest mail has one or two signers
_UNKNOWN: Final = frozenset({Reason.PATH_UNTRUSTED_ROOT, Reason.PATH_ISSUER_MISSING})


def note_unknown(authorities: UnknownAuthorities | None, verdicts: Iterable[Verdicts], at: datetime) -> None:
    """Notes every authority at which the path of a signer ended. Never raises for what a store or a mail does."""
    if authorities is None:
        return
    ended: dict[bytes, SignerVerdict] = {}
    for one in verdicts:
        for signer in one.signature.signers:
            if signer.reason in _UNKNOWN and signer.path_end is not None:
                ended.setdefault(signer.path_end, signer)
    for der, signer in list(ended.items())[:OF_ONE_MAIL_MAX]:
        try:
            _note(authorities, der, signer, at)
        except GatewayError as trouble:
            log.warning("certificate.unknown_authority_not_recorded", reason=str(trouble.reason), detail=trouble.detail)


def _note(authorities: UnknownAuthorities, der: bytes, signer: SignerVerdict, at: datetime) -> None:
    last = parse_certificate(der)
    example = signer.emails[0] if signer.emails else ""
    if signer.reason is Reason.PATH_UNTRUSTED_ROOT:
        authorities.met(last.subject, last.issuer, last.der, example, at)
    else:  # the issuer did not come with the mail: only its name is known
        authorities.met(last.issuer, "", None, example, at)
