"""Certificates out of LDAP directories: the bank's own, or a partner's. The protocol itself is `ldap_child`'s.

The address goes into the filter with every octet escaped that is more than a letter, digit or one of `@.-_`
(RFC 4515 3 lets any octet be escaped), so that no address can widen the search. TLS, where the URL or `starttls` asks
for it, is without alternative: chain and host name are checked, and nothing is asked in clear if it fails.
Referrals are never followed. RFC 4511, 4513, 4515, 4523; bonsai 1.5.5 over libldap, in processes of their own.
"""

import importlib.util
import json
import os
import ssl
import time
from base64 import b64decode
from pathlib import Path
from typing import Any, Final

from gateway.adapters.directories import ldap_child
from gateway.adapters.directories.rows import rows_of, unavailable
from gateway.adapters.keys.files import read_passphrase
from gateway.child_process import ChildProcess, ChildProcesses, KilledError
from gateway.errors import GatewayError, Reason
from gateway.model.lookup import CertificateRow
from gateway.settings import LdapSourceSettings

_PLAIN: Final = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@.-_")
_CONTROLS: Final = frozenset(map(chr, (*range(32), 127)))
_PROGRAM: Final = Path(ldap_child.__file__)
_PASSED_ON: Final = ("OPENSSL_CONF",)  # of the environment


def _is_text(address: str) -> bool:
    """Whether it can be a mailbox at all (RFC 5321 4.1.2, RFC 6531 3.3): slapd takes `x` NUL for `x`."""
    return _CONTROLS.isdisjoint(address) and not any("\ud800" <= letter <= "\udfff" for letter in address)


def escaped(address: str) -> str:
    """An assertion value for a filter (RFC 4515 3) that means exactly these octets of UTF-8."""
    return "".join(chr(octet) if octet in _PLAIN else f"\\{octet:02x}" for octet in address.encode())


class LdapSource:
    """See ports.certificates.CertificateSource. Safe on many threads: each question has a connection of its own."""

    def __init__(self, settings: LdapSourceSettings) -> None:
        """Connects to nothing yet. CONFIG_INVALID if bonsai is not installed."""
        if importlib.util.find_spec("bonsai") is None:
            raise GatewayError(
                Reason.CONFIG_INVALID,
                f"source {settings.name}: LDAP needs the package bonsai, which is not installed: make ldap")
        self.name = settings.name
        self._settings = settings
        self._children = ChildProcesses(settings.in_flight_max)

    def rows(self, address: str) -> tuple[CertificateRow, ...]:
        """See CertificateSource; within `deadline_s` with any directory."""
        if not _is_text(address):
            return ()
        deadline_s = self._settings.deadline_s
        search = self._settings.filter.replace("{address}", escaped(address))
        question = json.dumps({"filter": search, "timeout_s": deadline_s}).encode()
        try:
            answer = json.loads(self._children.ask(self._start, question, time.monotonic() + deadline_s, _is_good))
        except TimeoutError:
            raise unavailable(self.name, f"no answer within {deadline_s} s") from None
        except (EOFError, OSError) as error:
            killed = f": {error}" if isinstance(error, KilledError) else ""
            raise unavailable(self.name, f"the LDAP process ended without an answer{killed}") from None
        if "values" not in answer:
            raise unavailable(self.name, str(answer.get("trouble")))
        return rows_of((b64decode(value) for value in answer["values"]), self.name)

    def close(self) -> None:
        """Hangs up; a connection in use ends after its question."""
        self._children.close()

    def _start(self) -> ChildProcess:
        """A process with one connection."""
        first = json.dumps(self._how()).encode()
        passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        try:
            return ChildProcess(_PROGRAM, first, ldap_child.FRAME_OCTETS_MAX, {**passed_on, "LDAPNOINIT": "1"})
        except OSError as error:
            raise unavailable(self.name, f"the LDAP process cannot be started: {error}") from None

    def _how(self) -> dict[str, Any]:
        """How to connect. The password is read again for each connection, so that it can be changed."""
        settings = self._settings
        system = ssl.get_default_verify_paths()
        password = None
        if settings.bind_dn:
            try:
                password = (read_passphrase(settings.password_file) or b"").decode()
            except GatewayError as error:
                raise unavailable(self.name, error.detail) from None
            except UnicodeDecodeError:
                raise unavailable(self.name, f"{settings.password_file} is not UTF-8") from None
            if not password:  # a bind with a name and no password is an anonymous one (RFC 4513 5.1.2)
                raise unavailable(self.name, f"{settings.password_file} is empty; write the password as its first line")
        own = settings.tls_ca
        if own is not None and not own.is_file():  # libldap would say that the directory's certificate is wrong
            raise unavailable(self.name, f"tls_ca: {own} does not exist")
        return {
            "url": settings.url,
            "starttls": settings.starttls,
            "ca_file": str(own.absolute()) if own else system.cafile,
            "ca_directory": None if own else system.capath,
            "base": settings.base,
            "bind_dn": settings.bind_dn,
            "password": password,
        }


def _is_good(answer: bytes) -> bool:
    """Whether the process is kept for the next question."""
    return "values" in json.loads(answer)
