"""From the mail that Postfix holds to the one that is to leave: which fields go, which come, whether the body changes.

Fields that stay are not touched: their octets and their order are those that a signature of somebody else may cover.

1. Numbers. Postfix counts instances of one name from 1, without its own Received, which it shows to no milter; places
   where a field is put in are counted with it, so that place 1 is right behind it.
2. Deletions come first, in each name from the last instance to the first: a deletion moves all later ones.
3. Then insertions from the top down, each at its final place.
4. SMFIP_HDR_LEADSPC: values begin behind the colon, with their space; folded lines are parted by LF alone.
"""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.errors import GatewayError
from gateway.mime.header import parse_headers

OWN_RECEIVED: Final = 1  # fields before the first that we see: see 1
EMPTY_BODY: Final = b"\r\n"  # a replacement of no octets at all would not replace anything


@dataclass(frozen=True, slots=True)
class Edits:
    """In the order in which they must be made. `body` None: it stays.

    `deleted`: (name, instance); `inserted`: (place, name, value).
    """

    deleted: tuple[tuple[str, int], ...]
    inserted: tuple[tuple[int, str, str], ...]
    body: bytes | None


def edits(held: Sequence[tuple[str, bytes]], body: memoryview | bytes, wanted: bytes) -> Edits | None:
    """What makes `wanted` of the mail with the fields `held` (name, raw with CRLF) and `body`.

    None where the protocol cannot say it: a field that comes must be UTF-8, for the library knows nothing else.
    """
    try:
        headers = parse_headers(wanted, strict=True)
    except GatewayError:
        return None
    places: dict[bytes, deque[int]] = {}
    for number, (_, raw) in enumerate(held):
        places.setdefault(raw, deque()).append(number)
    kept: set[int] = set()
    inserted: list[tuple[int, str, str]] = []
    after = -1
    for place, field in enumerate(headers.fields):
        numbers = places.get(field.raw)
        while numbers and numbers[0] <= after:
            numbers.popleft()
        if numbers:
            after = numbers.popleft()
            kept.add(after)
            continue
        try:
            value = field.value.replace(b"\r\n", b"\n").decode("utf-8")
        except UnicodeDecodeError:
            return None
        inserted.append((place + OWN_RECEIVED, field.name, value))
    new = wanted[headers.body_offset:]
    return Edits(_deleted(held, kept), tuple(inserted), None if new == body else new or EMPTY_BODY)


def _deleted(held: Sequence[tuple[str, bytes]], kept: set[int]) -> tuple[tuple[str, int], ...]:
    counts: Counter[str] = Counter()
    gone: list[tuple[str, int]] = []
    for number, (name, _) in enumerate(held):
        counts[name.lower()] += 1
        if number not in kept:
            gone.append((name, counts[name.lower()]))
    return tuple(reversed(gone))
