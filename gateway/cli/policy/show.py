"""`sealgate policy show`: the policy set that is in force, or was at any past moment."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from gateway import app as composition
from gateway.cli import context
from gateway.cli.context import USAGE, fail, reporting_errors, say
from gateway.cli.times import FORMS, past
from gateway.clock import SystemClock


def show(
    digest: Annotated[str, typer.Option("--digest", metavar="SHA256", help="its digest, or the beginning")] = "",
    at: Annotated[str, typer.Option("--at", metavar="TIME", help=f"the set in force then: {FORMS}")] = "",
    into: Annotated[Path | None, typer.Option("--into", metavar="DIR",
                                              help="directory to create, with a file for each policy")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object on standard output")] = False,
) -> None:
    """Print the policy set in force now, at a past moment, or with a digest. `sealgate trace` shows a mail's digest.

    Example: sealgate policy show --at 2026-11-24T08:00
    """
    if digest and at:
        fail("--digest and --at cannot be used together. Use one of the two", USAGE)
    settings = context.settings()
    since: datetime | None = None
    with reporting_errors():
        store = composition.open_store(settings)
        try:
            if not digest:
                digest, since = store.policy_sets.at(past(at, "--at") if at else SystemClock().now())
            digest, texts = store.policy_sets.texts(digest)
        finally:
            store.close()
    if into is not None:
        _write(into, texts)
    elif as_json:
        print(json.dumps({"digest": digest, "in_force_since": None if since is None else since.isoformat(),
                          "files": [{"name": name, "text": text} for name, text in texts]}, ensure_ascii=False))
        return
    else:
        for name, text in texts:
            print(f"# ---- {name}", text, sep="\n", end="" if text.endswith("\n") else "\n")
    say(f"sealgate: policy set {digest}"
        + (f", in force since {since.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z" if since else ""))


def _write(into: Path, texts: tuple[tuple[str, str], ...]) -> None:
    """Names are numbered, so that their order stays and two of the same name do not meet."""
    try:
        into.mkdir()
        for number, (name, text) in enumerate(texts, 1):
            (into / f"{number:02}-{Path(name).name}").write_text(text, "utf-8")
    except OSError as error:
        fail(f"{into}: {error.strerror}", USAGE)
