"""Writes the mails of the bank's own with its name, contact and time zone out of the settings."""

from datetime import UTC, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

from gateway.letters.letterhead import Letterhead
from gateway.letters.write import Writer
from gateway.settings import Settings


def writer(settings: Settings, templates: Path | None, language: str) -> Writer:
    """`templates`: the directory of the bank's own templates; `language`: where a mail names none."""
    return Writer(templates, language, letterhead(settings))


def letterhead(settings: Settings) -> Letterhead:
    """Of the section `bank`."""
    bank = settings.bank
    zone: tzinfo = UTC if bank.time_zone == "UTC" else ZoneInfo(bank.time_zone)
    return Letterhead(bank.name or bank.domains[0], bank.contact, zone)
