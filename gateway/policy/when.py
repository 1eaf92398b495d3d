"""Reads `when` from YAML into conditions. Reports every problem with its place, and reads the rest.

A value is one, or a list (any of), with `*` a glob, `{matches: 'RE2 pattern'}`, or `{not: …}`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from gateway.model.address import is_mailbox
from gateway.model.mailbox import spellings
from gateway.policy.conditions import All, Any_, Condition, Leaf, Not
from gateway.policy.levels import MESIGN, WORDS, meant
from gateway.policy.matchers import (
    AUTHENTICATION_METHODS,
    COMBINATIONS,
    HEADERS_NOT_OFFERED,
    MATCHERS,
    NO_FROM,
    WRITTEN,
    Matcher,
)
from gateway.policy.rules import Known
from gateway.policy.values import (
    BadValueError,
    SignerCondition,
    SizeRange,
    Texts,
    compile_pattern,
    fold,
    octets,
    seconds,
)
from gateway.strictyaml import Document, Path, Problem, nearest

_VALUES_MAX = 10_000


def one_of(words: Iterable[str]) -> str:
    """A remedy that lists the valid words."""
    words = sorted(words)
    if len(words) == 1:
        return f"the only valid value is {words[0]}"
    return "one of: " + ", ".join(words) if words else ""


def _is_address(text: str, *, null: bool) -> bool:
    return (text == "<>" and null) or is_mailbox(text)


@dataclass(slots=True)
class When:
    """Reads the conditions of one document; `problems` grows."""

    document: Document
    known: Known
    problems: list[Problem]

    def read(self, value: Any, path: Path) -> Condition | None:
        """The condition of a `when` mapping; None if nothing of it could be read."""
        if not isinstance(value, dict) or not value:
            self._add(path, "`when` must name at least one matcher",
                       "add a matcher such as `client: NAME`; use `otherwise` for a decision on all mail")
            return None
        parts = [part for key, inner in value.items() if (part := self._one(key, inner, (*path, key))) is not None]
        return All(tuple(parts)) if parts else None

    def _add(self, path: Path, text: str, remedy: str = "", *, key: bool = False) -> None:
        self.problems.append(self.document.problem(path, text, remedy, key=key))

    def _one(self, key: str, value: Any, path: Path) -> Condition | None:
        if key in COMBINATIONS:
            return self._combination(key, value, path)
        if key not in WRITTEN:
            words = (*WRITTEN, *COMBINATIONS)
            self._add(path, f"unknown matcher `{key}`", nearest(key, words) or one_of(words), key=True)
            return None
        if key in self.known.unsupplied:
            self._add(path, f"`{key}` is never known with the current settings", self.known.unsupplied[key], key=True)
        matcher = MATCHERS[key]
        if value is None:
            self._add(path, f"`{key}` has no value",
                       "write a value; a `#` begins a comment, so quote a text that contains one", key=True)
            return None
        if matcher.shape in ("header", "authentication"):
            return self._keyed(matcher, value, path)
        if matcher.shape == "signer":
            return self._signer(matcher, value, path)
        return self._leaf(matcher, value, path)

    def _combination(self, key: str, value: Any, path: Path) -> Condition | None:
        if not isinstance(value, list) or not value:
            remedy = f"write `{key}: [{{from: …}}, {{subject: …}}]`, with at least one entry"
            self._add(path, f"`{key}` must be a list of matchers", remedy, key=True)
            return None
        parts = tuple(part for index, inner in enumerate(value)
                      if (part := self.read(inner, (*path, index))) is not None)
        if len(parts) < len(value):
            return None
        if key == "all_of":
            return All(parts)
        return Any_(parts) if key == "any_of" else Not(Any_(parts))

    def _keyed(self, matcher: Matcher, value: Any, path: Path) -> Condition | None:
        """`header: {NAME: value}` and `authentication: {METHOD: result}`: all of them."""
        if not isinstance(value, dict) or not value:
            example = "write `header: {X-Name: value}`" if matcher.shape == "header" else (
                "write `authentication: {dmarc: pass}`")
            self._add(path, f"`{matcher.name}` must be a mapping", example)
            return None
        parts = []
        for key, inner in value.items():
            here = (*path, key)
            if matcher.shape == "authentication" and key not in AUTHENTICATION_METHODS:
                self._add(here, f"unknown method `{key}`",
                           nearest(key, AUTHENTICATION_METHODS) or one_of(AUTHENTICATION_METHODS), key=True)
            elif matcher.shape == "header" and key.lower() in HEADERS_NOT_OFFERED:
                self._add(here, f"`header` cannot match the field {key}", HEADERS_NOT_OFFERED[key.lower()], key=True)
            elif matcher.shape == "header" and not all(33 <= ord(c) <= 126 and c != ":" for c in key):
                self._add(here, f"`{key}` is not a valid header field name",
                           "use letters, digits and hyphens, such as X-Bank-Route", key=True)
            elif (leaf := self._leaf(matcher, inner, here)) is not None:
                parts.append(replace(leaf, key=key))
        return All(tuple(parts)) if parts else None

    def _signer(self, matcher: Matcher, value: Any, path: Path) -> Condition | None:
        if not isinstance(value, dict) or not value:
            self._add(path, "`signer` must be a mapping", "write `signer: {matches_from: true, customer: known}`")
            return None
        levels: Texts | None = None
        matches: bool | None = None
        parts: list[Condition] = []
        for key, inner in value.items():
            here = (*path, key)
            if key == "level":
                levels = self._texts(replace(matcher, shape="level"), inner, here)
            elif key == "matches_from" and isinstance(inner, bool):
                matches = inner
            elif key == "matches_from":
                self._add(here, "`matches_from` must be true or false", "write true or false, without quotes")
            elif key == "customer":
                customer = self._leaf(MATCHERS["signer.customer"], inner, here)
                parts += [customer] if customer is not None else []
            else:
                words = ("level", "matches_from", "customer")
                self._add(here, f"unknown key `{key}` of signer", nearest(key, words) or one_of(words), key=True)
        if levels is not None or matches is not None:
            parts.append(Leaf(matcher, SignerCondition(levels, matches)))
        return All(tuple(parts)) if parts else None

    def _leaf(self, matcher: Matcher, value: Any, path: Path) -> Leaf | None:
        if isinstance(value, dict) and "not" in value:
            if len(value) > 1:
                self._add(path, "`not` cannot be combined with other keys",
                           "put the other values into a second matcher, or use `none_of`")
                return None
            leaf = self._leaf(matcher, value["not"], (*path, "not"))
            if leaf is not None and leaf.negated:
                self._add((*path, "not"), "`not` inside `not`", "write the value without both")
            return replace(leaf, negated=True) if leaf is not None else None
        if matcher.shape in ("size", "duration"):
            size = self._size(matcher, value, path)
            return Leaf(matcher, size) if size is not None else None
        texts = self._texts(matcher, value, path)
        return Leaf(matcher, texts) if texts is not None else None

    def _size(self, matcher: Matcher, value: Any, path: Path) -> SizeRange | None:
        name = matcher.name
        read, more, less = (octets, "10 MiB", "1 MiB") if matcher.shape == "size" else (seconds, "5 d", "24 h")
        if not isinstance(value, dict) or not value:
            self._add(path, f"`{name}` must be a comparison",
                       f"write `{name}: {{over: {more}}}`, `{{under: {less}}}` or both")
            return None
        limits: dict[str, int] = {}
        for key, inner in value.items():
            if key not in ("over", "under"):
                self._add((*path, key), f"unknown key `{key}` of {name}", nearest(key, ("over", "under")) or
                           one_of(("over", "under")), key=True)
                continue
            try:
                limits[key] = read(inner)
            except BadValueError as error:
                self._add((*path, key), str(error), error.remedy)
        if limits.get("under", 1 << 62) <= limits.get("over", -1) + 1:
            self._add(path, f"no {name} is over and under these limits at the same time",
                       "make `under` greater than `over`")
            return None
        return SizeRange(**limits) if limits else None

    def _texts(self, matcher: Matcher, value: Any, path: Path) -> Texts | None:
        """One value, a list, or patterns. None if any of it is wrong."""
        items = value if isinstance(value, list) else [value]
        if not items or len(items) > _VALUES_MAX:
            self._add(path, f"`{matcher.name}` must have 1 to {_VALUES_MAX} values",
                       "add a value, or split the rule")
            return None
        found: dict[str, set[str]] = {"literals": set(), "globs": set(), "patterns": set()}
        before = len(self.problems)
        for index, item in enumerate(items):
            here = (*path, index) if isinstance(value, list) else path
            kind, texts = self._item(matcher, item, here)
            found[kind].update(texts)
        if len(self.problems) > before:
            return None
        return Texts(*(frozenset(found[kind]) for kind in ("literals", "globs", "patterns")))

    def _item(self, matcher: Matcher, item: Any, path: Path) -> tuple[str, tuple[str, ...]]:
        if isinstance(item, dict) and set(item) == {"matches"} and matcher.shape in ("address", "text", "header"):
            return "patterns", self._patterns(item["matches"], (*path, "matches"))
        if isinstance(item, bool) and matcher.shape == "flag":
            return "literals", (str(item).lower(),)
        if matcher.shape == "flag":
            self._add(path, f"`{matcher.name}` must be true or false", "write true or false, without quotes")
        elif not isinstance(item, str):
            plain = isinstance(item, bool | int | float)
            patterns = "" if matcher.shape == "words" else ", or write {matches: 'pattern'}"
            self._add(path, f"`{matcher.name}` must be a text",
                       ('quote a number or boolean, as in "5"' if plain else "write one text") + patterns)
        elif matcher.shape == "level":
            return "literals", self._level(item, path)
        elif matcher.shape in ("words", "authentication"):
            return "literals", self._word(matcher, item, path)
        elif "*" in item:
            return "globs", spellings(item) if matcher.shape == "address" else (fold(item),)
        elif (matcher.shape == "address" and not (matcher.name == "from" and item in NO_FROM)
              and not _is_address(item, null=matcher.name == "sender")):
            remedy = ("write only the address, without name and brackets" if "@" in item else
                      f'write an address, or a glob such as "*@{item}"')
            self._add(path, f"`{item}` is not a valid address", remedy)
        else:
            return "literals", spellings(item) if matcher.shape == "address" else (fold(item),)
        return "literals", ()

    def _level(self, item: str, path: Path) -> tuple[str, ...]:
        """A word, one of MeSign's, or a policy's OID, of which only the path can say anything."""
        levels = meant(item)
        if not levels:
            words = (*WORDS, *MESIGN)
            self._add(path, f"`level` cannot be `{item}`",
                       nearest(item, words) or f'{one_of(words)}; or a policy\'s OID in quotes: "1.2.3.4"')
        return levels

    def _word(self, matcher: Matcher, item: str, path: Path) -> tuple[str, ...]:
        words: Iterable[str] | None = matcher.words or None
        if matcher.name == "client":
            words = self.known.clients
        if matcher.name == "certificate" and item == "unavailable":
            self._add(path, "`unavailable` cannot be matched",
                       "remove it: a rule whose fact is unavailable defers the mail")
        elif words is not None and item not in words:
            remedy = nearest(item, words) or (one_of(words) if len(tuple(words)) <= 12 else "")
            self._add(path, f"`{matcher.name}` cannot be `{item}`", remedy)
        elif matcher.name == "keyword" and (set(item) & set("[]") or item != item.strip() or not item):
            self._add(path, f"`{item}` is not a valid keyword", "write the word without brackets: `keyword: seal`")
        else:
            return (fold(item),)
        return ()

    def _patterns(self, value: Any, path: Path) -> tuple[str, ...]:
        good = []
        for index, pattern in enumerate(value if isinstance(value, list) else [value]):
            here = (*path, index) if isinstance(value, list) else path
            if not isinstance(pattern, str):
                self._add(here, "a pattern must be a text", "quote it: '…'")
                continue
            try:
                compile_pattern(pattern)
            except BadValueError as error:
                self._add(here, str(error), error.remedy)
            else:
                good.append(pattern)
        return tuple(good)
