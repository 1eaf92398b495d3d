"""The fast way: the same numbers as the other, and words for what is wrong that name the value and do not show it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from io import BytesIO

import pikepdf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import GatewayError, Reason
from gateway.pdf import fast
from gateway.pdf.documents import PdfDocuments
from tests.support.papers import BILL, STATEMENT, page_text

AT = datetime(2026, 11, 30, 6, tzinfo=UTC)
MINUS = "\u2212"


@pytest.fixture(scope="module")
def documents() -> Iterator[PdfDocuments]:
    made = PdfDocuments()
    yield made
    made.close()


@pytest.mark.parametrize("name, values", [("statement", STATEMENT), ("bill", BILL)])
@pytest.mark.parametrize("language", ["de", "en", "de-AT", "fr"])
def test_both_ways_say_the_same(documents: PdfDocuments, name: str, values: dict[str, object], language: str) -> None:
    """Each word of one stands in the other, as often (the order on a line may differ by its columns)."""
    slow = sorted(page_text(documents.make(name, language, values, AT)).split())
    quick = sorted(page_text(documents.make(f"fast-{name}", language, values, AT)).split())
    assert quick == slow


@pytest.mark.parametrize("change, told", [
    ({"opening": None}, "`opening` is missing"),
    ({"opening": "12,50"}, "`opening` is not a decimal number such as 12.50"),
    ({"opening": "NaN"}, "`opening` is not a valid amount"),
    ({"opening": "1E999999"}, "`opening` is not a valid amount"),
    ({"from": "01.11.2026"}, "`from` is not a date such as 2026-11-30"),
    ({"bookings": "[{"}, "`bookings` is not a list"),
    ({"bookings": [1]}, "`bookings` is not a list"),
    ({"bookings": [{"date": "2026-11-02", "text": "secret", "amount": "x"}]}, "bookings 1: `amount` is not a decimal"),
    ({"bookings": [{"text": "secret", "amount": "950.47"}]}, "bookings 1: `date` is missing"),
    ({"colour": "secret"}, "`colour` is not a colour"),
    ({"name": "李"}, "a letter that no font has"),
])
def test_what_is_wrong_is_named(documents: PdfDocuments, change: dict[str, object], told: str) -> None:
    with pytest.raises(GatewayError) as caught:
        documents.make("fast-statement", "en", {**STATEMENT, **change}, AT)
    assert caught.value.reason is Reason.PDF_NOT_MADE
    assert told in caught.value.detail
    assert caught.value.detail.startswith("fast-statement: ")
    assert "secret" not in caught.value.detail


@pytest.mark.parametrize("way", ["statement", "fast-statement"])
def test_the_colour_of_the_bank(documents: PdfDocuments, way: str) -> None:
    """0x80 of 0xff is 0.502; both makers say so in the page."""
    octets = documents.make(way, "en", {**STATEMENT, "colour": "#800000"}, AT)
    with pikepdf.open(BytesIO(octets)) as pdf:
        drawn = [[float(one) for one in operands] for operands, operator in pikepdf.parse_content_stream(pdf.pages[0])
                 if str(operator) in {"rg", "RG", "sc", "SC", "scn", "SCN"}]
    assert [pytest.approx(0.502, abs=0.001), 0.0, 0.0] in drawn


def test_a_row_higher_than_a_page(documents: PdfDocuments) -> None:
    values = {**STATEMENT, "opening": "0", "closing": "1", "bookings": [
        {"date": "2026-11-02", "text": "line\n" * 60, "amount": "1"}]}
    with pytest.raises(GatewayError, match="higher than a page"):
        documents.make("fast-statement", "en", values, AT)


@pytest.mark.parametrize("length, made", [(10_000, True), (10_001, False)])
def test_the_longest_text(documents: PdfDocuments, length: int, made: bool) -> None:
    values = {**STATEMENT, "notes": ("word " * 3_000)[:length - 1] + "w"}
    if made:
        assert documents.make("fast-statement", "en", values, AT)
    else:
        with pytest.raises(GatewayError, match="the limit is 10000"):
            documents.make("fast-statement", "en", values, AT)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.decimals(-10**9, 10**9, places=2), max_size=40), st.decimals(-10**9, 10**9, places=2))
def test_sums_are_exact(amounts: list[Decimal], opening: Decimal) -> None:
    """Python's decimal adds; a document is made for this sum, and for a cent more none is."""
    closing = opening + sum(amounts)
    values = {**STATEMENT, "opening": opening, "closing": closing, "bookings": [
        {"date": "2026-11-02", "text": "x", "amount": one} for one in amounts]}
    documents = PdfDocuments()
    assert documents.make("fast-statement", "en", values, AT)
    with pytest.raises(GatewayError, match="do not lead"):
        documents.make("fast-statement", "en", {**values, "closing": closing + Decimal("0.01")}, AT)


@pytest.mark.parametrize("number, german, english", [
    ("0", "0,00", "0.00"), ("0.005", "0,01", "0.01"), ("-0.005", f"{MINUS}0,01", f"{MINUS}0.01"),
    ("999.999", "1.000,00", "1,000.00"), ("1234567890.1", "1.234.567.890,10", "1,234,567,890.10"),
    ("-12", f"{MINUS}12,00", f"{MINUS}12.00"),
])
def test_numbers_both_ways(documents: PdfDocuments, number: str, german: str, english: str) -> None:
    """Rounded half away from zero, as the templates round."""
    values = {**STATEMENT, "opening": number, "closing": number, "bookings": []}
    for way in ("", "fast-"):
        for language, expected in (("de", german), ("en", english)):
            words = page_text(documents.make(f"{way}statement", language, values, AT)).split()
            assert words.count(expected) == (4 if number == "0" else 2), way + language


def test_pages_are_full_and_none_is_empty(documents: PdfDocuments) -> None:
    for count in range(1, 60, 7):
        bookings = [{"date": "2026-11-02", "text": f"number {one}", "amount": "1"} for one in range(count)]
        values = {**STATEMENT, "opening": "0", "closing": str(count), "bookings": bookings,
                  "notes": "; ".join(["a note"] * count)}
        with pikepdf.open(BytesIO(documents.make("fast-statement", "en", values, AT))) as pdf:
            for page in pdf.pages:
                assert b"/MCID 0" in page.Contents.read_bytes()


def test_threads_do_not_mix_documents(documents: PdfDocuments) -> None:
    def one(number: int) -> bytes:
        values = {**STATEMENT, "name": f"Number {number} ÄŁЖ"[:10 + number % 6]}
        return documents.make("fast-statement", "en", values, AT)

    alone = [one(number) for number in range(24)]
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(one, range(24))) == alone


def test_the_two_templates_are_named(documents: PdfDocuments) -> None:
    assert set(fast.TEMPLATES) <= set(documents.names())


@pytest.mark.parametrize("way", ["statement", "fast-statement"])
def test_the_foot_names_bank_and_contact_whole(documents: PdfDocuments, way: str) -> None:
    """A long one has two lines; none of it is cut off."""
    values = {**STATEMENT, "bank_address": "Street of a very long name 123;12345 Another long name of a town",
              "contact": "+49 69 1234 5678 or www.longbank.example"}
    text = " ".join(page_text(documents.make(way, "en", values, AT)).split())
    assert "longbank.example" in text, "typst may break a line behind www."


@pytest.mark.parametrize("way", ["", "fast-"])
def test_french_numbers_and_dates(documents: PdfDocuments, way: str) -> None:
    """A narrow no-break space between groups (a blank in the text that poppler shows), day/month/year."""
    text = " ".join(page_text(documents.make(f"{way}statement", "fr-CH", STATEMENT, AT)).split())
    for words in ("1 234 567,10", f"{MINUS}1 049,53", "Relevé de compte", "30/11/2026", "Nouveau solde"):
        assert words in text
