"""Certificates out of LDAP directories: the bank's own, or a partner's. The protocol itself is `ldap_child`'s.

The address goes into the filter with every octet escaped that is more than a letter, digit or one of `@.-_`
(RFC 4515 3 lets any octet be escaped), so that no address can widen the search. TLS, where the URL or `starttls` asks
for it, is without alternative: chain and host name are checked, and nothing is asked in clear if it fails.
Referrals are never followed. RFC 4511, 4513, 4515, 4523; bonsai 1.5.5 over libldap, in processes of their own.
"""

import contextlib
import importlib.util
import json
import os
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
import weakref
from base64 import b64decode
from pathlib import Path
from typing import Any, Final

from gateway.adapters.directories import ldap_child
from gateway.adapters.directories.rows import rows_of, unavailable
from gateway.adapters.keys.files import read_passphrase
from gateway.errors import GatewayError, Reason
from gateway.model.lookup import CertificateRow
from gateway.settings import LdapSourceSettings

_PLAIN: Final = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@.-_")
_CONTROLS: Final = frozenset(map(chr, (*range(32), 127)))
_PROGRAM: Final = Path(ldap_child.__file__)
_PASSED_ON: Final = ("PATH", "LD_LIBRARY_PATH", "OPENSSL_CONF")  # of the environment


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
        self._idle: list[_Child] = []
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._closed = False
        weakref.finalize(self, _end_all, self._idle, self._process)

    def rows(self, address: str) -> tuple[CertificateRow, ...]:
        """See CertificateSource; within `deadline_s`, whatever the directory does."""
        if not _is_text(address):
            return ()
        ends_at = time.monotonic() + self._settings.deadline_s
        search = self._settings.filter.replace("{address}", escaped(address))
        child = self._kept()
        if child is not None:
            try:
                return self._answer(child, search, ends_at)
            except (EOFError, OSError) as error:  # it ended while nobody asked: a new one is asked instead
                if isinstance(error, TimeoutError):
                    raise self._late() from None
        child = _Child(self._how())
        try:
            return self._answer(child, search, ends_at)
        except TimeoutError:
            raise self._late() from None
        except (EOFError, OSError):
            raise unavailable(self.name, "the LDAP process ended without an answer") from None

    def close(self) -> None:
        """Hangs up; a connection in use ends after its question."""
        with self._lock:
            self._closed = True
            idle, self._idle[:] = list(self._idle), []
        _end_all(idle, self._process)

    def _answer(self, child: "_Child", search: str, ends_at: float) -> tuple[CertificateRow, ...]:
        """A child that answered well is kept for the next question, any other is ended: the next begins anew."""
        good = False
        try:
            answer = child.ask(search, ends_at)
            good = "values" in answer
        finally:
            if not good:
                child.end()
        if not good:
            raise unavailable(self.name, str(answer.get("trouble")))
        self._keep(child)
        return rows_of((b64decode(value) for value in answer["values"]), self.name)

    def _kept(self) -> "_Child | None":
        with self._lock:
            if self._process != os.getpid():  # after a fork they are the parent's
                for child in self._idle:
                    child.forget()
                self._idle.clear()
                self._process = os.getpid()
            return self._idle.pop() if self._idle else None

    def _keep(self, child: "_Child") -> None:
        with self._lock:
            if not self._closed and len(self._idle) < self._settings.in_flight_max:
                self._idle.append(child)
                return
        child.end()

    def _late(self) -> GatewayError:
        return unavailable(self.name, f"no answer within {self._settings.deadline_s} s")

    def _how(self) -> dict[str, Any]:
        """How to connect. The password is read anew for each connection, so that it can be changed."""
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


class _Child:
    """One process with one connection. Whoever asks is alone with it."""

    def __init__(self, how: dict[str, Any]) -> None:
        ours, theirs = socket.socketpair()
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        try:
            self._process = subprocess.Popen(  # noqa: S603 our own file, by our own interpreter
                [sys.executable, "-I", str(_PROGRAM)], stdin=theirs.fileno(), stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL, cwd="/", start_new_session=True, env={**environment, "LDAPNOINIT": "1"})
        except OSError as error:
            ours.close()
            raise GatewayError(Reason.CERTIFICATE_UNAVAILABLE, f"LDAP process: {error}", retry=True) from None
        finally:
            theirs.close()
        self._channel = ours
        with contextlib.suppress(OSError):  # it is told when the first question fails
            self._send(how)

    def ask(self, search: str, ends_at: float) -> dict[str, Any]:
        """One answer. TimeoutError at `ends_at` (monotonic), EOFError or OSError if the process is gone."""
        left = ends_at - time.monotonic()
        self._channel.settimeout(max(left, 0.001))
        self._send({"filter": search, "timeout_s": max(left, 0.001)})
        (length,) = struct.unpack(">I", self._receive(4, ends_at))
        if length > ldap_child.FRAME_OCTETS_MAX:
            raise EOFError
        return dict(json.loads(self._receive(length, ends_at)))

    def end(self) -> None:
        """At once, whatever it does."""
        self._channel.close()
        self._process.kill()
        self._process.wait()

    def forget(self) -> None:
        """It belongs to another process."""
        self._channel.close()
        self._process.returncode = 0  # or its end would be waited for here

    def _send(self, frame: dict[str, Any]) -> None:
        body = json.dumps(frame).encode()
        self._channel.sendall(struct.pack(">I", len(body)) + body)

    def _receive(self, count: int, ends_at: float) -> bytes:
        octets = bytearray()
        while len(octets) < count:
            left = ends_at - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._channel.settimeout(left)
            more = self._channel.recv(min(count - len(octets), 65_536))
            if not more:
                raise EOFError
            octets += more
        return bytes(octets)


def _end_all(children: list[_Child], process: int) -> None:
    """Only in the process that started them: after a fork they are still the parent's."""
    while children and process == os.getpid():
        children.pop().end()
