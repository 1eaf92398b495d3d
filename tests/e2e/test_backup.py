"""A backup while mail flows, and its way into a database of either kind: what was held can be released there.

Starts: relays, their sink, commands as processes, the session's PostgreSQL server.
Truth: what the commands say of the new place against what the old one had; SHA-256 by hashlib over what tar unpacks.
"""

import hashlib
import hmac
import io
import json
import sqlite3
import stat
import tarfile
import threading
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import select

from gateway.adapters.db import export as portable
from gateway.app.backup import backup, restore
from gateway.errors import GatewayError, Reason
from gateway.settings import Backup, load
from tests.support import postgres
from tests.support.databases import open_database
from tests.support.nodes import code, message_ids, sealgate, section, small
from tests.support.process import new_bank, relay
from tests.support.smtp import Hop, until

FORGED = (
    b"From: director@bank.example\r\nTo: support@bank.example\r\nSubject: Urgent\r\n"
    b"Message-ID: <held@bank.example>\r\nDate: Tue, 24 Nov 2026 12:00:00 +0000\r\n\r\nThe planted secret.\r\n"
)
SECRET = "0123456789abcdef" * 4 + "\n"
KINDS = ("sqlite", "postgresql")


def bank_on(kind: str, home: Path, hop: int):
    """A bank, and where its database is. All have the same secret for backups."""
    secret = home.parent / "backup.secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    backups = f"backup: {{secret_file: {secret}}}\n"
    if kind == "sqlite":
        return new_bank(home, hop=hop, change=lambda text: small(text) + backups)
    postgres.need_postgres()
    where = postgres.server().settings(postgres.server().empty())
    return new_bank(home, hop=hop, change=lambda text: small(text) + section(where) + backups)


def rows(bank) -> dict[str, list[tuple[object, ...]]]:
    settings = load(bank.config)
    database = open_database(settings.postgresql or settings.database)
    with database.read() as connection:
        found = {name: list(map(tuple, connection.execute(select(table).order_by(*table.primary_key.columns))))
                 for name, table in portable.TABLES.items()}
    database.close()
    return found


def enrolled(bank, template: Path) -> None:
    """Fills a PostgreSQL bank with what the demo's has."""
    source = new_bank(template)
    backup(load(source.config), source.config, template / "demo.tar")
    restore(load(bank.config), template / "demo.tar", unverified=True)


@pytest.mark.parametrize(("kind", "other"), [KINDS, KINDS[::-1]])
def test_the_state_moves_to_another_kind_of_database_while_mail_flows(kind, other, tmp_path) -> None:
    with Hop() as sink:
        old = bank_on(kind, tmp_path / "old", sink.port)
        if kind == "postgresql":
            enrolled(old, tmp_path / "demo")
        saved, ended, sent = tmp_path / "saved.tar", threading.Event(), []
        with relay(old, forked=True) as running:
            assert running.receive(FORGED, ["support@bank.example"])[0] == 250  # quarantined
            assert running.submit(code("before"), ["anna@customer.example", "ben@customer.example"])[0] == 250

            def flow() -> None:
                while not ended.is_set():
                    mark = f"flow{len(sent)}"
                    assert running.submit(code(mark), ["anna@customer.example", "ben@customer.example"])[0] == 250
                    sent.append(mark)

            thread = threading.Thread(target=flow)
            thread.start()
            try:
                until(lambda: len(sent) > 2, 60)
                told = sealgate(old, "backup", saved)
                during = len(sent)
            finally:
                ended.set()
                thread.join(60)
        assert "keys/otp.key.pem" in told
        assert stat.S_IMODE(saved.stat().st_mode) == 0o600
        new = bank_on(other, tmp_path / "new", sink.port)
        if other == "sqlite":
            load(new.config).database.unlink()
        assert "Compare them" in sealgate(new, "restore", saved, "--into", tmp_path / "aside")
        (held,) = json.loads(sealgate(new, "hold", "list", "--json"))
        assert "held@bank.example" not in message_ids(sink.mails)
        assert sealgate(new, "trace", "<before@bank.example>").count("anna@customer.example")
        # Everything in it was true at one moment: a mail's journal and evidence belong together.
        state = rows(new)
        column = [one.name for one in portable.TABLES["evidence"].columns].index("message_id")
        evidence = {row[column] for row in state["evidence"]}
        assert "before@bank.example" in evidence
        assert during >= len(evidence) - 3
        assert state["held_body"] != []
        with relay(new, forked=True) as running:
            assert running.submit(code("after"), ["anna@customer.example", "ben@customer.example"])[0] == 250
            # A mail that the old place has sent already is known here: nobody gets it twice.
            copies = message_ids(sink.mails).count("before")
            assert running.submit(code("before"), ["anna@customer.example", "ben@customer.example"])[0] == 250
            assert message_ids(sink.mails).count("before") == copies == 2
        sealgate(new, "hold", "release", held["hold_id"])
        assert message_ids(sink.mails).count("held") == 1
        config = tmp_path / "aside" / str(old.config).lstrip("/")
        assert config.read_bytes() == old.config.read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_every_value_comes_back_as_it_was(kind, tmp_path) -> None:
    with Hop() as sink:
        old = bank_on("sqlite", tmp_path / "old", sink.port)
        with relay(old, forked=True) as running:
            assert running.receive(FORGED, ["support@bank.example"])[0] == 250  # quarantined
            assert running.submit(code("one"), ["anna@customer.example", "ben@customer.example"])[0] == 250
    backup(load(old.config), old.config, tmp_path / "saved.tar")
    new = bank_on(kind, tmp_path / "new", 1)
    if kind == "sqlite":
        load(new.config).database.unlink()
    restore(load(new.config), tmp_path / "saved.tar")
    before, after = rows(old), rows(new)
    assert {name for name, found in before.items() if found} >= {
        "customer", "customer_address", "certificate", "certificate_address", "journal", "evidence", "held",
        "held_body", "counter", "audit", "policy_set"}
    # The snapshot was taken before the end of the backup was recorded; the restore is recorded after its rows.
    last = len(before["audit"])
    assert len(after["audit"]) == last
    for name in ("audit", "audit_value"):
        assert [row for row in after.pop(name) if row[0] < last] == [row for row in before.pop(name) if row[0] < last]
    assert after == before


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A bank and a backup of it."""
    home = tmp_path_factory.mktemp("saved")
    bank = new_bank(home / "bank")
    backup(load(bank.config), bank.config, home / "saved.tar")
    return bank, home / "saved.tar"


def members(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        return {one.name: tar.extractfile(one).read() for one in tar.getmembers()}


def written(path: Path, found: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, octets in found.items():
            info = tarfile.TarInfo(name)
            info.size = len(octets)
            tar.addfile(info, io.BytesIO(octets))
    return path


def test_any_tar_program_reads_it_and_the_hashes_are_right(saved) -> None:
    found = members(saved[1])
    manifest = json.loads(found.pop("manifest.json"))
    assert {name: hashlib.sha256(octets).hexdigest() for name, octets in found.items()} == {
        name: one["sha256"] for name, one in manifest["members"].items()}


def test_no_private_key_and_no_password_is_in_it(saved) -> None:
    bank, path = saved
    octets = path.read_bytes()
    for key in bank.home.rglob("*.key.pem"):
        assert key.read_bytes().splitlines()[1] not in octets
    assert b"PRIVATE KEY" not in octets
    manifest = json.loads(members(path)["manifest.json"])
    assert str(bank.home / "keys" / "otp.key.pem") in manifest["secrets_not_in_here"]


def test_roots_in_a_directory_are_in_it(tmp_path) -> None:
    bank = new_bank(tmp_path / "bank", change=lambda text: text.replace("signers: [pki/root.pem]", "signers: [pki]"))
    told = backup(load(bank.config), bank.config, tmp_path / "saved.tar")
    assert str(bank.home / "pki") not in told.missing
    root = bank.home / "pki" / "root.pem"
    assert members(tmp_path / "saved.tar")[f"files{root}"] == root.read_bytes()
    assert not [name for name in told.files if name.endswith(".key.pem")]


def fresh_in(directory: Path) -> dict[str, Path]:
    """Settings of a database of its own, which does not exist yet."""
    return {"database": directory / "fresh.db", "database_id": directory / "fresh.id"}


def refused(bank, path: Path, words: str, tmp_path: Path, *, unverified: bool = True, secret: Path | None = None,
            ) -> None:
    """And nothing was written."""
    settings = load(bank.config).model_copy(update=fresh_in(tmp_path) | {"backup": Backup(secret_file=secret)})
    with pytest.raises(GatewayError, match=words) as caught:
        restore(settings, path, unverified=unverified)
    assert caught.value.reason is Reason.USAGE
    if settings.database.exists():
        with closing(sqlite3.connect(settings.database)) as look:
            assert look.execute("SELECT name FROM sqlite_master").fetchall() == []


def test_a_database_that_is_not_empty_is_refused(saved) -> None:
    bank, path = saved
    with pytest.raises(GatewayError, match="has tables already") as caught:
        restore(load(bank.config), path, unverified=True)
    assert caught.value.reason is Reason.USAGE


def test_a_damaged_backup_is_refused_before_anything_is_written(saved, tmp_path) -> None:
    bank, path = saved
    octets = bytearray(path.read_bytes())
    place = octets.index(b"anna@customer.example")
    octets[place] ^= 1
    (tmp_path / "damaged.tar").write_bytes(octets)
    refused(bank, tmp_path / "damaged.tar", "damaged: tables/", tmp_path)


@pytest.mark.parametrize(("change", "words"), [
    (lambda found: found.pop("tables/customer"), "not whole: tables/customer"),
    (lambda found: found.update({"tables/more": b""}), "not whole: tables/more"),
    (lambda found: found.pop("manifest.json"), "is not a valid backup"),
    (lambda found: found.update({"manifest.json": b"{}"}), "manifest.json is damaged"),
    (lambda found: found.update({"manifest.json": found["manifest.json"].replace(b'"format": 1', b'"format": 2')}),
     "of format 2"),
    (lambda found: found.update({"manifest.json": found["manifest.json"].replace(b'"schema": "', b'"schema": "9')}),
     "newer tables"),
], ids=["less", "more", "no manifest", "empty manifest", "format", "newer"])
def test_what_is_not_a_whole_backup_is_refused_by_name(saved, tmp_path, change, words) -> None:
    found = members(saved[1])
    change(found)
    refused(saved[0], written(tmp_path / "changed.tar", found), words, tmp_path)


def secret_in(tmp_path: Path, text: str = SECRET) -> Path:
    path = tmp_path / "backup.secret"
    path.write_text(text)
    path.chmod(0o600)
    return path


def forged(found: dict[str, bytes]) -> None:
    """A row and its digest in the manifest, as a person with the file alone can write them."""
    octets = b'{"name":"forged","value":1}\n'
    manifest = json.loads(found["manifest.json"])
    manifest["members"]["tables/counter"] = {"octets": len(octets), "sha256": hashlib.sha256(octets).hexdigest()}
    manifest["rows"]["counter"] = 1
    found |= {"tables/counter": octets, "manifest.json": json.dumps(manifest).encode()}


@pytest.mark.parametrize(("change", "words"), [
    (forged, "was changed, or was written with another"),
    (lambda found: found.pop("manifest.json.hmac"), "has no manifest.json.hmac"),
    (lambda found: (forged(found), found.pop("manifest.json.hmac")), "has no manifest.json.hmac"),
    (lambda found: found.update({"manifest.json.hmac": b""}), "was changed, or was written with another"),
    (lambda found: found.update({"manifest.json.hmac": b"\xff" * 64}), "was changed, or was written with another"),
    (lambda found: found.update({"manifest.json": b"no JSON"}), "was changed, or was written with another"),
], ids=["forged", "stripped", "forged and stripped", "empty", "no digits", "no manifest"])
def test_a_backup_that_a_person_changed_is_refused(saved, tmp_path, change, words) -> None:
    """The database's thief or the keeper of the backups has not the secret: HMAC-SHA-256 (RFC 2104) by hand."""
    bank, secret = saved[0], secret_in(tmp_path)
    settings = load(bank.config).model_copy(update={"backup": Backup(secret_file=secret)})
    backup(settings, bank.config, tmp_path / "signed.tar")
    found = members(tmp_path / "signed.tar")
    mac = hmac.new(SECRET.strip().encode(), found["manifest.json"], "sha256").hexdigest().encode()
    assert found["manifest.json.hmac"] == mac
    assert SECRET.strip().encode() not in (tmp_path / "signed.tar").read_bytes()
    assert str(secret) in json.loads(found["manifest.json"])["secrets_not_in_here"]
    change(found)
    refused(bank, written(tmp_path / "changed.tar", found), words, tmp_path, unverified=False, secret=secret)


def test_a_backup_is_verified_with_its_own_secret_only(saved, tmp_path) -> None:
    bank = saved[0]
    settings = load(bank.config).model_copy(update={"backup": Backup(secret_file=secret_in(tmp_path))})
    path = tmp_path / "signed.tar"
    backup(settings, bank.config, path)
    refused(bank, path, "have no `backup.secret_file`", tmp_path, unverified=False)
    other = secret_in(tmp_path, "f" * 64 + "\n")
    refused(bank, path, "written with another", tmp_path, unverified=False, secret=other)
    fresh = load(bank.config).model_copy(update=fresh_in(tmp_path))
    assert restore(fresh, path, unverified=True).rows["customer"]


def test_an_older_backup_is_restored_on_an_explicit_word_only(saved, tmp_path) -> None:
    """It has no MAC; with or without a secret in the settings."""
    bank, path = saved
    for secret in (None, secret_in(tmp_path)):
        refused(bank, path, "--unverified", tmp_path, unverified=False, secret=secret)
    fresh = load(bank.config).model_copy(update=fresh_in(tmp_path))
    assert restore(fresh, path, unverified=True).rows["customer"]


def test_a_row_that_cannot_be_leaves_nothing_behind(saved, tmp_path) -> None:
    """Rightly hashed, and still wrong: the last table refuses, and the first ones are empty again."""
    found = members(saved[1])
    octets = b'{"name":"x","value":"many","more":1}\n'
    manifest = json.loads(found["manifest.json"])
    manifest["members"]["tables/counter"] = {"octets": len(octets), "sha256": hashlib.sha256(octets).hexdigest()}
    found |= {"tables/counter": octets, "manifest.json": json.dumps(manifest).encode()}
    refused(saved[0], written(tmp_path / "changed.tar", found), "an invalid row for the table counter", tmp_path)


def test_no_other_file_is_ever_written_over(saved, tmp_path) -> None:
    bank, path = saved
    before = path.read_bytes()
    with pytest.raises(GatewayError, match="there already"):
        backup(load(bank.config), bank.config, path)
    (tmp_path / "aside").mkdir()
    settings = load(bank.config).model_copy(update=fresh_in(tmp_path))
    with pytest.raises(GatewayError, match="there already"):
        restore(settings, path, tmp_path / "aside", unverified=True)
    assert path.read_bytes() == before
    assert not (tmp_path / "fresh.db").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
@pytest.mark.parametrize("to", ["tables/customer", "tables/evidence", "nowhere"])
def test_a_member_that_is_no_file_is_refused(saved, tmp_path, kind, to) -> None:
    """A link may lead to itself."""
    found = members(saved[1])
    found.pop("tables/customer")
    path = written(tmp_path / "links.tar", found)
    with tarfile.open(path, "a") as tar:
        info = tarfile.TarInfo("tables/customer")
        info.type, info.linkname = kind, to
        tar.addfile(info)
    refused(saved[0], path, "tables/customer is not a regular file", tmp_path)


@pytest.mark.parametrize("link", [True, False])
def test_what_lies_in_its_way_is_not_written(saved, tmp_path, link) -> None:
    """Made in a directory that others may write to, such as /tmp: their link, or their file that they have open."""
    bank, _ = saved
    theirs, target = tmp_path / "theirs", tmp_path / "all.tar"
    theirs.write_bytes(b"theirs")
    in_the_way = target.with_name("all.tar.part")
    if link:
        in_the_way.symlink_to(theirs)
    else:
        in_the_way.hardlink_to(theirs)
    backup(load(bank.config), bank.config, target)
    assert theirs.read_bytes() == b"theirs"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert target.stat().st_ino != theirs.stat().st_ino
    assert not set(tmp_path.iterdir()) - {theirs, target, in_the_way}, "nothing is left over"


def test_a_path_that_leads_out_of_the_new_directory_is_not_followed(saved, tmp_path) -> None:
    found = members(saved[1])
    manifest = json.loads(found["manifest.json"])
    manifest["members"]["files/../../evil"] = {"octets": 1, "sha256": hashlib.sha256(b"x").hexdigest()}
    found |= {"files/../../evil": b"x", "manifest.json": json.dumps(manifest).encode()}
    settings = load(saved[0].config).model_copy(update=fresh_in(tmp_path))
    with pytest.raises(GatewayError, match="leads out of its directory"):
        restore(settings, written(tmp_path / "evil.tar", found), tmp_path / "a", unverified=True)
    assert not list(tmp_path.rglob("evil"))
    assert not (tmp_path / "fresh.db").exists(), "nothing is written before all was checked"
