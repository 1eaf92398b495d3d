"""The gateway's one HTTP client: revocation lists, OCSP, issuers, directories, time-stamps.

What comes from there is a stranger's, so everything has an end: one deadline over name, connection, TLS, header and
body together (a server that sends an octet a second gains nothing), a limit on the octets before and after
decompression, at most three redirects which all meet the same restrictions. No cookies, no proxies or credentials from
the environment, no address that is not permitted (`web_address`).

RFC 9110, 9112; RFC 7617 (Basic); RFC 1952 (gzip; no other content coding). TLS 1.2 or later, names checked
(RFC 9525), by the standard library's OpenSSL.
"""

import base64
import io
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from urllib3.connection import HTTPConnection, HTTPException, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from gateway.adapters.web.address import AddressBook, Resolver, Target, read_url, redirected
from gateway.errors import GatewayError, Reason

REDIRECTS_MAX = 3
IDLE_S = 15.0  # servers close idle connections after 5 (Apache) to 75 s (nginx); a closed one is seen, and not used
CONNECT_S = 5.0  # for one address, where a name has several
_PIECE_OCTETS = 65_536
_LEAST_S = 0.001
_RAW_TROUBLE = (OSError, HTTPError, HTTPException, ValueError)
_NO_CONTENT = 204
_OK, _REDIRECTS, _GONE, _LATER = range(200, 300), {301, 302, 303, 307, 308}, {404, 410}, {408, 425, 429}
_SERVER_ERROR = 500


class NotFound(GatewayError):  # noqa: N818 - an answer more than an error
    """The server says that there is no such thing (404, 410)."""

    def __init__(self, detail: str) -> None:
        super().__init__(Reason.FETCH_REFUSED, detail)


class _Timed(io.RawIOBase):
    """The receiving side of a socket whose every read ends at the same moment."""

    def __init__(self, sock: Any, end: Callable[[], float]) -> None:
        self._sock, self._raw, self._end = sock, sock.makefile("rb", buffering=0), end

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._end() - time.monotonic()
        if left <= 0:
            raise TimeoutError("deadline")
        self._sock.settimeout(left)
        count: int | None = self._raw.readinto(buffer)
        return count

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()

    def makefile(self, mode: str) -> io.BufferedReader:
        """What http.client asks of a socket."""
        del mode
        return io.BufferedReader(self)


class _Ending:
    """Mixed into a connection: what it does ends at `end` (time.monotonic())."""

    end = 0.0
    used_at = 0.0

    def _new_conn(self) -> Any:
        """Called by urllib3: the TLS handshake has what TCP left of the time."""
        sock = super()._new_conn()  # type: ignore[misc]
        sock.settimeout(max(_LEAST_S, self.end - time.monotonic()))
        return sock

    def response_class(self, sock: Any, *args: Any, **more: Any) -> Any:
        """Called by http.client for each answer."""
        return HTTPConnection.response_class(_Timed(sock, lambda: self.end), *args, **more)  # type: ignore[arg-type]


class _Plain(_Ending, HTTPConnection):  # type: ignore[misc]
    """http:"""


class _Tls(_Ending, HTTPSConnection):  # type: ignore[misc]
    """https:"""


Connection = _Plain | _Tls
Origin = tuple[str, str, int]


class Web:
    """Thread-safe; keeps connections for a while. One per service, so that none waits behind another's troubles."""

    def __init__(self, *, schemes: frozenset[str] = frozenset({"https"}), networks: Sequence[str] = (),
                 public: bool = True, ca: Path | None = None, client_certificate: Path | None = None,
                 client_key: Path | None = None, basic: tuple[str, bytes] | None = None, connections_max: int = 4,
                 any_port: bool = True, resolver: Resolver | None = None) -> None:
        """`ca`: PEM of the roots, None = the system's. `basic`: name and password, sent to the URL's own host only.

        GatewayError(CONFIG_UNREADABLE) if a file of them cannot be loaded.
        """
        self._schemes = schemes
        self._book = AddressBook(networks, public=public, waiting_max=connections_max, any_port=any_port,
                                 resolver=resolver)
        self._tls = (ca, client_certificate, client_key)
        self._personal = basic is not None or client_certificate is not None
        self._headers = {"User-Agent": "Sealgate", "Accept-Encoding": "identity"}
        if basic is not None:
            pair = basic[0].encode() + b":" + basic[1]
            self._headers["Authorization"] = "Basic " + base64.b64encode(pair).decode("ascii")
        self._free = threading.BoundedSemaphore(connections_max)
        self._lock = threading.Lock()
        self._idle: dict[Origin, list[Connection]] = {}
        self._closed = False
        self._context: ssl.SSLContext | None = None
        if any(self._tls):
            self._tls_context()

    def get(self, url: str, *, deadline_s: float, octets_max: int, accept: str = "*/*") -> bytes:
        """The body. `deadline_s` over everything; redirects are followed where the new address is permitted too.

        GatewayError(FETCH_UNAVAILABLE, retry) network, TLS, 5xx, 429, deadline; FETCH_REFUSED scheme, address, other
        answers (`NotFound` for 404 and 410); FETCH_TOO_LARGE.
        """
        end = time.monotonic() + deadline_s
        first = target = read_url(url, self._schemes)
        for _ in range(REDIRECTS_MAX + 1):
            answer = self._exchange("GET", target, None, {"Accept": accept}, end, octets_max)
            if isinstance(answer, bytes):
                return answer
            target = self._follow(first, target, answer)
        raise GatewayError(Reason.FETCH_REFUSED, f"more than {REDIRECTS_MAX} redirects from {first.text}")

    def post(self, url: str, body: bytes, content_type: str, *, deadline_s: float, octets_max: int,
             accept: str = "*/*", fields: Mapping[str, str] | None = None) -> bytes:
        """The answer's body; errors as `get`. Never redirected. `fields`: further header fields."""
        end = time.monotonic() + deadline_s
        target = read_url(url, self._schemes)
        headers = {"Accept": accept, "Content-Type": content_type, **(fields or {})}
        answer = self._exchange("POST", target, body, headers, end, octets_max)
        if isinstance(answer, bytes):
            return answer
        raise GatewayError(Reason.FETCH_REFUSED, f"{target.text} answers a POST request with a redirection")

    def notify(self, url: str, body: bytes, content_type: str, *, deadline_s: float, fields: Mapping[str, str],
               ) -> None:
        """Returns once the server has answered 2xx, and ignores the body; other errors as `post`."""
        end = time.monotonic() + deadline_s
        target = read_url(url, self._schemes)
        headers = {"Accept": "*/*", "Content-Type": content_type, **fields}
        if isinstance(self._exchange("POST", target, body, headers, end, None), str):
            raise GatewayError(Reason.FETCH_REFUSED, f"{target.text} answers a POST request with a redirection")

    def close(self) -> None:
        """Closes what is idle; connections in use are closed by who uses them."""
        with self._lock:
            self._closed = True
            connections = [connection for kept in self._idle.values() for connection in kept]
            self._idle.clear()
        for connection in connections:
            connection.close()

    def _follow(self, first: Target, target: Target, location: str) -> Target:
        after = read_url(redirected(target, location), self._schemes)
        if target.scheme == "https" and after.scheme != "https":
            raise GatewayError(Reason.FETCH_REFUSED, f"{target.text} redirects from TLS to clear text")
        if self._personal and after.origin != first.origin:
            raise GatewayError(Reason.FETCH_REFUSED, f"{target.text} redirects our credentials to another host")
        return after

    def _exchange(self, method: str, target: Target, body: bytes | None, headers: dict[str, str], end: float,
                  octets_max: int | None) -> bytes | str:
        """The body, or the Location of a redirect. `octets_max` None: the body does not matter, and is empty."""
        if not self._free.acquire(timeout=max(0.0, end - time.monotonic())):
            raise GatewayError(Reason.FETCH_UNAVAILABLE, f"too many requests to {target.host} at once", retry=True)
        try:
            return self._on_connection(method, target, body, headers, end, octets_max)
        except _RAW_TROUBLE as error:
            if end <= time.monotonic():
                detail = f"no whole answer in time from {target.text}"
            else:
                detail = f"{target.text}: {error.__cause__ or error}"
            raise GatewayError(Reason.FETCH_UNAVAILABLE, detail, retry=True) from error
        finally:
            self._free.release()

    def _on_connection(self, method: str, target: Target, body: bytes | None, headers: dict[str, str], end: float,
                       octets_max: int | None) -> bytes | str:
        fields = {**self._headers, **headers, "Host": target.host_field}
        kept = self._kept(target.origin, end)
        connection = kept or self._connect(target, end)
        try:
            try:
                response = _ask(connection, method, target.path, body, fields)
            except (OSError, HTTPException):
                # A kept connection that the server closed at this very moment: nothing was answered, ask once more.
                if kept is None or end <= time.monotonic():
                    raise
                connection.close()
                connection = self._connect(target, end)
                response = _ask(connection, method, target.path, body, fields)
            try:
                answer = _read(response, target, octets_max)
                if octets_max is None and not _is_empty(response):
                    connection.close()  # the server may go on writing as long as it likes
            finally:
                response.close()
        except BaseException:
            connection.close()
            raise
        self._keep(target.origin, connection)
        return answer

    def _kept(self, origin: Origin, end: float) -> Connection | None:
        now = time.monotonic()
        while True:
            with self._lock:
                idle = self._idle.get(origin)
                connection = idle.pop() if idle else None
            if connection is None:
                return None
            connection.end = end
            if connection.used_at + IDLE_S > now and connection.is_connected:
                return connection
            connection.close()

    def _keep(self, origin: Origin, connection: Connection) -> None:
        """For the next request, where the server lets us; idle ones that no request needs are closed."""
        if connection.sock is None:
            return
        now = connection.used_at = time.monotonic()
        old: list[Connection] = []
        with self._lock:
            if self._closed:
                old.append(connection)
            else:
                self._idle.setdefault(origin, []).append(connection)
            for other in list(self._idle):
                old += [one for one in self._idle[other] if one.used_at + IDLE_S <= now]
                self._idle[other] = [one for one in self._idle[other] if one.used_at + IDLE_S > now]
                if not self._idle[other]:
                    del self._idle[other]
        for one in old:
            one.close()

    def _connect(self, target: Target, end: float) -> Connection:
        """To the first address that answers; each is permitted, none is looked up again."""
        addresses = self._book.addresses(target, end)
        for left, address in enumerate(addresses, 1 - len(addresses)):
            wait = end - time.monotonic() if left == 0 else min(CONNECT_S, (end - time.monotonic()) / 2)
            if wait <= 0:
                raise TimeoutError("deadline")
            connection = self._connection(target, address, wait)
            connection.end = end
            try:
                connection.connect()
            except BaseException as error:
                connection.close()
                if left == 0 or not isinstance(error, _RAW_TROUBLE):
                    raise
                continue
            return connection
        raise AssertionError("a name without addresses")

    def _connection(self, target: Target, address: str, wait: float) -> Connection:
        if target.scheme == "http":
            return _Plain(address, target.port, timeout=wait)
        return _Tls(address, target.port, timeout=wait, ssl_context=self._tls_context(), server_hostname=target.host)

    def _tls_context(self) -> ssl.SSLContext:
        with self._lock:
            if self._context is None:
                self._context = _load_tls(*self._tls)
            return self._context


def _load_tls(ca: Path | None, certificate: Path | None, key: Path | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if certificate is not None:
            context.load_cert_chain(certificate, key, password="")
    except (OSError, ValueError) as error:
        raise GatewayError(Reason.CONFIG_UNREADABLE, f"TLS files {ca or ''} {certificate or ''}: {error}") from error
    return context


def _ask(connection: Connection, method: str, path: str, body: bytes | None, fields: dict[str, str]
         ) -> BaseHTTPResponse:
    """Sends, and reads the status line and the header fields."""
    connection.timeout = max(_LEAST_S, connection.end - time.monotonic())
    connection.request(method, path, body=body, headers=fields, preload_content=False, decode_content=False)
    return connection.getresponse()


def _is_empty(response: BaseHTTPResponse) -> bool:
    """Whether the answer has no body, so that its connection serves again (RFC 9112 6.3)."""
    return response.status == _NO_CONTENT or response.headers.get("Content-Length") == "0"


def _read(response: BaseHTTPResponse, target: Target, octets_max: int | None) -> bytes | str:
    """The body of a good answer, the Location of a redirect; GatewayError for the rest."""
    status = response.status
    if status in _OK:
        return b"" if octets_max is None else _body(response, target, octets_max)
    detail = f"{target.text} answers {status}"
    if status in _REDIRECTS and (location := response.headers.get("Location")):
        _forget(response)
        return location
    if status in _GONE:
        raise NotFound(detail)
    if status in _LATER or status >= _SERVER_ERROR:
        raise GatewayError(Reason.FETCH_UNAVAILABLE, detail, retry=True)
    raise GatewayError(Reason.FETCH_REFUSED, detail)


def _forget(response: BaseHTTPResponse) -> None:
    """Reads a little body, so that the connection serves again."""
    response.read(_PIECE_OCTETS, decode_content=False)


def _body(response: BaseHTTPResponse, target: Target, octets_max: int) -> bytes:
    coding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if coding not in {"", "identity", "gzip", "x-gzip"}:
        raise GatewayError(Reason.FETCH_REFUSED, f"{target.text} answers in coding {coding}")
    too_large = GatewayError(Reason.FETCH_TOO_LARGE, f"{target.text} is larger than {octets_max} octets")
    length = response.headers.get("Content-Length", "")
    if length.isascii() and length.isdigit() and (len(length) > 18 or int(length) > octets_max):
        raise too_large
    unzip = zlib.decompressobj(16 + zlib.MAX_WBITS) if "gzip" in coding else None
    pieces: list[bytes] = []
    coded = count = 0
    while piece := response.read(_PIECE_OCTETS, decode_content=False):
        coded += len(piece)
        if unzip is not None:
            try:
                piece = unzip.decompress(piece, octets_max - count + 1)
            except zlib.error as error:
                raise GatewayError(Reason.FETCH_REFUSED,
                                   f"{target.text}: the response is not valid gzip: {error}") from error
        count += len(piece)
        if max(count, coded) > octets_max:
            raise too_large
        pieces.append(piece)
    if unzip is not None and not unzip.eof:
        raise GatewayError(Reason.FETCH_UNAVAILABLE, f"{target.text} ends too early", retry=True)
    return b"".join(pieces)
