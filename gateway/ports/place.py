"""Where a page of a list begins."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Of a row among all of them: its time in microseconds since 1970 (0 where the number says all), and its number."""

    at: int
    number: int
