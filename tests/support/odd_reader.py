"""All that a reader gets of a mail, as one text, read without the gateway.

Structure is the standard library's; encodings are undone here, because the library drops text where one is damaged.
"""

import base64
import codecs
import email
import email.policy
import re
from email.message import Message


def everything_seen(octets: bytes) -> str:
    """All that a reader gets of a mail, one text below the other: header texts, names, decoded parts."""
    root = email.message_from_bytes(octets, policy=email.policy.compat32)
    seen: list[str] = []
    for part in root.walk():
        seen += [f"{name}: {header_text(str(value))}" for name, value in part.raw_items()]
        name = part.get_filename()
        seen += [] if name is None else [header_text(name)]
        if not part.is_multipart():
            seen.append(_text_of(part))
    return "\n".join(seen)


def header_text(value: str) -> str:
    """A header value unfolded, its encoded words decoded (RFC 2047, RFC 2231 5), neighbours of one charset together."""
    raw = value.encode("utf-8", "surrogateescape").replace(b"\r\n", b"")
    text = raw.decode("utf-8") if _is_utf8(raw) else raw.decode("latin-1")
    joined = re.sub(r"(\?=)[ \t]+(?==\?)", r"\1", text)
    out, octets, charset = "", b"", ""
    for before, word, name, how, content in _WORD.findall(joined + " "):
        if octets and (before or name.lower() != charset):
            out, octets = out + octets.decode(charset, "replace"), b""
        out += before
        if word and not _is_charset(name):
            out += word
        elif word:
            charset = name.lower()
            raw = content.encode("latin-1")
            octets += _base64(raw) if how in "bB" else _quoted_printable(raw.replace(b"_", b" "))
    return out.strip()


_WORD = re.compile(r"(.*?)(?:(=\?([A-Za-z0-9_-]+)(?:\*[^?]*)?\?([bBqQ])\?([^?]*)\?=)|\Z)", re.DOTALL)


def _is_charset(name: str) -> bool:
    try:
        return codecs.lookup(name) is not None
    except LookupError:
        return False


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _text_of(part: Message) -> str:
    encoding = str(part.get("content-transfer-encoding", "")).partition(";")[0].partition("(")[0].strip().lower()
    del part["content-transfer-encoding"]
    raw = part.get_payload(decode=True)
    assert isinstance(raw, bytes)
    octets = {"base64": _base64, "quoted-printable": _quoted_printable}.get(encoding, bytes)(raw)
    for charset in (part.get_content_charset() or "utf-8", "utf-8", "latin-1"):
        try:
            return octets.decode(charset)
        except (LookupError, UnicodeDecodeError):
            continue
    return ""


def _base64(raw: bytes) -> bytes:
    """Each run of letters up to its padding by itself; a text that is no base64 as it is, as many programs show it."""
    text = re.sub(rb"\s", b"", raw)
    if re.search(rb"[^A-Za-z0-9+/=]", text):
        return raw
    found, run = b"", b""
    for letters, padding in re.findall(rb"([A-Za-z0-9+/]*)(=*)", text):
        run += letters
        if padding and len(run) % 4 not in (0, 1):
            found, run = found + base64.b64decode(run + b"=" * (-len(run) % 4)), b""
    run = run[: len(run) - 1] if len(run) % 4 == 1 else run
    return found + base64.b64decode(run + b"=" * (-len(run) % 4))


def _quoted_printable(raw: bytes) -> bytes:
    """RFC 2045 6.7; what is no escape stays."""
    return re.sub(rb"=(?:([0-9A-Fa-f]{2})|\r\n|\r|\n|\Z)", lambda found: bytes.fromhex((found[1] or b"").decode()), raw)
