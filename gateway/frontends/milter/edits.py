"""From the mail that Postfix holds to the one that is to leave: which fields go, change and come, and the body.

Fields that stay are not touched: their octets and their order are those that a foreign signature may cover.
Each edit costs Postfix a walk through its queue file, so there are as few as can be.

1. Numbers. Postfix counts instances of one name from 1, without its own Received, which it shows to no milter; places
   where a field is put in are counted with it, so that place 1 is right behind it.
2. Fields that change their value and not their place come first: they move no other. A change to no octets at all is a
   deletion for Postfix (SMFIR_CHGHEADER), so a field that becomes empty is deleted and put in.
3. Then deletions, in each name from the last instance to the first: a deletion moves all later ones.
4. Then insertions from the top down, each at its final place; then the fields of the header's end in their order.
5. SMFIP_HDR_LEADSPC: values begin behind the colon, with their space; folded lines are parted by LF alone.
"""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from gateway.errors import GatewayError
from gateway.mime.header import Field, parse_headers

OWN_RECEIVED: Final = 1  # fields before the first that we see: see 1
EMPTY_BODY: Final = b"\r\n"  # a replacement of no octets at all would not replace anything

Held = Sequence[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Edits:
    """In the order in which they must be made. `body` None: it stays.

    `changed`: (name, instance, value); `deleted`: (name, instance); `inserted`: (place, name, value); `appended`:
    (name, value).
    """

    changed: tuple[tuple[str, int, bytes], ...] = ()
    deleted: tuple[tuple[str, int], ...] = ()
    inserted: tuple[tuple[int, str, bytes], ...] = ()
    appended: tuple[tuple[str, bytes], ...] = ()
    body: bytes | None = None


def edits(held: Held, body: memoryview | bytes, result: bytes) -> Edits | None:
    """The edits that turn the mail with the fields `held` (name, raw with CRLF) and `body` into `result`.

    None where the protocol cannot express it: `result` has no header.
    """
    try:
        headers = parse_headers(result, strict=True)
    except GatewayError:
        return None
    stays = _equal(held, headers.fields)
    pairs = stays | _same_place(held, headers.fields, stays)
    places = {new: old for old, new in pairs.items()}
    instances = _instances(held)
    last = max(places, default=-1)
    new_body = result[headers.body_offset:]
    return Edits(
        changed=tuple((held[old][0], instances[old], _value(headers.fields[new])) for old, new in pairs.items()
                      if old not in stays),
        deleted=tuple((held[old][0], instances[old]) for old in reversed(range(len(held))) if old not in pairs),
        inserted=tuple((place + OWN_RECEIVED, field.name, _value(field)) for place, field in enumerate(headers.fields)
                       if place < last and place not in places),
        appended=tuple((field.name, _value(field)) for field in headers.fields[last + 1:]),
        body=None if new_body == body else new_body or EMPTY_BODY)


def _equal(held: Held, result: Sequence[Field]) -> dict[int, int]:
    """Fields that stay as they are, in their order: place in `held`, place in `result`."""
    places: dict[bytes, deque[int]] = {}
    for place, (_, raw) in enumerate(held):
        places.setdefault(raw, deque()).append(place)
    stays: dict[int, int] = {}
    after = -1
    for new, field in enumerate(result):
        olds = places.get(field.raw)
        while olds and olds[0] <= after:
            olds.popleft()
        if olds:
            after = olds.popleft()
            stays[after] = new
    return stays


def _same_place(held: Held, result: Sequence[Field], stays: dict[int, int]) -> dict[int, int]:
    """Fields between the same two that stay, of the same name: only their value changes, and not to nothing: see 2."""
    pairs: dict[int, int] = {}
    borders = ((-1, -1), *stays.items(), (len(held), len(result)))
    for (old, new), (old_end, new_end) in pairwise(borders):
        at = new + 1
        for place in range(old + 1, old_end):
            name = held[place][0]
            found = next((there for there in range(at, new_end)
                          if result[there].name == name and _value(result[there])), None)
            if found is not None:
                pairs[place], at = found, found + 1
    return pairs


def _instances(held: Held) -> list[int]:
    """Of each field, its number among those of its name."""
    counts: Counter[str] = Counter()
    instances = []
    for name, _ in held:
        counts[name.lower()] += 1
        instances.append(counts[name.lower()])
    return instances


def _value(field: Field) -> bytes:
    return field.value.replace(b"\r\n", b"\n")
