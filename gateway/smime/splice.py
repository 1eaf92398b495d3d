"""The opened message: the header that the mail came with, around what was inside its layers.

Of the outer header all fields stay except those about the sealed body (Content-*, MIME-Version); of the
inner entity's header only the fields about its body (Content-*) come along. Any other inner field is a
stranger's and stays where it is, unless it was protected and is one for readers: those take the place of the outer
ones (RFC 9788 4.5, RFC 9787 8). What was encrypted may hold anything: the result is made carriable by SMTP.
"""

from collections.abc import Collection, Sequence

from gateway.errors import GatewayError
from gateway.mime.canonical import lines_fit, newlines_are_crlf, seven_bit
from gateway.mime.entity import Entity
from gateway.mime.header import Field, Headers


def opened_message(outer: Headers, payload: Entity, promoted: Sequence[Field] = (),
                   replaces: Collection[str] = ()) -> bytes:
    """The whole message, CRLF. `replaces`: lower-case names of outer fields that give way to `promoted`."""
    kept = [field for field in outer.fields
            if not _of_the_body(field) and field.lower not in replaces]
    inner = [field for field in payload.headers.fields if field.lower.startswith("content-")]
    fields = [_whole(field.raw) for field in (*kept, *promoted)]
    return _carriable(b"".join((*fields, b"MIME-Version: 1.0\r\n", *(_whole(field.raw) for field in inner), b"\r\n")),
                      payload.body)


def _of_the_body(field: Field) -> bool:
    return field.lower.startswith("content-") or field.lower == "mime-version"


def _whole(raw: bytes) -> bytes:
    """One field that stays one field: line ends in CRLF, a lone CR, which some reader takes for a line end, a space.

    The last field of a header without a body may have no line end of its own.
    """
    plain = raw.replace(b"\r\n", b"\n").replace(b"\r", b" ").replace(b"\0", b"")
    return plain.rstrip(b"\n").replace(b"\n", b"\r\n") + b"\r\n"


def _carriable(header: bytes, body: bytes) -> bytes:
    """CRLF, no NUL, lines of at most 998 octets (RFC 5322 2.1.1, RFC 5321 2.3.8).

    Parts that need it are re-encoded, so that every decoded part survives.
    """
    if newlines_are_crlf(body) and b"\0" not in body and lines_fit(body):
        return header + body
    try:
        made = seven_bit(header + body)
    except GatewayError as error:
        if error.retry:
            raise
    else:
        if newlines_are_crlf(made) and b"\0" not in made and lines_fit(made):
            return made
    # No form that could be re-encoded part by part: made readable line by line instead.
    return header + _crlf(body.replace(b"\0", b""))


def _crlf(octets: bytes) -> bytes:
    if newlines_are_crlf(octets):
        return octets
    return octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
