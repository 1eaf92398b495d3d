"""Charts as inline SVG: no script, nothing remote, and no text inside that would shrink with the chart.

Words and numbers stand beside the drawings in HTML, so that they stay as large as all others on a small screen. Each
drawing says in words what it shows (`aria-label`); the numbers stand in a table of the same page. Colours are classes
of the page's style sheet (`page.STYLE`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import pi
from typing import Final

WIDTH: Final = 1000  # of drawings that are stretched to whatever room there is
COLUMNS_MAX: Final = 60


@dataclass(frozen=True, slots=True)
class Part:
    """One colour of a chart. `kind`: a class of the style sheet, such as `sealed`."""

    label: str
    value: int
    kind: str


def escaped(text: str) -> str:
    """For HTML; characters that are seen as nothing, or turn what follows round, are shown as what they are."""
    return escape(text if text.isprintable() else "".join(
        char if char.isprintable() else f"\\u{ord(char):04x}" for char in text))


def number(value: float) -> str:
    """12345 as `12,345`."""
    return f"{value:,.0f}"


def percent(part: float, whole: float) -> str:
    """Never `100 %` or `0 %` of what is nearly so: a single mail of a million is still one."""
    if not whole:
        return "0 %"
    share = 100 * part / whole
    if 0 < share < 0.1:
        return "under 0.1 %"
    if 99.9 < share < 100:
        return "over 99.9 %"
    return f"{share:.1f} %" if 0 < share < 100 else f"{share:.0f} %"


def stacked(parts: Sequence[Part], what: str, *, of: int | None = None, small: bool = False) -> str:
    """A bar in parts. `of`: what its full length stands for, where that is more than the parts together."""
    whole = max(of or 0, sum(part.value for part in parts), 1)
    said = ", ".join(f"{part.label} {number(part.value)}" for part in parts if part.value)
    drawn, left = [], 0.0
    for part in parts:
        if part.value:
            # What is there is seen, however little it is of a million; beside other bars lengths are compared.
            width = max(WIDTH * part.value / whole, 3.0 if of is None else 0.0)
            drawn.append(f'<rect class="{part.kind}" x="{left:.1f}" y="0" width="{width:.1f}" height="10"/>')
            left += width
    size, wide = "bar small" if small else "bar", max(left, WIDTH if of else left, 1)
    return (f'<svg class="{size}" viewBox="0 0 {wide:.1f} 10" preserveAspectRatio="none" {_image(what, said)}>'
            + "".join(drawn) + "</svg>")


def ring(parts: Sequence[Part], what: str) -> str:
    """Shares of a whole as a ring."""
    whole = sum(part.value for part in parts)
    said = ", ".join(f"{part.label} {number(part.value)}" for part in parts if part.value)
    radius = 42.0
    around, begin, drawn = 2 * pi * radius, 0.0, []
    for part in parts:
        if part.value:
            length = max(around * part.value / whole, 1.5)
            drawn.append(f'<circle class="{part.kind}" cx="50" cy="50" r="{radius}" '
                         f'stroke-dasharray="{length:.2f} {around - length:.2f}" stroke-dashoffset="{-begin:.2f}"/>')
            begin += length
    if not drawn:
        drawn.append(f'<circle class="none" cx="50" cy="50" r="{radius}"/>')
    return (f'<svg class="ring" viewBox="0 0 100 100" {_image(what, said)}><g transform="rotate(-90 50 50)">'
            + "".join(drawn) + "</g></svg>")


def columns(values: Sequence[tuple[str, int]], what: str, kind: str, marked: frozenset[str] = frozenset()) -> str:
    """A column for each value, with the first, the middle and the last label below. `marked`: in another colour."""
    values = values[:COLUMNS_MAX]
    most = max((value for _, value in values), default=0)
    step = WIDTH / max(len(values), 1)
    drawn = []
    for place, (label, value) in enumerate(values):
        height = max(100 * value / most, 1.5) if value else 0.0
        colour = "refused" if label in marked else kind
        drawn.append(f'<rect class="{colour}" x="{place * step + step * 0.1:.1f}" y="{100 - height:.2f}" '
                     f'width="{step * 0.8:.1f}" height="{height:.2f}">'
                     f"<title>{escaped(label)}: {number(value)}</title></rect>")
    said = f"at most {number(most)}" if values else ""
    places = dict.fromkeys((0, (len(values) - 1) // 2, len(values) - 1)) if values else ()
    shown = [values[place][0] for place in places]
    axis = "".join(f"<span>{escaped(label)}</span>" for label in shown)
    return (f'<div class="columns"><span class="most" aria-hidden="true">{number(most)}</span>'
            f'<svg viewBox="0 0 {WIDTH} 100" preserveAspectRatio="none" {_image(what, said)}>'
            f'<line x1="0" y1="0.5" x2="{WIDTH}" y2="0.5"/><line x1="0" y1="50" x2="{WIDTH}" y2="50"/>'
            f'<line class="ground" x1="0" y1="99.5" x2="{WIDTH}" y2="99.5"/>' + "".join(drawn) + "</svg>"
            f'<div class="axis" aria-hidden="true">{axis}</div></div>')


def _image(what: str, said: str) -> str:
    """For those who have it read to them."""
    label = escaped(f"{what}: {said or 'nothing'}")
    return f'role="img" aria-label="{label}"'


def legend(parts: Sequence[Part]) -> str:
    """What the colours mean, with the numbers. Parts that are nothing are left out."""
    whole = sum(part.value for part in parts)
    items = "".join(f'<li><span class="dot {part.kind}" aria-hidden="true"></span><span>{escaped(part.label)}</span> '
                    f'<b>{number(part.value)}</b> <i>{percent(part.value, whole)}</i></li>'
                    for part in parts if part.value)
    return f'<ul class="legend">{items}</ul>'
