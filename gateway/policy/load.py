"""Loads policy files into a set of rules, or reports all their problems."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import PurePath

from gateway.policy import checks
from gateway.policy.read import FileReader
from gateway.policy.rules import Known, PolicyFile
from gateway.policy.ruleset import RuleSet
from gateway.policy.verbs import VerbSpec
from gateway.strictyaml import Problem, YamlProblems
from gateway.strictyaml import load as load_yaml

__all__ = ["Files", "Known", "digest", "load"]

Files = Sequence[tuple[str, str]]


def load(files: Files, verbs: Mapping[str, VerbSpec], known: Known | None = None) -> RuleSet:
    """Reads policy files in their order. `files`: (name, text) pairs; places show the names, decisions their stems.

    Raises YamlProblems (CONFIG_INVALID) with all problems of all files.
    """
    problems: list[Problem] = []
    read: list[PolicyFile] = []
    labels: dict[str, str] = {}
    for name, text in files:
        label = PurePath(name).stem
        if label in labels:
            problems.append(Problem(f"{name}:1:1", f"two policy files have the name `{label}`",
                                    f"rename one of them; the first is {labels[label]}"))
        labels.setdefault(label, name)
        try:
            document = load_yaml(text, name)
        except YamlProblems as error:
            problems += error.problems
            continue
        file = FileReader(document, label, verbs, known or Known(), problems).read()
        read += [file] if file is not None else []
    if not files:
        problems.append(Problem("policies:1:1", "no policy file is configured",
                                "add at least one file to `policies` in the settings"))
    problems += checks.every_rule(read, verbs)
    if len(read) == len(files):
        problems += checks.last_words(read) + checks.covered(read)
    if not problems:
        rules = RuleSet(read, digest(files))
        problems += checks.unreached(rules)
        if not problems:
            return rules
    raise YamlProblems(_in_order(files, problems))


def digest(files: Files) -> str:
    """SHA-256, hex, over the files' stems and texts in their order, each preceded by its length in octets."""
    sha256 = hashlib.sha256()
    for name, text in files:
        for part in (PurePath(name).stem.encode(), text.encode("utf-8", "surrogatepass")):
            sha256.update(b"%d:" % len(part) + part)
    return sha256.hexdigest()


def _in_order(files: Files, problems: Sequence[Problem]) -> list[Problem]:
    """By file, line and column, each problem once."""
    order = {name: index for index, (name, _) in enumerate(files)}

    def key(problem: Problem) -> tuple[int, int, int]:
        name, line, column = problem.place.rsplit(":", 2)
        return order.get(name, len(order)), int(line), int(column)
    return sorted(dict.fromkeys(problems), key=key)
