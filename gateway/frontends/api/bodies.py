"""The body of a request: octets -> a value that cannot be wrong, or a problem document that says where it is.

RFC 8259, and strictly: a name twice in one object is refused (which of the two would count?), so are NaN, lone
surrogates and NUL, which no database takes. The fault is reported to the client by JSON pointer (RFC 6901) and
in words that quote none of the body; it is reported to no one else.
"""

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, NoReturn, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from gateway.errors import Reason
from gateway.frontends.http.problems import Problem, ProblemError, of_status

JSON: Final = "application/json"
EXACT: Final = 2.0 ** 53  # floating point knows each integer below it
TOLD_MAX: Final = 20  # errors of one body

_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Body(Generic[Model]):
    """`canonical`: the same octets for equal JSON values: names sorted, no blanks. `parsed`: it as JSON."""

    value: Model
    canonical: bytes
    parsed: Any


def body_of(model: type[Model]) -> Callable[[Request], Awaitable[Body[Model]]]:
    """A dependency of endpoints that reads a body of this model. ProblemError 415, 413, 400."""

    async def read(request: Request) -> Body[Model]:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
            raise ProblemError(of_status(415))
        return parse(await request.body(), model)

    return read


def parse(octets: bytes, model: type[Model]) -> Body[Model]:
    """ProblemError 400, with `errors` where it is JSON at all."""
    try:
        value = json.loads(octets.decode("utf-8"), object_pairs_hook=_object, parse_constant=_refuse,
                           parse_float=_number)
        canonical = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode("utf-8")
    except (ValueError, RecursionError):
        raise ProblemError(malformed([("", "The body is not valid JSON, or repeats a name in an object.")])) from None
    if _NUL.search(canonical):
        raise ProblemError(malformed([("", "A text contains the character NUL. Remove it.")]))
    try:
        return Body(model.model_validate_json(canonical, strict=True), canonical, value)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False, include_input=False)
        wrong = [(_pointer(one["loc"]), one["msg"] + ".") for one in errors[:TOLD_MAX]]
    raise ProblemError(malformed(wrong))


def malformed(errors: list[tuple[str, str]], reason: Reason = Reason.INPUT_MALFORMED, status: int = 400) -> Problem:
    """Each error's place and words. 422 where the request has the right form, and contradicts itself."""
    return Problem(status, reason, "The request is not as it should be: `errors` says where.", {}, {
        "errors": [{"pointer": pointer, "detail": detail} for pointer, detail in errors]})


def _object(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a name twice")
    return made


def _number(text: str) -> int | float:
    """5.0 is an integer, as JSON Schema has it."""
    number = float(text)
    return int(number) if number.is_integer() and abs(number) < EXACT else number


def _refuse(_: str) -> NoReturn:
    raise ValueError("no number")


def _pointer(location: tuple[int | str, ...]) -> str:
    """RFC 6901. The name of a choice of models, such as <payment>, is no step of the body's."""
    steps = [step for step in map(str, location) if not (step.startswith("<") and step.endswith(">"))]
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)
