"""Transfer encodings (RFC 2045 6): decoded without loss, and written.

Damaged encodings are frequent: padding in the middle where a program joined encoded pieces, `=` before text that is
no escape, CR alone as line end. The library's decoders drop text there. These decoders keep every octet that the
letters of an encoding carry. `is_exact` says whether all readers decode a body alike; only such a body may be
rewritten without need.
"""

import binascii
import re
from io import BytesIO
from itertools import chain
from struct import Struct

import pybase64

from gateway.model.wire import ends_in_pairs

_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_BLANKS = b" \t\r\n"
_FOREIGN = bytes(octet for octet in range(256) if octet not in _LETTERS + b"=")
# Whole quanta, then one that padding ends, or what is left at the end. `=` that ends no quantum is skipped.
_QUANTUM = rb"(?:[A-Za-z0-9+/]{4})++|={0,2}[A-Za-z0-9+/]={0,2}[A-Za-z0-9+/]=?[A-Za-z0-9+/]{2}"
_PIECE = re.compile(
    rb"(?:%b)*+(?:={0,2}[A-Za-z0-9+/]={0,2}[A-Za-z0-9+/](?:==|=?[A-Za-z0-9+/]=)|.{0,8}\Z)" % _QUANTUM)
_NO_ESCAPE = re.compile(rb"=(?![0-9A-Fa-f]{2}|[\r\n]|\Z)")
_SOFT_CR = re.compile(rb"=\r(?!\n)")
_COLUMNS = 76
_LINES = Struct(f"{_COLUMNS}s" * 32)
_PIECE_OCTETS = 57 * 1024  # whole lines; the intermediate results stay in the processor's cache
_TEXT_OCTETS = _COLUMNS * 1024


def decode_span(octets: bytes, start: int, end: int, encoding: str) -> bytes:
    """octets[start:end] with the transfer encoding undone; unknown encodings leave it as it is (RFC 2045 6.4)."""
    if encoding == "base64":
        return decode_base64(octets, start, end)
    if encoding == "quoted-printable":
        return decode_quoted_printable(octets[start:end])
    return octets[start:end]


def decode_base64(octets: bytes, start: int = 0, end: int | None = None) -> bytes:
    """Base64 as mails carry it: foreign octets skipped, padding ends a quantum and the next one begins.

    Text behind padding that is no base64 (the footer of a mailing list) is skipped. An incomplete quantum at the end
    gives the whole octets that it carries.
    """
    end = len(octets) if end is None else end
    padding = octets.find(b"=", start, end)
    if padding < 0 or not octets[padding:end].strip(b"= \t\r\n"):
        try:
            return pybase64.b64decode(memoryview(octets)[start:end])
        except binascii.Error:
            pass
    if padding >= 0 and octets[padding:end].translate(None, _LETTERS + b"=" + _BLANKS):
        end = padding
    text = octets[start:end].translate(None, _FOREIGN)
    while b"===" in text:
        text = text.replace(b"===", b"==")
    decoded, last = bytearray(), b""
    for found in _PIECE.finditer(text):  # no list: a stranger chooses the number of pieces
        if found[0]:
            decoded += binascii.a2b_base64(last)
            last = found[0]
    last = last.translate(None, b"=")
    last = last[:len(last) - 1] if len(last) % 4 == 1 else last
    return bytes(decoded + pybase64.b64decode(last + b"=" * (-len(last) % 4)))


def decode_quoted_printable(octets: bytes) -> bytes:
    """Quoted-printable (RFC 2045 6.7); an `=` that begins no escape stays, one before CR alone is a soft line break."""
    if octets.count(b"=\r") != octets.count(b"=\r\n"):
        octets = octets.replace(b"=\r\n", b"=\n").replace(b"=\r", b"=\n")
    while b"==" in octets:  # the library makes one of two
        octets = octets.replace(b"==", b"=3D=")
    return binascii.a2b_qp(octets)


def is_exact(octets: bytes, start: int, end: int, encoding: str) -> bool:
    """Whether all readers decode octets[start:end] alike, because the encoding has no fault."""
    if encoding == "base64":
        text = octets[start:end].translate(None, _BLANKS)
        letters = text.rstrip(b"=")
        return (len(text) % 4 == 0 and len(text) - len(letters) <= 2
                and not letters.translate(None, _LETTERS))
    if encoding == "quoted-printable":
        body = octets[start:end]
        return _NO_ESCAPE.search(body) is None and _SOFT_CR.search(body) is None
    return True


# Writing.


def quoted_printable(content: bytes) -> bytes:
    """Text in quoted-printable (RFC 2045 6.7); decoding gives the very same octets.

    CR LF stays a line end; where CR or LF is alone, all of them are escaped. No line begins with '--': a line that
    the old encoding hid, or that a soft break creates, must not become a delimiter. Such a line may have two
    characters more than 76.
    """
    encoded = binascii.b2a_qp(content, quotetabs=False, istext=ends_in_pairs(content))
    if b"\r\n" not in encoded:
        encoded = encoded.replace(b"\n", b"\r\n")
    if encoded.startswith(b"--"):
        encoded = b"=2D" + encoded[1:]
    return encoded.replace(b"\r\n--", b"\r\n=2D-")


def base64_lines(octets: bytes, before: bytes = b"") -> bytes:
    """Base64 in lines of 76 columns (RFC 2045 6.8), each ended by CRLF; `before` is put before the first.

    Large octets are written piece by piece: of 50 MB nothing is there twice but the result.
    """
    if len(octets) <= _PIECE_OCTETS:
        return before + _in_lines(pybase64.b64encode(octets))
    size = len(octets)
    # Room for all of it from the start: a buffer that grows leaves holes of its former sizes.
    written, view = BytesIO(bytes(len(before) + (size + 2) // 3 * 4 + (size + 56) // 57 * 2)), memoryview(octets)
    written.write(before)
    for start in range(0, size, _PIECE_OCTETS):
        written.write(_in_lines(pybase64.b64encode(view[start:start + _PIECE_OCTETS])))
    return written.getvalue()  # no copy: the buffer itself


def rewrapped_base64(octets: bytes) -> bytes | None:
    """The same base64 in lines of 76 columns, so that every reader decodes what it decoded before.

    None where other octets are between the letters: that is no base64, and a reader may show it as it is.
    """
    text = octets.translate(None, _BLANKS)
    if text.translate(None, _LETTERS + b"="):
        return None
    view = memoryview(text)
    return b"".join(_in_lines(view[at:at + _TEXT_OCTETS]) for at in range(0, len(text), _TEXT_OCTETS))


def _in_lines(text: bytes | memoryview) -> bytes:
    """Cut into lines 32 at a time: half of what `encodebytes` costs, which encodes line by line."""
    regular = len(text) - len(text) % _LINES.size
    return b"\r\n".join((*chain.from_iterable(_LINES.iter_unpack(memoryview(text)[:regular])),
                         *[text[at:at + _COLUMNS] for at in range(regular, len(text), _COLUMNS)], b""))
