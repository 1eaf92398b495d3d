"""A report as one HTML file: it loads nothing, runs nothing, and is read on a phone, on paper, and aloud.

The HTML is in `templates/`: `page.html` around, `parts.html` within, colours in `style.css`. Light and dark follow the
reader's system.
"""

from collections.abc import Iterable, Sequence

from markupsafe import Markup

from gateway.letters.letterhead import NEUTRAL
from gateway.services.statements.pages.rendering import macro, render
from gateway.services.statements.pages.wording import Wording

_PARTS = "parts.html"


def page(w: Wording, title: str, about: str, body: Iterable[Markup], foot: Iterable[str] = ()) -> str:
    """The whole file. `title`, `about` and `foot` are texts in the language, `body` is HTML of the functions below."""
    head = w.head
    return render("page.html", language=w.tag, bank="" if head is NEUTRAL else head.bank, colour=head.colour,
                  colour_dark=head.colour_dark, title=title, about=about, body=body, foot=foot)


def banner(head: str, text: str, *, good: bool, fair: bool = False) -> Markup:
    """The result in one sentence. `fair`: good, and something needs attention all the same."""
    return macro(_PARTS, "banner", "bad" if not good else "fair" if fair else "", head, text)


def tiles(values: Sequence[tuple[str, str, str]]) -> Markup:
    """The few figures that every reader looks for: name, figure, what it is of."""
    return macro(_PARTS, "tiles", values)


def section(head: str, note: str, *parts: Markup) -> Markup:
    """A card."""
    return macro(_PARTS, "section", head, note, parts)


def side_by_side(*sections: Markup) -> Markup:
    """Cards beside each other where there is room."""
    return macro(_PARTS, "group", "two", sections)


def beside(*parts: Markup) -> Markup:
    """A drawing and its legend."""
    return macro(_PARTS, "group", "beside", parts)


def table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *,
          drawings: frozenset[int] = frozenset(), numbers: frozenset[int] = frozenset(),
          optional: frozenset[int] = frozenset()) -> Markup:
    """The first cell of each row names it. `drawings`: columns that hold Markup of `charts`; `numbers`: aligned right;

    `optional`: left out on small screens.
    """
    return macro(_PARTS, "table", caption, columns, rows, drawings, numbers, optional)


def folded(head: str, count: str, text: str, *parts: Markup) -> Markup:
    """Details that a reader may open."""
    return macro(_PARTS, "folded", head, count, text, parts)
