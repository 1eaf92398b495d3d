"""A directory that is slow, dead, lying or flooded: what mails get, how long they wait, how often it is asked.

Times are those of the settings, on a clock that the tests turn; deadlines are real, and small. Threads are real.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from gateway.adapters.directories import guarded
from gateway.adapters.directories.guarded import Guarded
from gateway.adapters.directories.rows import Unanswered
from gateway.errors import GatewayError, Reason
from gateway.model.lookup import CertificateRow
from gateway.ports.certificates import Reply
from gateway.settings import HttpSourceSettings
from tests.support.smtp import until

AT = datetime(2026, 11, 24, tzinfo=UTC)
ANNA = "anna@partner.example"


def row(name: str = "a", octets: int = 100) -> CertificateRow:
    return CertificateRow(name, bytes(octets), (ANNA,), AT, AT, source="partner")


class Watch:
    """A monotonic clock that stands until it is turned."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


class Directory:
    """Answers what the test says: rows, an exception, or whatever a callable does. Counts what is with it at once."""

    name = "inner"

    def __init__(self, says: object = ()) -> None:
        self.says = says
        self.asked: list[str] = []
        self.at_once = self.most_at_once = 0
        self.closed = False
        self._lock = threading.Lock()

    def rows(self, address: str) -> tuple[CertificateRow, ...]:
        with self._lock:
            self.asked.append(address)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            says = self.says(address) if callable(self.says) else self.says
        finally:
            with self._lock:
                self.at_once -= 1
        if isinstance(says, Exception):
            raise says
        return says  # type: ignore[return-value]

    def close(self) -> None:
        self.closed = True


def guard(directory: Directory, watch: Watch | None = None, **settings: object) -> Guarded:
    given = {"deadline_s": 5, **settings}
    source = HttpSourceSettings(name="partner", kind="http", url="https://x.example/{address}", **given)  # type: ignore[arg-type]
    return Guarded(directory, source, ("bank.example",), monotonic=watch or Watch())


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(GatewayError) as caught:
        call()
    assert (caught.value.reason, caught.value.retry) == (Reason.CERTIFICATE_UNAVAILABLE, True)
    return caught.value.detail


def test_what_it_says_is_passed_on_whole():
    directory = Directory((row("a"), row("b")))
    assert guard(directory).reply(ANNA) == Reply((row("a"), row("b")), "asked")
    assert guard(directory).rows(ANNA) == (row("a"), row("b"))
    assert guard(directory).name == "partner"


@pytest.mark.parametrize(
    ("domains", "address", "served"),
    [
        ((), "x@anywhere.example", True), ((), "x@bank.example", False), ((), "x@BANK.example", False),
        (("partner.example",), "x@Partner.Example", True), (("partner.example",), "x@other.example", False),
        (("partner.example",), "x@sub.partner.example", False), (("bank.example",), "x@bank.example", False),
        (("m\u00fcller.example",), "x@xn--mller-kva.example", True),
        (("M\u00dcller.example",), "x@m\u00fcller.example", True),
        (("xn--mller-kva.example",), "x@mu\u0308ller.example", True), ((), "nobody", False), ((), "", False),
    ],
)
def test_it_is_asked_only_for_its_domains_and_never_for_ours(domains, address, served):
    directory = Directory((row(),))
    one = guard(directory, domains=domains)
    assert one.serves(address) is served
    assert bool(one.rows(address)) is served
    assert bool(directory.asked) is served


def test_found_ones_and_absence_are_kept_for_their_lives():
    watch, directory = Watch(), Directory((row(),))
    one = guard(directory, watch, positive_s=100, negative_s=10)
    assert [one.reply(ANNA).kept, one.reply(ANNA).kept] == ["asked", "kept"]
    watch.at += 99.9
    assert one.reply(ANNA).kept == "kept"
    watch.at += 0.1
    directory.says = ()
    assert one.reply(ANNA) == Reply((), "asked")
    watch.at += 9.9
    assert one.reply(ANNA) == Reply((), "kept")
    watch.at += 0.1
    directory.says = (row(),)
    assert one.reply(ANNA) == Reply((row(),), "asked")
    assert len(directory.asked) == 3


def test_an_answer_is_kept_no_longer_than_its_source_says() -> None:
    """RFC 1035 3.2.1: a record may be cached for its TTL. Two processes then give up a changed answer together."""
    class Timed(Directory):
        life_s = 7.0

        def timed_rows(self, address: str) -> tuple[tuple[CertificateRow, ...], float]:
            return self.rows(address), self.life_s

    watch, directory = Watch(), Timed((row(),))
    first, second = (guard(directory, watch, positive_s=100, negative_s=10, stale_s=0) for _ in range(2))
    assert first.reply(ANNA).kept == "asked"
    watch.at += 6
    directory.life_s = 1.0  # what the resolver has left of the TTL
    assert second.reply(ANNA).kept == "asked"
    assert (first.reply(ANNA).kept, second.reply(ANNA).kept) == ("kept", "kept")
    watch.at += 1
    directory.says, directory.life_s = (), 60.0
    assert (first.reply(ANNA), second.reply(ANNA)) == (Reply((), "asked"), Reply((), "asked"))
    watch.at += 10  # negative_s counts where it is less
    assert first.reply(ANNA).kept == "asked"


def test_a_life_of_zero_keeps_nothing():
    directory = Directory((row(),))
    one = guard(directory, positive_s=0, negative_s=0, stale_s=0)
    assert [one.reply(ANNA).kept, one.reply(ANNA).kept] == ["asked", "asked"]
    directory.says = RuntimeError("dead")
    refused(lambda: one.rows(ANNA))


def test_the_local_part_is_another_question_in_another_spelling():
    """RFC 8162 hashes it as it stands; the domain has no case."""
    directory = Directory((row(),))
    one = guard(directory)
    for address in ("Anna@partner.example", "anna@partner.example", "anna@PARTNER.example"):
        one.rows(address)
    assert directory.asked == ["Anna@partner.example", "anna@partner.example"]


def test_found_ones_serve_while_it_is_unavailable_up_to_a_limit():
    watch, directory = Watch(), Directory((row(),))
    one = guard(directory, watch, positive_s=100, stale_s=50, failures_max=100)
    one.rows(ANNA)
    directory.says = GatewayError(Reason.CERTIFICATE_UNAVAILABLE, "down", retry=True)
    watch.at += 149.9
    assert one.reply(ANNA) == Reply((row(),), "stale")
    watch.at += 0.1
    assert "down" in refused(lambda: one.rows(ANNA))


def test_absence_never_serves_beyond_its_life():
    """It is the one answer that may let a mail leave in clear."""
    watch, directory = Watch(), Directory(())
    one = guard(directory, watch, negative_s=10, stale_s=1000)
    assert one.rows(ANNA) == ()
    directory.says = RuntimeError("dead")
    watch.at += 10
    refused(lambda: one.rows(ANNA))


@pytest.mark.parametrize(
    "trouble",
    [
        GatewayError(Reason.FETCH_REFUSED, "403"), GatewayError(Reason.CERTIFICATE_MALFORMED),
        TimeoutError("of a library"), ValueError("of a library"), SystemError("of a library"),
    ],
    ids=repr,
)
def test_whatever_it_raises_is_unavailable(trouble):
    detail = refused(lambda: guard(Directory(trouble)).rows(ANNA))
    assert detail.startswith("partner: ")


def test_more_than_it_may_answer_with_is_no_answer():
    refused(lambda: guard(Directory((row(),) * (guarded.ROWS_MAX + 1))).rows(ANNA))
    refused(lambda: guard(Directory((row(octets=guarded.ROWS_OCTETS_MAX + 1),))).rows(ANNA))
    assert len(guard(Directory((row(),) * guarded.ROWS_MAX)).rows(ANNA)) == guarded.ROWS_MAX


def test_after_failures_it_is_left_alone_and_one_question_tries_again():
    watch, directory = Watch(), Directory(RuntimeError("dead"))
    one = guard(directory, watch, failures_max=3, pause_s=30)
    for number in range(3):
        refused(lambda: one.rows(f"{number}@partner.example"))  # noqa: B023
    assert len(directory.asked) == 3
    assert "not asked" in refused(lambda: one.rows(ANNA))
    watch.at += 29.9
    assert "not asked" in refused(lambda: one.rows(ANNA))
    watch.at += 0.1
    assert "not asked" not in refused(lambda: one.rows(ANNA)), "the probe"
    assert "not asked" in refused(lambda: one.rows(ANNA)), "it failed: another pause"
    assert len(directory.asked) == 4
    watch.at += 30
    directory.says = (row(),)
    assert one.rows(ANNA) == (row(),)
    assert one.rows("ben@partner.example") == (row(),), "and it is one of us again"


def test_what_a_working_source_cannot_answer_is_no_failure():
    """Else whoever owns one domain with broken signatures could make all mail wait that needs the same resolver."""
    directory = Directory(Unanswered("dns", "anna@forged.example: SERVFAIL"))
    one = guard(directory, failures_max=2)
    for number in range(5):
        assert "SERVFAIL" in refused(lambda: one.rows(f"{number}@partner.example"))  # noqa: B023
    assert len(directory.asked) == 5
    directory.says = RuntimeError("dead")
    refused(lambda: one.rows("a@partner.example"))
    directory.says = Unanswered("dns", "SERVFAIL")  # it answers again
    refused(lambda: one.rows("b@partner.example"))
    directory.says = RuntimeError("dead")
    refused(lambda: one.rows("c@partner.example"))
    assert "not asked" not in refused(lambda: one.rows("d@partner.example"))
    assert "not asked" in refused(lambda: one.rows("e@partner.example"))


def test_an_owner_whose_dns_is_slow_does_not_have_all_places():
    """Anybody can have automatic replies sent to his own domain, and have its name server answer late."""
    held = threading.Semaphore(0)

    def says(address: str) -> object:
        if not address.endswith("slow.example"):
            return (row(),)
        if "first" not in address:
            held.acquire()
        time.sleep(0.2)
        return Unanswered("dns", "no answer in time")

    one = guard(Directory(says), deadline_s=0.3, in_flight_max=4)
    refused(lambda: one.rows("first@slow.example"))
    with ThreadPoolExecutor(5) as pool:
        late = [pool.submit(refused, lambda: one.rows(f"{number}@sub{number}.slow.example"))  # noqa: B023
                for number in range(5)]
        assert one.rows(ANNA) == (row(),)
        told = [one.result() for one in late]
        assert one.rows("ben@partner.example") == (row(),)
        held.release(5)
    assert sum("its domain is slow" in one for one in told) == 3, told


class Timed(Directory):
    """As DNS: each domain answers for itself, and says for how long."""

    def timed_rows(self, address: str) -> tuple[tuple[CertificateRow, ...], float]:
        return self.rows(address), 0.0


def test_many_new_domains_that_are_slow_leave_a_place_for_those_that_have_answered():
    """Whoever owns many domains may have a mail sent to each of them at once."""
    held = threading.Semaphore(0)

    def says(address: str) -> object:
        if "slow" in address:
            held.acquire()
            return Unanswered("dns", "no answer in time")
        return (row(),)

    one = guard(Timed(says), deadline_s=5, in_flight_max=4)
    assert one.rows(ANNA) == (row(),)
    with ThreadPoolExecutor(6) as pool:
        late = [pool.submit(refused, lambda number=number: one.rows(f"a@slow{number}.example")) for number in range(6)]
        until(lambda: one._source.at_once == 3)
        assert one.rows("ben@partner.example") == (row(),)
        assert "its domain is new" in refused(lambda: one.rows("a@honest.example"))
        until(lambda: sum(one.done() for one in late) == 3)  # a place that is free earlier would be given to the rest
        held.release(6)
        told = [one.result() for one in late]
    assert sum("its domain is new" in one for one in told) == 3, told
    assert one.rows("a@honest.example") == (row(),)


def test_a_success_between_failures_starts_the_count_anew():
    directory = Directory()
    one = guard(directory, failures_max=2, positive_s=0, negative_s=0)
    for says in (RuntimeError(), (), RuntimeError(), ()):
        directory.says = says
        if says:
            refused(lambda: one.rows(ANNA))
        else:
            one.rows(ANNA)
    assert len(directory.asked) == 4


def test_while_one_question_tries_it_the_others_do_not_wait():
    watch, release = Watch(), threading.Event()
    directory = Directory(RuntimeError("dead"))
    one = guard(directory, watch, failures_max=1, pause_s=30, deadline_s=5)
    refused(lambda: one.rows(ANNA))
    watch.at += 30

    def slow(_: str) -> tuple[CertificateRow, ...]:
        assert release.wait(5)
        return (row(),)

    directory.says = slow
    with ThreadPoolExecutor(1) as pool:
        probe = pool.submit(one.rows, ANNA)
        _until(lambda: directory.at_once == 1)
        begun = time.monotonic()
        assert "not asked" in refused(lambda: one.rows("ben@partner.example"))
        assert time.monotonic() - begun < 0.5
        release.set()
        assert probe.result() == (row(),)
    assert one.rows("ben@partner.example") == (row(),)


def test_a_stuck_call_holds_a_mail_no_longer_than_the_deadline_and_its_late_answer_is_kept():
    release = threading.Event()

    def stuck(_: str) -> tuple[CertificateRow, ...]:
        assert release.wait(10)
        return (row(),)

    directory = Directory(stuck)
    one = guard(directory, deadline_s=0.5)
    begun = time.monotonic()
    assert "0.5 s" in refused(lambda: one.rows(ANNA))
    assert 0.4 < time.monotonic() - begun < 3
    begun = time.monotonic()
    refused(lambda: one.rows(ANNA))
    assert time.monotonic() - begun < 0.4, "the question is still out: nobody waits for it twice, or asks it twice"
    assert directory.asked == [ANNA]
    release.set()
    _until(lambda: directory.at_once == 0)
    _until(lambda: one.reply(ANNA).kept == "kept")


def test_the_deadline_of_one_question_is_one_failure_however_many_mails_share_it():
    release = threading.Event()
    directory = Directory(lambda _: release.wait(10) and ())
    one = guard(directory, deadline_s=0.2, failures_max=2, in_flight_max=4)
    with ThreadPoolExecutor(4) as pool:
        for failed in [pool.submit(refused, lambda: one.rows(ANNA)) for _ in range(4)]:
            failed.result()
    directory.says = ()
    one._settings = one._settings.model_copy(update={"deadline_s": 5.0})
    assert one.rows("ben@partner.example") == (), "it was one failure, not four"
    release.set()


def test_mails_about_one_address_share_a_question():
    release = threading.Event()
    directory = Directory(lambda _: release.wait(5) and (row(),))
    one = guard(directory, deadline_s=5, in_flight_max=4)
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(one.rows, ANNA) for _ in range(8)]
        _until(lambda: one._waiting == 7)
        release.set()
        assert [answer.result() for answer in answers] == [(row(),)] * 8
    assert directory.asked == [ANNA]


def test_a_slow_source_never_has_all_the_workers():
    """16 mails at once, as many as a listener works on; 4 questions: the other 12 are told within a burst's time."""
    release = threading.Event()
    directory = Directory(lambda _: release.wait(20) and ())
    one = guard(directory, deadline_s=10, in_flight_max=4)
    with ThreadPoolExecutor(16) as pool:
        mails = [pool.submit(one.rows, f"{number}@partner.example") for number in range(16)]
        begun = time.monotonic()
        _until(lambda: sum(mail.done() for mail in mails) == 12)
        assert time.monotonic() - begun < guarded.ROOM_WAIT_S + 2
        for mail in mails:
            if mail.done():
                assert "as many questions" in refused(mail.result)
        assert directory.most_at_once == 4
        release.set()
        assert sum(mail.exception() is None for mail in mails) == 4


def test_many_mails_about_one_address_do_not_hold_all_the_workers_either():
    release = threading.Event()
    directory = Directory(lambda _: release.wait(20) and ())
    one = guard(directory, deadline_s=10, in_flight_max=1)
    with ThreadPoolExecutor(16) as pool:
        mails = [pool.submit(one.rows, ANNA) for _ in range(16)]
        begun = time.monotonic()
        _until(lambda: sum(mail.done() for mail in mails) == 16 - 1 - guarded.WAITING_PER_QUESTION)
        assert time.monotonic() - begun < guarded.ROOM_WAIT_S + 2
        release.set()
    assert directory.asked == [ANNA]


def test_a_burst_at_a_quick_source_is_answered_whole():
    directory = Directory(lambda _: time.sleep(0.005) or (row(),))  # type: ignore[func-returns-value]
    one = guard(directory, deadline_s=5, in_flight_max=4)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(one.rows, (f"{number}@partner.example" for number in range(64))))
    assert answers == [(row(),)] * 64
    assert directory.most_at_once <= 4


def test_a_full_source_is_no_failed_source():
    release = threading.Event()
    directory = Directory(lambda _: release.wait(20) and ())
    one = guard(directory, deadline_s=10, in_flight_max=1, failures_max=1)
    with ThreadPoolExecutor(1) as pool:
        out = pool.submit(one.rows, ANNA)
        _until(lambda: directory.at_once == 1)
        for number in range(2):
            assert "as many questions" in refused(lambda: one.rows(f"{number}@partner.example"))  # noqa: B023
        release.set()
        assert out.result() == ()
    directory.says = (row(),)
    assert one.rows("0@partner.example") == (row(),)


def test_what_is_kept_is_bounded_in_number_and_octets(monkeypatch):
    monkeypatch.setattr(guarded, "ENTRIES_MAX", 3)
    directory = Directory((row(),))
    one = guard(directory)
    for name in ("a", "b", "c", "a", "d"):  # b is the longest unused when d comes
        one.rows(f"{name}@partner.example")
    assert [one.reply(f"{name}@partner.example").kept for name in ("a", "c", "d")] == ["kept"] * 3
    assert one.reply("b@partner.example").kept == "asked"
    monkeypatch.setattr(guarded, "OCTETS_MAX", 250)
    directory.says = (row(octets=200),)
    one.rows("e@partner.example")
    assert one.reply("e@partner.example").kept == "kept"
    assert one.reply("b@partner.example").kept == "asked"
    directory.says = (row(octets=251),)
    one.rows("f@partner.example")
    assert one.reply("f@partner.example").kept == "asked", "larger than all room there is"


def test_closing_hangs_up():
    directory = Directory()
    guard(directory).close()
    assert directory.closed


def _until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.005)
