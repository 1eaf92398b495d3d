"""Pages with tags, drawn directly: the fast way to PDF/UA-1 (ISO 14289-1) and PDF/A-2b (ISO 19005-2).

reportlab reads the fonts, cuts them to the letters in use and names those letters for who copies text; its own canvas
writes no tags and takes longer for the rest than for the fonts. What is drawn belongs to a Tag or, like rules and page
numbers, is an artifact (ISO 32000-1 14.8.2.2). Colours are those of sRGB-v4.icc (Compact ICC Profiles by Clinton
Ingram, CC0). Nothing here is transparent, compressed by LZW, encrypted, a script or a link.
"""

import hashlib
import threading
import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import escape

from gateway.errors import GatewayError, Reason
from gateway.pdf.renderer import FONTS

TEXT_CHARACTERS_MAX: Final = 10_000  # of one cell or paragraph: some pages
WIDTH, HEIGHT = 595.276, 841.89  # A4, in points
Colour = tuple[float, float, float]
_PRODUCER: Final = "Sealgate"
_COLOURS: Final = Path(__file__).with_name("sRGB-v4.icc")
# ISO 19005-2 6.6.2.3.3: metadata that are none of XMP's own describe themselves. PDF/UA's are none.
_EXTENSION: Final = (
    '<pdfaExtension:schemas><rdf:Bag><rdf:li rdf:parseType="Resource"><pdfaSchema:schema>PDF/UA identification'
    "</pdfaSchema:schema><pdfaSchema:namespaceURI>http://www.aiim.org/pdfua/ns/id/</pdfaSchema:namespaceURI>"
    '<pdfaSchema:prefix>pdfuaid</pdfaSchema:prefix><pdfaSchema:property><rdf:Seq><rdf:li rdf:parseType="Resource">'
    "<pdfaProperty:name>part</pdfaProperty:name><pdfaProperty:valueType>Integer</pdfaProperty:valueType>"
    "<pdfaProperty:category>internal</pdfaProperty:category><pdfaProperty:description>part of ISO 14289"
    "</pdfaProperty:description></rdf:li></rdf:Seq></pdfaSchema:property></rdf:li></rdf:Bag></pdfaExtension:schemas>")
_SPACES: Final = " ".join(f'xmlns:{name}="{uri}"' for name, uri in (
    ("dc", "http://purl.org/dc/elements/1.1/"), ("xmp", "http://ns.adobe.com/xap/1.0/"),
    ("pdf", "http://ns.adobe.com/pdf/1.3/"), ("pdfaid", "http://www.aiim.org/pdfa/ns/id/"),
    ("pdfuaid", "http://www.aiim.org/pdfua/ns/id/"), ("pdfaExtension", "http://www.aiim.org/pdfa/ns/extension/"),
    ("pdfaSchema", "http://www.aiim.org/pdfa/ns/schema#"), ("pdfaProperty", "http://www.aiim.org/pdfa/ns/property#")))

# Reading a face seeks in it, so only one thread at a time may cut letters out of it.
drawing = threading.Lock()


@cache
def _font(name: str) -> Any:
    from reportlab.pdfbase.ttfonts import TTFont

    return TTFont(name, str(FONTS / f"{name}.ttf"), asciiReadable=0)


@dataclass(eq=False, slots=True)
class Tag:
    """A structure element. `kids`: other tags, and numbers of marked content on `page`."""

    kind: str
    parent: "Tag | None"
    number: int
    attributes: str = ""
    page: int = -1
    kids: "list[Tag | int]" = field(default_factory=list)


class _Page:
    """Operators and, by number of marked content, whose it is."""

    def __init__(self) -> None:
        self.operators: list[str] = []
        self.owners: list[Tag] = []


class Sheet:
    """A document under construction; y counts from the top. Hold `drawing` from its making to `finish`."""

    def __init__(self, title: str, author: str, language: str, at: datetime) -> None:
        """`at`: aware."""
        self._title, self._author, self._language, self._at = title, author, language, at.astimezone(UTC)
        self._objects: list[bytes] = [b"", b"", b"", b""]  # catalogue, pages, tree, metadata: as numbered below
        self._tags: list[Tag] = []
        self._fonts = {False: _font("NotoSans-Regular"), True: _font("NotoSans-Bold")}
        self._used: dict[tuple[bool, int], str] = {}
        self._bookmarks: list[tuple[str, int, float]] = []
        self.pages: list[_Page] = []
        self.body = self.tag("Document", None)

    def tag(self, kind: str, parent: Tag | None, attributes: str = "") -> Tag:
        """A new element at the end of its parent."""
        made = Tag(kind, parent, self._reserve(), attributes)
        if parent is not None:
            parent.kids.append(made)
        self._tags.append(made)
        return made

    def page(self) -> None:
        """Begins one."""
        self.pages.append(_Page())

    def width(self, words: str, size: float, *, bold: bool = False) -> float:
        """In points."""
        face = self._fonts[bold].face
        widths, default = face.charWidths, face.defaultWidth
        return float(sum(widths.get(code, default) for code in map(ord, words))) * size / 1000

    def wrapped(self, words: str, room: float, size: float, *, bold: bool = False) -> list[str]:
        """Lines that fit; a word that does not is cut. GatewayError(PDF_NOT_MADE) beyond TEXT_CHARACTERS_MAX."""
        if len(words) > TEXT_CHARACTERS_MAX:
            raise GatewayError(Reason.PDF_NOT_MADE, f"a text of {len(words)} characters, "
                               f"the limit is {TEXT_CHARACTERS_MAX}")
        lines: list[str] = []
        for paragraph in words.split("\n"):
            line = ""
            for word in paragraph.split(" "):
                longer = f"{line} {word}" if line else word
                if self.width(longer, size, bold=bold) <= room:
                    line = longer
                    continue
                if line:
                    lines.append(line)
                line = word
                while self.width(line, size, bold=bold) > room and len(line) > 1:
                    fits = max(1, self._fitting(line, room, size, bold=bold))
                    lines.append(line[:fits])
                    line = line[fits:]
            lines.append(line)
        return lines

    def text(self, tag: Tag | None, x: float, y: float, words: str, size: float = 10, *, bold: bool = False,
             colour: Colour = (0, 0, 0), right: bool = False, page: int = -1) -> None:
        """One line; `right`: x is where it ends. GatewayError(PDF_NOT_MADE) for a letter that the font has not."""
        font, sheet = self._fonts[bold], self.pages[page]
        if not font.face.charToGlyph.keys() >= set(map(ord, words)):
            raise GatewayError(Reason.PDF_NOT_MADE, "a letter that no font has")
        left = x - self.width(words, size, bold=bold) if right else x
        shown = []
        for subset, octets in font.splitString(words, self):
            name = self._used.setdefault((bold, subset), f"/{'B' if bold else 'R'}{subset}")
            shown.append(f"{name} {size:g} Tf <{octets.hex()}> Tj")
        red, green, blue = colour
        sheet.operators.append(
            f"{self._begin(tag, sheet, page)} BT {red:g} {green:g} {blue:g} rg 1 0 0 1 {left:.2f} {HEIGHT - y:.2f} Tm "
            f"{' '.join(shown)} ET EMC")

    def bookmark(self, words: str, y: float) -> None:
        """What readers jump by; `y` of the page at work."""
        self._bookmarks.append((words, len(self.pages) - 1, y))

    def rule(self, x: float, to: float, y: float, width: float, colour: Colour) -> None:
        """A horizontal line."""
        red, green, blue = colour
        self.pages[-1].operators.append(
            f"/Artifact BMC {red:g} {green:g} {blue:g} RG {width:g} w {x:.2f} {HEIGHT - y:.2f} m {to:.2f} "
            f"{HEIGHT - y:.2f} l S EMC")

    def finish(self) -> bytes:
        """The file."""
        pages = [self._reserve() for _ in self.pages]
        resources = self._stored(self._font_dictionary())
        for index, (number, page) in enumerate(zip(pages, self.pages, strict=True)):
            content = self._stream("", "\n".join(page.operators).encode("ascii"))
            self._objects[number - 1] = (
                f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 {WIDTH} {HEIGHT}]/Resources {resources} 0 R/Contents "
                f"{content} 0 R/StructParents {index}/Tabs/S>>").encode("ascii")
        for tag in self._tags:
            self._objects[tag.number - 1] = _element(tag, pages)
        outlines = self._outlines(pages)
        colours = self._stream("/N 3", _COLOURS.read_bytes())
        parents = " ".join(f"{index} [{' '.join(f'{one.number} 0 R' for one in page.owners)}]"
                           for index, page in enumerate(self.pages))
        self._objects[0] = (f"<</Type/Catalog/Pages 2 0 R/StructTreeRoot 3 0 R/Metadata 4 0 R/MarkInfo<</Marked true>>"
                            f"/Lang({self._language})/ViewerPreferences<</DisplayDocTitle true>>/OutputIntents[<</Type"
                            f"/OutputIntent/S/GTS_PDFA1/OutputConditionIdentifier(sRGB)/Info(sRGB)/DestOutputProfile "
                            f"{colours} 0 R>>]{outlines}>>").encode("ascii")
        self._objects[1] = (f"<</Type/Pages/Count {len(pages)}/Kids[{' '.join(f'{one} 0 R' for one in pages)}]>>"
                            ).encode("ascii")
        self._objects[2] = (f"<</Type/StructTreeRoot/K[{self.body.number} 0 R]/ParentTree<</Nums[{parents}]>>"
                            f"/ParentTreeNextKey {len(pages)}>>").encode("ascii")
        self._objects[3] = _stream_object("/Type/Metadata/Subtype/XML", self._metadata(), compressed=False)
        return self._file()

    def _begin(self, tag: Tag | None, sheet: _Page, page: int) -> str:
        if tag is None:
            return "/Artifact BMC"
        tag.page = page % len(self.pages)
        tag.kids.append(len(sheet.owners))
        sheet.owners.append(tag)
        return f"/{tag.kind} <</MCID {len(sheet.owners) - 1}>> BDC"

    def _fitting(self, words: str, room: float, size: float, *, bold: bool) -> int:
        """How many of its letters."""
        low, high = 0, len(words)
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.width(words[:middle], size, bold=bold) <= room else (low, middle - 1)
        return low

    def _outlines(self, pages: list[int]) -> str:
        """ISO 32000-1 12.3.3: a flat list."""
        if not self._bookmarks:
            return ""
        root = self._reserve()
        marks = [self._reserve() for _ in self._bookmarks]
        for index, (words, page, y) in enumerate(self._bookmarks):
            before = f"/Prev {marks[index - 1]} 0 R" if index else ""
            after = f"/Next {marks[index + 1]} 0 R" if index + 1 < len(marks) else ""
            title = ("\ufeff" + words).encode("utf-16-be").hex()
            self._objects[marks[index] - 1] = (
                f"<</Title<{title}>/Parent {root} 0 R{before}{after}/Dest[{pages[page]} 0 R/XYZ 0 "
                f"{HEIGHT - y + 24:.2f} 0]>>").encode("ascii")
        self._objects[root - 1] = (f"<</Type/Outlines/First {marks[0]} 0 R/Last {marks[-1]} 0 R/Count {len(marks)}>>"
                                   ).encode("ascii")
        return f"/Outlines {root} 0 R"

    def _font_dictionary(self) -> bytes:
        from reportlab.pdfbase.ttfonts import SUBSETN, makeToUnicodeCMap

        entries = []
        for (bold, subset), name in self._used.items():
            face, letters = self._fonts[bold].face, self._fonts[bold].state[self].subsets[subset]
            called = (SUBSETN(subset) + b"+" + face.name).decode("ascii")
            cut = face.makeSubset(letters)
            file = self._stream(f"/Length1 {len(cut)}", cut)
            names = self._stream("", makeToUnicodeCMap(called, letters).encode("ascii"))
            box = " ".join(f"{side:g}" for side in face.bbox)
            descriptor = self._stored(
                f"<</Type/FontDescriptor/FontName/{called}/Flags 4/FontBBox[{box}]/ItalicAngle 0/Ascent {face.ascent:g}"
                f"/Descent {face.descent:g}/CapHeight {face.capHeight:g}/StemV {face.stemV:g}/FontFile2 {file} 0 R>>"
                .encode("ascii"))
            widths = " ".join(f"{face.getCharWidth(letter):g}" for letter in letters)
            font = self._stored(
                f"<</Type/Font/Subtype/TrueType/BaseFont/{called}/FirstChar 0/LastChar {len(letters) - 1}/Widths"
                f"[{widths}]/ToUnicode {names} 0 R/FontDescriptor {descriptor} 0 R>>".encode("ascii"))
            entries.append(f"{name} {font} 0 R")
        return f"<</Font<<{' '.join(entries)}>>>>".encode("ascii")

    def _metadata(self) -> bytes:
        title, author, at = escape(self._title), escape(self._author), self._at.strftime("%Y-%m-%dT%H:%M:%SZ")
        return (
            '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
            f'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" {_SPACES}>'
            f"{_EXTENSION}<pdfaid:part>2</pdfaid:part><pdfaid:conformance>B</pdfaid:conformance>"
            "<pdfuaid:part>1</pdfuaid:part>"
            '<dc:title><rdf:Alt><rdf:li xml:lang="x-default">'
            f"{title}</rdf:li></rdf:Alt></dc:title><dc:creator><rdf:Seq><rdf:li>{author}</rdf:li></rdf:Seq></dc:creator>"
            f"<dc:language><rdf:Bag><rdf:li>{self._language}</rdf:li></rdf:Bag></dc:language><xmp:CreateDate>{at}"
            f"</xmp:CreateDate><xmp:ModifyDate>{at}</xmp:ModifyDate><pdf:Producer>{_PRODUCER}</pdf:Producer>"
            '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="r"?>').encode()

    def _reserve(self) -> int:
        self._objects.append(b"")
        return len(self._objects)

    def _stored(self, octets: bytes) -> int:
        self._objects.append(octets)
        return len(self._objects)

    def _stream(self, entries: str, octets: bytes) -> int:
        return self._stored(_stream_object(entries, octets))

    def _file(self) -> bytes:
        parts = [b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"]
        at, offsets = len(parts[0]), []
        for number, octets in enumerate(self._objects, 1):
            part = b"%d 0 obj\n%b\nendobj\n" % (number, octets)
            offsets.append(at)
            at += len(part)
            parts.append(part)
        identity = hashlib.sha256(b"".join(parts)).hexdigest()[:32]
        table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
        parts.append(b"xref\n0 %d\n0000000000 65535 f \n%b" % (len(offsets) + 1, table))
        parts.append(f"trailer\n<</Size {len(offsets) + 1}/Root 1 0 R/ID[<{identity}><{identity}>]>>\nstartxref\n{at}\n"
                     "%%EOF\n".encode("ascii"))
        return b"".join(parts)


def _element(tag: Tag, pages: list[int]) -> bytes:
    parent = 3 if tag.parent is None else tag.parent.number
    kids = " ".join(str(kid) if isinstance(kid, int) else f"{kid.number} 0 R" for kid in tag.kids)
    page = f"/Pg {pages[tag.page]} 0 R" if tag.page >= 0 else ""
    return f"<</Type/StructElem/S/{tag.kind}/P {parent} 0 R{page}{tag.attributes}/K[{kids}]>>".encode("ascii")


def _stream_object(entries: str, octets: bytes, *, compressed: bool = True) -> bytes:
    body = zlib.compress(octets, 6) if compressed else octets
    kind = "/Filter/FlateDecode" if compressed else ""
    return f"<<{entries}{kind}/Length {len(body)}>>\nstream\n".encode("ascii") + body + b"\nendstream"
