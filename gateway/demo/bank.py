"""The demo's bank: a directory with everything that a real one has, made in a second.

DIR/sealgate.yaml            settings, usable with `sealgate --config DIR/sealgate.yaml run`
DIR/policies/                the policies of the distribution
DIR/pki/root.pem             the root that everybody here believes
DIR/keys/                    the bank's own keys and certificates
DIR/customers/NAME.*         certificate, key, PKCS#12 (password `demo`)
DIR/outgoing/, incoming/     what left the gateway, what the bank received
"""

import os
import shutil
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gateway import app
from gateway.authority import ca
from gateway.authority.ca import Authority, Naming, PrivateKey, Profile, Purpose
from gateway.clock import SystemClock
from gateway.demo.openssl import Person
from gateway.errors import GatewayError, Reason
from gateway.model.lookup import Customer
from gateway.settings import load

DOMAIN: Final = "bank.example"
PASSWORD: Final = "demo"  # noqa: S105 - printed by the demo, protects nothing
CLIENTS: Final = {"online-banking": "127.0.0.1", "core-banking": "127.0.0.2", "staff": "127.0.0.3"}
_YEARS: Final = timedelta(days=365)
_TSA_POLICY: Final = "1.3.6.1.4.1.99999.1.1"  # an example arc; a bank takes one of its own
_MAIL_EKU: Final = "1.3.6.1.5.5.7.3.4"
_MARK: Final = ".sealgate-demo"


@dataclass(frozen=True, slots=True)
class Ports:
    """On 127.0.0.1."""

    outbound: int = 2525
    sink: int = 2526
    inbound: int = 2527


@dataclass(frozen=True, slots=True)
class Bank:
    """The directory and who lives in it."""

    home: Path
    ports: Ports
    people: dict[str, Person]

    @property
    def config(self) -> Path:
        """The settings file."""
        return self.home / "sealgate.yaml"

    @property
    def root(self) -> Path:
        """PEM of the root."""
        return self.home / "pki" / "root.pem"

    @property
    def support_certificate(self) -> Path:
        """PEM of the certificate to which customers encrypt."""
        return self.home / "keys" / "support-decrypt.crt.pem"

    @property
    def scratch(self) -> Path:
        """Where checks put their files."""
        return self.home / "scratch"


def open_bank(home: Path, ports: Ports) -> Bank:
    """The bank in `home`, made if it is not there. GatewayError USAGE if `home` is somebody else's directory."""
    people = {
        name: Person(
            name,
            f"{name}@customer.example",
            home / "customers" / f"{name}.crt.pem",
            home / "customers" / f"{name}.key.pem",
        )
        for name in ("anna", "ben")
    }
    bank = Bank(home, ports, people)
    if home.exists() and any(home.iterdir()) and not (home / _MARK).exists():
        raise GatewayError(Reason.USAGE, f"{home} is not empty and not a demo; name another directory with --home")
    if not (home / _MARK).exists():
        _make(bank)
    _write(bank.config, _settings(ports).encode())
    for directory in ("outgoing", "incoming", "scratch"):
        (home / directory).mkdir(exist_ok=True)
    return bank


def _make(bank: Bank) -> None:
    home = bank.home
    for directory in ("pki", "keys", "customers", "policies"):
        (home / directory).mkdir(parents=True, exist_ok=True)
    now = SystemClock().now()
    root_key = ca.generate_signing_key("p-256")
    root = ca.create_root(
        Naming("Sealgate Demo Root", "Demo Bank", "DE"), root_key, now - timedelta(days=1), now + 10 * _YEARS
    )
    issuing_key = ca.generate_signing_key("p-256")
    issuing = ca.create_intermediate(
        root, Naming("Sealgate Demo Mail CA", "Demo Bank", "DE"), issuing_key, now - timedelta(days=1), now + 5 * _YEARS
    )
    _write(bank.root, _pem(root.der))
    _write(home / "pki" / "chain.pem", _pem(issuing.der))
    for name in ("otp", "statements", "staff"):
        _service(bank, issuing, name, f"{name}@{DOMAIN}", Purpose.SIGN, now)
    _service(bank, issuing, "support-decrypt", f"support@{DOMAIN}", Purpose.DECRYPT, now)
    _service(bank, issuing, "archive", f"archive@{DOMAIN}", Purpose.DECRYPT, now)
    _service(bank, issuing, "tsa", "", Purpose.STAMP, now)
    _write(home / "keys" / "card.key.pem", _key(ca.generate_key("p-256")), mode=0o600)
    for name, algorithm in (("anna", "rsa-3072"), ("ben", "rsa-2048")):
        _customer(bank, issuing, name, algorithm, now)
    for policy in policy_files():
        shutil.copy(policy, home / "policies" / policy.name)
    _write(bank.config, _settings(bank.ports).encode())
    _enrol(bank)
    _write(home / _MARK, b"This directory belongs to `sealgate demo`.\n")


def policy_files() -> tuple[Path, ...]:
    """The policies of the distribution: beside the package in a source tree, inside it when installed."""
    installed = Path(str(files("gateway"))) / "_policies"
    source = Path(str(files("gateway"))).parent / "policies"
    directory = installed if installed.is_dir() else source
    return tuple(sorted(directory.glob("*.yaml")))


def _service(bank: Bank, issuer: Authority, name: str, address: str, purpose: Purpose, now: datetime) -> None:
    key = ca.generate_key(
        "rsa-3072" if purpose is Purpose.DECRYPT else "p-256" if purpose is Purpose.STAMP else "rsa-2048"
    )
    if isinstance(key, x25519.X25519PrivateKey):
        raise GatewayError(Reason.INTERNAL, "the demo makes no such key")
    naming = Naming(f"Demo Bank {name}", "Demo Bank", "DE", (address,) if address else ())
    der = ca.issue(
        issuer,
        naming,
        key.public_key(),
        ca.profile_for(purpose, key.public_key()),
        now - timedelta(hours=1),
        now + 2 * _YEARS,
    )
    _write(bank.home / "keys" / f"{name}.crt.pem", _pem(der))
    _write(bank.home / "keys" / f"{name}.key.pem", _key(key), mode=0o600)


def _customer(bank: Bank, issuer: Authority, name: str, algorithm: str, now: datetime) -> None:
    """One key that signs and decrypts, as customers have them."""
    person = bank.people[name]
    key = ca.generate_signing_key(algorithm)
    profile = Profile(frozenset({"digital_signature", "key_encipherment"}), (_MAIL_EKU,))
    der = ca.issue(
        issuer,
        Naming(f"{name.capitalize()} Customer", "", "DE", (person.address,)),
        key.public_key(),
        profile,
        now - timedelta(hours=1),
        now + 2 * _YEARS,
    )
    _write(person.certificate, _pem(der))
    _write(person.key, _key(key), mode=0o600)
    _write(
        bank.home / "customers" / f"{name}.p12",
        ca.write_p12(name, key, der, (issuer.der, *issuer.chain), PASSWORD.encode()),
        mode=0o600,
    )


def _enrol(bank: Bank) -> None:
    """Customers and their certificates into the store, bound to their numbers."""
    settings = load(bank.config)
    store = app.open_store(settings)
    try:
        store.customers.put(
            [
                Customer(f"1000{number}", person.name.capitalize(), (person.address,), "retail")
                for number, person in enumerate(bank.people.values(), 1)
            ]
        )
        app.enrol(
            store,
            [
                (person.certificate.read_bytes(), f"1000{number}")
                for number, person in enumerate(bank.people.values(), 1)
            ],
        )
    finally:
        store.close()


def _pem(der: bytes) -> bytes:
    from cryptography import x509

    return x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)


def _key(key: PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write(path: Path, octets: bytes, mode: int = 0o644) -> None:
    """A file that never exists with wider rights than it shall have."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(octets)


def _settings(ports: Ports) -> str:
    return f"""\
# The demo's bank. Clients are told apart by their loopback address, so that swaks can be any of them.
version: 1
bank:
  domains: [{DOMAIN}]
  hostname: gateway.{DOMAIN}
  trusted_authserv_ids: [filter.{DOMAIN}] # the spam filter that would stand in front
listeners:
  - {{name: outbound, role: outbound, host: 127.0.0.1, port: {ports.outbound}}}
  - {{name: inbound, role: inbound, host: 127.0.0.1, port: {ports.inbound}, trusted_peers: ["127.0.0.9/32"]}}
clients:
  - {{name: online-banking, networks: ["{CLIENTS["online-banking"]}/32"], from: ["otp@{DOMAIN}"]}}
  - {{name: core-banking, networks: ["{CLIENTS["core-banking"]}/32"], from: ["statements@{DOMAIN}"]}}
  - {{name: staff, networks: ["{CLIENTS["staff"]}/32"], from: ["staff@{DOMAIN}"]}}
next_hops:
  outbound: {{host: 127.0.0.1, port: {ports.sink}, tls: none}}
  inbound: {{host: 127.0.0.1, port: {ports.sink}, tls: none}}
keys:
  - {{name: otp, purpose: sign, key: keys/otp.key.pem, certificate: keys/otp.crt.pem, chain: pki/chain.pem,
      from: ["otp@{DOMAIN}"], clients: [online-banking]}}
  - {{name: statements, purpose: sign, key: keys/statements.key.pem, certificate: keys/statements.crt.pem,
      chain: pki/chain.pem, from: ["statements@{DOMAIN}"], clients: [core-banking]}}
  - {{name: staff, purpose: sign, key: keys/staff.key.pem, certificate: keys/staff.crt.pem, chain: pki/chain.pem,
      encryption_certificate: keys/support-decrypt.crt.pem, from: ["staff@{DOMAIN}"], clients: [staff]}}
  - {{name: support, purpose: decrypt, key: keys/support-decrypt.key.pem, certificate: keys/support-decrypt.crt.pem,
      recipients: ["support@{DOMAIN}"]}}
stampers:
  # clock_check: none, because a demo machine's kernel may not know whether its clock is right. A bank says kernel.
  - {{name: internal, key: keys/tsa.key.pem, certificate: keys/tsa.crt.pem, chain: pki/chain.pem,
      policy_oid: {_TSA_POLICY}, clock_check: none}}
trust:
  signers: [pki/root.pem]
  recipients: [pki/root.pem]
  stampers: [pki/root.pem]
  intermediates: [pki/chain.pem]
hold: {{archive_certificate: keys/archive.crt.pem, archive_key: keys/archive.key.pem}}
trust_card: {{key: keys/card.key.pem}}
policies: [policies/codes.yaml, policies/statements.yaml, policies/staff.yaml, policies/inbound.yaml]
"""
