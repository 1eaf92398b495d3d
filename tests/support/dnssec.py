"""A small signed world of names on loopback: nsd serves it, unbound validates it (Debian packages nsd, unbound,
ldnsutils). The resolver's configuration is the one of docs/directories.md, with this world's ports and anchor.

    .                   signed, the trust anchor
    test.               signed
    bank.test.          signed
    plain.test.         not signed, and test. proves it
    expired.test.       its signatures ended five days ago (unbound forgives one day of wrong clocks)
    forged.test.        signed by another key than its DS in test. names
    stripped.test.      has a DS in test., and no signatures at all: what an attacker on the way makes of a zone
"""

import re
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.support.peers import need, run
from tests.support.process import free_ports

START_S = 20.0
DOCUMENT = Path(__file__).parents[2] / "docs" / "directories.md"
ZONES = ("bank.test", "plain.test", "expired.test", "forged.test", "stripped.test")
SIGNED = ("bank.test", "expired.test", "forged.test")
SERVED = ("", "test", *ZONES)

_NSD = """server:
  ip-address: 127.0.0.1@{port}
  username: ""
  chroot: ""
  server-count: 1
  zonesdir: "{home}"
  pidfile: "{home}/nsd.pid"
  xfrdfile: "{home}/nsd.xfr"
  zonelistfile: "{home}/nsd.list"
  logfile: "{home}/nsd.log"
remote-control:
  control-enable: no
"""
_HEAD = """$ORIGIN {zone}
$TTL 300
@ IN SOA ns hostmaster 1 3600 600 86400 300
@ IN NS ns
ns IN A 127.0.0.1
"""


@dataclass
class Names:
    """The running world. `port`: of the validating resolver.

    `careless`: of one that validates nothing; `permissive`: of one that validates, and passes forgeries on.
    """

    home: Path
    port: int
    authority: int
    careless: int
    permissive: int
    _unbound: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    def start(self) -> None:
        """The validating resolver."""
        program = need("unbound", "unbound")
        self._unbound = _process([program, "-d", "-c", str(self.home / "unbound.conf")], self.home / "unbound.log")
        _answers(self._unbound, self.port, self.home / "unbound.log")

    def stop(self) -> None:
        """SIGTERM, and its end."""
        if self._unbound is not None:
            _end(self._unbound)
            self._unbound = None


def resolver_text() -> str:
    """The configuration for unbound that operators are told to use."""
    found = re.search(r"```unbound\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


@contextmanager
def names(home: Path, records: Mapping[str, Sequence[str]]) -> Iterator[Names]:
    """`records`: lines of a zone file, per zone (with full names)."""
    for program, package in (("nsd", "nsd"), ("unbound", "unbound"), ("ldns-signzone", "ldnsutils")):
        need(program, package)
    home.mkdir(parents=True, exist_ok=True)
    authority, port, careless, permissive = free_ports(4)
    world = Names(home, port, authority, careless, permissive)
    _write_zones(home, records)
    _write_resolvers(world)
    served = [need("nsd", "nsd"), "-d", "-c", str(home / "nsd.conf")]
    running = [_process(served, home / "nsd.log")]
    try:
        _answers(running[0], authority, home / "nsd.log")
        for name, at in (("careless", careless), ("permissive", permissive)):
            running.append(_process([need("unbound", "unbound"), "-d", "-c", str(home / f"{name}.conf")],
                                    home / f"{name}.log"))
            _answers(running[-1], at, home / f"{name}.log")
        world.start()
        yield world
    finally:
        world.stop()
        for process in running:
            _end(process)


def _write_zones(home: Path, records: Mapping[str, Sequence[str]]) -> None:
    """Signs from below, for each parent needs the children's DS."""
    below = ""
    for zone in ZONES:
        _write(home, zone, records.get(zone, ()))
        below += _delegation(zone)
        if zone != "plain.test":
            key = _key(home, zone)
            below += (home / f"{key}.ds").read_text()
        if zone == "forged.test":
            key = _key(home, zone)  # another one than test. has vouched for
        if zone in SIGNED:
            _sign(home, zone, key, expired=zone == "expired.test")
    _write(home, "test", [below])
    key = _key(home, "test")
    _sign(home, "test", key)
    _write(home, "", [_delegation("test"), (home / f"{key}.ds").read_text()])
    key = _key(home, "")
    (home / "anchor.ds").write_text((home / f"{key}.ds").read_text())
    _sign(home, "", key)
    conf = _NSD
    for zone in SERVED:
        signed = ".signed" if zone in {*SIGNED, "test", ""} else ""
        conf += f'zone:\n  name: "{zone or "."}"\n  zonefile: "{zone}.zone{signed}"\n'
    (home / "nsd.conf").write_text(conf)


def _write(home: Path, zone: str, records: Sequence[str]) -> None:
    (home / f"{zone}.zone").write_text(_HEAD.format(zone=f"{zone}.") + "\n".join(records) + "\n")


def _delegation(zone: str) -> str:
    return f"{zone}. IN NS ns.{zone}.\nns.{zone}. IN A 127.0.0.1\n"


def _key(home: Path, zone: str) -> str:
    """A signing key; the name of its files."""
    done = subprocess.run([need("ldns-keygen", "ldnsutils"), "-a", "ECDSAP256SHA256", "-k", f"{zone}."], cwd=home,
                          capture_output=True, check=True, timeout=30)
    return done.stdout.decode().strip()


def _sign(home: Path, zone: str, key: str, *, expired: bool = False) -> None:
    now = datetime.now(UTC)
    ends = now - timedelta(days=5) if expired else now + timedelta(days=14)
    begins = now - timedelta(days=20)
    subprocess.run(
        [need("ldns-signzone", "ldnsutils"), "-n", "-i", f"{begins:%Y%m%d%H%M%S}", "-e", f"{ends:%Y%m%d%H%M%S}",
         f"{zone}.zone", key], cwd=home, check=True, timeout=30, capture_output=True)


def _write_resolvers(world: Names) -> None:
    """The operators' text with this world's ports, anchor and private files; then one that does not validate."""
    home = world.home
    text = resolver_text()
    for printed, here in (
        ("port: 53", f"port: {world.port}"),
        ('auto-trust-anchor-file: "/var/lib/unbound/root.key"', f'trust-anchor-file: "{home}/anchor.ds"'),
    ):
        assert text.count(printed) == 1, printed
        text = text.replace(printed, here)
    private = (
        f'server:\n  username: ""\n  chroot: ""\n  directory: "{home}"\n  pidfile: ""\n  use-syslog: no\n'
        '  do-not-query-localhost: no\n  local-zone: "test." nodefault\n')
    stubs = "".join(f'stub-zone:\n  name: "{zone}."\n  stub-addr: 127.0.0.1@{world.authority}\n' for zone in SERVED)
    for name, at, printed, here in (
        ("unbound", world.port, "", ""),
        ("careless", world.careless, '"validator iterator"', '"iterator"'),
        ("permissive", world.permissive, "val-permissive-mode: no", "val-permissive-mode: yes"),
    ):
        assert printed in text
        (home / f"{name}.conf").write_text(
            text.replace(f"port: {world.port}", f"port: {at}").replace(printed or "\0", here) + private + stubs)
        run(need("unbound-checkconf", "unbound"), home / f"{name}.conf")
    run(need("nsd-checkconf", "nsd"), _nsd_conf(world))


def _nsd_conf(world: Names) -> Path:
    path = world.home / "nsd.conf"
    text = path.read_text()
    path.write_text(text.replace("{port}", str(world.authority)).replace("{home}", str(world.home)))
    return path


def _process(command: Sequence[str], log: Path) -> "subprocess.Popen[bytes]":
    with log.open("ab") as file:
        return subprocess.Popen(command, stdout=file, stderr=file)


def _answers(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    end = time.monotonic() + START_S
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, f"{process.args} does not answer: {log.read_text()}"
            time.sleep(0.01)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(START_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
