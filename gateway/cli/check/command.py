"""`sealgate check`: everything that would stop or weaken the gateway, each finding with its remedy.

The parts are `check_own` (keys and certificates), `check_trust` (roots, revocation, algorithms),
`check_files` (all other files of the settings), `check_services` (stampers, directories, next hops), `check_codes`
(whether codes could leave), `check_statements` (whether runs could), `check_fallbacks` (mail to people without a
certificate), `check_languages` (texts of every language) and `check_returns` (bounces and replies to services). This
module has the order, the policies and the two forms of output.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from gateway import app as composition
from gateway.cli import context
from gateway.cli.check import audit as check_audit
from gateway.cli.check import clouds as check_clouds
from gateway.cli.check import codes as check_codes
from gateway.cli.check import fallbacks as check_fallbacks
from gateway.cli.check import files as check_files
from gateway.cli.check import languages as check_languages
from gateway.cli.check import own as check_own
from gateway.cli.check import returns as check_returns
from gateway.cli.check import services as check_services
from gateway.cli.check import statements as check_statements
from gateway.cli.check import trust as check_trust
from gateway.cli.context import BAD, USAGE, explained, say
from gateway.errors import GatewayError
from gateway.model.finding import Finding
from gateway.policy.cases import run as run_cases
from gateway.postfix.check import postfix
from gateway.settings import Settings
from gateway.settings import load as load_settings

_COLOURS = {"ok": "green", "warning": "yellow", "error": "red"}


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(check)


def check(
    as_json: Annotated[bool, typer.Option("--json", help="print a JSON array of findings")] = False,
    with_postfix: Annotated[bool, typer.Option(
        "--postfix", help="check the configuration of Postfix: all paths around the gateway")] = False,
    postfix_dir: Annotated[Path | None, typer.Option(
        "--postfix-dir", metavar="DIR", help="Postfix's configuration directory; default: that of postconf")] = None,
) -> None:
    """Check settings, policies, keys, certificates, algorithms, trust, revocation, tokens, stampers, directories,
    next hops and the database. Exit 1 if mail would be deferred or rejected.

    Example: sealgate --config /etc/sealgate/sealgate.yaml check

    With --postfix: all paths by which mail could leave Postfix unencrypted, decrypted, or twice, with the remedy.
    Exit 1 if there is one.

    Example: sealgate check --postfix
    """
    try:
        settings = load_settings(context.config_path())
    except GatewayError as trouble:
        say(explained(trouble))
        raise typer.Exit(USAGE) from None
    only_postfix = with_postfix or postfix_dir is not None
    findings = [*observing(settings), *(
        postfix(settings, postfix_dir) if only_postfix else _everything(settings))]
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], ensure_ascii=False))
    else:
        console = Console(soft_wrap=True)
        for finding in findings:
            console.print(Text.assemble((f"{finding.level:7}", _COLOURS[finding.level]), " ",
                                        (finding.about, "bold"), f"  {finding.text}"), highlight=False)
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(BAD)


def looked(look: Callable[[Settings], Iterator[Finding]], settings: Settings) -> Iterator[Finding]:
    """The findings of one part; if it cannot continue, the reason."""
    try:
        yield from look(settings)
    except GatewayError as trouble:
        yield Finding("error", look.__name__.strip("_").replace("_", " "), explained(trouble))


def _everything(settings: Settings) -> Iterator[Finding]:
    """Checks the parts one by one, so that every fault is reported; the whole is built only of good parts."""
    reported: list[str] = []  # a file that two parts need is one finding
    for look in (policies, check_own.certificates, check_own.keys, check_own.tokens, check_trust.database_and_trust):
        yield from _new(looked(look, settings), reported)
    whole = not reported
    yield from _new(looked(check_files.files, settings), reported)
    if whole:
        for look in (check_own.expiry, check_returns.returns, check_codes.codes, check_statements.statements,
                     check_fallbacks.fallbacks, check_audit.audit_log, check_services.gateway):
            yield from _new(looked(look, settings), reported)
    for look in (check_languages.languages, check_languages.branding):
        yield from _new(looked(look, settings), reported)
    yield from looked(check_clouds.clouds, settings)
    yield from looked(check_trust.algorithms, settings)
    yield from looked(check_services.sources, settings)
    yield from looked(check_services.next_hops, settings)
    yield from looked(check_services.milter, settings)


def _new(findings: Iterable[Finding], reported: list[str]) -> Iterator[Finding]:
    """Those that say more than what was `reported`, which grows by the errors."""
    for finding in findings:
        if finding.level != "error":
            yield finding
        elif not any(text in finding.text for text in reported):
            reported += [_without_remedy(line) for line in finding.text.splitlines()]
            yield finding


def observing(settings: Settings) -> Iterator[Finding]:
    """Reported first: nothing is protected."""
    if settings.mode == "observe":
        yield Finding("warning", "mode", "OBSERVE: no mail is signed, encrypted, decrypted, held or rejected; all mail "
                      "passes unchanged. `sealgate policy replay --since 1d` shows what the rules would have done; set "
                      "`mode: live` and reload to end this")


def policies(settings: Settings) -> Iterator[Finding]:
    """The rules can be loaded, and their test cases pass."""
    rules = composition.load_rules(settings)
    ran = run_cases(rules)
    for result in ran.failed:
        yield Finding("error", "policies", f"a test case of {result.rule} fails; `sealgate policy test` shows it")
    if not ran.failed:
        yield Finding(
            "ok", "policies",
                f"{len(rules.rules)} rules, {len(ran.results)} test cases pass, digest {rules.digest[:16]}")


def _without_remedy(line: str) -> str:
    """The fact of a finding: its remedy follows ". " or "; "."""
    return line.partition("; ")[0].partition(". ")[0]
