"""A mail as a locked PDF: what is drawn, what comes as a file, and that nobody gets in without the password.

Judges: qpdf and poppler. Truth: RFC 2045, 2046, 2387, 3676 for what a mail says; ISO 32000-2 7.6.4 and ISO 14289-1.
"""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pikepdf
import pytest

from gateway.errors import GatewayError, Reason
from gateway.pdf.content import FILES_MAX, TEXT_OCTETS_MAX, Content, File, content_of
from gateway.pdf.lock import lock
from gateway.pdf.mail import MailPages
from gateway.pdf.renderer import Limits, Renderer
from tests.support.locked import is_locked, opened, run
from tests.support.pki import NOW

PASSWORD = "abcd2345abcd2345"
HEAD = b"From: Bank <s@bank.example>\r\nTo: ben@nowhere.example\r\nSubject: Hello\r\nMIME-Version: 1.0\r\n"


@pytest.fixture(scope="module")
def pages() -> Iterator[MailPages]:
    made = MailPages(Renderer(system_fonts=True))
    yield made
    made.close()


def mail(content_type: str, body: str | bytes, more: str = "") -> bytes:
    octets = body if isinstance(body, bytes) else body.replace("\n", "\r\n").encode()
    return HEAD + f"Content-Type: {content_type}\r\n{more}\r\n".encode() + octets


def parts(kind: str, *inner: str) -> bytes:
    return mail(f"multipart/{kind}; boundary=b", "".join(f"--b\n{one}\n" for one in inner) + "--b--\n")


def as_pdf(pages: MailPages, octets: bytes, directory: Path, language: str = "en") -> dict[str, bytes]:
    drawn, files = pages.draw(content_of(octets), language, NOW)
    return opened(lock(drawn, PASSWORD, files), PASSWORD, directory)


def text_of(found: dict[str, bytes]) -> str:
    return found[""].decode()


PLAIN = "Content-Type: text/plain; charset=utf-8\n\n"
HTML = "Content-Type: text/html; charset=utf-8\n\n"


@pytest.mark.parametrize(("octets", "text", "files"), [
    (mail("text/plain", "one\ntwo\n"), "one\ntwo\n", []),
    (mail("text/plain; charset=iso-8859-15", b"10 \xa4"), "10 €", []),
    (mail("text/plain; charset=no-such", b"caf\xe9"), "café", [("attachment-1.txt", b"caf\xe9")]),
    (mail("text/plain; charset=utf-8", b"caf\xe9"), "caf\ufffd", [("attachment-1.txt", b"caf\xe9")]),
    (mail("text/plain; charset=iso-8859-1", b"100 \x80 \x96 \x93x\x94"), "100 \u20ac \u2013 \u201cx\u201d", []),
    (mail("text/plain; charset=us-ascii", b"100 \x80"), "100 \u20ac", []),
    (mail("text/plain; charset=no-such", b"plain"), "plain", []),
    (mail("text/plain", b"page one\x0cpage two\x0bline"), "page one\npage two\nline", []),
    (parts("alternative", f"{PLAIN}words", "Content-Type: multipart/mixed; boundary=c\n\n"
           f"--c\n{HTML}<p>words</p>\n--c\nContent-Type: text/csv; name=a.csv\n\n1;2\n"
           "--c\nContent-Type: text/plain\nContent-Disposition: attachment; filename=b.txt\n\nfile\n"
           "--c\nContent-Type: message/rfc822\n\nSubject: inner\n\nbody\n--c--\n"), "words",
     [("a.csv", b"1;2"), ("b.txt", b"file"), ("attachment-3.eml", b"Subject: inner\r\n\r\nbody")]),
    (mail("text/plain; format=flowed", "one \ntwo\n> quoted \n> more\n-- \nme\n"),
     "one two\n> quoted \n> more\n-- \nme\n", []),
    (mail("text/html", "<p>one<p>two"), "one\n\ntwo", []),
    (parts("alternative", PLAIN + "plain words", HTML + "<p>plain words</p>"), "plain words", []),
    (parts("alternative", PLAIN + "See HTML.", HTML + "<p>" + "All that there is to say. " * 5), "All that", []),
    (parts("alternative", PLAIN, HTML + "<p>html alone</p>"), "html alone", []),
    (parts("mixed", PLAIN + "one", "Content-Type: text/csv; name=a.csv\n\n1;2", PLAIN + "two"), "one\n\ntwo",
     [("a.csv", b"1;2")]),
    (parts("mixed", PLAIN + "one", "Content-Type: text/plain; name=b.txt\nContent-Disposition: attachment\n\nfile"),
     "one", [("b.txt", b"file")]),
    (parts("related", HTML + "<p>words</p>", "Content-Type: image/png; name=l.png\n\npng"), "words",
     [("l.png", b"png")]),
    (parts("signed", PLAIN + "signed words", "Content-Type: application/pkcs7-signature; name=smime.p7s\n\nsig"),
     "signed words", [("smime.p7s", b"sig")]),
    (parts("mixed", PLAIN + "see", "Content-Type: message/rfc822\n\nSubject: inner\n\ninside"), "see",
     [("attachment-1.eml", b"Subject: inner\r\n\r\ninside")]),
    (mail("application/pkcs7-mime; name=smime.p7m", "cms"), "", [("smime.p7m", b"cms")]),
    (mail("text/calendar", "BEGIN:VCALENDAR"), "", [("attachment-1.ics", b"BEGIN:VCALENDAR")]),
])
def test_what_a_mail_says_and_what_comes_with_it(octets: bytes, text: str, files: list[tuple[str, bytes]]) -> None:
    found = content_of(octets)
    assert found.text.strip().startswith(text.strip())
    assert [(one.name, one.octets.strip()) for one in found.files] == files


@pytest.mark.parametrize(("given", "name"), [
    ("../../etc/passwd", "passwd"), ("C:\\\\temp\\\\x.exe", "x.exe"), ("a/b/c.pdf", "c.pdf"),
    ("..", "attachment-1.csv"), (" . ", "attachment-1.csv"), ("x" * 300 + ".pdf", "x" * 100 + ".pdf"),
    ("fi\u202efdp.exe", "fifdp.exe"),
])
def test_names_of_files_are_names_and_no_paths(given: str, name: str) -> None:
    octets = mail("text/csv", "1", f'Content-Disposition: attachment; filename="{given}"\r\n')
    assert [one.name for one in content_of(octets).files] == [name]


def test_two_files_of_one_name_are_two_files() -> None:
    inner = "Content-Type: text/csv\nContent-Disposition: attachment; filename={}\n\n{}"
    found = content_of(parts("mixed", *(inner.format(name, number) for number, name in enumerate(
        ("a.csv", "A.csv", "a.csv", "a-2.csv")))))
    assert len({one.name.casefold() for one in found.files}) == 4
    assert [one.octets.strip() for one in found.files] == [b"0", b"1", b"2", b"3"]


def test_limits() -> None:
    inner = "Content-Type: image/png\n\nx"
    assert len(content_of(parts("mixed", *[inner] * FILES_MAX)).files) == FILES_MAX
    with pytest.raises(GatewayError) as caught:
        content_of(parts("mixed", *[inner] * (FILES_MAX + 1)))
    assert caught.value.reason is Reason.PDF_TOO_LARGE
    found = content_of(mail("text/plain", "x" * (TEXT_OCTETS_MAX + 1)))
    assert (found.text, len(found.files[0].octets)) == ("", TEXT_OCTETS_MAX + 1)


def test_the_pages_show_it_and_can_be_read_aloud(pages: MailPages, tmp_path: Path) -> None:
    octets = parts("mixed", PLAIN + "Guten Tag,\n\n  Betrag   12,00 €\n\nЮлия, Ελένη", "Content-Type: text/csv; "
                   "name=a.csv\n\n1")
    found = as_pdf(pages, octets.replace(b"Subject: Hello", "Subject: Grüße".encode()), tmp_path, "de")
    for word in ("Grüße", "Von", "Bank <s@bank.example>", "ben@nowhere.example", "12,00 €", "Юлия, Ελένη", "a.csv",
                 "Angehängte Dateien"):
        assert word in text_of(found)
    assert set(found) == {"", "a.csv"}
    info = run("pdfinfo", "-upw", PASSWORD, str(tmp_path / "locked.pdf"))
    assert re.search(r"Tagged: +yes", info)
    assert re.search(r"Title: +Grüße", info)
    with pikepdf.open(tmp_path / "locked.pdf", password=PASSWORD) as document:
        assert str(document.Root.Lang) == "de"
        with document.open_metadata() as metadata:
            assert metadata.get("pdfuaid:part") == "1"
            assert "pdfaid:part" not in metadata, "what is locked is no PDF/A"


def test_lines_and_columns_stay_as_they_were_written(pages: MailPages, tmp_path: Path) -> None:
    found = as_pdf(pages, mail("text/plain", "Date        Amount\n2026-11-26   12.00\n    indented\n"), tmp_path)
    lines = [line.strip() for line in text_of(found).splitlines() if line.strip()]
    assert re.match(r"Date\s{3,}Amount", lines[-4])
    assert re.match(r"2026-11-26\s{2,}12\.00", lines[-3])


@pytest.mark.parametrize("text", [
    '#panic("x")', '#import "@preview/x:1.0.0"', '#read("/etc/passwd")', "$ x $ *bold* _it_ `raw` <label> @ref",
    '"); #sys.inputs', "\\u{0}", "// comment", "= Heading", "[" * 2000, "{" * 2000,
])
def test_text_is_drawn_and_never_read_as_typsts_language(pages: MailPages, tmp_path: Path, text: str) -> None:
    octets = mail("text/plain", text).replace(b"Subject: Hello", b"Subject: " + text.encode()[:60])
    shown = re.sub(r"[\s\u200b]", "", text_of(as_pdf(pages, octets, tmp_path)))
    assert re.sub(r"\s", "", text) in shown


@pytest.mark.parametrize("text", ["漢字とかな", "한국어", "🎉 party", "\U0001f468\u200d\U0001f469", "עברית",
                                  "العربية", "ไทย"])
def test_what_no_font_has_comes_as_a_file_as_well(pages: MailPages, tmp_path: Path, text: str) -> None:
    """Which fonts a machine has differs; whatever it has, every word is there."""
    found = as_pdf(pages, mail("text/plain; charset=utf-8", f"Hello {text} end"), tmp_path)
    assert "Hello" in text_of(found)
    assert "end" in text_of(found)
    shown = text_of(found) + found.get("message.txt", b"").decode()
    assert text in shown or text in shown[::-1] or text[::-1] in shown


@pytest.mark.parametrize("piece", ["a\n", "a\n\n", "a   b\n\n", "x", "words of a line. "])
def test_the_longest_text_that_is_drawn_takes_no_time(pages: MailPages, piece: str) -> None:
    text = (piece * TEXT_OCTETS_MAX)[:TEXT_OCTETS_MAX]
    began = time.monotonic()
    _, files = pages.draw(Content("t", (), text, ()), "en", NOW)
    assert files == (), "it was drawn"
    assert time.monotonic() - began < 60, "some seconds, on a machine that is busy more"


def test_what_takes_too_long_is_a_file(tmp_path: Path) -> None:
    hurried = MailPages(Renderer(Limits(deadline_s=1.5), system_fonts=True))
    try:
        hurried.draw(Content("warm", (), "", ()), "en", NOW)
        drawn, files = hurried.draw(Content("t", (("from", "s@bank.example"),), "word\n\n" * 400_000, ()), "en", NOW)
    finally:
        hurried.close()
    found = opened(lock(drawn, PASSWORD, files), PASSWORD, tmp_path)
    assert found["message.txt"].count(b"word") == 400_000
    assert "s@bank.example" in text_of(found)


def test_a_word_wider_than_the_page_is_broken_and_not_cut(pages: MailPages, tmp_path: Path) -> None:
    address = "https://bank.example/" + "".join(f"{number:03}" for number in range(200))
    found = as_pdf(pages, mail("text/html", f"<p><a href='{address}'>x</a></p>"), tmp_path)
    assert address in re.sub(r"[\s\u200b]", "", text_of(found))


def test_one_picture_does_not_cost_the_rest_its_letters(pages: MailPages, tmp_path: Path) -> None:
    """A machine with fonts for Hebrew draws it, also where a picture stands beside it that no font has."""
    alone = text_of(as_pdf(pages, mail("text/plain; charset=utf-8", "עברית"), tmp_path))
    beside = text_of(as_pdf(pages, mail("text/plain; charset=utf-8", "עברית 🎉"), tmp_path))
    assert ("\ufffd" * 5 in alone) == ("\ufffd" * 5 in beside)


def test_the_text_beside_takes_no_files_place(pages: MailPages, tmp_path: Path) -> None:
    octets = parts("mixed", PLAIN + "\U000f0000 private", "Content-Type: text/plain; name=Message.txt\n"
                   "Content-Disposition: attachment\n\ntheirs")
    found = as_pdf(pages, octets, tmp_path)
    assert found["Message.txt"].strip() == b"theirs"
    assert found["message-2.txt"].decode().startswith("\U000f0000")


def test_controls_and_what_turns_writing_round_are_not_drawn(pages: MailPages, tmp_path: Path) -> None:
    found = as_pdf(pages, mail("text/plain; charset=utf-8", "a\0b\x1b[31mc\u202edcba\u2066x\ufeffy\n"), tmp_path)
    assert "ab[31mcdcbaxy" in text_of(found)


def test_a_long_mail_is_many_pages(pages: MailPages, tmp_path: Path) -> None:
    lines = "".join(f"line {number}\n" for number in range(3000))
    found = as_pdf(pages, mail("text/plain", lines), tmp_path)
    assert "line 2999" in text_of(found)
    assert int(re.search(r"Pages: +(\d+)", run("pdfinfo", "-upw", PASSWORD, str(tmp_path / "locked.pdf")))[1]) > 20


def test_nobody_gets_in_without_the_password(pages: MailPages, tmp_path: Path) -> None:
    drawn, _ = pages.draw(content_of(mail("text/plain", "The planted secret.")), "en", NOW)
    locked = lock(drawn, PASSWORD, [File("planted.txt", "text/plain", b"The planted secret.")])
    assert is_locked(locked, tmp_path, PASSWORD[:-1], PASSWORD + "x", "owner", " ")
    for word in (b"planted", b"Hello", b"bank.example"):
        assert word not in locked


def test_two_locks_of_one_page_have_nothing_in_common(pages: MailPages) -> None:
    """File keys and initial values are random (ISO 32000-2 7.6.4.3.4)."""
    drawn, _ = pages.draw(Content("t", (), "text " * 500, ()), "en", NOW)
    one, other = lock(drawn, PASSWORD), lock(drawn, PASSWORD)
    pieces = {one[at:at + 32] for at in range(0, len(one) - 32, 32)}
    again = [at for at in range(0, len(other) - 32, 32) if other[at:at + 32] in pieces and b"obj" not in
             other[at:at + 32] and not other[at:at + 32].isascii()]
    assert len(again) < 4


@pytest.mark.parametrize("password", ["", "ä", "a\nb"])
def test_a_password_is_printable_ascii(pages: MailPages, password: str) -> None:
    with pytest.raises(GatewayError):
        lock(b"%PDF-1.7", password)


def test_what_is_no_pdf_is_told_without_its_words() -> None:
    with pytest.raises(GatewayError) as caught:
        lock(b"The planted secret.", PASSWORD)
    assert caught.value.reason is Reason.PDF_NOT_MADE
    assert "planted" not in caught.value.detail
