"""The program that talks LDAP: started by `ldap`, one process for one connection to one directory.

Why not in the gateway's own process: libldap waits inside C, and bonsai 1.5.5 holds Python's lock while it connects,
shakes hands (without any limit, for ldaps://) and binds, so that one silent directory would stop every mail. It also
gathers an answer of any size before it shows it. A process of its own can be ended at the deadline, has its own limit
of memory, and a crash of a C library by strangers' octets ends only this process. It imports little (standard library
and bonsai) to start quickly, and ignores ldap.conf, ~/.ldaprc and the environment (LDAPNOINIT is set for it).

Standard input is a socket. A frame is four octets of length, then JSON. The first frame says how to connect, each
further one asks; each question has one answer: {"values": [base64 …]} or {"trouble": text}.
RFC 4511, RFC 4513 (StartTLS; at most one bind, when the connection opens), RFC 4523 (attributes).
"""

import base64
import contextlib
import json
import resource
import signal
import socket
import struct
import sys
from typing import Any

ATTRIBUTES = ("userCertificate;binary", "userCertificate", "userSMIMECertificate")
BASE_ONLY, SUBTREE = 0, 2  # RFC 4511 4.5.1.2
ENTRIES_MAX = 100  # asked for; a directory with more for one address answers sizeLimitExceeded
VALUES_OCTETS_MAX = 1_048_576
FRAME_OCTETS_MAX = 4_194_304
MEMORY_OCTETS_MAX = 134_217_728  # 128 MiB of writable memory; Python and libldap take 22 MiB of it
IDLE_S = 300.0  # without a question for so long it ends, and with it the connection
GRACE_S = 1.0  # beyond a question's deadline, if no other process ends this one


class Trouble(Exception):  # noqa: N818 it becomes an answer, and is never raised beyond this file
    """Why there is no answer, for the log."""


class Directory:
    """One directory; the connection is kept until something goes wrong with it."""

    def __init__(self, bonsai: Any, how: dict[str, Any]) -> None:
        self._bonsai = bonsai
        self._base = how["base"]
        client = bonsai.LDAPClient(how["url"], how["starttls"])
        client.set_cert_policy("demand")  # chain and host name
        client.set_ca_cert(how["ca_file"])
        client.set_ca_cert_dir(how["ca_directory"])
        client.set_server_chase_referrals(False)
        client.set_ignore_referrals(False)  # shown, so that an answer that points elsewhere is not taken for absence
        client.set_raw_attributes(list(ATTRIBUTES))
        if how["bind_dn"]:
            client.set_credentials("SIMPLE", how["bind_dn"], how["password"])
        self._client = client
        self._connection: Any = None

    def values(self, search: str, timeout_s: float) -> list[bytes]:
        """All values of the attributes in all entries that match. Trouble.

        A connection that was kept may be dead without our knowing: then a new one is tried, once.
        """
        kept = self._connection is not None
        try:
            return self._values(search, timeout_s)
        except (self._bonsai.ClosedConnection, self._bonsai.ConnectionError) as error:
            self.close()
            if not kept:
                raise Trouble(error_text(error)) from None
        except self._bonsai.AuthenticationError as error:
            self.close()
            raise Trouble(f"it refuses the password of `bind_dn` ({error_text(error)})") from None
        except (self._bonsai.LDAPError, ValueError, TypeError) as error:
            self.close()
            raise Trouble(error_text(error)) from None
        try:
            return self._values(search, timeout_s)
        except (self._bonsai.LDAPError, ValueError, TypeError) as error:
            self.close()
            raise Trouble(error_text(error)) from None

    def _values(self, search: str, timeout_s: float) -> list[bytes]:
        if self._connection is None:
            self._connection = self._client.connect(timeout=timeout_s)
        entries = self._connection.search(
            self._base, SUBTREE, search, list(ATTRIBUTES), timeout=timeout_s, sizelimit=ENTRIES_MAX)
        people = [entry for entry in entries if not isinstance(entry, self._bonsai.LDAPReference)]
        found: list[bytes] = []
        octets = 0
        for entry in people:
            for name in ATTRIBUTES:
                for value in entry.get(name, ()):
                    raw = value.encode() if isinstance(value, str) else bytes(value)
                    octets += len(raw)
                    if octets > VALUES_OCTETS_MAX:
                        raise Trouble(f"more than {VALUES_OCTETS_MAX} octets of certificates for one address")
                    found.append(raw)
        if not found and len(people) < len(entries):
            elsewhere = next(e for e in entries if isinstance(e, self._bonsai.LDAPReference))
            raise Trouble(f"it refers to {', '.join(map(str, elsewhere.references))[:200]}, which is not followed: "
                          "make that a source of its own, or name a narrower `base`")
        if not people:
            self._prove_base(timeout_s)
        return found

    def _prove_base(self, timeout_s: float) -> None:
        """For bonsai "no such object" and "that is elsewhere" (RFC 4511 A.1, codes 32 and 10) are an empty answer.

        So an empty answer counts only where the place that was searched is there.
        """
        if not self._connection.search(self._base, BASE_ONLY, "(objectClass=*)", ["1.1"], timeout=timeout_s):
            raise Trouble(f"it has no `{self._base}`, or does not show it")

    def close(self) -> None:
        """Ends the connection, if there is one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(self._bonsai.LDAPError):
                connection.close()


def error_text(error: Exception) -> str:
    """A library's exception on one line."""
    return f"{type(error).__name__}: {error}".replace("\n", " ")[:500]


def receive(channel: socket.socket) -> dict[str, Any] | None:
    """The next frame; None at the end."""
    head = _exactly(channel, 4)
    if head is None:
        return None
    (length,) = struct.unpack(">I", head)
    if length > FRAME_OCTETS_MAX:
        return None
    body = _exactly(channel, length)
    return None if body is None else dict(json.loads(body))


def _exactly(channel: socket.socket, count: int) -> bytes | None:
    octets = b""
    while len(octets) < count:
        more = channel.recv(count - len(octets))
        if not more:
            return None
        octets += more
    return octets


def send(channel: socket.socket, frame: dict[str, Any]) -> None:
    """One frame."""
    body = json.dumps(frame).encode()
    channel.sendall(struct.pack(">I", len(body)) + body)


def answer(directory: Directory, question: dict[str, Any]) -> dict[str, Any]:
    """Answers one question. The alarm's own action ends the process even while C code waits."""
    signal.setitimer(signal.ITIMER_REAL, question["timeout_s"] + GRACE_S)
    try:
        values = directory.values(question["filter"], question["timeout_s"])
    except Trouble as trouble:
        return {"trouble": str(trouble)}
    except MemoryError:
        return {"trouble": "an answer larger than memory allows"}
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return {"values": [base64.b64encode(value).decode() for value in values]}


def main() -> None:
    """Runs until the other side closes, or sends nothing for IDLE_S."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core would hold the password
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_OCTETS_MAX, MEMORY_OCTETS_MAX))
    channel = socket.socket(fileno=sys.stdin.fileno())
    how = receive(channel)
    if how is None:
        return
    try:
        import bonsai

        directory = Directory(bonsai, how)
    except Exception as error:  # noqa: BLE001 reported once, as the answer to the first question
        if receive(channel) is not None:
            send(channel, {"trouble": error_text(error)})
        return
    channel.settimeout(IDLE_S)
    try:
        while (question := receive(channel)) is not None:
            send(channel, answer(directory, question))
    except OSError:  # idle for too long, or the gateway is gone
        pass
    finally:
        directory.close()


if __name__ == "__main__":
    main()
