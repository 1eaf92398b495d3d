"""Templates to words: subject, plain text and HTML of a mail that the bank itself writes.

A template is `LANGUAGE/KIND.txt`, whose first line is `Subject: …`, and beside it, where there is one,
`LANGUAGE/KIND.html`; the bank's own may also be `KIND.LANGUAGE.txt`. The bank's own directory takes precedence, file by
file; a text of the bank never goes with HTML of the distribution, which says something else. A language that is missing
falls back to the default language, and that to English: what takes orders rejects it before (`has`). Jinja's sandbox,
HTML escaped, an unknown name is an error: a mail with a hole in it never leaves.

Every template may name what the letterhead has (`_environment`), and `contact`, `language` and, in HTML, `subject`. The
filters `day` and `clock` write a time in the bank's time zone and in the language of the template, `month` a period
such as 2026-11.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from functools import cache
from pathlib import Path
from traceback import extract_tb
from typing import Final

from babel.core import Locale, UnknownLocaleError
from babel.dates import format_date, format_time
from jinja2 import (
    StrictUndefined,
    TemplateError,
    TemplateNotFound,
    TemplateSyntaxError,
    pass_context,
)
from jinja2.meta import find_undeclared_variables
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from gateway.errors import GatewayError, Reason
from gateway.languages import ENGLISH, installed, primary, words
from gateway.letters.letterhead import LOGO_ID, NEUTRAL, Letterhead
from gateway.letters.loader import LANGUAGE, TemplateLoader, parts

SUBJECT_CHARACTERS_MAX: Final = 200
_SUBJECT: Final = "Subject: "
_LANGUAGE = re.compile(LANGUAGE)
_MONTH = re.compile(r"(?!0000)([0-9]{4})-(0[1-9]|1[0-2])")
# What makes a reader's program fetch or run something. Only where it does: in tags and style sheets, not in a text such
# as "URL (Pty) Ltd". Values are escaped, so no tag comes of them.
_TAG: Final = r"""<(?:[^<>"']|"[^"]*"|'[^']*')*?"""
_REMOTE = re.compile(rf"""(?i)<\s*(?:link|script|iframe|object|embed|form|base|meta\s+http-equiv)\b"""
                     rf"""|{_TAG}\b(?:src|background|srcset|poster|data)\s*=(?!\s*["']cid:{LOGO_ID}["'])"""
                     rf"""|{_TAG}\bstyle\s*=\s*(?:"[^"]*?url\s*\(|'[^']*?url\s*\(|[^\s<>"']*?url\()"""
                     r"""|<\s*style\b[^<]*(?:url\s*\(|@import)""")


@dataclass(frozen=True, slots=True)
class Letter:
    """What a template says. `text` with LF line ends; `html` None: there is no such template.

    `logo`: a PNG file that the HTML shows, b'' = none.
    """

    subject: str
    text: str
    html: str | None
    language: str
    logo: bytes = b""


class Writer:
    """Holds the templates; threads may share it."""

    def __init__(self, directory: Path | None = None, language: str = ENGLISH,
                 letterhead: Letterhead = NEUTRAL) -> None:
        """`directory`: the bank's own templates, which go before ours; `language`: where none is asked for."""
        self.letterhead = letterhead
        self._own = directory
        self._language = language
        self._plain = _environment(directory, letterhead, escape=False)
        self._html = _environment(directory, letterhead, escape=True)

    def write(self, kind: str, language: str | None, values: Mapping[str, object]) -> Letter:
        """The letter of a kind. GatewayError CONFIG_INVALID names the template's file and line: it is not there, or
        breaks a rule.

        Never with the values: they may be secret.
        """
        chosen = self.chosen(kind, language)
        values = {**values, "language": chosen, "contact": self.letterhead.contact_in(chosen)}
        rendered = _rendered(self._plain, f"{chosen}/{kind}.txt", values)
        first, _, text = rendered.partition("\n")
        subject = first.removeprefix(_SUBJECT).strip()
        if not first.startswith(_SUBJECT) or not subject or len(subject) > SUBJECT_CHARACTERS_MAX:
            raise GatewayError(Reason.CONFIG_INVALID,
                               f"{self.file(kind, chosen, 'txt')}:1: the first line has to be `Subject: …`, and that "
                               f"of {SUBJECT_CHARACTERS_MAX} characters at most")
        html = _rendered(self._html, f"{chosen}/{kind}.html", {**values, "subject": subject}) if self._has_html(
            kind, chosen) else None
        if html is not None and (found := _REMOTE.search(html)):
            raise GatewayError(Reason.CONFIG_INVALID, f"{self.file(kind, chosen, 'html')} holds "
                               f"`{found.group()[:40].strip()}`: mails of the bank load nothing and run nothing")
        return Letter(subject, text.lstrip("\n"), html, chosen, self._logo(kind, chosen, html or ""))

    def file(self, kind: str, language: str, form: str) -> str:
        """The path of a template that has been read. `form`: txt, html."""
        return _file(self._plain, f"{language}/{kind}.{form}")

    def has(self, kind: str, language: str) -> bool:
        """Whether there are texts in this language, or in that without its region (`de` for `de-AT`)."""
        return any(_LANGUAGE.fullmatch(one) and self._has(self._plain, f"{one}/{kind}.txt")
                   for one in (language, primary(language)))

    def languages(self, kind: str) -> tuple[str, ...]:
        """Those that there are texts in, in alphabetical order."""
        named = map(parts, self._plain.list_templates())
        return tuple(sorted({one[0] for one in named if one is not None and one[1:] == (kind, "txt")}))

    def chosen(self, kind: str, language: str | None) -> str:
        """The language that a letter of this kind would have. GatewayError CONFIG_INVALID: there is no such letter."""
        asked = [language or "", primary(language or ""), self._language, ENGLISH]
        for one in asked:
            if _LANGUAGE.fullmatch(one) and self._has(self._plain, f"{one}/{kind}.txt"):
                if _formats(one) is None:
                    raise GatewayError(Reason.CONFIG_INVALID, f"{self.file(kind, one, 'txt')}: there are no formats of "
                                       f"dates and numbers for the language `{one}`. An installation has those of the "
                                       "languages of Europe (docs/install.md); rename the template")
                return one
        raise GatewayError(Reason.CONFIG_INVALID,
                           f"the template {kind}.{self._language}.txt is missing. Create it, or change `language`")

    def kinds(self) -> frozenset[str]:
        """Of all letters that exist, in any language."""
        named = map(parts, self._plain.list_templates())
        return frozenset(one[1] for one in named if one is not None and one[2] == "txt")

    def names(self, kind: str, language: str, form: str) -> frozenset[str]:
        """What a template asks for by name, itself and not in what it includes. CONFIG_INVALID for a mistake in the

        template's language. `form`: txt, html.
        """
        environment = self._html if form == "html" else self._plain
        name = f"{language}/{kind}.{form}"
        self._has(environment, name)
        source, file, _ = environment.loader.get_source(environment, name) if environment.loader else ("", None, None)
        return frozenset(find_undeclared_variables(environment.parse(source, name, file)) - set(environment.globals))

    def _logo(self, kind: str, language: str, html: str) -> bytes:
        """If the HTML shows it."""
        if f"cid:{LOGO_ID}" not in html:
            return b""
        if not self.letterhead.logo:
            raise GatewayError(Reason.CONFIG_INVALID, f"{self.file(kind, language, 'html')} shows the logo, but "
                               "`bank.logo` is not set. Set it, or write `{% if logo %}` around the picture")
        return self.letterhead.logo

    def _has_html(self, kind: str, language: str) -> bool:
        """Whether there is HTML that belongs to the text: the bank's own text goes without ours."""
        if not self._has(self._html, f"{language}/{kind}.html"):
            return False
        return not self._is_own(self.file(kind, language, "txt")) or self._is_own(self.file(kind, language, "html"))

    def _is_own(self, file: str) -> bool:
        return self._own is not None and Path(file).is_relative_to(self._own)

    @staticmethod
    def _has(environment: ImmutableSandboxedEnvironment, name: str) -> bool:
        try:
            environment.get_template(name)
        except TemplateNotFound:
            return False
        except TemplateError as error:
            raise GatewayError(Reason.CONFIG_INVALID, _template_error(environment, name, error)) from None
        return True


def _environment(own: Path | None, letterhead: Letterhead, *, escape: bool) -> ImmutableSandboxedEnvironment:
    made = ImmutableSandboxedEnvironment(
        loader=TemplateLoader(own), undefined=StrictUndefined, autoescape=escape, keep_trailing_newline=True,
        trim_blocks=True, lstrip_blocks=True, auto_reload=False)  # read once: a reload makes another writer
    made.globals.update(  # the last three differ from letter to letter: see Writer.write
        bank=letterhead.bank, short_name=letterhead.sender, telephone=letterhead.telephone, web=letterhead.web,
        colour=letterhead.colour, colour_dark=letterhead.colour_dark, logo=LOGO_ID if letterhead.logo else "",
        contact="", language="", subject="")
    made.filters.update(day=_day_in(letterhead.zone), clock=_clock_in(letterhead.zone), month=_month)
    return made


def _day_in(zone: tzinfo) -> Callable[[Context, datetime], str]:
    @pass_context
    def day(context: Context, at: datetime) -> str:
        """Such as `30 November 2026`, `30. November 2026`, `1er décembre 2026`."""
        locale, local = _locale(context), at.astimezone(zone)
        text = format_date(local, "long", locale)
        first = words(locale.language, "formats")["first_day"] if locale.language in installed() else ""
        return re.sub(r"^1 ", f"{first} ", text) if first else text

    return day


@pass_context
def _month(context: Context, period: str) -> str:
    """`November 2026` of `2026-11`; any other period as it is."""
    found = _MONTH.fullmatch(period)
    return format_date(date(int(found[1]), int(found[2]), 1), "MMMM y", _locale(context)) if found else period


def _clock_in(zone: tzinfo) -> Callable[..., str]:
    @pass_context
    def clock(context: Context, at: datetime, *, seconds: bool = False) -> str:
        """Such as `14:05 (CET)`, `14:05 Uhr (MEZ)`: `formats.clock` of the language's words."""
        locale = _locale(context)
        pattern = words(locale.language, "formats")["clock_seconds" if seconds else "clock"]
        return format_time(at, pattern, tzinfo=zone, locale=locale)

    return clock


def _locale(context: Context) -> Locale:
    """By the language of the template. English is that of Britain: the day before the month."""
    named = parts(context.name or "")
    found = _formats(named[0] if named else "")
    return found if found is not None and str(found) != ENGLISH else Locale("en", "GB")


@cache
def _formats(language: str) -> Locale | None:
    try:
        return Locale.parse(language, sep="-")
    except (UnknownLocaleError, ValueError):
        return None


def _rendered(environment: ImmutableSandboxedEnvironment, name: str, values: Mapping[str, object]) -> str:
    try:
        return environment.get_template(name).render(values)
    except Exception as error:  # noqa: BLE001 - a template calls what it likes; what it says may hold values
        raise GatewayError(Reason.CONFIG_INVALID, _template_error(environment, name, error)) from None


def _template_error(environment: ImmutableSandboxedEnvironment, name: str, error: Exception) -> str:
    """File, line and what is wrong there; of what is no error of the template's language only the kind."""
    file = _file(environment, name)
    line: int | None
    if isinstance(error, TemplateSyntaxError):
        file, line = error.filename or file, error.lineno
    else:
        line = [None, *(frame.lineno for frame in extract_tb(error.__traceback__) if frame.filename == file)][-1]
    place = f"{file}:{line}" if line else file
    return f"{place}: {error if isinstance(error, TemplateError) else type(error).__name__}"


def _file(environment: ImmutableSandboxedEnvironment, name: str) -> str:
    """Of a template that may have a mistake."""
    loader = environment.loader
    try:
        return (loader.get_source(environment, name)[1] if loader is not None else None) or name
    except TemplateError:
        return name
