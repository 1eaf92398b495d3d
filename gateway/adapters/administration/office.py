"""What people do by hand, for the commands: filling the store from files, logins of clients, the bank's own keys.

A facade over the adapters beside it, so that commands need to know none of them.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

from gateway.adapters.administration import certificate_import as import_certificates
from gateway.adapters.administration import csv_import as import_csv
from gateway.adapters.administration.certificate_import import Item
from gateway.adapters.files import logins as clients_file
from gateway.adapters.keys import inventory as key_list
from gateway.adapters.keys import rollover as key_rollover
from gateway.adapters.keys import tools as key_tools
from gateway.adapters.keys.combined import with_tokens
from gateway.adapters.keys.files import read_passphrase
from gateway.adapters.keys.inventory import KeyEntry
from gateway.adapters.keys.refused_pins import directory_of
from gateway.adapters.keys.request import Use, asked
from gateway.adapters.keys.rollover import Rolled
from gateway.adapters.keys.tools import Bundle, Purpose, Written
from gateway.clock import Clock, SystemClock
from gateway.errors import GatewayError, Reason
from gateway.model.lookup import Customer, KeyOrigin
from gateway.ports.administration import CertificateStore, CustomerStore, Kept, Trouble
from gateway.settings import NAME_CHARACTERS, Settings, Token


class Office:
    """Needs the settings for paths; the constructor opens no key and no database."""

    algorithms: Final = key_tools.ALGORITHMS

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()

    def certificates_from_files(
            self, store: CertificateStore, paths: tuple[Path, ...], *, passphrase_file: Path | None = None,
            passphrase: bytes | None = None, customer: str | None = None, key_origin: KeyOrigin = "unknown",
            device_bound: bool = False, profile: Literal["cbc", "gcm"] | None = None) -> Iterator[Kept | Trouble]:
        """See import_certificates. A file that cannot be read is a Trouble."""
        if passphrase_file is not None:
            passphrase = read_passphrase(passphrase_file)
        for path in paths:
            try:
                octets = import_csv.read_file(path)
            except GatewayError as error:
                yield Trouble(str(path), error.reason, error.detail)
                continue
            item = Item(str(path), octets, passphrase, customer, key_origin, device_bound, profile)
            yield from import_certificates.import_certificates(store, [item], self._clock.now())

    def certificates_from_csv(self, store: CertificateStore, path: Path) -> Iterator[Kept | Trouble]:
        """Columns: file, customer, key_origin, device_bound, profile, passphrase_file; a million lines are well."""
        troubles: list[Trouble] = []

        def items() -> Iterator[Item]:
            for item in import_csv.certificate_items(_text(path), str(path), path.parent):
                if isinstance(item, Item):
                    yield item
                else:
                    troubles.append(item)

        yield from import_certificates.import_certificates(store, items(), self._clock.now())
        yield from troubles

    def customers_from_csv(self, store: CustomerStore, path: Path) -> Iterator[Customer | Trouble]:
        """Columns: number, name, addresses (separated by blanks), segment."""
        return import_csv.import_customers(store, _text(path), str(path))

    def add_client(self, name: str, password: str) -> bool:
        """True if the login is new, False if its password was changed. USAGE without `passwords` in the settings."""
        return clients_file.add_client(self._passwords(), name, password)

    def remove_client(self, name: str) -> None:
        """USAGE if there is no such login."""
        clients_file.remove_client(self._passwords(), name)

    def logins(self) -> tuple[tuple[str, bool], ...]:
        """Each login that a client of the settings names or the file has, and whether the file has it."""
        named = {login for client in self._settings.clients for login in client.logins}
        path = self._settings.passwords
        there = set(clients_file.read_clients(path)) if path is not None and path.exists() else set()
        return tuple((login, login in there) for login in sorted(named | there))

    def keys(self) -> tuple[KeyEntry, ...]:
        """Every key of the settings, with what is wrong."""
        return key_list.list_keys(self._settings, self._clock.now())

    def token_objects(self, name: str) -> tuple[tuple[str, str, str, tuple[str, ...]], ...]:
        """Label, id, kind and abilities of every private key on a token. USAGE, KEY_UNAVAILABLE."""
        return tuple((one.label, one.id, one.algorithm, tuple(sorted(one.may)))
                     for one in with_tokens().list_token(self._token(name), directory_of(self._settings)))

    def read_file(self, path: Path) -> bytes:
        """A whole file within the limit. INPUT_UNREADABLE, INPUT_TOO_LARGE."""
        return import_csv.read_file(path)

    def import_key(self, octets: bytes, name: str, directory: Path, *, passphrase: bytes | None = None,
                   certificates: bytes | None = None,
                   protect_with: Path | None = None) -> tuple[Written, tuple[Purpose, ...]]:
        """Writes key and certificates of a file's octets as the gateway's files; returns also the purposes."""
        _check_name(name)
        bundle = key_tools.read_bundle(octets, passphrase, certificates)
        purposes = () if bundle.certificate is None else key_tools.purposes_of(bundle.certificate)
        return key_tools.write(directory, name, bundle, passphrase=read_passphrase(protect_with)), purposes

    def generate_key(self, name: str, algorithm: str, directory: Path, *, emails: tuple[str, ...] = (),
                     subject: str = "", use: Use | None = None, request: Path | None = None,
                     protect_with: Path | None = None) -> Written:
        """A new key in a file, and the request for its certificate (X25519 has none: it cannot sign)."""
        _check_name(name)
        key = key_tools.generate(algorithm)
        whom = asked(name, emails, subject, use)
        pem = None if algorithm == "x25519" else key_tools.request(key, whom)
        return key_tools.write(directory, name, Bundle(key, None, ()), passphrase=read_passphrase(protect_with),
                               request_pem=pem, request_path=request)

    def generate_on_token(self, token: str, label: str, algorithm: str, *, emails: tuple[str, ...] = (),
                          subject: str = "", use: Use = "sign", request: Path | None = None) -> bytes:
        """A new key on a token; the request for its certificate in PEM, written to `request` too if that is named."""
        _check_name(label)
        key_tools.check_new(algorithm, key_tools.TOKEN_ALGORITHMS)
        place, whom = self._token(token), asked(label, emails, subject, use)
        return key_rollover.made_on_token(request, lambda: with_tokens().make_key(
            place, label, algorithm, whom, decrypts=use == "decrypt", refused_pins=directory_of(self._settings)))

    def roll_over(self, name: str, algorithm: str | None = None) -> Rolled:
        """The next key of a key set, beside the one there is."""
        return key_rollover.roll_over(self._settings, name, self._clock.now().date(), algorithm)

    def _token(self, name: str) -> Token:
        for token in self._settings.tokens:
            if token.name == name:
                return token
        names = [token.name for token in self._settings.tokens]
        raise GatewayError(Reason.USAGE, f"the settings have no token `{name}`. Use one of `tokens`: "
                           f"{', '.join(names) or 'none'}")

    def _passwords(self) -> Path:
        if self._settings.passwords is None:
            raise GatewayError(Reason.USAGE, "`passwords` is not set in the settings. Set it to a file first")
        return self._settings.passwords


def _check_name(name: str) -> None:
    if not name or not NAME_CHARACTERS.issuperset(name) or name.startswith("."):
        raise GatewayError(Reason.USAGE,
                           f"`{name}` is not a valid name. Use only letters, digits, `.`, `-` and `_`, such "
                           "as otp-2027")


def _text(path: Path) -> str:
    try:
        return import_csv.read_file(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise GatewayError(Reason.INPUT_MALFORMED, f"{path}: the octet at position {error.start} is not UTF-8. Save "
                           "the file as UTF-8") from None
