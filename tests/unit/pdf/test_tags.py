"""Tags, both ways: what ISO 14289-1 and ISO 32000-1 14.7, 14.8 ask of every page, read back by pikepdf.

veraPDF is no package of this system; these are the checks of its kind that concern our own two makers.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from io import BytesIO
from itertools import pairwise
from typing import Any

import pikepdf
import pytest

from gateway.pdf.documents import PdfDocuments
from tests.support.papers import BILL, STATEMENT

AT = datetime(2026, 11, 30, 6, tzinfo=UTC)
MANY = {**STATEMENT, "opening": "0", "closing": "90", "notes": "one; two", "bookings": [
    {"date": "2026-11-02", "text": f"payment {number} " + "and its purpose " * 6, "party": "Łódź", "amount": "1.00"}
    for number in range(90)]}
DRAWING = {"Tj", "TJ", "'", '"', "S", "s", "f", "F", "f*", "B", "b", "Do", "sh"}


@pytest.fixture(scope="module", params=["statement", "fast-statement", "bill", "fast-bill"])
def pdf(request: pytest.FixtureRequest) -> Iterator[pikepdf.Pdf]:
    documents = PdfDocuments()
    octets = documents.make(request.param, "de", BILL if "bill" in request.param else MANY, AT)
    documents.close()
    with pikepdf.open(BytesIO(octets)) as opened:
        yield opened


def elements(node: Any, parent: Any = None) -> Iterator[tuple[Any, Any]]:
    """Each structure element with its parent, in the order of reading."""
    kids = node.get("/K", [])
    for kid in kids if isinstance(kids, pikepdf.Array) else [kids]:
        if isinstance(kid, pikepdf.Dictionary) and "/S" in kid:
            yield kid, node
            yield from elements(kid)


def marked(page: Any) -> tuple[list[int], list[str]]:
    """The numbers of marked content on a page, and what is drawn outside of any mark."""
    numbers: list[int] = []
    bare: list[str] = []
    depth = 0
    for operands, operator in pikepdf.parse_content_stream(page):
        name = str(operator)
        if name in {"BDC", "BMC"}:
            depth += 1
            if name == "BDC" and "/MCID" in operands[1]:
                numbers.append(int(operands[1]["/MCID"]))
        elif name == "EMC":
            depth -= 1
        elif name in DRAWING and depth == 0:
            bare.append(name)
    assert depth == 0
    return numbers, bare


def parents(pdf: pikepdf.Pdf) -> dict[int, Any]:
    return dict(pikepdf.NumberTree(pdf.Root.StructTreeRoot.ParentTree))


def test_all_that_is_drawn_is_tagged_or_an_artifact(pdf: pikepdf.Pdf) -> None:
    """ISO 14289-1 7.1."""
    for page in pdf.pages:
        numbers, bare = marked(page)
        assert not bare
        assert len(numbers) == len(set(numbers))


def test_the_tree_and_the_pages_name_each_other(pdf: pikepdf.Pdf) -> None:
    """ISO 32000-1 14.7.4.4: of each piece of marked content the parent tree names the element that holds it."""
    tree = parents(pdf)
    for page in pdf.pages:
        holders = tree[int(page.StructParents)]
        for number in marked(page)[0]:
            holder = holders[number]
            kids = holder.K if isinstance(holder.K, pikepdf.Array) else [holder.K]
            own = [int(kid) for kid in kids if not isinstance(kid, pikepdf.Dictionary)]
            own += [int(kid.MCID) for kid in kids if isinstance(kid, pikepdf.Dictionary) and "/MCID" in kid]
            assert number in own


def test_each_element_names_its_parent(pdf: pikepdf.Pdf) -> None:
    found = list(elements(pdf.Root.StructTreeRoot))
    assert len(found) > 20
    for element, parent in found:
        assert element.P.objgen == parent.objgen


def test_elements_are_of_standard_kinds(pdf: pikepdf.Pdf) -> None:
    """ISO 32000-1 14.8.4, as far as these documents need it."""
    kinds = {str(element.S) for element, _ in elements(pdf.Root.StructTreeRoot)}
    mapped = pdf.Root.StructTreeRoot.get("/RoleMap", {})
    assert {str(mapped.get(kind, kind)) for kind in kinds} <= {
        "/Document", "/H1", "/H2", "/P", "/Table", "/THead", "/TBody", "/TR", "/TH", "/TD", "/Span", "/Div", "/Sect",
        "/NonStruct", "/Strong", "/Em"}


def test_headings_begin_with_the_first_and_leave_none_out(pdf: pikepdf.Pdf) -> None:
    """ISO 14289-1 7.4.2."""
    levels = [int(str(element.S)[2:]) for element, _ in elements(pdf.Root.StructTreeRoot)
              if str(element.S)[1:2] == "H" and str(element.S)[2:].isdigit()]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels))


def test_tables_have_rows_of_the_same_width_and_heads_for_columns(pdf: pikepdf.Pdf) -> None:
    """ISO 14289-1 7.5."""
    tables = [element for element, _ in elements(pdf.Root.StructTreeRoot) if element.S == "/Table"]
    assert len(tables) == 1
    rows = [element for element, _ in elements(tables[0]) if element.S == "/TR"]
    widths = {sum(1 for cell, parent in elements(row) if cell.S in {"/TH", "/TD"}) for row in rows}
    assert len(widths) == 1
    heads = [element for element, _ in elements(tables[0]) if element.S == "/TH"]
    assert len(heads) == widths.pop()
    for head in heads:
        attributes = head.A if isinstance(head.A, pikepdf.Array) else [head.A]
        assert "/Column" in [str(one.get("/Scope")) for one in attributes]


def test_bookmarks_lead_to_the_headings(pdf: pikepdf.Pdf) -> None:
    """WCAG 2.4.5: more than one way to a place of a long document. As many as there are headings, in their order."""
    headings = [str(element.S) for element, _ in elements(pdf.Root.StructTreeRoot) if element.S in {"/H1", "/H2"}]
    with pdf.open_outline() as outline:
        found = [one for root in outline.root for one in (root, *root.children)]
    assert len(found) == len(headings)
    assert found[0].title.startswith(("Kontoauszug", "Rechnung"))


def test_tabs_go_by_structure_and_nothing_moves_or_runs(pdf: pikepdf.Pdf) -> None:
    """ISO 14289-1 7.18.3 for pages with annotations, of which there are none; ISO 19005-2 6.5, 6.6."""
    for page in pdf.pages:
        assert "/Annots" not in page
        assert "/AA" not in page
    assert not {"/AA", "/OpenAction", "/AcroForm", "/Perms"} & set(pdf.Root.keys())


def test_every_letter_can_be_copied(pdf: pikepdf.Pdf) -> None:
    """ISO 14289-1 7.21.7: each font says which letters its glyphs are; 7.21.4: and is embedded."""
    for page in pdf.pages:
        for font in page.Resources.Font.values():
            assert b"beginbf" in font.ToUnicode.read_bytes()
            inner = font.DescendantFonts[0] if "/DescendantFonts" in font else font
            assert {"/FontFile2", "/FontFile3"} & set(inner.FontDescriptor.keys())


def test_the_file_has_a_name_of_its_own(pdf: pikepdf.Pdf) -> None:
    """ISO 19005-2 6.1.3 wants an ID, ISO 32000-1 14.4 says what it is."""
    assert [len(bytes(half)) >= 16 for half in pdf.trailer.ID] == [True, True]
