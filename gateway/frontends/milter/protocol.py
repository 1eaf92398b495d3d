"""The packets of the milter protocol, version 6: reads Postfix's commands, builds answers and changes of the mail.

A packet is a length (32 bits, network order, of what follows), one octet that names it, and data. Strings end with NUL.
Sources: libmilter/mfdef.h and mfapi.h of Sendmail 8.18 (names SMFIC_*, SMFIR_*, SMFIF_*, SMFIP_*) and Postfix's
src/milter/milter8.c, which speaks the other side.
"""

import socket
import struct
from collections.abc import Iterable, Iterator
from enum import IntEnum, IntFlag
from typing import Final

VERSION: Final = 6
PACKET_OCTETS_MAX: Final = 1 << 20  # Postfix: a header field of header_size_limit (102,400), 65,535 octets of a body
SKIPPED_OCTETS_MAX: Final = 1 << 28  # of a longer field, which is read over; what is beyond is no packet of Postfix
BODY_CHUNK_OCTETS: Final = 65_535  # MILTER_CHUNK_SIZE
_RECEIVED_OCTETS: Final = 1 << 16
_HEAD: Final = struct.Struct("!Ic")
_LENGTH: Final = struct.Struct("!I")
_OPTIONS: Final = struct.Struct("!III")


class Command(IntEnum):
    """What Postfix sends (SMFIC_*)."""

    OPTIONS = ord("O")
    MACROS = ord("D")
    CONNECT = ord("C")
    HELO = ord("H")  # only macros
    MAIL = ord("M")
    RCPT = ord("R")
    HEADER = ord("L")
    BODY = ord("B")
    END = ord("E")
    ABORT = ord("A")
    QUIT = ord("Q")
    QUIT_NEW_CONNECTION = ord("K")
    TOO_LONG = 0  # no command of Postfix: in the place of a field or a body that is longer than PACKET_OCTETS_MAX


class Action(IntFlag):
    """Changes that a milter asks for (SMFIF_*)."""

    ADD_HEADERS = 0x01
    CHANGE_BODY = 0x02
    CHANGE_HEADERS = 0x10
    CHANGE_FROM = 0x40
    NAME_MACROS = 0x100  # the lists of macros that it wants, instead of milter_*_macros of Postfix


class Steps(IntFlag):
    """Commands that Postfix leaves out or sends without waiting for an answer, and the form of fields (SMFIP_*)."""

    NO_HELO = 0x2
    NO_END_OF_HEADER = 0x40
    NO_ANSWER_TO_HEADER = 0x80
    NO_UNKNOWN = 0x100
    NO_DATA = 0x200
    NO_ANSWER_TO_CONNECT = 0x1000
    NO_ANSWER_TO_MAIL = 0x4000
    NO_ANSWER_TO_BODY = 0x80000
    LEADING_SPACE = 0x100000


ACTIONS: Final = Action.ADD_HEADERS | Action.CHANGE_BODY | Action.CHANGE_HEADERS | Action.CHANGE_FROM
STEPS: Final = (Steps.NO_HELO | Steps.NO_END_OF_HEADER | Steps.NO_ANSWER_TO_HEADER | Steps.NO_UNKNOWN | Steps.NO_DATA
                | Steps.NO_ANSWER_TO_CONNECT | Steps.NO_ANSWER_TO_MAIL | Steps.NO_ANSWER_TO_BODY | Steps.LEADING_SPACE)
_SKIPPED: Final = frozenset({Command.HEADER, Command.BODY})  # without an answer, so the mail gets it at its end
# By stage (SMFIM_*): connection, MAIL, RCPT, end of the message.
_MACROS: Final = ((0, "{daemon_name}"), (2, "{auth_authen} {mail_addr} {tls_version}"), (3, "{rcpt_addr}"), (5, "i"))


class ProtocolError(Exception):
    """What arrived is not a packet that Postfix sends. Its text names the rule that is broken, and no content."""


class Packets:
    """The packets that arrive by one connection, in their order.

    Postfix sends the header behind the envelope without an answer between them: Nagle's algorithm there holds it back
    until the acknowledgement, which the kernel delays by 40 ms unless it is asked, before each read, not to (tcp(7)).
    """

    def __init__(self, channel: socket.socket) -> None:
        """`channel`: blocking."""
        self._channel = channel
        self._tcp = channel.family != socket.AF_UNIX
        self._received = b""
        self._at = 0

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """Command and data, until the other side closes. ProtocolError; OSError of the connection."""
        while True:
            available = len(self._received) - self._at
            if available >= _LENGTH.size:
                (length,) = _LENGTH.unpack_from(self._received, self._at)
                if not 0 < length <= SKIPPED_OCTETS_MAX or (
                        length > PACKET_OCTETS_MAX and available > _LENGTH.size
                        and self._received[self._at + _LENGTH.size] not in _SKIPPED):
                    raise ProtocolError(f"a packet of {length} octets")
                if length > PACKET_OCTETS_MAX and available > _LENGTH.size:
                    if not self._skip(length - (available - _LENGTH.size)):
                        return
                    yield Command.TOO_LONG, b""
                    continue
                if available >= _LENGTH.size + length:
                    begin = self._at + _LENGTH.size
                    self._at = begin + length
                    yield self._received[begin], self._received[begin + 1:self._at]
                    continue
            if self._tcp:
                self._channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            more = self._channel.recv(_RECEIVED_OCTETS)
            if not more:
                return
            self._received, self._at = self._received[self._at:] + more, 0


    def _skip(self, octets: int) -> bool:
        """Reads so many more octets, of a packet that has begun, and keeps none. False if the other side closes."""
        self._received, self._at = b"", 0
        while octets > 0:
            more = self._channel.recv(min(octets, _RECEIVED_OCTETS))
            if not more:
                return False
            octets -= len(more)
        return True


def packet(name: bytes, data: bytes = b"") -> bytes:
    """One packet. `name`: its octet."""
    return _HEAD.pack(len(data) + 1, name) + data


CONTINUE: Final = packet(b"c")
DISCARD: Final = packet(b"d")


def options(offered: bytes) -> bytes:
    """The answer to OPTIONS. ProtocolError if the other side cannot do what the gateway needs."""
    try:
        version, actions, steps = _OPTIONS.unpack_from(offered)
    except struct.error:
        raise ProtocolError("options of fewer than 12 octets") from None
    if version < VERSION or ACTIONS & ~actions or STEPS & ~steps:
        raise ProtocolError(f"version {version}, actions {actions:#x}, steps {steps:#x}: the gateway needs the milter "
                            "protocol of Postfix 2.6 or later (milter_protocol = 6)")
    if not actions & Action.NAME_MACROS:
        return packet(b"O", _OPTIONS.pack(VERSION, ACTIONS, STEPS))
    lists = b"".join(_LENGTH.pack(stage) + names.encode("ascii") + b"\0" for stage, names in _MACROS)
    return packet(b"O", _OPTIONS.pack(VERSION, ACTIONS | Action.NAME_MACROS, STEPS) + lists)


def strings(data: bytes) -> list[str]:
    """The NUL-terminated strings of a command; octets beyond UTF-8 as surrogates."""
    return data.removesuffix(b"\0").decode("utf-8", "surrogateescape").split("\0")


def macros(data: bytes) -> tuple[int, dict[str, str]]:
    """Of MACROS: the command to which they belong, and what they say."""
    words = strings(data[1:]) if len(data) > 1 else []
    return data[0] if data else 0, dict(zip(words[::2], words[1::2], strict=False))


def client(data: bytes) -> str:
    """Of CONNECT: the client's address; '' where it is no network."""
    _, _, rest = data.partition(b"\0")
    return rest[3:].partition(b"\0")[0].decode("ascii", "replace") if rest[:1] in (b"4", b"6") else ""


def header(data: bytes) -> tuple[str, bytes]:
    """Of HEADER: name, and the octets behind the colon, lines parted by LF."""
    name, _, value = data.partition(b"\0")
    return name.decode("utf-8", "surrogateescape"), value.removesuffix(b"\0")


def reply(lines: bytes) -> bytes:
    """An SMTP reply of 4xx or 5xx (lines with CRLF). Postfix takes `%%` for `%`, as Sendmail does."""
    return packet(b"y", lines.removesuffix(b"\r\n").replace(b"%", b"%%") + b"\0")


def change_header(name: str, instance: int, value: bytes = b"") -> bytes:
    """The `instance`th field of this name, from 1, gets this value (see `insert_header`); with none it goes."""
    return packet(b"m", _LENGTH.pack(instance) + _field(name, value))


def insert_header(place: int, name: str, value: bytes) -> bytes:
    """A field at `place`, counted over all fields from 0. `value`: with its leading space, lines parted by LF."""
    return packet(b"i", _LENGTH.pack(place) + _field(name, value))


def append_header(name: str, value: bytes) -> bytes:
    """A field at the header's end."""
    return packet(b"h", _field(name, value))


def _field(name: str, value: bytes) -> bytes:
    return name.encode("utf-8", "surrogateescape") + b"\0" + value + b"\0"


def replace_body(body: bytes) -> Iterable[bytes]:
    """Packets that together replace the body (lines with CRLF)."""
    return (packet(b"b", body[at:at + BODY_CHUNK_OCTETS]) for at in range(0, len(body), BODY_CHUNK_OCTETS))


def change_from(path: str, parameters: str) -> bytes:
    """Another reverse-path, with parameters of MAIL."""
    return packet(b"e", f"{path}\0{parameters}\0".encode("utf-8", "surrogateescape"))
