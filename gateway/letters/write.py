"""Templates to words: subject, plain text and HTML of a mail that the bank itself writes.

A template is `KIND.LANGUAGE.txt`, whose first line is `Subject: …`, and beside it, where there is one,
`KIND.LANGUAGE.html`. The bank's own directory goes before the distribution's, file by file; a language that is missing
falls back to the default language, and that to English. Jinja's sandbox, HTML escaped, an unknown name is an error: a
mail with a hole in it never leaves.

Every template may name `bank` and `contact`. The filters `day` and `clock` write a time in the bank's time zone and in
the language of the template.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import cache
from importlib.resources import files
from pathlib import Path
from traceback import extract_tb
from typing import Final

from babel.core import Locale, UnknownLocaleError
from babel.dates import format_date, format_time
from jinja2 import (
    FileSystemLoader,
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

ENGLISH: Final = "en"
SUBJECT_CHARACTERS_MAX: Final = 200
_SUBJECT: Final = "Subject: "
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z]{2,4})?")
# What makes a reader's program fetch or run something. Only where it does: in tags and style sheets, not in a text such
# as "URL (Pty) Ltd". Values are escaped, so no tag comes of them.
_TAG: Final = r"""<(?:[^<>"']|"[^"]*"|'[^']*')*?"""
_REMOTE = re.compile(rf"""(?i)<\s*(?:link|script|iframe|object|embed|form|base|meta\s+http-equiv)\b"""
                     rf"""|{_TAG}\b(?:src|background|srcset|poster|data)\s*="""
                     rf"""|{_TAG}\bstyle\s*=\s*(?:"[^"]*?url\s*\(|'[^']*?url\s*\(|[^\s<>"']*?url\()"""
                     r"""|<\s*style\b[^<]*(?:url\s*\(|@import)""")


@dataclass(frozen=True, slots=True)
class Letterhead:
    """Who writes. `bank`: its name; `contact`: where it answers questions, '' = not said; `zone`: of all times."""

    bank: str
    contact: str = ""
    zone: tzinfo = UTC


@dataclass(frozen=True, slots=True)
class Letter:
    """What a template says. `text` with LF line ends; `html` None: there is no such template."""

    subject: str
    text: str
    html: str | None
    language: str


class Writer:
    """Holds the templates; threads may share it."""

    def __init__(self, directory: Path | None = None, language: str = ENGLISH,
                 letterhead: Letterhead = Letterhead("Your bank")) -> None:
        """`directory`: the bank's own templates, which go before ours; `language`: where none is asked for."""
        places = [str(one) for one in (directory, Path(str(files("gateway"))) / "letters" / "templates") if one]
        self._language = language
        self._plain = _environment(places, letterhead, escape=False)
        self._html = _environment(places, letterhead, escape=True)

    def write(self, kind: str, language: str | None, values: Mapping[str, object]) -> Letter:
        """The letter of a kind. GatewayError CONFIG_INVALID names the template's file and line: it is not there, or
        breaks a rule.

        Never with the values: they may be secret.
        """
        chosen = self.chosen(kind, language)
        rendered = _rendered(self._plain, f"{kind}.{chosen}.txt", values)
        first, _, text = rendered.partition("\n")
        subject = first.removeprefix(_SUBJECT).strip()
        if not first.startswith(_SUBJECT) or not subject or len(subject) > SUBJECT_CHARACTERS_MAX:
            raise GatewayError(Reason.CONFIG_INVALID,
                               f"{self.file(kind, chosen, 'txt')}:1: the first line has to be `Subject: …`, and that "
                               f"of {SUBJECT_CHARACTERS_MAX} characters at most")
        name = f"{kind}.{chosen}.html"
        html = _rendered(self._html, name, values) if self._has(self._html, name) else None
        if html is not None and (found := _REMOTE.search(html)):
            raise GatewayError(Reason.CONFIG_INVALID, f"{self.file(kind, chosen, 'html')} holds "
                               f"`{found.group()[:40].strip()}`: mails of the bank load nothing and run nothing")
        return Letter(subject, text.lstrip("\n"), html, chosen)

    def file(self, kind: str, language: str, form: str) -> str:
        """Where a template lies that has been read. `form`: txt, html."""
        return _file(self._plain, f"{kind}.{language}.{form}")

    def chosen(self, kind: str, language: str | None) -> str:
        """The language that a letter of this kind would have. GatewayError CONFIG_INVALID: there is no such letter."""
        asked = [language or "", (language or "").partition("-")[0], self._language, ENGLISH]
        for one in asked:
            if _LANGUAGE.fullmatch(one) and self._has(self._plain, f"{kind}.{one}.txt"):
                if _formats(one) is None:
                    raise GatewayError(Reason.CONFIG_INVALID, f"{self.file(kind, one, 'txt')}: there are no formats of "
                                       f"dates and numbers for the language `{one}`. An installation has those of the "
                                       "languages of Europe (docs/install.md); rename the template")
                return one
        raise GatewayError(Reason.CONFIG_INVALID,
                           f"the template {kind}.{self._language}.txt is missing. Create it, or change `language`")

    def kinds(self) -> frozenset[str]:
        """Of all letters that there are, in whatever language."""
        return frozenset(name.split(".")[0] for name in self._plain.list_templates(
            filter_func=lambda name: "/" not in name and name.count(".") == 2 and name.endswith(".txt")))

    def names(self, kind: str, language: str, form: str) -> frozenset[str]:
        """What a template asks for by name, itself and not in what it includes. CONFIG_INVALID for a mistake in the

        template's language. `form`: txt, html.
        """
        environment = self._html if form == "html" else self._plain
        name = f"{kind}.{language}.{form}"
        self._has(environment, name)
        source, file, _ = environment.loader.get_source(environment, name) if environment.loader else ("", None, None)
        return frozenset(find_undeclared_variables(environment.parse(source, name, file)) - set(environment.globals))

    @staticmethod
    def _has(environment: ImmutableSandboxedEnvironment, name: str) -> bool:
        try:
            environment.get_template(name)
        except TemplateNotFound:
            return False
        except TemplateError as error:
            raise GatewayError(Reason.CONFIG_INVALID, _template_error(environment, name, error)) from None
        return True


def _environment(places: list[str], letterhead: Letterhead, *, escape: bool) -> ImmutableSandboxedEnvironment:
    made = ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(places), undefined=StrictUndefined, autoescape=escape, keep_trailing_newline=True,
        trim_blocks=True, lstrip_blocks=True, auto_reload=False)  # read once: a reload makes another writer
    made.globals.update(bank=letterhead.bank, contact=letterhead.contact)
    made.filters.update(day=_day_in(letterhead.zone), clock=_clock_in(letterhead.zone))
    return made


def _day_in(zone: tzinfo) -> Callable[[Context, datetime], str]:
    @pass_context
    def day(context: Context, at: datetime) -> str:
        """Such as `30 November 2026`, `30. November 2026`."""
        return format_date(at.astimezone(zone), "long", _locale(context))

    return day


def _clock_in(zone: tzinfo) -> Callable[..., str]:
    @pass_context
    def clock(context: Context, at: datetime, *, seconds: bool = False) -> str:
        """Such as `14:05 (CET)`, `14:05 Uhr (MEZ)`."""
        locale = _locale(context)
        pattern = ("HH:mm:ss" if seconds else "HH:mm") + (" 'Uhr'" if locale.language == "de" else "") + " (z)"
        return format_time(at, pattern, tzinfo=zone, locale=locale)

    return clock


def _locale(context: Context) -> Locale:
    """By the name of the template, `KIND.LANGUAGE.txt`. English is that of Britain: the day before the month."""
    found = _formats(((context.name or "").split(".")[1:2] or [""])[0])
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
