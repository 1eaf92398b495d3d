"""One header field in 7-bit with lines of at most 998 octets, its decoded text unchanged (RFC 2047, 2231, 6532).

Free text goes into encoded words, names of address fields too, parameters into RFC 2231. What has no ASCII form
(an address whose local part is UTF-8, RFC 6532) stays as it is: such mail travels over SMTPUTF8 hops only.
"""

from gateway.errors import GatewayError, Reason
from gateway.mime.addresses import encode_address_value, encode_unclear_value, foldable_list
from gateway.mime.header import Field
from gateway.mime.params import format_field, parse_parameters
from gateway.mime.words import LINE_MAX, encode_unstructured, fold, unfold

ADDRESS_FIELDS = frozenset({
    "from", "sender", "reply-to", "to", "cc", "bcc", "resent-from", "resent-sender", "resent-to", "resent-cc",
    "resent-bcc", "resent-reply-to", "disposition-notification-to", "return-receipt-to", "mail-followup-to",
    "mail-reply-to", "errors-to", "delivered-to", "x-original-to"})
MAIN_VALUE_MAX = 255  # RFC 6838 4.2: type and subtype have at most 127 characters each
PARAMETER_FIELDS = frozenset({"content-type", "content-disposition"})
# Never in encoded words (RFC 2047 5): their readers do not decode them.
_TOKENS = frozenset({"message-id", "in-reply-to", "references", "date", "received", "return-path", "mime-version",
                     "content-transfer-encoding", "content-id", "dkim-signature", "arc-seal",
                     "arc-message-signature", "authentication-results", "arc-authentication-results"})

_IDS = frozenset({"in-reply-to", "references"})


def seven_bit_field(field: Field) -> bytes:
    """The whole field with CRLF. Raises MAIL_BARE_NEWLINE, MAIL_NUL, MAIL_FIELD_TOO_LONG."""
    raw = field.raw
    if b"\0" in raw:
        raise GatewayError(Reason.MAIL_NUL, f"NUL in the field {field.name}")
    if b"\r" in raw.replace(b"\r\n", b""):
        raise GatewayError(Reason.MAIL_BARE_NEWLINE, f"bare CR in the field {field.name}")
    plain = raw.replace(b"\r\n", b"\n").rstrip(b"\n").replace(b"\n", b"\r\n") + b"\r\n"
    if plain.isascii():
        return plain if _fits(plain) else _shorter(field)
    return _ascii(field)


def _fits(raw: bytes) -> bool:
    return all(len(line) <= LINE_MAX for line in raw.split(b"\r\n"))


def _shorter(field: Field) -> bytes:
    """An ASCII field with a line that is too long: folded at its spaces, else in another form."""
    value = unfold(field.value).decode("ascii")
    folded = fold(f"{field.name}: {value}", LINE_MAX - 1)
    if folded is not None and all(len(line) <= LINE_MAX for line in folded.split("\r\n")):
        return folded.encode("ascii") + b"\r\n"
    if field.lower in PARAMETER_FIELDS:
        return _parameters(field)
    if field.lower in _TOKENS or field.lower in ADDRESS_FIELDS:
        return _folded(field, value)
    return encode_unstructured(field.name, field.text)


def _ascii(field: Field) -> bytes:
    """A field with 8-bit octets: UTF-8 of RFC 6532, or undeclared ones taken as ISO 8859-1."""
    if field.lower in PARAMETER_FIELDS:
        return _parameters(field)
    if field.lower in ADDRESS_FIELDS:
        try:
            value = encode_address_value(field.unfolded)
        except GatewayError:
            value = encode_unclear_value(field.unfolded)
        return _folded(field, value)
    if field.lower in _TOKENS:
        return _folded(field, field.unfolded)
    return encode_unstructured(field.name, field.text)


def _folded(field: Field, value: str) -> bytes:
    """With line ends at its spaces, else also behind commas and between ids. Raises MAIL_FIELD_TOO_LONG."""
    text = fold(f"{field.name}: {value}")
    if text is None and field.lower in ADDRESS_FIELDS:
        text = fold(f"{field.name}: {foldable_list(value)}")
    if text is None and field.lower in ADDRESS_FIELDS:
        text = fold(f"{field.name}: {_with_short_names(foldable_list(value))}")
    if text is None and field.lower in _IDS:
        text = fold(f"{field.name}: {value.replace('><', '> <')}")
    if text is None:
        raise GatewayError(Reason.MAIL_FIELD_TOO_LONG, f"the field {field.name} cannot be folded")
    return text.encode("utf-8") + b"\r\n"


def _with_short_names(value: str) -> str:
    try:
        return encode_address_value(value, LINE_MAX // 2)
    except GatewayError:
        return value


def _parameters(field: Field) -> bytes:
    main, params = parse_parameters(field.value, field.codec)
    if not main.isascii() or len(main) > MAIN_VALUE_MAX:  # an unknown value: written as what it counts as
        main = "text/plain" if field.lower == "content-type" else "attachment"  # RFC 2045 5.2, RFC 2183 2.8
    return format_field(field.name, main, {name: value for name, value in params.items() if name.isascii()})
