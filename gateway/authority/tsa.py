"""The embedded time-stamping service (RFC 3161, RFC 5816).

It stamps the bank's own signatures without a network, and answers requests of others. What it says of itself: a
P-256 key with timeStamping as its sole, critical extended usage (RFC 3161 2.3), a policy of the bank's own arc, an
accuracy, 127-bit serials that are drawn, not counted, and no time at all while the kernel does not believe its clock.
It refuses SHA-1. It is a stamp of the bank for the bank: ordinary in the sense of eIDAS art. 41, never qualified.

Only the imprint, serial and time of a TSTInfo change; all else is DER prepared once.
"""

import os
from collections.abc import Callable
from datetime import datetime
from functools import cache
from hashlib import new as new_hash
from typing import Final, Literal

from cryptography.x509.oid import ExtendedKeyUsageOID

from gateway.authority.kernel_clock import is_synchronised
from gateway.clock import Clock
from gateway.cms import algorithms, signed, timestamp
from gateway.cms.certificate import Certificate
from gateway.cms.signed import PreparedSigner, SignerProfile
from gateway.cms.timestamp import Failure, TimestampRequest
from gateway.der import build
from gateway.errors import GatewayError, Reason
from gateway.model.scheme import SignScheme
from gateway.ports.keys import Keys

_SCHEMES: Final = {"p-256": SignScheme.ECDSA_SHA256, "p-384": SignScheme.ECDSA_SHA384}
_SOLE_USAGE: Final = frozenset({ExtendedKeyUsageOID.TIME_STAMPING.dotted_string})
_TEXTS: Final = {
    Failure.BAD_ALG: "this digest is not accepted",
    Failure.BAD_DATA_FORMAT: "this is not a time-stamp request",
    Failure.TIME_NOT_AVAILABLE: "the time is not available",
    Failure.UNACCEPTED_POLICY: "this policy is not served",
    Failure.UNACCEPTED_EXTENSION: "extensions are not served",
    Failure.SYSTEM_FAILURE: "the service cannot work now",
}


class EmbeddedTsa:
    """A `ports.stampers.TimeStamper` over a key of the bank. `name` is the stamper's name in the settings.

    `chain`: issuers to enclose, without the root. `policy_oid`: dotted, of the bank's own arc. `accuracy_ms`: how far
    genTime may be from UTC. `clock_check` 'none' stamps with any state of the clock: for demonstrations.
    GatewayError(CONFIG_INVALID) for a certificate that may not stamp or is not the key's, and any error of `keys`.
    """

    trust: Literal["internal", "external", "qualified"] = "internal"

    def __init__(self, name: str, keys: Keys, key_id: str, certificate: Certificate, chain: tuple[Certificate, ...], *,
                 policy_oid: str, accuracy_ms: int, clock: Clock,
                 clock_check: Literal["kernel", "none"] = "kernel") -> None:
        _check_certificate(certificate)
        if keys.public(key_id).public != certificate.spki:
            raise GatewayError(Reason.CONFIG_INVALID, f"{certificate.subject}: this certificate is not of key {key_id}")
        self.name = name
        self._certificate = certificate
        self._policy_oid = policy_oid
        self._clock = clock
        self._clock_is_good: Callable[[], bool] = is_synchronised if clock_check == "kernel" else lambda: True
        scheme = _SCHEMES[certificate.key_algorithm]
        self._with_certificates, self._without = (
            signed.prepare(SignerProfile(certificate, chain, scheme, None, algorithms.TST_INFO, enclose))
            for enclose in (True, False))
        self._raw_sign: Callable[[bytes], bytes] = lambda octets: keys.sign(key_id, scheme, octets)
        self._hash_name = scheme.digest
        try:
            self._policy = build.oid(policy_oid)
        except ValueError:
            raise GatewayError(Reason.CONFIG_INVALID, f"`{policy_oid}` is not a valid object identifier (OID), such as "
                               "1.3.6.1.4.1.99999.1.1") from None
        self._accuracy = timestamp.build_accuracy(accuracy_ms)

    def stamp(self, digest: bytes, digest_name: str) -> bytes:
        """See ports.stampers.TimeStamper. STAMPER_CLOCK and STAMPER_UNAVAILABLE may pass (retry);

        TIMESTAMP_REFUSED for a digest that it does not stamp.
        """
        imprint = _imprint(digest, digest_name)
        return self._token(imprint, self._now(), None, self._with_certificates)

    def respond(self, request: bytes) -> bytes:
        """The DER TimeStampResp to a DER TimeStampReq: a token, or a rejection that says why. Never raises."""
        try:
            asked = timestamp.parse_request(request)
        except GatewayError:
            return _reject(Failure.BAD_DATA_FORMAT)
        failure = self._failure(asked)
        if failure is not None:
            return _reject(failure)
        try:
            return timestamp.build_response(self._token(
                _imprint(asked.imprint, asked.digest_name), self._now(), asked.nonce,
                self._with_certificates if asked.cert_req else self._without))
        except GatewayError as error:
            return _reject(Failure.TIME_NOT_AVAILABLE if error.reason is Reason.STAMPER_CLOCK
                           else Failure.SYSTEM_FAILURE)

    def _failure(self, asked: TimestampRequest) -> Failure | None:
        if asked.digest_name not in timestamp.READABLE:
            return Failure.BAD_ALG
        if asked.policy not in (None, self._policy_oid):
            return Failure.UNACCEPTED_POLICY
        if asked.extensions:
            return Failure.UNACCEPTED_EXTENSION
        return None

    def _now(self) -> datetime:
        """The time in whole milliseconds, if it is to be had and the certificate is valid at it."""
        if not self._clock_is_good():
            raise GatewayError(Reason.STAMPER_CLOCK, f"{self.name}: the kernel's clock is not synchronised", retry=True)
        now = self._clock.now()
        if not self._certificate.not_before <= now <= self._certificate.not_after:
            raise GatewayError(Reason.STAMPER_UNAVAILABLE, f"{self.name}: its certificate is not valid now", retry=True)
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    def _token(self, imprint: bytes, now: datetime, nonce: int | None, prepared: PreparedSigner) -> bytes:
        serial = int.from_bytes(os.urandom(16)) >> 2 | 1 << 126
        info = timestamp.build_tst_info(imprint, policy=self._policy, serial=serial,
                                        gen_time=now, accuracy=self._accuracy, nonce=nonce)
        return signed.sign(prepared, content=info, digest=new_hash(self._hash_name, info).digest(), at=now,
                           raw_sign=self._raw_sign)


def _check_certificate(certificate: Certificate) -> None:
    if certificate.extended_key_usage != _SOLE_USAGE or not certificate.eku_critical:
        raise GatewayError(Reason.CONFIG_INVALID, f"{certificate.subject}: timeStamping must be the sole and critical "
                                                  "extended key usage of a time-stamper (RFC 3161 2.3)")
    if certificate.key_algorithm not in _SCHEMES:
        raise GatewayError(Reason.CONFIG_INVALID, f"{certificate.subject}: the key of a time-stamper must be of "
                                                  f"{' or '.join(_SCHEMES)}, not {certificate.key_algorithm}")


@cache
def _imprint_head(digest_name: str) -> bytes:
    """MessageImprint up to its digest's octets."""
    digest = bytes(algorithms.DIGEST_OCTETS[digest_name])
    return timestamp.message_imprint(digest, digest_name)[:-len(digest)]


def _imprint(digest: bytes, digest_name: str) -> bytes:
    """DER MessageImprint; TIMESTAMP_REFUSED for a digest that is weak, unknown or of another length."""
    if digest_name not in timestamp.READABLE or len(digest) != algorithms.DIGEST_OCTETS[digest_name]:
        raise GatewayError(Reason.TIMESTAMP_REFUSED, f"a digest {digest_name} of {len(digest)} octets is not stamped")
    return _imprint_head(digest_name) + digest


def _reject(failure: Failure) -> bytes:
    return timestamp.build_rejection(failure, _TEXTS[failure])
