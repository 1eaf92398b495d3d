"""`GET /certificates/{address}`: the bank's own to anybody, customers' to partners alone.

To a stranger a customer's address and an unknown one are the same, because neither is looked up: the bank's own
certificates are in memory, the store is asked for partners only. A partner gets what the gateway itself would encrypt
to (`pki.select`, enrolled). RFC 2585 (application/pkix-cert), RFC 8551 3.2.2 (certs-only), RFC 8555 9.1 (PEM chain).
"""

from collections.abc import Mapping, Sequence
from typing import Final

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from fastapi import APIRouter, Request, Response

from gateway.errors import GatewayError, Reason
from gateway.frontends.http.problems import ProblemError, of_reason, of_status
from gateway.frontends.http.service import Current, Service
from gateway.model.lookup import Absent, CertificateAnswer, Conflict, Found, Unavailable, Unusable

log = structlog.get_logger("sealgate.http")

PEM: Final = "application/pem-certificate-chain"
DER: Final = "application/pkix-cert"
P7C: Final = "application/pkcs7-mime"
ADDRESS_OCTETS_MAX: Final = 320  # RFC 5321 4.5.3.1: 64 + 1 + 255
ACCEPTED_MAX: Final = 32  # media ranges of one Accept field that are read

_RANGES: Final = {PEM: PEM, "application/x-pem-file": PEM, "application/x-x509-user-cert": DER, DER: DER, P7C: P7C,
                  "application/*": PEM, "*/*": PEM}
_REASONS: Final = {Absent: Reason.CERTIFICATE_ABSENT, Unusable: Reason.CERTIFICATE_UNUSABLE,
                   Conflict: Reason.CERTIFICATE_CONFLICT, Unavailable: Reason.CERTIFICATE_UNAVAILABLE}
_SCHEMA: Final = {"schema": {"type": "string"}}


def negotiated(accept: str | None, ranges: Mapping[str, str] = _RANGES) -> str:
    """The media type that an Accept field prefers (RFC 9110 12.5.1); that of `*/*` without a preference.

    `ranges`: the available types, by every media range that matches. ProblemError 406 where none fits.
    """
    liked: list[tuple[float, str]] = []
    for part in (accept or "*/*").split(",", ACCEPTED_MAX)[:ACCEPTED_MAX]:
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = next((_quality(one[2:]) for one in parameters if one.startswith("q=")), 1.0)
        if name in ranges and quality > 0:
            liked.append((quality, ranges[name]))
    if not liked:
        raise ProblemError(of_status(406))
    return max(liked, key=lambda one: one[0])[1]  # of equals the first


def _quality(text: str) -> float:
    digits = text.replace(".", "", 1)
    return float(text) if digits.isascii() and digits.isdigit() and len(text) <= 5 else 0.0


def written(ders: Sequence[bytes], form: str) -> tuple[bytes, str]:
    """Certificates in a form, and its media type. For DER, several certificates are a certs-only CMS."""
    if form == DER and len(ders) == 1:
        return ders[0], DER
    certificates = [x509.load_der_x509_certificate(der) for der in ders]
    if form == PEM:
        return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates), PEM
    return pkcs7.serialize_certificates(certificates, Encoding.DER), f"{P7C}; smime-type=certs-only"


def router(current: Current) -> APIRouter:
    """The endpoint."""
    routes = APIRouter(tags=["certificates"])
    problem = {"description": "No certificate is published for this address"}

    @routes.get("/certificates/{address:path}", operation_id="certificates", response_class=Response,
                summary="Certificates of a mail address",
                responses={200: {"description": "One or several certificates",
                                 "content": dict.fromkeys((PEM, DER, P7C), _SCHEMA)}, 404: problem},
                openapi_extra={"security": [{}, {"token": []}, {"certificate": []}]})
    def certificates(address: str, request: Request) -> Response:
        service, headers, state = current.service, request.headers, request.scope["state"]
        form = negotiated(headers.get("accept"))
        partner = state["partner"] = service.partners.who(headers.get("authorization"), state.get("certificate"))
        if partner is not None:
            state["identified"]()
        ders = [one.der for one in service.own(address)]
        if not ders and partner is not None:
            ders = _of_customer(service, partner, address, state["incident"])
        if not ders:
            raise ProblemError(of_reason(Reason.CERTIFICATE_ABSENT))
        body, media_type = written(ders, form)
        return Response(body, media_type=media_type, headers={"vary": "accept, authorization"})

    return routes


def _of_customer(service: Service, partner: str, address: str, incident: str) -> list[bytes]:
    """A customer's certificates for a partner; logs each query with its answer. ProblemError for all but Found."""
    answer: CertificateAnswer = Absent()
    if service.select is not None and len(address) <= ADDRESS_OCTETS_MAX:
        try:
            answer = service.select(address)
        except GatewayError as error:
            answer = Unavailable(error.detail)
    found = answer.rows if isinstance(answer, Found) else ()
    log.info("certificate.looked_up", incident=incident, partner=partner, address=address[:ADDRESS_OCTETS_MAX],
             answer=type(answer).__name__.lower(), certificates=[row.sha256 for row in found])
    if not isinstance(answer, Found):
        raise ProblemError(of_reason(_REASONS[type(answer)], retry=isinstance(answer, Unavailable)))
    return [row.der for row in found]
