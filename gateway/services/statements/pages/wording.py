"""The words, numbers and times of a page in the language of the bank. English is what the code says.

`pages` of a language's words has each English text; a text with `{places}` has the same places in every language.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from gateway.errors import Reason
from gateway.languages import ENGLISH, known, words
from gateway.letters.letterhead import NEUTRAL, Letterhead
from gateway.model.sentences import SENTENCES, public_texts

_HOUR_S: Final = 3600


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


@dataclass(frozen=True, slots=True)
class Wording:
    """Callable: the text of an English one. `head`: whose name and colours the page shows."""

    language: str = ENGLISH
    head: Letterhead = NEUTRAL

    @property
    def tag(self) -> str:
        """The language that the page is in."""
        return known(self.language)

    def __call__(self, english: str, **places: object) -> str:
        """With its places filled in."""
        text = words(self.language, "pages").get(english, english)
        return text.format(**places) if places else text

    def number(self, value: float) -> str:
        """As `number`, with the separators of the language."""
        return self._separated(number(value))

    def decimal(self, value: float, digits: int) -> str:
        """With so many digits behind the point."""
        return self._separated(f"{value:.{digits}f}")

    def percent(self, part: float, whole: float) -> str:
        """As `percent`."""
        before, _, share = percent(part, whole).rpartition("r ")
        return f"{self(before + 'r')} {self._separated(share)}" if before else self._separated(share)

    def moment(self, at: datetime) -> str:
        """A time in UTC."""
        formats = words(self.language, "formats")
        months = formats["months_short"].split()
        day = formats["date"].format(day=at.day, month=at.month, month_short=months[at.month - 1], year=at.year)
        return f"{day}, {at:%H:%M} UTC"

    def span(self, seconds: int) -> str:
        """How long something took."""
        if seconds < 120:
            return f"{seconds} s"
        return f"{seconds // 60} min" if seconds < 2 * _HOUR_S else f"{self.decimal(seconds / _HOUR_S, 1)} h"

    def what(self, reason: Reason) -> str:
        """What happened."""
        return public_texts(reason, self.language)[0]

    def remedy(self, reason: Reason) -> str:
        """For the administrator; the commands and settings that it names are explained in English alone."""
        return SENTENCES[reason].admin if self.tag == ENGLISH else public_texts(reason, self.language)[1]

    def _separated(self, text: str) -> str:
        formats = words(self.language, "formats")
        return text.translate({ord(","): formats["group"], ord("."): formats["point"]})


ENGLISH_PAGE: Final = Wording()
