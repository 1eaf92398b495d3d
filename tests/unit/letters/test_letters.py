"""The bank's own mails: what a template may say, and the message that comes of it, read by the stdlib's parser."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes, policy
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from gateway import languages
from gateway.errors import GatewayError, Reason
from gateway.letters.compose import Attachment, Heading, compose
from gateway.letters.letterhead import Letterhead
from gateway.letters.write import Letter, Writer

AT = datetime(2026, 11, 26, 12, tzinfo=UTC)
HEADING = Heading("otp@bank.example", ("anna@customer.example",), "<1@bank.example>", AT, name="Bänk")


def writer(home: Path, **files: str) -> Writer:
    for name, text in files.items():
        (home / name.replace("__", ".")).write_text(text, "utf-8")
    return Writer(home, "de")


def test_language_asked_then_default_then_english(tmp_path: Path) -> None:
    found = writer(tmp_path, a__en__txt="Subject: E\nx\n", a__de__txt="Subject: D\nx\n", b__en__txt="Subject: E\nx\n")
    said = [found.write("a", one, {}).subject for one in ("en", "en-GB", "fr", None)]
    said.append(found.write("b", "de", {}).subject)
    assert said == ["E", "E", "D", "D", "E"]


def test_the_banks_own_are_called_in_either_way_and_take_precedence(tmp_path: Path) -> None:
    """A text of the bank goes without our HTML, which says something else."""
    (tmp_path / "it").mkdir()
    (tmp_path / "it" / "code.txt").write_text("Subject: I\nx\n")
    found = writer(tmp_path, code__de__txt="Subject: D\nx\n", code__en__html="<p>own</p>",
                   bill__en__txt="{% include 'statement.en.txt' %}")
    assert found.write("code", "it-CH", VALUES).subject == "I"
    assert (found.write("code", "de", VALUES).subject, found.write("code", "de", VALUES).html) == ("D", None)
    assert (found.write("code", "en", VALUES).subject, found.write("code", "en", VALUES).html) == (
        "Your one-time code", "<p>own</p>")
    assert found.write("bill", "en", VALUES).subject == "Your statement for October 2026"
    assert "it" in found.languages("code")
    assert [found.has("code", one) for one in ("it", "it-CH", "de-AT", "xx")] == [True, True, True, False]
    assert not found.has("statement", "it")


def test_html_is_escaped_and_text_is_not(tmp_path: Path) -> None:
    found = writer(tmp_path, a__en__txt="Subject: To {{ name }}\n{{ name }}\n", a__en__html="<p>{{ name }}</p>\n")
    letter = found.write("a", "en", {"name": "<b>&"})
    assert (letter.subject, letter.text, letter.html) == ("To <b>&", "<b>&\n", "<p>&lt;b&gt;&amp;</p>\n")


@pytest.mark.parametrize("files, words", [
    ({"a__en__txt": "no subject\n"}, "Subject"),
    ({"a__en__txt": "Subject: \nx\n"}, "Subject"),
    ({"a__en__txt": "Subject: s\n{{ nmae }}\n"}, "nmae"),
    ({"a__en__txt": "Subject: s\n{% if %}\n"}, "a.en.txt"),
    ({"a__en__txt": "Subject: s\n{{ name.__class__.__mro__ }}\n"}, "a.en.txt"),
    ({"a__en__txt": "Subject: s\nx\n", "a__en__html": "<img src='http://x'>"}, "loads nothing|load nothing"),
    ({"a__en__txt": "Subject: s\nx\n", "a__en__html": "<p style='background: url(x)'>"}, "load nothing"),
    ({"a__en__txt": "Subject: s\nx\n", "a__en__html": "<script>1</script>"}, "load nothing"),
    ({"a__en__txt": "Subject: s\nx\n", "a__en__html": "<p>Dear customer</p>\n<img src='http://x'>"}, "load nothing"),
    ({"b__en__txt": "Subject: s\nx\n"}, "the template a.de.txt is missing"),
])
def test_a_template_that_breaks_a_rule_is_named(tmp_path: Path, files: dict[str, str], words: str) -> None:
    with pytest.raises(GatewayError, match=words) as caught:
        writer(tmp_path, **files).write("a", "en", {"name": "secret-value"})
    assert caught.value.reason is Reason.CONFIG_INVALID
    assert "secret-value" not in caught.value.detail


def test_a_value_cannot_write_a_header() -> None:
    letter = Letter("Hi\r\nBcc: x@evil.example", "text\n", None, "en")
    mail = message_from_bytes(compose(letter, HEADING), policy=policy.default)
    assert mail["Bcc"] is None


@pytest.mark.parametrize("name", ['A "B" Bank', 'Bank" <eve@evil.example>, "x', "Bank \\", "Bank, Branch"])
def test_a_name_cannot_write_an_address(name: str) -> None:
    mail = message_from_bytes(compose(Letter("Hi", "text\n", None, "en"), replace(HEADING, name=name)),
                              policy=policy.default)
    assert [(one.display_name, one.addr_spec) for one in mail["From"].addresses] == [(name, "otp@bank.example")]


def test_the_whole_comes_back_part_by_part() -> None:
    letter = Letter("Grüße", "Umlaute: äöü\n", "<p>äöü</p>\n", "de")
    octets = compose(letter, HEADING, [Attachment("März.pdf", "application/pdf", b"%PDF-1.7\n\0\xff")])
    assert octets.isascii()
    mail = message_from_bytes(octets, policy=policy.default)
    assert (mail["Subject"], str(mail["From"]), mail["Message-ID"]) == (
        "Grüße", "Bänk <otp@bank.example>", "<1@bank.example>")
    assert mail.get_body(("plain",)).get_content() == "Umlaute: äöü\r\n"
    assert mail.get_body(("html",)).get_content() == "<p>äöü</p>\r\n"
    (document,) = mail.iter_attachments()
    assert (document.get_filename(), document.get_content()) == ("März.pdf", b"%PDF-1.7\n\0\xff")


def test_with_a_seed_it_is_the_same_octets_again() -> None:
    letter = Letter("s", "t\n", "<p>t</p>\n", "en")
    made = {compose(letter, HEADING, [Attachment("a", "text/csv", b"1")], seed=seed) for seed in (b"1", b"1", b"2")}
    assert len(made) == 2


@pytest.mark.parametrize(("text", "place", "words"), [
    ("Subject: x\n\nGood day\n{{ nothing }}\n", ":4: ", "'nothing' is undefined"),
    ("Subject: x\n\n{% if %}\n", ":3: ", "Expected an expression"),
    ("Subject: x\n{{ name.nothing }}\n", ":2: ", "no attribute 'nothing'"),
    ("no subject\n", ":1: ", "Subject: …"),
])
def test_a_fault_is_told_with_file_and_line(tmp_path: Path, text: str, place: str, words: str) -> None:
    (tmp_path / "own.en.txt").write_text(text, "utf-8")
    with pytest.raises(GatewayError) as caught:
        Writer(tmp_path).write("own", None, {"name": "Anna"})
    assert caught.value.detail.startswith(f"{tmp_path}/own.en.txt{place}")
    assert words in caught.value.detail
    assert "Anna" not in caught.value.detail


TO_CUSTOMERS = ("bill", "code", "encrypted_pdf", "invite", "statement", "statement_recalled", "statement_replaced")
VALUES = {
    "code": "40302019", "kind": "none", "purpose": "login", "amount": "", "payees": [], "again": False, "answers": True,
    "minutes": 5, "seconds": 300, "expires_at": AT, "recipient": "anna@customer.example", "since": AT, "until": AT,
    "days": 1, "state": "absent", "why": "", "invited": True, "sender": "otp@bank.example", "file": "message.pdf",
    "way": "Ask at any branch.", "name": "Anna", "account": "2051", "period": "2026-10", "row": {"number": "7"},
    "failures": [{"recipient": "anna@customer.example", "what": "What.", "remedy": "Remedy."}], "others": True,
    "at": AT, "what": "What.", "remedy": "Remedy.", "postmaster": "postmaster@bank.example", "incident": "4711",
    "proven": True, "customer": "10001", "code_id": "c", "client": "online", "reference": "", "issued_at": AT,
    "answered_at": AT, "hostname": "gw.bank.example", "expired": 0, "expiring": 0, "unknown": {"rows": [], "count": 0},
    "ends": {"rows": [{"at": AT, "days": 3, "what": "key", "name": "otp", "subject": "CN=otp"}], "more": 0},
    "failed": {"rows": [], "count": 0}}


@pytest.mark.parametrize("language", languages.installed())
@pytest.mark.parametrize("kind", sorted(Writer().kinds()))
def test_every_mail_greets_and_names_the_bank(kind: str, language: str) -> None:
    letter = Writer(letterhead=Letterhead("Example Bank", "+49 69 1234")).write(kind, language, VALUES)
    assert letter.language == language
    for form in (letter.text, letter.html):
        if form is not None:
            assert "Example Bank" in form
            assert any(word in form for word in ("Dear ", "Hello,", "Guten Tag", "Madame, Monsieur", "Bonjour"))
            assert kind not in TO_CUSTOMERS or "+49 69 1234" in form


@pytest.mark.parametrize("language", languages.installed())
@pytest.mark.parametrize("kind", TO_CUSTOMERS)
def test_without_a_contact_a_mail_still_says_what_to_do_in_doubt(kind: str, language: str) -> None:
    letter = Writer(letterhead=Letterhead("Example Bank")).write(kind, language, VALUES)
    words = {"en": ("contact us", "call us"), "de": ("an uns", "uns bitte sofort an"),
             "fr": ("contactez-nous", "appelez-nous")}[language]
    for form in (letter.text, letter.html or ""):
        assert any(word in " ".join(form.split()) for word in words)


@pytest.mark.parametrize(("language", "words"), [
    ("en", "26 November 2026, 13:00 (CET), 13:00:00 (CET)"),
    ("de", "26. November 2026, 13:00 Uhr (MEZ), 13:00:00 Uhr (MEZ)"),
    ("fr", ("26 novembre 2026, 13\u00a0h\u00a000 (heure normale d\u2019Europe centrale), "
            "13\u00a0h\u00a000\u00a0min\u00a000\u00a0s (heure normale d\u2019Europe centrale)")),
    ("it", "26 novembre 2026, 13:00 (CET), 13:00:00 (CET)"),
])
def test_times_are_written_as_the_bank_and_the_language_have_them(tmp_path: Path, language: str, words: str) -> None:
    """Truth: CLDR. 12:00 UTC is 13:00 in Berlin in winter."""
    body = "Subject: x\n{{ at|day }}, {{ at|clock }}, {{ at|clock(seconds=True) }}"
    (tmp_path / f"own.{language}.txt").write_text(body)
    found = Writer(tmp_path, language, Letterhead("Example Bank", zone=ZoneInfo("Europe/Berlin")))
    assert found.write("own", language, {"at": AT}).text == words


def test_a_language_without_formats_is_an_error_and_not_half_english(tmp_path: Path) -> None:
    (tmp_path / "own.xx.txt").write_text("Subject: x\n{{ at|day }}")
    with pytest.raises(GatewayError) as caught:
        Writer(tmp_path, "xx").write("own", "xx", {"at": AT})
    assert caught.value.reason is Reason.CONFIG_INVALID
    assert "own.xx.txt" in caught.value.detail
    assert "no formats of dates and numbers for the language `xx`" in caught.value.detail


@pytest.mark.parametrize(("language", "words"), [("en", "for 5 minutes, until 12:00 (UTC)"),
                                                 ("de", "noch 5 Minuten, bis 12:00 Uhr (UTC)"),
                                                 ("fr", "5 minutes, jusqu\u2019à 12\u00a0h\u00a000 (temps universel")])
def test_a_code_says_how_long_and_until_when_it_is_valid(language: str, words: str) -> None:
    letter = Writer().write("code", language, VALUES)
    assert words in letter.text
    assert words in (letter.html or "")


@pytest.mark.parametrize("kind", sorted(Writer().kinds()))
def test_french_has_its_narrow_spaces_and_apostrophes(kind: str) -> None:
    """Before `: ; ? ! »` and after `«` a narrow no-break space (Imprimerie nationale); no line is longer than 998."""
    letter = Writer(letterhead=Letterhead("Banque Exemple", "+33 1 2345")).write(kind, "fr", VALUES)
    for text in (letter.subject, letter.text):
        said = re.sub(r"\d\d:\d\d|sealgate [a-z ]+", "", text)
        assert "'" not in said
        assert not re.search("[^\u202f]( ?[:;?!»])|«[^\u202f]", said), said
