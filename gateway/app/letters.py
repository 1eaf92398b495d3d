"""Writes the mails of the bank's own with its name, contact and time zone out of the settings."""

from datetime import UTC, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

from gateway.errors import GatewayError, Reason
from gateway.letters.letterhead import Letterhead
from gateway.letters.logo import OCTETS_MAX, checked
from gateway.letters.write import Writer
from gateway.services.statements.pages.wording import Wording
from gateway.settings import Settings


def writer(settings: Settings, templates: Path | None, language: str) -> Writer:
    """`templates`: the directory of the bank's own templates; `language`: where a mail names none."""
    return Writer(templates, language, letterhead(settings))


def letterhead(settings: Settings) -> Letterhead:
    """Of the section `bank`. CONFIG_INVALID names what is wrong with the logo, INPUT_UNREADABLE its file."""
    bank, contact = settings.bank, settings.bank.contact
    zone: tzinfo = UTC if bank.time_zone == "UTC" else ZoneInfo(bank.time_zone)
    return Letterhead(
        bank.name or bank.domains[0], contact.text, zone, bank.short_name, contact.telephone, contact.web,
        bank.colours.light, bank.colours.dark, _logo(bank.logo) if bank.logo is not None else b"")


def wording(settings: Settings) -> Wording:
    """Of the pages of pre-flights and reports: in the language and in the name of the bank."""
    return Wording(settings.bank.language, letterhead(settings))


def _logo(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return checked(file.read(OCTETS_MAX + 1), f"bank.logo: {path}")
    except OSError as error:
        raise GatewayError(Reason.CONFIG_INVALID, f"bank.logo: {path}: {error.strerror}. Correct the path, or remove "
                           "the setting") from None
