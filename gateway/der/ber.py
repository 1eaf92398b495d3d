"""BER (X.690 8) -> the definite-length form that `walk` reads.

Streaming writers (openssl cms -stream, Bouncy Castle, Outlook) use indefinite lengths and segmented octet strings.
Here indefinite and non-minimal lengths become minimal definite ones and constructed OCTET STRINGs become primitive.
What only the schema knows stays as it is: an IMPLICIT [0] OCTET STRING in segments remains [0] holding OCTET STRINGs,
and a SET OF keeps its order. Other constructed strings (RFC 5280 and 5652 know none) are refused.
"""

from collections.abc import Callable
from typing import Final, TypeVar

from gateway.der import prescan
from gateway.der.build import header
from gateway.der.walk import DerMalformed

T = TypeVar("T")

SEGMENTED_OCTETS: Final = 0x24
# OCTET STRING, EXTERNAL, EMBEDDED PDV, SEQUENCE, SET
CONSTRUCTED_UNIVERSAL: Final = frozenset((0x24, 0x28, 0x2B, 0x30, 0x31))


def tolerant(parse: Callable[[bytes], T], octets: bytes) -> T:
    """`parse(octets)`, and where that finds no strict DER, `parse` of their definite-length form.

    Nearly all mail is definite already and then pays nothing. The DerMalformed that is raised is the one of the
    second trial, or of the conversion. Everything else that `parse` raises passes.
    """
    try:
        return parse(octets)
    except DerMalformed:
        converted = to_der(octets)
        if converted is octets:
            raise
    return parse(converted)


def to_der(octets: bytes, limits: prescan.Limits = prescan.DEFAULT) -> bytes:
    """The definite-length form of one BER element that fills `octets`; the same object where it is that already.

    Linear in time and memory. DerMalformed for what is not BER, INPUT_LIMIT_EXCEEDED by `limits`.
    """
    prescan.check(octets, limits)
    return _Writer(octets).run()


class _Frame:
    """One open constructed element: where it started in the input, and its place among the parts written."""

    __slots__ = ("end", "indefinite", "place", "string", "tag", "total")

    def __init__(self, tag: bytes, end: int, place: int, *, indefinite: bool, string: bool) -> None:
        self.tag = tag
        self.end = end
        self.place = place
        self.indefinite = indefinite
        self.string = string
        self.total = 0


class _Writer:
    """One pass over octets that passed the scan: spans are collected, headers filled in as elements close."""

    def __init__(self, octets: bytes) -> None:
        self.octets = octets
        self.view = memoryview(octets)
        self.parts: list[bytes | memoryview] = []
        self.frames: list[_Frame] = []
        self.changed = False

    def run(self) -> bytes:
        octets, offset = self.octets, 0
        while True:
            self._close_full(offset)
            if offset and not self.frames:
                break
            if octets[offset] == 0 and octets[offset + 1] == 0:
                offset += 2
                self._close()
                continue
            offset = self._element(offset)
        return b"".join(self.parts) if self.changed else octets

    def _element(self, start: int) -> int:
        """Takes the element at `start`; returns the offset of its content if it is constructed, else of its end."""
        octets = self.octets
        body = start + 2
        if octets[start] & 0x1F == 0x1F:
            while octets[body - 1] & 0x80:
                body += 1
            body += 1
        tag = octets[start:body - 1]
        length = octets[body - 1]
        indefinite = length == 0x80
        if length > 0x80:
            first = body
            body += length - 0x80
            length = int.from_bytes(octets[first:body], "big")
        end = len(octets) if indefinite else body + length
        inside = bool(self.frames) and self.frames[-1].string
        if inside and tag not in (b"\x04", b"\x24"):
            msg = "a segmented octet string holds something else"
            raise DerMalformed(msg)
        if tag[0] & 0x20:
            minimal = self._minimal(tag, start, body, length)
            self._open(tag, body, end, indefinite=indefinite, inside=inside, minimal=minimal)
            return body
        if not inside:
            if not self._minimal(tag, start, body, length):
                self.changed = True
            self._write(header(int.from_bytes(tag, "big"), length))
        self._write(self.view[body:end])
        return end

    def _minimal(self, tag: bytes, start: int, body: int, length: int) -> bool:
        """Whether the header is the one that DER has for it."""
        return body - start == len(header(int.from_bytes(tag, "big"), length))

    def _open(self, tag: bytes, body: int, end: int, *, indefinite: bool, inside: bool, minimal: bool) -> None:
        string = tag[0] == SEGMENTED_OCTETS
        if tag[0] < 0x40 and tag[0] not in CONSTRUCTED_UNIVERSAL and tag[0] & 0x1F != 0x1F:
            msg = f"a constructed string of tag {tag[0]:02x}"
            raise DerMalformed(msg)
        if string or indefinite or not minimal:
            self.changed = True
        self.frames.append(_Frame(b"\x04" if string else tag, end, -1 if inside else len(self.parts),
                                  indefinite=indefinite, string=string))
        if not inside:
            self.parts.append(b"")
        self._close_full(body)

    def _close_full(self, offset: int) -> None:
        """Closes every definite element that ends here."""
        while self.frames and not self.frames[-1].indefinite and self.frames[-1].end == offset:
            self._close()

    def _close(self) -> None:
        frame = self.frames.pop()
        size = frame.total
        if frame.place >= 0:
            head = header(int.from_bytes(frame.tag, "big"), frame.total)
            self.parts[frame.place] = head
            size += len(head)
        if self.frames:
            self.frames[-1].total += size

    def _write(self, part: bytes | memoryview) -> None:
        self.parts.append(part)
        if self.frames:
            self.frames[-1].total += len(part)
