"""A report as one HTML file: it loads nothing, runs nothing, and is read on a phone, on paper, and aloud.

Everything that comes from outside is escaped here. Light and dark follow the reader's system.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from gateway.services.statements.charts import escaped

STYLE: Final = """
:root{color-scheme:light dark;--paper:#f5f6f8;--card:#fff;--ink:#16202c;--soft:#55636f;--line:#dde2e8;
--sealed:#17705c;--pdf:#3b62b8;--invited:#7a52b3;--held:#a8701a;--plain:#b0562a;--directory:#5b7f95;--later:#8a8f2a;
--refused:#b3263a;--none:#c6ccd3;--good:#e3f3ec;--good-ink:#0d5040;--bad:#fbe6e8;--bad-ink:#8a1526;
--fair:#fcf1dc;--fair-ink:#6b4206}
@media(prefers-color-scheme:dark){:root{--paper:#10151b;--card:#19212a;--ink:#e7ecf1;--soft:#a3b0bc;--line:#2c3742;
--sealed:#3fbf9c;--pdf:#7da2f0;--invited:#b593ea;--held:#e0a94c;--plain:#ea9466;--directory:#8fb7cf;--later:#c9ce5c;
--refused:#f27d8c;--none:#46525e;--good:#143329;--good-ink:#8fe3c8;--bad:#3d1a20;--bad-ink:#ffb3bd;
--fair:#3a2c12;--fair-ink:#f3cf92}}
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","DejaVu Sans",sans-serif}
main{max-width:70rem;margin:0 auto;padding:1.5rem 1rem 4rem}
header{margin:0 0 1.25rem}h1{font-size:1.75rem;line-height:1.2;margin:0 0 .25rem;letter-spacing:-.01em}
h2{font-size:1.15rem;margin:0 0 .25rem}header p,.note{color:var(--soft);margin:0}.note{margin:0 0 1rem;font-size:.95rem}
.banner{border-radius:.75rem;padding:.9rem 1.1rem;margin:0 0 1.25rem;background:var(--good);color:var(--good-ink);
border-left:.35rem solid currentColor}.banner.bad{background:var(--bad);color:var(--bad-ink)}
.banner.fair{background:var(--fair);color:var(--fair-ink)}
.banner b{display:block;font-size:1.1rem}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.75rem;margin:0 0 1.25rem;padding:0}
.tiles div{background:var(--card);border:1px solid var(--line);border-radius:.75rem;padding:.8rem 1rem}
.tiles dt{color:var(--soft);font-size:.85rem}.tiles dd{margin:0;font-size:1.65rem;font-weight:650;line-height:1.25;
font-variant-numeric:tabular-nums}.tiles small{display:block;font-size:.85rem;font-weight:400;color:var(--soft)}
section{background:var(--card);border:1px solid var(--line);border-radius:.75rem;padding:1.1rem 1.2rem 1.2rem;
margin:0 0 1.25rem}.two{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(26rem,100%),1fr));gap:0 1.25rem}
.bar{display:block;width:100%;height:1.9rem;border-radius:.4rem;background:var(--line)}
.bar.small{height:.8rem;border-radius:.25rem;background:transparent}
svg .sealed,.dot.sealed{fill:var(--sealed);background:var(--sealed)}
svg .pdf,.dot.pdf{fill:var(--pdf);background:var(--pdf)}
svg .invited,.dot.invited{fill:var(--invited);background:var(--invited)}
svg .held,.dot.held{fill:var(--held);background:var(--held)}
svg .plain,.dot.plain{fill:var(--plain);background:var(--plain)}
svg .directory,.dot.directory{fill:var(--directory);background:var(--directory)}
svg .later,.dot.later{fill:var(--later);background:var(--later)}
svg .refused,.dot.refused{fill:var(--refused);background:var(--refused)}
svg .none,.dot.none{fill:var(--none);background:var(--none)}
.ring{width:9rem;height:9rem;flex:none}.ring circle{fill:none;stroke-width:15}
.ring .sealed{stroke:var(--sealed)}.ring .pdf{stroke:var(--pdf)}.ring .invited{stroke:var(--invited)}
.ring .held{stroke:var(--held)}.ring .plain{stroke:var(--plain)}.ring .directory{stroke:var(--directory)}
.ring .later{stroke:var(--later)}.ring .refused{stroke:var(--refused)}.ring .none{stroke:var(--none)}
.beside{display:flex;flex-wrap:wrap;gap:1rem 1.5rem;align-items:center}.beside .legend{flex:1 1 14rem;margin:0}
.legend{list-style:none;margin:.9rem 0 0;padding:0;display:grid;
grid-template-columns:repeat(auto-fill,minmax(min(18rem,100%),1fr));gap:.3rem 2rem}
.legend li{display:flex;gap:.5rem;align-items:baseline}.legend b{margin-left:auto;font-variant-numeric:tabular-nums}
.legend i{font-style:normal;color:var(--soft);min-width:4.2rem;text-align:right;font-variant-numeric:tabular-nums}
.beside .legend{grid-template-columns:1fr}
.dot{display:inline-block;width:.75rem;height:.75rem;border-radius:.2rem;flex:none;
align-self:flex-start;margin-top:.4rem}
.columns{position:relative;padding-top:1.4rem}.columns svg{display:block;width:100%;height:9rem}
.columns line{stroke:var(--line);stroke-width:1;vector-effect:non-scaling-stroke}.columns .ground{stroke:var(--soft)}
.columns .most{position:absolute;top:0;right:0;font-size:.85rem;color:var(--soft)}
.axis{display:flex;justify-content:space-between;font-size:.85rem;color:var(--soft);margin-top:.25rem}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.95rem}
caption{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
th,td{text-align:left;padding:.45rem .6rem;border-bottom:1px solid var(--line);vertical-align:top}
th{color:var(--soft);font-weight:600;font-size:.85rem}tbody th{color:var(--ink);font-weight:500;font-size:.95rem;
min-width:8rem}.two .w{min-width:4rem;width:22%}
tr:last-child>*{border-bottom:0}.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.w{min-width:7rem;width:35%;vertical-align:middle}td,tbody th{overflow-wrap:anywhere}
.word{display:inline-block;border-radius:1rem;padding:.05rem .6rem;font-size:.85rem;border:1px solid currentColor}
details{border-top:1px solid var(--line);padding:.55rem 0}details:first-of-type{border-top:0}
summary{cursor:pointer;font-weight:550}summary .count{color:var(--soft);font-weight:400}
details p{margin:.4rem 0 .6rem;color:var(--soft)}summary:focus-visible{outline:2px solid var(--pdf);outline-offset:2px}
footer{color:var(--soft);font-size:.9rem}footer p{margin:0 0 .35rem;overflow-wrap:anywhere}
@media(max-width:34rem){.opt{display:none}section{padding:1rem .9rem}th,td{padding:.4rem .4rem}h1{font-size:1.45rem}
.tiles{grid-template-columns:repeat(2,1fr)}.tiles dd{font-size:1.35rem}.w{min-width:2.5rem;width:16%}
tbody th{min-width:6.5rem}}
@media print{body{background:#fff}section,.tiles div{break-inside:avoid}}
""".strip()

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def page(title: str, about: str, body: Iterable[str], foot: Iterable[str] = ()) -> str:
    """The whole file. `title`, `about` and `foot` are texts, `body` is HTML of the functions below."""
    ends = "".join(f"<p>{escaped(line)}</p>" for line in foot)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="robots" content="noindex">\n<meta name="referrer" content="no-referrer">\n'
        f'<link rel="icon" href="data:,">\n<title>{escaped(title)}</title>\n<style>{STYLE}</style>\n</head>\n'
        "<body>\n<main>\n"
        f"<header><h1>{escaped(title)}</h1><p>{escaped(about)}</p></header>\n" + "\n".join(body)
        + f"\n<footer>{ends}</footer>\n</main>\n</body>\n</html>\n")


def banner(head: str, text: str, *, good: bool, fair: bool = False) -> str:
    """What it comes to, in one sentence. `fair`: good, and somebody has to look after something all the same."""
    kind = "banner bad" if not good else "banner fair" if fair else "banner"
    return f'<div class="{kind}" role="status"><b>{escaped(head)}</b>{escaped(text)}</div>'


def tiles(values: Sequence[tuple[str, str, str]]) -> str:
    """The few figures that everybody wants: name, figure, what it is of."""
    return '<dl class="tiles">' + "".join(
        f"<div><dt>{escaped(name)}</dt><dd>{escaped(figure)}<small>{escaped(of)}</small></dd></div>"
        for name, figure, of in values) + "</dl>"


def section(head: str, note: str, *parts: str) -> str:
    """A card. `parts` are HTML."""
    return f'<section><h2>{escaped(head)}</h2><p class="note">{escaped(note)}</p>' + "".join(parts) + "</section>"


def side_by_side(*sections: str) -> str:
    """Cards that stand beside each other where there is room."""
    return '<div class="two">' + "".join(sections) + "</div>"


def beside(*parts: str) -> str:
    """A drawing and its legend."""
    return '<div class="beside">' + "".join(parts) + "</div>"


def table(caption: str, columns: Sequence[str], rows: Iterable[Sequence["str | Drawn"]], *,
          numbers: frozenset[int] = frozenset(), optional: frozenset[int] = frozenset()) -> str:
    """The first cell of each row names it. `numbers`: columns aligned right; `optional`: left out on small screens."""
    def kind(place: int, *, drawn: bool = False) -> str:
        names = [name for name, holds in (("n", place in numbers), ("opt", place in optional), ("w", drawn)) if holds]
        return ' class="' + " ".join(names) + '"' if names else ""

    head = "".join(f'<th scope="col"{kind(place)}>{escaped(name)}</th>' for place, name in enumerate(columns))
    lines = []
    for row in rows:
        cells = []
        for place, value in enumerate(row):
            text = value.html if isinstance(value, Drawn) else escaped(value)
            tag, scope = ("td", "") if place else ("th", ' scope="row"')
            cells.append(f"<{tag}{scope}{kind(place, drawn=isinstance(value, Drawn))}>{text}</{tag}>")
        lines.append("<tr>" + "".join(cells) + "</tr>")
    return (f'<div class="scroll"><table><caption>{escaped(caption)}</caption><thead><tr>{head}</tr></thead>'
            "<tbody>" + "".join(lines) + "</tbody></table></div>")


class Drawn:
    """A cell that holds HTML of `charts`."""

    __slots__ = ("html",)

    def __init__(self, html: str) -> None:
        self.html = html


def folded(head: str, count: str, text: str, *parts: str, opened: bool = False) -> str:
    """What is read by who wants to know more."""
    return (f"<details{' open' if opened else ''}><summary>{escaped(head)} "
            f'<span class="count">{escaped(count)}</span></summary><p>{escaped(text)}</p>'
            + "".join(parts) + "</details>")
