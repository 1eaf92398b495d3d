"""`sealgate compliance rts`: the articles of Regulation (EU) 2018/389, what serves each, its setting and its test."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.text import Text

from gateway import app as composition
from gateway.cli import context, listing
from gateway.cli.compliance.open_points import InForce
from gateway.cli.compliance.rts import CLAUSES, Clause
from gateway.cli.context import BAD, USAGE, fail, reporting_errors
from gateway.model.decision import Decision, Needs
from gateway.model.facts import Facts, RecipientFacts
from gateway.model.lookup import Absent, CertificateAnswer, Found
from gateway.model.mail import Direction
from gateway.policy.resolve import DEVICE_BOUND
from gateway.policy.ruleset import RuleSet
from gateway.settings import Settings

REGULATION = "Regulation (EU) 2018/389 (RTS on strong customer authentication)"
PROBE = "probe@customer.example"  # RFC 2606: does not exist; the rules decide, no directory is asked
_COLOURS = {"served": "green", "partly": "green", "open": "yellow", "yours": "cyan"}

group = typer.Typer(no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Adds the group."""
    app.add_typer(group, name="compliance", help="Legal requirements, and the settings that meet them.")


@group.callback()
def _group() -> None:
    """Legal requirements, and the settings that meet them.

    Example: sealgate compliance rts
    """


@group.command()
def rts(as_json: listing.Json = False) -> None:
    """Print the articles of EU 2018/389 that concern codes by mail, the setting that meets each, and its test.

    Each is `served`, `partly` (the rest is the bank's), `open` (the settings or rules leave something to do), or
    `yours` (the bank's other systems).
    Exit 1 if one is open. The table is for auditors; it is not legal advice.

    Example: sealgate --config /etc/sealgate/sealgate.yaml compliance rts
    """
    settings = context.settings()
    if settings.codes is None:
        fail("the settings have no section `codes`, so there is nothing to check. Add it (docs/codes.md)", USAGE)
    with reporting_errors():
        now = in_force(settings, composition.load_rules(settings))
    rows = [row(clause, now) for clause in CLAUSES]
    if as_json:
        listing.json_object({"regulation": REGULATION, "articles": rows})
    else:
        _tell(rows)
    if any(one["status"] == "open" for one in rows):
        raise typer.Exit(BAD)


def in_force(settings: Settings, rules: RuleSet) -> InForce:
    """What the rules make of a code of each client that may order one. `settings.codes` is not None."""
    assert settings.codes is not None  # noqa: S101 - the caller has looked
    clients = [client.name for client in settings.clients if "codes" in client.scopes]
    from_ = settings.codes.from_

    def asked(client: str, answer: CertificateAnswer) -> Decision:
        facts = Facts(client, from_, from_, "Code", 2048)
        settled = rules.decide(facts, RecipientFacts(PROBE, Direction.OUTBOUND, certificate=answer, enrolled=answer,
                                                     segment=None))
        assert not isinstance(settled, Needs)  # noqa: S101 - every fact is given
        return settled

    return InForce(settings, settings.codes,
                   {client: asked(client, Found((DEVICE_BOUND,), enrolled=True)) for client in clients},
                   {client: asked(client, Absent()) for client in clients})


def row(clause: Clause, now: InForce) -> dict[str, Any]:
    """One article with what holds now, as JSON shows it."""
    return {"article": clause.article, "status": clause.status(now), "asks": clause.asks, "serves": clause.serves,
            "settings": {name: value(name, now) for name in clause.settings}, "tests": list(clause.tests),
            "open": clause.left(now), "yours": clause.yours}


def value(name: str, now: InForce) -> Any:
    """Of a setting, by its dotted name; of `rules.VERB` what the rules say for each client. KeyError: no such setting.

    `rules.without_certificate`: how the way of a code ends where there is none.
    """
    first, _, rest = name.partition(".")
    if first == "rules":
        if rest == "without_certificate":
            return {client: one.end.kind for client, one in now.without.items()}
        return {client: _plain(now.params(one, rest)) for client, one in now.sealed.items()}
    return _plain(_reached(now.settings, name.split(".")))


def _reached(section: Any, names: list[str]) -> Any:
    if not names or section is None:
        return section
    if isinstance(section, tuple):
        return {one.name: _reached(one, names) for one in section}
    field = names[0] if names[0] in type(section).model_fields else f"{names[0]}_"
    if field not in type(section).model_fields:
        raise KeyError(names[0])
    return _reached(getattr(section, field), names[1:])


def _plain(one: Any) -> Any:
    if hasattr(one, "model_dump"):
        return one.model_dump(mode="json", by_alias=True)
    if isinstance(one, Mapping):
        return {key: _plain(part) for key, part in one.items()}
    return str(one) if isinstance(one, Path) else one


def _tell(rows: list[dict[str, Any]]) -> None:
    """A block for each article: long texts in columns are not read by anybody."""
    console = Console(soft_wrap=True)
    console.print(Text(REGULATION, "bold"), highlight=False)
    for one in rows:
        status = one["status"]
        console.print(Text.assemble("\n", (f"{one['article']:10}", "bold"), (f"{status:8}", _COLOURS[status]),
                                    one["asks"]), highlight=False)
        lines = [("served by", one["serves"]), ("open", one["open"]), ("yours", one["yours"])]
        lines += [("setting", f"{name}: {listing.shown(_flat(what))}") for name, what in one["settings"].items()]
        lines += [("test", test) for test in one["tests"]]
        for head, text in lines:
            if text:
                console.print(Text.assemble(" " * 10, (f"{head:11}", "dim"), text), highlight=False)
    counts = {status: sum(one["status"] == status for one in rows) for status in _COLOURS}
    console.print(Text("\n" + ", ".join(f"{number} {status}" for status, number in counts.items()), "bold"),
                  highlight=False)


def _flat(what: Any) -> Any:
    """A mapping as `name: value`, without what is empty."""
    if isinstance(what, dict):
        return "; ".join(f"{key}: {listing.shown(_flat(part))}" for key, part in what.items())
    return "none" if what is None or what == "" else what
