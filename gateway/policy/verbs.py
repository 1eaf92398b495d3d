"""What the policy language must know of a verb, and the words that are reserved for later versions."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

from pydantic import BaseModel

from gateway.model.mail import Direction


class VerbSpec(Protocol):
    """A verb as the rules see it. `rank` is its place in the order of sealing; `params` a frozen, hashable model."""

    @property
    def name(self) -> str:
        """The word in `then`."""
        ...

    @property
    def rank(self) -> int:
        """Lower ones are done first."""
        ...

    @property
    def params(self) -> type[BaseModel]:
        """The permitted arguments of the word."""
        ...

    @property
    def directions(self) -> frozenset[Direction]:
        """Recipients for whom it can be done."""
        ...

    @property
    def summary(self) -> str:
        """One line for people."""
        ...


# Reserved words that are not supported yet. They are reported by name instead of as a spelling mistake.
LATER = "is not supported in this version of Sealgate"
LATER_VERBS = frozenset({"sign_pdf"})
LATER_VALUES: Mapping[tuple[str, str], frozenset[str]] = MappingProxyType({})
LATER_FILE_KEYS = frozenset({"approvers", "approved_by", "signatures"})


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a verb for people: `default` '' with `required`, else as written in YAML."""

    name: str
    type: str
    required: bool
    default: str
    note: str


@dataclass(frozen=True, slots=True)
class VerbRow:
    """One verb for people."""

    name: str
    rank: int
    directions: tuple[str, ...]
    summary: str
    parameters: tuple[Parameter, ...]


def listing(verbs: Mapping[str, VerbSpec]) -> tuple[VerbRow, ...]:
    """Every verb in the order of sealing, with its parameters read off its model."""
    return tuple(
        VerbRow(verb.name, verb.rank, tuple(sorted(verb.directions)), verb.summary, _parameters(verb))
        for verb in sorted(verbs.values(), key=lambda verb: verb.rank))


def _parameters(verb: VerbSpec) -> tuple[Parameter, ...]:
    rows = []
    properties: dict[str, Any] = verb.params.model_json_schema().get("properties", {})
    for name, info in verb.params.model_fields.items():
        shown = info.alias or name.rstrip("_")
        schema = properties.get(info.alias or name, {})
        later = LATER_VALUES.get((verb.name, shown), frozenset())
        default = "" if info.is_required() else _yaml(info.default)
        rows.append(Parameter(shown, _type(schema, later), info.is_required(), default, info.description or ""))
    return tuple(rows)


def _type(schema: Mapping[str, Any], later: Iterable[str]) -> str:
    if "enum" in schema:
        return " | ".join(str(word) for word in schema["enum"] if word not in later)
    if "const" in schema:
        return str(schema["const"])
    if "anyOf" in schema:
        return " | ".join(_type(option, later) for option in schema["anyOf"] if option.get("type") != "null")
    if schema.get("type") == "array" and "prefixItems" in schema.get("items", {}):
        return "{name: text}"
    return {"string": "text", "integer": "number", "number": "number", "boolean": "true | false",
            "array": "list"}.get(str(schema.get("type")), "text")


def _yaml(value: object) -> str:
    if value is None or value == ():
        return "none"
    if isinstance(value, str) and not value.replace("_", "").isalnum():
        return f'"{value}"'
    return str(value).lower() if isinstance(value, bool) else str(value)
