"""Finds the templates of mails: the bank's own directory first, then the distribution's.

A template is LANGUAGE/KIND.FORM. The bank's own may also be called KIND.LANGUAGE.FORM.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from jinja2 import BaseLoader, Environment, FileSystemLoader, TemplateNotFound

from gateway.languages import DIRECTORY

LANGUAGE: Final = r"[a-z]{2,3}(?:-[A-Za-z]{2,4})?"
_NESTED: Final = re.compile(rf"({LANGUAGE})/([^/.]+)\.(txt|html)")
_FLAT: Final = re.compile(rf"([^/.]+)\.({LANGUAGE})\.(txt|html)")


def parts(name: str) -> tuple[str, str, str] | None:
    """Language, kind and form of a template's name, whichever of the two it is; None for a piece of templates."""
    if found := _NESTED.fullmatch(name):
        return found[1], found[2], found[3]
    return (found[2], found[1], found[3]) if (found := _FLAT.fullmatch(name)) else None


class TemplateLoader(BaseLoader):
    """See the module. `own`: the bank's directory, None = none."""

    def __init__(self, own: Path | None) -> None:
        self._loaders = [FileSystemLoader(one) for one in (own, DIRECTORY) if one is not None]

    def get_source(self, environment: Environment, template: str) -> tuple[str, str | None, Callable[[], bool] | None]:
        """See jinja2.BaseLoader."""
        names = [template]
        if found := parts(template):
            language, kind, form = found
            names = [f"{language}/{kind}.{form}", f"{kind}.{language}.{form}"]
        for loader in self._loaders:
            for name in names:
                with suppress(TemplateNotFound):
                    return loader.get_source(environment, name)
        raise TemplateNotFound(template)

    def list_templates(self) -> list[str]:
        """See jinja2.BaseLoader: the names as their files have them."""
        return sorted({name for loader in self._loaders for name in loader.list_templates()})
