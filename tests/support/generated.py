"""Mails as hypothesis draws them: any tree of parts, with every trap that sealing could fall into.

8-bit text, lines beyond 998 octets, charsets nobody knows, RFC 2231 names, RFC 2047 and raw UTF-8 header fields,
boundaries that begin alike or hold spaces, empty parts, nested messages, calendars, reports, and a last line that
just stops. Only octets that SMTP carries: no NUL, CR and LF only in pairs.
"""

import binascii
from email.header import Header
from urllib.parse import quote

from hypothesis import strategies as st

AUTHOR = "jane@bank.example"
_WORD = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Cn", "Co", "Zl", "Zp", "Zs"], include_characters=" "), max_size=70
).map(lambda text: " ".join(text.split()))
_NAMES = st.text(st.sampled_from("aZ9 ._-;'äöß€文%*"), min_size=1, max_size=70).map(
    lambda text: " ".join(text.split()) or "x"
)
_BOUNDARIES = ("=_B", "=_B-", "=_B-1", "=_B x", "----=_NextPart_000_0001_01D7.AB'()+,./:?", "=_B" + "c" * 60)
_TEXT_TYPES = (
    "text/plain; charset=utf-8",
    "text/plain",
    'text/html; charset="iso-8859-1"',
    "text/plain; charset=x-klingon",
    "text/csv; header=present",
    "text/calendar; method=REQUEST; charset=utf-8",
    "text/plain; format=flowed; delsp=yes",
)
_RECEIPT = (
    b"Content-Type: message/disposition-notification\r\n\r\nFinal-Recipient: rfc822; b@c.example\r\n"
    b"Disposition: manual-action/MDN-sent-manually; displayed\r\n"
)
_STATUS = (
    b"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.bank.example\r\n\r\n"
    b"Final-Recipient: rfc822; b@c.example\r\nAction: failed\r\n"
)
_BINARY_TYPES = ("application/pdf", "image/png", "application/ms-tnef", "application/octet-stream")


def _written(content: bytes, encoding: str) -> bytes:
    if encoding == "base64":
        return binascii.b2a_base64(content, newline=False) + b"\r\n" if len(content) % 2 else _wrapped(content)
    if encoding == "quoted-printable":
        return binascii.b2a_qp(content, istext=False).replace(b"=\n", b"=\r\n")
    return content


def _wrapped(content: bytes) -> bytes:
    return b"".join(
        binascii.b2a_base64(content[at : at + 57], newline=False) + b"\r\n" for at in range(0, len(content), 57)
    )


_TEXTS = st.one_of(
    _WORD.map(str.encode),
    st.lists(
        st.one_of(
            _WORD,
            st.sampled_from(
                (
                    "",
                    ".",
                    "..",
                    "From me",
                    "--",
                    "--=_Bx",
                    "--=_B-z",
                    " --=_B",
                    "-- ",
                    "trailing \t",
                    "=41=",
                    "x" * 998,
                    "x" * 999,
                    "ä" * 700,
                    "Subject: x",
                    "begin 644 a.txt",
                )
            ),
        ),
        max_size=7,
    ).map(lambda lines: "\r\n".join(lines).encode()),
    st.sampled_from(
        (
            b"",
            b"\r\n",
            b"\r\n\r\n",
            b"x" * 1200,
            b"no end",
            "Grüße\r\n".encode(),
            "Grüße\r\n".encode("latin-1"),
            b"<html><head></head><body class='x'>\r\n<p>Hi</p></body></html>\r\n",
        )
    ),
)


@st.composite
def _fields(draw: st.DrawFn, names: tuple[str, ...] = ("X-Info", "Content-Description", "Content-ID")) -> bytes:
    out = b""
    for name in draw(st.lists(st.sampled_from(names), max_size=3, unique=True)):
        out += name.encode() + b": " + draw(header_value()) + b"\r\n"
    return out


@st.composite
def header_value(draw: st.DrawFn) -> bytes:
    """Text in one of the ways in which it stands in headers."""
    text = draw(_WORD)
    way = draw(st.sampled_from(("raw", "b", "q")))
    if way == "raw" or not text:
        return text.encode()
    charset = "utf-8" if way == "b" else "iso-8859-1"
    if way == "q":
        text = text.encode("latin-1", "ignore").decode("latin-1")
    return Header(text, charset).encode(linesep="\r\n").encode() if text.strip() else b""


def _parameter(name: str, value: str, way: str) -> bytes:
    """One parameter: RFC 2231, the same in two pieces, raw UTF-8 or a plain quoted one."""
    if way == "2231":
        return f"; {name}*=utf-8''{quote(value, safe='')}".encode()
    if way == "pieces":
        half = len(value) // 2
        one, other = quote(value[:half], safe=""), quote(value[half:], safe="")
        return f"; {name}*0*=utf-8''{one};\r\n {name}*1*={other}".encode()
    plain = value if way == "raw" else value.encode("ascii", "ignore").decode() or "x"
    return f'; {name}="{plain}"'.encode()


@st.composite
def leaves(draw: st.DrawFn) -> bytes:
    """One part without parts."""
    encoding = draw(st.sampled_from(("7bit", "8bit", "binary", "base64", "quoted-printable", "")))
    coded = encoding in ("base64", "quoted-printable")
    if coded and draw(st.booleans()):
        type_, content = draw(st.sampled_from(_BINARY_TYPES)), draw(st.binary(max_size=400))
    else:
        type_, content = draw(st.sampled_from(_TEXT_TYPES)), draw(_TEXTS)
    header = draw(_fields()) + f"Content-Type: {type_}".encode()
    if draw(st.booleans()):
        way = draw(st.sampled_from(("2231", "pieces", "raw", "plain")))
        name = draw(_NAMES)
        header += (
            _parameter("name", name, way) + b"\r\nContent-Disposition: attachment" + _parameter("filename", name, way)
        )
    header += b"\r\n" + (f"Content-Transfer-Encoding: {encoding}\r\n".encode() if encoding else b"")
    return header + b"\r\n" + _written(content, encoding)


@st.composite
def entities(draw: st.DrawFn, depth: int = 0) -> bytes:
    """A part, with the header fields that speak of it."""
    kind = draw(
        st.sampled_from(
            ("leaf", "leaf", "mixed", "alternative", "message", "report", "nothing") if depth < 3 else ("leaf",)
        )
    )
    if kind == "leaf":
        return draw(leaves())
    if kind == "nothing":
        return draw(st.sampled_from((b"\r\n", b"Content-Type: text/plain\r\n\r\n", b"X-Only: header\r\n\r\n")))
    if kind == "message":
        return (
            draw(_fields())
            + b"Content-Type: message/rfc822\r\n\r\nFrom: a@b.example\r\nSubject: "
            + draw(header_value())
            + b"\r\nMIME-Version: 1.0\r\n"
            + draw(entities(depth + 1))
        )
    boundary = draw(st.sampled_from(_BOUNDARIES)) + str(depth)
    line = b"--" + boundary.encode()
    if kind == "report":
        word, machine = draw(st.sampled_from((("delivery-status", _STATUS), ("disposition-notification", _RECEIPT))))
        type_ = f"multipart/report; report-type={word}"
        children = [b"\r\nf\xc3\xbcr Bob\r\n", machine, draw(entities(depth + 1))]
    else:
        type_ = f"multipart/{kind}"
        children = draw(st.lists(entities(depth + 1), min_size=1, max_size=3))
    parts = b"".join(line + draw(st.sampled_from((b"", b"", b" \t"))) + b"\r\n" + child + b"\r\n" for child in children)
    around = draw(st.sampled_from(((b"", b""), (b"This is MIME\r\n", b"\r\n"), (b"--=_Bz\r\n\r\n", b"\r\nepilogue"))))
    return (
        draw(_fields())
        + f'Content-Type: {type_}; boundary="{boundary}"\r\n\r\n'.encode()
        + around[0]
        + parts
        + line
        + b"--"
        + around[1]
    )


@st.composite
def mails(draw: st.DrawFn) -> bytes:
    """A whole message of AUTHOR's."""
    header = [
        b"From: "
        + draw(st.sampled_from((b"Jane", b"=?utf-8?q?J=C3=A4ne?=", '"Jäne, (x)"'.encode())))
        + b" <"
        + AUTHOR.encode()
        + b">",
        b"To: bob@customer.example" + draw(st.sampled_from((b"", ', "Öl, Ähre" <o@customer.example>'.encode()))),
        b"Date: Tue, 24 Nov 2026 12:00:00 +0000",
        b"Message-ID: <m1@bank.example>",
    ]
    header += draw(
        st.lists(
            st.sampled_from(
                (
                    b"Cc: c@customer.example",
                    b"Keywords: a, b",
                    b"Comments: none",
                    b"In-Reply-To: <q@customer.example>",
                    b"X-Mailer: core banking 1.0",
                    b"Auto-Submitted: auto-generated",
                    b"List-Id: <a.bank.example>",
                    b"X-Empty:",
                    b"Received: from a by b; Tue, 24 Nov 2026 12:00:00 +0000",
                    b"X-Words: " + b"word " * 300 + b"end",
                    b"References: " + b"\r\n ".join(b"<%040d@mail.example>" % n for n in range(30)),
                )
            ),
            max_size=4,
            unique=True,
        )
    )
    if draw(st.booleans()):
        header.append(b"Subject: " + draw(header_value()))
    header = draw(st.permutations(header))
    return b"\r\n".join((*header, b"MIME-Version: 1.0")) + b"\r\n" + draw(entities())
