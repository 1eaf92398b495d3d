"""The whole way as a bank has it: swaks -> the real relay -> a real Postfix -> what stands behind it.

Behind Postfix are two sinks, the mailboxes of bank.example and the rest of the world.
"""

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.app import open_store
from gateway.model.lookup import Customer
from gateway.ports.administration import NewCertificate
from gateway.settings import load
from tests.support.peers import need, run
from tests.support.pki import get_pki, pem
from tests.support.process import Relay, free_ports, new_bank, relay
from tests.support.smtp import Hop, until
from tests.support.tls import TlsFiles, make_tls

PASSWORD = "correct horse battery staple"
CROWD = tuple(f"reader{number}@many.example" for number in range(100))  # customers, each with a certificate


@dataclass
class Site:
    """The relay, Postfix's two sides, and the listener for clients that log in."""

    relay: Relay
    internet: Hop
    mailboxes: Hop
    submission: int
    tls: TlsFiles

    def swaks(
        self,
        octets: bytes,
        *to: str,
        sender: str,
        port: int | None = None,
        peer: str = "127.0.0.1",
        more: tuple[str, ...] = (),
    ) -> tuple[int, str]:
        """swaks' exit code (0: accepted; 24: no recipient; 26: refused after the data) and its transcript."""
        path = self.relay.bank.scratch / "swaks.eml"
        path.write_bytes(octets)
        done = subprocess.run(
            [
                need("swaks", "swaks"),
                "--server",
                f"127.0.0.1:{port or self.relay.bank.ports.outbound}",
                "--from",
                sender,
                "--to",
                ",".join(to),
                "--data",
                f"@{path}",
                "--local-interface",
                peer,
                "--helo",
                "client.bank.example",
                "--suppress-data",
                *more,
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def arrived(self, hop: Hop, mark: bytes, seconds: float = 30.0) -> bytes:
        """The one mail behind Postfix that holds `mark`."""
        until(lambda: any(mark in one for one in hop.mails), seconds)
        found = [one for one in hop.mails if mark in one]
        assert len(found) == 1
        return found[0]


@contextmanager
def postfix(root: Path, mailboxes: int, internet: int) -> Iterator[int]:
    """A private Postfix that hands bank.example to one port and everything else to another; gives its own port."""
    program = need("postfix", "postfix")
    if os.geteuid() != 0:
        pytest.skip("postfix: starting a private instance needs root")
    for folder in (root, *root.parents[:-1]):  # the user postfix walks through
        if folder.stat().st_uid == os.geteuid() and folder != Path("/tmp"):
            folder.chmod(0o755)
    (port,) = free_ports(1)
    etc = root / "etc"
    for folder in (etc, root / "spool", root / "data"):
        folder.mkdir()
    shutil.chown(root / "data", pwd.getpwnam("postfix").pw_name)
    if Path("/etc/postfix/dynamicmaps.cf").exists():
        shutil.copy("/etc/postfix/dynamicmaps.cf", etc)
    (etc / "main.cf").write_text(f"""\
compatibility_level = 3.6
queue_directory = {root}/spool
data_directory = {root}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = {root}/maillog
maillog_file_prefixes = {root}
myhostname = mx.bank.example
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
relay_domains = bank.example
relay_recipient_maps = inline:{{ support@bank.example=ok, otp@bank.example=ok }}
relay_transport = smtp:[127.0.0.1]:{mailboxes}
default_transport = smtp:[127.0.0.1]:{internet}
smtp_destination_recipient_limit = 1000
smtp_dns_support_level = disabled
smtp_host_lookup = native
smtputf8_enable = yes
alias_maps =
alias_database =
local_recipient_maps =
message_size_limit = 62914560
smtpd_client_connection_count_limit = 0
smtpd_recipient_restrictions = reject_unlisted_recipient, permit_mynetworks, reject
""")
    lines = []
    for line in Path("/usr/share/postfix/master.cf.dist").read_text().splitlines():
        fields = line.split()
        if not fields or line.startswith("#"):
            continue
        if len(fields) >= 8 and not line[0].isspace():
            fields[4] = "n"
            if fields[:2] == ["smtp", "inet"]:
                fields[0] = f"127.0.0.1:{port}"
        lines.append(line if line[0].isspace() else " ".join(fields))
    (etc / "master.cf").write_text("\n".join(lines) + "\n")
    run(program, "-c", etc, "start")
    try:
        yield port
    finally:
        subprocess.run([program, "-c", etc, "stop"], check=False, timeout=60, capture_output=True)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("e2e")
    tls = make_tls(root)
    features = ("PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "SIZE 100000000")
    (root / "postfix").mkdir()
    (submission,) = free_ports(1)
    with (
        Hop(features) as internet,
        Hop(features) as mailboxes,
        postfix(root / "postfix", mailboxes.port, internet.port) as port,
    ):

        def change(text: str) -> str:
            text = text.replace("role: inbound,", "role: inbound, recipient_check: next_hop,")
            text = text.replace(
                "listeners:\n",
                f"""passwords: clients.passwd
listeners:
  - {{name: submission, role: outbound, host: 127.0.0.1, port: {submission}, tls: starttls, tls_required: true,
      certificate: {tls.server}, key: {tls.server_key}}}
""",
            )
            text = text.replace("name: online-banking,", "name: online-banking, logins: [portal],", 1)
            text = text.replace("intermediates: [pki/chain.pem]", "intermediates: [pki/chain.pem, pki/crowd-chain.pem]")
            return text.replace("recipients: [pki/root.pem]", "recipients: [pki/root.pem, pki/crowd.pem]")

        bank = new_bank(root / "bank", hop=port, change=change)
        crowd(bank.home)
        run(
            sys.executable,
            "-m",
            "gateway",
            "--config",
            bank.config,
            "client",
            "add",
            "portal",
            octets=PASSWORD.encode() + b"\n",
        )
        with relay(bank, wait_for=(submission,)) as running:
            yield Site(running, internet, mailboxes, submission, tls)


def crowd(home: Path) -> None:
    """A hundred customers of another root, all with P-256."""
    (home / "pki" / "crowd.pem").write_bytes(get_pki().root_pem)
    (home / "pki" / "crowd-chain.pem").write_bytes(pem(get_pki().intermediate.der))
    people = [get_pki().recipient("p-256", email=address) for address in CROWD]
    store = open_store(load(home / "sealgate.yaml"))
    try:
        store.customers.put([Customer(f"2{number:04d}", "", (address,)) for number, address in enumerate(CROWD)])
        store.certificates.add(
            [NewCertificate(person.certificate, customer=f"2{number:04d}") for number, person in enumerate(people)]
        )
    finally:
        store.close()
