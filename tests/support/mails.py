"""Mails as the world sends them, made here octet by octet: one function per kind, and `everything()` for all.

Each is a whole RFC 5322 message in CRLF. `reader` is an independent view of a mail (the standard library's parser,
which the gateway itself never uses): what a recipient would get of it, part by part.
"""

import base64
import email
import email.message
import email.policy
import email.utils
from collections.abc import Callable
from dataclasses import dataclass
from email.header import decode_header

HEADER = (
    b"From: Jane Doe <jane@bank.example>\r\n"
    b"To: Bob <bob@customer.example>\r\n"
    b"Subject: Your statement\r\n"
    b"Date: Tue, 24 Nov 2026 12:00:00 +0000\r\n"
    b"Message-ID: <m1@bank.example>\r\n"
    b"MIME-Version: 1.0\r\n"
)
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
TNEF = bytes.fromhex("789f3e220100") + bytes(range(256))  # the signature of a TNEF stream, then anything


def crlf(text: str, charset: str = "utf-8") -> bytes:
    """Text as it stands in a mail."""
    return text.replace("\n", "\r\n").encode(charset)


def plain() -> bytes:
    """The simplest mail there is."""
    return HEADER + b"Content-Type: text/plain; charset=us-ascii\r\n\r\nHello Bob,\r\n\r\nyour statement.\r\n"


def no_content_type() -> bytes:
    """As RFC 822 knew it."""
    return b"From: jane@bank.example\r\nTo: bob@customer.example\r\nSubject: old\r\n\r\nHello.\r\n"


def eight_bit() -> bytes:
    """UTF-8 text sent with 8BITMIME."""
    return HEADER + crlf(
        "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n"
        "Grüße aus Köln, 5 € für Łukasz.\nTrailing space \n.\nFrom the start of a line\n"
    )


def eight_bit_undeclared() -> bytes:
    """ISO 8859-1 octets with no word about it."""
    return b"From: jane@bank.example\r\nTo: b@c.example\r\nSubject: x\r\n\r\n" + crlf("Grüße\n", "latin-1")


def umlauts() -> bytes:
    """Encoded words in names and subject, an RFC 2231 file name, a subject cut inside a letter."""
    return (
        b"From: =?utf-8?q?J=C3=BCrgen_M=C3=BCller?= <jm@bank.example>\r\n"
        b'To: =?iso-8859-1?q?Andr=E9?= <a@customer.example>, "Doe, John" <j@customer.example>\r\n'
        b"Subject: =?utf-8?b?R3LDvMOf?= =?utf-8?b?ZSBhdXMgS8O2bG4=?=\r\n"
        b"MIME-Version: 1.0\r\n"
        b"Content-Type: application/pdf;\r\n name*0*=utf-8''Kontoausz%C3%BCge%20;\r\n name*1=2026.pdf\r\n"
        b"Content-Disposition: attachment; filename*=utf-8''Kontoausz%C3%BCge%202026.pdf\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n"
        + base64.encodebytes(b"%PDF-1.7" + bytes(300)).replace(b"\n", b"\r\n")
    )


def raw_utf8_header() -> bytes:
    """RFC 6532 header fields, ASCII addresses, a raw UTF-8 file name."""
    return crlf(
        'From: Jürgen Müller <jm@bank.example>\nTo: Grüppe: "Öl, Ähre" <o@customer.example>, x@customer.example;\n'
        "Subject: Grüße\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n"
        'Content-Disposition: attachment; filename="Auszüge.txt"\nContent-Transfer-Encoding: 8bit\n\nÄ\n'
    )


def html_with_images() -> bytes:
    """multipart/related around multipart/alternative, an inline image, an attachment beside."""
    image = base64.encodebytes(PNG).replace(b"\n", b"\r\n")
    return HEADER + (
        b'Content-Type: multipart/mixed; boundary="outer"\r\n\r\n'
        b"This is a multi-part message in MIME format.\r\n"
        b'--outer\r\nContent-Type: multipart/related; boundary="outer-rel"; type="multipart/alternative"\r\n\r\n'
        b'--outer-rel\r\nContent-Type: multipart/alternative; boundary="outer-rel-alt"\r\n\r\n'
        b"--outer-rel-alt\r\nContent-Type: text/plain; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: quoted-printable\r\n\r\n"
        b"Gr=C3=BC=C3=9Fe\r\n=\r\nend\r\n"
        b"--outer-rel-alt\r\nContent-Type: text/html; charset=iso-8859-1\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
        b'<html><head><title>x</title></head><body bgcolor="#fff"><p>Gr\xfc\xdfe</p>'
        b'<img src="cid:i1"></body></html>\r\n'
        b"--outer-rel-alt--\r\n"
        b"--outer-rel\r\nContent-Type: image/png; name=dot.png\r\nContent-ID: <i1>\r\n"
        b"Content-Transfer-Encoding: base64\r\nContent-Disposition: inline; filename=dot.png\r\n\r\n"
        + image
        + b"--outer-rel--\r\n"
        b'--outer\r\nContent-Type: text/csv; charset=utf-8\r\n'
        b'Content-Disposition: attachment; filename="a;b.csv"\r\n\r\n'
        b"a;b\r\n1;2"
        b"\r\n--outer--\r\nAn epilogue.\r\n"
    )


def long_lines() -> bytes:
    """HTML in one line of 20,000 octets, declared 7bit, as web applications write it."""
    return (
        HEADER
        + b"Content-Type: text/html; charset=us-ascii\r\n\r\n<html><body>"
        + b"<b>word</b> " * 1700
        + b"</body></html>\r\n"
    )


def base64_in_one_line() -> bytes:
    """An attachment whose base64 was never wrapped."""
    return HEADER + (
        b"Content-Type: application/octet-stream; name=a.bin\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + base64.b64encode(bytes(range(256)) * 20)
        + b"\r\n"
    )


def calendar() -> bytes:
    """An invitation: text/calendar; method=REQUEST as alternative, UTF-8."""
    return HEADER + crlf(
        "Content-Type: multipart/alternative; boundary=cal\n\n--cal\nContent-Type: text/plain\n\nMeeting\n"
        "--cal\nContent-Type: text/calendar; charset=utf-8; method=REQUEST\nContent-Transfer-Encoding: 8bit\n\n"
        "BEGIN:VCALENDAR\nMETHOD:REQUEST\nBEGIN:VEVENT\nSUMMARY:Gespräch\nEND:VEVENT\nEND:VCALENDAR\n--cal--\n"
    )


def dsn() -> bytes:
    """A bounce with the original's header (RFC 3464)."""
    return HEADER.replace(b"jane@bank", b"MAILER-DAEMON@bank") + crlf(
        "Auto-Submitted: auto-replied\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="dsn"\n\n'
        "--dsn\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nUnzustellbar für Bob.\n"
        "--dsn\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.bank.example\n\n"
        "Final-Recipient: rfc822; bob@customer.example\nAction: failed\nStatus: 5.1.1\n\n"
        "--dsn\nContent-Type: text/rfc822-headers\n\nFrom: jane@bank.example\nSubject: x\n\n--dsn--\n"
    )


def mdn() -> bytes:
    """A read receipt (RFC 8098) that returns the whole original, with 8-bit text in it."""
    return HEADER + crlf(
        'Content-Type: multipart/report; report-type=disposition-notification; boundary="mdn"\n\n'
        "--mdn\nContent-Type: text/plain\n\nRead.\n"
        "--mdn\nContent-Type: message/disposition-notification\n\nFinal-Recipient: rfc822;bob@customer.example\n"
        "Disposition: manual-action/MDN-sent-manually; displayed\n\n"
        "--mdn\nContent-Type: message/rfc822\n\nFrom: jane@bank.example\nSubject: original\nMIME-Version: 1.0\n"
        "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nÜber\n--mdn--\n"
    )


def tnef() -> bytes:
    """Outlook's winmail.dat."""
    return HEADER + (
        b'Content-Type: multipart/mixed; boundary="----=_NextPart_000"\r\n\r\n'
        b"------=_NextPart_000\r\nContent-Type: text/plain; charset=windows-1252\r\n"
        b"Content-Transfer-Encoding: 8bit\r\n\r\n"
        b"5 \x80\r\n"
        b'------=_NextPart_000\r\nContent-Type: application/ms-tnef; name="winmail.dat"\r\n'
        b"Content-Transfer-Encoding: base64\r\n\r\n"
        + base64.encodebytes(TNEF).replace(b"\n", b"\r\n")
        + b"------=_NextPart_000--\r\n"
    )


def forwarded() -> bytes:
    """A mail in a mail in a mail, 8-bit at the bottom."""
    return HEADER + crlf(
        "Content-Type: multipart/mixed; boundary=f1\n\n--f1\n\nsee below\n--f1\n"
        "Content-Type: message/rfc822\nContent-Disposition: attachment\n\n"
        "From: a@x.example\nSubject: middle\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=f2\n\n"
        "--f2\nContent-Type: message/rfc822\n\nFrom: b@y.example\nSubject: ünnen\n\nTäxt\n--f2--\n\n--f1--\n"
    )


def digest() -> bytes:
    """A list digest: parts are messages without saying so (RFC 2046 5.1.5)."""
    return HEADER + crlf(
        "Content-Type: multipart/digest; boundary=d\n\n--d\n\nFrom: a@x.example\nSubject: one\n\nFirst ä\n"
        "--d\n\nFrom: b@x.example\nSubject: two\n\nSecond\n--d--\n"
    )


def unknown_charset() -> bytes:
    """A charset and a subject that nobody knows."""
    return HEADER.replace(b"Your statement", b"=?x-klingon?b?4pyT?=") + (
        b"Content-Type: text/plain; charset=x-klingon\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
        b"\xe2\x9c\x93 \xff\xfe\r\n"
    )


def utf16() -> bytes:
    """Text whose octets hold CR and LF that are no line ends."""
    return HEADER + (
        b"Content-Type: text/plain; charset=utf-16\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + base64.encodebytes("Grüße\r\n".encode("utf-16")).replace(b"\n", b"\r\n")
    )


def signed_already() -> bytes:
    """multipart/signed by somebody's client (the signature is a shape only)."""
    return HEADER + (
        b'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256;'
        b' boundary="sig"\r\n\r\n'
        b"--sig\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
        b"Gr\xc3\xbc\xc3\x9fe  \r\n"
        b"\r\n--sig\r\nContent-Type: application/pkcs7-signature; name=smime.p7s\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\nMIAGCSqGSIb3DQEHAqCAMIACAQExDTALBglghkgBZQMEAgE=\r\n--sig--\r\n"
    )


def encrypted_already() -> bytes:
    """application/pkcs7-mime by somebody's client (an envelope's beginning only)."""
    return HEADER + (
        b"Content-Type: application/x-pkcs7-mime; smime-type=enveloped-data; name=smime.p7m\r\n"
        b"Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=smime.p7m\r\n\r\n"
        b"MIAGCSqGSIb3DQEHA6CAMIACAQAxggEwMIIBLAIBADAUMA8xDTALBgNVBAMMBHRlc3Q=\r\n"
    )


# Made by GnuPG 2.4, to a cv25519 key.
PGP_MESSAGE = b"""-----BEGIN PGP MESSAGE-----

hF4D076CbE86LwsSAQdAkVsRuQ81+2lKovTqRUCW7hhYUL5WtBXJzHJqf7furFQw
w/UB47zqZMxa0owqdwLz5lJakTy+BE81Bx/WD/3fB4MPt6fbDURnq5f4u2z65DOz
0k4BTjLRqGeFuiay+u2Gfz/HmB1NGySVvLs0dyZyLA4hz7sUbVmdu3anU89GBwq6
7nBT74521hhwvQD+Wpt6rDoTUr+R01BGgTL7+TlATq0=
=6+i9
-----END PGP MESSAGE-----
""".replace(b"\n", b"\r\n")


def pgp_encrypted() -> bytes:
    """PGP/MIME (RFC 3156)."""
    return HEADER + (
        b'Content-Type: multipart/encrypted; protocol="application/pgp-encrypted"; boundary=pgp\r\n\r\n'
        b"--pgp\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n"
        b"--pgp\r\nContent-Type: application/octet-stream\r\n\r\n" + PGP_MESSAGE + b"--pgp--\r\n"
    )


def no_final_line_end() -> bytes:
    """The last line just stops."""
    return HEADER + b"Content-Type: text/plain; charset=us-ascii\r\n\r\nno end"


def binary_no_final_line_end() -> bytes:
    """Octets of any kind up to the end."""
    return (
        HEADER
        + b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n"
        + bytes(range(256))
    )


def multipart_no_final_line_end() -> bytes:
    """The close-delimiter is the end, without CRLF."""
    return HEADER + b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nA\r\n--x--"


def never_closed() -> bytes:
    """A multipart that was cut off."""
    return (
        HEADER
        + b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nA\r\n--x\r\n"
        + b"Content-Type: text/plain\r\n\r\nB \xff\r\n"
    )


def empty_body() -> bytes:
    """Header, empty line, nothing."""
    return HEADER + b"Content-Type: text/plain; charset=utf-8\r\n\r\n"


def header_only() -> bytes:
    """Not even the empty line."""
    return b"From: a@bank.example\r\nTo: b@c.example\r\nSubject: none\r\n"


def empty_parts() -> bytes:
    """Parts without header, without body, without both."""
    return HEADER + (
        b"Content-Type: multipart/mixed; boundary=e\r\n\r\n--e\r\n\r\n--e\r\nContent-Type: text/plain\r\n\r\n\r\n"
        b"--e\r\nX-Only: header\r\n\r\n--e\r\n\r\n\r\n--e--\r\n"
    )


def preamble_and_epilogue() -> bytes:
    """Text around the parts, with umlauts in it and a line that looks like a delimiter."""
    return HEADER + crlf(
        "Content-Type: multipart/mixed; boundary=b\n\nFür alte Leser\n--bx\n--b\n\nA\n--b \t\n\nB\n--b--\n"
        "Ende --b\nä\n",
        "latin-1",
    )


def outlook_headers() -> bytes:
    """Folded oddly, a very long References, a tab fold, a parameter without quotes."""
    return (
        b"Received: from a (b [10.0.0.1]) by c with ESMTP id 1;\r\n\tTue, 24 Nov 2026 12:00:00 +0000\r\n"
        b'From: "Doe, Jane (Bank)" <jane@bank.example>\r\nTo: undisclosed-recipients:;\r\n'
        b"Thread-Topic: =?utf-8?B?w5xiZXI=?=\r\nSubject:\r\n =?utf-8?B?w5xiZXI=?=\r\n"
        b"References: " + b"\r\n ".join(b"<%040d@mail.example>" % n for n in range(60)) + b"\r\n"
        b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii; name=my file.txt\r\n"
        b"Content-Language: de-DE\r\nX-Empty:\r\n\r\nText\r\n"
    )


def long_header() -> bytes:
    """A field of 3,000 octets with spaces and one of 2,000 without any."""
    return HEADER + b"X-Words: " + b"word " * 600 + b"end\r\nX-Token: " + b"t" * 2000 + b"\r\n\r\nText\r\n"


KINDS: dict[str, Callable[[], bytes]] = {
    function.__name__: function
    for function in (
        plain,
        no_content_type,
        eight_bit,
        eight_bit_undeclared,
        umlauts,
        raw_utf8_header,
        html_with_images,
        long_lines,
        base64_in_one_line,
        calendar,
        dsn,
        mdn,
        tnef,
        forwarded,
        digest,
        unknown_charset,
        utf16,
        signed_already,
        encrypted_already,
        pgp_encrypted,
        no_final_line_end,
        binary_no_final_line_end,
        multipart_no_final_line_end,
        never_closed,
        empty_body,
        header_only,
        empty_parts,
        preamble_and_epilogue,
        outlook_headers,
        long_header,
    )
}


def everything() -> dict[str, bytes]:
    """Every kind by its name."""
    return {name: make() for name, make in KINDS.items()}


@dataclass(frozen=True)
class PartSeen:
    """What the independent reader gets of one part. `content` is decoded, None for what only holds other parts."""

    depth: int
    type: str
    charset: str | None
    filename: str | None
    params: tuple[tuple[str, str], ...]
    headers: tuple[tuple[str, str], ...]
    content: bytes | None


FIELD_GROUPS = {"message/delivery-status", "message/disposition-notification"}
_ENCODING_FIELDS = {"content-transfer-encoding", "content-type", "content-disposition", "mime-version"}


def reader(octets: bytes) -> list[PartSeen]:
    """A mail as the standard library's parser sees it: order, types, names, header texts, decoded contents."""
    message = email.message_from_bytes(octets, policy=email.policy.compat32)
    seen: list[PartSeen] = []
    waiting: list[tuple[int, email.message.Message]] = [(0, message)]
    while waiting:
        depth, part = waiting.pop()
        children = part.get_payload() if part.is_multipart() else []
        assert isinstance(children, list)
        content = None if part.is_multipart() else part.get_payload(decode=True)
        if part.get_content_type() in FIELD_GROUPS:  # parsed into messages of their own: taken as text again
            content, children = repr([_items(child) for child in children]).encode(), []
        assert content is None or isinstance(content, bytes)
        seen.append(
            PartSeen(
                depth,
                part.get_content_type(),
                part.get_content_charset(),
                _filename(part),
                tuple(
                    sorted(
                        (key, _text(value))
                        for key, value in part.get_params(failobj=[], unquote=True)[1:]
                        if key != "name" and not key.startswith("name*")
                    )
                ),
                tuple(
                    (name.lower(), _said(name.lower(), value))
                    for name, value in _items(part)
                    if name.lower() not in _ENCODING_FIELDS
                ),
                content,
            )
        )
        waiting.extend((depth + 1, child) for child in reversed(children))
    return seen


def _said(lower: str, value: str) -> str:
    """A header text; of address lists names and addresses, for quotes around a name are no part of it."""
    if lower not in {"from", "to", "cc", "reply-to", "sender"}:
        return header_text(value)
    pairs = email.utils.getaddresses([value.replace("\r\n", "")])
    return ", ".join(f"{header_text(name)} <{address}>" for name, address in pairs)


def _items(part: email.message.Message) -> list[tuple[str, str]]:
    return [(name, str(value)) for name, value in part.raw_items()]


def _text(value: object) -> str:
    if isinstance(value, tuple):
        charset, _, text = value
        return text.encode("latin-1", "surrogateescape").decode(charset or "ascii", "replace")
    return str(value)


def _filename(part: email.message.Message) -> str | None:
    name = part.get_filename()
    return None if name is None else header_text(name)


def header_text(value: str) -> str:
    """A header value decoded by the standard library, white space joined; undeclared octets as UTF-8 or ISO 8859-1."""
    raw = value.encode("utf-8", "surrogateescape").replace(b"\r\n", b"").replace(b"\n", b"").strip()
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    out: list[str] = []
    for chunk, charset in decode_header(text):
        if isinstance(chunk, str):
            out.append(chunk)
            continue
        try:
            out.append(
                chunk.decode("utf-8" if charset is None and not chunk.isascii() else charset or "ascii", "replace")
            )
        except LookupError:
            out.append(chunk.decode("latin-1"))
    return " ".join("".join(out).split())
