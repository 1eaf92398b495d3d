"""The one table, and its JSON."""

import json
import sys
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True, slots=True)
class Row:
    """One measured ratio. `ours` and `theirs` in `unit`; `goal` and `further` are least ratios, or most if `at_most`.

    `goal` None: a row to know, without a goal of its own.
    """

    number: str
    what: str
    against: str
    ours: float
    theirs: float
    unit: str
    ratio: float
    goal: float | None
    further: float | None = None
    at_most: bool = False

    @property
    def verdict(self) -> str:
        """'met', 'MISSED', 'further' (the further goal too) or ''."""
        if self.goal is None:
            return ""

        def holds(bound: float) -> bool:
            return self.ratio <= bound if self.at_most else self.ratio >= bound

        if not holds(self.goal):
            return "MISSED"
        return "further" if self.further is not None and holds(self.further) else "met"


@dataclass
class Report:
    """Collects rows and notes."""

    machine: dict[str, str]
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> str:
        """One object."""
        return json.dumps({"machine": self.machine, "notes": self.notes,
                           "rows": [{**asdict(row), "verdict": row.verdict} for row in self.rows]}, indent=1)

    def as_text(self) -> str:
        """The table, 118 columns."""
        head = (f"{'goal':4} {'what':36} {'against':20} {'ours':>9} {'theirs':>9} {'unit':10} {'ratio':>6} "
                f"{'goal':>6} {'further':>7}")
        lines = [head, "-" * 118]
        last = ""
        for row in sorted(self.rows, key=lambda row: row.number):
            if last and row.number != last:
                lines.append("")
            last = row.number
            bound = "" if row.goal is None else f"{'<=' if row.at_most else '>='}{row.goal:g}"
            further = "" if row.further is None else f"{row.further:g}"
            lines.append(f"{row.number:4} {row.what:36} {row.against:20} {number(row.ours):>9} {number(row.theirs):>9} "
                         f"{row.unit:10} {row.ratio:6.2f} {bound:>6} {further:>7} {row.verdict}")
        lines += ["", *(f"{key}: {value}" for key, value in self.machine.items()), *self.notes]
        return "\n".join(lines)


def number(value: float) -> str:
    """Three useful digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


class Progress:
    """A bar on a terminal, a line per stage elsewhere."""

    def __init__(self, total: int) -> None:
        self._total, self._done, self._stage = total, 0, ""
        self._terminal = sys.stderr.isatty()

    def stage(self, name: str) -> None:
        """What is going on now."""
        self._stage = name
        if not self._terminal:
            print(f"bench: {name}", file=sys.stderr, flush=True)
        self._draw()

    def tick(self) -> None:
        """One step done."""
        self._done += 1
        self._draw()

    def _draw(self) -> None:
        if self._terminal:
            filled = min(30, 30 * self._done // self._total)
            print(f"\r\x1b[K[{'#' * filled}{'.' * (30 - filled)}] {self._stage}", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Clears the bar."""
        if self._terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

