"""AUTH PLAIN and LOGIN (RFC 4954, RFC 4616), under TLS only, checked in a thread of their own.

Neither the lines nor what is in them is ever logged; the login name is, once it is known to be right.
"""

import asyncio
import binascii
from base64 import b64decode
from dataclasses import dataclass

from gateway.errors import GatewayError, Reason
from gateway.frontends.smtp import dialogue
from gateway.frontends.smtp.connection import Connection
from gateway.frontends.smtp.paths import RefusedCommandError

MECHANISMS = ("PLAIN", "LOGIN")
FAILURE_DELAY_S = 1.0
CREDENTIAL_OCTETS_MAX = 255  # RFC 4616 2 for each of its parts


@dataclass(frozen=True, slots=True)
class Credentials:
    """A login with its password; not to be shown."""

    login: str
    password: str

    def __repr__(self) -> str:
        """Without both."""
        return "Credentials(...)"


async def credentials(connection: Connection, mechanism: str, initial: str) -> Credentials:
    """The dialogue up to name and password; RefusedCommandError if it does not get there."""
    if mechanism == "PLAIN":
        octets = _decoded(initial.encode()) if initial else await _ask(connection, dialogue.AUTH_GO_ON)
        parts = octets.split(b"\0")
        if len(parts) != len(("authorization", "login", "password")):
            raise RefusedCommandError(dialogue.AUTH_BASE64)
        return _credentials(parts[1], parts[2])
    name = _decoded(initial.encode()) if initial else await _ask(connection, dialogue.AUTH_LOGIN_NAME)
    return _credentials(name, await _ask(connection, dialogue.AUTH_LOGIN_PASSWORD))


async def verified(connection: Connection, given: Credentials) -> bool:
    """Whether they belong together. GatewayError if it cannot be found out now."""
    verify = connection.front.verify
    if verify is None:
        return False
    job = connection.front.shared.logins.submit(lambda: verify(given.login, given.password))
    try:
        return await asyncio.shield(job.done)
    finally:
        job.withdraw()


async def _ask(connection: Connection, challenge: bytes) -> bytes:
    connection.say(challenge)
    line = await connection.read_line()
    if line is None:
        raise ConnectionResetError
    if not line.endswith(b"\r\n"):
        raise RefusedCommandError(dialogue.LINE_END)
    answer = line[:-2]
    if answer == b"*":
        raise RefusedCommandError(dialogue.AUTH_CANCELLED)
    return _decoded(answer)


def _decoded(text: bytes) -> bytes:
    if text == b"=":  # an empty initial response (RFC 4954 4)
        return b""
    try:
        return b64decode(text, validate=True)
    except binascii.Error:
        raise RefusedCommandError(dialogue.AUTH_BASE64) from None


def _credentials(login: bytes, password: bytes) -> Credentials:
    if not (0 < len(login) <= CREDENTIAL_OCTETS_MAX and 0 < len(password) <= CREDENTIAL_OCTETS_MAX):
        raise GatewayError(Reason.CLIENT_AUTH_FAILED, "empty or too long")
    try:
        return Credentials(login.decode(), password.decode())
    except UnicodeDecodeError:
        raise RefusedCommandError(dialogue.AUTH_BASE64) from None
