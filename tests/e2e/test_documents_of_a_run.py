"""Finished documents of a run, most of them wrong in one way each: each is named, and the good customers are served.

Truth: the customers' mails, opened by openssl; the documents are spoilt by pikepdf.
"""

import csv
import json
import re
import subprocess
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pikepdf
import pytest

from gateway.pdf.documents import PdfDocuments
from tests.support.command_server import prefix
from tests.support.papers import STATEMENT
from tests.support.process import ROOT, new_bank
from tests.support.smtp import Hop
from tests.support.statements import account, crowd, number

GOOD = PdfDocuments().make("fast-statement", "en", STATEMENT, datetime(2026, 11, 30, tzinfo=UTC))
EXPECTED = {
    "good.pdf": None, "again.pdf": None, "missing.pdf": "pdf.missing", "locked.pdf": "pdf.locked",
    "broken.pdf": "pdf.unreadable", "page.pdf": "pdf.unreadable", "silent.pdf": "pdf.inaccessible",
    "large.pdf": "pdf.too_large", "../outside.pdf": "pdf.missing", "/etc/passwd": "pdf.missing",
}


def spoilt(directory: Path) -> None:
    """The documents, beside one that lies outside."""
    directory.mkdir()
    for name in ("good.pdf", "again.pdf", "../outside.pdf"):
        (directory / name).write_bytes(GOOD)
    with pikepdf.open(BytesIO(GOOD)) as pdf:
        pdf.save(directory / "locked.pdf", encryption=pikepdf.Encryption(owner="a", user="b"))
        del pdf.Root.StructTreeRoot
        pdf.save(directory / "silent.pdf")
    (directory / "broken.pdf").write_bytes(GOOD[:-500])
    (directory / "page.pdf").write_bytes(b"<html>not found</html>")
    (directory / "large.pdf").write_bytes(GOOD + b"\n" * 100_000)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str | None], int, str]:
    """What became of each document, how many mails left, and what the command said."""
    home = tmp_path_factory.mktemp("documents")
    spoilt(home / "documents")
    with (home / "rows.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["customer", "account", "file"])
        rows.writerows([number(at), account(at), name] for at, name in enumerate(EXPECTED))
    (home / "run.yaml").write_text(
        "version: 1\nname: n\nperiod: 2026-M11\nsource: {csv: rows.csv}\ncolumns: {document: file}\n"
        "documents: {directory: documents}\nrefused_percent_max: 100\n")
    with Hop() as hop:
        bank = new_bank(home / "bank", hop=hop.port, change=lambda text: re.sub(
            "refused_percent_max: [0-9]+", "refused_percent_max: 100, document_octets_max: 100000", text))
        crowd(bank, len(EXPECTED))

        def sealgate(*words: str) -> "subprocess.CompletedProcess[str]":
            command = [*prefix(), "--config", str(bank.config), "statements", *words]
            return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)

        sent = sealgate("send", str(home / "run.yaml"))
        run = json.loads(sealgate("list", "--json").stdout)[0]["id"]
        report = sealgate("report", run, "--csv").stdout
        found = {row["customer"]: row["reason"] or None for row in csv.DictReader(report.splitlines())}
        return ({name: found.get(number(at)) for at, name in enumerate(EXPECTED)}, len(hop.mails),
                sent.stderr + sent.stdout + report)


def test_each_is_named_by_what_is_wrong_with_it(done: tuple[dict[str, str | None], int, str]) -> None:
    assert done[0] == EXPECTED


def test_the_good_ones_left(done: tuple[dict[str, str | None], int, str]) -> None:
    assert done[1] == 2


def test_no_account_is_told(done: tuple[dict[str, str | None], int, str]) -> None:
    assert not any(account(at) in done[2] for at in range(len(EXPECTED)))
