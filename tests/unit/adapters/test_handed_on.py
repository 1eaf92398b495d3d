"""Answers of directories that outlive the process that asked. Truth: the lives that the settings give an answer."""

from collections.abc import Callable

import pytest

from gateway.adapters.directories.answer_handover import handed_on, taken_over
from gateway.adapters.directories.guarded import Guarded
from gateway.adapters.directories.rows import rows_of, unavailable
from gateway.errors import GatewayError, Reason
from gateway.model.lookup import CertificateRow
from gateway.settings import HttpSourceSettings

ANNA, BEN = "anna@partner.example", "ben@partner.example"
JUNK = rows_of([b"\x30\xff no certificate \x00"], "partner")


class Directory:
    """Knows Anna until it is down."""

    name = "partner"
    down = False

    def rows(self, address: str) -> tuple[CertificateRow, ...]:
        if self.down:
            raise unavailable(self.name, "down")
        return JUNK if address == ANNA else ()


def guard(directory: Directory, now: Callable[[], float], **settings: object) -> Guarded:
    return Guarded(directory, HttpSourceSettings(name="partner", kind="http", domains=("partner.example",),  # type: ignore[arg-type]
                                     url="https://keys.partner.example/", positive_s=10, negative_s=10, stale_s=100,
                                     **settings), monotonic=now)


def dead() -> Directory:
    directory = Directory()
    directory.down = True
    return directory


def test_an_answer_lives_on_in_the_next_process_and_no_longer():
    at = [1000.0]
    first = guard(Directory(), lambda: at[0])
    assert first.rows(ANNA) == JUNK
    second = guard(dead(), lambda: at[0])
    taken_over(handed_on([first]), [second])
    assert (second.reply(ANNA).rows, second.reply(ANNA).kept) == (JUNK, "kept")
    at[0] += 50
    assert (second.reply(ANNA).rows, second.reply(ANNA).kept) == (JUNK, "stale")
    at[0] += 100
    with pytest.raises(GatewayError) as trouble:
        second.reply(ANNA)
    assert trouble.value.reason is Reason.CERTIFICATE_UNAVAILABLE


def test_absence_does_not_outlive_its_life_by_being_handed_on():
    """Absence is what may let a mail leave in clear."""
    at = [1000.0]
    first, second = guard(Directory(), lambda: at[0]), guard(dead(), lambda: at[0])
    assert first.rows(BEN) == ()
    taken_over(handed_on([first]), [second])
    assert second.rows(BEN) == ()
    at[0] += 11
    with pytest.raises(GatewayError):
        second.rows(BEN)


def test_a_shorter_life_of_the_source_is_handed_on() -> None:
    """The TTL of a DNS answer counts in the next process, too (RFC 1035 3.2.1)."""
    class Timed(Directory):
        def timed_rows(self, address: str) -> tuple[tuple[CertificateRow, ...], float]:
            return self.rows(address), 4.0

    at = [1000.0]
    first, second = guard(Timed(), lambda: at[0]), guard(dead(), lambda: at[0])
    assert first.rows(ANNA) == JUNK
    taken_over(handed_on([first]), [second])
    assert second.reply(ANNA).kept == "kept"
    at[0] += 4
    assert second.reply(ANNA).kept == "stale"


def test_who_would_ask_otherwise_takes_nothing_over():
    first, second = guard(Directory(), lambda: 1.0), guard(dead(), lambda: 1.0, deadline_s=9)
    assert first.rows(ANNA)
    taken_over(handed_on([first]), [second])
    assert second.answers() == []


def test_what_the_next_knows_newer_stays():
    first, second = guard(Directory(), lambda: 1.0), guard(Directory(), lambda: 2.0)
    assert first.rows(ANNA)
    assert second.rows(ANNA)
    taken_over(handed_on([first]), [second])
    assert second.answers() == [(ANNA, 2.0, 10.0, JUNK)]
    taken_over(handed_on([second]), [first])
    assert first.answers() == [(ANNA, 1.0, 10.0, JUNK)]  # by its clock 2.0 is still to come
    taken_over(b"", [second])
    assert len(second.answers()) == 1
