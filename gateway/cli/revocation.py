"""`sealgate revocation`: which lists and answers are at hand, how their fetching goes, and a fetch by hand."""

from collections import Counter
from collections.abc import Iterator
from typing import Annotated

import typer

from gateway.app import fetch as composition
from gateway.app.store import Store, open_store
from gateway.app.trust import load_trust
from gateway.cli import context, listing
from gateway.cli.context import TEMPORARY, USAGE, fail, reporting_errors, say
from gateway.cli.listing import Json, Output, OutputOption, output_of
from gateway.clock import SystemClock
from gateway.cms.certificate import parse_certificate
from gateway.errors import GatewayError
from gateway.model.sentences import SENTENCES
from gateway.pki.revocation.entries import authority_id, count
from gateway.ports.fetch import FetchTask
from gateway.ports.revocation import StoredList

group = typer.Typer(no_args_is_help=True, help="CRLs and OCSP responses: list them, and fetch them now.")


def register(app: typer.Typer) -> None:
    """Adds the group."""
    app.add_typer(group, name="revocation")


@group.command("list")
def list_(output: OutputOption = Output.TABLE, json: Json = False) -> None:
    """List the fetched and the missing CRLs with number, times, entries and last error. Exit 75 if one failed.

    Example: sealgate revocation list
    """
    settings = context.settings()
    with reporting_errors():
        store = open_store(settings)
        try:
            rows = list(_rows(store))
        finally:
            store.close()
    columns = ("kind", "authority", "scope", "url", "number", "this_update", "next_update", "entries", "fetched_at",
               "trouble")
    listing.write(output_of(output, json=json), columns, [[row[column] for column in columns] for row in rows],
                  "No CRL was needed yet.", rows)
    if any(row["trouble"] for row in rows):
        raise typer.Exit(TEMPORARY)


@group.command()
def refresh(url: Annotated[str, typer.Argument(metavar="[URL]",
                                               help="URL of one CRL or responder; default: all CRLs")] = ""
            ) -> None:
    """Fetch CRLs now, even if they are still valid. Running processes use them within a second.

    Example: sealgate revocation refresh
    """
    settings = context.settings()
    clock = SystemClock()
    failed = 0
    with reporting_errors():
        store = open_store(settings, clock)
        try:
            tasks = [task for task in store.fetch_tasks.list()
                     if (task.request.url == url if url else task.request.kind == "crl")]
            if url and not tasks:
                fail(f"no certificate has needed {url} yet. `sealgate revocation list` shows the known URLs", USAGE)
            trust = load_trust(settings, store)
            client = composition.web(settings)
            fetching = composition.fetching(settings, store, clock, client, lambda: trust)
            try:
                for task in listing.followed(tasks, "fetched", len(tasks)):
                    failed += _fetched(task, fetching.carry_out(task))
            finally:
                client.close()
        finally:
            store.close()
    say(f"sealgate: {len(tasks) - failed} of {len(tasks)} fetched")
    if failed:
        raise typer.Exit(TEMPORARY)


def _fetched(task: FetchTask, trouble: GatewayError | None) -> bool:
    """Prints one result; returns whether it failed."""
    if trouble is not None:
        say(f"sealgate: {listing.shown(task.request.url)}: {context.explained(trouble)}")
    return trouble is not None


def _rows(store: Store) -> Iterator[dict[str, object]]:
    """Lists with their tasks; then what has no list yet; answers as one line for each responder."""
    tasks = list(store.fetch_tasks.list())
    names: dict[str, str] = {}
    by_place: dict[tuple[str, str], FetchTask] = {}
    for task in tasks:
        if task.request.kind == "crl":
            issuer = parse_certificate(task.request.issuer)
            authority = authority_id(issuer)
            names[authority] = issuer.subject
            by_place[authority, task.request.url] = task
    for stored in store.revocations.all_lists():
        task_of = by_place.pop((stored.authority, stored.url), None)
        yield _row(stored, names.get(stored.authority, stored.authority), store, task_of)
    for (authority, url), task in by_place.items():
        yield {"kind": "crl", "authority": names[authority], "scope": "", "url": url, "number": None,
               "this_update": None, "next_update": None, "entries": None, "fetched_at": task.done_at,
               "trouble": _trouble(task)}
    responders = Counter(task.request.url for task in tasks if task.request.kind == "ocsp")
    for url, number in responders.items():
        bad = next((task for task in tasks if task.request.url == url and task.failures), None)
        yield {"kind": "ocsp", "authority": "", "scope": "", "url": url, "number": None, "this_update": None,
               "next_update": None, "entries": number, "fetched_at": None, "trouble": _trouble(bad)}


def _row(stored: StoredList, name: str, store: Store, task: FetchTask | None) -> dict[str, object]:
    return {"kind": stored.kind, "authority": name, "scope": stored.scope, "url": stored.url, "number": stored.number,
            "this_update": stored.this_update, "next_update": stored.next_update,
            "entries": _entries(stored, store), "fetched_at": stored.fetched_at, "trouble": _trouble(task)}


def _entries(stored: StoredList, store: Store) -> int | None:
    """How many; the listing has no records."""
    return next((count(one.records) for one in store.revocations.lists(stored.authority)
                 if (one.scope, one.kind) == (stored.scope, stored.kind)), None)


def _trouble(task: FetchTask | None) -> str:
    """The last failure in words, with its remedy."""
    if task is None or not task.failures or task.reason is None:
        return ""
    sentence = SENTENCES[task.reason]
    return f"{task.reason} ({task.failures} times): {sentence.what} {sentence.admin} ({task.detail})"
