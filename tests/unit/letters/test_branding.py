"""The bank's names, contact, colours and logo in its mails."""

import io
import re
import zlib
from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from html import unescape
from pathlib import Path

import pytest
from PIL import Image

from gateway import languages
from gateway.app.letters import letterhead
from gateway.errors import GatewayError, Reason
from gateway.letters.compose import Attachment, Heading, compose
from gateway.letters.letterhead import Letterhead
from gateway.letters.logo import OCTETS_MAX, SIDE_MAX, checked
from gateway.letters.write import Writer
from gateway.model.colours import CONTRAST_MIN, PAPER, PAPER_DARK, contrast, readable
from gateway.settings import Settings, load
from tests.support.letters import samples
from tests.unit.letters.test_letters import TO_CUSTOMERS, VALUES

HEADING = Heading("otp@bank.example", ("anna@customer.example",), "<1@bank.example>",
                  datetime(2026, 11, 26, 12, tzinfo=UTC))


def png(width: int = 160, height: int = 40, kind: str = "PNG", **more: object) -> bytes:
    file = io.BytesIO()
    Image.new("P", (width, height), 3).save(file, kind, **more)
    return file.getvalue()


HEAD = Letterhead("Example Bank AG", short_name="Example", telephone="+49 69 1234", web="www.bank.example",
                  colour="#7a0019", colour_dark="#ffb3c0", logo=png())


def mail(kind: str, head: Letterhead = HEAD, language: str = "en") -> EmailMessage:
    letter = Writer(letterhead=head).write(kind, language, VALUES)
    octets = compose(letter, replace(HEADING, name=head.sender), [Attachment("a.pdf", "application/pdf", b"%PDF")],
                     seed=b"1")
    found = message_from_bytes(octets, policy=policy.default)
    assert isinstance(found, EmailMessage)
    return found


@pytest.mark.parametrize("kind", TO_CUSTOMERS)
def test_a_customers_mail_carries_the_logo_beside_its_html(kind: str) -> None:
    """RFC 2387 and 2392: the logo is a part of the page, not a document that is attached."""
    found = mail(kind)
    assert [one.get_content_type() for one in found.walk()] == [
        "multipart/mixed", "multipart/alternative", "text/plain", "multipart/related", "text/html", "image/png",
        "application/pdf"]
    related = next(one for one in found.walk() if one.get_content_type() == "multipart/related")
    assert related.get_param("type") == "text/html"
    html, logo = related.iter_parts()
    assert (logo["Content-ID"], logo.get_content_disposition(), logo.get_content()) == (
        "<logo@bank>", "inline", HEAD.logo)
    assert html.get_content().count('src="cid:logo@bank" alt="Example"') == 1
    assert [one.get_filename() for one in found.iter_attachments()] == ["a.pdf"]


def test_mails_to_the_bank_itself_carry_none() -> None:
    assert "image/png" not in [one.get_content_type() for one in mail("code_alarm").walk()]


@pytest.mark.parametrize("kind", TO_CUSTOMERS)
def test_names_contact_and_colours_are_in_both_forms(kind: str) -> None:
    found = mail(kind)
    assert str(found["From"]) == "Example <otp@bank.example>"
    for form in ("plain", "html"):
        part = found.get_body((form,))
        assert part is not None
        words = " ".join(part.get_content().split())
        assert "Example Bank AG" in words
        assert "+49 69 1234 or www.bank.example" in words
    assert {"#7a0019", "#ffb3c0"} <= set(words.replace(";", " ").split())


@pytest.mark.parametrize(("changes", "words"), [
    ({"web": ""}, "+49\u00a069\u00a01234"), ({"telephone": ""}, "www.bank.example"),
    ({"contact": "your branch"}, "your branch"), ({"telephone": "", "web": ""}, "")])
def test_contact_is_what_there_is(changes: dict[str, str], words: str) -> None:
    assert replace(HEAD, **changes).contact_in("en") == words


def test_without_a_logo_the_name_is_above() -> None:
    found = mail("statement", replace(HEAD, logo=b""))
    assert "multipart/related" not in [one.get_content_type() for one in found.walk()]
    page = found.get_body(("html",))
    assert page is not None
    assert "<img" not in page.get_content()


def test_an_own_template_may_show_the_logo_and_no_other_picture(tmp_path: Path) -> None:
    (tmp_path / "own.en.txt").write_text("Subject: x\nx\n")
    page = tmp_path / "own.en.html"
    page.write_text('<p>Hello</p><img src="cid:{{ logo }}" alt="">')
    assert Writer(tmp_path, letterhead=HEAD).write("own", "en", {}).logo == HEAD.logo
    page.write_text('<img src="cid:logo@bank" alt="">')
    with pytest.raises(GatewayError, match=r"own\.en\.html shows the logo, but `bank\.logo` is not set"):
        Writer(tmp_path).write("own", "en", {})
    page.write_text('<img src="cid:logo@bank"><img src="cid:other@bank">')
    with pytest.raises(GatewayError, match="mails of the bank load nothing"):
        Writer(tmp_path, letterhead=HEAD).write("own", "en", {})


@pytest.mark.parametrize(("octets", "words"), [
    (png(kind="GIF"), "not a PNG file"), (b"<svg/>", "not a PNG file"), (png()[:-4], "damaged"),
    (png() + b"<script>", "damaged"), (png()[:60] + b"x" + png()[61:], "damaged"),
    (png()[:8] + png()[-12:], "side of more"), (png(SIDE_MAX + 1, 1), "side of more"),
    (png() + bytes(OCTETS_MAX), f"the limit is {OCTETS_MAX}"), (b"", "not a PNG file")])
def test_a_logo_that_readers_could_not_show_is_rejected_with_its_remedy(octets: bytes, words: str) -> None:
    with pytest.raises(GatewayError, match=words) as caught:
        checked(octets, "bank.logo: x.png")
    assert caught.value.reason is Reason.CONFIG_INVALID


def test_a_logo_at_the_limits_is_accepted() -> None:
    large = png(SIDE_MAX, 1)
    text = b"tEXt" + bytes(OCTETS_MAX - len(large) - 12)
    chunk = (len(text) - 4).to_bytes(4, "big") + text + zlib.crc32(text).to_bytes(4, "big")
    assert len(checked(large[:-12] + chunk + large[-12:], "x")) == OCTETS_MAX


@pytest.mark.parametrize(("one", "other", "ratio"), [
    ("#000000", "#ffffff", 21.0), ("#ffffff", "#ffffff", 1.0), ("#767676", "#ffffff", 4.54),
    ("#777777", "#ffffff", 4.48), ("#ff0000", "#ffffff", 4.0), ("#0000ff", "#ffffff", 8.59)])
def test_contrast(one: str, other: str, ratio: float) -> None:
    """Truth: the examples of WCAG's documents and of webaim.org's checker."""
    assert contrast(one, other) == contrast(other, one) == pytest.approx(ratio, abs=0.01)


@pytest.mark.parametrize("paper", [PAPER, PAPER_DARK])
@pytest.mark.parametrize("colour", ["#ffcc00", "#1a1a1a", "#7fb3ff", "#000000", "#ffffff"])
def test_a_readable_colour_is_proposed(colour: str, paper: str) -> None:
    assert contrast(readable(colour, paper), paper) >= CONTRAST_MIN


BANK = """
version: 1
bank: {domains: [bank.example], hostname: mail.bank.example%s}
listeners: [{name: in, role: inbound, port: 25}]
next_hops: {outbound: {host: 127.0.0.1, port: 1}, inbound: {host: 127.0.0.1, port: 2}}
policies: [p.yaml]
"""


def settings(home: Path, more: str) -> Settings:
    (home / "sealgate.yaml").write_text(BANK % more)
    return load(home / "sealgate.yaml")


def test_all_of_it_comes_from_the_settings(tmp_path: Path) -> None:
    (tmp_path / "logo.png").write_bytes(png())
    found = letterhead(settings(tmp_path, ", name: Example Bank AG, short_name: Example, logo: logo.png, "
                                'contact: {telephone: "+49 69 1234", web: www.bank.example}, '
                                'colours: {light: "#7a0019", dark: "#ffb3c0"}'))
    assert found == HEAD


def test_a_contact_in_one_text_is_still_accepted(tmp_path: Path) -> None:
    assert letterhead(settings(tmp_path, ", contact: +49 69 1234 or any branch")).contact_in("de") == (
        "+49 69 1234 or any branch")
    assert letterhead(settings(tmp_path, "")).contact_in("de") == ""


@pytest.mark.parametrize(("more", "words"), [
    (', colours: {light: "#ffcc00"}', r'contrast is 1\.5\d : 1.*write one such as "#[0-9a-f]{6}"'),
    (', colours: {dark: "#14324f"}', r"hard to read on #15181c"),
    (", colours: {light: red}", "`red` is not a colour"),
    (', contact: {web: "https://www.bank.example"}', "is a link or a mail address"),
    (", contact: {text: a, web: www.bank.example}", "both `text` and"),
    (', contact: {telephone: "a\\nb"}', "line end"),
    (', short_name: "a\\nb"', "line end"),
    (", contact: {phone: x}", "phone"),
])
def test_what_people_could_not_read_stops_the_start(tmp_path: Path, more: str, words: str) -> None:
    with pytest.raises(GatewayError, match=f"(?s){words}"):
        settings(tmp_path, more)


def test_a_logo_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(GatewayError, match=r"bank\.logo: .*nothing\.png: No such file"):
        letterhead(settings(tmp_path, ", logo: nothing.png"))


LATIN = {"en": "Payee Account", "de": "Empfänger Konto", "fr": "Bénéficiaire Compte"}  # labels that only the text has


@pytest.mark.parametrize("language", languages.installed())
def test_text_and_html_say_the_same(language: str) -> None:
    """Whoever reads the one has read the other: the same words, whatever their order."""
    for sample in samples(language):
        html = re.sub(r'(?s)<style>.*?</style>|<title>.*?</title>|<div class="brand".*?</div>', "",
                      sample.letter.html or "")
        shown = words_of(unescape(re.sub(r"<[^>]*>", " ", html)))
        said = words_of(f"{sample.letter.subject} {sample.letter.text}")
        assert shown - said == set(), sample.name
        assert said - shown - words_of(sample.letter.subject) - words_of(LATIN[language]) == set(), sample.name


def words_of(text: str) -> set[str]:
    """Without punctuation, and without the numbers of a list."""
    return {word for word in re.findall(r"[\w@.-]*\w", text) if not re.fullmatch(r"[123]", word)}
