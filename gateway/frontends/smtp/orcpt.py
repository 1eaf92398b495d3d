"""The ORCPT parameter: which address the sender wrote first (RFC 3461 4.2, RFC 6533 3). Reports name it.

It says nothing about who gets the mail: it comes from another host, and only RCPT's path names the recipient.
"""

import re
from typing import Final

ORCPT_CHARS_MAX: Final = 500  # RFC 3461 4.2

# QCHAR, an embedded letter, or an octet of xtext, which some programs write here too (RFC 6533 3).
_PIECE: Final = re.compile(r"([!-*,-<>-\[\]-~])|\\x\{([0-9A-Fa-f]{2,6})\}|\+([0-9A-Fa-f]{2})|([^\x00-\x9f])")
_XTEXT: Final = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-Fa-f]{2})+")
_HEX_OCTET: Final = re.compile(r"\+[0-9A-Fa-f]{2}")
_ATOM: Final = re.compile(r"[A-Za-z0-9!#$%&'*/?^_`{|}~.-]+")
_LAST_LETTER: Final = 0x10FFFF


def canonical(text: str, *, smtputf8: bool) -> str | None:
    r"""The parameter's value in ASCII, as any server takes it; None if it is none.

    `utf-8` with letters as they are (utf-8-addr-unitext, only with SMTPUTF8) gets them embedded (`\x{F6}`).
    """
    kind, semicolon, value = text.partition(";")
    if not semicolon or not value or not _ATOM.fullmatch(kind) or len(text) > ORCPT_CHARS_MAX:
        return None
    if kind.lower() != "utf-8":
        found = _XTEXT.fullmatch(value)
        return None if found is None else f"{kind};{_HEX_OCTET.sub(lambda one: one[0].upper(), value)}"
    letters = _letters(value, smtputf8=smtputf8)
    return None if letters is None else f"{kind};{''.join(map(_embedded, letters))}"


def _letters(value: str, *, smtputf8: bool) -> str | None:
    found: list[str] = []
    at = 0
    while at < len(value):
        piece = _PIECE.match(value, at)
        if piece is None:
            return None
        plain, embedded, octet, beyond = piece.groups()
        code = int(embedded or octet or "0", 16)
        if beyond and not (smtputf8 and beyond.isprintable()):
            return None
        if code > _LAST_LETTER or 0xD800 <= code <= 0xDFFF or (octet and code > 0x7F):
            return None
        found.append(plain or beyond or chr(code))
        at = piece.end()
    return "".join(found)


def _embedded(letter: str) -> str:
    return letter if "!" <= letter <= "~" and letter not in "+=\\" else f"\\x{{{ord(letter):02X}}}"
