"""HTML as plain text: what a mail says, without anything that a reader's program would fetch, run or hide.

No browser: a tokenizer (html.parser) and a table of elements. What is not shown to readers (scripts, styles, comments,
`hidden`, `display: none`) is left out; a link is followed by its address where its words are something else, so that
the reader sees where it leads. Bounded by the length of what it is given; its cost is linear.
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
_UNSEEN: Final = frozenset({"head", "script", "style", "template", "title", "iframe"})
_IN_HEAD: Final = frozenset({"base", "link", "meta", "noscript", "script", "style", "template", "title"})
# Start tags that end an open element whose end tag may be left out (HTML 13.1.2.4), but not in a list or table in it.
_ENDED_BY: Final = {
    "li": frozenset({"li"}), "dt": frozenset({"dt", "dd"}), "dd": frozenset({"dt", "dd"}),
    "td": frozenset({"td", "th", "tr", "tbody", "tfoot"}), "th": frozenset({"td", "th", "tr", "tbody", "tfoot"}),
    "tr": frozenset({"tr", "tbody", "tfoot"}), "option": frozenset({"option", "optgroup"})}
_SCOPES: Final = frozenset({"table", "ul", "ol", "dl", "select"})
_VOID: Final = frozenset({"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param",
                          "source", "wbr"})
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
        self._cell = self._has_text = False  # the next text begins a new cell; there is text in this line
        self._href: str | None = None  # of the open link
        self._link_words: list[str] = []  # its text so far, also of lines that have ended

    def text(self) -> str:
        self._end_link()
        self._end_line()
        out: list[str] = []
        for line in self._lines:
            if line or (out and out[-1]):
                out.append(line)
        return "\n".join(out).strip("\n")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._end_hidden(tag)
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
            self._cell = self._has_text
        elif tag == "img" and (alt := (given.get("alt") or "").strip()):
            self._add(f"[{_SPACES.sub(' ', alt)}]")
        elif tag == "a":
            self._end_link()  # there is no link inside a link
            self._href = (given.get("href") or "").strip()

    def handle_endtag(self, tag: str) -> None:
        if not self._places.get(tag):
            return  # closes nothing
        if self._hidden_from is None:
            if tag == "a":
                self._end_link()
            if tag in _BLOCKS:
                self._end_line(blank=tag in _PARAGRAPHS)
        self._close(self._places[tag][-1])

    def _end_hidden(self, tag: str) -> None:
        """Ends the hidden element where this start tag does, so that what follows is not hidden with it."""
        if self._hidden_from is None:
            return
        element = self._open[self._hidden_from]
        if element == "head":
            ends = tag not in _IN_HEAD and self._open[-1] == "head"
        else:
            ends = tag in _ENDED_BY.get(element, ()) and not any(
                places[-1] > self._hidden_from for scope in _SCOPES if (places := self._places.get(scope)))
        if ends:
            self._close(self._hidden_from)

    def _close(self, place: int) -> None:
        """This element and all that is open inside it."""
        while len(self._open) > place:
            self._places[self._open.pop()].pop()
        if self._hidden_from is not None and self._hidden_from >= place:
            self._hidden_from = None

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "head" and data.strip():
            self._close(len(self._open) - 1)  # text begins the body (HTML 13.2.6.4.4)
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
        self._has_text = self._has_text or bool(text.strip())
        self._line.append(text.replace(_CELL, ""))
        if self._href is not None:
            self._link_words.append(text)

    def _end_link(self) -> None:
        href, shown = self._href or "", _SPACES.sub(" ", "".join(self._link_words)).strip()
        self._href, self._link_words = None, []
        address = href.partition(":")[2] if href.lower().startswith(("mailto:", "tel:")) else href
        if href.lower().startswith(_LINKS) and shown not in {href, address} and len(href) <= 2000:
            self._line.append(f" <{href}>")

    def _end_line(self, *, blank: bool = False) -> None:
        line = "".join(self._line)
        if self._places.get("pre"):
            self._lines.append(line.replace(_CELL, "  |  ").rstrip())
        else:
            cells = [_SPACES.sub(" ", cell).strip(" ") for cell in line.split(_CELL)]
            self._lines.append("  |  ".join(cells))
        self._line, self._cell, self._has_text = [], False, False
        if blank:
            self._lines.append("")
