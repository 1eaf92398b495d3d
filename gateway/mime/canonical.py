"""The form that we sign: 7-bit, lines of at most 998 octets, CRLF everywhere (RFC 8551 3.1.2, 3.1.3).

So that no hop has a reason to re-encode anything. Nearly all mail has this form already and passes the check
unchanged; else only the parts that need it are re-encoded, and every decoded part, name and header survives.
Subtrees that are signed or encrypted already (multipart/signed, multipart/encrypted) are never touched: their own
signatures would break. A part that cannot be re-encoded without loss (an unknown transfer encoding, a multipart
without parts) is not touched either. Where such a part is not 7-bit, the result is not either (`is_seven_bit`
reports it), and the caller signs it opaque.
"""

from gateway.errors import GatewayError, Reason
from gateway.mime.entity import DEFAULT_LIMITS, Entity, Limits, decode, parse_entity
from gateway.mime.fields import seven_bit_field
from gateway.mime.header import Headers
from gateway.mime.transfer import base64_lines, quoted_printable, rewrapped_base64
from gateway.mime.words import LINE_MAX
from gateway.model.wire import ends_in_pairs, regular_lines

_SEALED = frozenset({"multipart/signed", "multipart/encrypted"})  # a CMS object alone is octets: any encoding does
_WIDE = frozenset({"8bit", "binary"})
_LABEL = b"-transfer-encoding:"
_COLONS_ONE_BY_ONE = 64
_TO_ASCII = bytes(octet if octet < 128 and octet else 63 for octet in range(256))  # 63: '?'


def newlines_are_crlf(octets: bytes) -> bool:
    """Whether every CR is before a LF and every LF behind a CR."""
    return ends_in_pairs(octets)


def lines_fit(octets: bytes, limit: int = LINE_MAX) -> bool:
    """Whether no line is longer than `limit` octets, its line end not counted. Looks at a few octets a thousand,

    and at fewer where lines are of one length, as base64 is: a tenth of the time.
    """
    start, end, length = regular_lines(octets)
    if length > limit:
        start = end = 0
    return _lines_fit(octets, 0, start, limit) and _lines_fit(octets, end, len(octets), limit)


def _lines_fit(octets: bytes, position: int, end: int, limit: int) -> bool:
    """The same for octets[position:end], whole lines."""
    while end - position > limit:
        newline = octets.rfind(b"\n", position, min(end, position + limit + 2))
        if newline < 0:
            return False
        if newline == position + limit + 1 and octets[newline - 1] != 13:  # 999 octets and a bare LF
            newline = octets.rfind(b"\n", position, newline)
            if newline < 0:
                return False
        position = newline + 1
    return True


def is_seven_bit(octets: bytes) -> bool:
    """Whether `octets` may be signed in the open: ASCII without NUL, lines of at most 998, CRLF only and at the end."""
    return octets.endswith(b"\r\n") and _plain(octets)


def passes_hops(octets: bytes) -> bool:
    """Whether no hop has a reason to re-encode it: content with CRLF line ends, looked at in a third of the time."""
    return octets.isascii() and lines_fit(octets)


def seven_bit(octets: bytes, limits: Limits = DEFAULT_LIMITS, *, crlf: bool = False) -> bytes:
    """A whole message or entity in the form that we sign; the very same object where it has that form.

    `crlf`: the caller knows that all line ends are CRLF (the relay has looked), so they are not looked at again.

    A label `8bit` or `binary` on 7-bit content becomes `7bit`: it would invite a hop to re-encode.
    A part that cannot be made 7-bit without changing what a reader gets stays as it is.
    Raises MAIL_NUL and MAIL_BARE_NEWLINE for such octets in a header, MAIL_LINE_TOO_LONG for a field that cannot be
    folded, INPUT_LIMIT_EXCEEDED beyond `limits`, INTERNAL (retry) if the decoded content of a part changed.
    """
    ended = octets.endswith(b"\r\n") and b"\0" not in octets
    if ended and passes_hops(octets) and (crlf or newlines_are_crlf(octets)) and not _has_wide_label(octets):
        return octets
    root = parse_entity(octets, limits)
    out: list[bytes] = []
    _write(root, out, _clean(root))
    written = b"".join(out)
    _check_contents(root, parse_entity(written, limits))
    return written


def _check_contents(before: Entity, after: Entity) -> None:
    """Checked in pairs: the same parts, and each rewritten one decodes to the same octets."""
    ones, others = list(before.walk()), list(after.walk())
    if [one.type for one in ones] != [other.type for other in others]:
        raise GatewayError(Reason.INTERNAL, "re-encoding changed the structure of the mail", retry=True)
    for one, other in zip(ones, others, strict=True):
        if one.children or one.is_multipart or (one.cte == other.cte and one.body == other.body):
            continue
        if decode(one) != decode(other):
            raise GatewayError(Reason.INTERNAL, f"re-encoding changed the content of a {one.type}", retry=True)


def with_short_lines(octets: bytes) -> bytes:
    """A message with CRLF line ends whose lines of more than 998 octets are re-encoded (RFC 5321 4.5.3.1.6).

    The very same octets where all lines fit, where a long one is under its sender's signature, and where nothing can
    be done without changing what a reader gets.
    """
    if lines_fit(octets):
        return octets
    try:
        return seven_bit(octets, crlf=True)
    except GatewayError:
        return octets


def _has_wide_label(octets: bytes) -> bool:
    """Whether something that looks like the field says `8bit` or `binary`.

    Base64 has no colon, and single octets are found ten times as fast as words; a text with many colons is searched
    for the words.
    """
    position = 0
    for _ in range(_COLONS_ONE_BY_ONE):
        position = octets.find(b":", position) + 1
        if not position:
            return False
        if octets[max(0, position - len(_LABEL)):position].lower() == _LABEL and _is_wide(octets, position):
            return True
    for needle in (b"-Transfer-Encoding: ", b"-transfer-encoding: "):
        at = octets.find(needle, position)
        while at >= 0:
            at += len(needle)
            if _is_wide(octets, at - 1):
                return True
            at = octets.find(needle, at)
    return False


def _is_wide(octets: bytes, position: int) -> bool:
    return octets[position:position + 7].lower().startswith((b" 8bit", b" binary"))


def _clean(root: Entity) -> frozenset[int]:
    """The entities (by id) that may stay as they are. Children before parents, each octet looked at once."""
    octets, total = root.octets, root.end
    clean: set[int] = set()
    for entity in reversed(list(root.walk())):
        if entity.type in _SEALED:  # its header is no part of what is sealed
            if _plain(octets[entity.start:entity.body_start]) and (entity.end < total or octets.endswith(b"\r\n")):
                clean.add(id(entity))
            continue
        if entity.cte in _WIDE or not all(id(child) in clean for child in entity.children):
            continue
        position = entity.start
        fits = True
        for child in entity.children:
            fits = fits and _plain(octets[position:child.start])
            position = child.end
        fits = fits and _plain(octets[position:entity.end])
        if fits and (entity.end < total or octets[total - 2:total] == b"\r\n"):
            clean.add(id(entity))
    return frozenset(clean)


def _plain(octets: bytes) -> bool:
    return octets.isascii() and b"\0" not in octets and lines_fit(octets) and newlines_are_crlf(octets)


def _write(root: Entity, out: list[bytes], clean: frozenset[int]) -> None:
    """The entity and all inside it, in order. A list of work instead of recursion: depth is a stranger's choice."""
    work: list[Entity | bytes] = [root]
    messages = {id(root)}  # whole messages: they need a MIME-Version of their own
    total = root.end
    while work:
        item = work.pop()
        if isinstance(item, bytes):
            out.append(item)
        elif id(item) in clean:
            out.append(item.raw)
        elif item.type in _SEALED:
            out.extend((_header(item.headers, None), item.body))
            if item.end == total and item.closed and not item.body.endswith(b"\r\n"):
                out.append(b"\r\n")
        elif item.type == "message/rfc822" and item.children:
            out.append(_header(item.headers, None if item.cte == "7bit" else "7bit"))
            work.append(item.children[0])
            messages.add(id(item.children[0]))
        elif item.is_multipart and item.children:
            out.append(_header(item.headers, None if item.cte == "7bit" else "7bit"))
            work.extend(reversed(_multipart(item, total)))
        else:
            out.extend(_leaf(item, total, is_message=id(item) in messages))


def _multipart(entity: Entity, total: int) -> list[Entity | bytes]:
    """The body of a multipart as pieces: text between the parts made plain, parts to be written in their turn."""
    pieces: list[Entity | bytes] = []
    boundary = entity.content_type.params["boundary"].rstrip().encode("utf-8", "replace")
    line = b"--" + boundary
    assert entity.preamble is not None  # noqa: S101 - every multipart has the span
    preamble = _text(entity.octets[slice(*entity.preamble)])
    if entity.preamble[1] > entity.preamble[0]:
        pieces.append(preamble + b"\r\n")
    for child in entity.children:
        pieces.extend((line, b"\r\n", child, b"\r\n"))
    if not entity.closed:  # cut off: it ends where its last part ends
        return pieces[:-1]
    pieces.append(line + b"--")
    assert entity.epilogue is not None  # noqa: S101 - every closed multipart has the span
    epilogue = _text(entity.octets[slice(*entity.epilogue)])
    if epilogue or entity.end == total:
        pieces.append(b"\r\n" + epilogue)
    if entity.end == total and epilogue and not epilogue.endswith(b"\r\n"):
        pieces.append(b"\r\n")
    return pieces


def _text(octets: bytes) -> bytes:
    """Text that no reader shows (preamble, epilogue) in 7-bit; what is not ASCII becomes '?'.

    A new line never begins where none began before, but with a space: it could be a delimiter.
    """
    plain = octets.replace(b"\r\n", b"\n").replace(b"\r", b" ").replace(b"\n", b"\r\n").translate(_TO_ASCII)
    if lines_fit(plain):
        return plain
    return b"\r\n".join(
        b"\r\n ".join(line[at:at + LINE_MAX - 1] for at in range(0, max(len(line), 1), LINE_MAX - 1))
        for line in plain.split(b"\r\n"))


def _leaf(entity: Entity, total: int, *, is_message: bool) -> list[bytes]:
    """One part re-encoded: base64 or quoted-printable, whichever fits; its decoded octets stay the same.

    As it is where that is not possible.
    """
    body = entity.body
    at_end = entity.end == total
    if _plain(body) and (body.endswith(b"\r\n") or not at_end or not body):
        return [_header(entity.headers, "7bit" if entity.cte in _WIDE else None), body]  # only the header needed it
    if (entity.is_multipart or entity.cte not in _ENCODINGS
            or (entity.content_type.type == "message" and entity.type not in _FREE_MESSAGES)):
        return [_header(entity.headers, None), body]
    if entity.cte == "base64":
        encoded = rewrapped_base64(body)
        if encoded is None:
            return [_header(entity.headers, None), body]
        return [_header(entity.headers, "base64"), encoded if at_end else encoded.removesuffix(b"\r\n")]
    content = decode(entity)
    use_quoted = (entity.content_type.type in {"text", "message"} and newlines_are_crlf(content)
                  and _mostly_ascii(content))
    encoded = quoted_printable(content) if use_quoted else base64_lines(content)
    if at_end:
        encoded = encoded if encoded.endswith(b"\r\n") else encoded + (b"=\r\n" if use_quoted and encoded else b"\r\n")
    elif not use_quoted:
        encoded = encoded.removesuffix(b"\r\n")  # the delimiter brings its own
    encoding = "quoted-printable" if use_quoted else "base64"
    return [_header(entity.headers, encoding, is_message=is_message), encoded]


_ENCODINGS = _WIDE | {"7bit", "base64", "quoted-printable"}
_FREE_MESSAGES = frozenset({  # message types that may have any transfer encoding, or must be saved somehow
    "message/global", "message/global-headers", "message/global-delivery-status",
    "message/global-disposition-notification", "message/delivery-status", "message/disposition-notification",
    "message/rfc822", "message/feedback-report", "message/http", "message/external-body"})


def _mostly_ascii(content: bytes) -> bool:
    """Whether quoted-printable is shorter than base64, or nearly."""
    special = len(content) - len(content.translate(None, _HIGH))
    return special * 6 <= len(content) + 60


_HIGH = bytes(range(128, 256)) + b"=\0"


def _header(headers: Headers, encoding: str | None, *, is_message: bool = False) -> bytes:
    """The header section and its empty line in 7-bit, with another Content-Transfer-Encoding if one is given."""
    out: list[bytes] = []
    written = encoding is None
    for field in headers.fields:
        if encoding is not None and field.lower == "content-transfer-encoding":
            if not written:
                out.append(_encoding_field(encoding))
            written = True
        else:
            raw = field.raw
            out.append(raw if raw.endswith(b"\r\n") and _plain(raw) else seven_bit_field(field))
    if encoding is not None and not written:
        if is_message and headers.first("mime-version") is None:
            out.append(b"MIME-Version: 1.0\r\n")  # without it no reader must heed the encoding (RFC 2045 4)
        out.append(_encoding_field(encoding))
    out.append(b"\r\n")
    return b"".join(out)


def _encoding_field(encoding: str) -> bytes:
    return f"Content-Transfer-Encoding: {encoding}\r\n".encode("ascii")
