"""`label`: a tag in the subject, header fields of the bank's own. Outbound it is done before signing."""

from dataclasses import replace
from typing import Any, ClassVar

from pydantic import BaseModel, Field, field_validator

from gateway.actions.verb import INWARD, OUTWARD, Params, VerbContext
from gateway.model.mail import Direction
from gateway.smime.draft import Draft

RESERVED = frozenset(
    {
        "from",
        "to",
        "cc",
        "bcc",
        "sender",
        "reply-to",
        "date",
        "subject",
        "message-id",
        "received",
        "return-path",
        "dkim-signature",
        "authentication-results",
        "resent-from",
        "resent-to",
    }
)
RESERVED_PREFIXES = ("content-", "mime-", "arc-", "sealgate-")


class LabelParams(Params):
    """`subject_tag` is put before the subject, `header` adds fields (ASCII values)."""

    subject_tag: str | None = Field(None, min_length=1, max_length=64)
    header: tuple[tuple[str, str], ...] = ()

    @field_validator("header", mode="before")
    @classmethod
    def _from_mapping(cls, value: object) -> object:
        return tuple(value.items()) if isinstance(value, dict) else value

    @field_validator("header")
    @classmethod
    def _own_fields_only(cls, value: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        for name, text in value:
            if not name or not all(33 <= ord(c) <= 126 and c != ":" for c in name):
                raise ValueError(f"{name!r} is not a valid header field name; use letters, digits and hyphens, "
                                 "such as X-Bank-Route")
            if name.lower() in RESERVED or name.lower().startswith(RESERVED_PREFIXES):
                raise ValueError(f"{name} belongs to mail itself or to Sealgate; choose a name such as X-Bank-Class")
            if not all(32 <= ord(c) <= 126 for c in text):
                raise ValueError(f"the value of {name} must be printable ASCII on one line")
        return value

    @field_validator("subject_tag")
    @classmethod
    def _one_line(cls, value: str | None) -> str | None:
        if value is not None and not value.isprintable():
            raise ValueError("a subject tag is printable text on one line")
        return value


class Label:
    """See the module."""

    name: ClassVar[str] = "label"
    rank: ClassVar[int] = 10
    params: ClassVar[type[BaseModel]] = LabelParams
    directions: ClassVar[frozenset[Direction]] = OUTWARD | INWARD
    summary: ClassVar[str] = "adds a tag before the subject and header fields of the bank's own"

    def apply(self, draft: Draft, params: Any, context: VerbContext) -> Draft:
        """Never fails."""
        del context
        return replace(draft, subject_tag=params.subject_tag, headers=draft.headers + params.header)
