"""YAML for people who must be able to rely on it: what a bank's administrator writes is what is meant, or an error.

`load` reads one document into plain values and keeps every node's mark; `check` and `validate` hold it against a
pydantic model. What is wrong is told all at once, each with file:line:column and the remedy.

Of YAML 1.1 (PyYAML's dialect) the surprises are refused rather than interpreted: `off` and `yes` (booleans there),
`010` (8), `1:30` (90), `1_000`, duplicate keys (the last one wins), anchors, aliases, merge keys, tags, several
documents. Texts and keys stay texts; numbers are plain decimals; booleans are `true` and `false`.
Imports errors only; opens no file.
"""

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gateway.errors import GatewayError, Reason

OCTETS_MAX = 1_048_576  # 1 MiB: a policy of a thousand rules has a tenth of it
DEPTH_MAX = 32
NODES_MAX = 100_000

Path = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)

_BOOLEAN_TRAP = re.compile(r"(?i:yes|no|on|off|true|false)$")
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]{0,17})$")
_FRACTION = re.compile(r"-?(?:0|[1-9][0-9]{0,17})\.[0-9]{1,17}$")
_ODD_NUMBER = re.compile(
    r"[-+]?(?:0[0-9_]+|0[xob][0-9a-fA-F_]+|[0-9][0-9_]*|[0-9_]*\.[0-9_]+(?:[eE][-+]?[0-9]+)?|[0-9]+\."
    r"|[0-9]+[eE][-+]?[0-9]+|[0-9]+(?::[0-5]?[0-9])+(?:\.[0-9]*)?|\.(?i:inf)|\.(?i:nan))$")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. `place` is 'file:line:column', counted from 1; `remedy` '' where none is known."""

    place: str
    text: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.text}" + (f" ({self.remedy})" if self.remedy else "")


class YamlProblems(GatewayError):  # noqa: N818 - it is a list of them
    """All problems of one or several files, in the order of their places: CONFIG_INVALID."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(Reason.CONFIG_INVALID, "\n".join(map(str, self.problems)))


@dataclass(frozen=True, slots=True)
class Document:
    """Plain values (dict, list, str, int, float, bool, None) and where each stands.

    `marks`: path of a value to (line, column) of the value, from 1; `keys`: the same for the key that names it.
    """

    name: str
    value: Any
    marks: Mapping[Path, tuple[int, int]] = field(repr=False)
    keys: Mapping[Path, tuple[int, int]] = field(repr=False)

    def place(self, path: Path, *, key: bool = False) -> str:
        """'file:line:column' of what stands at `path`, or of the nearest thing around it that exists."""
        while True:
            mark = (self.keys.get(path) if key else None) or self.marks.get(path)
            if mark is not None or not path:
                line, column = mark or (1, 1)
                return f"{self.name}:{line}:{column}"
            path = path[:-1]

    def problem(self, path: Path, text: str, remedy: str = "", *, key: bool = False) -> Problem:
        """A Problem at `path`."""
        return Problem(self.place(path, key=key), text, remedy)


def nearest(word: str, words: Iterable[str]) -> str:
    """A remedy that names the nearest of `words`: 'did you mean `sign`?', '' if none is near."""
    known = {w.lower(): w for w in words}
    found = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    return f"did you mean `{known[found[0]]}`?" if found else ""


def load(text: str, name: str) -> Document:
    """Reads one YAML document. `name` stands in places, usually the file's path.

    Raises YamlProblems with everything that is wrong.
    """
    if len(text.encode("utf-8", "surrogatepass")) > OCTETS_MAX:
        raise YamlProblems([Problem(f"{name}:1:1", f"the file is larger than {OCTETS_MAX} octets")])
    composer = _Composer(text, name)
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            composer.take(event)
    except yaml.MarkedYAMLError as error:
        composer.problems.append(_syntax_problem(error, text, name))
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        composer.problems.append(Problem(f"{name}:{line}:1", f"character U+{error.character:04X} is not allowed",
                                         "remove it"))
    if composer.problems:
        raise YamlProblems(composer.problems)
    return Document(name, composer.value, composer.marks, composer.keys)


@dataclass(slots=True)
class _Frame:
    """An open mapping or sequence. `key` is the waiting key of a mapping; `last` the text before a flow comma."""

    value: dict[str, Any] | list[Any]
    path: Path
    flow: bool
    key: str | None = None
    last: str = ""


def _mark(event: yaml.Event) -> yaml.Mark:
    """Every event of yaml.parse over a text has its mark; only hand-made ones lack it."""
    mark = event.start_mark
    if not isinstance(mark, yaml.Mark):
        raise YamlProblems([Problem("?:1:1", "an event without a place")])
    return mark


def _position(event: yaml.Event) -> tuple[int, int]:
    mark = _mark(event)
    return mark.line + 1, mark.column + 1


class _Composer:
    """Events to values, without recursion, collecting problems instead of stopping at the first."""

    def __init__(self, text: str, name: str) -> None:
        self.text = text
        self.name = name
        self.value: Any = None
        self.marks: dict[Path, tuple[int, int]] = {}
        self.keys: dict[Path, tuple[int, int]] = {}
        self.problems: list[Problem] = []
        self._stack: list[_Frame] = []
        self._documents = 0
        self._skip = 0  # depth inside a key that is not a text

    def take(self, event: yaml.Event) -> None:
        """The next event of the parser."""
        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents == 2:
                self._tell(event, "a second document begins", "one document a file: remove the `---`")
        elif isinstance(event, yaml.CollectionStartEvent):
            self._open(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._close()
        elif isinstance(event, yaml.ScalarEvent):
            self._scalar(event)
        elif isinstance(event, yaml.AliasEvent) and not self._skip:
            self._tell(event, f"`*{event.anchor}` is an alias; aliases are not read",
                       f'quote it if it is a text: "*{event.anchor}"')
            frame = self._stack[-1] if self._stack else None
            if frame is not None and isinstance(frame.value, dict) and frame.key is None:
                frame.key = f"*{event.anchor}"
            else:
                self._put(event, None)

    def _tell(self, event: yaml.Event, text: str, remedy: str = "") -> None:
        line, column = _position(event)
        self.problems.append(Problem(f"{self.name}:{line}:{column}", text, remedy))

    def _open(self, event: yaml.CollectionStartEvent) -> None:
        frame = self._stack[-1] if self._stack else None
        if self._skip or (frame is not None and isinstance(frame.value, dict) and frame.key is None):
            if not self._skip:
                self._tell(event, "a key must be a text", "is a text that begins with [ or { meant? quote it")
            self._skip += 1
            return
        self._refuse_tag(event, event.tag)
        if len(self._stack) >= DEPTH_MAX:
            raise yaml.MarkedYAMLError(problem=f"nested deeper than {DEPTH_MAX}", problem_mark=_mark(event))
        value: dict[str, Any] | list[Any] = {} if isinstance(event, yaml.MappingStartEvent) else []
        path = self._put(event, value)
        self._stack.append(_Frame(value, path, bool(event.flow_style)))

    def _close(self) -> None:
        if self._skip:
            self._skip -= 1
            if not self._skip:
                self._stack[-1].key = ""
            return
        self._stack.pop()

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        if self._skip:
            return
        frame = self._stack[-1] if self._stack else None
        if frame is not None and isinstance(frame.value, dict) and frame.key is None:
            self._key(event, frame, frame.value)
            return
        self._refuse_tag(event, event.tag)
        if frame is not None and isinstance(frame.value, dict) and frame.flow and not event.value and not event.style:
            self._flow_without_value(event, frame)
        self._put(event, self._resolve(event))
        if frame is not None:
            frame.last = event.value

    def _key(self, event: yaml.ScalarEvent, frame: _Frame, value: dict[str, Any]) -> None:
        key = event.value
        frame.key = key
        here = _position(event)
        self._refuse_tag(event, event.tag)
        if key == "<<" and not event.style:
            self._tell(event, "merge keys are not read", "write the values out")
        elif not key:
            self._tell(event, "a key is empty")
        elif key in value:
            line, column = self.keys[(*frame.path, key)]
            self._tell(event, f"`{key}` stands here a second time", f"the first is at {line}:{column}")
        self.keys.setdefault((*frame.path, key), here)

    def _put(self, event: yaml.Event, value: Any) -> Path:
        """Places a value into what is open; returns its path."""
        path: Path = ()
        if not self._stack:
            if self._documents == 1:
                self.value = value
        else:
            frame = self._stack[-1]
            if isinstance(frame.value, list):
                path = (*frame.path, len(frame.value))
                frame.value.append(value)
            else:
                path = (*frame.path, frame.key or "")
                frame.value.setdefault(frame.key or "", value)
                frame.key = None
        if len(self.marks) >= NODES_MAX:
            raise yaml.MarkedYAMLError(problem=f"more than {NODES_MAX} values", problem_mark=_mark(event))
        self.marks.setdefault(path, _position(event))
        return path

    def _refuse_tag(self, event: yaml.NodeEvent, tag: str | None) -> None:
        if tag is not None:
            self._tell(event, "tags are not read", "quote it if a text that begins with ! is meant")
        if event.anchor is not None:
            self._tell(event, f"`&{event.anchor}` is an anchor; anchors are not read",
                       "write the value out, or quote it if a text that begins with & is meant")

    def _flow_without_value(self, event: yaml.ScalarEvent, frame: _Frame) -> None:
        key = frame.key or ""
        if ":" in key and not key.endswith(":"):
            left, _, right = key.partition(":")
            remedy = f"a space after the colon: `{left}: {right}`"
        elif frame.last:
            remedy = f'does the comma belong to the text? quote it all: "{frame.last}, {key}"; otherwise `{key}: {{}}`'
        else:
            remedy = f"for nothing but defaults write `{key}: {{}}`"
        self._tell(event, f"`{key}` has no value; inside {{…}} a comma ends the value before it", remedy)

    def _resolve(self, event: yaml.ScalarEvent) -> str | int | float | bool | None:
        text: str = event.value
        if event.style:
            start = _mark(event).index
            if event.style in "|>" and self.text[start + 1:start + 3].strip("+-")[:1].isdigit():
                self._tell(event, f"`{event.style}` begins a block text here",
                           "a comparison is written {over: 10 MiB}; a text that begins with it needs quotes")
            return text
        if text in ("", "~", "null"):
            return None
        if text in ("true", "false"):
            return text == "true"
        if _BOOLEAN_TRAP.match(text):
            meant = "true" if text.lower() in ("yes", "on", "true") else "false"
            self._tell(event, f"`{text}` is a boolean to some YAML readers and a text to others",
                       f'write {meant}, or "{text}" for the text')
        elif _DECIMAL.match(text):
            return int(text)
        elif _FRACTION.match(text):
            return float(text)
        elif _ODD_NUMBER.match(text):
            plain = text.lstrip("+0") or "0"
            advice = f"write {plain}" if text.isdigit() and len(plain) < 18 else "write a plain decimal"
            self._tell(event, f"`{text}` is read differently by different YAML readers",
                       f'{advice}, or "{text}" for the text')
        return text


def _syntax_problem(error: yaml.MarkedYAMLError, text: str, name: str) -> Problem:
    """PyYAML's words to ours, with the remedy for what people usually meant."""
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return Problem(f"{name}:1:1", str(error.problem or "not YAML"))
    line = text.splitlines()[mark.line] if mark.line < len(text.splitlines()) else ""
    context, problem = error.context or "", error.problem or ""
    value = _value_of(line)
    quoted = f'quote it: "{value}"' if value and '"' not in value else f"quote it: '{value}'"
    said = (problem, "")
    if "cannot start any token" in problem:
        char = line[mark.column:mark.column + 1]
        said = (("a tab stands where spaces must", "indent with spaces") if char == "\t"
                else _BLOCK_TEXT if char in (">", "|")
                else (f"a text may not begin with `{char}`", quoted))
    elif "alias" in context or "anchor" in context:
        said = ("a text that begins with `*` or `&` is no text without quotes", quoted)
    elif "block scalar" in context:
        said = _BLOCK_TEXT
    elif "escape" in problem:
        said = (r'in "…" a backslash begins an escape', r"a pattern goes into single quotes: '\d+'")
    elif "mapping values are not allowed" in problem:
        said = ("a second `: ` in one line", "a text that contains `: ` needs quotes; otherwise check the indentation")
    elif "expected ',' or" in problem:
        said = ("inside {…} and […] a value ends at , } ] and cannot go on after a bracket",
                "quote the whole text or pattern: '…'")
    elif value[:1] in ("[", "{", '"', "'") and ("expected <block end>" in problem or "could not find" in problem):
        said = ("there is more text behind the closing bracket or quote", quoted if value[0] in "[{" else
                "one pair of quotes around the whole text")
    elif "expected <block end>" in problem:
        said = ("this line is indented differently from its neighbours", "align it")
    return Problem(f"{name}:{mark.line + 1}:{mark.column + 1}", *said)


_BLOCK_TEXT: Final = ("`>` and `|` begin a block text", "a comparison is written {over: 10 MiB}; a text needs quotes")


def _value_of(line: str) -> str:
    """What stands behind `key: ` or `- ` in a line, for showing it quoted."""
    rest = line.strip()
    while rest.startswith("- "):
        rest = rest[2:].lstrip()
    if not rest.startswith(("[", "{", '"', "'", "@", "*", "&", "`", "%")):
        rest = rest.partition(": ")[2].strip() or rest
    inner = re.search(r"[{,\[]\s*(?:[\w-]+:\s*)?([@*&`%][^,}\]]*)", rest)
    return inner.group(1).strip() if inner else rest


def check(model: type[Model], document: Document, at: Path = (),
          value: Any = None) -> tuple[Model | None, list[Problem]]:
    """Holds the part of `document` at `at` (or `value` in its place) against `model`; (None, problems) if it fails.

    Types are strict as in JSON: "5" is no number and 5 is no text; lists are tuples, texts are paths.
    """
    if value is None:
        value = document.value
        for step in at:
            value = value[step]
    if value is None and not at:
        return None, [document.problem(at, "the file is empty")]
    try:
        return model.model_validate_json(json.dumps(value), strict=True), []
    except ValidationError as error:
        details = error.errors(include_url=False)
        found = (_problem(document, at, model, one) for one in details if not _follows(one, details))
        return None, list(dict.fromkeys(found))


def _follows(detail: ErrorDetails, others: Iterable[ErrorDetails]) -> bool:
    """Whether a list is too short because of what is wrong in its items, each of which is told."""
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
    if kind == "extra_forbidden":
        fields = _fields_at(model, detail["loc"][:-1])
        return document.problem(path, f"unknown key `{last}`", nearest(last, fields) or _one_of(fields), key=True)
    if kind == "too_short" and not given:
        return document.problem(path, f"`{last}` is empty")
    if kind == "missing":
        return document.problem(path, f"`{last}` is missing")
    if given is None and kind != "value_error":
        return document.problem(path, f"`{last}` has no value", "a `#` begins a comment: quote a text that holds one",
                                key=True)
    if kind in ("literal_error", "enum"):
        words = re.findall(r"'([^']*)'", str(context.get("expected", "")))
        return document.problem(path, f"`{last}` cannot be `{given}`", nearest(str(given), words) or _one_of(words))
    if kind == "string_type" and isinstance(given, bool | int | float):
        return document.problem(path, f"`{last}` must be a text", f'quote it: "{json.dumps(given)}"')
    if kind in ("tuple_type", "list_type", "set_type", "frozen_set_type") and isinstance(given, str):
        return document.problem(path, f"`{last}` must be a list", f"write [{json.dumps(given, ensure_ascii=False)}]")
    text = detail["msg"].removeprefix("Value error, ").replace("Input should be", "should be")
    return document.problem(path, f"`{last}`: {text[:1].lower()}{text[1:]}", str(context.get("remedy", "")))


def _one_of(words: Iterable[str]) -> str:
    return "one of: " + ", ".join(sorted(words))


def _known_path(document: Document, at: Path, loc: tuple[str | int, ...]) -> Path:
    """Pydantic's location without what names no node (union members, validators)."""
    path = at
    for step in loc:
        if (*path, step) in document.marks:
            path = (*path, step)
    return path


def _fields_at(model: type[BaseModel], loc: tuple[str | int, ...]) -> list[str]:
    """Names that a model allows at a location inside it: aliases where a field has one."""
    candidates: list[type[BaseModel]] = [model]
    for step in loc:
        inner: list[type[BaseModel]] = []
        for candidate in candidates:
            for name, info in candidate.model_fields.items():
                if step in (info.alias, name):
                    inner += _models_in(info.annotation)
        candidates = inner or candidates
    return [info.alias or name for candidate in candidates for name, info in candidate.model_fields.items()]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_in(argument)]
