"""The reader of Postfix's log. Truth: lines that Postfix 3.10 and rsyslog have written, and logrotate's two ways.

tests/peers/test_postfix_log.py reads what a real Postfix writes.
"""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.next_hop import postfix_log as module
from gateway.adapters.next_hop.postfix_log import PostfixLog
from gateway.clock import FrozenClock
from gateway.errors import GatewayError, Reason
from gateway.ports.services.statements.rows import Delivery

AT = datetime(2026, 11, 26, 20, 12, 55, tzinfo=UTC)
NOW = AT + timedelta(minutes=5)
SENT = ("2026-11-26T20:12:55+00:00 mx postfix/smtp[4711]: 4dHpBT3wJvz1x: to=<anna@customer.example>, "
        "relay=mx.customer.example[192.0.2.1]:25, delay=0.31, delays=0.02/0/0.18/0.11, dsn=2.0.0, "
        "status=sent (250 2.0.0 Ok: queued as 9F2C1A)")
DEFERRED = SENT.replace("dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 9F2C1A)",
                        "dsn=4.7.1, status=deferred (host mx said: 451 4.7.1 Greylisted (in reply to RCPT TO command))")
BOUNCED = SENT.replace("dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 9F2C1A)",
                       "dsn=5.1.1, status=bounced (host mx said: 550 5.1.1 unknown (in reply to RCPT TO command))")


@pytest.fixture
def log(tmp_path: Path) -> PostfixLog:
    return PostfixLog(tmp_path / "mail.log", tmp_path / "place", FrozenClock(NOW))


def put(tmp_path: Path, *lines: str, name="mail.log", end="\n", mode="a") -> None:
    with (tmp_path / name).open(mode, encoding="utf-8") as file:
        file.write("".join(line + end for line in lines))


def read(log: PostfixLog, *, keep=True) -> list[Delivery]:
    found: list[Delivery] = []
    for told in log.read():
        found.extend(told.deliveries)
        if keep:
            log.keep(told.place)
    return found


@pytest.mark.parametrize(("line", "state", "answer"), [
    (SENT, "delivered", "250 2.0.0 Ok: queued as 9F2C1A"),
    (DEFERRED, "deferred", "host mx said: 451 4.7.1 Greylisted (in reply to RCPT TO command)"),
    (BOUNCED, "bounced", "host mx said: 550 5.1.1 unknown (in reply to RCPT TO command)"),
    (SENT.replace("status=sent", "status=expired"), "bounced", "250 2.0.0 Ok: queued as 9F2C1A")])
def test_what_the_recipients_server_answered(log, tmp_path, line: str, state: str, answer: str) -> None:
    put(tmp_path, line)
    assert read(log) == [Delivery("4dHpBT3wJvz1x", state, answer, AT)]


@pytest.mark.parametrize("line", [
    SENT.replace("postfix/smtp", "postfix-out/smtp"), SENT.replace("postfix/smtp", "postfix/relay/smtp"),
    SENT.replace("/smtp[", "/lmtp["), SENT.replace("/smtp[", "/virtual["),
    SENT.replace("4dHpBT3wJvz1x", "5C3F81A2B4"),  # short ids
    SENT.replace("delay=0.31", "conn_use=3, delay=0.31"),
    SENT.replace(">, relay", ">, orig_to=<a@customer.example>, relay"),
    SENT.replace("2026-11-26T20:12:55+00:00", "2026-11-26T20:12:55.123456+00:00"),
    SENT.replace("2026-11-26T20:12:55+00:00", "2026-11-26T21:12:55+01:00"),
    SENT.replace("relay=mx.customer.example[192.0.2.1]:25", "relay=mx.customer.example[2001:db8::1]:25")])
def test_lines_are_read_as_they_are_written(log, tmp_path, line: str) -> None:
    put(tmp_path, line)
    (found,) = read(log)
    assert found.state == "delivered"
    assert found.at.replace(microsecond=0) == AT


def test_a_stamp_without_year_and_zone_is_the_machines_last(log, tmp_path) -> None:
    local = AT.astimezone()
    put(tmp_path, SENT.replace("2026-11-26T20:12:55+00:00", f"{local:%b} {local.day:>2} {local:%H:%M:%S}"),
        SENT.replace("2026-11-26T20:12:55+00:00", "Dec 31 23:59:59"))
    first, second = read(log)
    assert first.at == AT
    assert second.at.year == 2025, "this year's is a month ahead"


@pytest.mark.parametrize("line", [
    "2026-11-26T20:12:55+00:00 mx postfix/qmgr[9]: 4dHpBT3wJvz1x: from=<s@bank.example>, size=9, nrcpt=1 (queue act)",
    "2026-11-26T20:12:55+00:00 mx postfix/qmgr[9]: 4dHpBT3wJvz1x: removed",
    SENT.replace(" mx postfix", " mx sshd[9]: postfix"),
    SENT.replace("postfix/smtp[4711]", "postfix/smtpd[4711]: NOQUEUE: reject: helo=<x]"),
    SENT.replace("anna@customer.example", "a>, relay=x, delay=1, dsn=2.0.0, status=sent (250 ok) x@y.example"),
    SENT.replace("status=sent", "status=undeliverable"),  # of address verification: no mail
    SENT.replace("Z", ""), "", "status=sent : to=<", SENT[:-1], "\0" * 40])
def test_no_other_line_is_one(log, tmp_path, line: str) -> None:
    if line == SENT.replace("Z", ""):
        line = SENT.replace("2026-11-26T20:12:55", "2026-13-40T20:12:55")
    put(tmp_path, line)
    assert read(log) == []


def test_an_answer_is_no_status(log, tmp_path) -> None:
    """A recipient's server may answer what it likes."""
    put(tmp_path, BOUNCED.replace("550 5.1.1 unknown", "550 to=<x@y>, relay=z, delay=1, dsn=2.0.0, status=sent (ok)"))
    (found,) = read(log)
    assert found.state == "bounced"
    assert len(found.answer) <= module.ANSWER_CHARACTERS_MAX


def test_an_address_is_no_status(log, tmp_path) -> None:
    """A local part in quotes may hold nearly everything (RFC 5321 4.1.2)."""
    put(tmp_path, BOUNCED.replace("anna@", '"a>, relay=x, delay=1, dsn=2.0.0, status=sent (250 ok)"@'))
    (found,) = read(log)
    assert found.state == "bounced"


@pytest.mark.parametrize("relay", ["127.0.0.1[127.0.0.1]:10025", "localhost[::1]:10024", "mx[private/filter]"])
def test_a_filter_of_the_machines_own_has_not_delivered_it(log, tmp_path, relay: str) -> None:
    line = SENT.replace("mx.customer.example[192.0.2.1]:25", relay)
    put(tmp_path, line.replace("250 2.0.0 Ok", "250 2.0.0 from MTA(smtp:[127.0.0.1]:10026): 250 2.0.0 Ok"))
    (found,) = read(log)
    assert found.handed_on_as == "9F2C1A"


def test_each_line_is_told_once(log, tmp_path) -> None:
    put(tmp_path, SENT, DEFERRED)
    assert len(read(log)) == 2
    assert read(log) == []
    put(tmp_path, BOUNCED)
    assert [one.state for one in read(log)] == ["bounced"]


def test_what_was_not_kept_is_told_again(log, tmp_path) -> None:
    put(tmp_path, SENT)
    assert read(log, keep=False) == read(log)
    assert read(log) == []


def test_a_line_that_is_still_being_written_waits(log, tmp_path) -> None:
    put(tmp_path, SENT)
    put(tmp_path, BOUNCED[:60], end="")
    assert len(read(log)) == 1
    put(tmp_path, BOUNCED[60:])
    assert [one.state for one in read(log)] == ["bounced"]


def test_what_a_moved_log_still_holds_is_read_before_the_new_one(log, tmp_path) -> None:
    put(tmp_path, SENT)
    read(log)
    put(tmp_path, DEFERRED)
    (tmp_path / "mail.log").rename(tmp_path / "mail.log.1")
    put(tmp_path, BOUNCED)
    assert [one.state for one in read(log)] == ["deferred", "bounced"]
    assert read(log) == []


def test_a_log_that_was_cut_is_read_from_its_begin_and_the_gap_is_told(log, tmp_path) -> None:
    put(tmp_path, SENT, SENT)
    read(log)
    put(tmp_path, BOUNCED, mode="w")
    told = list(log.read())
    assert [one.lost for one in told] == [True]
    assert [one.state for one in told[0].deliveries] == ["bounced"]


def test_a_log_that_is_gone_is_told(log, tmp_path) -> None:
    put(tmp_path, SENT)
    read(log)
    os.link(tmp_path / "mail.log", tmp_path / "kept elsewhere")  # its inode is not given to the next one
    (tmp_path / "mail.log").unlink()
    with pytest.raises(GatewayError) as caught:
        read(log)
    assert caught.value.reason is Reason.INPUT_UNREADABLE
    put(tmp_path, BOUNCED)
    assert [told.lost for told in log.read()] == [True]


def test_a_place_that_cannot_be_read_is_no_place(log, tmp_path) -> None:
    put(tmp_path, SENT)
    (tmp_path / "place").write_text("[1, 2")
    with pytest.raises(GatewayError):
        read(log)


def test_an_endless_line_is_read_over(log, tmp_path) -> None:
    put(tmp_path, SENT, "x" * (3 * module.LINE_OCTETS_MAX), BOUNCED)
    assert [one.state for one in read(log)] == ["delivered", "bounced"]
    assert read(log) == []


def test_many_are_told_in_parts(log, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH_LINES", 10)
    put(tmp_path, *[SENT] * 25)
    told = list(log.read())
    assert [len(one.deliveries) for one in told] == [10, 10, 5]
    log.keep(told[1].place)
    assert len(read(log)) == 5


@given(st.binary(max_size=300))
def test_whatever_stands_in_it_nothing_is_raised(tmp_path_factory, octets: bytes) -> None:
    folder = tmp_path_factory.mktemp("log")
    (folder / "mail.log").write_bytes(octets + b"\n" + SENT.encode() + b"\n")
    assert read(PostfixLog(folder / "mail.log", folder / "place", FrozenClock(NOW)))[-1].queue_id == "4dHpBT3wJvz1x"
