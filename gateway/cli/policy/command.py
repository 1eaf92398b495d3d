"""`sealgate policy`: checks, tests, explains and replays rules, before and after they are in force."""

import json
import secrets
import sys
from dataclasses import asdict, is_dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel
from rich.console import Console
from rich.table import Table

from gateway import app as composition
from gateway.actions.table import VERBS
from gateway.cli import context
from gateway.cli.context import BAD, USAGE, fail, reporting_errors, say
from gateway.cli.policy.replay import replay
from gateway.cli.policy.show import show
from gateway.errors import GatewayError
from gateway.model.decision import Decision, Needs
from gateway.model.lookup import CertificateAnswer, LookedUp, Want
from gateway.model.mail import GATEWAY_CLIENT, Envelope, Mail, Origin, Recipient
from gateway.pipeline.outbound.dry_run import foresee
from gateway.policy import cases, reference
from gateway.policy.explain import CertificateLine, Explanation, SourceLine, explain, source_lines
from gateway.policy.load import Files, Known, load
from gateway.policy.ruleset import RuleSet
from gateway.policy.verbs import listing
from gateway.strictyaml import YamlProblems

group = typer.Typer(no_args_is_help=True, help="Check, test, explain and replay the rules.")

FilesArgument = Annotated[
    list[Path] | None, typer.Argument(
        metavar="[FILES]", help="policy files, in the order of `policies` in the settings; default: all of these")]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON object on standard output")]

_MARKS = {"won": "[green]won[/]", "missed": "[dim]missed[/]", "waits": "[red]waits[/]", "needs": "[red]needs[/]",
          "observed": "[cyan]observed[/]", "overruled": "[yellow]overruled[/]", "not_reached": "[dim]not reached[/]"}


def register(app: typer.Typer) -> None:
    """Adds the group."""
    group.command("replay")(replay)
    group.command("show")(show)
    app.add_typer(group, name="policy")


@group.command()
def check(files: FilesArgument = None, as_json: AsJson = False) -> None:
    """Report all problems that prevent the rules from loading; exit 1 if there are any.

    Without FILES it checks the policy files of the settings. The order matters: the last file must decide all mail.

    Example: sealgate policy check policies/staff.yaml policies/inbound.yaml
    """
    texts, known = _texts(files)
    try:
        rules = load(texts, VERBS, known)
    except YamlProblems as error:
        if as_json:
            _print({"good": False, "problems": [asdict(problem) for problem in error.problems]})
        else:
            for problem in error.problems:
                say(str(problem))
            say(f"sealgate: the rules cannot be loaded; correct the problems above: {len(error.problems)}")
        raise typer.Exit(BAD) from None
    if as_json:
        _print({"good": True, "problems": [], "rules": len(rules.rules), "digest": rules.digest})
    else:
        print(f"{rules.digest}  {len(rules.files)} files, {len(rules.rules)} rules")


@group.command("test")
def run_cases(files: FilesArgument = None, as_json: AsJson = False) -> None:
    """Run the test cases in the rules; exit 1 if one has another result than expected.

    Example: sealgate policy test
    """
    rules = _loaded(*_texts(files))
    ran = cases.run(rules)
    if as_json:
        _print({"good": not ran.failed, "digest": rules.digest, "cases": len(ran.results), "hits": dict(ran.hits),
                "failed": [{"rule": one.rule, "case": one.case.number, "place": one.case.place,
                            "differs": list(one.differs)} for one in ran.failed]})
    else:
        table = Table("rule", "cases", "hits", box=None, pad_edge=False)
        for program in rules.programs:
            own = len(program.rule.cases) if program.rule is not None else 0
            table.add_row(program.name, str(own or ""), str(ran.hits.get(program.name, 0)))
        Console().print(table)
        for one in ran.failed:
            for difference in one.differs:
                say(f"{one.case.place}: case {one.case.number} of {one.rule}: {difference}")
        say(f"sealgate: {len(ran.results) - len(ran.failed)} of {len(ran.results)} cases have the expected result")
    if ran.failed:
        raise typer.Exit(BAD)


@group.command()
def verbs(
    as_json: AsJson = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="print the tables of policies/README.md")] = False,
) -> None:
    """List the verbs of `then` with their parameters, in the order in which they are carried out.

    Example: sealgate policy verbs
    """
    if markdown:
        print(reference.markdown(VERBS), end="")
        return
    rows = listing(VERBS)
    if as_json:
        _print([asdict(row) for row in rows])
        return
    console = Console(soft_wrap=True, highlight=False)
    for row in rows:
        console.print(f"[bold]{row.name}[/]  {row.summary}  [dim]{', '.join(row.directions)}[/]")
        for one in row.parameters:
            default = "[red]required[/]" if one.required else f"default {_escaped(one.default)}"
            note = f"  [dim]{_escaped(one.note)}[/]" if one.note else ""
            console.print(f"    {one.name}: {_escaped(one.type)}  {default}{note}")


@group.command("explain")
def explain_(
    mail: Annotated[Path, typer.Argument(metavar="MAIL", help="file with a mail; - for standard input")],
    to: Annotated[list[str], typer.Option("--to", metavar="ADDRESS", help="recipient; may be repeated")],
    from_: Annotated[str, typer.Option("--from", metavar="ADDRESS", help="the envelope's sender")] = "",
    client: Annotated[str | None, typer.Option(
        "--client", metavar="NAME", help="a client of the settings; without it the mail is inbound")] = None,
    as_json: AsJson = False,
) -> None:
    """Show for each recipient which rule decides, why others do not, the certificate, and the steps in order.

    Example: sealgate policy explain mail.eml --client staff --from carla@bank.example --to anna@customer.example
    """
    settings = context.settings()
    if client is not None and client not in {GATEWAY_CLIENT, *(one.name for one in settings.clients)}:
        known = ", ".join(one.name for one in settings.clients)
        fail(f"{context.config_path()} has no client `{client}`. Use one of its clients: {known}", USAGE)
    octets = _read_mail(mail)
    with reporting_errors():
        gateway = composition.Gateway(settings, dry_run_hop=composition.DryRunHop())
        try:
            origin = Origin(client is not None, client, gateway.clock.now(), secrets.token_hex(8))
            whole = Mail(octets, Envelope(from_, tuple(map(Recipient, to))), origin)
            asked = _remembering(gateway)
            explained = [_with_sources(explain(gateway.rules, facts, planned.facts), asked)
                         for facts, planned in foresee(gateway.context, whole)]
        finally:
            gateway.close()
    if as_json:
        _print([_plain(one) for one in explained])
        return
    for one in explained:
        _tell(one)


Asked = dict[tuple[str, Want], LookedUp]


def _remembering(gateway: composition.Gateway) -> Asked:
    """Makes the gateway keep every source's answer, by address and kind of certificate."""
    asked: Asked = {}

    def select(address: str, want: Want) -> CertificateAnswer:
        found = asked[address, want] = gateway.looked_up(address, want)
        return found.answer

    gateway.use(replace(gateway.context, select=select))
    return asked


def _with_sources(one: Explanation, asked: Asked) -> Explanation:
    looked_up = asked.get((one.recipient, one.certificate.want)) if one.certificate is not None else None
    return one if looked_up is None else replace(one, sources=source_lines(looked_up))


def _texts(files: list[Path] | None) -> tuple[Files, Known]:
    """The files and the names that they may use; without settings the names are not checked."""
    with reporting_errors():
        if not files:
            settings = context.settings()
            return composition.policy_texts(settings.policies), composition.verbs_known(settings)
        if context.config_path().is_file():
            return composition.policy_texts(tuple(files)), composition.verbs_known(context.settings())
        say(f"sealgate: {context.config_path()} does not exist; names of clients, keys and stampers are not checked. "
            "Name the settings with `sealgate --config FILE policy check …`")
        return composition.policy_texts(tuple(files)), Known()


def _loaded(texts: Files, known: Known) -> RuleSet:
    try:
        return load(texts, VERBS, known)
    except GatewayError as error:
        fail(f"the rules cannot be loaded. Correct these problems:\n{error.detail}", USAGE)


def _read_mail(path: Path) -> bytes:
    try:
        octets = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as trouble:
        fail(f"{path}: {trouble.strerror}. Name a file with a mail that this user can read", USAGE)
    if b"\r\n" not in octets and b"\n" in octets:
        octets = octets.replace(b"\n", b"\r\n")
        say("sealgate: the lines of the mail end in LF; they were converted to CRLF")
    return octets


def _tell(one: Explanation) -> None:
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"[bold]{one.recipient}[/]  {one.direction}")
    table = Table(box=None, pad_edge=False)
    table.add_column("rule", min_width=max(len(line.rule) for line in one.rules))  # a name cut short finds nothing
    for heading in ("", "matcher", "expected", "actual"):
        table.add_column(heading, overflow="fold")
    for line in one.rules:
        table.add_row(line.rule, _MARKS[line.outcome], line.matcher, _escaped(line.expected), _escaped(line.actual))
    console.print(table)
    if one.certificate is not None:
        _tell_certificate(console, one.certificate, one.sources)
    _tell_decision(console, one.decision)
    console.print()


def _tell_certificate(console: Console, answer: CertificateLine, sources: tuple[SourceLine, ...]) -> None:
    console.print(f"certificate: {answer.state}" + _detail(answer.detail))
    for one in sources:
        state = one.note.replace("_", " ") if one.answer is None else one.answer.state + _detail(one.answer.detail)
        took = "" if one.answer is None else f"  {one.milliseconds:.1f} ms"
        kept = "" if one.kept == "asked" else f"  {one.kept}"
        console.print(f"  [dim]asked[/]   {_escaped(one.source)}: {state}[dim]{took}{kept}[/]")
    for fingerprint, source in answer.chosen:
        console.print(f"  [green]chosen[/]  {fingerprint}  {source}")
    for fingerprint, reason in answer.losers:
        console.print(f"  [dim]lost[/]    {fingerprint}  {reason}")
    if answer.owners:
        console.print(f"  owners: {_escaped(', '.join(answer.owners))}")


def _detail(text: str) -> str:
    return f" ({_escaped(text)})" if text else ""


def _tell_decision(console: Console, decision: Decision | Needs) -> None:
    if isinstance(decision, Needs):
        console.print(f"[red]undecided[/]: needs {decision.fact}")
        return
    for number, step in enumerate(decision.steps, 1):
        given = step.params.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        shown = f"  {_escaped(json.dumps(given, ensure_ascii=False))}" if given else ""
        console.print(f"{number}. {step.verb}{shown}")
    end = decision.end
    why = f" ({decision.reason})" if decision.reason else ""
    to = f" {_escaped(end.service)}" if end.service else ""
    console.print(f"end: [bold]{end.kind}[/]{to}{why}" + (f" {_escaped(end.text)}" if end.text else ""))
    if decision.fallback:
        console.print(f"no certificate found, fallback: {decision.fallback}")
    if decision.dropped:
        console.print(f"steps omitted for lack of a certificate: {', '.join(decision.dropped)}")
    if decision.lowered_from:
        console.print(f"[yellow]protection lowered by words in the mail, from {decision.lowered_from}[/]")
    for one in decision.observed:
        steps = ", ".join(step.verb for step in one.steps) or "nothing"
        console.print(f"[cyan]observed[/] {one.rule}: would have been {_escaped(f'[{steps}]')} {one.end.kind}")


def _escaped(text: str) -> str:
    """Text of a mail is no markup, and moves no cursor."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text).replace("[", "\\[")


def _plain(value: object) -> Any:
    """Values as JSON knows them."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True)
    if is_dataclass(value) and not isinstance(value, type):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    return value.isoformat() if isinstance(value, datetime) else value


def _print(value: object) -> None:
    print(json.dumps(value, ensure_ascii=False))
