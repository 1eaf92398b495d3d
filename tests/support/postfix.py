"""A private Postfix in a directory, made of the distribution's own files, with the pieces of conf/postfix around it.

The pieces are used as they are printed: only port numbers and the names of services that carry them are replaced. Also
the `postconf -P` lines of their comments are run.
"""

import os
import pwd
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.support.peers import need, run, scratch
from tests.support.process import free_ports

PIECES = Path(__file__).parents[2] / "conf" / "postfix"
DIST = Path("/usr/share/postfix/master.cf.dist")


@dataclass(frozen=True, slots=True)
class Doors:
    """Ports on 127.0.0.1. `forgotten`: a door of Postfix that nobody gave a filter; `systems`: one for machines."""

    smtp: int
    submission: int
    forgotten: int
    gateway_outbound: int
    gateway_inbound: int
    sealed: int
    opened: int
    systems: int = 0
    gateway_systems: int = 0


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

    def sendmail(self, mail: bytes, sender: str, *recipients: str) -> None:
        """Submits as a local program does."""
        run(need("sendmail", "postfix"), "-C", self.etc, "-f", sender, *recipients,
            octets=mail.replace(b"\r\n", b"\n"))


def doors() -> Doors:
    """Free ports for all."""
    return Doors(*free_ports(9))


def _with_ports(text: str, at: Doors) -> str:
    """The piece with this test's ports and services in place of the printed ones."""
    for printed, port in (("10025", at.gateway_outbound), ("10027", at.gateway_inbound), ("10026", at.sealed),
                          ("10028", at.opened), ("10029", at.gateway_outbound), ("10024", at.systems),
                          ("10023", at.gateway_systems)):
        text = text.replace(f":{printed}", f":{port}")
    return text.replace("'smtp/inet/", f"'127.0.0.1:{at.smtp}/inet/").replace(
        "'submission/inet/", f"'127.0.0.1:{at.submission}/inet/")


@contextmanager
def private_postfix(
    root: Path, main_cf: str, *, port: int = 0, more: str = "", postconf: Sequence[str] = (), hosts: str = "",
) -> Iterator[int]:
    """Starts and stops an instance in `root`/etc; gives the port of its smtpd.

    `main_cf`: what the site says beyond the common part. `port` 0: a free one. `more`: further lines of master.cf.
    `postconf`: `postconf -P` lines that are run over it. `hosts`: its own /etc/hosts, in a mount namespace.
    """
    program = need("postfix", "postfix")
    if os.geteuid() != 0:
        pytest.skip("postfix: starting a private instance needs root")
    root.mkdir(exist_ok=True)
    for folder in (root, *root.parents[:-1]):  # the user postfix walks through
        if folder.stat().st_uid == os.geteuid() and folder != Path("/tmp"):
            folder.chmod(0o755)
    etc = _directories(root)
    run("cp", "-a", _empty_spool(), root / "spool")
    (etc / "main.cf").write_text(_common(root) + main_cf)
    try:
        yield _started(program, etc, port, more, postconf, hosts)
    finally:
        subprocess.run([program, "-c", etc, "stop"], check=False, timeout=60, capture_output=True)


def _directories(root: Path) -> Path:
    """`root`/etc, without main.cf and master.cf, and `root`/data."""
    etc, data = root / "etc", root / "data"
    for folder in (etc, data):
        folder.mkdir()
    shutil.chown(data, pwd.getpwnam("postfix").pw_name)
    if Path("/etc/postfix/dynamicmaps.cf").exists():
        shutil.copy("/etc/postfix/dynamicmaps.cf", etc)
    return etc


@cache
def _empty_spool() -> Path:
    """The directories of an empty queue, made by `postfix check` once per test process."""
    root = scratch("spool")
    etc = _directories(root)
    (root / "spool").mkdir()
    (etc / "main.cf").write_text(_common(root))
    (etc / "master.cf").write_text(_master(1))
    settled(etc)
    run(need("postfix", "postfix"), "-c", etc, "check")
    return root / "spool"


def settled(etc: Path) -> None:
    """Makes main.cf older. Postfix rereads one that changed within the last two seconds until it is older."""
    changed = time.time() - 10
    os.utime(etc / "main.cf", (changed, changed))


def _common(root: Path) -> str:
    return (
        f"compatibility_level = 3.6\nqueue_directory = {root}/spool\ndata_directory = {root}/data\n"
        "command_directory = /usr/sbin\ndaemon_directory = /usr/lib/postfix/sbin\nmail_owner = postfix\n"
        f"setgid_group = postdrop\nmaillog_file = {root}/maillog\nmaillog_file_prefixes = {root}\n"
        "inet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nalias_maps =\nalias_database =\n"
        "smtp_dns_support_level = disabled\nsmtp_host_lookup = native\n")


def _started(program: str, etc: Path, port: int, more: str, postconf: Sequence[str], hosts: str) -> int:
    """A port that was free a moment ago may be somebody else's by now, so it is tried more than once."""
    trouble, own_hosts = "", []
    if hosts:
        (etc / "hosts").write_text(hosts)
        own_hosts = ["unshare", "--mount", "sh", "-c", f'mount --bind {etc}/hosts /etc/hosts && exec "$0" "$@"']
    for _ in range(3):
        at = port or free_ports(1)[0]
        (etc / "master.cf").write_text(_master(at) + more)
        for line in postconf:
            subprocess.run(["sh", "-c", line.replace("postconf -", f"postconf -c {etc} -", 1)], check=True)
        settled(etc)
        (etc.parent / "spool" / "quick-start").touch()  # no checks: they take longer than the rest of the start
        done = subprocess.run([*own_hosts, program, "-c", etc, "start"], check=False, timeout=60, capture_output=True,
                              text=True)
        if done.returncode == 0:
            return at
        trouble = done.stdout + done.stderr
        subprocess.run([program, "-c", etc, "stop"], check=False, timeout=60, capture_output=True)
    log = etc.parent / "maillog"
    pytest.fail(f"postfix does not start: {trouble} {log.read_text() if log.exists() else ''}")


def _master(port: int) -> str:
    """Debian's master.cf without chroots, its port 25 elsewhere."""
    lines = []
    for line in DIST.read_text().splitlines():
        fields = line.split()
        if not fields or line.startswith("#"):
            continue
        if len(fields) >= 8 and not line[0].isspace():
            fields[4] = "n"
            if fields[:2] == ["smtp", "inet"]:
                fields[0] = f"127.0.0.1:{port}"
        lines.append(line if line[0].isspace() else " ".join(fields))
    return "\n".join(lines) + "\n"


@contextmanager
def postfix_with_pieces(
    root: Path, at: Doors, main_cf: str, form: str = "relay", *, last: str = "", after: Sequence[str] = (),
    hosts: str = "", checked: bool = True,
) -> Iterator[Postfix]:
    """With the pieces of conf/postfix around it, and two doors for people. `main_cf`: what the site had before.

    `form`: which pieces, such as `after-queue`. `last`, `after`: lines of main.cf and `postconf` commands that a site
    has put over them; `hosts` as of `private_postfix`. `checked`: `postfix check` accepts the configuration.
    """
    ours = "-o smtpd_relay_restrictions=permit_mynetworks,reject -o mynetworks=127.0.0.0/8"
    people = "".join(f"127.0.0.1:{port} inet n - n - - smtpd {ours}\n" for port in (at.submission, at.forgotten))
    piece = _with_ports((PIECES / f"{form}.master.cf").read_text(), at)
    commands = re.findall(r"^#   (postconf -P .*)$", piece, re.MULTILINE)
    main_cf += _with_ports((PIECES / f"{form}.main.cf").read_text(), at) + last
    with private_postfix(root, main_cf, port=at.smtp, more=people + piece, postconf=[*commands, *after],
                         hosts=hosts):
        if checked:
            run(need("postfix", "postfix"), "-c", root / "etc", "check")
        yield Postfix(root / "etc", at, root / "maillog")
