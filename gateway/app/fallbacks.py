"""What there is for mail to people without a certificate, as the settings have it (docs/fallbacks.md)."""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from gateway.adapters.db.fallbacks import DbFallbacks
from gateway.adapters.files.mac_secret import mac_secret
from gateway.adapters.web.password_hook import HttpHook, ProgramHook
from gateway.app.letters import writer
from gateway.app.store import Store
from gateway.clock import Clock, SystemClock
from gateway.errors import GatewayError, Reason
from gateway.pdf.content import Content
from gateway.pdf.lock import lock
from gateway.pdf.mail import MailPages
from gateway.pdf.renderer import Limits, Renderer
from gateway.pipeline.background.waiting import Invitation, Terms
from gateway.pipeline.outbound.fallback import Fallbacks, LockedPdf, password
from gateway.ports.services.fallbacks import Fallen, Figures
from gateway.ports.services.passwords import Handover, Passwords
from gateway.settings import EncryptedPdf, Settings

PAGES_AT_ONCE: Final = 4
# Each letter with the ways for which it is written.
_LETTERS: Final = {
    "held_notice": frozenset({"hold", "invite"}), "held_given_up": frozenset({"hold", "invite"}),
    "invite": frozenset({"invite"}), "encrypted_pdf": frozenset({"encrypted_pdf"})}


def load_fallbacks(settings: Settings, store: Store, clock: Clock) -> Fallbacks:
    """GatewayError KEY_UNAVAILABLE (retry), CONFIG_INVALID: of the secrets' files. Starts nothing yet."""
    given = settings.fallbacks
    pdf = given.encrypted_pdf
    return Fallbacks(DbFallbacks(store.database), writer(settings, given.templates, given.language),
                     given.language,
                     None if pdf is None else LockedPdf(mac_secret(pdf.secret_file), pdf.password_length,
                                                        _hook(pdf, clock), MailPages(_renderer())))


def _renderer() -> Renderer:
    return Renderer(Limits(children_max=PAGES_AT_ONCE), system_fonts=True)


def _hook(pdf: EncryptedPdf, clock: Clock) -> Passwords:
    if pdf.hook_program is not None:
        return ProgramHook(pdf.hook_program, pdf.timeout_s)
    if pdf.hook_secret_file is None:  # settings.fallbacks.check has told it
        raise GatewayError(Reason.CONFIG_INVALID, "fallbacks.encrypted_pdf: hook_url without hook_secret_file")
    return HttpHook(pdf.hook_url, mac_secret(pdf.hook_secret_file), clock, pdf.timeout_s)


class NoBook(DbFallbacks):
    """A try counts nobody."""

    def __init__(self) -> None:
        """Without a database."""

    def fell(self, fallen: Iterable[Fallen], at: datetime) -> None:
        """Not kept."""

    def flush(self) -> None:
        """There is nothing."""


class NoHandover:
    """See ports.services.passwords.Passwords: of a try nobody hears."""

    def hand_over(self, handover: Handover) -> None:
        """Nobody gets it."""

    def close(self) -> None:
        """Nothing is open."""


def tried(fallbacks: Fallbacks | None) -> Fallbacks | None:
    """The same with nothing outside touched: pages are drawn and locked, no password leaves, nobody is counted."""
    if fallbacks is None:
        return None
    pdf = None if fallbacks.pdf is None else replace(fallbacks.pdf, passwords=NoHandover())
    return replace(fallbacks, book=NoBook(), pdf=pdf)


def close(fallbacks: Fallbacks | None) -> None:
    """What rests ends: connections to the hook, the processes that draw pages. What is in work ends after its mail."""
    if fallbacks is not None:
        with contextlib.suppress(GatewayError):  # figures alone
            fallbacks.book.flush()
    if fallbacks is not None and fallbacks.pdf is not None:
        fallbacks.pdf.passwords.close()
        fallbacks.pdf.pages.close()


def terms(settings: Settings) -> Terms:
    """How long mail waits, and who is invited."""
    given = settings.fallbacks
    invite = given.invite
    return Terms(
        timedelta(days=given.hold_days), timedelta(days=given.notice_days) if given.notice_days else None,
        None if invite is None else Invitation(invite.from_, invite.client, invite.way,
                                               timedelta(days=invite.every_days)))


def worth_a_round(settings: Settings, store: Store, now: datetime) -> bool:
    """Whether held mail may leave, be told of or be given up now. All of that needs the archive key."""
    return settings.hold.archive_key is not None and terms(settings).due(DbFallbacks(store.database), now)


def figures(store: Store) -> tuple[Figures, ...]:
    """By rule and way."""
    return DbFallbacks(store.database).figures()


def probe_letters(settings: Settings, ways: frozenset[str]) -> Iterator[GatewayError]:
    """What is wrong with the templates that these ways need."""
    given, now = settings.fallbacks, SystemClock().now()
    letters, somebody = writer(settings, given.templates, given.language), "somebody@example.com"
    values = {"recipient": somebody, "since": now, "until": now + timedelta(days=given.hold_days),
              "days": given.hold_days, "state": "absent", "why": "…", "invited": "invite" in ways, "sender": somebody,
              "file": "message.pdf", "way": given.invite.way if given.invite else "…"}
    for kind, wanted_by in _LETTERS.items():
        if wanted_by & ways:
            try:
                letters.write(kind, given.language, values)
            except GatewayError as trouble:
                yield trouble


def probe_page(settings: Settings) -> None:
    """Draws and locks a page of no mail at all. GatewayError of what cannot be had: secrets, PDF_NOT_MADE."""
    clock, pages = SystemClock(), MailPages(_renderer())
    try:
        if settings.fallbacks.encrypted_pdf is not None:
            mac_secret(settings.fallbacks.encrypted_pdf.secret_file)
            _hook(settings.fallbacks.encrypted_pdf, clock).close()
        drawn, _ = pages.draw(Content("check", (), "check", ()), settings.fallbacks.language, clock.now())
        lock(drawn, password(b"check", 16, "check", "check"))
    finally:
        pages.close()
