"""Acts that need a second person: the rule, requests, and what a request is bound to."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Final, Literal

from gateway.model.audit.acts import ACTS, Act

RequestState = Literal["open", "approved", "declined", "used"]
CHANGE: Final = "four_eyes.change"


@dataclass(frozen=True, slots=True)
class FourEyesRule:
    """`acts`: release, trust, key, policy, legal_hold. `persons`: account to the person whose account it is."""

    acts: frozenset[str] = frozenset()
    persons: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """As it is stored and shown: canonical JSON."""
        return json.dumps({"acts": sorted(self.acts), "persons": dict(self.persons)}, sort_keys=True,
                          separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def of(cls, text: str) -> "FourEyesRule":
        """The way back."""
        content = json.loads(text)
        return cls(frozenset(content["acts"]), content["persons"])

    def demands(self, act: Act) -> bool:
        """Whether the act needs a second person. A change of the rule does if there is a rule."""
        return bool(self.acts) if act.name == CHANGE else ACTS[act.name].four_eyes in self.acts

    def tightened_by(self, other: "FourEyesRule") -> bool:
        """Whether `other` demands at least as much, by the same persons: such a change needs no approval."""
        return not self.acts or (self.acts <= other.acts and self.persons == other.persons)


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """`digest` binds the approval to one act on one object. `details`: for the person who approves."""

    number: int
    act: str
    object_id: str
    details: Mapping[str, object]
    digest: str
    requester: str
    approver: str
    state: RequestState
    at: datetime
    expires_at: datetime


class ApprovalNeededError(Exception):
    """Raised inside the transaction of an act that has no approval yet."""

    def __init__(self, act: Act) -> None:
        super().__init__(act.name)
        self.act = act


def digest_of(act: Act) -> str:
    """SHA-256 over the act, its object and all its facts; among these is the object's own SHA-256."""
    content = [act.name, act.id, dict(act.details), dict(act.personal)]
    return sha256(json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode(
        "utf-8", "backslashreplace")).hexdigest()
