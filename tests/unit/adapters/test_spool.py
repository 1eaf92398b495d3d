"""Evidence while the database is away: a real server that is stopped under records and started again.

Truth: what `add` returned for is found afterwards, each record once; files, modes and bounds by looking at the disk.
"""

import fcntl
import os
import random
import shutil
import stat
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace

import pytest
from sqlalchemy import select

from gateway.adapters.db.engine.sqlite import SqliteDatabase
from gateway.adapters.db.evidence import DbEvidence, _packed
from gateway.adapters.db.evidence_spool import RESERVED_OCTETS, Spool, _line
from gateway.adapters.db.tables.mail import evidence as table
from gateway.errors import GatewayError, Reason
from gateway.model.outcome import Settled
from gateway.model.record import EvidenceRecord
from tests.support import postgres
from tests.support.databases import open_database
from tests.support.pki import NOW
from tests.support.smtp import until

RECORD = EvidenceRecord(
    at=NOW, incident="12ab", message_key="k", message_id="<1@bank.example>", direction="outbound", client="core",
    sender="otp@bank.example", recipient="anna@customer.example", rule="codes.yaml:code", steps=("sign", "encrypt"),
    end="send", settled=Settled.TAKEN, reasons=(), certificates=("c" * 64,), policy_digest="d" * 64,
    next_hop_reply="250 caf\udce9 \0 queued as 4X", sealed_digest="e" * 64, facts={"n": 1})


@pytest.fixture(scope="module")
def server():
    postgres.need_postgres()
    with postgres.own(postgres.scratch("postgres-spool")) as made:
        yield made


@pytest.fixture
def spool(tmp_path):
    made = Spool(tmp_path / "spool")
    made.prepare()
    yield made
    made.close()


@pytest.fixture
def database(server):
    opened = open_database(server.database())
    yield opened
    opened.close()


def record(number: int) -> EvidenceRecord:
    return replace(RECORD, incident=f"{number:04}", message_id=f"<{number}@bank.example>")


def incidents(database) -> list[str]:
    with database.read() as connection:
        return sorted(connection.scalars(select(table.c.incident)))


def waits_for(fact, seconds=30.0):
    end = time.monotonic() + seconds
    while True:
        try:
            if fact():
                return
        except GatewayError:
            pass
        assert time.monotonic() < end
        time.sleep(0.05)


def test_records_wait_on_disk_and_are_brought_in_when_the_database_is_back(server, database, spool, tmp_path) -> None:
    evidence = DbEvidence(database, spool)
    evidence.add((record(1),))
    server.stop("immediate")
    try:
        evidence.add((record(2), replace(record(2), recipient="ben@customer.example")))
        evidence.add((record(3),))
        (file,) = (tmp_path / "spool").iterdir()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    finally:
        server.start()
    waits_for(lambda: spool.waiting() == 0 and len(incidents(database)) == 4)
    assert incidents(database) == ["0001", "0002", "0002", "0003"]
    assert evidence.find("0003") == (record(3),)
    assert list((tmp_path / "spool").iterdir()) == []


def test_everything_that_was_kept_while_the_server_came_and_went_is_there_once(server, database, spool) -> None:
    """Four threads add without a pause; the server is ended twice, once as by a crash."""
    evidence, kept, ended = DbEvidence(database, spool), [], threading.Event()

    def add(thread: int) -> None:
        for number in range(1_000_000):
            if ended.is_set():
                return
            evidence.add((record(thread * 100_000 + number),))
            kept.append(f"{thread * 100_000 + number:04}")
            time.sleep(0.002)

    threads = [threading.Thread(target=add, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    for how in ("fast", "immediate"):
        before = len(kept)
        waits_for(lambda before=before: len(kept) > before + 40)
        server.stop(how)
        before = len(kept)
        waits_for(lambda before=before: len(kept) > before + 40)
        server.start()
    ended.set()
    for thread in threads:
        thread.join(30)
    waits_for(lambda: spool.waiting() == 0)
    waits_for(lambda: len(incidents(database)) >= len(kept))
    assert incidents(database) == sorted(kept)


def test_what_is_brought_in_twice_is_there_once(database, spool, tmp_path) -> None:
    """A crash after the commit and before the file went: the file is there again."""
    spool.add([_packed(record(1)), _packed(record(2))])
    evidence = DbEvidence(database, spool)
    (file,) = (tmp_path / "spool").iterdir()
    octets = file.read_bytes()
    assert evidence._brought_in(spool)
    file.write_bytes(octets)
    assert evidence._brought_in(spool)
    assert incidents(database) == ["0001", "0002"]


def test_a_record_that_was_not_written_whole_is_left_out_and_the_others_are_not(spool, tmp_path) -> None:
    spool.add([_packed(record(1))])
    spool.add([_packed(record(2))])
    (file,) = (tmp_path / "spool").iterdir()
    os.truncate(file, file.stat().st_size - 5)
    assert [[row["incident"] for row in batch] for batch in spool.batches()] == [["0001"]]


def test_what_an_earlier_version_spooled_is_brought_in(database, spool) -> None:
    """It kept the record as JSON, in a row without `packed`."""
    spool.prepare()
    values = {name: value for name, value in asdict(record(1)).items() if name != "at"}
    row = {name: value for name, value in _packed(record(1)).items() if name not in {"packed", "settled"}}
    spool.add([{**row, "record": values}, _packed(record(2))])
    spool.close()
    evidence = DbEvidence(database, spool)
    evidence.ready()
    waits_for(lambda: incidents(database) == ["0001", "0002"])
    assert (evidence.find("0001"), evidence.find("0002")) == ((record(1),), (record(2),))


def test_a_full_spool_says_so(tmp_path) -> None:
    spool = Spool(tmp_path, octets_max=len(_line(_packed(record(1)))) * 2)
    spool.add([_packed(record(1))])
    with pytest.raises(GatewayError, match="more is not kept") as caught:
        spool.add([_packed(record(2)), _packed(record(3))])
    spool.close()
    assert (caught.value.reason, caught.value.retry) == (Reason.STORE_UNAVAILABLE, True)


def test_room_is_reserved_before_a_mail_leaves_and_given_back(spool, tmp_path) -> None:
    """Blocks that are allocated ahead need no room later (posix_fallocate(3))."""
    spool.reserve()
    (file,) = (tmp_path / "spool").iterdir()
    assert file.stat().st_blocks * 512 >= RESERVED_OCTETS
    assert spool.waiting() == 0
    blocks = file.stat().st_blocks
    for number in range(50):
        spool.add([_packed(record(number))])
    assert file.stat().st_blocks == blocks
    assert spool.waiting() == sum(len(_line(_packed(record(n)))) for n in range(50))
    assert [row["incident"] for batch in spool.batches() for row in batch] == [f"{n:04}" for n in range(50)]
    assert list((tmp_path / "spool").iterdir()) == []


def test_a_file_that_is_just_being_made_is_not_taken_for_a_dead_ones(spool, tmp_path, monkeypatch) -> None:
    """Another process looked between its creation and its lock, and removed it: its records were in no file."""
    other, lock = Spool(tmp_path / "spool"), fcntl.flock

    def locking(descriptor: int, how: int) -> None:
        if how == fcntl.LOCK_EX:
            monkeypatch.setattr("gateway.adapters.db.evidence_spool.fcntl.flock", lock)
            assert list(other.batches()) == []
        lock(descriptor, how)

    monkeypatch.setattr("gateway.adapters.db.evidence_spool.fcntl.flock", locking)
    spool.add([_packed(record(1))])
    assert spool.waiting() > 0
    assert [row["incident"] for batch in spool.batches() for row in batch] == ["0001"]


def test_a_reserve_that_was_not_used_leaves_nothing(spool, tmp_path) -> None:
    spool.reserve()
    spool.close()
    assert list((tmp_path / "spool").iterdir()) == []


def test_more_room_is_reserved_before_the_first_is_used_up(spool, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("gateway.adapters.db.evidence_spool.RESERVED_OCTETS", 4_096)
    monkeypatch.setattr("gateway.adapters.db.evidence_spool.SPARE_OCTETS", 2_048)
    for number in range(20):
        spool.reserve()
        (file,) = (tmp_path / "spool").iterdir()
        assert file.stat().st_size - spool.waiting() >= 2_048
        spool.add([_packed(record(number))])
    assert len([row for batch in spool.batches() for row in batch]) == 20


def test_a_directory_that_was_removed_is_made_again_with_what_was_in_it(spool, tmp_path) -> None:
    """Somebody tidied up while the process had its file open: records in a file without a name are lost."""
    spool.reserve()
    spool.add([_packed(record(1))])
    shutil.rmtree(tmp_path / "spool")
    spool.reserve()
    (file,) = (tmp_path / "spool").iterdir()
    assert file.stat().st_blocks * 512 >= RESERVED_OCTETS
    shutil.rmtree(tmp_path / "spool")
    spool.add([_packed(record(2))])
    assert [row["incident"] for batch in spool.batches() for row in batch] == ["0001", "0002"]


def test_no_mail_may_leave_while_a_removed_directory_cannot_be_made(spool, tmp_path) -> None:
    spool.reserve()
    shutil.rmtree(tmp_path / "spool")
    (tmp_path / "spool").touch()
    with pytest.raises(GatewayError, match="spool") as caught:
        spool.reserve()
    assert (caught.value.reason, caught.value.retry) == (Reason.STORE_UNAVAILABLE, True)
    (tmp_path / "spool").unlink()


def test_without_room_no_mail_may_leave(tmp_path) -> None:
    spool = Spool(tmp_path, octets_max=RESERVED_OCTETS - 1)
    with pytest.raises(GatewayError, match="more is not kept") as caught:
        spool.reserve()
    spool.close()
    assert (caught.value.reason, caught.value.retry) == (Reason.STORE_UNAVAILABLE, True)


def test_what_a_process_reserved_that_was_killed_goes(spool, tmp_path) -> None:
    (tmp_path / "spool" / "dead.evidence").write_bytes(b"\0" * 4_096)
    assert list(spool.batches()) == []
    assert list((tmp_path / "spool").iterdir()) == []


def test_many_processes_that_were_killed_hold_up_no_mail(tmp_path) -> None:
    """Each left 4 MiB that it had reserved; after 64 of them no mail could leave any more."""
    for number in range(3):
        (tmp_path / f"dead{number}.evidence").write_bytes(b"\0" * RESERVED_OCTETS)
    living = Spool(tmp_path)
    living.reserve()
    spool = Spool(tmp_path, octets_max=RESERVED_OCTETS)
    spool.reserve()
    evidence = DbEvidence(None, spool)
    evidence.ready()
    until(lambda: len(list(tmp_path.iterdir())) == 2)
    living.add([_packed(record(1))])
    assert spool.waiting() > 0
    for one in (spool, living):
        one.close()


def test_evidence_of_a_mail_that_left_while_sqlite_was_locked_is_kept(tmp_path, spool, monkeypatch) -> None:
    """A backup program that holds the write lock, or a disk that is full: the mail has left by then."""
    monkeypatch.setattr("gateway.adapters.db.engine.sqlite.BUSY_TIMEOUT_MS", 20)
    opened, other = open_database(tmp_path / "s.db"), SqliteDatabase(tmp_path / "s.db")
    evidence = DbEvidence(opened, spool)
    evidence.ready()
    with other.writers.begin():
        evidence.add((record(1),))
        assert spool.waiting() > 0
    waits_for(lambda: incidents(opened) == ["0001"] and spool.waiting() == 0)
    evidence.close()
    opened.close()
    other.close()


def test_a_directory_that_cannot_be_is_named(tmp_path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(GatewayError, match="file/spool"):
        Spool(tmp_path / "file" / "spool").prepare()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_roots_command_kept_the_service_can_bring_in(tmp_path) -> None:
    os.chown(tmp_path, 4711, 4711)
    spool = Spool(tmp_path / "spool")
    spool.prepare()
    spool.add([_packed(record(1))])
    spool.close()
    (file,) = (tmp_path / "spool").iterdir()
    assert (file.parent.stat().st_uid, file.stat().st_uid, stat.S_IMODE(file.stat().st_mode)) == (4711, 4711, 0o600)


DYING = """
import sys
from pathlib import Path
from gateway.adapters.db.evidence_spool import Spool
spool = Spool(Path(sys.argv[1]))
spool.add([{"incident": "of the dead"}])
print("kept", flush=True)
sys.stdin.read()
"""


def test_what_a_dead_process_kept_is_taken_over_and_a_living_ones_is_not(spool, tmp_path) -> None:
    with subprocess.Popen([sys.executable, "-c", DYING, str(tmp_path / "spool")], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"kept\n"
        assert list(spool.batches()) == []
        process.kill()
        process.wait(10)
    assert list(spool.batches()) == [({"incident": "of the dead"},)]
    assert spool.waiting() == 0


@pytest.mark.parametrize("name", ["message_id", "next_hop_reply"])
def test_what_a_stranger_wrote_holds_up_no_evidence(database, spool, name) -> None:
    """Octets that no index of PostgreSQL takes: as many as fit into a Message-ID, of which none is like another."""
    long = "".join(map(chr, random.Random(1).sample(range(0x10000, 0x10FFFF), 990)))
    evidence = DbEvidence(database, spool)
    found = replace(record(90), **{name: f"250 2.0.0 queued as {long}" if name == "next_hop_reply" else f"<{long}>"})
    evidence.add((found,))
    assert spool.waiting() == 0
    assert evidence.find(long) == (found,)


_FULL = """
import resource, sys
from pathlib import Path
from gateway.adapters.db.evidence_spool import Spool
from gateway.errors import GatewayError

def room(octets):
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, resource.RLIM_INFINITY))

row, kept, refused = {"incident": "x", "record": "r" * 3000}, 0, 0
spool = Spool(Path(sys.argv[1]))
room(10_000)
for _ in range(6):
    try:
        spool.add([row])
    except GatewayError as trouble:
        refused += trouble.retry
    else:
        kept += 1
room(resource.RLIM_INFINITY)
for _ in range(2):
    spool.add([row])
    kept += 1
print(kept, refused, sum(len(batch) for batch in spool.batches()), spool.waiting())
"""


def test_a_disk_that_was_full_is_used_again_once_it_has_room(spool, tmp_path) -> None:
    """A limit on the size of files stands for the full disk: the last record fits in part. Here it may grow again."""
    ended = subprocess.run([sys.executable, "-c", _FULL, str(tmp_path / "spool")], capture_output=True, text=True,
                           check=True)
    kept, refused, brought_in, left = map(int, ended.stdout.splitlines()[-1].split())
    assert refused
    assert (brought_in, left) == (kept, 0), "each once, and no half of one"
    assert "not written whole" not in ended.stdout
