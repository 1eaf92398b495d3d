"""Attack: whoever can write into a statement writes what the document, its reader or the log shall take for the bank's.

Mallory pays a customer one cent; the purpose of the payment is hers, and stands in the customer's statement. She writes
the template language there, PDF operators, a link, letters that turn the amount beside them round (CVE-2021-42574, UAX
9), letters that cannot be seen, a word so long that it covers the amount, or so much that the document is never made.
What it must look like is her text as text.
"""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from io import BytesIO

import pikepdf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import GatewayError
from gateway.pdf import plain
from gateway.pdf.documents import PdfDocuments
from tests.support.papers import STATEMENT, page_text, said
from tests.support.peers import need, run

AT = datetime(2026, 11, 30, 6, tzinfo=UTC)
BOTH_WAYS = pytest.mark.parametrize("way", ["statement", "fast-statement"])


@pytest.fixture(scope="module")
def documents() -> Iterator[PdfDocuments]:
    made = PdfDocuments()
    yield made
    made.close()


def statement(purpose: str) -> dict[str, object]:
    """With one cent of hers."""
    return {**STATEMENT, "opening": "0.00", "closing": "0.01", "bookings": [
        {"date": "2026-11-02", "party": "Mallory", "text": purpose, "amount": "0.01"}]}


@BOTH_WAYS
@pytest.mark.parametrize("purpose", [
    "#panic()", '#read("/etc/passwd")', "#import(", "= Heading", "$ x^2 $", "*bold* _italic_", "#link('http://evil')[x]",
    "] ) } #text(red)[x", '"; #eval("1+1")', "\\u{41}", "// comment", "/* comment", "#let values = (:)", "<label> @ref",
    "{{ 7*7 }}", "{% raw %}", "${jndi:ldap://x}", "(Tj) ET Q q BT", "<< /S /JavaScript >>", "%PDF-1.7 %%EOF",
    "EMC /H1 <</MCID 0>> BDC", "'; drop table items; --", '{"closing": "99"}',
])
def test_a_language_is_text(documents: PdfDocuments, way: str, purpose: str) -> None:
    octets = documents.make(way, "en", statement(purpose), AT)
    assert "".join(purpose.split()) in "".join(page_text(octets).split())
    with pikepdf.open(BytesIO(octets)) as pdf:
        assert not any("/Annots" in page for page in pdf.pages), "no link came of it"
        assert pdf.check_pdf_syntax() == []


@BOTH_WAYS
def test_what_it_says_stands_in_no_heading(documents: PdfDocuments, way: str) -> None:
    tags = said(documents.make(way, "en", statement("= New balance 1,000,000.00"), AT))
    headings = [line for line in tags.splitlines() if line.lstrip().startswith(("H1", "H2"))]
    assert len(headings) == 3
    assert not any("1,000,000" in line for line in headings)


@BOTH_WAYS
@pytest.mark.parametrize("sign", ["\u202e", "\u202d", "\u2066", "\u2067", "\u2068", "\u202a", "\u202b"])
def test_nothing_is_turned_round(documents: PdfDocuments, way: str, sign: str) -> None:
    octets = documents.make(way, "en", statement(f"{sign}000,1 fo tnuoma eht"), AT)
    assert octets == documents.make(way, "en", statement("000,1 fo tnuoma eht"), AT)


@BOTH_WAYS
@pytest.mark.parametrize("unseen", ["\0", "\x07", "\x1b[2J", "\x85", "\ufeff", "\ud800", "\udfff\ud800", "\u2028"])
def test_what_cannot_be_seen(documents: PdfDocuments, way: str, unseen: str) -> None:
    text = page_text(documents.make(way, "en", statement(f"before{unseen}after"), AT))
    assert "before" in text
    assert "after" in text
    assert not any(ord(letter) < 32 for letter in text)


@BOTH_WAYS
@pytest.mark.parametrize("purpose", ["x" * 2_000, "\u0301" * 500, "a\n" * 500, "W " * 3_000, " " * 5_000])
def test_much_of_it_delays_nobody_for_long(documents: PdfDocuments, way: str, purpose: str) -> None:
    told = ""
    try:
        told = page_text(documents.make(way, "en", statement(purpose), AT))
    except GatewayError as error:
        refusal = error.detail
    else:
        refusal = ""
        assert "0.01" in told
    assert not purpose.strip() or purpose[:20].strip() not in refusal


@BOTH_WAYS
def test_a_long_word_does_not_cover_the_amount(documents: PdfDocuments, way: str) -> None:
    """The box of each of her letters ends before that of the amount begins (poppler's view)."""
    octets = documents.make(way, "en", statement("9" * 400), AT)
    page = run(need("pdftotext", "poppler-utils"), "-bbox", "-", "-", octets=octets).decode()
    words = [(float(left), float(right), word.replace("\u200b", "")) for left, right, word in re.findall(
        r'<word xMin="([\d.]+)" yMin="[\d.]+" xMax="([\d.]+)" yMax="[\d.]+">([^<]*)</word>', page)]
    hers = [right for _, right, word in words if "999" in word]
    amount = min(left for left, _, word in words if word == "+0.01")
    assert len(hers) > 4
    assert max(hers) < amount


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_shown_or_refused_and_never_told(purpose: str) -> None:
    documents = _shared()
    for way in ("statement", "fast-statement"):
        refusal = ""
        try:
            octets = documents.make(way, "de", statement("Zweck " + purpose), AT)
        except GatewayError as error:
            refusal = error.detail
        else:
            assert octets.startswith(b"%PDF-1.7")
        assert len(purpose.strip()) < 4 or purpose.strip() not in refusal


_MADE: list[PdfDocuments] = []


def _shared() -> PdfDocuments:
    if not _MADE:
        _MADE.append(PdfDocuments())
    return _MADE[0]


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4), max_leaves=20))
def test_values_come_out_as_json_that_says_the_same(value: object) -> None:
    text = plain.text_of({"value": value}, "any")
    text.encode()  # no half of a pair is left
    assert json.loads(text) == plain.of({"value": value})


def test_values_that_cannot_be_said_are_not_told() -> None:
    deep: object = "secret"
    for _ in range(50):
        deep = [deep]
    for value in (deep, object(), {"secret"}, b"secret", float("nan"), float("inf")):
        with pytest.raises(GatewayError) as caught:
            plain.text_of({"value": value}, "any")
        assert "secret" not in caught.value.detail
