"""What an administrator writes is what is meant, or an error that shows the remedy.

The traps are those of YAML 1.1 (yaml.org/type: bool, int, float, merge) and of flow collections; each was seen to be
read otherwise, or badly told, by PyYAML.
"""

from pathlib import Path
from typing import Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from gateway.errors import Reason
from gateway.strictyaml import DEPTH_MAX, OCTETS_MAX, YamlProblems, check, load, nearest, validate


def problems(text: str) -> list[str]:
    with pytest.raises(YamlProblems) as caught:
        load(text, "f.yaml")
    assert caught.value.reason is Reason.CONFIG_INVALID
    return [str(p) for p in caught.value.problems]


@pytest.mark.parametrize(("text", "place", "remedy"), [
    ("a: off", "f.yaml:1:4", 'write false, or "off" for the text'),
    ("a: Yes", "f.yaml:1:4", 'write true, or "Yes" for the text'),
    ("a: [NO, SE]", "f.yaml:1:5", '"NO" for the text'),
    ("from: @x", "f.yaml:1:7", 'quote it: "@x"'),
    ("when: {from: @x}", "f.yaml:1:14", 'quote it: "@x"'),
    ("subject: [seal] x", "f.yaml:1:17", 'quote it: "[seal] x"'),
    ("size: >10MB", "f.yaml:1:9", "{over: 10 MiB}"),
    ("when: {size: >10MB}", "f.yaml:1:14", "{over: 10 MiB}"),
    ("size: >5\nkind: dsn\n", "f.yaml:1:7", "{over: 10 MiB}"),
    ("text: {say: no code, sorry}", "f.yaml:1:27", 'quote it all: "no code, sorry"'),
    ("sign: {with:otp}", "f.yaml:1:16", "`with: otp`"),
    ("then: {stamp}", "f.yaml:1:13", "`stamp: {}`"),
    ("a: {matches: [a-z]{2,3}}", "f.yaml:1:19", "quote the whole text or pattern"),
    ('a: "\\d+"', "f.yaml:1:6", r"'\d+'"),
    ("a: 010", "f.yaml:1:4", 'write 10, or "010"'),
    ("a: 1:30", "f.yaml:1:4", '"1:30" for the text'),
    ("a: 1_000", "f.yaml:1:4", "plain decimal"),
    ("a: 0x1f", "f.yaml:1:4", "plain decimal"),
    ("a: .inf", "f.yaml:1:4", "plain decimal"),
    ("a: 123456789012345678901", "f.yaml:1:4", "for the text"),
    ("from: *@bank.example", "f.yaml:1:8", 'quote it: "*@bank.example"'),
    ("from: [*.bank.example, x]", "f.yaml:1:9", 'quote it: "*.bank.example"'),
    ("from: *all", "f.yaml:1:7", 'or quote it if it is a text: "*all"'),
    ("a: &x 1", "f.yaml:1:4", "write the value out"),
    ("a: !include x", "f.yaml:1:4", "quote it"),
    ("<<: 1", "f.yaml:1:1", "write the values out"),
    ("a: 1\nb: 2\na: 3", "f.yaml:3:1", "the first is at 1:1"),
    ("a: x: y", "f.yaml:1:5", "needs quotes"),
    ("a:\n\tb: 1", "f.yaml:2:1", "indent with spaces"),
    ("? [a]\n: b", "f.yaml:1:3", "quote it"),
    ("--- a\n--- b", "f.yaml:2:1", "one document per file"),
    ("a: 'x' y", "f.yaml:1:8", "one pair of quotes"),
    ("a: \x01", "f.yaml:1:1", "remove it"),
])
def test_a_trap_ends_in_an_error_with_the_remedy(text, place, remedy):
    (told,) = problems(text)
    assert told.startswith(place + ": ")
    assert remedy in told


def test_all_problems_at_once_even_before_a_syntax_error():
    told = problems("a: off\nb: 010\na: 1\nc: [x] y\n")
    assert [t.split(": ")[0] for t in told] == ["f.yaml:1:4", "f.yaml:2:4", "f.yaml:3:1", "f.yaml:4:8"]


def test_plain_values():
    document = load("a: text\nb: 5\nc: -1.5\nd: true\ne:\nf: null\ng: '010'\nh: 2026-01-01\ni: {1: x}\n"
                    "j: |\n  two\n  lines\n", "f")
    assert document.value == {"a": "text", "b": 5, "c": -1.5, "d": True, "e": None, "f": None, "g": "010",
                              "h": "2026-01-01", "i": {"1": "x"}, "j": "two\nlines\n"}
    assert document.place(("i", "1")) == "f:9:8"
    assert document.place(("i", "1"), key=True) == "f:9:5"
    assert document.place(("i", "9", "9")) == "f:9:4"


@pytest.mark.parametrize("text", ["[" * 5000, "{a: " * 5000, "- " * 5000, "- [[[[" + "[[" * 900])
def test_depth_is_bounded(text):
    assert f"nested deeper than {DEPTH_MAX}" in problems(text)[-1]


def test_depth_at_the_limit():
    load("[" * DEPTH_MAX + "]" * DEPTH_MAX, "f")
    assert problems("[" * (DEPTH_MAX + 1) + "]" * (DEPTH_MAX + 1))


def test_size_is_bounded():
    load("a: " + "x" * (OCTETS_MAX - 3), "f")
    assert "larger than" in problems("a: " + "x" * (OCTETS_MAX - 2))[0]


_texts = st.text(alphabet=st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=12)
_values = st.recursive(st.none() | st.booleans() | st.integers(-10**17, 10**17) | _texts,
                       lambda inner: (st.lists(inner, max_size=4)
                                      | st.dictionaries(_texts.filter(bool), inner, max_size=4)), max_leaves=12)


@given(_values.filter(lambda v: v is not None))
def test_what_a_writer_quotes_is_read_as_written(value):
    """Property: PyYAML's dumper with every text quoted; an anchor-free tree comes back unchanged."""
    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data):
            return True
    Dumper.add_representer(str, lambda d, v: d.represent_scalar("tag:yaml.org,2002:str", v, style='"'))
    assert load(yaml.dump(value, Dumper=Dumper, allow_unicode=True), "f").value == value


@given(st.text(alphabet="ab:,-[]{}>|*&!%@`'\"#? \n\t0159._", max_size=40))
def test_hostile_text_gives_values_or_problems_only(text):
    try:
        load(text, "f")
    except YamlProblems as error:
        assert error.problems  # noqa: PT017 - either way is right, any other exception is not


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    host: str
    port: int = Field(ge=1)
    tls: Literal["may", "require"] = "may"
    froms: tuple[str, ...] = Field((), alias="from")


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    version: Literal[1]
    place: Path | None = None
    hops: tuple[Inner, ...] = ()
    strict: bool = False


def told(text: str) -> list[str]:
    with pytest.raises(YamlProblems) as caught:
        validate(Outer, load(text, "s.yaml"))
    return [str(p) for p in caught.value.problems]


def test_a_good_document():
    good = validate(Outer, load("version: 1\nplace: a/b\nhops:\n- {host: x, port: 25, from: [a]}\n", "s.yaml"))
    assert good == Outer(version=1, place=Path("a/b"), hops=(Inner(**{"host": "x", "port": 25, "from": ("a",)}),))


@pytest.mark.parametrize(("text", "expected"), [
    ("version: 1\nstrikt: true", "s.yaml:2:1: unknown key `strikt` (did you mean `strict`?)"),
    ("version: 1\nhops:\n- {hosd: x, host: y, port: 1}", "s.yaml:3:4: unknown key `hosd` (did you mean `host`?)"),
    ("version: 1\nhops:\n- {zzz: x, host: y, port: 1}",
     "s.yaml:3:4: unknown key `zzz` (one of: from, host, port, tls)"),
    ("version: 1\nhops:\n- {host: y}", "s.yaml:3:3: `port` is missing (add `port: …` here)"),
    ("version: 1\nhops:\n- {host: y, port: 25, tls: requir}",
     "s.yaml:3:28: `tls` cannot be `requir` (did you mean `require`?)"),
    ("version: 1\nhops:\n- {host: 5, port: 25}",
     's.yaml:3:10: `host` must be a text, not a number or boolean (quote it: "5")'),
    ("version: 1\nhops:\n- {host: y, port: 25, from: a@b}",
     's.yaml:3:29: `from` must be a list, not a single text (write ["a@b"])'),
    ("version: 1\nhops:\n- {host: y, port: 0}",
     "s.yaml:3:19: `port` cannot be 0: it must be at least 1 (write 1 or more)"),
    ('version: 1\nstrict: "off"',
     's.yaml:2:9: `strict` must be true or false, not the text "off" (write true or false, without quotes)'),
    ("version: 1\nplace: #x", "s.yaml:2:1: `place` has no value"),
    ('version: 1\nhops:\n- {host: y, port: "25"}',
     's.yaml:3:19: `port` must be a whole number, not the text "25" (write 25 without quotes)'),
    ("", "s.yaml:1:1: the file is empty (write the settings into it, or name another file)"),
    ("- a", 's.yaml:1:1: the file must be a mapping, not ["a"] (write lines of the form `key: value`)'),
])
def test_a_model_is_held_strictly(text, expected):
    if text.endswith("#x"):
        assert validate(Outer, load(text, "s.yaml")).place is None  # null is allowed where the model says so
    else:
        assert told(text) == [expected]


def test_an_empty_value_is_told_with_the_comment_trap():
    assert told("version: 1\nhops:\n- host: #x\n  port: 1") == [
        "s.yaml:3:3: `host` has no value (write a value; a `#` begins a comment, so quote a text that contains one)"]


def test_a_part_can_be_held_against_a_model():
    document = load("a: {b: [{host: x, prot: 1}]}", "p")
    good, found = check(Inner, document, ("a", "b", 0))
    assert good is None
    assert [str(p) for p in found] == ["p:1:9: `port` is missing (add `port: …` here)",
                                       "p:1:19: unknown key `prot` (did you mean `port`?)"]


@pytest.mark.parametrize(("text", "expected"), [
    ("version: 2", "s.yaml:1:10: `version` cannot be `2` (the only valid value is 1)"),
    ('version: "1"', 's.yaml:1:10: `version` must be a number, not the text "1" (write 1 without quotes)'),
    ("version: 1\nhops:\n- {host: y, port: 1, tls: {}}",
     "s.yaml:3:27: `tls` cannot be `{}` (one of: may, require)"),
    ("version: 1\nhops:\n- {host: y, port: 1, from: [[]]}",
     "s.yaml:3:29: `from` must be a text, not [] (write one text)"),
])
def test_the_remedy_names_what_is_valid(text, expected):
    assert told(text) == [expected]


@pytest.mark.parametrize(("text", "remedy"), [
    ("share: yes", "`share` is a number: write one"),
    ("hops:\n- {port: no}", "`port` is a number: write one"),
    ("strict: yes", "write true"),
    ("place: no", 'quote it: "no"'),
    ("hops:\n- {tls: off}", "one of: may, require"),
    ("hops:\n- {from: [no]}", 'quote it: "no"'),
    ("either: Off", 'write false, or "Off" for the text'),
    ("unknown: on", 'write true, or "on" for the text'),
])
def test_the_remedy_for_an_ambiguous_word_depends_on_the_type_of_the_setting(text, remedy):
    class Typed(Outer):
        share: float | None = None
        either: bool | str = ""

    with pytest.raises(YamlProblems) as caught:
        load(text, "s.yaml", Typed)
    (problem,) = caught.value.problems
    assert problem.remedy == remedy


def test_nearest():
    assert nearest("direcion", ["direction", "sender"]) == "did you mean `direction`?"
    assert not nearest("zzz", ["direction"])
