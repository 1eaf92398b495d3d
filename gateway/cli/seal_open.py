"""`sealgate seal` and `sealgate open`: the two ways for one mail, without SMTP."""

import hashlib
import secrets
import sys
from pathlib import Path
from typing import Annotated

import typer

from gateway import app as composition
from gateway.cli import context
from gateway.cli.context import REFUSED, TEMPORARY, fail, reporting_errors, say
from gateway.clock import SystemClock
from gateway.errors import Reason
from gateway.model.audit.acts import Act
from gateway.model.mail import Envelope, Mail, Origin, Recipient
from gateway.model.outcome import Outcome, Settled
from gateway.model.sentences import SENTENCES
from gateway.model.wire import ends_in_pairs
from gateway.settings import Settings

To = Annotated[list[str], typer.Option("--to", metavar="ADDRESS", help="recipient; may be repeated")]
Directory = Annotated[Path | None, typer.Option("--output-dir", metavar="DIR",
                                                help="directory for one file per group of recipients")]


def register(app: typer.Typer) -> None:
    """Adds both commands."""
    app.command()(seal)
    app.command("open")(open_)


def seal(
    client: Annotated[str, typer.Option("--client", metavar="NAME", help="a client of the settings")],
    from_: Annotated[str, typer.Option("--from", metavar="ADDRESS", help="the envelope's sender")],
    to: To,
    output_dir: Directory = None,
) -> None:
    """Sign and encrypt the mail on standard input as the rules decide; write the result to standard output.

    Example: sealgate seal --client online-banking --from otp@bank.example --to anna@customer.example < in.eml > out.eml
    """
    settings = context.settings()
    if client not in {one.name for one in settings.clients}:
        fail(f"{context.config_path()} has no client {client!r}. `sealgate client list` shows all", context.USAGE)
    _through(settings, "mail.seal", _mail(from_, to, client=client), output_dir)


def open_(
    to: To,
    output_dir: Directory = None,
    from_: Annotated[str, typer.Option("--from", metavar="ADDRESS", help="the envelope's sender")] = "",
) -> None:
    """Decrypt and verify the mail on standard input; write the mail for the mail server to standard output.

    Example: sealgate open --to support@bank.example < in.eml > out.eml
    """
    _through(context.settings(), "mail.open", _mail(from_, to, client=None), output_dir)


def _mail(from_: str, to: list[str], *, client: str | None) -> Mail:
    octets = sys.stdin.buffer.read()
    if not octets:
        fail("Standard input is empty. Redirect a mail to it: `< mail.eml`", context.USAGE)
    if b"\r" not in octets:
        octets = octets.replace(b"\n", b"\r\n")
        say("sealgate: the lines of the mail end in LF; they were converted to CRLF")
    elif not ends_in_pairs(octets):
        fail("the mail has both CRLF and LF line ends. Convert all line ends to CRLF, or all to LF", context.BAD)
    origin = Origin(
        ours=client is not None, client=client, received_at=SystemClock().now(), incident=secrets.token_hex(8)
    )
    return Mail(octets, Envelope(from_, tuple(Recipient(address) for address in to)), origin)


def _through(settings: Settings, act: str, mail: Mail, output_dir: Path | None) -> None:
    """Uses the bank's keys for a person, so `act` is recorded: nothing leaves, and there is no evidence."""
    dry_run_hop = composition.DryRunHop()
    with reporting_errors():
        gateway = composition.Gateway(settings, dry_run_hop=dry_run_hop)
        try:
            with gateway.store.audit.carrying_out(_act(act, mail)) as carried:
                outcome = gateway.handle(mail)
                if outcome.answer is not Settled.TAKEN:
                    carried.failure = str(outcome.reason or outcome.answer)
        finally:
            gateway.close()
    for one in outcome.recipients:
        say(
            f"{one.address}: {one.settled}"
            + (f", {one.reason}" if one.reason else "")
            + (f" (rule {one.rule})" if one.rule else "")
        )
    _write(dry_run_hop, output_dir)
    _end(outcome)


def _act(name: str, mail: Mail) -> Act:
    details: dict[str, str | int | bool] = {"sha256": hashlib.sha256(mail.octets).hexdigest()}
    if mail.origin.client is not None:
        details["client"] = mail.origin.client
    return Act(name, mail.origin.incident, details, {
        "sender": mail.envelope.reverse_path,
        "recipients": " ".join(one.address for one in mail.envelope.recipients)})


def _write(dry_run_hop: "composition.DryRunHop", output_dir: Path | None) -> None:
    if output_dir is not None:
        output_dir.mkdir(parents=True, exist_ok=True)
        for number, (octets, recipients) in enumerate(dry_run_hop.taken, 1):
            path = output_dir / f"{number:03d}.eml"
            path.write_bytes(octets)
            say(f"{path}: {', '.join(recipients)}")
    elif len(dry_run_hop.taken) > 1:
        fail(f"the recipients need {len(dry_run_hop.taken)} different mails. Use --output-dir DIR", context.USAGE)
    elif dry_run_hop.taken:
        sys.stdout.buffer.write(dry_run_hop.taken[0][0])


def _end(outcome: Outcome) -> None:
    if outcome.answer is Settled.TAKEN:
        return
    sentence = SENTENCES[outcome.reason or Reason.INTERNAL]
    detail = next((f" ({one.detail})" for one in outcome.recipients if one.detail), "")
    say(f"sealgate: {outcome.reason}: {sentence.what}{detail} {sentence.admin}")
    raise typer.Exit(TEMPORARY if outcome.answer is Settled.LATER else REFUSED)
