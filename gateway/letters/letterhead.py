"""Who writes: the bank's names, contact, colours and logo, as every mail, document and page shows them."""

from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Final

from gateway.languages import words

COLOUR: Final = "#14324f"
COLOUR_DARK: Final = "#9cc3e6"
LOGO_ID: Final = "logo@bank"  # Content-ID of the logo (RFC 2392)


@dataclass(frozen=True, slots=True)
class Letterhead:
    """`bank`: its name; `short_name`: in From and headings, '' = `bank`; `zone`: of all times.

    `contact`: where the bank answers questions, in words; '' = `telephone` and `web`, or none. `logo`: a PNG file,
    b'' = none. Colours: `#rrggbb`, on `model.colours.PAPER` and on PAPER_DARK.
    """

    bank: str
    contact: str = ""
    zone: tzinfo = UTC
    short_name: str = ""
    telephone: str = ""
    web: str = ""
    colour: str = COLOUR
    colour_dark: str = COLOUR_DARK
    logo: bytes = b""

    @property
    def sender(self) -> str:
        """The display name in From."""
        return self.short_name or self.bank

    def contact_in(self, language: str) -> str:
        """`+49 69 1234 or www.bank.example`: telephone and web address in a sentence of the language."""
        telephone = self.telephone.replace(" ", "\N{NO-BREAK SPACE}")  # not broken over two lines
        if self.contact or not (telephone and self.web):
            return self.contact or telephone or self.web
        return words(language, "letters")["contact"].format(telephone=telephone, web=self.web)


NEUTRAL: Final = Letterhead("Your bank")
