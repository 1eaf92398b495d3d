"""The database or its disk is taken away under a gateway, in ways that were seen or can happen.

Truth: the octets that reached the next hop. The everyday rule of the bank's people sends in clear where nobody has a
certificate; anna has one. So a register that is missing, empty or another one must defer her mail, never send it.
"""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from gateway.adapters.db.engine.schema import create_database
from gateway.app import Gateway
from gateway.errors import GatewayError, Reason
from gateway.model.outcome import Settled
from gateway.settings import load
from tests.support.bank import Context, context
from tests.support.peers import missing
from tests.support.process import template

ANNA = "anna@customer.example"
SECRET = b"481516"
LETTER = (b"From: staff@bank.example\r\nTo: anna@customer.example\r\nSubject: Yours\r\n"
          b"Message-ID: <%d@bank.example>\r\n\r\nThe number is 481516\r\n")


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[Context]:
    with context(Path(shutil.copytree(template(), tmp_path / "bank"))) as built:
        assert sent(built, 0) is Settled.TAKEN
        yield built


def sent(bank: Context, number: int) -> Settled:
    mail = bank.send(LETTER % number, ANNA, client="staff", sender="staff@bank.example")
    return bank.gateway.handle(mail).answer


def nothing_clear(bank: Context) -> None:
    assert [octets for _, octets, _ in bank.outbound.taken if SECRET in octets] == []


def files_of(path: Path) -> list[Path]:
    return [path.with_name(path.name + end) for end in ("", "-wal", "-shm")]


def other_database(path: Path) -> Path:
    """One with all tables and no customer, as `sealgate init --database` makes it elsewhere."""
    other = path.with_name("other.db")
    create_database(other, path.with_name("other.id")).close()
    return other


def removed(path: Path) -> None:
    for file in files_of(path):
        file.unlink(missing_ok=True)


def emptied(path: Path) -> None:
    """As by a mount over its directory in which somebody has touched it."""
    removed(path)
    path.touch()


def exchanged(path: Path) -> None:
    other_database(path).replace(path)


def exchanged_cleanly(path: Path) -> None:
    other = other_database(path)
    removed(path)
    other.replace(path)


def overwritten(path: Path) -> None:
    """As by `cp`: the same inode with another database in it."""
    other = other_database(path)
    for file in files_of(path)[1:]:
        file.unlink(missing_ok=True)
    shutil.copyfile(other, path)


def truncated(path: Path) -> None:
    os.truncate(path, 0)


def no_directory(path: Path) -> None:
    """As by a disk that is not mounted any more."""
    path.parent.rename(path.parent.with_name("away"))


WAYS = [removed, emptied, exchanged, exchanged_cleanly, overwritten, truncated, no_directory]


@pytest.mark.parametrize("take_away", WAYS)
def test_a_running_gateway_defers_and_sends_nothing_in_clear(bank, take_away: Callable[[Path], None]) -> None:
    take_away(bank.bank.home / "sealgate.db")
    for number in range(1, 9):
        assert sent(bank, number) is Settled.LATER
    nothing_clear(bank)


@pytest.mark.parametrize("take_away", WAYS)
def test_a_gateway_that_starts_then_does_not_work(bank, take_away: Callable[[Path], None]) -> None:
    """Eight of eight mails left in clear after a reload: each new worker had made a database of its own."""
    bank.gateway.close()
    settings = load(bank.bank.config)
    before = set(bank.bank.home.glob("sealgate.db*"))
    take_away(settings.database)
    with pytest.raises(GatewayError) as caught:
        Gateway(settings)
    assert (caught.value.reason.family, caught.value.retry) == ("store", True)
    assert set(bank.bank.home.glob("sealgate.db*")) <= before | set(files_of(settings.database))


@contextmanager
def small_disk(path: Path, octets: int) -> Iterator[Path]:
    """A file system of its own."""
    path.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={octets}", "tmpfs", path], check=False).returncode:
        missing("a file system of our own", "none: mount(8) needs root")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)


def test_on_a_full_disk_no_mail_leaves_without_its_evidence(tmp_path) -> None:
    """The disk fills up between two mails. What left by then has its record once there is room again."""
    home = Path(shutil.copytree(template(), tmp_path / "bank"))
    with small_disk(tmp_path / "disk", 24 << 20) as disk:
        for file in home.glob("sealgate.db*"):
            shutil.move(file, disk / file.name)
        settings = load(home / "sealgate.yaml").model_copy(update={"database": disk / "sealgate.db"})
        with context(home, lambda _: settings) as bank:
            answers = [sent(bank, 0)]
            filler = disk / "filler"
            with filler.open("wb") as file:
                try:
                    while file.write(b"\0" * 65_536):
                        pass
                except OSError:
                    pass
            answers += [sent(bank, number) for number in range(1, 40)]
            nothing_clear(bank)
            assert set(answers) <= {Settled.TAKEN, Settled.LATER}
            filler.unlink()
            evidence = bank.gateway.store.evidence
            assert evidence._brought_in(evidence._spool)
            left = {number for number, answer in enumerate(answers) if answer is Settled.TAKEN}
            for number in left:
                found = evidence.find(f"{number}@bank.example")
                assert [one.settled for one in found].count(Settled.TAKEN) == 1, number
            assert sent(bank, 99) is Settled.TAKEN
            assert len(bank.outbound.taken) == len(left) + 1


def test_while_another_program_holds_the_write_lock_evidence_waits(bank, monkeypatch) -> None:
    monkeypatch.setattr("gateway.adapters.db.engine.sqlite.BUSY_TIMEOUT_MS", 20)
    with closing(sqlite3.connect(bank.bank.home / "sealgate.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert sent(bank, 1) is Settled.TAKEN
        other.execute("ROLLBACK")
    evidence = bank.gateway.store.evidence
    while evidence._spool.waiting():
        evidence._brought_in(evidence._spool)
    assert len(evidence.find("1@bank.example")) == 1


def test_settings_that_mean_another_database_are_told_which(bank) -> None:
    bank.gateway.close()
    settings = load(bank.bank.config)
    settings.database_id.write_text("0" * 32 + "\n")
    with pytest.raises(GatewayError, match="sealgate database adopt") as caught:
        Gateway(settings)
    assert caught.value.reason is Reason.STORE_MISMATCH
