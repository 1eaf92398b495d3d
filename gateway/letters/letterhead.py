"""Who writes: the bank's names, contact, colours and logo, as every mail, document and page shows them."""

from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Final

from gateway.languages import words

COLOUR: Final = "#14324f"  # on white; 13 : 1 (WCAG 2.2 1.4.3 asks for 4.5 : 1)
COLOUR_DARK: Final = "#9cc3e6"  # on PAPER_DARK
PAPER: Final = "#ffffff"
PAPER_DARK: Final = "#15181c"
LOGO_ID: Final = "logo@bank"  # Content-ID of the logo (RFC 2392)


@dataclass(frozen=True, slots=True)
class Letterhead:
    """`bank`: its name; `short_name`: in From and headings, '' = `bank`; `zone`: of all times.

    `contact`: where the bank answers questions, in words; '' = `telephone` and `web`, or none. `logo`: a PNG file,
    b'' = none. Colours: `#rrggbb`, on PAPER and on PAPER_DARK.
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
        if self.contact or not (self.telephone and self.web):
            return self.contact or self.telephone or self.web
        return words(language, "letters")["contact"].format(telephone=self.telephone, web=self.web)


NEUTRAL: Final = Letterhead("Your bank")
