"""Header fields with octets that no standard allows, and what readers make of them.

Truth: the text that the sender meant, written out by hand; RFC 6532 (UTF-8), RFC 2047, RFC 5322 2.1.1.
"""

import pytest

from gateway.errors import GatewayError, Reason
from gateway.mime.canonical import is_seven_bit, seven_bit
from gateway.mime.entity import parse_entity
from gateway.mime.header import mailboxes, parse_headers
from gateway.mime.params import parse_parameters


def mail(field: bytes, rest: bytes = b"Content-Type: text/plain; charset=us-ascii\r\n\r\nx\r\n") -> bytes:
    return b"From: a@bank.example\r\n" + field + b"\r\nMIME-Version: 1.0\r\n" + rest


IN_A_PART = (
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
    b"Content-Type: text/plain; charset=%b\r\n\r\nx\r\n--b--\r\n"
)
TEXT_IN = b"Content-Type: text/plain; charset=%b\r\n\r\nx\r\n"
CYRILLIC = "\u041f\u0440\u0438\u0432\u0435\u0442"


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        # The body names the charset of its header.
        (mail(b"Subject: " + CYRILLIC.encode("koi8-r"), TEXT_IN % b"koi8-r"), CYRILLIC),
        (mail(b"Subject: " + CYRILLIC.encode("cp1251"), IN_A_PART % b"windows-1251"), CYRILLIC),
        (mail(b"Subject: 5 \x80", b'Content-Type: text/plain; Charset = "windows-1252"\r\n\r\nx\r\n'), "5 \u20ac"),
        # UTF-8 that a program cut at a number of octets.
        (mail(b"Subject: Gr\xc3\xbc\xc3\x9fe aus Z\xc3"), "Gr\xfc\xdfe aus Z\ufffd"),
        (mail(b"Subject: Gr\xc3\xbc\xc3... \xc3\x9f"), "Gr\xfc\ufffd... \xdf"),
        # UTF-8 counts before the charset of the body, and ISO 8859-1 is what is left.
        (mail(b"Subject: Gr\xc3\xbc\xc3\x9fe", IN_A_PART % b"koi8-r"), "Gr\xfc\xdfe"),
        (mail(b"Subject: Gr\xfc\xdfe"), "Gr\xfc\xdfe"),
        (mail(b"Subject: Gr\xfc\xdfe", IN_A_PART % b"utf-8"), "Gr\xfc\xdfe"),
        (mail(b"Subject: M\xe9l"), "M\xe9l"),
        # What is no charset, or one in which ASCII means something else.
        (mail(b"Subject: Gr\xfc\xdfe", IN_A_PART % b"utf-16"), "Gr\xfc\xdfe"),
        (mail(b"Subject: Gr\xfc\xdfe", IN_A_PART % b"x-klingon"), "Gr\xfc\xdfe"),
    ],
)
def test_raw_octets_in_a_header(octets: bytes, text: str) -> None:
    assert parse_headers(octets).text("subject") == text
    made = seven_bit(octets)
    assert is_seven_bit(made)
    assert parse_headers(made).text("subject") == text


def test_a_raw_file_name_in_the_charset_of_the_text() -> None:
    disposition = b'Content-Disposition: attachment; filename="' + CYRILLIC.encode("cp1251") + b'"'
    made = seven_bit(mail(b"Subject: x", disposition + b"\r\n" + TEXT_IN % b"windows-1251"))
    field = parse_headers(made).first("content-disposition")
    assert field is not None
    assert parse_parameters(field.value)[1]["filename"] == CYRILLIC


@pytest.mark.parametrize("name", ["From", "To", "Cc", "Reply-To"])
@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("=?utf-8?q?J=C3=BCrgen?= Müller <j@x.example>", "Jürgen Müller"),
        ('"=?utf-8?q?J=C3=BCrgen?= Müller" <j@x.example>', "Jürgen Müller"),
        ("j@x.example (=?utf-8?q?J=C3=BCrgen?= Müller)", "Jürgen Müller"),
    ],
)
def test_encoded_words_beside_raw_octets_are_encoded_once(name: str, value: str, shown: str) -> None:
    made = seven_bit(mail(f"{name}: {value}".encode()).replace(b"From: a@bank.example\r\n", b""))
    field = parse_headers(made).first(name)
    assert field is not None
    assert mailboxes(field.value)[0] == (shown, "j@x.example") or mailboxes(field.value)[0].name == shown
    assert mailboxes(field.value)[0].address == "j@x.example"


def test_an_address_field_that_is_no_list_keeps_its_addresses() -> None:
    """An answer goes to what is written there: only the words that are not ASCII are encoded."""
    made = seven_bit(mail('To: "Müller <m@x.example>, b@y.example'.encode()))
    assert b"<m@x.example>, b@y.example\r\n" in made
    assert is_seven_bit(made)


ADDRESSES = ",".join(f"person{number}@customer.example" for number in range(60))
QUOTED = ",".join(f'"Last{number},First(x)"<p{number}@customer.example>(a,b)' for number in range(40))


@pytest.mark.parametrize("value", [ADDRESSES, QUOTED, f"Friends:{ADDRESSES};", ADDRESSES + ',"Ä"<ae@customer.example>'])
def test_a_list_without_spaces_is_folded_behind_its_commas(value: str) -> None:
    made = seven_bit(mail(f"To: {value}".encode()))
    assert is_seven_bit(made)
    before, after = mailboxes(value), mailboxes(parse_headers(made).all("to")[0].value)
    assert after == before


def test_message_ids_without_spaces_are_folded_between_them() -> None:
    ids = "".join(f"<{number}@mail.example>" for number in range(90))
    made = seven_bit(mail(f"References: {ids}".encode()))
    assert is_seven_bit(made)
    assert (parse_headers(made).all("references")[0].unfolded).replace(" ", "") == ids


@pytest.mark.parametrize("field", [b"To: " + b"x" * 1000 + b"@y.example", b"Message-ID: <" + b"x" * 1000 + b"@y>"])
def test_a_field_that_cannot_be_folded_is_named(field: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        seven_bit(mail(field))
    assert caught.value.reason is Reason.MAIL_FIELD_TOO_LONG
    assert field.partition(b":")[0].decode() in caught.value.detail


@pytest.mark.parametrize("name", ["7-bit", "7bits", "plain", "8-bit", "8bits", "UTF-8"])
def test_names_that_mean_octets_as_they_are(name: str) -> None:
    """Truth: RFC 2045 6.2 knows three such names; the standard library reads unknown ones in the same way."""
    rest = b"Content-Type: text/plain; charset=utf-8\r\n\r\n\xc3\xa4\r\n"
    octets = mail(f"Content-Transfer-Encoding: {name}".encode(), rest)
    made = seven_bit(octets)
    assert is_seven_bit(made)
    assert parse_entity(made).cte in ("quoted-printable", "base64")


@pytest.mark.parametrize(
    ("octets", "names", "body"),
    [  # As Postfix's cleanup: the line that is no field begins the body.
        (b"From: a@b.example\r\nHELO x\r\nA: s\r\n\r\nText\r\n", ["from"], b"HELO x\r\nA: s\r\n\r\nText\r\n"),
        (b"\xef\xbb\xbfFrom: a@b.example\r\n\r\nText\r\n", [], b"\xef\xbb\xbfFrom: a@b.example\r\n\r\nText\r\n"),
        (b"  \r\nFrom: a@b.example\r\n\r\nText\r\n", [], b"  \r\nFrom: a@b.example\r\n\r\nText\r\n"),
        (b"From: a@b.example\r\n \r\nSubject: s\r\n\r\nText\r\n", ["from", "subject"], b"Text\r\n"),
    ],
)
def test_a_line_that_is_no_field_ends_the_header(octets: bytes, names: list[str], body: bytes) -> None:
    headers = parse_headers(octets)
    assert [field.lower for field in headers.fields] == names
    assert octets[headers.body_offset :] == body
