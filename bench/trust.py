"""Goal 6: a look-up in a store of a million certificates, and what a known signer and recipient cost again."""

import hashlib
import os
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench import tree
from bench.material import Material
from bench.report import Progress, Report, Row
from gateway.adapters.db.certificates.revocations import DbRevocations
from gateway.adapters.db.certificates.store import DbCertificates
from gateway.adapters.db.engine.schema import create_database
from gateway.clock import SystemClock
from gateway.cms.certificate import Certificate
from gateway.model.lookup import CertificateRow, Found
from gateway.pki.path.verdicts import believe
from gateway.pki.revocation.table import StoredRevocation
from gateway.pki.revocation.verdict import Revocation
from gateway.pki.select import select
from gateway.pki.trust import same_for_mail

STORE = {False: 1_000_000, True: 100_000}  # certificates, by --short
LOOK_UP_US = 100.0
VERDICT_US = 20.0
LOOK_UPS_MIB = 16.0  # a page cache of 8 MiB, and a thousand rows


def goals(report: Report, made: Material, progress: Progress, *, short: bool) -> None:
    """The rows of goal 6."""
    count = STORE[short]
    progress.stage(f"filling a store with {count:,} certificates")
    database = create_database(made.home / "million.db", made.home / "million.id")
    try:
        _fill(made.home / "million.db", made.recipient.certificate, count)
        store = DbCertificates(database, SystemClock())
        progress.stage("looking up")
        picked = iter(random.Random(0).sample(range(count), 12_000))  # noqa: S311 - the same picks in every run

        def look_up() -> None:
            _must(store.rows(f"c{next(picked)}@customer.example"))

        for _ in range(2_000):  # what is kept for ever is kept by then
            look_up()
        before = tree.resident(os.getpid())
        _row(report, f"look-up among {count:,} certificates", LOOK_UP_US, look_up, 8_000)
        grown = (tree.resident(os.getpid()) - before) / 2**20
        report.rows.append(Row("6", "memory for 8,000 such look-ups", "the bound", grown, LOOK_UPS_MIB, "MiB",
                               grown / LOOK_UPS_MIB, 1.0, at_most=True))
        progress.stage("kept verdicts")
        _kept(report, made, Revocation("soft", StoredRevocation(DbRevocations(database))))
    finally:
        database.close()


def _kept(report: Report, made: Material, revocation: Revocation) -> None:
    """Path and revocation of a signer, a recipient's choice: what a mail asks of people that were met before."""
    trust = same_for_mail([made.root], [made.chain])
    now = SystemClock().now()
    signer, read = made.signer.certificate, made.recipient.certificate
    assert believe(signer, now, now, "signer", trust, revocation).path.valid
    _row(report, "a kept verdict on a signer", VERDICT_US,
         lambda: believe(signer, now, now, "signer", trust, revocation), 20_000)
    rows = (CertificateRow(read.sha256, read.der, read.emails, read.not_before, read.not_after, customer="1"),)
    assert isinstance(select(rows, read.emails[0], now, trust, revocation=revocation), Found)
    _row(report, "the choice of a known recipient", VERDICT_US,
         lambda: select(rows, read.emails[0], now, trust, revocation=revocation), 20_000)


def _row(report: Report, what: str, bound_us: float, work: Callable[[], object], count: int) -> None:
    """The median of five turns against the bound."""
    turns = []
    for _ in range(5):
        started = time.process_time()
        for _ in range(count // 5):
            work()
        turns.append((time.process_time() - started) / (count // 5) * 1e6)
    ours = sorted(turns)[2]
    report.rows.append(Row("6", what, "the bound", ours, bound_us, "us CPU", ours / bound_us, 1.0, at_most=True))


def _must(rows: tuple[object, ...]) -> None:
    assert rows, "the look-up found nothing"


def _fill(file: Path, certificate: Certificate, count: int) -> None:
    """Rows as `add` writes them; by hand, since a million of them through it take an hour."""
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        names = [row[1] for row in connection.execute("PRAGMA table_info(certificate)")]
        fixed = {"der": certificate.der, "subject": certificate.subject, "not_before": 0, "not_after": 1 << 52,
                 "source": "import", "key_origin": "unknown", "device_bound": 0, "added_at": 0}

        def rows() -> Iterator[list[object]]:
            for number in range(count):
                special = {"id": number + 1, "sha256": hashlib.sha256(b"%d" % number).hexdigest(),
                           "addresses": f'["c{number}@customer.example"]'}
                yield [special.get(name, fixed.get(name)) for name in names]

        marks = ",".join("?" * len(names))
        connection.executemany(f"INSERT INTO certificate ({','.join(names)}) VALUES ({marks})", rows())  # noqa: S608 - names of our own table
        connection.executemany("INSERT INTO certificate_address (address, certificate_id) VALUES (?, ?)",
                               ((f"c{number}@customer.example", number + 1) for number in range(count)))
    connection.close()
