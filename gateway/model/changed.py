"""A frozen value with some fields changed, at a quarter of what `dataclasses.replace` costs.

That looks at each field anew each time: 6 us for a dozen of them, and a mail's way changes a dozen values. Elsewhere
`replace` does.
"""

from collections.abc import Callable
from dataclasses import fields
from functools import cache
from operator import attrgetter
from typing import Any, TypeVar

T = TypeVar("T")


@cache
def _plan(kind: type) -> tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]]:
    """Names of the fields, several of them, and what gives their values."""
    names = tuple(field.name for field in fields(kind))
    return names, attrgetter(*names)


def changed(value: T, **changes: object) -> T:
    """`value`, a dataclass of at least two fields that are all arguments of its class, with these changed.

    TypeError for a field that is none.
    """
    kind = value.__class__
    names, values = _plan(kind)  # type: ignore[arg-type]  # a class is hashable
    return kind(**(dict(zip(names, values(value), strict=True)) | changes))
