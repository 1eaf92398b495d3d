"""Which lines of a log speak of a mail. Truth: lines as Postfix, rsyslog, journalctl and the gateway write them."""

from datetime import UTC, datetime

import pytest

from gateway.app.operation.tracing import plain_key
from gateway.cli.trace.log import LINE_MAX, lines_about

OURS = '{"incident": "6d923a86e45b0386", "event": "mail", "timestamp": "2026-11-24T08:00:00.5Z", "level": "info"}'


def about(line: str, *words: str) -> bool:
    return bool(list(lines_about([line], frozenset(words))))


@pytest.mark.parametrize("line", [
    "Nov 24 09:00:00 mx postfix/qmgr[7]: 4bVn3T0Z1zz: removed",
    "2026-11-24T09:00:00+01:00 mx postfix/lmtp[9]: X: to=<a@b>, status=sent (250 2.0.0 Ok: queued as 4bVn3T0Z1zz)",
    '{"reply": "250 2.0.0 Ok: queued as 4bVn3T0Z1zz", "event": "mail"}', "4bVn3T0Z1zz", "id=4bVn3T0Z1zz."])
def test_a_queue_id_is_found_wherever_it_stands(line: str) -> None:
    assert about(line, "4bVn3T0Z1zz")


@pytest.mark.parametrize("line", [
    "postfix/qmgr[7]: 4bVn3T0Z1zzX: removed", "postfix/qmgr[7]: A4bVn3T0Z1zz: removed", "4BVN3T0Z1ZZ: removed", "",
    "x4bVn3T0Z1zz.example"])
def test_another_one_is_not_taken_for_it(line: str) -> None:
    assert not about(line, "4bVn3T0Z1zz")


def test_a_message_id_stands_in_brackets() -> None:
    line = "mx postfix/cleanup[3]: 4bVn3T0Z1zz: message-id=<20261124.1@bank.example>"
    assert about(line, "20261124.1@bank.example")
    assert not about(line, "1@bank.example")


def test_no_words_no_lines() -> None:
    assert not about("anything")


@pytest.mark.parametrize("prefix", ["", "Nov 24 09:00:00 mx sealgate[5]: ", "2026-11-24T09:00:00+01:00 mx sealgate: "])
def test_a_line_of_ours_is_read_behind_whatever_prefix(prefix: str) -> None:
    (line,) = lines_about([prefix + OURS + "\n"], frozenset({"6d923a86e45b0386"}))
    assert line.fields["event"] == "mail"
    assert line.at == datetime(2026, 11, 24, 8, 0, 0, 500_000, UTC)


@pytest.mark.parametrize("line, at", [
    ("2026-11-24T09:00:00+01:00 mx x: word", datetime(2026, 11, 24, 8, tzinfo=UTC)),
    ("2026-11-24T09:00:00.25Z mx x: word", datetime(2026, 11, 24, 9, 0, 0, 250_000, UTC)),
    ("Nov 24 09:00:00 mx x: word", None), ('{"event": "x", "timestamp": "rubbish", "a": "word"}', None),
    ('{"a": "word"', None), ("[1, 2] word {}", None), ("2026-13-45T99:99:99Z word", None)])
def test_its_time_where_it_says_one(line: str, at: datetime | None) -> None:
    (found,) = lines_about([line], frozenset({"word"}))
    assert found.at == at


def test_a_line_without_end_is_cut() -> None:
    (found,) = lines_about(["word " + "x" * LINE_MAX * 3], frozenset({"word"}))
    assert len(found.text) == LINE_MAX


@pytest.mark.parametrize("pasted, key", [
    ("550 5.7.5 The bank has no certificate of the recipient. Incident 6d923a86e45b0386", "6d923a86e45b0386"),
    ("host gw[127.0.0.1] said: 451 4.3.0 Try again. Incident 6d923a86e45b0386 (in reply to end of DATA command)",
     "6d923a86e45b0386"),
    ("250 2.0.0 Ok: 6d923a86e45b0386", "6d923a86e45b0386"), ("<a@b.example>", "a@b.example"),
    ("4bVn3T0Z1zz", "4bVn3T0Z1zz"), ("6d923a86", "6d923a86"), ("", "")])
def test_what_somebody_pasted_holds_the_key(pasted: str, key: str) -> None:
    assert plain_key(pasted) == key
