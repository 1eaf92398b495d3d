"""The whole way as a bank has it: swaks -> the real relay -> a real Postfix -> what stands behind it.

Behind Postfix are two sinks, the mailboxes of bank.example and the rest of the world.
"""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.app import open_store
from gateway.model.lookup import Customer
from gateway.ports.administration import NewCertificate
from gateway.settings import load
from tests.support.command_server import prefix
from tests.support.peers import need, run
from tests.support.pki import get_pki, pem
from tests.support.postfix import private_postfix
from tests.support.process import Relay, free_ports, new_bank, relay, without_web
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


def site_main_cf(mailboxes: int, internet: int) -> str:
    """What the bank's Postfix says: its own domain to the mailboxes, the rest to the internet."""
    return f"""\
myhostname = mx.bank.example
mydestination =
mynetworks = 127.0.0.0/8
relay_domains = bank.example
relay_recipient_maps = inline:{{ support@bank.example=ok, otp@bank.example=ok }}
relay_transport = smtp:[127.0.0.1]:{mailboxes}
default_transport = smtp:[127.0.0.1]:{internet}
smtp_destination_recipient_limit = 1000
smtputf8_enable = yes
local_recipient_maps =
message_size_limit = 62914560
smtpd_client_connection_count_limit = 0
smtpd_recipient_restrictions = reject_unlisted_recipient, permit_mynetworks, reject
"""


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
        private_postfix(root / "postfix", site_main_cf(mailboxes.port, internet.port)) as port,
    ):

        def change(text: str) -> str:
            text = without_web(text).replace("role: inbound,", "role: inbound, recipient_check: next_hop,")
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
            *prefix(),
            "--config",
            bank.config,
            "client",
            "add",
            "portal",
            octets=PASSWORD.encode() + b"\n",
        )
        with relay(bank, wait_for=(submission,), forked=True) as running:
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
