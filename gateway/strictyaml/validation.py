"""A document as a pydantic model. What is wrong becomes a problem with its place and remedy."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gateway.strictyaml.declared import KIND, fields_at, kinds_with
from gateway.strictyaml.document import Document, Path, Problem, YamlProblems, nearest, one_of
from gateway.strictyaml.reader import DECIMAL, NUMBER

Model = TypeVar("Model", bound=BaseModel)


def check(model: type[Model], document: Document, at: Path = (),
          value: Any = None) -> tuple[Model | None, list[Problem]]:
    """Holds the part of `document` at `at` (or `value` in its place) against `model`; (None, problems) if it fails.

    Types are strict as in JSON: "5" is not a number and 5 is not a text; lists become tuples, texts become paths.
    """
    if value is None:
        value = document.value
        for step in at:
            value = value[step]
    if value is None and not at:
        return None, [document.problem(at, "the file is empty", "write the settings into it, or name another file")]
    try:
        return model.model_validate_json(json.dumps(value), strict=True), []
    except ValidationError as error:
        details = error.errors(include_url=False)
        found = (_problem(document, at, model, one) for one in details if not _follows(one, details))
        return None, list(dict.fromkeys(found))


def _follows(detail: ErrorDetails, others: Iterable[ErrorDetails]) -> bool:
    """Whether a list is too short only because of faults in its items, each of which is reported."""
    loc = detail["loc"]
    return detail["type"] == "too_short" and any(
        len(one["loc"]) > len(loc) and one["loc"][:len(loc)] == loc for one in others)


def validate(model: type[Model], document: Document) -> Model:
    """The whole document as `model`. Raises YamlProblems with everything that is wrong."""
    good, problems = check(model, document)
    if good is None:
        raise YamlProblems(problems)
    return good


def _problem(document: Document, at: Path, model: type[BaseModel], detail: ErrorDetails) -> Problem:
    kind, given, context = detail["type"], detail["input"], detail.get("ctx", {})
    path = _known_path(document, at, detail["loc"])
    last = next((step for step in reversed(detail["loc"]) if isinstance(step, str)), "the file")
    if kind.startswith("union_tag"):
        return _kind_problem(document, path, last, detail)
    if kind == "extra_forbidden":
        if len(detail["loc"]) > 1 and (kinds := kinds_with(model, detail["loc"][:-1], last)):
            return document.problem(path, f"`{last}` is not valid in an entry of kind {detail['loc'][-2]}",
                                    f"remove it, or write kind: {' or '.join(kinds)}")
        fields = fields_at(model, detail["loc"][:-1])
        return document.problem(path, f"unknown key `{last}`", nearest(last, fields) or one_of(fields), key=True)
    if kind == "too_short" and not given:
        return document.problem(path, f"`{last}` is empty", "write at least one entry")
    if kind == "missing":
        field = fields_at(model, detail["loc"][:-1]).get(last)
        example = next(iter((field.examples if field else None) or ("…",)))
        return document.problem(path, f"`{last}` is missing", f"add `{last}: {example}` here")
    if given is None and kind != "value_error":
        return document.problem(path, f"`{last}` has no value",
                                "write a value; a `#` begins a comment, so quote a text that contains one", key=True)
    if kind in ("literal_error", "enum"):
        words, quoted = _expected(str(context.get("expected", "")))
        if not quoted and isinstance(given, str) and given in words:
            return document.problem(path, f'`{last}` must be a number, not the text "{given}"',
                                    f"write {given} without quotes")
        return document.problem(path, f"`{last}` cannot be `{given}`", nearest(str(given), words) or one_of(words))
    if kind == "string_type" and isinstance(given, bool | int | float):
        return document.problem(path, f"`{last}` must be a text, not a number or boolean",
                                f'quote it: "{json.dumps(given)}"')
    if kind in ("tuple_type", "list_type", "set_type", "frozen_set_type") and isinstance(given, str):
        return document.problem(path, f"`{last}` must be a list, not a single text",
                                f"write [{json.dumps(given, ensure_ascii=False)}]")
    name = "the file" if last == "the file" else f"`{last}`"
    text, remedy = _in_words(kind, given, context)
    if not text:
        text = detail["msg"].removeprefix("Value error, ").replace("Input should", "the value should")
        return document.problem(path, f"{name}: {text[:1].lower()}{text[1:]}", str(context.get("remedy", "")))
    return document.problem(path, f"{name} {text}", str(context.get("remedy", "")) or remedy)


def _kind_problem(document: Document, path: Path, last: str, detail: ErrorDetails) -> Problem:
    """A member of a tagged union without a valid `kind`."""
    given = detail["input"]
    if not isinstance(given, dict):
        text, remedy = _in_words("model_type", given, {})
        return document.problem(path, f"`{last}` {text}", remedy)
    if KIND not in given:
        return document.problem(path, f"`{KIND}` is missing", f"add `{KIND}: …` here")
    if given[KIND] is None:
        return document.problem((*path, KIND), f"`{KIND}` has no value", "write a value", key=True)
    words, _ = _expected(str(detail.get("ctx", {}).get("expected_tags", "")))
    return document.problem((*path, KIND), f"`{KIND}` cannot be `{given[KIND]}`",
                            nearest(str(given[KIND]), words) or one_of(words))


def _in_words(kind: str, given: Any, context: Mapping[str, Any]) -> tuple[str, str]:
    """What a value must be, and how to write it, for the usual kinds of pydantic's errors; ('', '') for the others."""
    shown = f'the text "{given}"' if isinstance(given, str) else json.dumps(given, ensure_ascii=False)[:80]
    for bound, words, remedy in _BOUNDS:
        if bound in context and kind.startswith(("greater", "less")):
            limit = f"{context[bound]:.15g}"
            return f"cannot be {shown}: it must be {words} {limit}", remedy.format(limit)
    if kind.startswith("bool"):
        return f"must be true or false, not {shown}", "write true or false, without quotes"
    if kind.startswith(("int", "float")):
        what = "a whole number" if kind.startswith("int") else "a number"
        quoted = isinstance(given, str) and (DECIMAL if kind.startswith("int") else NUMBER).match(given)
        return f"must be {what}, not {shown}", f"write {given} without quotes" if quoted else f"write {what}"
    if kind == "string_pattern_mismatch":
        return f"cannot be `{given}`", f"write a text that matches the pattern {context['pattern']}"
    if kind in ("string_type", "path_type"):
        return f"must be a text, not {shown}", "write one text"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return f"must be a mapping, not {shown}", "write lines of the form `key: value`"
    if kind in ("tuple_type", "list_type"):
        return f"must be a list, not {shown}", "write the entries in [ ]"
    return "", ""


_BOUNDS: Final = (
    ("ge", "at least", "write {} or more"), ("gt", "greater than", "write more than {}"),
    ("le", "at most", "write {} or less"), ("lt", "less than", "write less than {}"))


def _expected(text: str) -> tuple[list[str], bool]:
    """The allowed values of pydantic's message ("'a', 'b' or 'c'", "1 or 2"), and whether they are texts."""
    quoted = re.findall(r"'([^']*)'", text)
    return (quoted, True) if quoted else (re.split(r", | or ", text), False)


def _known_path(document: Document, at: Path, loc: tuple[str | int, ...]) -> Path:
    """Pydantic's location without what names no node (union members, validators)."""
    path = at
    for step in loc:
        if (*path, step) in document.marks:
            path = (*path, step)
    return path
