"""`sealgate documents`: templates tried out, and finished PDFs looked at, before a run does (docs/documents.md)."""

import json as json_
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.app.statements.documents import documents
from gateway.cli import context, listing
from gateway.cli.context import BAD, USAGE, fail, reporting_errors, say
from gateway.cli.listing import Json, Output, OutputOption
from gateway.clock import SystemClock
from gateway.errors import Reason, file_error
from gateway.model.sentences import SENTENCES
from gateway.ports.services.documents import Documents

group = typer.Typer(no_args_is_help=True, help="Statements and bills as PDF: templates and finished documents.")


def register(app: typer.Typer) -> None:
    """Adds the group."""
    app.add_typer(group, name="documents")


@contextmanager
def _documents() -> Iterator[Documents]:
    made = documents(context.settings())
    try:
        yield made
    finally:
        made.close()


@group.command("list")
def list_(output: OutputOption = Output.TABLE) -> None:
    """List the templates of the bank and of the distribution, with the digest for the file of a run.

    Example: sealgate documents list
    """
    with _documents() as made:
        listing.write(output, ("template", "digest"), [(name, made.digest(name)) for name in made.names()],
                      "There is no template.")


@group.command()
def make(
    template: Annotated[str, typer.Argument(help="name of a template, as `sealgate documents list` prints it")],
    values: Annotated[Path, typer.Argument(metavar="VALUES.json",
                                           help="JSON object with the values of a row; - = standard input")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="the PDF")],
    language: Annotated[str, typer.Option(help="such as en")] = "en",
) -> None:
    """Render one document as a run would, from the values of a row.

    Example: sealgate documents make statement values.json -o statement.pdf
    """
    given = _object(values)
    with reporting_errors(), _documents() as made:
        octets = made.make(template, language, given, SystemClock().now())
    try:
        with os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:  # a customer's
            file.write(octets)
    except OSError as error:
        fail(file_error(out, error), USAGE)
    say(f"{out}: {len(octets)} octets")


@group.command()
def check(
    files: Annotated[list[Path], typer.Argument(metavar="FILES", help="PDFs")],
    accessible: Annotated[bool, typer.Option(help="also reject documents that are not accessible")] = True,
    json: Json = False,
) -> None:
    """Check that finished PDFs are complete, not encrypted, not too large and accessible. Exit 1 if one is not.

    Example: sealgate documents check october/*.pdf
    """
    with _documents() as made:
        found = {str(path): made.check(path, accessible=accessible) for path in files}
        lacking = {str(path): made.lacking(path.read_bytes()) for path in files
                   if found[str(path)] is Reason.PDF_INACCESSIBLE}
    if json:
        listing.json_array({"file": name, "reason": reason, "lacking": lacking.get(name, "")}
                           for name, reason in found.items())
    else:
        listing.table(("file", "result", "missing", "remedy"), [
            (name, str(reason) if reason else "good", lacking.get(name, ""),
             _explained(reason) if reason else "") for name, reason in found.items()])
    if any(found.values()):
        raise typer.Exit(BAD)


def _explained(reason: Reason) -> str:
    return f"{SENTENCES[reason].what} {SENTENCES[reason].admin}"


def _object(path: Path) -> dict[str, Any]:
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text("utf-8")
        given = json_.loads(text)
    except OSError as error:
        fail(file_error(path, error), USAGE)
    except ValueError:  # what it says may quote
        fail(f"{path}: the file is not JSON in UTF-8. Correct it", USAGE)
    if not isinstance(given, dict):
        fail(f'{path}: the file is not a JSON object. Write the values as {{"name": "value"}}', USAGE)
    return given
