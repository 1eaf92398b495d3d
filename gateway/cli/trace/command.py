"""`sealgate trace`: what happened to a mail, in words, with the remedy; from a log line to the mail and back."""

import contextlib
import hashlib
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from gateway import app as composition
from gateway.app.operation.tracing import Track, follow, plain_key
from gateway.cli import context
from gateway.cli.context import BAD, USAGE, fail, reporting_errors, say
from gateway.cli.trace import view as trace_view
from gateway.cli.trace.log import Line, lines_about
from gateway.errors import file_error
from gateway.model.record import EvidenceRecord
from gateway.settings import Settings

FIELDS_MAX: Final = 200  # header fields at each of which what we sent may begin
_RECEIVED: Final = re.compile(rb"^received:(?:[^\r\n]|\r?\n[ \t])*", re.IGNORECASE | re.MULTILINE)
_MESSAGE_ID: Final = re.compile(rb"^message-id:\s*(<[^<>\r\n]{1,998}>)", re.IGNORECASE | re.MULTILINE)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(trace)


def trace(
    key: Annotated[str, typer.Argument(metavar="ID", help="see above; you can paste a whole SMTP reply")] = "",
    file: Annotated[Path | None, typer.Option("--file", help="file with a mail that passed the gateway")] = None,
    log: Annotated[str, typer.Option("--log", metavar="FILE", help="add the lines of a log about it; - = "
                                     "standard input")] = "",
    every: Annotated[bool, typer.Option("--all", help="list all recipients and certificates")] = False,
    as_json: Annotated[bool, typer.Option("--json",
                                          help="print one JSON object per recipient, held mail and line")] = False,
) -> None:
    """Show what happened to a mail: rule, steps, certificates, the next hop's reply, reasons with the remedy.

    ID is an incident (or its first characters), a Message-ID, the queue id of the previous or next mail server, the
    id of a held mail or of a one-time code, or the SHA-256 of a sent mail.

    Example: journalctl -u sealgate -u 'postfix*' -o short-iso-precise | sealgate trace 6d923a86 --log -
    """
    if bool(key) is (file is not None):
        fail("Give an ID, or a mail with --file", USAGE)
    settings = context.settings()
    mail = None if file is None else _read(file, settings)
    with reporting_errors():
        store = composition.open_store(settings)
        try:
            track = follow(settings, store, [key] if mail is None else mail.keys, datetime.now(UTC))
        finally:
            store.close()
    words = track.words or frozenset({plain_key(key)} - {""})
    lines = list(_lines(log, words)) if log else []
    if not track.records and not lines:
        fail(f"no record of {key or str(file)!r}: no mail has this incident, Message-ID, queue id or SHA-256, and no "
             "one-time code has this id. Check the spelling; records are deleted after their retention time", BAD)
    if as_json:
        _json(track, lines)
    else:
        trace_view.show(track, lines, every=every)
    if mail is not None:
        say(f"sealgate: {mail.compared(track.records)}")


def _lines(log: str, words: frozenset[str]) -> Iterator[Line]:
    if log == "-":
        yield from lines_about(sys.stdin, words)
        return
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(Path(log).open(encoding="utf-8", errors="replace"))
        except OSError as error:
            fail(file_error(log, error), USAGE)
        yield from lines_about(file, words)


def _json(track: Track, lines: list[Line]) -> None:
    def write(kind: str, values: dict[str, Any]) -> None:
        print(json.dumps({"kind": kind, **values}, ensure_ascii=False,
                         default=lambda value: value.isoformat() if isinstance(value, datetime) else str(value)))

    for record in track.records:
        write("record", asdict(record))
    for row in track.journal:
        write("journal", asdict(row))
    for one in track.held:
        write("held", asdict(one))
    for line in lines:
        write("log", {"at": line.at, "line": line.fields or line.text})


@dataclass(frozen=True, slots=True)
class Given:
    """A mail as its reader has it: fields of later hops come before those that the gateway sent.

    `keys` by which it may be known: incidents in our own Received, its Message-ID; `digests`: SHA-256 of the mail as
    it may have left, the whole of it first, then from each further field on.
    """

    keys: tuple[str, ...]
    digests: tuple[str, ...]

    def compared(self, records: tuple[EvidenceRecord, ...]) -> str:
        """Whether these are the octets that left."""
        left = {record.sealed_digest: record.recipient for record in records if record.sealed_digest}
        for digest in self.digests:
            if digest in left:
                return f"the mail is identical to the one sent to {left[digest]} (SHA-256 {digest})"
        if not left:
            return "no mail of it was sent, so it cannot be compared"
        return "the mail differs from the one sent: a later server changed it, or it is another mail"


def _read(file: Path, settings: Settings) -> Given:
    try:
        octets = file.read_bytes()
    except OSError as error:
        fail(file_error(file, error), USAGE)
    if b"\r\n" not in octets:
        octets = octets.replace(b"\n", b"\r\n")
    if octets.startswith(b"From "):  # the line by which an mbox begins a mail
        octets = octets.partition(b"\r\n")[2]
    end = octets.find(b"\r\n\r\n") + 2
    header = octets[:end]
    ours = re.compile(rb"\bby\s+" + re.escape(settings.bank.hostname.encode()) + rb"\b.*?\bid\s+([0-9a-f]{8,32})\b",
                      re.DOTALL)
    incidents = [found[1].decode() for field in _RECEIVED.findall(header) if (found := ours.search(field))]
    ids = [one.decode("utf-8", "replace") for one in _MESSAGE_ID.findall(header)]
    places = [0, *(found.start() for found in re.finditer(rb"(?m)^(?![ \t])(?<=\n)", header))][:FIELDS_MAX]
    digests = tuple(dict.fromkeys(hashlib.sha256(octets[place:]).hexdigest() for place in places))
    return Given((*incidents, *ids, *digests[:1]), digests)
