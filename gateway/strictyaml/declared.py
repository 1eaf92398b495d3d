"""What a pydantic model declares at a path: names of fields, and kinds of values."""

from pathlib import Path as OsPath
from typing import Any, Final, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from gateway.strictyaml.document import Path

KIND: Final = "kind"  # the field that distinguishes the members of a tagged union


def fields_at(model: type[BaseModel], loc: tuple[str | int, ...]) -> dict[str, FieldInfo]:
    """Names that a model allows at a location inside it, aliases where a field has one; the field of each."""
    return {info.alias or name: info for one in _models_at(model, loc) for name, info in one.model_fields.items()}


def kinds_with(model: type[BaseModel], loc: tuple[str | int, ...], name: str) -> list[str]:
    """The kinds of a tagged union that have a field of this name. `loc` ends with the tag of another kind."""
    return [tag for one in _models_at(model, loc[:-1]) if name in one.model_fields for tag in _tags(one)]


def _models_at(model: type[BaseModel], loc: tuple[str | int, ...]) -> list[type[BaseModel]]:
    """The models at a location of pydantic's, which has the tag of a tagged union as a step."""
    found: list[type[BaseModel]] = [model]
    for step in loc:
        inner: list[type[BaseModel]] = []
        for one in found:
            for name, info in one.model_fields.items():
                if step in (info.alias, name):
                    inner += models_in(info.annotation)
        found = inner or [one for one in found if step in _tags(one)] or found
    return found


def _tags(model: type[BaseModel]) -> list[str]:
    return [str(one) for one in get_args(model.model_fields[KIND].annotation)] if KIND in model.model_fields else []


def kinds_at(model: type[BaseModel], path: Path) -> frozenset[type | str]:
    """What a model declares for the value at a path: bool, int, float, str, and the words of a Literal."""
    models: list[type[BaseModel]] = [model]
    kinds: list[type | str] = []
    for step in (step for step in path if isinstance(step, str)):
        fields = [info for one in models for name, info in one.model_fields.items() if step == (info.alias or name)]
        kinds = [kind for info in fields for kind in _kinds_in(info.annotation)]
        models = [inner for info in fields for inner in models_in(info.annotation)]
    return frozenset(kinds)


def _kinds_in(annotation: Any) -> list[type | str]:
    if annotation in (bool, int, float, str):
        return [annotation]
    if isinstance(annotation, type) and issubclass(annotation, OsPath):
        return [str]
    if get_origin(annotation) is Literal:
        return [one if isinstance(one, str) else type(one) for one in get_args(annotation)]
    return [kind for argument in get_args(annotation) for kind in _kinds_in(argument)]


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models in an annotation, such as those of a union or of a tuple's items."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in models_in(argument)]
