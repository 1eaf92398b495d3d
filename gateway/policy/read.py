"""One policy file, from YAML to rules."""

import re
from collections.abc import Mapping
from typing import Any

from gateway.policy.cases import CaseReader
from gateway.policy.rules import Case, Known, Mode, Otherwise, PolicyFile, Rule
from gateway.policy.then import Then
from gateway.policy.verbs import LATER_FILE_KEYS, VerbSpec
from gateway.policy.when import When, one_of
from gateway.strictyaml import Document, Path, Problem, nearest

RULES_MAX = 1000
CASES_MAX = 1000
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}$")
_FILE_KEYS = ("version", "mode", "rules", "otherwise")
_RULE_KEYS = ("name", "note", "mode", "may_lower", "when", "then", "end", "cases")


class FileReader:
    """Reads one document; `problems` grows, what can be read is read."""

    def __init__(self, document: Document, label: str, verbs: Mapping[str, VerbSpec], known: Known,
                 problems: list[Problem]) -> None:
        self._document = document
        self._label = label
        self._verbs = verbs
        self._known = known
        self._problems = problems
        self._when = When(document, known, problems)
        self._then = Then(document, verbs, known, problems)

    def read(self) -> PolicyFile | None:
        """The file's rules; None if it is not a mapping."""
        value = self._document.value
        if not isinstance(value, dict):
            self._add((), "a policy file must be a mapping", "write `version: 1`, `rules:` and `otherwise:`")
            return None
        self._keys(value, _FILE_KEYS, (), "a policy file")
        if value.get("version") != 1 or isinstance(value.get("version"), bool):
            self._add(("version",), "`version` must be 1", "begin the file with `version: 1`")
        mode = self._mode(value, ())
        return PolicyFile(self._label, self._document, mode, self._rules(value, mode), self._otherwise(value))

    def _add(self, path: Path, text: str, remedy: str = "", *, key: bool = False) -> None:
        self._problems.append(self._document.problem(path, text, remedy, key=key))

    def _keys(self, value: Mapping[str, Any], known: tuple[str, ...], path: Path, what: str) -> None:
        for key in value:
            if key in LATER_FILE_KEYS and not path:
                self._add((*path, key), f"`{key}` (signatures of approvers) is not supported in this version",
                           "remove it", key=True)
            elif key not in known:
                remedy = nearest(key, known) or one_of(known)
                self._add((*path, key), f"unknown key `{key}` of {what}", remedy, key=True)

    def _mode(self, value: Mapping[str, Any], path: Path) -> Mode:
        mode = value.get("mode", "enforce")
        if mode not in ("enforce", "observe"):
            words = ("enforce", "observe")
            self._add((*path, "mode"), f"`mode` cannot be `{mode}`", nearest(str(mode), words) or one_of(words))
        return "observe" if mode == "observe" else "enforce"

    def _rules(self, value: Mapping[str, Any], mode: Mode) -> tuple[Rule, ...]:
        rules = value.get("rules", [])
        if not isinstance(rules, list) or len(rules) > RULES_MAX:
            self._add(("rules",), f"`rules` must be a list of at most {RULES_MAX} rules",
                       "begin each rule with `- name:`, or split the file")
            return ()
        first: dict[str, str] = {}
        read = []
        for index, one in enumerate(rules):
            rule = self._rule(one, ("rules", index), mode, first)
            read += [rule] if rule is not None else []
        return tuple(read)

    def _rule(self, value: Any, path: Path, mode: Mode, first: dict[str, str]) -> Rule | None:
        if not isinstance(value, dict):
            self._add(path, "a rule must be a mapping", "begin it with `- name:`")
            return None
        self._keys(value, _RULE_KEYS, path, "a rule")
        name = self._name(value, path, first)
        if "when" not in value:
            self._add(path, f"rule `{name}` has no `when`", "add `when:`; use `otherwise` for a decision on all mail")
        if not isinstance(value.get("note", ""), str):
            self._add((*path, "note"), "`note` must be a text", "quote it")
        if "then" not in value and "end" not in value:
            self._add(path, f"rule `{name}` has neither `then` nor `end`",
                       "add `then:`, `end:` or both; write `end: deliver` for plain delivery")
        own = self._mode(value, path) if "mode" in value else mode
        when = self._when.read(value["when"], (*path, "when")) if "when" in value else None
        steps = self._then.steps(value.get("then"), (*path, "then"))
        end = self._then.end(value.get("end", "deliver"), (*path, "end"))
        may_lower = value.get("may_lower", False)
        if not isinstance(may_lower, bool):
            self._add((*path, "may_lower"), "`may_lower` must be true or false", "write true or false, without quotes")
        if when is None:
            return None
        rule = Rule(f"{self._label}:{name}", when, steps, end, path, self._document.place(path),
                    "observe" if "observe" in (mode, own) else "enforce", may_lower is True)
        return Rule(rule.name, when, steps, end, path, rule.place, rule.mode, rule.may_lower, self._cases(value, rule))

    def _name(self, value: Mapping[str, Any], path: Path, first: dict[str, str]) -> str:
        name = value.get("name")
        if not isinstance(name, str) or not _NAME.match(name) or name == "otherwise":
            self._add((*path, "name"), f"`{name}` is not a valid rule name",
                       "use lower case letters, digits, - and _, such as codes-login; `otherwise` is reserved")
            return str(name)
        place = self._document.place((*path, "name"))
        if name in first:
            self._add((*path, "name"), f"the rule name `{name}` is repeated",
                       f"rename one of them; the first is at {first[name]}")
        first.setdefault(name, place)
        return name

    def _cases(self, value: Mapping[str, Any], rule: Rule) -> tuple[Case, ...]:
        cases = value.get("cases", [])
        path = (*rule.path, "cases")
        if not isinstance(cases, list) or len(cases) > CASES_MAX:
            self._add(path, f"`cases` must be a list of at most {CASES_MAX} cases",
                       "write each as `- given: {…}` and `expect: {…}`")
            return ()
        if not cases:
            self._add(rule.path, f"rule `{rule.name.partition(':')[2]}` has no case",
                       "add `cases:` with at least one mail that this rule decides")
        reader = CaseReader(self._document, self._known, self._problems, self._label, rule.name, rule.directions,
                            tuple(self._verbs))
        read = (reader.read(case, (*path, index), index + 1) for index, case in enumerate(cases))
        return tuple(case for case in read if case is not None)

    def _otherwise(self, value: Mapping[str, Any]) -> Otherwise:
        path: Path = ("otherwise",)
        otherwise = value.get("otherwise", "next_file")
        if otherwise == "next_file":
            return Otherwise(None, path)
        if isinstance(otherwise, dict) and ("then" in otherwise or "end" in otherwise):
            self._keys(otherwise, ("then", "end"), path, "otherwise")
            return Otherwise((self._then.steps(otherwise.get("then"), (*path, "then")),
                              self._then.end(otherwise.get("end", "deliver"), (*path, "end"))), path)
        if isinstance(otherwise, str) and nearest(otherwise, ("next_file",)):
            self._add(path, f"`otherwise` cannot be `{otherwise}`", nearest(otherwise, ("next_file",)))
            return Otherwise(None, path)
        return Otherwise(((), self._then.end(otherwise, path)), path)
