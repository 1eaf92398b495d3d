"""A private Postfix in a directory, made of the distribution's own files, with the pieces of conf/postfix around it.

The pieces are used as they are printed: only port numbers and the names of services that carry them are replaced. Also
the `postconf -P` lines of their comments are run.
"""

import os
import pwd
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.peers import need, run

PIECES = Path(__file__).parents[2] / "conf" / "postfix"
DIST = Path("/usr/share/postfix/master.cf.dist")


@dataclass(frozen=True, slots=True)
class Doors:
    """Ports on 127.0.0.1. `forgotten`: a door of Postfix that nobody gave a filter."""

    smtp: int
    submission: int
    forgotten: int
    gateway_outbound: int
    gateway_inbound: int
    sealed: int
    opened: int


@dataclass(frozen=True, slots=True)
class Postfix:
    """The running instance."""

    etc: Path
    doors: Doors
    maillog: Path

    def queue(self) -> bytes:
        """What `postqueue -p` says."""
        return run(need("postqueue", "postfix"), "-c", self.etc, "-p")

    def flush(self) -> None:
        """Tries everything that waits again."""
        run(need("postqueue", "postfix"), "-c", self.etc, "-f")

    def sendmail(self, mail: bytes, sender: str, recipient: str) -> None:
        """Submits as a local program does."""
        run(need("sendmail", "postfix"), "-C", self.etc, "-f", sender, recipient, octets=mail.replace(b"\r\n", b"\n"))


def free_ports(count: int) -> list[int]:
    """Ports that nobody has now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


def doors() -> Doors:
    """Free ports for all."""
    return Doors(*free_ports(7))


def _with_ports(text: str, at: Doors) -> str:
    """The piece with this test's ports and services in place of the printed ones."""
    for printed, port in (("10025", at.gateway_outbound), ("10027", at.gateway_inbound), ("10026", at.sealed),
                          ("10028", at.opened)):
        text = text.replace(f":{printed}", f":{port}")
    return text.replace("'smtp/inet/", f"'127.0.0.1:{at.smtp}/inet/").replace(
        "'submission/inet/", f"'127.0.0.1:{at.submission}/inet/")


@contextmanager
def postfix_with_pieces(root: Path, at: Doors, main_cf: str) -> Iterator[Postfix]:
    """Starts and stops it. `main_cf`: what the site had before."""
    program = need("postfix", "postfix")
    if os.geteuid() != 0:
        pytest.skip("postfix: starting a private instance needs root")
    root.mkdir()
    for folder in (root, *root.parents[:-1]):  # the user postfix walks through
        if folder.stat().st_uid == os.geteuid() and folder != Path("/tmp"):
            folder.chmod(0o755)
    etc, data, log = root / "etc", root / "data", root / "maillog"
    for folder in (etc, root / "spool", data):
        folder.mkdir()
    shutil.chown(data, pwd.getpwnam("postfix").pw_name)
    if Path("/etc/postfix/dynamicmaps.cf").exists():
        shutil.copy("/etc/postfix/dynamicmaps.cf", etc)
    (etc / "main.cf").write_text(
        f"compatibility_level = 3.6\nqueue_directory = {root}/spool\ndata_directory = {data}\n"
        "command_directory = /usr/sbin\ndaemon_directory = /usr/lib/postfix/sbin\nmail_owner = postfix\n"
        f"setgid_group = postdrop\nmaillog_file = {log}\nmaillog_file_prefixes = {root}\n"
        "inet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nalias_maps =\nalias_database =\n"
        "smtp_dns_support_level = disabled\nsmtp_host_lookup = native\n" + main_cf
        + _with_ports((PIECES / "relay.main.cf").read_text(), at))
    piece = _with_ports((PIECES / "relay.master.cf").read_text(), at)
    (etc / "master.cf").write_text(_site_master(at) + piece)
    for line in re.findall(r"^#   (postconf -P .*)$", piece, re.MULTILINE):
        subprocess.run(["sh", "-c", line.replace("postconf -P", f"postconf -c {etc} -P")], check=True)
    run(program, "-c", etc, "check")
    run(program, "-c", etc, "start")
    try:
        yield Postfix(etc, at, log)
    finally:
        subprocess.run([program, "-c", etc, "stop"], check=False, capture_output=True)


def _site_master(at: Doors) -> str:
    """Debian's master.cf without chroots, its port 25 elsewhere, and two doors for people of ours."""
    lines = []
    for line in DIST.read_text().splitlines():
        fields = line.split()
        if not fields or line.startswith("#"):
            continue
        if len(fields) >= 8 and not line[0].isspace():
            fields[4] = "n"
            if fields[:2] == ["smtp", "inet"]:
                fields[0] = f"127.0.0.1:{at.smtp}"
        lines.append(line if line[0].isspace() else " ".join(fields))
    ours = "-o smtpd_relay_restrictions=permit_mynetworks,reject -o mynetworks=127.0.0.0/8"
    lines += [f"127.0.0.1:{port} inet n - n - - smtpd {ours}" for port in (at.submission, at.forgotten)]
    return "\n".join(lines) + "\n"
