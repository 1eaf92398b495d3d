"""The contract of Hold, over the database: nothing is kept in clear, nothing is opened without the archive key."""

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select, update

from gateway.adapters.db.hold import DbHold
from gateway.adapters.db.journal import FORGET_EVERY, KEPT, DbJournal
from gateway.adapters.db.tables.mail import held, held_body
from gateway.errors import GatewayError, Reason
from gateway.mime.header import parse_headers
from gateway.model.mail import Envelope, Mail, Origin, Recipient
from gateway.pipeline.message_key import message_key
from gateway.ports.hold import HeldRow, HoldQuery, held_key
from tests.support.pki import NOW, encrypted_key_pem, get_pki

ARCHIVE = get_pki().recipient("rsa-2048", email="archive@bank.example")
CURVE = get_pki().recipient("p-256", email="archive-ec@bank.example")
MAIL = Mail(
    octets=b"From: anna@customer.example\r\nSubject: question\r\n\r\nThe planted secret.\r\n",
    envelope=Envelope("anna@customer.example", (
        Recipient("support@bank.example", ("NEVER",), "rfc822;support@bank.example"), Recipient("staff@bank.example")),
        smtputf8=True, eight_bit=True, ret="HDRS", envid="QQ314159"),
    origin=Origin(ours=False, client=None, received_at=NOW, incident="12ab", listener="in", peer="192.0.2.1",
                  helo="x.example", tls=True, login=None, queue_id="4X", deadline_at=NOW))


@pytest.fixture
def files(tmp_path):
    certificate, key, _ = ARCHIVE.write(tmp_path)
    key.chmod(0o600)
    return certificate, key


@pytest.fixture
def hold(database, clock, files):
    return DbHold(database, clock, *files)


def put(hold, mail=MAIL, recipients=("support@bank.example",), **changed):
    values = {"kind": "quarantine", "direction": "inbound", "subject": "question", "rule": "in.yaml:altered",
              "reason": "policy.quarantined"}
    return hold.put(mail, recipients, **(values | changed))


def everything(database) -> bytes:
    """What is on the disk; of a server, what it would tell of the two tables."""
    if isinstance(database.where, Path):
        return b"".join(file.read_bytes() for file in database.where.parent.rglob("*") if file.is_file())
    with database.read() as connection:
        rows = [*connection.execute(select(held)), *connection.execute(select(held_body))]
    return repr(rows).encode()


def usage(call) -> None:
    with pytest.raises(GatewayError) as caught:
        call()
    assert caught.value.reason is Reason.USAGE


def test_what_is_put_can_be_listed_and_had_back(hold) -> None:
    hold_id = put(hold)
    row = HeldRow(hold_id, "quarantine", NOW, "inbound", "anna@customer.example", ("support@bank.example",), "question",
                  "in.yaml:altered", "policy.quarantined", "waiting", len(MAIL.octets), MAIL.origin.incident)
    assert hold.list() == (row,)
    assert hold.row(hold_id) == row
    found, mail = hold.get(hold_id)
    assert found == row
    assert mail.octets == MAIL.octets
    assert mail.envelope == replace(MAIL.envelope, recipients=MAIL.envelope.recipients[:1])
    assert mail.origin == replace(MAIL.origin, deadline_at=None, held_as=hold_id)


def test_the_journal_keeps_the_rows_of_a_mail_while_it_is_held(hold, database, clock) -> None:
    """Else a release weeks after one that was taken in part would send it to the same recipient again."""
    journal, hold_id = DbJournal(database, clock), put(hold)
    _, mail = hold.get(hold_id)
    keys = (held_key(hold_id), message_key(mail, parse_headers(mail.octets), "inbound"))
    for key in keys:
        journal.claim(key, ("support@bank.example",))
        journal.taken(key, ("support@bank.example",), "250 ok")
        journal.release(key, acknowledged=True)

    def kept() -> list[bool]:
        clock.forward(seconds=(KEPT + FORGET_EVERY).total_seconds())
        journal.claim("another", ("anna@customer.example",))
        journal.release("another", acknowledged=True)
        return [bool(journal.rows(key)) for key in keys]

    assert kept() == [True, True]
    hold.settle(hold_id, "released")
    assert kept() == [False, False]


def test_the_body_never_touches_the_disk_in_clear(hold, database) -> None:
    put(hold)
    written = everything(database)
    assert b"in.yaml:altered" in written
    assert b"planted secret" not in written


def test_list_is_oldest_first_and_needs_no_key(database, clock, files) -> None:
    hold = DbHold(database, clock, files[0], None)
    first = put(hold)
    clock.forward(seconds=1)
    second = put(hold, kind="hold")
    assert [row.hold_id for row in hold.list()] == [first, second]
    with pytest.raises(GatewayError) as caught:
        hold.get(first)
    assert caught.value.reason is Reason.KEY_UNAVAILABLE


def test_pages_have_every_row_once_and_say_when_there_are_no_others(hold, clock, monkeypatch) -> None:
    monkeypatch.setattr("gateway.adapters.db.hold.PAGE", 2)
    monkeypatch.setattr("gateway.adapters.db.hold.READ_MAX", 4)
    ids = []
    for number in range(7):
        clock.forward(minutes=number % 2)
        ids.append(put(hold, rule="r:a" if number in {0, 6} else "r:b"))
    for query, expected in ((HoldQuery(), ids), (HoldQuery(rule="r:a"), [ids[0], ids[6]]), (HoldQuery(rule="r:c"), [])):
        found, after, pages = [], None, 0
        while not pages or after is not None:
            page = hold.page(query, 3, state="waiting", after=after)
            found += [row.hold_id for row in page.rows]
            after, pages = page.next, pages + 1
            assert pages < 5
        assert found == expected


def test_without_an_archive_certificate_nothing_is_held_in_clear(database, clock) -> None:
    with pytest.raises(GatewayError) as caught:
        put(DbHold(database, clock))
    assert (caught.value.reason, caught.value.retry) == (Reason.CONFIG_INVALID, True)


def test_another_key_is_named_not_tried(database, clock, files, tmp_path) -> None:
    other = get_pki().recipient("rsa-2048", email="other@bank.example", which=7).write(tmp_path)[1]
    other.chmod(0o600)
    hold = DbHold(database, clock, files[0], other)
    with pytest.raises(GatewayError, match="is not the key of"):
        hold.get(put(hold))


def test_an_elliptic_archive_key_under_a_passphrase_opens(database, clock, tmp_path) -> None:
    certificate, key, _ = CURVE.write(tmp_path)
    key.write_bytes(encrypted_key_pem(CURVE, b"long words"))
    (tmp_path / "phrase").write_text("long words\n")
    for secret in (key, tmp_path / "phrase"):
        secret.chmod(0o600)
    hold = DbHold(database, clock, certificate, key, tmp_path / "phrase")
    assert hold.get(put(hold))[1].octets == MAIL.octets


@pytest.mark.parametrize("state", ["released", "rejected"])
def test_settling_drops_the_body_and_keeps_the_row(hold, database, state) -> None:
    hold_id = put(hold)
    hold.settle(hold_id, state)
    assert hold.list() == ()
    assert [row.state for row in hold.list(state=state)] == [state]
    usage(lambda: hold.get(hold_id))
    usage(lambda: hold.settle(hold_id, "released"))
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM held_body").scalar() == 0


def test_an_unknown_id_is_usage(hold) -> None:
    for call in (lambda: hold.get("nope"), lambda: hold.row("nope"), lambda: hold.settle("nope", "rejected")):
        usage(call)


def test_a_full_store_defers_and_settling_makes_room(database, clock, files) -> None:
    first = DbHold(database, clock, *files)
    hold_id = put(first, kind="hold")
    with database.read() as connection:
        size = connection.exec_driver_sql("SELECT stored FROM held").scalar()
    assert put(DbHold(database, clock, *files, octets_max=2 * size), kind="hold") != hold_id  # at the limit
    with pytest.raises(GatewayError) as caught:
        put(DbHold(database, clock, *files, octets_max=3 * size - 1), kind="hold")  # one below what it takes
    assert (caught.value.reason, caught.value.retry) == (Reason.HOLD_FULL, True)
    first.settle(hold_id, "rejected")
    put(DbHold(database, clock, *files, octets_max=2 * size), kind="hold")
    with pytest.raises(GatewayError):
        put(DbHold(database, clock, *files, octets_max=0))


def test_strangers_cannot_take_the_room_of_held_mail(database, clock, files) -> None:
    """Whoever sends what is quarantined fills half of the store; the bank's own held mail has the rest."""
    put(DbHold(database, clock, *files))
    with database.read() as connection:
        size = connection.exec_driver_sql("SELECT stored FROM held").scalar()
    hold = DbHold(database, clock, *files, octets_max=4 * size)
    put(hold)
    with pytest.raises(GatewayError) as caught:
        put(hold)
    assert caught.value.reason is Reason.HOLD_FULL
    put(hold, kind="hold")
    put(hold, kind="hold")
    with pytest.raises(GatewayError):
        put(hold, kind="hold")


def test_altered_storage_is_not_opened(hold, database) -> None:
    hold_id = put(hold)
    with database.read() as connection:
        sealed = connection.scalar(select(held_body.c.sealed))
    wrong = sealed[:-1] + bytes([sealed[-1] ^ 1])
    database.write(lambda connection: connection.execute(update(held_body).values(sealed=wrong)))
    with pytest.raises(GatewayError) as caught:
        hold.get(hold_id)
    assert caught.value.reason is Reason.DECRYPTION_FAILED


def test_a_missing_certificate_file_is_named_and_found_again_once_it_is_there(database, clock, files, tmp_path) -> None:
    moved = files[0].rename(tmp_path / "moved.pem")
    hold = DbHold(database, clock, *files)
    with pytest.raises(GatewayError) as caught:
        put(hold)
    assert (caught.value.reason, caught.value.retry) == (Reason.CONFIG_UNREADABLE, True)
    moved.rename(files[0])
    assert put(hold)


def test_a_dead_database_is_unavailable(dead_database, clock, files) -> None:
    hold = DbHold(dead_database, clock, *files)
    for call in (lambda: put(hold), hold.list, lambda: hold.get("x"), lambda: hold.settle("x", "rejected")):
        with pytest.raises(GatewayError) as caught:
            call()
        assert (caught.value.reason, caught.value.retry) == (Reason.STORE_UNAVAILABLE, True)
