"""`sealgate trace`: what happened to a mail, in words, with the remedy."""

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from gateway import app as composition
from gateway.cli import context
from gateway.cli.context import BAD, fail, told
from gateway.errors import Reason
from gateway.model.record import EvidenceRecord
from gateway.model.sentences import SENTENCES


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(trace)


def trace(
    key: Annotated[
        str,
        typer.Argument(
            metavar="QUEUE-ID|MESSAGE-ID|INCIDENT", help="of the next hop, of the mail, or of a reply or log line"
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object per recipient and line")] = False,
) -> None:
    """What happened to a mail: rule, steps, certificates, the next hop's reply, reasons with the remedy.

    Example: sealgate trace '<20261124.1@bank.example>'
    """
    settings = context.settings()
    with told():
        store = composition.open_store(settings)
        try:
            records = store.evidence.find(key)
        finally:
            store.close()
    if not records:
        fail(
            f"nothing is known of {key!r}: it is no incident, Message-ID or queue id of a mail that came this way", BAD
        )
    for record in records:
        if as_json:
            print(json.dumps({**asdict(record), "at": record.at.isoformat()}, ensure_ascii=False, default=str))
        else:
            Console(width=None).print(_table(record))


def _table(record: EvidenceRecord) -> Table:
    table = Table(
        title=f"{record.recipient}  ·  {record.at:%Y-%m-%d %H:%M:%S}Z",
        show_header=False,
        title_justify="left",
        expand=False,
    )
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    rows = [
        ("settled", str(record.settled)),
        ("direction", record.direction),
        ("client", record.client or "(a stranger)"),
        ("sender", record.sender or "<>"),
        ("Message-ID", record.message_id),
        ("incident", record.incident),
        ("rule", record.rule),
        ("steps", ", ".join(record.steps) or "none"),
        ("end", record.end),
        ("certificates", "\n".join(record.certificates) or "none"),
        ("next hop said", record.next_hop_reply or "nothing: it was not asked"),
        ("policy digest", record.policy_digest),
    ]
    for reason in record.reasons:
        sentence = SENTENCES[Reason(reason)]
        rows.append((reason, f"{sentence.what} {sentence.remedy}"))
    for name, text in rows:
        table.add_row(name, text)
    return table
