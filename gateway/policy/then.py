"""Reads `then` and `end` from YAML into steps in the order of sealing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast, get_args

from gateway.model.decision import End, EndKind, Step
from gateway.model.fallbacks import FALLBACKS
from gateway.policy.rules import Known
from gateway.policy.verbs import LATER, LATER_VALUES, LATER_VERBS, VerbSpec
from gateway.policy.when import one_of
from gateway.strictyaml import Document, Path, Problem, check, nearest

ENDS: tuple[str, ...] = get_args(EndKind)
# Parameters that name something of the settings: verb, parameter, field of Known, what it is.
NAMES = (("sign", "with_", "signing_keys", "key set with purpose sign"), ("stamp", "by", "stampers", "stamper"),
         ("escrow", "certificate", "escrow", "escrow certificate"))


@dataclass(slots=True)
class Then:
    """Reads the verbs and ends of one document; `problems` grows."""

    document: Document
    verbs: Mapping[str, VerbSpec]
    known: Known
    problems: list[Problem]

    def _add(self, path: Path, text: str, remedy: str = "", *, key: bool = False) -> None:
        self.problems.append(self.document.problem(path, text, remedy, key=key))

    def steps(self, value: Any, path: Path) -> tuple[Step, ...]:
        """The steps of a `then` mapping, by rank; () if it is missing."""
        if value is None:
            return ()
        if not isinstance(value, dict):
            self._add(path, "`then` must be a mapping of verbs",
                       "write `then: {sign: {with: KEY}}`; a verb without parameters: `protect_headers: {}`")
            return ()
        steps = []
        for name, params in value.items():
            here = (*path, name)
            if name in LATER_VERBS:
                self._add(here, f"`{name}` {LATER}", "remove it", key=True)
            elif name not in self.verbs:
                near = nearest(name, self.verbs) or one_of(self.verbs)
                remedy = (f"it is not a verb: write `end: {name}` next to `then`" if name in ENDS else
                          f"write `encrypt: {{without_certificate: {name}}}`" if name in FALLBACKS else near)
                self._add(here, f"unknown verb `{name}`", remedy, key=True)
            elif (step := self._step(self.verbs[name], params, here)) is not None:
                steps.append(step)
        return tuple(sorted(steps, key=lambda step: self.verbs[step.verb].rank))

    def _step(self, verb: VerbSpec, params: Any, path: Path) -> Step | None:
        params = {} if params is None else params
        later = [(key, params[key]) for key in (params if isinstance(params, dict) else ())
                 if isinstance(params[key], str) and params[key] in LATER_VALUES.get((verb.name, key), frozenset())]
        for key, word in later:
            self._add((*path, key), f"`{key}: {word}` {LATER}", "choose another value")
        model, problems = check(verb.params, self.document, path, params)
        self.problems += problems
        if model is None or later:
            return None
        fallback, known_fallbacks = getattr(model, "without_certificate", None), self.known.fallbacks
        if fallback is not None and known_fallbacks is not None and fallback not in known_fallbacks:
            self._add((*path, "without_certificate"), f"`{fallback}` is not configured",
                       f"add the section `{fallback}` to `fallbacks` in the settings")
        for name, attribute, known_field, what in NAMES:
            known = getattr(self.known, known_field)
            names = getattr(model, attribute, None) if verb.name == name else None
            for one in (names,) if isinstance(names, str) else names or ():
                if known is None or one in known:
                    continue
                remedy = nearest(one, known) or one_of(known)
                self._add((*path, attribute.rstrip("_")), f"the settings have no {what} `{one}`", remedy)
        return Step(verb.name, model)

    def end(self, value: Any, path: Path) -> End:
        """`deliver` by default; `{reject: "sentence"}` and `{hand_to: SERVICE}` as mappings."""
        detail: Any = None
        kind = value
        if isinstance(value, dict) and len(value) == 1:
            kind, detail = next(iter(value.items()))
        if not isinstance(kind, str) or kind not in ENDS:
            self._add(path, f"`end` cannot be `{kind}`", nearest(str(kind), ENDS) or one_of(ENDS))
            return End("deliver")
        if kind == "hand_to":
            return self._hand_to(detail, path)
        is_sentence = isinstance(detail, str) and detail.isprintable() and 0 < len(detail) <= 200
        if isinstance(value, dict) and not is_sentence:
            self._add((*path, kind), f"`{kind}` needs one sentence of 1 to 200 characters",
                       f'write `end: {{{kind}: "The sentence."}}`')
            return End("deliver")
        return End(cast(EndKind, kind), text=detail)

    def _hand_to(self, service: Any, path: Path) -> End:
        known = self.known.services
        if not isinstance(service, str) or not service:
            self._add(path, "`hand_to` must name a service", "write `end: {hand_to: SERVICE}`")
        elif known is not None and service not in known:
            self._add((*path, "hand_to"), f"the settings have no service `{service}`",
                       nearest(service, known) or (
                           one_of(known) if known else "add the section of the service to the settings"))
        else:
            return End("hand_to", service=service)
        return End("deliver")
