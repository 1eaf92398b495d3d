"""Composes the fallbacks of the settings: what mail to recipients without a certificate needs (docs/fallbacks.md)."""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from gateway.adapters.db.fallbacks import DbFallbacks
from gateway.adapters.files.mac_secret import mac_secret
from gateway.adapters.web.password_hook import HttpHook, ProgramHook
from gateway.app.letters import letterhead, writer
from gateway.app.store import Store
from gateway.clock import Clock, SystemClock
from gateway.errors import GatewayError, Reason
from gateway.letters.write import Writer
from gateway.model.fallbacks import FALLBACKS
from gateway.pdf.content import Content
from gateway.pdf.lock import lock
from gateway.pdf.mail import MailPages
from gateway.pdf.renderer import Limits, Renderer
from gateway.pipeline.context import Conversion, Fallbacks
from gateway.pipeline.fallbacks.encrypted_pdf import EncryptedPdf, password
from gateway.pipeline.fallbacks.hold import Terms
from gateway.pipeline.fallbacks.invite import Invitation
from gateway.ports.services.fallbacks import FallbackUse, Figures
from gateway.ports.services.passwords import Passwords
from gateway.settings import EncryptedPdf as PdfSettings
from gateway.settings import Settings

PAGES_AT_ONCE: Final = 4


def load_fallbacks(settings: Settings, store: Store, clock: Clock) -> Fallbacks:
    """GatewayError KEY_UNAVAILABLE (retry), CONFIG_INVALID: of the files with secrets. Starts no process yet."""
    section = settings.fallbacks
    language = settings.language_of(section)
    letters = writer(settings, section.templates, language)
    conversions = _conversions(settings, store, clock, letters)
    return Fallbacks(DbFallbacks(store.database), letters, language, conversions)


def _conversions(settings: Settings, store: Store, clock: Clock, letters: Writer) -> dict[str, Conversion]:
    """One entry for each fallback with `encrypts` whose section is in the settings."""
    conversions: dict[str, Conversion] = {}
    if (pdf := settings.fallbacks.encrypted_pdf) is not None:
        conversions["encrypted_pdf"] = EncryptedPdf(
            mac_secret(pdf.secret_file), pdf.password_length, _hook(pdf, clock), _pages(settings), letters,
            settings.language_of(settings.fallbacks), store.customers)
    return conversions


def _pages(settings: Settings) -> MailPages:
    head = letterhead(settings)
    return MailPages(Renderer(Limits(children_max=PAGES_AT_ONCE), system_fonts=True), head.bank, head.colour)


def _hook(pdf: PdfSettings, clock: Clock) -> Passwords:
    if pdf.hook_program is not None:
        return ProgramHook(pdf.hook_program, pdf.timeout_s)
    if pdf.hook_secret_file is None:  # settings.fallbacks.check reports it
        raise GatewayError(Reason.CONFIG_INVALID, "fallbacks.encrypted_pdf: hook_url without hook_secret_file")
    return HttpHook(pdf.hook_url, mac_secret(pdf.hook_secret_file), clock, pdf.timeout_s)


class NoBook(DbFallbacks):
    """A dry run counts nothing."""

    def __init__(self) -> None:
        """Without a database."""

    def add(self, uses: Iterable[FallbackUse], at: datetime) -> None:
        """Not counted."""

    def flush(self) -> None:
        """There is nothing."""


def dry_run(fallbacks: Fallbacks) -> Fallbacks:
    """The same without any effect outside: mail is converted, no password is handed over, and nothing is counted."""
    return replace(fallbacks, book=NoBook(),
                   conversions={name: one.dry_run() for name, one in fallbacks.conversions.items()})


def close(fallbacks: Fallbacks) -> None:
    """Ends idle connections and processes, and writes the figures."""
    with contextlib.suppress(GatewayError):  # figures alone
        fallbacks.book.flush()
    for conversion in fallbacks.conversions.values():
        conversion.close()


def terms(settings: Settings) -> Terms:
    """How long mail is held, and the invitation of its recipients."""
    section, invite = settings.fallbacks, settings.fallbacks.invite
    return Terms(
        timedelta(days=section.hold_days), timedelta(days=section.notice_days) if section.notice_days else None,
        None if invite is None else Invitation(invite.from_, invite.client, invite.way,
                                               timedelta(days=invite.every_days)))


def is_round_due(settings: Settings, store: Store, now: datetime) -> bool:
    """Whether held mail may be sent, reported or returned now. All of that needs the archive key."""
    return settings.hold.archive_key is not None and terms(settings).due(DbFallbacks(store.database), now)


def figures(store: Store) -> tuple[Figures, ...]:
    """By rule and fallback."""
    return DbFallbacks(store.database).figures()


def probe_letters(settings: Settings, names: frozenset[str]) -> Iterator[GatewayError]:
    """What is wrong with the templates of these fallbacks."""
    section, now = settings.fallbacks, SystemClock().now()
    language, address = settings.language_of(section), "customer@example.com"
    letters = writer(settings, section.templates, language)
    values = {"recipient": address, "since": now, "until": now + timedelta(days=section.hold_days),
              "days": section.hold_days, "state": "absent", "why": "…", "invited": "invite" in names, "sender": address,
              "file": "message.pdf", "way": section.invite.way if section.invite else "…"}
    for kind in dict.fromkeys(kind for name, one in FALLBACKS.items() if name in names for kind in one.letters):
        try:
            letters.write(kind, language, values)
        except GatewayError as trouble:
            yield trouble


def probe_page(settings: Settings) -> None:
    """Renders and encrypts a test page. GatewayError of the secrets, PDF_NOT_MADE."""
    clock, pages = SystemClock(), _pages(settings)
    try:
        if settings.fallbacks.encrypted_pdf is not None:
            mac_secret(settings.fallbacks.encrypted_pdf.secret_file)
            _hook(settings.fallbacks.encrypted_pdf, clock).close()
        language = settings.language_of(settings.fallbacks)
        drawn, _ = pages.draw(Content("check", (), "check", ()), language, clock.now())
        lock(drawn, password(b"check", 16, "check", "check"))
    finally:
        pages.close()
