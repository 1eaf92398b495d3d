"""Identifies the client: a partner by bearer token (RFC 6750 2.1) or TLS client certificate, or a stranger.

Of a token only its SHA-256 is kept: tokens are random and long, so that a plain digest needs no salt and no stretching.
All partners are compared with, whichever fits, and each comparison takes the same time.
"""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.errors import Reason
from gateway.frontends.http.problems import ProblemError, of_reason

TOKEN_OCTETS_MAX: Final = 512
_SCHEME: Final = "bearer "


@dataclass(frozen=True, slots=True)
class KnownPartner:
    """A partner. `tokens`: SHA-256 of each, two during a rotation. `certificates`: SHA-256 fingerprints, hex."""

    name: str
    tokens: tuple[bytes, ...] = ()
    certificates: frozenset[str] = frozenset()


def token_digest(authorization: str) -> bytes:
    """SHA-256 of the token in an Authorization field."""
    return hashlib.sha256(_token_of(authorization)[:TOKEN_OCTETS_MAX + 1]).digest()


def _token_of(authorization: str) -> bytes:
    token = authorization.encode("utf-8", "surrogateescape")
    return token[len(_SCHEME):].strip(b" ") if authorization[:len(_SCHEME)].lower() == _SCHEME else b""


class Partners:
    """All of them."""

    def __init__(self, known: Sequence[KnownPartner]) -> None:
        self._known = tuple(known)

    def who(self, authorization: str | None, certificate: str | None) -> str | None:
        """The partner's name; None for a client without credentials.

        `authorization`: the header field; `certificate`: the fingerprint of a verified TLS client certificate.
        ProblemError 401 for wrong credentials, at any path.
        """
        if authorization is not None:
            return self._by_token(authorization)
        for partner in self._known:
            if certificate is not None and certificate in partner.certificates:
                return partner.name
        return None

    def _by_token(self, authorization: str) -> str:
        given = _token_of(authorization)
        digest = token_digest(authorization)
        found = None
        for partner in self._known:
            for one in partner.tokens:
                if hmac.compare_digest(digest, one):
                    found = partner.name
        if found is None or not given:
            raise ProblemError(of_reason(Reason.PARTNER_UNKNOWN))
        return found
