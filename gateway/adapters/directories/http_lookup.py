"""Certificates from an HTTP look-up service: a URL template, and what it answers read by content, never by label.

RFC 3986 (percent-encoding; the address may be anywhere in path or query), RFC 4387 (certificate stores by HTTP, such
as `/search.cgi?email={address}`; its multipart/mixed for several certificates is not read), RFC 2585 (DER), RFC 7468
(PEM), RFC 8551 3.8 (certs-only bundles).
"""

from binascii import Error, a2b_base64
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

from gateway.adapters.directories.rows import CERTIFICATES_MAX, OCTETS_MAX, rows_of, unavailable
from gateway.adapters.keys.files import read_passphrase
from gateway.adapters.web.client import NotFound, Web
from gateway.errors import GatewayError, Reason
from gateway.model.address import domain_of
from gateway.model.lookup import CertificateRow
from gateway.settings import HttpSourceSettings

ACCEPT: Final = "application/pkix-cert, application/pkcs7-mime, application/x-pem-file, */*;q=0.5"

_BEGIN: Final = b"-----BEGIN "
_END: Final = b"-----END "
_DASHES: Final = b"-----"


class HttpSource:
    """See ports.certificates.CertificateSource. Safe on many threads."""

    def __init__(self, settings: HttpSourceSettings) -> None:
        """Connects to nothing yet. CONFIG_UNREADABLE: the roots; CONFIG_INVALID: the password."""
        self.name = settings.name
        self._template = settings.url
        self._deadline_s = settings.deadline_s
        self._web = Web(schemes=frozenset({settings.url.partition(":")[0].lower()}), networks=settings.networks,
                        ca=settings.tls_ca, basic=_basic(settings), connections_max=settings.in_flight_max)

    def rows(self, address: str) -> tuple[CertificateRow, ...]:
        """404 and 410 are absence; all else that is no certificate is CERTIFICATE_UNAVAILABLE (retry)."""
        try:
            answer = self._web.get(self.url(address), deadline_s=self._deadline_s, octets_max=OCTETS_MAX, accept=ACCEPT)
        except NotFound:
            return ()
        except GatewayError as trouble:
            raise unavailable(self.name, trouble.detail or str(trouble.reason)) from None
        rows = rows_of(_values(answer), self.name)
        if all(row.not_after == _NEVER for row in rows):  # not one of them can be read: a page, not an answer
            raise unavailable(self.name, f"{len(answer)} octets that are no certificate")
        return rows

    def url(self, address: str) -> str:
        """Where this address is asked for: each of its octets that is not unreserved (RFC 3986 2.3) is encoded."""
        words = {"address": address, "local": address.rpartition("@")[0], "domain": domain_of(address)}
        url = self._template
        for word, value in words.items():
            url = url.replace(f"{{{word}}}", quote(value, safe=""))
        return url

    def close(self) -> None:
        """Hangs up the connections that no request uses."""
        self._web.close()


_NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)  # the end of what `rows_of` could not read


def _basic(settings: HttpSourceSettings) -> tuple[str, bytes] | None:
    if not settings.username:
        return None
    try:
        return settings.username, read_passphrase(settings.password_file) or b""
    except GatewayError as trouble:
        raise GatewayError(Reason.CONFIG_INVALID, f"source {settings.name}: {trouble.detail}") from None


def _values(answer: bytes) -> tuple[bytes, ...]:
    """DER certificates and bundles: the answer itself, or every block of its PEM, with any label."""
    return tuple(_blocks(answer)) if _BEGIN in answer else (answer,)


def _blocks(answer: bytes) -> Iterator[bytes]:
    """A block that is no base64 is passed on as it is, to be refused by name."""
    for number, block in enumerate(answer.split(_BEGIN)[1:]):
        if number > CERTIFICATES_MAX:
            return
        body = block.partition(_END)[0].partition(_DASHES)[2]
        try:
            yield a2b_base64(b"".join(body.split()), strict_mode=True)
        except Error:
            yield body
