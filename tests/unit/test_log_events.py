"""docs/log-events.md lists every event that is written, with its levels and fields. Truth: the program's syntax trees.

A new log line needs a row there: whoever is woken by it at night has nothing else.
"""

import ast
import json
import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gateway.frontends.telemetry.log_events import MESSAGES

ROOT = Path(__file__).parents[2]
LEVELS = {"debug": "debug", "info": "info", "warning": "warning", "error": "error", "critical": "critical",
          "exception": "error"}
# Written without a call of the logger that a reader of syntax trees could see, and fields that come as a mapping.
BY_HAND = {
    "request": ({"info", "debug"}, {"incident", "peer", "method", "path", "status", "partner", "octets", "ms"}),
    "process.output": ({"error"}, {"text"}),
    "mail": ({"info"}, {"reason", "detail", "to", "queue_id", "forwarded"}),
    "session.rejected": ({"info"}, {"unlogged"}),
    "session.timeout": ({"info"}, {"unlogged"}),
    "internal.error": ({"error"}, {"incident"}),
    "rules.loaded": ({"info"}, {"digest", "rules", "settings"}),
    "reload.done": ({"info"}, {"digest", "rules", "settings"}),
    "fetch.done": ({"info"}, {"kind", "url"}),
    "fetch.failed": ({"warning"}, {"kind", "url"}),
}


@dataclass
class Event:
    levels: set[str] = field(default_factory=set)
    fields: set[str] = field(default_factory=set)


def events_in(source: str) -> dict[str, Event]:
    found: dict[str, Event] = defaultdict(Event)
    for node in ast.walk(ast.parse(source)):
        if (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LEVELS
                and ast.unparse(node.func.value) == "log" and node.args):
            for name in names_of(node.args[0]):
                found[name].levels.add(LEVELS[node.func.attr])
                found[name].fields |= {one.arg for one in node.keywords if one.arg}
    return found


def names_of(node: ast.expr) -> list[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.IfExp):
        return [*names_of(node.body), *names_of(node.orelse)]
    pytest.fail(f"an event is a word of the program, not {ast.unparse(node)}: alarms and metrics go by it")


def written() -> dict[str, Event]:
    found: dict[str, Event] = defaultdict(Event)
    for path in (ROOT / "gateway").rglob("*.py"):
        for name, event in events_in(path.read_text()).items():
            found[name].levels |= event.levels
            found[name].fields |= event.fields
    for name, (levels, fields) in BY_HAND.items():
        found[name].levels |= levels
        found[name].fields |= fields
    return found


def documented() -> dict[str, Event]:
    page = (ROOT / "docs" / "log-events.md").read_text()
    return {name: Event(set(levels.split(", ")), {one for one in fields.split(", ") if one})
            for name, levels, fields in re.findall(r"^\| `([^`]+)` \| ([^|]*) \| ([^|]*) \|", page, re.MULTILINE)}


def test_the_page_tells_every_event_and_no_other() -> None:
    assert sorted(documented()) == sorted(written())


def test_every_event_has_a_sentence_and_a_stable_id() -> None:
    assert sorted(MESSAGES) == sorted(written())
    assert [name for name in MESSAGES if not re.fullmatch(r"(mail|request)|[a-z_]+\.[a-z_]+", name)] == []
    assert [text for text in MESSAGES.values() if not re.fullmatch(r"[A-Z].{9,79}\.", text)] == []


def test_with_their_levels_and_fields() -> None:
    told, found = documented(), written()
    wrong = [f"{name}: {sorted(found[name].levels)} with {sorted(found[name].fields)}"
             for name in sorted(set(told) & set(found)) if told[name] != found[name]]
    assert wrong == [], "docs/log-events.md says otherwise of these"


def test_the_reader_sees_what_is_written() -> None:
    source = 'log.info("a", x=1)\nlog.exception("b" if x else "c", y=2, **more)\nother.info("d")\nlog.bind(z=1)'
    assert events_in(source) == {"a": Event({"info"}, {"x"}), "b": Event({"error"}, {"y"}),
                                 "c": Event({"error"}, {"y"})}


def test_every_example_is_a_line() -> None:
    page = (ROOT / "docs" / "logs.md").read_text()
    examples = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    lines = [json.JSONDecoder().raw_decode(one)[0] for block in examples
             for one in re.split(r"(?<=\})\n(?=\{)", block.strip())]
    assert len(lines) >= 3
    for line in lines:
        assert set(line) - {"event", "level", "message", "timestamp"} <= documented()[line["event"]].fields
        assert line["level"] in documented()[line["event"]].levels
