"""YAML to a document: events to values, with every ambiguity as a problem."""

import re
from dataclasses import dataclass
from typing import Any, Final

import yaml
from pydantic import BaseModel

from gateway.strictyaml.declared import kinds_at
from gateway.strictyaml.document import Document, Path, Problem, YamlProblems, nearest, one_of

OCTETS_MAX = 1_048_576  # 1 MiB: a policy of a thousand rules has a tenth of it
DEPTH_MAX = 32
NODES_MAX = 100_000

_BOOLEAN_TRAP = re.compile(r"(?i:yes|no|on|off|true|false)$")
DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]{0,17})$")
_FRACTION = re.compile(r"-?(?:0|[1-9][0-9]{0,17})\.[0-9]{1,17}$")
NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,17})?$")
_ODD_NUMBER = re.compile(
    r"[-+]?(?:0[0-9_]+|0[xob][0-9a-fA-F_]+|[0-9][0-9_]*|[0-9_]*\.[0-9_]+(?:[eE][-+]?[0-9]+)?|[0-9]+\."
    r"|[0-9]+[eE][-+]?[0-9]+|[0-9]+(?::[0-5]?[0-9])+(?:\.[0-9]*)?|\.(?i:inf)|\.(?i:nan))$")


def load(text: str, name: str, model: type[BaseModel] | None = None) -> Document:
    """Reads one YAML document. `name` is the file's name in places, usually its path.

    `model` is not checked here: only the remedy for an ambiguous value depends on the type that it declares.
    Raises YamlProblems with all problems.
    """
    if len(text.encode("utf-8", "surrogatepass")) > OCTETS_MAX:
        raise YamlProblems([Problem(f"{name}:1:1", f"the file is larger than {OCTETS_MAX} octets",
                                    "split it into several files")])
    composer = _Composer(text, name, model)
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            composer.take(event)
    except yaml.MarkedYAMLError as error:
        composer.problems.append(_syntax_problem(error, text, name))
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        composer.problems.append(Problem(
            f"{name}:{line}:1", f"the character U+{error.character:04X} is not allowed in YAML", "remove it"))
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

    def __init__(self, text: str, name: str, model: type[BaseModel] | None = None) -> None:
        self.text = text
        self.name = name
        self.model = model
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
                self._tell(event, "a second YAML document begins here", "write one document per file: remove the `---`")
        elif isinstance(event, yaml.CollectionStartEvent):
            self._open(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._close()
        elif isinstance(event, yaml.ScalarEvent):
            self._scalar(event)
        elif isinstance(event, yaml.AliasEvent) and not self._skip:
            self._tell(event, f"`*{event.anchor}` is a YAML alias, which is not supported",
                       f'write the value out, or quote it if it is a text: "*{event.anchor}"')
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
                self._tell(event, "a key must be a text", "if the key is a text that begins with [ or {, quote it")
            self._skip += 1
            return
        self._refuse_tag(event, event.tag)
        if len(self._stack) >= DEPTH_MAX:
            raise yaml.MarkedYAMLError(problem=f"nested deeper than {DEPTH_MAX} levels", problem_mark=_mark(event))
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
        self._put(event, self._resolve(event, self._path(frame)))
        if frame is not None:
            frame.last = event.value

    def _key(self, event: yaml.ScalarEvent, frame: _Frame, value: dict[str, Any]) -> None:
        key = event.value
        frame.key = key
        here = _position(event)
        self._refuse_tag(event, event.tag)
        if key == "<<" and not event.style:
            self._tell(event, "`<<` is a YAML merge key, which is not supported", "write the values out")
        elif not key:
            self._tell(event, "the key is empty", "write a key before the colon, or remove the line")
        elif key in value:
            line, column = self.keys[(*frame.path, key)]
            self._tell(event, f"the key `{key}` is repeated",
                       f"remove one of the two; the first is at {line}:{column}")
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
            raise yaml.MarkedYAMLError(problem=f"the file has more than {NODES_MAX} values", problem_mark=_mark(event))
        self.marks.setdefault(path, _position(event))
        return path

    def _refuse_tag(self, event: yaml.NodeEvent, tag: str | None) -> None:
        if tag is not None:
            self._tell(event, "`!` begins a YAML tag, which is not supported",
                       "remove it, or quote it if it is a text that begins with !")
        if event.anchor is not None:
            self._tell(event, f"`&{event.anchor}` is a YAML anchor, which is not supported",
                       "write the value out, or quote it if it is a text that begins with &")

    def _flow_without_value(self, event: yaml.ScalarEvent, frame: _Frame) -> None:
        key = frame.key or ""
        if ":" in key and not key.endswith(":"):
            left, _, right = key.partition(":")
            remedy = f"write a space after the colon: `{left}: {right}`"
        elif frame.last:
            remedy = (f'if the comma belongs to the text, quote it all: "{frame.last}, {key}"; '
                      f"otherwise write `{key}: {{}}`")
        else:
            remedy = f"to use only the defaults write `{key}: {{}}`"
        self._tell(event, f"`{key}` has no value; inside {{…}} a comma ends the value before it", remedy)

    @staticmethod
    def _path(frame: _Frame | None) -> Path:
        """The path of the value that comes next in what is open."""
        if frame is None:
            return ()
        return (*frame.path, len(frame.value) if isinstance(frame.value, list) else frame.key or "")

    def _remedy(self, path: Path, meant: str, text: str) -> str:
        """How to write an ambiguous boolean, by the type that the model declares for it."""
        kinds = kinds_at(self.model, path) if self.model is not None else frozenset()
        words = sorted(kind for kind in kinds if isinstance(kind, str))
        if not kinds or (bool in kinds and str in kinds):
            return f'write {meant}, or "{text}" for the text'
        if bool in kinds:
            return f"write {meant}"
        if str in kinds:
            return f'quote it: "{text}"'
        if words:
            return nearest(text, words) or one_of(words)
        return f"`{path[-1]}` is a number: write one" if path and kinds & {int, float} else "write a valid value"

    def _resolve(self, event: yaml.ScalarEvent, path: Path) -> str | int | float | bool | None:
        text: str = event.value
        if event.style:
            start = _mark(event).index
            if event.style in "|>" and self.text[start + 1:start + 3].strip("+-")[:1].isdigit():
                self._tell(event, f"`{event.style}` begins a YAML block text here",
                           "write a comparison as {over: 10 MiB}; quote a text that begins with this character")
            return text
        if text in ("", "~", "null"):
            return None
        if text in ("true", "false"):
            return text == "true"
        if _BOOLEAN_TRAP.match(text):
            meant = "true" if text.lower() in ("yes", "on", "true") else "false"
            self._tell(event, f"`{text}` is ambiguous: some YAML readers take it for a boolean, others for a text",
                       self._remedy(path, meant, text))
        elif DECIMAL.match(text):
            return int(text)
        elif _FRACTION.match(text):
            return float(text)
        elif _ODD_NUMBER.match(text):
            plain = text.lstrip("+0") or "0"
            advice = f"write {plain}" if text.isdigit() and len(plain) < 18 else "write a plain decimal"
            self._tell(event, f"`{text}` is ambiguous: YAML readers take it for different numbers or for a text",
                       f'{advice}, or "{text}" for the text')
        return text


def _syntax_problem(error: yaml.MarkedYAMLError, text: str, name: str) -> Problem:
    """Translates PyYAML's message, with the remedy for the usual cause."""
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return Problem(f"{name}:1:1", str(error.problem or "this is not valid YAML"))
    line = text.splitlines()[mark.line] if mark.line < len(text.splitlines()) else ""
    context, problem = error.context or "", error.problem or ""
    value = _value_of(line)
    quoted = f'quote it: "{value}"' if value and '"' not in value else f"quote it: '{value}'"
    texts = (f"invalid YAML: {problem}", "correct this line; check brackets, quotes and indentation")
    if "cannot start any token" in problem:
        char = line[mark.column:mark.column + 1]
        texts = (("a tab is used for indentation", "indent with spaces") if char == "\t"
                else _BLOCK_TEXT if char in (">", "|")
                else (f"a text without quotes cannot begin with `{char}`", quoted))
    elif "alias" in context or "anchor" in context:
        texts = ("a text without quotes cannot begin with `*` or `&`", quoted)
    elif "block scalar" in context:
        texts = _BLOCK_TEXT
    elif "escape" in problem:
        texts = (r'inside "…" a backslash begins an escape sequence', r"write a pattern in single quotes: '\d+'")
    elif "mapping values are not allowed" in problem:
        texts = ("the line has a second `: `",
                 "a text that contains `: ` needs quotes; otherwise check the indentation")
    elif "expected ',' or" in problem:
        texts = ("inside {…} and […] a value ends at , } ] and cannot continue after a bracket",
                "quote the whole text or pattern: '…'")
    elif value[:1] in ("[", "{", '"', "'") and ("expected <block end>" in problem or "could not find" in problem):
        texts = ("there is more text after the closing bracket or quote", quoted if value[0] in "[{" else
                "put one pair of quotes around the whole text")
    elif "expected <block end>" in problem:
        texts = ("the indentation of this line does not match the lines around it", "align it with them")
    return Problem(f"{name}:{mark.line + 1}:{mark.column + 1}", *texts)


_BLOCK_TEXT: Final = ("`>` and `|` begin a YAML block text",
                      "write a comparison as {over: 10 MiB}; quote a text that begins with this character")


def _value_of(line: str) -> str:
    """The text behind `key: ` or `- ` in a line, for showing it quoted."""
    rest = line.strip()
    while rest.startswith("- "):
        rest = rest[2:].lstrip()
    if not rest.startswith(("[", "{", '"', "'", "@", "*", "&", "`", "%")):
        rest = rest.partition(": ")[2].strip() or rest
    inner = re.search(r"[{,\[]\s*(?:[\w-]+:\s*)?([@*&`%][^,}\]]*)", rest)
    return inner.group(1).strip() if inner else rest
