"""From the octets after 354 to a mail: collected in bulk, checked, freed of stuffing, with our Received on top.

RFC 5321 4.1.1.4 (end of data), 4.5.2 (transparency), 2.3.8 (CR LF only), 4.4 (Received), 6.3 (loops);
RFC 3848 and RFC 6531 4.3 (`with` names).

One find per packet and a handful of C loops per mail; line by line in Python 1 MiB costs 28 ms, this way 1.
"""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from ipaddress import IPv6Address, ip_address

from gateway.errors import GatewayError, Reason
from gateway.model.wire import END, ends_in_pairs, find_end, has_dot_lines, longest_line_within

LINE_OCTETS_MAX = 65_536
PACKET_OCTETS_MAX = 262_144  # what asyncio and uvloop read at once
HEADER_SCANNED_OCTETS = 1_048_576
_HELO_CHARS_MAX = 255
_PREFIX = b"\r\n"  # a virtual line end before the first octet: the terminator and dots may be on the first line
_ANY_NEWLINE = re.compile(rb"\r\n|\r|\n")


class Collector:
    """Takes packets until the end of data. What is too much is thrown away, up to the end: the client reads
    no reply before (RFC 5321 4.2.5), and closing would make it come again for days.
    """

    def __init__(self, octets_max: int, cover: Callable[[int], bool], done: "asyncio.Future[None]") -> None:
        """`cover` asks whether there is room for a mail of that many octets. `done` is set at the end of data."""
        self.refused: Reason | None = None
        self._done = done
        self._cover = cover
        self._buffer = bytearray(_PREFIX)
        # Stuffing makes lines of one dot a third longer, nothing worse.
        # A packet's worth more, for what a client may have sent behind the end.
        self._raw_max = octets_max * 4 // 3 + PACKET_OCTETS_MAX

    def feed(self, packet: bytes) -> bytes | None:
        """Takes a packet. When the end of data was in it: what came after it (b'' if nothing did)."""
        buffer = self._buffer
        searched = max(0, len(buffer) - len(END) + 1)
        buffer += packet
        if self.refused is None and len(buffer) > self._raw_max:
            self.refused = Reason.MAIL_TOO_LARGE
        elif self.refused is None and not self._cover(len(buffer)):
            self.refused = Reason.CLIENT_BUSY
        end = find_end(buffer, searched)
        if end >= 0:
            after = bytes(memoryview(buffer)[end + len(END):])
            del buffer[end + 2:]
            if not self._done.done():
                self._done.set_result(None)
            return after
        if self.refused is not None:
            self._buffer = buffer[-len(END) + 1:]
        return None

    def take(self) -> bytearray:
        """The octets as they came, behind one virtual CR LF. Only once: no other object keeps them."""
        buffer, self._buffer = self._buffer, bytearray()
        return buffer


@dataclass(frozen=True, slots=True)
class Checks:
    """What a mail must keep to. `normalise`: bare CR and LF become CR LF (permitted clients that cannot better)."""

    octets_max: int
    hops_max: int
    normalise: bool = False


def whole_mail(buffer: bytearray, trace: bytes, checks: Checks) -> bytes:
    """The mail out of a Collector's octets, with `trace` before it; consumes the buffer.

    GatewayError: MAIL_BARE_NEWLINE, MAIL_NUL, MAIL_LINE_TOO_LONG, MAIL_TOO_LARGE, MAIL_LOOP.
    """
    if b"\0" in buffer:
        raise GatewayError(Reason.MAIL_NUL, "NUL")
    if not ends_in_pairs(buffer):
        if not checks.normalise:
            raise GatewayError(Reason.MAIL_BARE_NEWLINE, "bare CR or LF")
        buffer = _normalised(buffer)
    if has_dot_lines(buffer):
        buffer = buffer.replace(b"\r\n.", b"\r\n")
    if len(buffer) - len(_PREFIX) > checks.octets_max:
        raise GatewayError(Reason.MAIL_TOO_LARGE, f"more than {checks.octets_max} octets")
    if not longest_line_within(buffer, LINE_OCTETS_MAX):
        raise GatewayError(Reason.MAIL_LINE_TOO_LONG, f"a line of more than {LINE_OCTETS_MAX} octets")
    hops = _hops(buffer)
    if hops > checks.hops_max:
        raise GatewayError(Reason.MAIL_LOOP, f"{hops} Received fields")
    with memoryview(buffer) as view:
        return b"".join((trace, view[len(_PREFIX):]))


def _normalised(buffer: bytearray) -> bytearray:
    """Every line end as CR LF. A lone dot between such lines could have been meant as the end of data:

    what came after it would be smuggled into this mail, so there is no guessing.
    """
    fixed = bytearray(_ANY_NEWLINE.sub(b"\r\n", buffer))
    if find_end(fixed) >= 0:
        raise GatewayError(Reason.MAIL_BARE_NEWLINE, "a lone dot between bare line ends")
    return fixed


def _hops(buffer: bytearray) -> int:
    end = buffer.find(b"\r\n\r\n", 0, HEADER_SCANNED_OCTETS)
    header = buffer[:end if end >= 0 else HEADER_SCANNED_OCTETS]
    return header.lower().count(b"\r\nreceived:")


@dataclass(frozen=True, slots=True)
class Trace:
    """Values of the gateway's Received field.

    `recipient` is None unless the mail has exactly one: a recipient must not learn of the others.
    """

    helo: str
    peer: str
    hostname: str
    incident: str
    at: datetime
    extended: bool
    secure: bool
    authenticated: bool
    smtputf8: bool
    recipient: str | None
    transport: str = "ESMTP"  # or LMTP

    def field(self) -> bytes:
        """The header field with its CR LF (RFC 5321 4.4), folded."""
        protocol = self.transport.removeprefix("E")
        if self.extended:
            protocol = f"UTF8{protocol}" if self.smtputf8 else self.transport
        protocol += "S" if self.secure and self.extended else ""
        protocol += "A" if self.authenticated and self.extended else ""
        lines = [
            f"Received: from {_helo(self.helo)} ({_literal(self.peer)})",
            f"by {self.hostname} with {protocol} id {self.incident}",
        ]
        if self.recipient is not None and (self.smtputf8 or self.recipient.isascii()):
            lines.append(f"for <{self.recipient}>")
        lines[-1] += ";"
        lines.append(format_datetime(self.at))
        return ("\r\n\t".join(lines) + "\r\n").encode()


def _helo(name: str) -> str:
    """A domain or address literal as the client called itself; 'unknown' for anything else."""
    sound = name.isascii() and all(char.isalnum() or char in ".-_:[]" for char in name)
    return name if sound and 0 < len(name) <= _HELO_CHARS_MAX else "unknown"


def _literal(peer: str) -> str:
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return "[unknown]"
    return f"[IPv6:{address}]" if isinstance(address, IPv6Address) else f"[{address}]"
