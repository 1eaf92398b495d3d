"""Events that clients are called with, for the description: `webhooks` of OpenAPI 3.1, Standard Webhooks."""

from datetime import datetime
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import models_json_schema

from gateway.errors import Reason
from gateway.frontends.api.bodies import JSON
from gateway.ports.services.statements.rows import RunState


class _Event(BaseModel):
    model_config = ConfigDict(extra="allow")

    event: str = Field(description="The same at each attempt, as in the field webhook-id")
    kind: str
    at: datetime


class CodeEvent(_Event):
    """Something happened to a code."""

    subject: str = Field(description="The id of the code")
    customer: str
    reference: str = Field(description="As the order of the code has it")
    mail: int | None = Field(None, description="Number of the mail with this code; absent if no mail is concerned")
    reason: Reason | None = Field(None, description="Why it failed")
    status: str | None = Field(None, description="Status of the bounce, RFC 3463")


class RunEvent(_Event):
    """Something happened to a statement run."""

    subject: str = Field(description="The id of the run")
    name: str
    period: str
    state: RunState
    reason: Reason | None = Field(None, description="Why it was stopped or paused by the gateway")


# Kinds of events, and what each reports.
KINDS: Final[dict[str, tuple[type[_Event], str]]] = {
    "code.accepted": (CodeEvent, "A code was ordered"),
    "code.delivered": (CodeEvent, "The next mail server has the mail"),
    "code.failed": (CodeEvent, "The mail could not be sent; the code is cancelled"),
    "code.bounced": (CodeEvent, "The mail came back"),
    "code.blocked": (CodeEvent, "The customer was blocked; the code is cancelled"),
    "run.started": (RunEvent, "All rows were read; mails leave"),
    "run.paused": (RunEvent, "The run was paused, by a person, a client or the gateway"),
    "run.resumed": (RunEvent, "A paused run continues"),
    "run.stopped": (RunEvent, "The run could not begin"),
    "run.cancelled": (RunEvent, "The run was cancelled"),
    "run.done": (RunEvent, "Every mail of the run is settled; its report is complete"),
}
_HEADERS: Final = {
    "webhook-id": ("Id of the event: the same at each attempt", {"type": "string"}),
    "webhook-timestamp": ("Seconds since 1970, of this attempt", {"type": "string", "pattern": "^[0-9]+$"}),
    "webhook-signature": ("v1, and base64 of HMAC-SHA-256 over id.timestamp.body; one for each secret",
                          {"type": "string"}),
}


def schemas(template: str) -> dict[str, Any]:
    """The schemas of the bodies, by name. `template`: of references."""
    _, found = models_json_schema([(CodeEvent, "serialization"), (RunEvent, "serialization")], ref_template=template)
    every: dict[str, Any] = found.get("$defs", {})
    return every


def webhooks(prefix: str) -> dict[str, Any]:
    """The member `webhooks`. `prefix`: of references to schemas."""
    parameters = [{"name": name, "in": "header", "required": True, "description": text, "schema": schema}
                  for name, (text, schema) in _HEADERS.items()]
    return {kind: {"post": {
        "operationId": f"webhook_{kind.replace('.', '_')}", "tags": ["webhooks"], "summary": summary, "security": [],
        "parameters": parameters,
        "requestBody": {"required": True, "content": {JSON: {"schema": {"$ref": prefix + model.__name__}}}},
        "responses": {"2XX": {"description": "The client has the event. Every other answer means: again, later"}},
    }} for kind, (model, summary) in KINDS.items()}
