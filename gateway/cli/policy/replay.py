"""`sealgate policy replay`: recorded mail decided again, and what `mode: observe` has seen, in numbers."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from gateway import app as composition
from gateway.actions.table import VERBS
from gateway.cli import context
from gateway.cli.context import BAD, USAGE, fail, reporting_errors, say
from gateway.cli.times import FORMS, past
from gateway.errors import GatewayError, Reason
from gateway.model.sentences import SENTENCES
from gateway.policy.load import Files, load
from gateway.policy.recorded.replay import ObservedCount, Replayed, observed_counts
from gateway.policy.recorded.replay import replay as decided_again

_COLOURS = {"sealed": "green", "signed": "green", "opened": "green", "refused": "red", "held": "yellow",
            "deferred": "yellow", "unsealed": "yellow"}


def replay(
    against: Annotated[Path | None, typer.Option(
        "--against", metavar="DIR",
            help="directory of other policy files with the same names; default: those in force")] = None,
    since: Annotated[str, typer.Option("--since", metavar="TIME", help=FORMS)] = "7d",
    as_json: Annotated[bool, typer.Option("--json", help="print JSON objects")] = False,
) -> None:
    """Evaluate recorded mails again with the current rules, or with others, and report differences.

    Exit 1 if there are any. For mail that passed in `mode: observe` a table shows what the rules would have done.

    Example: sealgate policy replay --since 7d --against ./new-policies
    """
    settings = context.settings()
    with reporting_errors():
        texts = _against(settings.policies, against) if against is not None else composition.policy_texts(
            settings.policies)
    try:
        rules = load(texts, VERBS, composition.verbs_known(settings))
    except GatewayError as error:
        fail(f"the rules cannot be loaded. Correct these problems:\n{error.detail}", USAGE)
    at, under = past(since, "--since"), str(against) if against is not None else "now"
    with reporting_errors():
        store = composition.open_store(settings)
        try:
            counts = Counter(_shown(decided_again(store.evidence.since(at), rules), under, as_json=as_json))
            noted = observed_counts(store.evidence.since(at))
        finally:
            store.close()
    if noted:
        _tell(noted, as_json=as_json)
    summary = ", ".join(f"{counts[word]} {word}" for word in ("same", "differs", "undecided", "unreadable"))
    which = f"of {against}" if against is not None else "in force now"
    say(f"sealgate: {sum(counts.values())} records under the rules {which} ({rules.digest[:16]}): {summary}")
    if counts["differs"]:
        raise typer.Exit(BAD)


def _tell(noted: tuple[ObservedCount, ...], *, as_json: bool) -> None:
    """What would have happened, in numbers; always under the rules that were in force when the mail passed."""
    if as_json:
        print(json.dumps({"observed": [asdict(one) for one in noted], "rules": "recorded"}, ensure_ascii=False))
        return
    table = Table("direction", "would have been", "recipients", "rule then", "why", box=None, pad_edge=False,
                  title="Observed mail, under the rules that were in force when it passed", title_justify="left")
    for one in noted:
        colour = _COLOURS.get(one.fate, "white")
        why = " ".join(SENTENCES[Reason(word)].what for word in one.why.split())
        table.add_row(one.direction, f"[{colour}]{one.fate}[/]", str(one.recipients), one.rule,
                      f"{one.why}: {why}" if why else "")
    Console(soft_wrap=True, highlight=False).print(table)


def _shown(results: Iterator[Replayed], under: str, *, as_json: bool) -> Iterator[str]:
    """Prints each result that is not the same; gives its outcome for counting. `under`: name of the other rules."""
    for one in results:
        yield one.outcome
        if one.outcome == "same":
            continue
        if as_json:
            print(json.dumps(asdict(one) | {"at": one.at.isoformat()}, ensure_ascii=False))
            continue
        after = f"needs {one.needs}, never looked up" if one.needs else "its facts cannot be read"
        if one.after is not None:
            after = f"{one.after.rule} [{', '.join(one.after.steps)}] {one.after.end}"
        cut = "  (not all facts were kept)" if one.cut else ""
        before = f"{one.before.rule} [{', '.join(one.before.steps)}] {one.before.end}"
        print(f"{one.at:%Y-%m-%d %H:%M:%S}Z {one.incident} {one.recipient}: recorded {before} -> {under} "
              f"{after}{cut}")


def _against(policies: tuple[Path, ...], directory: Path) -> Files:
    """The files of `directory` that bear the names of those in force, in that order."""
    there = tuple(directory / path.name for path in policies if (directory / path.name).is_file())
    if not there:
        names = ", ".join(path.name for path in policies)
        fail(f"{directory} contains no policy file of the settings. Copy at least one there: {names}", USAGE)
    others = sorted({path.name for path in directory.glob("*.yaml")} - {path.name for path in there})
    if others:
        say(f"sealgate: ignored, because `policies` in the settings does not list them: {', '.join(others)}")
    return composition.policy_texts(there)
