"""Makes a new bank from the answers: settings, policies, keys, authorities and the database. Nothing is overwritten."""

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509

from gateway import app
from gateway.app import database
from gateway.authority import ca
from gateway.authority.ca import Purpose
from gateway.clock import SystemClock
from gateway.cms.certificate import load_certificates
from gateway.distribution import directory
from gateway.errors import GatewayError, Reason
from gateway.model.lookup import Customer
from gateway.settings import Settings, load, read
from gateway.setup.answers import CLIENT, INTERNAL, NEW, Answers
from gateway.setup.authorities import InternalAuthority, TestAuthority
from gateway.setup.files import key_pem, pem
from gateway.setup.texts import policy_text, settings_text

DATABASE: Final = "sealgate.db"
TEST_CUSTOMER_NUMBER: Final = "1"
_DIRECTORIES: Final = (("policies", 0o755), ("keys", 0o700), ("trust", 0o755), ("trust/mail", 0o755),
                ("trust/time-stamps", 0o755), ("test", 0o700))


@dataclass(slots=True)
class Created:
    """Files in the order in which they were made; what the bank must still get, as sentences."""

    files: list[Path] = field(default_factory=list)
    requests: list[Path] = field(default_factory=list)
    password: str = ""  # of the test customer's PKCS#12 file


def create(config: Path, state: Path | None, answers: Answers) -> Created:
    """`config`: the settings file to be; everything else is beside it, the database in `state` (None: beside it too).

    GatewayError USAGE for wrong answers, and if any of it is there already: then nothing was written. What fails
    later takes away what it has made.
    """
    answers.check()
    home = config.absolute().parent
    _refuse_existing(config, home, state)
    made = _Making(home, (state or home) / DATABASE, answers, SystemClock().now())
    try:
        made.everything(config, state)
    except OSError as error:
        made.undo()
        raise GatewayError(Reason.USAGE, f"{error.filename or home}: {error.strerror or error}. What was written was "
                           "removed; correct the cause and run the command again") from None
    except BaseException:
        made.undo()
        raise
    return made.created


def _refuse_existing(config: Path, home: Path, state: Path | None) -> None:
    if state is not None and not state.is_dir():
        raise GatewayError(Reason.USAGE, f"--state: {state} does not exist. Create it for the gateway's user, such as "
                           f"`install -d -m 700 -o sealgate -g sealgate {state}`")
    files = [config, home / "database.id", home / "backup.secret", *_beside((state or home) / DATABASE)]
    there = [path for path in files if path.exists()]
    there += [path for name, _ in _DIRECTORIES for path in _children(home / name) if not path.is_dir()]
    if there:
        raise GatewayError(Reason.USAGE, f"{', '.join(map(str, there))}: exists already, and nothing is overwritten. "
                           "Change the settings by hand, or name another file with --config")


def _children(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from path.iterdir()


class _Making:
    def __init__(self, home: Path, database_file: Path, answers: Answers, now: datetime) -> None:
        self.home, self.answers, self.created = home, answers, Created()
        self._database_file = database_file
        self._test = TestAuthority.make(answers.name, now)
        self._internal = InternalAuthority.make(answers.name, now)
        self._directories: list[Path] = []

    def everything(self, config: Path, state: Path | None) -> None:
        for path, mode in ((self.home, 0o755), *((self.home / name, mode) for name, mode in _DIRECTORIES)):
            if not path.exists():
                path.mkdir(mode=mode, parents=True)
                path.chmod(mode)  # independent of the umask
                self._directories.append(path)
        draft = read(settings_text(self.answers, state, chain=False), config)
        chain = self._keys(draft)
        self._authorities()
        for policy in sorted(directory("policies").glob("*.yaml")):
            text = policy_text(policy.read_text("utf-8"), self.answers)
            self._write(self.home / "policies" / policy.name, text.encode())
        self._write(self.home / "backup.secret", secrets.token_hex(32).encode(), 0o600)
        self._write(config, settings_text(self.answers, state, chain=chain).encode())
        settings = load(config)
        self._database(settings)

    def undo(self) -> None:
        for path in (*self.created.files, *_beside(self._database_file)):
            path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
        for path in reversed(self._directories):
            with contextlib.suppress(OSError):
                path.rmdir()

    def _write(self, path: Path, octets: bytes, mode: int = 0o644) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        self.created.files.append(path)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)  # a umask of 027 would keep the gateway's user from its settings
            file.write(octets)

    def _keys(self, draft: Settings) -> bool:
        """Whether the signing key has a chain."""
        chain = self._signing(draft)
        self._generated(draft, "mailbox", Purpose.DECRYPT)
        self._internal_key("archive", "rsa-3072", Purpose.DECRYPT, "Archive of held mail")
        self._write(self.home / "keys" / "audit.key.pem", key_pem(ca.generate_key("ed25519")), 0o600)
        if self.answers.time_stamps == INTERNAL:
            self._internal_key("tsa", "p-256", Purpose.STAMP, f"Time-stamps of {self.answers.name}"[:64])
        return chain

    def _signing(self, draft: Settings) -> bool:
        keys = self.home / "keys"
        if self.answers.keys == NEW:
            self._generated(draft, CLIENT, Purpose.SIGN)
            return False
        source = Path(self.answers.keys)
        office = app.office(draft)
        written, purposes = office.import_key(office.read_file(source), CLIENT, keys,
                                              passphrase=self.answers.passphrase)
        self.created.files += [path for path in (written.key, written.certificate, written.chain) if path is not None]
        if written.certificate is None:
            raise GatewayError(Reason.USAGE, f"{source} has no certificate of its key. Add it to the file")
        if "sign" not in purposes:
            raise GatewayError(Reason.USAGE, f"{source}: the certificate does not permit signing mail. Request one "
                               "with the key usage digitalSignature")
        certificate = load_certificates(written.certificate.read_bytes())[0]
        named = {one.lower() for one in certificate.emails}
        if missing := [one for one in self.answers.addresses if one.lower() not in named]:
            names = ", ".join(sorted(named)) or "no address"
            raise GatewayError(Reason.USAGE, f"{source}: the certificate names {names}, "
                               f"not {', '.join(missing)}. Give From addresses that it names, or another file")
        return written.chain is not None

    def _generated(self, draft: Settings, name: str, purpose: Purpose) -> None:
        """A new key, the request for the bank's CA, and until its answer a certificate of the test authority."""
        office = app.office(draft)
        written = office.generate_key(name, "rsa-3072", self.home / "keys", emails=self.answers.addresses,
                                      use="sign" if purpose is Purpose.SIGN else "decrypt")
        self.created.files.append(written.key)
        if written.request is None:
            raise GatewayError(Reason.KEY_UNAVAILABLE, "no request was made for the new key")
        self.created.files.append(written.request)
        self.created.requests.append(written.request)
        public = x509.load_pem_x509_csr(written.request.read_bytes()).public_key()
        der = self._test.issue(public, purpose, self.answers.addresses)  # type: ignore[arg-type]
        self._write(self.home / "keys" / f"{name}.crt.pem", pem(der))

    def _internal_key(self, name: str, algorithm: str, purpose: Purpose, common_name: str) -> None:
        key = ca.generate_signing_key(algorithm)
        self._write(self.home / "keys" / f"{name}.key.pem", key_pem(key), 0o600)
        self._write(self.home / "keys" / f"{name}.crt.pem",
                    pem(self._internal.issue(key.public_key(), purpose, common_name)))

    def _authorities(self) -> None:
        if self.created.requests or self.answers.test_customer:
            self._write(self.home / "trust" / "mail" / "test-ca.pem", pem(self._test.authority.der))
            self._write(self.home / "test" / "ca.key.pem", key_pem(self._test.key), 0o600)
        if self.answers.time_stamps == INTERNAL:
            self._write(self.home / "trust" / "time-stamps" / "internal-ca.pem", pem(self._internal.authority.der))

    def _database(self, settings: Settings) -> None:
        database.create(settings)
        self.created.files += [settings.database, settings.database_id]
        if self.answers.test_customer:
            self._customer(settings, self.answers.test_customer)
        owner = settings.database.parent.stat()
        for path in _beside(settings.database):
            if os.geteuid() == 0:
                shutil.chown(path, owner.st_uid, owner.st_gid)

    def _customer(self, settings: Settings, address: str) -> None:
        key = ca.generate_signing_key("rsa-3072")
        der = self._test.customer(key.public_key(), address)
        self.created.password = secrets.token_urlsafe(9)
        self._write(self.home / "test" / "customer.crt.pem", pem(der))
        self._write(self.home / "test" / "customer.key.pem", key_pem(key), 0o600)
        self._write(self.home / "test" / "customer.p12", ca.write_p12(
            address, key, der, (self._test.authority.der,), self.created.password.encode()), 0o600)
        store = app.open_store(settings)
        try:
            store.customers.put([Customer(TEST_CUSTOMER_NUMBER, "Test customer", (address,), "test")])
            app.enrol(store, [(pem(der), TEST_CUSTOMER_NUMBER)])
        finally:
            store.close()


def _beside(path: Path) -> Iterator[Path]:
    """The database and what SQLite and the evidence keep beside it."""
    if path.parent.is_dir():
        yield from sorted(one for one in path.parent.iterdir() if one.name.startswith(path.name))
