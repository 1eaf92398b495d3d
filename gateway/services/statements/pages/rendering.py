"""The templates of the pages: Jinja2, every value escaped, an unknown name is an error."""

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

_SPACES: Final = "\u00a0\u202f"  # no-break spaces: French has them before `:` and between the digits of numbers
_DIRECTORY: Final = Path(str(files("gateway"))) / "services" / "statements" / "pages" / "templates"


def render(template: str, **values: object) -> str:
    """A whole page. `template`: a file of `templates/`."""
    return _environment().get_template(template).render(values)


def macro(template: str, name: str, *values: object) -> Markup:
    """A piece of a page. `name`: of a macro in the template."""
    rendered: Markup = getattr(_macros(template), name)(*values)
    return rendered


@cache
def _macros(template: str) -> Any:
    return _environment().get_template(template).module


@cache
def _environment() -> Environment:
    return Environment(loader=FileSystemLoader(_DIRECTORY), autoescape=True, undefined=StrictUndefined,
                       trim_blocks=True, lstrip_blocks=True, finalize=_visible)


def _visible(value: object) -> object:
    """Characters that are seen as nothing, or turn what follows round, are shown as what they are."""
    if not isinstance(value, str) or isinstance(value, Markup) or value.isprintable():
        return value
    return "".join(char if char.isprintable() or char in _SPACES else f"\\u{ord(char):04x}" for char in value)
