"""Documents from templates, judged by programs of others: poppler's pdfinfo and pdftotext, qpdf, and pikepdf.

What has to be there is ISO 14289-1 (PDF/UA-1) and ISO 19005-2 (PDF/A-2b); sums are exact by Python's own decimals.
"""

import hashlib
import json
import re
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from io import BytesIO
from pathlib import Path

import pikepdf
import pytest

from gateway import languages
from gateway.errors import GatewayError, Reason
from gateway.pdf.documents import TEMPLATES, PdfDocuments
from gateway.pdf.renderer import Limits
from tests.support.papers import BILL, STATEMENT, page_text, said
from tests.support.peers import need, run

AT = datetime(2026, 11, 30, 6, tzinfo=UTC)
MINUS = "\u2212"
VALUES = {"bill": BILL, "fast-bill": BILL, "fast-statement": STATEMENT, "statement": STATEMENT}
EVERY = [(name, language) for name in VALUES for language in languages.installed()]
BOTH_WAYS = pytest.mark.parametrize("way", ["", "fast-"])


@pytest.fixture(scope="module")
def documents() -> Iterator[PdfDocuments]:
    made = PdfDocuments()
    yield made
    made.close()


@pytest.mark.parametrize("name, language", EVERY)
def test_qpdf_finds_no_fault(documents: PdfDocuments, name: str, language: str, tmp_path: Path) -> None:
    path = tmp_path / "one.pdf"
    path.write_bytes(documents.make(name, language, VALUES[name], AT))
    run(need("qpdf", "qpdf"), "--check", path)


@pytest.mark.parametrize("name, language", EVERY)
def test_it_claims_and_has_what_accessible_documents_must_have(
        documents: PdfDocuments, name: str, language: str) -> None:
    octets = documents.make(name, language, VALUES[name], AT)
    assert documents.check(octets) is None
    with pikepdf.open(BytesIO(octets)) as pdf:
        xmp = pdf.Root.Metadata.read_bytes().decode()
        assert "<pdfuaid:part>1</pdfuaid:part>" in xmp  # ISO 14289-1 5
        assert "<pdfaid:part>2</pdfaid:part>" in xmp  # ISO 19005-2 6.6.4
        assert "<pdfaid:conformance>B</pdfaid:conformance>" in xmp
        assert pdf.Root.OutputIntents[0].S == "/GTS_PDFA1"
        assert pdf.Root.Lang == language
        assert pdf.Root.ViewerPreferences.DisplayDocTitle
        kinds = list(_kinds(pdf.Root.StructTreeRoot))
        assert kinds.count("/Table") == 1
        assert "/H1" in kinds
        assert "/TH" in kinds
        for font in _fonts(pdf):
            descriptor = (font.DescendantFonts[0] if "/DescendantFonts" in font else font).FontDescriptor
            assert {"/FontFile", "/FontFile2", "/FontFile3"} & set(descriptor.keys()), "every font is embedded"
            assert "/ToUnicode" in font
        assert not {"/JavaScript", "/EmbeddedFiles"} & set(pdf.Root.get("/Names", pikepdf.Dictionary()).keys())
        assert "/AA" not in pdf.Root


def _kinds(node: pikepdf.Object) -> Iterator[str]:
    children = node.get("/K", [])
    for child in children if isinstance(children, pikepdf.Array) else [children]:
        if isinstance(child, pikepdf.Dictionary) and "/S" in child:
            yield str(child.S)
            yield from _kinds(child)


def _fonts(pdf: pikepdf.Pdf) -> Iterator[pikepdf.Object]:
    for page in pdf.pages:
        yield from page.Resources.Font.values()


@BOTH_WAYS
def test_what_stands_in_a_statement(documents: PdfDocuments, way: str) -> None:
    german = page_text(documents.make(f"{way}statement", "de", STATEMENT, AT))
    for words in ("Kontoauszug 11/2026", "01.11.2026 bis 30.11.2026", "DE02 1203 0000 0000 2020 51",
                  "Jörg Müßig", "Łódź Sp. z o.o.", f"{MINUS}1.049,53", "+2.000,00", "1.235.517,57", "Seite 1 von 1"):
        assert words in german
    english = page_text(documents.make(f"{way}statement", "en", STATEMENT, AT))
    for words in ("Account statement 11/2026", "1 Nov 2026 to 30 Nov 2026", f"{MINUS}1,049.53", "1,235,517.57",
                  "Page 1 of 1"):
        assert words in english
    assert "Kontoauszug" not in english


@BOTH_WAYS
@pytest.mark.parametrize("name", [
    "Ελένη Παπαδοπούλου", "Наталія Їжак", "Łukasz Żółć", "Đorđe Šćepanović", "İbrahim Çağlayan", "Nguyễn Thị Ánh",
    "Þórdís Æsa", "Ștefan Țuțea", "Straße & Co. KG", "Ørsted ÅS", "O\u2019Brien \u2013 Smith", "100 € ½ №",
])
def test_names_of_customers(documents: PdfDocuments, way: str, name: str) -> None:
    """The letters of the European Union's languages, and some more: seen, and copied as they were."""
    text = page_text(documents.make(f"{way}statement", "en", {**STATEMENT, "name": name}, AT))
    assert unicodedata.normalize("NFC", name) in unicodedata.normalize("NFC", text)


@BOTH_WAYS
def test_an_accent_beside_its_letter_is_one_upon_it(documents: PdfDocuments, way: str) -> None:
    """As file names of some systems have it; a font places no accent by itself."""
    apart = unicodedata.normalize("NFD", "Müller Łódź")
    assert apart != "Müller Łódź"
    octets = documents.make(f"{way}statement", "de", {**STATEMENT, "name": apart}, AT)
    assert octets == documents.make(f"{way}statement", "de", {**STATEMENT, "name": "Müller Łódź"}, AT)


@BOTH_WAYS
def test_what_stands_in_a_bill(documents: PdfDocuments, way: str) -> None:
    text = page_text(documents.make(f"{way}bill", "de", BILL, AT))
    for words in ("Rechnung R-2026-77", "vom 26.11.2026", "10.12.2026", "14,70", "Umsatzsteuer 19 %", "17,85"):
        assert words in text


@BOTH_WAYS
def test_the_order_in_which_it_is_read_aloud_is_that_of_the_page(documents: PdfDocuments, way: str) -> None:
    order = said(documents.make(f"{way}statement", "en", STATEMENT, AT))
    places = [order.index(words) for words in ("Jörg Müßig", "Account statement", "Transactions", "Description",
                                               "Hausverwaltung", "Opening balance", "Please note")]
    assert places == sorted(places)


def test_the_same_octets_in_another_process(documents: PdfDocuments) -> None:
    """A mail that comes a second time is known by its octets."""
    here = [hashlib.sha256(documents.make(name, "de", of, AT)).hexdigest() for name, of in VALUES.items()]
    program = ("from tests.support.papers import *; from gateway.pdf.documents import PdfDocuments as D;"
               "import hashlib; from datetime import *; d = D(); print(*(hashlib.sha256(d.make(n, 'de', v, "
               "datetime(2026, 11, 30, 6, tzinfo=UTC))).hexdigest() for n, v in (('bill', BILL), ('fast-bill', BILL), "
               "('fast-statement', STATEMENT), ('statement', STATEMENT)))); d.close()")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True,
                          cwd=Path(__file__).parents[3])
    assert done.stdout.split() == here


@BOTH_WAYS
def test_values_of_python_and_of_json_lines_and_of_csv_make_the_same(documents: PdfDocuments, way: str) -> None:
    of_python = {**STATEMENT, "opening": Decimal("1234567.10"), "from": date(2026, 11, 1)}
    of_csv = {**STATEMENT, "bookings": json.dumps(STATEMENT["bookings"])}
    plain = documents.make(f"{way}statement", "de", STATEMENT, AT)
    assert documents.make(f"{way}statement", "de", of_python, AT) == plain
    assert documents.make(f"{way}statement", "de", of_csv, AT) == plain


@pytest.mark.parametrize("name, change", [
    ("statement", {"opening": "1.00"}),
    ("statement", {"closing": "1235517.58"}),
    ("bill", {"total": "17.86"}),
    ("bill", {"taxes": []}),
])
def test_sums_that_do_not_add_up_make_no_document(
        documents: PdfDocuments, name: str, change: dict[str, object]) -> None:
    with pytest.raises(GatewayError) as caught:
        documents.make(name, "de", {**VALUES[name], **change}, AT)
    assert caught.value.reason is Reason.PDF_NOT_MADE
    words = "the bookings do not lead from opening to closing" if name == "statement" else "are not the total"
    assert "assertion failed" in caught.value.detail
    assert words in caught.value.detail


def test_an_assertion_says_what_its_template_says_and_nothing_of_the_values(tmp_path: Path) -> None:
    (tmp_path / "own.typ").write_text("""#let values = json(bytes(sys.inputs.values))
#set document(title: "x", author: "x")
#assert(values.name != "a", message: "a is not served")
#assert(values.name != "b", message: "account " + values.account + " is not served")
""")
    made = PdfDocuments(tmp_path)
    try:
        with pytest.raises(GatewayError, match=r"own\.typ:3: assertion failed: a is not served$"):
            made.make("own", "en", {"name": "a", "account": "DE02"}, AT)
        with pytest.raises(GatewayError, match=r"own\.typ:4: assertion failed$"):
            made.make("own", "en", {"name": "b", "account": "DE02"}, AT)
    finally:
        made.close()


@BOTH_WAYS
def test_cents_are_exact_where_binary_fractions_are_not(documents: PdfDocuments, way: str) -> None:
    amounts = ["0.10"] * 3
    values = {**STATEMENT, "opening": "0.00", "closing": "0.30",
              "bookings": [{"date": "2026-11-02", "text": "ten cents", "amount": one} for one in amounts]}
    assert 0.10 + 0.10 + 0.10 != 0.30
    assert "0.30" in page_text(documents.make(f"{way}statement", "en", values, AT))


def test_what_is_missing_is_named_and_what_is_there_is_not(documents: PdfDocuments) -> None:
    values = {name: value for name, value in STATEMENT.items() if name != "opening"}
    with pytest.raises(GatewayError) as caught:
        documents.make("statement", "de", values, AT)
    assert "statement.typ:" in caught.value.detail
    assert "`opening`" in caught.value.detail


@BOTH_WAYS
def test_a_long_statement_has_its_head_on_each_page(documents: PdfDocuments, way: str) -> None:
    bookings = [{"date": "2026-11-02", "text": f"payment {number}", "amount": "1.00"} for number in range(200)]
    values = {**STATEMENT, "opening": "0", "closing": "200", "bookings": bookings}
    octets = documents.make(f"{way}statement", "en", values, AT)
    with pikepdf.open(BytesIO(octets)) as pdf:
        pages = len(pdf.pages)
    text = page_text(octets)
    assert pages > 3
    assert text.count("Description") == pages
    assert f"Page {pages} of {pages}" in text


@BOTH_WAYS
def test_an_account_without_bookings(documents: PdfDocuments, way: str) -> None:
    values = {**STATEMENT, "closing": STATEMENT["opening"], "bookings": []}
    assert "There were no transactions" in page_text(documents.make(f"{way}statement", "en", values, AT))


@BOTH_WAYS
def test_a_letter_that_no_font_has_makes_no_document(documents: PdfDocuments, way: str) -> None:
    with pytest.raises(GatewayError, match="a letter that no font has") as caught:
        documents.make(f"{way}statement", "de", {**STATEMENT, "name": "李"}, AT)
    assert "李" not in caught.value.detail


@pytest.mark.parametrize("name", ["parts", "nothing", "../statement", "statement.typ", "", "/etc/passwd", "a" * 65])
def test_names_that_are_no_template(documents: PdfDocuments, name: str) -> None:
    with pytest.raises(GatewayError) as caught:
        documents.make(name, "de", {}, AT)
    assert caught.value.reason is Reason.PDF_NOT_MADE
    assert "bill, fast-bill, fast-statement, statement" in caught.value.detail


def test_the_banks_own_templates_go_first(tmp_path: Path) -> None:
    (tmp_path / "letter.typ").write_text('#set document(title: "Letter")\n#set text(lang: "en")\n= For '
                                         '#json(bytes(sys.inputs.values)).name\n')
    (tmp_path / "bill.typ").write_text('#set document(title: "Ours")\n#set text(lang: "en")\n= Our own bill\n')
    documents = PdfDocuments(tmp_path)
    try:
        assert documents.names() == ("bill", "fast-bill", "fast-statement", "letter", "statement")
        assert "For Jörg" in page_text(documents.make("letter", "en", {"name": "Jörg"}, AT))
        assert "Our own bill" in page_text(documents.make("bill", "en", BILL, AT))
        before = documents.digest("bill"), documents.digest("statement")
        (tmp_path / "logo.svg").write_text("<svg/>")
        assert documents.digest("bill") != before[0]
        assert documents.digest("statement") == before[1]
    finally:
        documents.close()


def test_the_size_has_a_limit() -> None:
    octets = len(PdfDocuments().make("bill", "en", BILL, AT))
    for limit, fits in ((octets, True), (octets - 1, False)):
        documents = PdfDocuments(limits=Limits(octets_max=limit))
        try:
            if fits:
                assert len(documents.make("bill", "en", BILL, AT)) == octets
            else:
                with pytest.raises(GatewayError) as caught:
                    documents.make("bill", "en", BILL, AT)
                assert caught.value.reason is Reason.PDF_TOO_LARGE
        finally:
            documents.close()


def test_the_size_of_a_fast_one_has_a_limit() -> None:
    documents = PdfDocuments(limits=Limits(octets_max=1_000))
    with pytest.raises(GatewayError) as caught:
        documents.make("fast-bill", "en", BILL, AT)
    assert caught.value.reason is Reason.PDF_TOO_LARGE


def test_every_word_of_every_language_is_there() -> None:
    words = {one: languages.words(one, "documents") for one in languages.installed()}
    assert not [one for language in words for one in languages.missing(language)]
    used = set(re.findall(r"words\.([a-z_]+)", "".join(
        path.read_text() for path in TEMPLATES.glob("*.typ")))) - {"json"}
    assert used == set(words["en"])
