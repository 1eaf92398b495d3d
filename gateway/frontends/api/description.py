"""The endpoints in OpenAPI 3.1, as exact as JSON Schema can be: limits, statuses, header fields of answers."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from gateway.errors import Reason
from gateway.frontends.api.bodies import JSON
from gateway.frontends.api.etags import HEADER as MATCH
from gateway.frontends.api.idempotency import HEADER, KEY_CHARACTERS_MAX, REPLAYED
from gateway.frontends.api.webhooks import schemas as webhook_schemas
from gateway.frontends.api.webhooks import webhooks
from gateway.frontends.http.problems import MEDIA_TYPE, RETRY_AFTER_S, TITLES

Statuses = Mapping[int, Mapping[str, Any]]

_SCHEMAS: Final = "#/components/schemas/"
_PROBLEM: Final = {
    "type": "object", "title": "Problem", "description": "RFC 9457",
    "required": ["type", "title", "status", "detail", "reason", "incident"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"}, "title": {"type": "string"},
        "status": {"type": "integer"}, "detail": {"type": "string", "description": "A sentence for people"},
        "reason": {"type": "string", "enum": [str(reason) for reason in Reason],
                   "description": "What went wrong, for programs"},
        "incident": {"type": "string", "description": "Finds the line in the bank's log"},
        "errors": {"type": "array", "description": "Where a body is not as it should be", "items": {
            "type": "object", "required": ["pointer", "detail"], "properties": {
                "pointer": {"type": "string", "description": "RFC 6901"}, "detail": {"type": "string"}}}}}}
_SECURITY: Final = {
    "token": {"type": "http", "scheme": "bearer", "description": "Of a client: `sealgate client token`"},
    "certificate": {"type": "mutualTLS", "description": "Of a client, by its fingerprint in the settings"}}
_RETRY: Final = {"Retry-After": {"description": "Seconds", "schema": {"type": "integer", "const": RETRY_AFTER_S}}}
# Errors of every request; further ones for requests with a body, or with an idempotency key.
_BEARER: Final = {"WWW-Authenticate": {"schema": {"type": "string", "const": "Bearer"}}}
_EVERYWHERE: Final[Statuses] = {400: {}, 401: _BEARER, 403: {}, 404: {}, 409: {}, 429: _RETRY, 500: {}, 503: _RETRY}
_WITH_BODY: Final[Statuses] = {413: {}, 415: {}}
_ONCE: Final[Statuses] = {422: {}}
_CONDITIONAL: Final[Statuses] = {412: {}, 428: {}}
_OPEN: Final[Statuses] = {429: _RETRY, 500: {}, 503: _RETRY}


def asks(model: type[BaseModel], example: dict[str, Any]) -> dict[str, Any]:
    """What an endpoint says of its body, for `openapi_extra`."""
    return {"requestBody": {"required": True, "content": {JSON: {
        "schema": {"$ref": _SCHEMAS + model.__name__}, "examples": {"one": {"value": example}}}}}}


def key_parameter(*, required: bool) -> dict[str, Any]:
    """The Idempotency-Key of an endpoint."""
    return {"name": HEADER, "in": "header", "required": required,
            "description": "The client's own name of this request, such as a UUID: repeated, it is not done twice",
            "schema": {"type": "string", "minLength": 1, "maxLength": KEY_CHARACTERS_MAX,
                       "pattern": "^[!-~]+$"},
            "example": "5b0f8c1e-6c1e-4a0e-9a52-0d7a3f5d9b11"}


def described(generated: dict[str, Any], bodies: Sequence[type[BaseModel]], languages: Sequence[str]) -> dict[str, Any]:
    """FastAPI's description with our errors in place of its own, and with the bodies, which it does not read.

    `languages`: those that codes can be sent in; empty: not known.
    """
    for path in generated["paths"].values():
        for operation in path.values():
            _answers(operation)
    _, asked = models_json_schema([(model, "validation") for model in bodies], ref_template=_SCHEMAS + "{model}")
    components = generated.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas |= asked.get("$defs", {}) | webhook_schemas(_SCHEMAS + "{model}") | {"Problem": _PROBLEM}
    if languages:
        _text_of(schemas["CodeOrder"]["properties"]["language"])["pattern"] = _pattern(languages)
    generated["webhooks"] = webhooks(_SCHEMAS)
    components["securitySchemes"] = _SECURITY
    generated["security"] = [{"token": []}, {"certificate": []}]
    return generated


def _text_of(optional: dict[str, Any]) -> dict[str, Any]:
    return next(one for one in optional["anyOf"] if one.get("type") == "string")


def _pattern(languages: Sequence[str]) -> str:
    """Each of them, and those without a region also with any."""
    plain = "|".join(one for one in languages if "-" not in one)
    regions = "".join(f"|{one}" for one in languages if "-" in one)
    return f"^(({plain})(-[A-Za-z]{{2,4}})?{regions})$"


def _answers(operation: dict[str, Any]) -> None:
    """Every status that can come, each with its problem document and header fields."""
    statuses = dict(_OPEN if operation.get("security") == [] else _EVERYWHERE)
    if "requestBody" in operation:
        statuses |= _WITH_BODY
    responses = operation["responses"]
    responses.pop("422", None)
    if any(one["name"] == HEADER for one in operation.get("parameters", ())):
        statuses |= _ONCE
        for response in responses.values():
            response["headers"] = {REPLAYED: {"description": "This was answered before", "schema": {"const": "true"}}}
    if any(one["name"] == MATCH for one in operation.get("parameters", ())):
        statuses |= _CONDITIONAL
    for status, headers in sorted(statuses.items()):
        responses[str(status)] = {"description": TITLES[status], "content": {
            MEDIA_TYPE: {"schema": {"$ref": _SCHEMAS + "Problem"}}}, **({"headers": headers} if headers else {})}
