"""Who acts: a person, a client of the API, or a program of the gateway itself.

A command and an API request say once who acts (`acting`, `act_by_default`); the database writes it into the audit log
with each act.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

ActorKind = Literal["user", "client", "program"]


@dataclass(frozen=True, slots=True)
class Actor:
    """`name`: login name of a user, client of the settings, or program.

    `source`: where the request came from: terminal and user id, or the peer's address. `credential`: of a client, the
    token or certificate that it used, by its SHA-256. `remark`: what the actor says and could forge, such as SUDO_USER.
    """

    kind: ActorKind
    name: str
    source: str = ""
    credential: str = ""
    remark: str = ""


_acting: ContextVar[Actor | None] = ContextVar("sealgate_actor", default=None)
_of_process = [Actor("program", "sealgate")]


def current_actor() -> Actor:
    """The actor of this thread or task, else that of the process."""
    return _acting.get() or _of_process[0]


@contextmanager
def acting(actor: Actor) -> Iterator[None]:
    """`actor` does what happens inside, in this thread or task."""
    token = _acting.set(actor)
    try:
        yield
    finally:
        _acting.reset(token)


def automatic() -> Actor:
    """The gateway itself, where it decides by its rules; a person who started it is a remark."""
    actor = current_actor()
    return actor if actor.kind == "program" else Actor("program", "sealgate", actor.source,
                                                       remark=f"started by {actor.name}")


def act_by_default(actor: Actor) -> None:
    """`actor` does everything in this process for which `acting` names no other."""
    _of_process[0] = actor
