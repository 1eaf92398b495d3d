"""Documents of others: what is wrong with them is made wrong here by qpdf and pikepdf, one thing at a time."""

import os
import resource
import time
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pikepdf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.child_process import ChildProcesses
from gateway.errors import Reason
from gateway.pdf import check as module
from gateway.pdf import check_child
from gateway.pdf.check import TAIL_OCTETS, check, lacking
from gateway.pdf.documents import PdfDocuments
from gateway.ports.services.documents import Depth
from tests.support.papers import BILL, STATEMENT
from tests.support.peers import need, run

AT = datetime(2026, 11, 30, 6, tzinfo=UTC)
MAX = 1_000_000
DEPTHS: tuple[Depth, ...] = ("quick", "opened", "thorough")
GOOD = PdfDocuments().make("fast-bill", "en", BILL, AT)


@pytest.fixture(scope="module")
def typeset() -> Iterator[bytes]:
    documents = PdfDocuments()
    yield documents.make("statement", "de", STATEMENT, AT)
    documents.close()


def changed(change: Callable[[pikepdf.Pdf], None], octets: bytes = GOOD, **how: object) -> bytes:
    """The good one with one thing changed, written by pikepdf."""
    with pikepdf.open(BytesIO(octets)) as pdf:
        change(pdf)
        pdf.save(out := BytesIO(), **how)
    return out.getvalue()


def test_good_ones_of_three_makers(typeset: bytes) -> None:
    by_qpdf = changed(lambda pdf: None, object_stream_mode=pikepdf.ObjectStreamMode.generate)
    linear = changed(lambda pdf: None, linearize=True)
    for octets in (GOOD, typeset, by_qpdf, linear):
        assert check(octets, MAX) is None
        assert check(octets, MAX, depth="quick") is None


def test_something_after_the_end(tmp_path: Path) -> None:
    """Archives and mainframes pad; readers look for the end in the last 1024 octets (ISO 32000-1 H.3 note 18)."""
    assert check(GOOD + b"\r\n\x00\x00" + b" " * 400, MAX) is None


@pytest.mark.parametrize("mode", [pikepdf.ObjectStreamMode.disable, pikepdf.ObjectStreamMode.generate])
@pytest.mark.parametrize("password", ["secret", ""])
@pytest.mark.parametrize("linearize", [False, True])
def test_locked(mode: pikepdf.ObjectStreamMode, password: str, linearize: bool) -> None:
    """An empty user password opens for everybody and still forbids: aids that read aloud may be kept out."""
    octets = changed(lambda pdf: None, encryption=pikepdf.Encryption(owner="owner", user=password, R=6),
                     object_stream_mode=mode, linearize=linearize)
    assert check(octets, MAX) is Reason.PDF_LOCKED
    assert check(octets, MAX, depth="quick") is Reason.PDF_LOCKED


@pytest.mark.parametrize("name", ["/StructTreeRoot", "/Lang", "/MarkInfo", "/Metadata", "/ViewerPreferences"])
def test_what_cannot_be_read_aloud(name: str) -> None:
    def without(pdf: pikepdf.Pdf) -> None:
        del pdf.Root[name]

    octets = changed(without)
    assert check(octets, MAX) is Reason.PDF_INACCESSIBLE
    assert check(octets, MAX, depth="opened") is Reason.PDF_INACCESSIBLE
    assert check(octets, MAX, accessible=False) is None
    assert check(octets, MAX, depth="quick") is None
    [missing] = lacking(octets)  # the one property that was taken out, by the name of ISO 32000
    assert (name[1:] in missing) or (name, missing) == ("/Metadata", "a title in the metadata (dc:title)")


def test_what_a_whole_document_lacks_is_nothing() -> None:
    assert lacking(changed(lambda pdf: None)) == ()
    assert lacking(b"no PDF") == ()


@pytest.mark.parametrize("written, found", [
    ('<dc:title xmlns:dc="http://purl.org/dc/elements/1.1/"><rdf:Alt><rdf:li xml:lang="x-default">T</rdf:li>', None),
    ("<dc:title>\n  <rdf:Alt>\n    <rdf:li xml:lang='x-default'>\n T</rdf:li>\n  </rdf:Alt>\n</dc:title>", None),
    ('<rdf:Description dc:title="T"/>', None),
    ('<dc:title><rdf:Alt><rdf:li xml:lang="x-default"/></rdf:Alt></dc:title>', Reason.PDF_INACCESSIBLE),
    ('<dc:title><rdf:Alt><rdf:li xml:lang="x-default"></rdf:li></rdf:Alt></dc:title>', Reason.PDF_INACCESSIBLE),
    ('<rdf:Description dc:title=" "/>', Reason.PDF_INACCESSIBLE),
])
def test_titles_as_several_programs_write_them(written: str, found: Reason | None) -> None:
    """XMP (ISO 16684-1 7.9, 8) leaves white space, quotes, and where name spaces stand."""
    def titled(pdf: pikepdf.Pdf) -> None:
        pdf.Root.Metadata = pikepdf.Stream(pdf, f"<x:xmpmeta><rdf:RDF>{written}</rdf:RDF></x:xmpmeta>".encode(),
                                           Type=pikepdf.Name.Metadata, Subtype=pikepdf.Name.XML)

    assert check(changed(titled), MAX) is found


def test_a_title_that_is_empty_or_not_shown() -> None:
    def untitled(pdf: pikepdf.Pdf) -> None:
        with pdf.open_metadata() as metadata:
            metadata["dc:title"] = " "

    def hidden(pdf: pikepdf.Pdf) -> None:
        pdf.Root.ViewerPreferences.DisplayDocTitle = False

    def unmarked(pdf: pikepdf.Pdf) -> None:
        pdf.Root.MarkInfo.Marked = False

    for change in (untitled, hidden, unmarked):
        assert check(changed(change), MAX) is Reason.PDF_INACCESSIBLE


def with_metadata(stream: bytes, *filters: bytes, pages: int = 1) -> bytes:
    """By hand, for qpdf unpacks metadata when it writes them. `pages`: how often the one page is named."""
    pieces = (
        (b"<</Type/Catalog/Pages 2 0 R/MarkInfo<</Marked true>>/Lang(en)/StructTreeRoot<</Type/StructTreeRoot/K 0>>"
         b"/ViewerPreferences<</DisplayDocTitle true>>/Metadata 4 0 R>>"),
        b"<</Type/Pages/Kids[%b]/Count 1>>" % (b"3 0 R " * pages), b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 10 10]>>",
        b"<</Type/Metadata/Subtype/XML/Filter[%b]/Length %d>>stream\n%b\nendstream" % (
            b"".join(filters), len(stream), stream))
    out, places = b"%PDF-1.7\n", []
    for number, piece in enumerate(pieces, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, piece)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    return out + b"xref\n0 5\n0000000000 65535 f \n%btrailer<</Size 5/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (
        table, len(out))


@pytest.mark.parametrize("times", [1, 2])
def test_metadata_that_unpack_a_thousandfold_are_not_unpacked(times: int) -> None:
    """Deflate shrinks the same letter a thousandfold, and each further filter does so again (ISO 32000-1 7.4.1)."""
    packed = zlib.compressobj(9)
    octets = b"".join(packed.compress(b" " * (1 << 20)) for _ in range(192)) + packed.flush()
    for _ in range(times - 1):
        octets = zlib.compress(octets, 9)
    octets = with_metadata(octets, *[b"/FlateDecode"] * times)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert check(octets, 10 * MAX, depth="opened") is Reason.PDF_INACCESSIBLE
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000  # KiB


def test_a_page_that_is_named_very_often_is_not_copied() -> None:
    """qpdf makes a page of 2 KB of each name of 6 octets: 12 MB took 4.5 GB."""
    octets = with_metadata(b"<x/>", pages=160_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert check(octets, 10 * MAX) is Reason.PDF_UNREADABLE
    assert lacking(octets)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000  # KiB


def test_metadata_that_are_packed_are_read() -> None:
    title = b"<dc:title><rdf:Alt><rdf:li>Statement</rdf:li></rdf:Alt></dc:title>"
    assert check(with_metadata(title), MAX) is None
    assert check(with_metadata(zlib.compress(title), b"/FlateDecode"), MAX) is None


@pytest.mark.parametrize("octets", [
    b"", b"%PDF-1.7", b"<html>no</html>", GOOD[:-40], GOOD[:len(GOOD) // 2], GOOD[100:], b"\0" * len(GOOD),
    GOOD.replace(b"startxref\n", b"startxref\n9"),
])
def test_what_is_no_whole_document(octets: bytes, tmp_path: Path) -> None:
    path = tmp_path / "one.pdf"
    path.write_bytes(octets)
    for depth in DEPTHS:
        assert check(octets, MAX, depth=depth) is Reason.PDF_UNREADABLE
        assert check(path, MAX, depth=depth) is Reason.PDF_UNREADABLE


def test_a_page_that_cannot_be_decompressed_is_seen_when_looked_at_thoroughly() -> None:
    at = GOOD.index(b"stream\n", GOOD.index(b"/FlateDecode")) + 40
    octets = GOOD[:at] + b"\0" * 20 + GOOD[at + 20:]
    assert check(octets, MAX, depth="opened") is None
    assert check(octets, MAX) is Reason.PDF_UNREADABLE


@pytest.mark.parametrize(("limit", "value"), [("THOROUGH_OCTETS_MAX", 100_000_000), ("THOROUGH_S", 0.05)])
def test_a_document_that_unpacks_to_more_than_the_limit(monkeypatch: pytest.MonkeyPatch, limit: str, value: float,
                                                        ) -> None:
    """A page of 192 MiB, packed twice: a few hundred octets."""
    monkeypatch.setattr(module, limit, value)
    monkeypatch.setattr(module, "_children", children := ChildProcesses(1))
    blanks, packer = bytes(1 << 20), zlib.compressobj(1)
    once = b"".join(packer.compress(blanks) for _ in range(192)) + packer.flush()

    def bomb(pdf: pikepdf.Pdf) -> None:
        filters = pikepdf.Array([pikepdf.Name.FlateDecode, pikepdf.Name.FlateDecode])
        pdf.pages[0].Contents = pdf.make_stream(zlib.compress(once, 9))
        pdf.pages[0].Contents.stream_dict["/Filter"] = filters

    octets = changed(bomb, compress_streams=False, stream_decode_level=pikepdf.StreamDecodeLevel.none)
    assert len(octets) < 2 * len(GOOD)
    began = time.monotonic()
    assert check(octets, MAX, depth="opened") is None
    assert check(octets, MAX) is Reason.PDF_UNREADABLE
    assert time.monotonic() - began < 10
    monkeypatch.setattr(module, limit, 60 if value < 1 else value)
    assert check(GOOD, MAX) is None, "the next one is not affected"
    children.close()


def test_a_document_that_ends_the_process_that_opens_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a crash within qpdf does. The caller's own process never opens it."""
    program = tmp_path / "child.py"
    program.write_text(Path(check_child.__file__).read_text().replace(
        "import pikepdf\n\n    channel", "import pikepdf\n    pikepdf.open = lambda *_, **__: os.kill(os.getpid(), 9)\n"
        "    channel").replace("import json\n", "import json\nimport os\n"))
    monkeypatch.setattr(module, "_PROGRAM", program)
    monkeypatch.setattr(module, "_children", ChildProcesses(1))
    monkeypatch.setattr(module, "_open", pytest.fail)
    assert check(GOOD, MAX) is Reason.PDF_UNREADABLE


def test_no_pages() -> None:
    def empty(pdf: pikepdf.Pdf) -> None:
        del pdf.pages[:]

    assert check(changed(empty), MAX) is Reason.PDF_UNREADABLE


def test_files_that_are_none(tmp_path: Path) -> None:
    assert check(tmp_path / "nothing.pdf", MAX) is Reason.PDF_MISSING
    (tmp_path / "file").write_bytes(b"x")
    assert check(tmp_path / "file" / "below.pdf", MAX) is Reason.PDF_MISSING
    assert check(tmp_path, MAX) is Reason.PDF_UNREADABLE
    os.mkfifo(tmp_path / "pipe.pdf")
    assert check(tmp_path / "pipe.pdf", MAX) is Reason.PDF_UNREADABLE


@pytest.mark.parametrize("limit, found", [(len(GOOD), None), (len(GOOD) - 1, Reason.PDF_TOO_LARGE)])
def test_the_limit(limit: int, found: Reason | None, tmp_path: Path) -> None:
    (tmp_path / "one.pdf").write_bytes(GOOD)
    for depth in DEPTHS:
        assert check(GOOD, limit, depth=depth) is found
        assert check(tmp_path / "one.pdf", limit, depth=depth) is found


def test_a_quick_look_reads_little_of_a_large_file(tmp_path: Path) -> None:
    """A sparse file of 1 GiB whose two ends are a document's: quick finds its table gone, and reads 4 KiB."""
    path = tmp_path / "large.pdf"
    with path.open("wb") as file:
        file.write(GOOD[:1024])
        file.truncate(1 << 30)
        file.seek(0, os.SEEK_END)
        file.write(GOOD[-TAIL_OCTETS:])
    assert check(path, 1 << 31, depth="quick") is Reason.PDF_UNREADABLE


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damage_ends_in_a_reason_and_never_in_an_exception(data: st.DataObject) -> None:
    octets = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(octets) - 1))
        piece = data.draw(st.binary(max_size=12))
        octets[at:at + data.draw(st.integers(0, 12))] = piece
    for depth in DEPTHS:
        assert check(bytes(octets), MAX, depth=depth) in {
            None, Reason.PDF_UNREADABLE, Reason.PDF_LOCKED, Reason.PDF_INACCESSIBLE}


def test_what_is_found_good_qpdf_finds_good(tmp_path: Path, typeset: bytes) -> None:
    (tmp_path / "one.pdf").write_bytes(typeset)
    run(need("qpdf", "qpdf"), "--check", tmp_path / "one.pdf")
