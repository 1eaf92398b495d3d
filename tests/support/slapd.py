"""A real OpenLDAP server on a free loopback port, with the schema that certificates need (Debian package slapd)."""

import base64
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from tests.support.peers import missing, need, run
from tests.support.process import free_ports
from tests.support.tls import TlsFiles

BASE = "dc=partner,dc=test"
READER, PASSWORD = f"cn=reader,{BASE}", "read-me"
ADMIN, ADMIN_PASSWORD = f"cn=admin,{BASE}", "secret"
START_S = 20.0

_CONF = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {home}/slapd.pid
{tls}
{more}
database mdb
maxsize 104857600
suffix "{base}"
rootdn "{admin}"
rootpw {password}
directory {home}/data
dbnosync
index mail eq
{access}
"""


@dataclass
class Slapd:
    """One directory. `home`: its files; ports stay over `stop` and `start`."""

    home: Path
    port: int
    tls_port: int
    tls: TlsFiles | None
    closed: bool = False
    more: str = ""
    _process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)
    _count: int = 0

    @property
    def url(self) -> str:
        return f"ldap://127.0.0.1:{self.port}"

    @property
    def tls_url(self) -> str:
        return f"ldaps://127.0.0.1:{self.tls_port}"

    def start(self) -> None:
        """Until it answers."""
        program = need("slapd", "slapd")
        urls = self.url + (f" {self.tls_url}" if self.tls else "")
        with (self.home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [program, "-d", "0", "-f", self.home / "slapd.conf", "-h", urls], stdout=log, stderr=log)
        end = time.monotonic() + START_S
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                    return
            except OSError:
                assert self._process.poll() is None, (self.home / "log").read_text()
                assert time.monotonic() < end, "slapd does not answer"
                time.sleep(0.01)

    def stop(self) -> None:
        """SIGTERM, and its end."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(START_S)
            self._process = None

    def connections(self) -> int:
        """How many it has accepted so far, this question's own included (cn=monitor)."""
        text = run(need("ldapsearch", "ldap-utils"), "-x", "-LLL", "-H", self.url, "-D", ADMIN, "-w", ADMIN_PASSWORD,
                   "-b", "cn=Total,cn=Connections,cn=Monitor", "-s", "base", "monitorCounter")
        return int(text.split(b"monitorCounter:")[1].split()[0])

    def add(self, entries: Sequence[Mapping[str, Sequence[str | bytes]]]) -> None:
        """Entries below BASE. Octets are written as they are; `dn` is made up where it is not given."""
        text = []
        for entry in entries:
            self._count += 1
            name = f"p{self._count}"
            lines = [f"dn: {entry['dn'][0]}" if "dn" in entry else f"dn: uid={name},{BASE}"]
            if "objectClass" not in entry:
                lines += ["objectClass: inetOrgPerson", f"uid: {name}", f"cn: {name}", f"sn: {name}"]
            for attribute, values in entry.items():
                if attribute != "dn":
                    lines += [_line(attribute, value) for value in values]
            text.append("\n".join(lines) + "\n")
        run(need("ldapadd", "ldap-utils"), "-x", "-M", "-H", self.url, "-D", ADMIN, "-w", ADMIN_PASSWORD,
            octets="\n".join(text).encode())


def _line(attribute: str, value: str | bytes) -> str:
    octets = value.encode() if isinstance(value, str) else value
    return f"{attribute}:: {base64.b64encode(octets).decode()}"


def need_bonsai() -> None:
    """Ends the test where the LDAP extra is not installed."""
    if find_spec("bonsai") is None:
        missing("the Python package bonsai", "none: `make ldap` builds it")


@contextmanager
def slapd(home: Path, *, tls: TlsFiles | None = None, closed: bool = False, more: str = "") -> Iterator[Slapd]:
    """A running directory with an empty tree. `tls`: ldaps:// and StartTLS; `closed`: only READER may read."""
    need("slapd", "slapd")
    need_bonsai()
    home.mkdir(parents=True, exist_ok=True)
    (home / "data").mkdir()
    files = "" if tls is None else (
        f"TLSCertificateFile {tls.server}\nTLSCertificateKeyFile {tls.server_key}\nTLSCACertificateFile {tls.ca}\n")
    access = "" if not closed else (
        f'access to attrs=userPassword by anonymous auth\naccess to * by dn.exact="{READER}" read by anonymous auth\n')
    monitor = f'moduleload back_monitor\ndatabase monitor\nrootdn "{ADMIN}"\n'
    (home / "slapd.conf").write_text(_CONF.format(
        home=home, base=BASE, admin=ADMIN, password=ADMIN_PASSWORD, tls=files, more=more, access=access) + monitor)
    port, tls_port = free_ports(2)
    server = Slapd(home, port, tls_port, tls, closed, more)
    server.start()
    try:
        server.add([
            {"dn": [BASE], "objectClass": ["dcObject", "organization"], "dc": ["partner"], "o": ["Partner"]},
            {"dn": [READER], "objectClass": ["person", "simpleSecurityObject"], "sn": ["reader"],
             "userPassword": [PASSWORD]},
        ])
        yield server
    finally:
        server.stop()
        shutil.rmtree(home / "data", ignore_errors=True)
