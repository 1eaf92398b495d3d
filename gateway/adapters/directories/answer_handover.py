"""What directories have answered, from one process to the one that takes its place: a reload costs no answers, above
all none that cover an outage.

JSON of certificates, which are no secret, with the times of the answers, by the machine's monotonic clock. An answer is
taken only by a directory that would ask the same in the same way, and lives no longer than it would have.
"""

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import Any

from gateway.adapters.directories.guarded import Answer, Guarded
from gateway.adapters.directories.rows import rows_of
from gateway.errors import GatewayError


def handed_on(directories: Iterable[Guarded]) -> bytes:
    """All that they keep."""
    return json.dumps({one.name: {"asked": _asked(one), "answers": [
        [key, at, life_s, [base64.b64encode(row.der).decode() for row in rows]]
        for key, at, life_s, rows in one.answers()]}
        for one in directories}).encode()


def taken_over(octets: bytes, directories: Iterable[Guarded]) -> None:
    """Gives it to those that may have it. Of nothing, nothing."""
    if not octets:
        return
    answers = json.loads(octets)
    for one in directories:
        before = answers.get(one.name)
        if before is not None and before["asked"] == _asked(one):
            one.remember(_answers(before["answers"], one.name))


def _answers(rows: Iterable[Any], source: str) -> Iterator[Answer]:
    for key, at, life_s, values in rows:
        try:
            yield key, at, life_s, rows_of(map(base64.b64decode, values), source)
        except GatewayError:
            continue  # it will be asked again


def _asked(directory: Guarded) -> str:
    settings, never = directory.asked
    return hashlib.sha256(f"{settings.model_dump_json()} {sorted(never)}".encode()).hexdigest()
