"""What a fact is compared with: words, globs, RE2 patterns, sizes, a signer's qualities.

Texts compare without regard to ASCII case (no other folding: KELVIN SIGN is no `k`). Patterns run in RE2, in linear
time over hostile mail, and must cover the whole value.
`covers` answers whether everything that another value would match is matched here; False where that is not certain.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import re2

from gateway.model.address import fold as _fold

PATTERN_LENGTH_MAX = 1000
_UNITS = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_TIME_UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86400}
_DECIMAL_UNITS = {"KB": "KiB", "MB": "MiB", "GB": "GiB", "K": "KiB", "M": "MiB", "G": "GiB"}


@lru_cache(4096)
def fold(text: str) -> str:
    """ASCII case folding; the same few texts of one mail are compared with many rules."""
    return text.lower() if text.isascii() else _fold(text)


class BadValueError(ValueError):
    """A value that cannot be read; `remedy` shows what can."""

    def __init__(self, text: str, remedy: str = "") -> None:
        super().__init__(text)
        self.remedy = remedy


@dataclass(frozen=True)
class Texts:
    """Any of: literal texts (folded), globs (folded; `*` matches anything), patterns (RE2, as written)."""

    literals: frozenset[str] = frozenset()
    globs: frozenset[str] = frozenset()
    patterns: frozenset[str] = frozenset()

    @cached_property
    def suffixes(self) -> tuple[str, ...]:
        """Ends of texts that match, of the globs `*text`."""
        return tuple(glob[1:] for glob in self.globs if is_suffix(glob))

    @property
    def needs_patterns(self) -> bool:
        """Whether RE2 must run; else comparing literals and ends is all."""
        return bool(self.patterns) or len(self.suffixes) < len(self.globs)

    @cached_property
    def _compiled(self) -> tuple[Any, ...]:
        return (*(compile_pattern("(?s)" + ".*".join(map(re2.escape, glob.split("*")))) for glob in self.globs
                  if not is_suffix(glob)), *map(compile_pattern, sorted(self.patterns)))

    @property
    def plain(self) -> bool:
        """Nothing but literals."""
        return not self.globs and not self.patterns

    def test(self, text: str) -> bool:
        """Whether `text` is one of these."""
        folded = fold(text)
        if folded in self.literals or (self.suffixes and folded.endswith(self.suffixes)):
            return True
        return any(_fullmatch(pattern, text) for pattern in self._compiled)

    def covers(self, other: "Texts") -> bool:
        """Whether every text of `other` is certainly one of these."""
        return (all(self.test(text) for text in other.literals)
                and all(any(_glob_covers(mine, glob) for mine in self.globs) for glob in other.globs)
                and (other.patterns <= self.patterns or "*" in self.globs))

    def excludes(self, other: "Texts") -> bool:
        """Whether certainly no text of `other` is one of these."""
        return other.plain and not any(self.test(text) for text in other.literals)

    def __str__(self) -> str:
        patterns = (f"matches {pattern}" for pattern in sorted(self.patterns))
        return ", ".join([*sorted(self.literals), *sorted(self.globs), *patterns])


def is_suffix(glob: str) -> bool:
    """'*' and nothing but text behind it: a comparison of ends does, RE2 need not run."""
    return glob.startswith("*") and "*" not in glob[1:]


def _glob_covers(mine: str, other: str) -> bool:
    return mine == other or (is_suffix(mine) and other.endswith(mine[1:]))


def compile_pattern(pattern: str) -> Any:
    """An RE2 pattern that ignores letter case. BadValueError if RE2 does not read it."""
    if len(pattern) > PATTERN_LENGTH_MAX:
        raise BadValueError(f"the pattern has more than {PATTERN_LENGTH_MAX} characters", "split it into several")
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 20
    options.case_sensitive = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        words = error.args[0].decode("utf-8", "replace") if isinstance(error.args[0], bytes) else str(error)
        raise BadValueError(f"`{pattern}` is not a valid RE2 pattern: {words}",
                            "correct it; RE2 has no look-around and no back-references") from None


# RE2 folds these two to `k` and `s`; a text that holds one must not pass for an ASCII one.
_FOLDED_TO_ASCII = {0x212A: 0xFFFD, 0x017F: 0xFFFD}


def _fullmatch(pattern: Any, text: str) -> bool:
    if not text.isascii():  # a broken header may hold a lone surrogate
        text = text.translate(_FOLDED_TO_ASCII).encode("utf-8", "replace").decode()
    return pattern.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class SizeRange:
    """Octets, or seconds: more than `over`, less than `under`; None is no limit."""

    over: int | None = None
    under: int | None = None

    def test(self, size: float) -> bool:
        """Whether so many octets, or seconds, are inside."""
        return (self.over is None or size > self.over) and (self.under is None or size < self.under)

    def covers(self, other: "SizeRange") -> bool:
        """Whether every size of `other` is inside."""
        return ((self.over is None or (other.over is not None and other.over >= self.over))
                and (self.under is None or (other.under is not None and other.under <= self.under)))

    def excludes(self, other: "SizeRange") -> bool:
        """Never certain enough to be used."""
        del other
        return False

    def __str__(self) -> str:
        return " ".join([*([f"over {self.over}"] if self.over is not None else []),
                         *([f"under {self.under}"] if self.under is not None else [])])


@dataclass(frozen=True, slots=True)
class SignerCondition:
    """One valid signer who has all of this. `levels`: any of; None: not asked."""

    levels: Texts | None = None
    matches_from: bool | None = None

    def test(self, signer: tuple[tuple[str, ...], bool | None]) -> bool:
        """`signer`: levels and whether its address is the From."""
        levels, matches = signer
        return ((self.levels is None or any(map(self.levels.test, levels)))
                and (self.matches_from is None or matches is self.matches_from))

    def covers(self, other: "SignerCondition") -> bool:
        """Whether every signer that `other` takes is taken here."""
        return ((self.levels is None or (other.levels is not None and self.levels.covers(other.levels)))
                and self.matches_from in (None, other.matches_from))

    def excludes(self, other: "SignerCondition") -> bool:
        """A mail may have several signers: never."""
        del other
        return False

    def __str__(self) -> str:
        matches = "" if self.matches_from is None else f"matches_from {str(self.matches_from).lower()}"
        return ", ".join(filter(None, (f"level {self.levels}" if self.levels else "", matches)))


Values = Texts | SizeRange | SignerCondition


def octets(value: object) -> int:
    """'10 MiB', '512 B' or a plain number as octets. BadValueError with the way to write it."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    number, _, unit = str(value).strip().partition(" ")
    if not unit:
        digits = "".join(c for c in number if c.isascii() and c.isdigit())
        if number.startswith(digits) and digits:
            number, unit = digits, number[len(digits):]
    if number.isascii() and number.isdigit() and len(number) <= 12 and unit.strip() in _UNITS:
        return int(number) * _UNITS[unit.strip()]
    meant = _DECIMAL_UNITS.get(unit.strip().upper())
    remedy = "write a size such as `10 MiB`; units are B, KiB, MiB, GiB"
    raise BadValueError(f"`{value}` is not a valid size",
        f"write `{number} {meant}`" if meant and number.isdigit() else remedy)


def seconds(value: object) -> int:
    """'24 h' or '5 d' as seconds. BadValueError with the way to write it."""
    number, _, unit = str(value).strip().partition(" ")
    if number.isascii() and number.isdigit() and len(number) <= 9 and unit.strip() in _TIME_UNITS:
        return int(number) * _TIME_UNITS[unit.strip()]
    raise BadValueError(f"`{value}` is not a valid time", "write a time such as `24 h`; units are s, min, h, d")
