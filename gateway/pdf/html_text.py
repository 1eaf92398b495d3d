"""HTML as plain text: what a mail says, without anything that a reader's program would fetch, run or hide.

No browser: a tokenizer (html.parser) and a table of elements. What is not shown to readers (scripts, styles, comments,
`hidden`, `display: none`) is left out; a link is followed by its address where its words are something else, so that
nobody clicks blindly. Bounded by the length of what it is given; its cost is linear.
"""

import re
from html.parser import HTMLParser
from typing import Final

CHARACTERS_MAX: Final = 2_097_152  # of HTML; what is longer is not read
_BLOCKS: Final = frozenset({
    "address", "article", "aside", "blockquote", "center", "dd", "div", "dl", "dt", "fieldset", "figure", "footer",
    "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol", "p", "pre", "section",
    "table", "tr", "ul"})
_PARAGRAPHS: Final = frozenset({"blockquote", "h1", "h2", "h3", "h4", "h5", "h6", "ol", "p", "pre", "table", "ul"})
_UNSEEN: Final = frozenset({"head", "noscript", "object", "script", "style", "template", "title", "iframe", "svg"})
_VOID: Final = frozenset({"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"})
_SPACES: Final = re.compile(r"[ \t\r\n\f]+")
_HIDDEN: Final = re.compile(r"(?i)display\s*:\s*none|visibility\s*:\s*hidden")
_CELL: Final = "\x1f"  # between two; spaces around it do not count
_LINKS: Final = ("http://", "https://", "mailto:", "tel:")


def text_of(html: str) -> str:
    """The text, lines ended by LF, at most one empty line between two."""
    reader = _Reader()
    reader.feed(html[:CHARACTERS_MAX])
    reader.close()
    return reader.text()


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._lines: list[str] = []
        self._line: list[str] = []
        self._open: list[str] = []
        self._places: dict[str, list[int]] = {}  # of each open element in `_open`: what is closed is found at once
        self._hidden_from: int | None = None  # the outermost open element that is not shown
        self._cell = self._said = False  # the next text begins a new cell; there is text in this line
        self._links: list[tuple[str, int]] = []

    def text(self) -> str:
        self._end_line()
        out: list[str] = []
        for line in self._lines:
            if line or (out and out[-1]):
                out.append(line)
        return "\n".join(out).strip("\n")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in _BLOCKS and self._open and self._open[-1] == "p":
            self._close(len(self._open) - 1)
        hidden = tag in _UNSEEN or "hidden" in given or bool(_HIDDEN.search(given.get("style") or ""))
        if tag not in _VOID:
            if hidden and self._hidden_from is None:
                self._hidden_from = len(self._open)
            self._places.setdefault(tag, []).append(len(self._open))
            self._open.append(tag)
        if hidden or self._hidden_from is not None:
            return
        if tag in _BLOCKS or tag == "br":
            self._end_line(blank=tag in _PARAGRAPHS)
        if tag == "li":
            self._line.append("• ")
        elif tag == "hr":
            self._lines.append("---")
        elif tag in {"td", "th"}:
            self._cell = self._said
        elif tag == "img" and (alt := (given.get("alt") or "").strip()):
            self._add(f"[{_SPACES.sub(' ', alt)}]")
        elif tag == "a":
            self._links = [((given.get("href") or "").strip(), len(self._line))]  # there is no link inside a link

    def handle_endtag(self, tag: str) -> None:
        if not self._places.get(tag):
            return  # closes nothing
        if self._hidden_from is None:
            if tag == "a" and self._links:
                self._end_link(*self._links.pop())
            if tag in _BLOCKS:
                self._end_line(blank=tag in _PARAGRAPHS)
        self._close(self._places[tag][-1])

    def _close(self, place: int) -> None:
        """This element and all that is open inside it."""
        while len(self._open) > place:
            self._places[self._open.pop()].pop()
        if self._hidden_from is not None and self._hidden_from >= place:
            self._hidden_from = None

    def handle_data(self, data: str) -> None:
        if self._hidden_from is not None:
            return
        if self._places.get("pre"):
            first, *more = data.split("\n")
            self._add(first)
            for line in more:
                self._end_line()
                self._add(line)
            return
        self._add(_SPACES.sub(" ", data))

    def _add(self, text: str) -> None:
        if self._cell and text.strip():
            self._line.append(_CELL)
            self._cell = False
        self._said = self._said or bool(text.strip())
        self._line.append(text.replace(_CELL, ""))

    def _end_link(self, href: str, since: int) -> None:
        shown = "".join(self._line[since:]).strip()
        address = href.partition(":")[2] if href.lower().startswith(("mailto:", "tel:")) else href
        if href.lower().startswith(_LINKS) and shown not in {href, address} and len(href) <= 2000:
            self._line.append(f" <{href}>")

    def _end_line(self, *, blank: bool = False) -> None:
        line = "".join(self._line)
        if self._places.get("pre"):
            self._lines.append(line.rstrip())
        else:
            cells = [_SPACES.sub(" ", cell).strip(" ") for cell in line.split(_CELL)]
            self._lines.append("  |  ".join(cells))
        self._line, self._cell, self._said, self._links = [], False, False, []
        if blank:
            self._lines.append("")
