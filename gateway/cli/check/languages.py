"""`sealgate check`: whether every language of the settings has all its texts, and whether the logo can be shown."""

from collections.abc import Iterator
from pathlib import Path

from gateway.app.letters import letterhead, writer
from gateway.languages import installed, known, missing, primary
from gateway.model.fallbacks import FALLBACKS
from gateway.model.finding import Finding
from gateway.settings import Settings

CODES = ("code", "code_alarm")
STATEMENTS = ("statement", "statement_replaced", "statement_recalled")
LETTERS = tuple(dict.fromkeys(kind for one in FALLBACKS.values() for kind in one.letters))


def languages(settings: Settings) -> Iterator[Finding]:
    """Each missing text by name. A mail without a text in its language would be sent in another one."""
    used = {settings.bank.language}
    wrong = False
    for about, section, kinds in (("codes", settings.codes, CODES), ("statements", settings.statements, STATEMENTS),
                                  ("fallbacks", settings.fallbacks, LETTERS)):
        if section is None:
            continue
        language = settings.language_of(section)
        used.add(language)
        for finding in _mails(settings, about, language, section.templates, kinds):
            wrong = True
            yield finding
    for language in sorted({known(one) for one in used}):
        for text in missing(language):
            wrong = True
            yield Finding("error", "languages", f"{text} is missing. Restore the installation, or use another language")
    if not wrong:
        yield Finding("ok", "languages", f"all texts are there in {', '.join(sorted(used))}; "
                      f"installed: {', '.join(installed())}")


def _mails(settings: Settings, about: str, language: str, own: Path | None, kinds: tuple[str, ...]
           ) -> Iterator[Finding]:
    if not {language, primary(language)}.isdisjoint(installed()):
        return
    letters = writer(settings, own, language)
    for kind in kinds:
        if not letters.has(kind, language):
            where = f"add it to {own}" if own is not None else f"set {about}.templates to a directory that has it"
            yield Finding("error", "languages", f"{language}/{kind}.txt is missing, and {about} are written in this "
                          f"language: {where}, or use one of {', '.join(installed())}")


def branding(settings: Settings) -> Iterator[Finding]:
    """How the bank is shown to its customers. CONFIG_INVALID if the logo cannot be sent."""
    head = letterhead(settings)
    contact = head.contact_in(settings.bank.language)
    logo = f"a logo of {len(head.logo)} octets" if head.logo else "no logo"
    yield Finding("ok", "branding", f"mails come from {head.sender}, with {logo}; "
                  f"{f'contact: {contact}' if contact else 'set `bank.contact`, so that customers know whom to ask'}")
