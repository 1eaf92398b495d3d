"""The form of every list: `items`, and `next`, which is `cursor` of the next request. A cursor is for programs only."""

import re
from typing import Annotated, Final, Generic, TypeVar

from fastapi import Query
from pydantic import AwareDatetime, BaseModel, BeforeValidator, Field, WithJsonSchema

from gateway.ports.place import Place

LIMIT_MAX: Final = 1000
LIMIT: Final = 100
CURSOR: Final = "^[0-9]{1,18}-[0-9a-f]{1,16}$"  # microseconds since 1970, and a number or id in hexadecimal digits
_NUMBER_MAX: Final = 2 ** 63 - 1  # of a database

WORD: Final = "^[!-~]{0,128}$"  # of a name, a reason, an id
_MOMENT: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})$"


def _rfc3339(value: str) -> str:
    """Pydantic takes numbers for times, too."""
    if not re.match(_MOMENT, value):
        raise ValueError
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_rfc3339), WithJsonSchema(
    {"type": "string", "format": "date-time", "pattern": _MOMENT, "examples": ["2026-11-24T08:00:00Z"]})]
Item = TypeVar("Item")
Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX, description="How many at most")]
Cursor = Annotated[str | None, Query(pattern=CURSOR, description="`next` of the page before")]


class Page(BaseModel, Generic[Item]):
    """Some of a list."""

    items: list[Item]
    next: str | None = Field(pattern=CURSOR, description="Send it as `cursor` for the next page; null: this is the "
                             "last one. A page of a long search may be empty and have a next one")


def place_of(cursor: str | None) -> Place | None:
    """Where the page begins; None: at the beginning."""
    if cursor is None:
        return None
    at, _, number = cursor.partition("-")
    return Place(int(at), min(int(number, 16), _NUMBER_MAX))


def cursor_of(place: Place | None) -> str | None:
    """The way back."""
    return None if place is None else f"{place.at}-{place.number:x}"
