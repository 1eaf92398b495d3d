"""Charts as inline SVG: no script, nothing remote, and no text inside that would shrink with the chart.

Words and numbers are beside the drawings in HTML, so that they stay as large as all others on a small screen. Each
drawing says in words what it shows (`aria-label`); the numbers are in a table of the same page. Colours are classes
of `templates/style.css`; the SVG itself is in `templates/charts.html`, geometry is here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import pi
from typing import Final

from markupsafe import Markup

from gateway.services.statements.pages.rendering import macro
from gateway.services.statements.pages.wording import Wording

WIDTH: Final = 1000  # of drawings that are stretched to the width of the page
COLUMNS_MAX: Final = 60
_CHARTS: Final = "charts.html"


@dataclass(frozen=True, slots=True)
class Part:
    """One colour of a chart. `kind`: a class of the style sheet, such as `sealed`."""

    label: str
    value: int
    kind: str


def stacked(w: Wording, parts: Sequence[Part], what: str, *, of: int | None = None, small: bool = False) -> Markup:
    """A bar in parts. `of`: what its full length means, where that is more than the parts together."""
    whole = max(of or 0, sum(part.value for part in parts), 1)
    pieces, left = [], 0.0
    for part in parts:
        if part.value:
            # What is there is seen, however little it is of a million; beside other bars lengths are compared.
            width = max(WIDTH * part.value / whole, 3.0 if of is None else 0.0)
            pieces.append((part.kind, left, width))
            left += width
    return macro(_CHARTS, "bar", "bar small" if small else "bar", max(left, WIDTH if of else left, 1),
                 _label(w, what, _words(w, parts)), pieces)


def ring(w: Wording, parts: Sequence[Part], what: str) -> Markup:
    """Shares of a whole as a ring."""
    whole = sum(part.value for part in parts)
    radius = 42.0
    around, begin, pieces = 2 * pi * radius, 0.0, []
    for part in parts:
        if part.value:
            length = max(around * part.value / whole, 1.5)
            pieces.append((part.kind, begin, length))
            begin += length
    return macro(_CHARTS, "ring", radius, around, _label(w, what, _words(w, parts)), pieces)


def columns(w: Wording, values: Sequence[tuple[str, int]], what: str, kind: str,
            marked: frozenset[str] = frozenset()) -> Markup:
    """A column for each value, with the first, the middle and the last label below. `marked`: in another colour."""
    values = values[:COLUMNS_MAX]
    most = max((value for _, value in values), default=0)
    step = WIDTH / max(len(values), 1)
    pieces = [("refused" if label in marked else kind, place * step + step * 0.1, step * 0.8,
               max(100 * value / most, 1.5) if value else 0.0, f"{label}: {w.number(value)}")
              for place, (label, value) in enumerate(values)]
    places = dict.fromkeys((0, (len(values) - 1) // 2, len(values) - 1)) if values else ()
    label = _label(w, what, w("at most {number}", number=w.number(most)) if values else "")
    return macro(_CHARTS, "columns", WIDTH, w.number(most), label,
                 pieces, [values[place][0] for place in places])


def legend(w: Wording, parts: Sequence[Part]) -> Markup:
    """What the colours mean, with the numbers. Parts that are nothing are left out."""
    whole = sum(part.value for part in parts)
    return macro(_CHARTS, "legend", [(part.kind, part.label, w.number(part.value), w.percent(part.value, whole))
                                     for part in parts if part.value])


def _words(w: Wording, parts: Sequence[Part]) -> str:
    return ", ".join(f"{part.label} {w.number(part.value)}" for part in parts if part.value)


def _label(w: Wording, what: str, words: str) -> str:
    """For a screen reader."""
    return f"{what}: {words or w('nothing')}"
