"""The same content in every kind of directory, each a real server on loopback that can be stopped and started again."""

import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal, Protocol
from urllib.parse import unquote

from gateway.adapters.db.certificates.store import DbCertificates
from gateway.adapters.directories.http_lookup import HttpSource
from gateway.adapters.directories.ldap import LdapSource
from gateway.adapters.directories.smimea import SmimeaSource
from gateway.clock import SystemClock
from gateway.cms.certificate import parse_certificate
from gateway.errors import GatewayError
from gateway.model.smimea import owner_name, record
from gateway.ports.administration import NewCertificate
from gateway.ports.certificates import CertificateSource
from gateway.settings import HttpSourceSettings, LdapSourceSettings, SmimeaSourceSettings
from tests.support.databases import open_database
from tests.support.dnssec import Names, names
from tests.support.pki import pem
from tests.support.slapd import BASE, Slapd, slapd

Content = Mapping[str, Sequence[bytes]]  # address as it is published -> octets, certificates or not
Kind = Literal["store", "ldap", "smimea", "http"]
KINDS: tuple[Kind, ...] = ("store", "ldap", "smimea", "http")
OUTSIDE: tuple[Kind, ...] = ("ldap", "smimea", "http")


class Served(Protocol):
    """A running directory with the content."""

    def source(self, *, port: int = 0, **changes: Any) -> CertificateSource:
        """An adapter that asks it. `port`: of somebody else."""
        ...

    def stop(self) -> None: ...

    def start(self) -> None: ...


class StoreServed:
    """The bank's own database; it holds certificates only, and finds them by the addresses that they name."""

    def __init__(self, home: Path, content: Content, stack: ExitStack) -> None:
        self._database = open_database(home / "store.db")
        stack.callback(self._database.close)
        store = DbCertificates(self._database, SystemClock())
        for values in content.values():
            for value in values:
                try:
                    store.add([NewCertificate(parse_certificate(value), source="import")])
                except GatewayError:
                    continue

    def source(self, *, port: int = 0, **changes: Any) -> CertificateSource:
        return DbCertificates(self._database, SystemClock())

    def stop(self) -> None: ...

    def start(self) -> None: ...


class LdapServed:
    """slapd. What its `mail` cannot hold (RFC 4524: IA5 only) stands in `description`, as many directories have it."""

    FILTER = "(|(mail={address})(description={address}))"

    def __init__(self, home: Path, content: Content, stack: ExitStack) -> None:
        self.server: Slapd = stack.enter_context(slapd(home / "slapd"))
        self.server.add([
            {("mail" if address.isascii() else "description"): [address], _attribute(values): list(values)}
            for address, values in content.items()])

    def source(self, *, port: int = 0, **changes: Any) -> CertificateSource:
        fields = {"url": f"ldap://127.0.0.1:{port or self.server.port}", "base": BASE, "filter": self.FILTER}
        return LdapSource(LdapSourceSettings(name="directory", kind="ldap", **(fields | changes)))

    def stop(self) -> None:
        self.server.stop()

    def start(self) -> None:
        self.server.start()


def _attribute(values: Sequence[bytes]) -> str:
    """slapd checks the syntax of userCertificate; in userSMIMECertificate it takes any octets."""
    try:
        for value in values:
            parse_certificate(value)
    except GatewayError:
        return "userSMIMECertificate"
    return "userCertificate;binary"


class SmimeaServed:
    """nsd and unbound; everything stands in the signed zone bank.test."""

    def __init__(self, home: Path, content: Content, stack: ExitStack) -> None:
        lines = [f"{owner_name(address)} IN SMIMEA {record(value)}"
                 for address, values in content.items() for value in values]
        self.world: Names = stack.enter_context(names(home / "names", {"bank.test": lines}))

    def source(self, *, port: int = 0, **changes: Any) -> CertificateSource:
        return SmimeaSource(SmimeaSourceSettings(
            name="directory", kind="smimea", port=port or self.world.port, **changes))

    def stop(self) -> None:
        self.world.stop()

    def start(self) -> None:
        self.world.start()


class HttpServed:
    """A look-up service that answers with PEM."""

    def __init__(self, home: Path, content: Content, stack: ExitStack) -> None:
        pages = {address.lower(): b"".join(map(pem, values)) for address, values in content.items()}

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                page = pages.get(unquote(self.path.removeprefix("/")).lower())
                self.send_response(404 if page is None else 200)
                self.send_header("Content-Length", str(len(page or b"")))
                self.end_headers()
                self.wfile.write(page or b"")

            def log_message(self, *_: object) -> None: ...

        self._handler = Handler
        self._port = 0
        self.start()
        stack.callback(self.stop)

    def source(self, *, port: int = 0, **changes: Any) -> CertificateSource:
        fields = {"url": f"http://127.0.0.1:{port or self._port}/{{address}}", "networks": ("127.0.0.0/8",)}
        return HttpSource(HttpSourceSettings(name="directory", kind="http", **(fields | changes)))

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def start(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), self._handler)
        self._port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()


_SERVED: Mapping[Kind, type[StoreServed | LdapServed | SmimeaServed | HttpServed]] = {
    "store": StoreServed, "ldap": LdapServed, "smimea": SmimeaServed, "http": HttpServed}


def serve(kind: Kind, home: Path, content: Content, stack: ExitStack) -> Served:
    """Started, until `stack` ends."""
    return _SERVED[kind](home, content, stack)
