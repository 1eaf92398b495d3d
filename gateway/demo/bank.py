"""The demo's bank: a directory with everything that a real one has, made in a second.

DIR/sealgate.yaml            settings, usable with `sealgate --config DIR/sealgate.yaml run`
DIR/policies/                the policies of the distribution
DIR/pki/root.pem             the root that everybody here believes; the authorities' keys
DIR/keys/                    the bank's own keys and certificates
DIR/customers/NAME.*         certificate, key, PKCS#12 (password `demo`)
DIR/clients/NAME.token       with which the bank's systems ask over HTTP; the gateway itself keeps only NAME.sha256
DIR/statements/              what statement runs read
DIR/partners/NAME.*          the same of people whom only their company's directory knows
DIR/outgoing/, incoming/     what left the gateway, what the bank received
"""

import hashlib
import secrets
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from gateway import app
from gateway.app import database
from gateway.authority import ca
from gateway.authority.ca import Purpose
from gateway.clock import SystemClock
from gateway.demo.authorities import Authorities
from gateway.demo.openssl import Person
from gateway.distribution import directory
from gateway.errors import GatewayError, Reason
from gateway.model.lookup import Customer
from gateway.settings import load
from gateway.setup.files import key_pem, pem, write

DOMAIN: Final = "bank.example"
PASSWORD: Final = "demo"  # noqa: S105 - printed by the demo, protects nothing
CLIENTS: Final = {"online-banking": "127.0.0.1", "core-banking": "127.0.0.2", "staff": "127.0.0.3"}
NUMBERS: Final = {"anna": "10001", "ben": "10002"}  # of customers
NOBODYS_NUMBER, NOBODYS_ADDRESS = "10003", "clara@nowhere.example"  # a customer without a certificate
_TSA_POLICY: Final = "1.3.6.1.4.1.99999.1.1"  # an example arc; a bank takes one of its own
_DIRECTORIES: Final = (
    "pki", "keys", "clients", "customers", "partners", "policies", "statements", "outgoing", "incoming", "scratch",
)
_POLICIES: Final = ("codes", "statements", "staff", "bounces", "inbound")
_SECRETS: Final = ("codes", "statements", "pdf")
_MARK: Final = ".sealgate-demo"
KEYS: Final = {Purpose.SIGN: "rsa-2048", Purpose.DECRYPT: "rsa-3072", Purpose.STAMP: "p-256"}  # the bank's own


@dataclass(frozen=True, slots=True)
class Ports:
    """On 127.0.0.1."""

    outbound: int = 2525
    sink: int = 2526
    inbound: int = 2527
    lists: int = 2528
    directory: int = 2529
    http: int = 2530
    metrics: int = 2531
    api: int = 0  # 0: the bank's own systems ask nothing over HTTP

    @classmethod
    def beginning(cls, first: int) -> "Ports":
        """Eight neighbours."""
        return cls(*range(first, first + 8))


@dataclass(frozen=True, slots=True)
class Bank:
    """The directory and who lives in it."""

    home: Path
    ports: Ports
    people: dict[str, Person]
    partners: dict[str, Person]
    authorities: Authorities

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

    def token(self, client: str) -> str:
        """What a client of the bank asks the HTTP interface with; a real one would keep it as it keeps keys."""
        return (self.home / "clients" / f"{client}.token").read_text("ascii").strip()

    @property
    def scratch(self) -> Path:
        """Where checks put their files."""
        return self.home / "scratch"


def open_bank(home: Path, ports: Ports) -> Bank:
    """The bank in `home`, created if it is missing. GatewayError USAGE if `home` has other files."""
    new = not (home / _MARK).exists()
    if new and home.exists() and any(home.iterdir()):
        raise GatewayError(Reason.USAGE, f"{home} is not empty and not a demo; name another directory with --home")
    for name in _DIRECTORIES:
        (home / name).mkdir(parents=True, exist_ok=True)
    now = SystemClock().now()
    authorities = (
        Authorities.make(home / "pki", ports.lists, now) if new else Authorities.load(home / "pki", ports.lists)
    )
    bank = Bank(
        home,
        ports,
        _people(home / "customers", "customer.example", ("anna", "ben")),
        _people(home / "partners", "partner.example", ("dora", "erik")),
        authorities,
    )
    if new:
        _make(bank, now)
    write(bank.config, _settings(ports).encode())
    return bank


def _people(directory: Path, domain: str, names: Iterable[str]) -> dict[str, Person]:
    return {
        name: Person(name, f"{name}@{domain}", directory / f"{name}.crt.pem", directory / f"{name}.key.pem")
        for name in names
    }


def _make(bank: Bank, now: datetime) -> None:
    home = bank.home
    for name in ("otp", "statements", "staff"):
        _service(bank, name, f"{name}@{DOMAIN}", Purpose.SIGN, now)
    _service(bank, "support-decrypt", f"support@{DOMAIN}", Purpose.DECRYPT, now)
    _service(bank, "archive", f"archive@{DOMAIN}", Purpose.DECRYPT, now)
    for name in ("tsa", "tsa-public"):
        _service(bank, name, "", Purpose.STAMP, now)
    write(home / "keys" / "card.key.pem", key_pem(ca.generate_key("p-256")), mode=0o600)
    write(home / "keys" / "audit.key.pem", key_pem(ca.generate_key("ed25519")), mode=0o600)
    for name in _SECRETS:
        write(home / "keys" / f"{name}.secret", secrets.token_hex(32).encode(), mode=0o600)
    for client in ("online-banking", "core-banking"):
        _token(bank, client)
    people = (*bank.people.values(), *bank.partners.values())
    for person, algorithm in zip(people, ("rsa-3072", "rsa-2048", "rsa-2048", "rsa-2048"), strict=True):
        _person(bank, person, algorithm, now)
    for policy in sorted(directory("policies").glob("*.yaml")):
        shutil.copy(policy, home / "policies" / policy.name)
    write(bank.config, _settings(bank.ports).encode())
    _enrol(bank)
    write(home / _MARK, b"This directory belongs to `sealgate demo`.\n")


def _service(bank: Bank, name: str, address: str, purpose: Purpose, now: datetime) -> None:
    key = ca.generate_signing_key(KEYS[purpose])
    der = bank.authorities.service(name, address, purpose, key, now)
    write(bank.home / "keys" / f"{name}.crt.pem", pem(der))
    write(bank.home / "keys" / f"{name}.key.pem", key_pem(key), mode=0o600)


def _token(bank: Bank, client: str) -> None:
    """The client's token, and what the gateway keeps of it."""
    token = secrets.token_urlsafe(32)
    write(bank.home / "clients" / f"{client}.token", token.encode(), mode=0o600)
    write(bank.home / "clients" / f"{client}.sha256", hashlib.sha256(token.encode()).hexdigest().encode(), mode=0o600)


def _person(bank: Bank, person: Person, algorithm: str, now: datetime) -> None:
    """One key that signs and decrypts, as customers have them."""
    key = ca.generate_signing_key(algorithm)
    der = bank.authorities.person(f"{person.name.capitalize()} Customer", person.address, key, now)
    mail = bank.authorities.mail
    write(person.certificate, pem(der))
    write(person.key, key_pem(key), mode=0o600)
    write(
        person.certificate.with_name(f"{person.name}.p12"),
        ca.write_p12(person.name, key, der, (mail.der, *mail.chain), PASSWORD.encode()),
        mode=0o600,
    )


def _enrol(bank: Bank) -> None:
    """Customers and their certificates into the store, bound to their numbers."""
    settings = load(bank.config)
    database.create(settings)
    store = app.open_store(settings)
    try:
        store.customers.put(
            [
                *(
                    Customer(NUMBERS[person.name], person.name.capitalize(), (person.address,), "retail")
                    for person in bank.people.values()
                ),
                Customer(NOBODYS_NUMBER, "Clara", (NOBODYS_ADDRESS,), "retail"),
            ]
        )
        app.enrol(
            store,
            [
                (person.certificate.read_bytes(), NUMBERS[person.name])
                for person in bank.people.values()
            ],
        )
    finally:
        store.close()


def _settings(ports: Ports) -> str:
    return f"""\
# The demo's bank. Each client has a loopback address of its own, so that swaks can be any of them.
version: 1
bank:
  domains: [{DOMAIN}]
  hostname: gateway.{DOMAIN}
  name: Demo Bank
  trusted_authserv_ids: [filter.{DOMAIN}] # the spam filter that would be in front
listeners:
  - {{name: outbound, role: outbound, host: 127.0.0.1, port: {ports.outbound}}}
  - {{name: inbound, role: inbound, host: 127.0.0.1, port: {ports.inbound}, trusted_peers: ["127.0.0.9/32"]}}
clients:
  - {{name: online-banking, networks: ["{CLIENTS["online-banking"]}/32"], from: ["otp@{DOMAIN}"],
      token_file: clients/online-banking.sha256, scopes: [codes]}}
  - {{name: core-banking, networks: ["{CLIENTS["core-banking"]}/32"], from: ["statements@{DOMAIN}"],
      token_file: clients/core-banking.sha256, scopes: [statements]}}
  - {{name: staff, networks: ["{CLIENTS["staff"]}/32"], from: ["staff@{DOMAIN}"]}}
next_hops:
  outbound: {{host: 127.0.0.1, port: {ports.sink}, tls: none}}
  inbound: {{host: 127.0.0.1, port: {ports.sink}, tls: none}}
keys:
  - {{name: otp, purpose: sign, key: keys/otp.key.pem, certificate: keys/otp.crt.pem, chain: pki/chain.pem,
      from: ["otp@{DOMAIN}"], clients: [online-banking, sealgate]}}
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
  - {{name: public, key: keys/tsa-public.key.pem, certificate: keys/tsa-public.crt.pem, chain: pki/chain.pem,
      policy_oid: {_TSA_POLICY}, clock_check: none}}
http: {{port: {ports.http}, tsa: public}}
metrics: {{port: {ports.metrics}}}
{f"api: {{port: {ports.api}}}" if ports.api else "# no `api` here: no client uses HTTP"}
codes: {{from: "otp@{DOMAIN}", secret_file: keys/codes.secret, bounces: "codes@{DOMAIN}",
  alarm_to: "security@{DOMAIN}"}}
statements: {{from: "statements@{DOMAIN}", secret_file: keys/statements.secret, client: core-banking,
  bounces: "bounces@{DOMAIN}", refused_percent_max: 30}}
processes: {{relay: 2}}
sources:
  # The partner's directory, here on loopback; short times, so that the tour need not wait.
  - {{name: partner, kind: http, domains: [partner.example], url: "http://127.0.0.1:{ports.directory}/?mail={{address}}",
      networks: [127.0.0.0/8], deadline_s: 2, pause_s: 1}}
fetch: {{networks: [127.0.0.0/8]}}
trust:
  signers: [pki/root.pem]
  recipients: [pki/root.pem]
  stampers: [pki/root.pem]
  intermediates: [pki/chain.pem]
hold: {{archive_certificate: keys/archive.crt.pem, archive_key: keys/archive.key.pem}}
trust_card: {{key: keys/card.key.pem}}
audit: {{key: keys/audit.key.pem}}
policies: [{", ".join(f"policies/{name}.yaml" for name in _POLICIES)}]
"""
