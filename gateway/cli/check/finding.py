"""What `sealgate check` says of one thing, and how its parts are asked."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from gateway.cli.context import explained
from gateway.errors import GatewayError
from gateway.settings import Settings


@dataclass(frozen=True, slots=True)
class Finding:
    """`error`: mail would stop or be refused. `warning`: soon, or weaker than it should be. `text` has the remedy."""

    level: Literal["ok", "warning", "error"]
    about: str
    text: str


Look = Callable[[Settings], Iterator[Finding]]


def looked(look: Look, settings: Settings) -> Iterator[Finding]:
    """The findings of one part; if it cannot go on, why."""
    try:
        yield from look(settings)
    except GatewayError as trouble:
        yield Finding("error", look.__name__.strip("_").replace("_", " "), explained(trouble))
