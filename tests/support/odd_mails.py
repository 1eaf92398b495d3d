"""Odd mails: two hundred made by hand, and any number generated from a seed. `odd_reader` reads them.

Each mail comes with the texts that its sender meant and every reader must get: planted in headers, names and parts.
The oddities are those of real programs: damaged encodings, raw octets in headers, labels that no standard has,
parts cut off, fields of many kilobytes. Truth: the texts are written down beside the octets that carry them.
"""

import base64
import quopri
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

AUTHOR = "jane@bank.example"
READER = "bob@customer.example"
CYRILLIC = "Привет мир"
JAPANESE = "日本語の題名"


@dataclass(frozen=True)
class Odd:
    """`octets`: a whole mail, CRLF. `seen`: texts that a reader gets of its header and parts."""

    octets: bytes
    seen: tuple[str, ...]


def header(*fields: bytes, from_: bytes = AUTHOR.encode(), to: bytes = READER.encode()) -> bytes:
    known = {field.partition(b":")[0].lower() for field in fields}
    usual = (b"From: " + from_, b"To: " + to, b"Subject: S", b"Message-ID: <1@bank.example>", b"MIME-Version: 1.0")
    kept = [one for one in usual if one.partition(b":")[0].lower() not in known]
    return b"".join(field + b"\r\n" for field in (*kept, *fields))


TEXT = b"Content-Type: text/plain; charset=utf-8\r\n\r\nThe text.\r\n"


def _subjects() -> Iterator[tuple[bytes, str]]:
    """Raw Subject values and what they mean."""
    for charset in ("koi8-r", "windows-1251", "iso-8859-5"):
        raw = CYRILLIC.encode(charset)
        yield b"=?" + charset.encode() + b"?B?" + base64.b64encode(raw) + b"?=", CYRILLIC
        yield b"=?" + charset.encode() + b"?Q?" + quopri.encodestring(raw, header=True) + b"?=", CYRILLIC
    for charset in ("iso-2022-jp", "shift_jis", "euc-jp"):
        yield b"=?" + charset.encode() + b"?b?" + base64.b64encode(JAPANESE.encode(charset)) + b"?=", JAPANESE
    yield from (
        ("Grüße".encode(), "Grüße"),
        ("Grüße".encode("latin-1"), "Grüße"),
        (b"Gr\xc3\xbc\xc3\x9fe aus K\xc3", "Grüße aus K"),
        (b"=?utf-8?q?Gr=C3=BC=C3=9Fe?= \xc3\xa4", "Grüße ä"),
        (b"=?utf-8?q?Gr=c3=bc=c3=9fe?=", "Grüße"),
        (b"=?UTF-8?Q?Gr=C3=BC?=\r\n =?UTF-8?Q?=C3=9Fe?=", "Grüße"),
        (b"=?utf-8?b?R3I=?= =?utf-8?b?w7w=?= =?utf-8?b?w59l?=", "Grüße"),
        (b"=?utf-8?b?R3LD?= =?utf-8?b?vMOfZQ==?=", "Grüße"),
        (b"=?utf-8?b?SGVsbG8=IHdvcmxk?=", "Hello world"),
        (b"=?utf-8?b?SGVsbG8?=", "Hello"),
        (b"=?us-ascii?q?100=25_of_it?=", "100% of it"),
        (b"=?utf-8?q?two words?=", "two words"),
        (b"=?utf-8*en?q?with_a_language?=", "with a language"),
        (b"=?x-klingon?q?kept?=", "=?x-klingon?q?kept?="),
        (b"=?utf-8?q?never closed", "=?utf-8?q?never closed"),
        (b"=?=", "=?="),
        (b"a =? b ?= c", "a =? b ?= c"),
        (b'"quoted"', '"quoted"'),
        (b"\r\n folded at once", "folded at once"),
        (b"folded\r\n\twith a tab", "folded"),
        (b"word " * 300 + b"end", "word end"),
        (b"x" * 1500, "x" * 1500),
        ("ä".encode() * 600, "ä" * 600),
        (b"trailing space \t ", "trailing space"),
        (b"[tag] Re: AW: Fwd: x", "[tag] Re: AW: Fwd: x"),
        (b"5 \x80", "5 "),
        (b"a\x0bb", "b"),
        ("\u202egnp.exe".encode(), "gnp.exe"),
        ("\U0001f600 emoji".encode(), "\U0001f600 emoji"),
        (b"\xff\xfe\xfd", "ÿþý"),
        (b"Subject: Subject: twice", "Subject: Subject: twice"),
        (b";,:<>@()[]", ";,:<>@()[]"),
    )


def _addresses() -> Iterator[tuple[bytes, bytes, tuple[str, ...]]]:
    """Field, raw value, and the names and addresses in it."""
    many = b",".join(b"person%d@customer.example" % number for number in range(80))
    yield b"To", many, ("person0@customer.example", "person79@customer.example")
    yield b"Cc", many.replace(b",", b",\r\n\t"), ("person0@customer.example", "person79@customer.example")
    yield b"To", b"Friends:" + many + b";", ("person0@customer.example", "person79@customer.example")
    yield b"To", b'"A, B"<p@x.example>,' * 60 + b"q@x.example", ("A, B", "p@x.example", "q@x.example")
    for raw, *seen in (
        (b"root", "root"),
        (b"noone", "noone"),
        (b"undisclosed-recipients:;", "undisclosed-recipients"),
        (b"undisclosed-recipients:", "undisclosed-recipients"),
        (b"Friends: a@x.example, b@x.example;", "a@x.example", "b@x.example"),
        (b"Friends: a@x.example, b@x.example", "a@x.example", "b@x.example"),
        (b"s..palmer@x.example", "s..palmer@x.example"),
        (b".dot@x.example", ".dot@x.example"),
        (b"a@b.example <c@d.example>", "a@b.example", "c@d.example"),
        (b"<@relay.example:c@d.example>", "c@d.example"),
        (b"a@x.example b@x.example", "a@x.example", "b@x.example"),
        (b"a@x.example; b@x.example", "a@x.example", "b@x.example"),
        (b"a@x.example,,b@x.example,", "a@x.example", "b@x.example"),
        (b'"unfinished <a@x.example>', "a@x.example"),
        (b"(unfinished <a@x.example>", "a@x.example"),
        (b"a@x.example)", "a@x.example"),
        (b"<<a@x.example>>", "a@x.example"),
        (b"a@x.example>", "a@x.example"),
        (b"<a@x.example", "a@x.example"),
        (b"'a@x.example'", "a@x.example"),
        (b"mailto:a@x.example", "a@x.example"),
        (b"a@[192.0.2.1]", "a@[192.0.2.1]"),
        (b"a(comment)@x.example", "x.example"),
        (b'"a b"@x.example', "a b", "x.example"),
        (b"Doe, Jane <a@x.example>", "Doe", "Jane", "a@x.example"),
        ("Müller, Jörg <a@x.example>".encode(), "Müller", "Jörg", "a@x.example"),
        ("Jörg Müller <a@x.example>".encode("latin-1"), "Jörg Müller", "a@x.example"),
        ('"Jörg, Müller" <a@x.example>'.encode(), "Jörg, Müller", "a@x.example"),
        ('"Jörg <a@x.example>, b@x.example'.encode(), "Jörg", "a@x.example", "b@x.example"),
        ("a@x.example (Jörg)".encode(), "Jörg", "a@x.example"),
        (b"=?utf-8?q?J=C3=B6rg?= M\xc3\xbcller <a@x.example>", "Jörg Müller", "a@x.example"),
        (b'"=?utf-8?q?J=C3=B6rg?=" <a@x.example>', "Jörg", "a@x.example"),
        (b"=?utf-8?b?SsO2cmc=?= <a@x.example>", "Jörg", "a@x.example"),
        (b"=?utf-8?q?J=C3=B6rg_=3Ca=40x=2Eexample=3E?=", "Jörg <a@x.example>"),
        (b'"\\"Jane\\" (Bank)" <a@x.example>', "Jane", "a@x.example"),
        (b"Jane" * 300 + b" <a@x.example>", "Jane" * 300, "a@x.example"),
        (b"", ""),
        (b"   ", ""),
        (b",", ""),
        (b"@", "@"),
        (b"me", "me"),
    ):
        yield b"To", raw, tuple(seen)
        if not raw.isascii():
            yield b"Reply-To", raw, tuple(seen)


def _names() -> Iterator[tuple[bytes, str]]:
    """Raw parameters of Content-Disposition, and the file's name."""
    yield from (
        (b"filename=plain.pdf", "plain.pdf"),
        (b'filename="two words.pdf"', "two words.pdf"),
        (b'filename="semi;colon.pdf"', "semi;colon.pdf"),
        (b'filename="Gr\xc3\xbc\xc3\x9fe.pdf"', "Grüße.pdf"),
        (b'filename="Gr\xfc\xdfe.pdf"', "Grüße.pdf"),
        (b"filename*=utf-8''Gr%C3%BC%C3%9Fe.pdf", "Grüße.pdf"),
        (b"filename*=utf-8'de'Gr%c3%bc%c3%9fe.pdf", "Grüße.pdf"),
        (b"filename*=iso-8859-1''Gr%FC%DFe.pdf", "Grüße.pdf"),
        (b"filename*0*=utf-8''Gr%C3%BC;\r\n filename*1*=%C3%9Fe.pdf", "Grüße.pdf"),
        (b'filename*0="long"; filename*1=".pdf"', "long.pdf"),
        (b'filename="=?utf-8?q?Gr=C3=BC=C3=9Fe=2Epdf?="', "Grüße.pdf"),
        (b"filename==?utf-8?b?R3LDvMOfZS5wZGY=?=", "Grüße.pdf"),
        (b'filename="' + b"n" * 1200 + b'.pdf"', "n" * 1200 + ".pdf"),
        (b'filename="' + "ä".encode() * 500 + b'.pdf"', "ä" * 500 + ".pdf"),
        (b"FileName=Case.PDF", "Case.PDF"),
        (b'x=1;;; filename="empty;;ones.pdf"', "empty;;ones.pdf"),
        (b'filename="..\\\\up.pdf"', "up.pdf"),
        ('filename="Подпись.pdf"'.encode("windows-1251"), "Подпись.pdf"),
    )


def _bodies() -> Iterator[tuple[bytes, bytes, tuple[str, ...]]]:
    """Header fields of a part, its body, and the texts in it."""
    plain, html = b"Content-Type: text/plain; charset=utf-8", b"Content-Type: text/html; charset=utf-8"
    b64, qp = b"\r\nContent-Transfer-Encoding: base64", b"\r\nContent-Transfer-Encoding: quoted-printable"
    long = b"start " + b"x" * 3000 + b" stop"
    yield from (
        (plain + b64, b"SGVsbG8gd29ybGQ=\r\nIGFuZCBtb3Jl\r\n", ("Hello world", "and more")),
        (plain + b64, b"QQ==QQ==QkI=Q0ND\r\n", ("AABBCCC",)),
        (plain + b64, b"SGVsb=G8gd29ybGQ=\r\n", ("Hello world",)),
        (plain + b64, b"SGVsbG8gd29ybGQ\r\n", ("Hello world",)),
        (plain + b64, b"SGVsbG8gd29ybGQ======\r\n", ("Hello world",)),
        (plain + b64, b" S G V s\tb G 8 = \r\n", ("Hello",)),
        (plain + b64, base64.b64encode(long) + b"\r\n", ("start", "stop")),
        (plain + b64, base64.b64encode(b"a" * 1000) + b"=\r\n" + base64.b64encode(b"behind") + b"\r\n", ("behind",)),
        (plain + b64, b"\r\n\r\nSGVsbG8=\r\n\r\n\r\n", ("Hello",)),
        (plain + b64, b"not base64 at all, \xc3\xa4!\r\n", ("not base64 at all, ä!",)),
        (plain + b64, b"", ()),
        (plain + b64.replace(b"base64", b"BASE64 (x)"), b"SGVsbG8=\r\n", ("Hello",)),
        (plain + b64.replace(b"base64", b"base64;"), b"SGVsbG8=\r\n", ("Hello",)),
        (plain + qp, b"Hello =\rworld\r\nand more\r\n", ("Hello world", "and more")),
        (plain + qp, b"1 = 2=ZZ and ==\r\nx=3D=\r\ny\r\n", ("1 = 2=ZZ and =x=y",)),
        (plain + qp, b"Gr=c3=bc=C3=9Fe \xc3\xa4\r\n", ("Grüße ä",)),
        (plain + qp, b"a=0Db=0Ac\r\n", ("a\rb\nc",)),
        (plain + qp, b"never ends=", ("never ends",)),
        (plain + qp, b"=\r\n=\r\n=\r\nend", ("end",)),
        (plain + qp, long + b"=20\r\n", ("start", "stop")),
        (plain + qp, b"--=\r\n--\r\n=2D-x\r\n", ("----", "--x")),
        (plain + qp.replace(b"quoted-printable", b"quoted-printable;"), b"Gr=C3=BC=C3=9Fe\r\n", ("Grüße",)),
        (plain + qp.replace(b"quoted-printable", b"Quoted-Printable (x)"), b"Gr=C3=BC=C3=9Fe\r\n", ("Grüße",)),
        (plain, long + b"\r\n", ("start", "stop")),
        (html, b"<html><body><p>" + long + b"</p></body></html>", ("start", "stop")),
        (html, b"<p>Gr\xc3\xbc\xc3\x9fe", ("Grüße",)),
        (html + b64, base64.b64encode(b"<body>A") + base64.b64encode(b"-B-") + b"\r\n", ("A", "-B-")),
        (plain, b"no line end", ("no line end",)),
        (plain, b"\r\n\r\n.\r\n..\r\nFrom x\r\n", (".\r\n..", "From x")),
        (plain, b"--\r\n--=_\r\nx\r\n", ("x",)),
        (plain, b"trailing  \t \r\nx\r\n", ("trailing",)),
        (b"Content-Type: text/plain", "Grüße\r\n".encode("latin-1"), ("Gr", "e")),
        (b"Content-Type: text/plain; charset=", b"Gr\xc3\xbc\xc3\x9fe\r\n", ("Gr", "e")),
        (b"Content-Type: text/plain; charset=iso-8859-1", b"Gr\xfc\xdfe\r\n", ("Grüße",)),
        (b"Content-Type: text/plain; charset=windows-1252", b"5 \x80\r\n", ("5 €",)),
        (b"Content-Type: text/plain; charset=koi8-r" + b64, base64.b64encode(CYRILLIC.encode("koi8-r")), (CYRILLIC,)),
        (b"Content-Type: text/plain; charset=iso-2022-jp", JAPANESE.encode("iso-2022-jp") + b"\r\n", (JAPANESE,)),
        (b"Content-Type: text/plain; charset=utf-16" + b64, base64.b64encode("Grüße".encode("utf-16")), ("Grüße",)),
        (b"Content-Type: text/plain; charset=utf-7", b"Gr+APwA3w-e\r\n", ("Grüße",)),
        (b"Content-Type: text/plain; charset=x-klingon", b"kept \xe4\r\n", ("kept",)),
        (b"Content-Type: text", b"kept\r\n", ("kept",)),
        (b"Content-Type:", b"kept\r\n", ("kept",)),
        (b"Content-Type: text/plain; charset=utf-8; charset=latin1", b"kept\r\n", ("kept",)),
        (b"Content-Type: TEXT/PLAIN; CHARSET=UTF-8", b"Gr\xc3\xbc\xc3\x9fe\r\n", ("Grüße",)),
        (b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary", b"\x01\xff kept", ("kept",)),
        (b"X-Only: this", b"no type\r\n", ("no type",)),
    )
    for label in ("7-bit", "7bits", "plain", "8-bit", "8bits", "UTF-8", "none", "x-uuencode", "7bit; x", "8BIT", ""):
        yield plain + b"\r\nContent-Transfer-Encoding: " + label.encode(), b"Gr\xc3\xbc\xc3\x9fe\r\n", ("Grüße",)


def _trees() -> Iterator[tuple[bytes, tuple[str, ...]]]:
    """Content fields with the empty line and the body of a whole mail, and the texts in it."""
    mixed = b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n'
    part = b"--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
    message = b"--b\r\nContent-Type: message/rfc822\r\n\r\nFrom: a@x.example\r\nSubject: %b\r\n\r\n%b\r\n"
    yield from (
        (mixed + part + b"A\r\n" + part + "Ä\r\n".encode(), ("A", "Ä")),
        (mixed + part + b"A" + b"\r\n--b--", ("A",)),
        (mixed + b"before\r\n" + part + b"A\r\n--b--\r\nafter \xe4\r\n", ("A",)),
        (mixed + part + b"A\r\n--bx\r\n--b-\r\n--b--\r\n", ("A\r\n--bx",)),
        (mixed + part + b"A\r\n--b \t\r\n\r\nB \xc3\xa4\r\n--b--\r\n", ("A", "B ä")),
        (mixed + b"--b\r\n--b\r\n\r\n--b\r\nX: y\r\n--b--\r\n", ()),
        (mixed + b"--b\r\nno header here\r\n\r\nB\r\n--b--\r\n", ("B",)),
        (mixed + part + b"x" * 1200 + b"\r\n" + part + b"B\r\n--b--\r\n", ("x" * 1200, "B")),
        (mixed + message % (b"inner", b"A \xc3\xa4") + b"--b--\r\n", ("inner", "A ä")),
        (mixed + message % ("ünner".encode(), b"A") + b"--b--\r\n", ("ünner", "A")),
        (mixed + message % (b"=?utf-8?q?=C3=BC?=", b"x" * 1200) + b"--b--\r\n", ("ü", "x" * 1200)),
        (mixed + part.replace(b"plain", b"calendar") + "SUMMARY:Gespräch\r\n--b--\r\n".encode(), ("Gespräch",)),
        (b"Content-Type: multipart/mixed\r\n\r\n--b\r\n\r\nA \xc3\xa4\r\n--b--\r\n", ("A ä",)),
        (b"Content-Type: multipart/mixed; boundary=\r\n\r\n--\r\n\r\nA\r\n----\r\n", ("A",)),
        (b"Content-Type: multipart/mixed; boundary=c\r\n\r\n" + part + b"A \xc3\xa4\r\n--b--\r\n", ("A ä",)),
        (
            b"Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: base64\r\n\r\n"
            + part
            + b"A\r\n--b--\r\n",
            ("A",),
        ),
        (
            b"Content-Type: multipart/alternative; boundary=b\r\n\r\n"
            + part
            + b"A\r\n"
            + part.replace(b"plain", b"html")
            + b"<b>\xc3\xa4</b>\r\n--b--\r\n",
            ("A", "<b>ä</b>"),
        ),
        (
            b'Content-Type: multipart/related; boundary=b; type="text/html"\r\n\r\n'
            + part.replace(b"plain", b"html")
            + b'<body>A</body>\r\n--b\r\nContent-Type: image/gif; name="\xc3\xa4.gif"\r\n\r\nGIF\r\n--b--\r\n',
            ("A", "ä.gif"),
        ),
        (
            b"Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nSubject: one\r\n\r\nA \xc3\xa4\r\n--b--\r\n",
            ("one", "A ä"),
        ),
        (b"Content-Type: message/rfc822\r\n\r\nSubject: one\r\n\r\nA \xc3\xa4\r\n", ("one", "A ä")),
        (b"Content-Type: message/partial; id=x; number=1; total=2\r\n\r\nA\r\n", ("A",)),
        (b"Content-Type: message/news\r\n\r\nSubject: x\r\n\r\nA \xc3\xa4\r\n", ("A ä",)),
        (
            b"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; \xc3\xa4\r\n\r\nAction: failed\r\n",
            ("Action: failed",),
        ),
        (b'Content-Type: multipart/mixed; boundary="b"; boundary="c"\r\n\r\n' + part + b"A\r\n--b--\r\n", ("A",)),
        (b"Content-Type: multipart/mixed; boundary=b b\r\n\r\n--b b\r\n\r\nA\r\n--b b--\r\n", ("A",)),
        (
            b'Content-Type: multipart/mixed; boundary="b\xc3\xa4"\r\n\r\n--b\xc3\xa4\r\n\r\nA\r\n--b\xc3\xa4--\r\n',
            ("A",),
        ),
        (b"HELO mx.bank.example\r\nA \xc3\xa4\r\n", ("A ä",)),
        (b"MAIL FROM:<a@x.example>\r\nA: b\r\n\r\nkept\r\n", ("kept",)),
        (b"\xef\xbb\xbfX: y\r\n\r\nkept\r\n", ("kept",)),
        (b"X-Folded: a\r\n \r\nX: y\r\n\r\nkept\r\n", ("kept",)),
        (b"Content-Type: text/plain\r\n", ()),
        (b"Content-Type: text/plain\r\nContent-Type: text/html\r\n\r\n<b>kept</b>\r\n", ("kept",)),
        (b"X-Long: " + b"t" * 2000 + b"\r\n\r\nkept\r\n", ("kept", "t" * 2000)),
        (b"References: " + b"<%040d@x.example>" % 1 * 60 + b"\r\n\r\nkept\r\n", ("kept",)),
        (b"Comments: one\r\nComments: two \xc3\xa4\r\nKeywords: k\r\n\r\nkept\r\n", ("one", "two ä", "kept")),
        (b"Cc: c1@x.example\r\nCc: c2@x.example\r\nTo: t2@x.example\r\n\r\nkept\r\n", ("c1@x.example", "c2@x.example")),
        (b"X-Empty:\r\nX-Blank:  \r\n\r\nkept\r\n", ("kept",)),
        (b"Date: no date\r\nIn-Reply-To: my mail\r\n\r\nkept\r\n", ("no date", "my mail", "kept")),
    )


def by_hand() -> dict[str, Odd]:
    """All of them, each under a name that says which row of which table it is."""
    rows: dict[str, Odd] = {}
    cyrillic = b"Content-Type: text/plain; charset=windows-1251\r\n\r\nx\r\n"
    for number, (raw, text) in enumerate(_subjects()):
        rows[f"subject {number}"] = Odd(header(b"Subject: " + raw) + TEXT, (text, "The text."))
    for number, (name, raw, seen) in enumerate(_addresses()):
        rows[f"address {number}"] = Odd(header(name + b": " + raw) + TEXT, (*seen, "The text."))
    for number, (raw, name) in enumerate(_names()):
        disposition = b"Content-Disposition: attachment; " + raw
        rest = cyrillic if name.startswith("П") else TEXT
        rows[f"name {number}"] = Odd(header(disposition) + rest, (name,))
    for number, (fields, body, seen) in enumerate(_bodies()):
        rows[f"body {number}"] = Odd(header() + fields + b"\r\n\r\n" + body, seen)
    for number, (rest, seen) in enumerate(_trees()):
        rows[f"tree {number}"] = Odd(header() + rest, seen)
    return rows


def generated(seed: int) -> Odd:
    """A mail of one to four odd parts with odd fields. Its texts carry numbers, so that no part stands for another."""
    draw = random.Random(seed)
    seen: list[str] = []

    def mark(text: str) -> str:
        seen.append(f"{text}{len(seen)}.{seed}")
        return seen[-1]

    fields = [b"Subject: " + draw.choice(_WORDS)(mark(draw.choice(("Limit", "Grüße", "Kämmerer", "x" * 1100))))]
    fields += [b"X-%d: " % number + draw.choice(_WORDS)(mark("Wört")) for number in range(draw.randrange(3))]
    parts = [_part(draw, mark) for _ in range(draw.randint(1, 4))]
    if len(parts) == 1:
        return Odd(header(*fields) + parts[0], tuple(seen))
    boundary = draw.choice((b"b", b"=_B", b"----=_Part 1", b"a'b(c)+d"))
    line = b"\r\n--" + boundary
    kind = draw.choice((b"mixed", b"mixed", b"alternative", b"related"))
    content = b"".join(line + draw.choice((b"", b" ")) + b"\r\n" + part for part in parts)
    end = line + b"--\r\n" if draw.random() < 0.9 else b""
    return Odd(
        header(*fields, b'Content-Type: multipart/%b; boundary="%b"' % (kind, boundary)) + content + end, tuple(seen)
    )


_WORDS: tuple[Callable[[str], bytes], ...] = (
    str.encode,
    lambda text: text.encode("latin-1"),
    lambda text: b"=?utf-8?b?" + base64.b64encode(text.encode()) + b"?=",
    lambda text: (
        b"=?iso-8859-1?q?" + quopri.encodestring(text.encode("latin-1"), header=True).replace(b"=\n", b"") + b"?="
    ),
    lambda text: (
        b"=?utf-8?b?" + b"".join(base64.b64encode(text[at : at + 4].encode()) for at in range(0, len(text), 4)) + b"?="
    ),
)


def _part(draw: random.Random, mark: Callable[[str], str]) -> bytes:
    """An entity: text in a damaged or odd encoding, or an attachment with a name."""
    words = [mark(draw.choice(("Betrag", "Grüße", "a=b", "--x", "5 %"))) for _ in range(draw.randint(1, 4))]
    filler = draw.choice((" ", "\r\n", "\r\n\r\n", " " + "y" * 1300 + " ", "\r\n.\r\n"))
    text = filler.join(words) + draw.choice(("", "\r\n"))
    charset = draw.choice(("utf-8", "utf-8", "iso-8859-1", "windows-1252"))
    octets = text.encode(charset)
    label, body = draw.choice(_ENCODED)(octets, draw)
    fields = [f"Content-Type: text/{draw.choice(('plain', 'html', 'csv'))}; charset={charset}".encode()]
    if draw.random() < 0.4:
        name = mark("Prüfung")
        fields.append(
            b"Content-Disposition: attachment; filename"
            + draw.choice(
                (
                    b'="' + name.encode() + b'"',
                    b'="' + name.encode(charset) + b'"',
                    b"*=utf-8''" + "".join(f"%{octet:02x}" for octet in name.encode()).encode(),
                )
            )
        )
    fields += [b"Content-Transfer-Encoding: " + label] if label else []
    return b"\r\n".join(fields) + b"\r\n\r\n" + body


def _escapes(octets: bytes) -> list[bytes]:
    return [b"=%02X" % octet if octet > 126 or octet == 61 else bytes([octet]) for octet in octets]


def _quoted(octets: bytes, draw: random.Random) -> tuple[bytes, bytes]:
    return draw.choice((b"quoted-printable", b"Quoted-Printable", b"quoted-printable;")), b"".join(_escapes(octets))


def _soft(octets: bytes, draw: random.Random) -> tuple[bytes, bytes]:
    letters = _escapes(octets)
    letters.insert(draw.randrange(len(letters) + 1), draw.choice((b"=\r\n", b"=\r")))
    return b"quoted-printable", b"".join(letters)


def _joined(octets: bytes, draw: random.Random) -> tuple[bytes, bytes]:
    at = draw.randrange(len(octets) + 1)
    return b"base64", base64.b64encode(octets[:at]) + draw.choice((b"", b"\r\n")) + base64.b64encode(
        octets[at:]
    ) + b"\r\n"


_ENCODED: tuple[Callable[[bytes, random.Random], tuple[bytes, bytes]], ...] = (
    lambda octets, draw: (draw.choice((b"", b"7bit", b"8bit", b"binary", b"7-bit", b"8bits", b"plain")), octets),
    _quoted,
    _soft,
    _joined,
    lambda octets, draw: (b"base64", base64.b64encode(octets).rstrip(b"=") + draw.choice((b"", b"\r\n"))),
    lambda octets, draw: (draw.choice((b"base64", b"BASE64")), base64.encodebytes(octets).replace(b"\n", b"\r\n")),
)
