"""What happens to a mail while it is worked on: slow ways, clients that leave, deadlines, surprises, a stop.

Truth: ARCHITECTURE's promise that a mail which was begun is settled, whoever has left, and that what was not begun
is not done behind the client's back.
"""

import asyncio
import json
import threading
import time
from collections.abc import Iterator

import pytest
import structlog

from gateway.errors import GatewayError, Reason
from gateway.frontends.smtp.server import SmtpFrontend
from gateway.frontends.telemetry import logs
from gateway.model.mail import Mail
from gateway.model.outcome import Outcome, Settled
from gateway.model.sentences import SENTENCES
from tests.support.smtp import Taker, Talk, outcome_of, relay, settings, until

CONTENT = b"Subject: x\r\n\r\nhi\r\n"


class Gate:
    """A mail's way that waits until told to go on."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.go = threading.Event()

    def __call__(self, mail: Mail) -> Outcome | None:
        del mail
        self.begun.release()
        self.go.wait(20)
        return None


@pytest.fixture
def lines(capfd: pytest.CaptureFixture[str]) -> Iterator[list[dict[str, object]]]:
    """Collects the log lines written so far when it is read."""
    logs.configure("debug")
    found: list[dict[str, object]] = []

    class Lines(list[dict[str, object]]):
        def __iter__(self) -> Iterator[dict[str, object]]:
            found.extend(json.loads(line) for line in capfd.readouterr().err.splitlines() if line.startswith("{"))
            return iter(found)

    yield Lines()
    structlog.reset_defaults()


def test_a_slow_way_stalls_nobody_else() -> None:
    gate = Gate()
    with relay(Taker(gate)) as at, Talk(at["out"]) as slow:
        slow.greet()
        sender = threading.Thread(target=slow.mail, args=(CONTENT,))
        sender.start()
        assert gate.begun.acquire(timeout=10)
        with Talk(at["out"]) as quick:
            began = time.monotonic()
            quick.greet()
            assert quick.say(b"NOOP").startswith("250")
            assert time.monotonic() - began < 1
        gate.go.set()
        sender.join()


def test_a_slow_direction_does_not_stop_the_other() -> None:
    gate = Gate()
    taker = Taker(lambda mail: gate(mail) if mail.origin.ours else None)
    with relay(taker, settings(limits={"workers_max": 1})) as at, Talk(at["out"]) as one, Talk(at["in"]) as other:
        one.greet()
        other.greet()
        sender = threading.Thread(target=one.mail, args=(CONTENT,))
        sender.start()
        assert gate.begun.acquire(timeout=10)
        assert other.mail(CONTENT, to=(b"x@bank.test",)).startswith("250")
        gate.go.set()
        sender.join()


def test_never_more_at_once_than_workers() -> None:
    gate = Gate()
    with relay(Taker(gate), settings(limits={"workers_max": 2})) as at:
        talks = [Talk(at["out"]) for _ in range(4)]
        answers: list[str] = []

        def send(talk: Talk) -> None:
            talk.greet()
            answers.append(talk.mail(CONTENT))

        threads = [threading.Thread(target=send, args=(talk,)) for talk in talks]
        for thread in threads:
            thread.start()
        assert gate.begun.acquire(timeout=10)
        assert gate.begun.acquire(timeout=10)
        assert not gate.begun.acquire(timeout=0.2)
        gate.go.set()
        for thread in threads:
            thread.join()
        assert [answer[:3] for answer in answers] == ["250"] * 4
        for talk in talks:
            talk.sock.close()


def test_a_mail_that_was_begun_is_settled_though_its_client_left(lines: list[dict[str, object]]) -> None:
    gate = Gate()
    done = threading.Event()

    def way(mail: Mail) -> Outcome | None:
        gate(mail)
        done.set()
        return None

    with relay(Taker(way)) as at:
        with Talk(at["out"]) as talk:
            talk.greet()
            for command in (b"MAIL FROM:<a@bank.test>", b"RCPT TO:<x@else.test>", b"DATA"):
                talk.say(command)
            talk.send(CONTENT + b".\r\n")
            assert gate.begun.acquire(timeout=10)
        time.sleep(0.1)
        gate.go.set()
        assert done.wait(10)
    [line] = [one for one in lines if one["event"] == "mail"]
    assert line["answer"] == "taken"


def test_a_mail_in_line_is_withdrawn_when_its_client_leaves(lines: list[dict[str, object]]) -> None:
    gate, taker = Gate(), Taker()
    taker.then = gate
    with relay(taker, settings(limits={"workers_max": 1})) as at, Talk(at["out"]) as first:
        first.greet()
        sender = threading.Thread(target=first.mail, args=(CONTENT,))
        sender.start()
        assert gate.begun.acquire(timeout=10)
        with Talk(at["out"]) as second:
            second.greet()
            for command in (b"MAIL FROM:<b@bank.test>", b"RCPT TO:<x@else.test>", b"DATA"):
                second.say(command)
            second.send(CONTENT + b".\r\n")
            time.sleep(0.1)
        time.sleep(0.1)
        gate.go.set()
        sender.join()
    assert [mail.envelope.reverse_path for mail in taker.mails] == ["a@bank.test"]
    assert {one["sender"]: one["answer"] for one in lines if one["event"] == "mail"} == {
        "a@bank.test": "taken",
        "b@bank.test": "withdrawn",
    }


def test_a_client_that_leaves_within_its_mail_sends_nothing() -> None:
    taker = Taker()
    with relay(taker) as at:
        with Talk(at["out"]) as talk:
            talk.greet()
            for command in (b"MAIL FROM:<a@bank.test>", b"RCPT TO:<x@else.test>", b"DATA"):
                talk.say(command)
            talk.send(CONTENT + b".\r")
        with Talk(at["out"]) as talk:
            talk.greet()
            assert talk.say(b"NOOP").startswith("250")
    assert taker.mails == []


def test_a_mail_in_line_beyond_its_deadline_is_451_and_never_done() -> None:
    gate, taker = Gate(), Taker()
    taker.then = gate
    values = settings(limits={"workers_max": 1, "message_deadline_s": 0.3})
    with relay(taker, values) as at, Talk(at["out"]) as first, Talk(at["out"]) as second:
        first.greet()
        second.greet()
        answers: list[str] = []
        sender = threading.Thread(target=lambda: answers.append(first.mail(CONTENT)))
        sender.start()
        assert gate.begun.acquire(timeout=10)
        assert second.mail(CONTENT).startswith("451 4.4.7")
        sender.join()
        assert answers[0].startswith("451 4.4.7")  # waited for twice as long, then told
        gate.go.set()
        until(lambda: len(taker.mails) == 1)
        assert second.mail(CONTENT).startswith("250")
    assert len(taker.mails) == 2


def test_a_way_that_takes_longer_than_the_deadline_but_ends_is_told_as_it_ends() -> None:
    values = settings(limits={"message_deadline_s": 0.3})
    with relay(Taker(lambda _: time.sleep(0.45)), values) as at, Talk(at["out"]) as talk:
        talk.greet()
        assert talk.mail(CONTENT).startswith("250")


def test_work_is_not_cut_by_the_command_timeout() -> None:
    values = settings(limits={"command_timeout_s": 0.2})
    with relay(Taker(lambda _: time.sleep(0.5)), values) as at, Talk(at["out"]) as talk:
        talk.greet()
        assert talk.mail(CONTENT).startswith("250")
        assert talk.say(b"NOOP").startswith("250")


@pytest.mark.parametrize("error", [ValueError("host db.internal"), KeyError("x"), RecursionError(), MemoryError()])
def test_surprise_is_451_with_an_incident_and_nothing_else(error: Exception, lines: list[dict[str, object]]) -> None:
    def fail(_: Mail) -> None:
        raise error

    with relay(Taker(fail)) as at, Talk(at["out"]) as talk:
        talk.greet()
        answer = talk.mail(CONTENT)
        text, _, incident = answer.rpartition(" ")
        assert text == "451 4.3.0 This server cannot accept the message at present. Try again later. Incident"
        assert talk.say(b"NOOP").startswith("250")
    assert {one["event"] for one in lines if one.get("incident") == incident} == {"internal.error", "mail"}
    assert "db.internal" not in json.dumps(list(lines))


@pytest.mark.parametrize(
    ("trouble", "code"),
    [
        (GatewayError(Reason.CERTIFICATE_ABSENT, "secret detail"), "550 5.7.5"),
        (GatewayError(Reason.STAMPER_UNAVAILABLE, "secret detail", retry=True), "451 4.3.0"),
        (GatewayError(Reason.NEXT_HOP_UNAVAILABLE, "secret detail", retry=True), "451 4.4.1"),
    ],
)
def test_trouble_is_told_by_its_reason(trouble: GatewayError, code: str) -> None:
    def fail(_: Mail) -> None:
        raise trouble

    with relay(Taker(fail)) as at, Talk(at["out"]) as talk:
        talk.greet()
        said = talk.mail(CONTENT)
        assert said.startswith(f"{code} {SENTENCES[trouble.reason].what} ")
        assert "secret" not in said


def test_outcomes_become_replies_and_one_line_each(lines: list[dict[str, object]]) -> None:
    ways = iter(
        [
            lambda mail: outcome_of(mail, Settled.TAKEN, reply="250 queued as X"),
            lambda mail: outcome_of(mail, Settled.REFUSED, reason=Reason.POLICY_REJECTED, rule="staff:none"),
            lambda mail: outcome_of(mail, Settled.LATER, reason=Reason.NEXT_HOP_LATER, reply="450 4.2.1 busy"),
        ]
    )

    def way(mail: Mail) -> Outcome:
        return next(ways)(mail)

    with relay(Taker(way)) as at, Talk(at["out"]) as talk:
        talk.greet()
        answers = [talk.mail(CONTENT) for _ in range(3)]
    assert [answer[:9] for answer in answers] == ["250 2.0.0", "550 5.7.1", "451 4.2.1"]
    assert "<x@else.test>" in answers[1]
    told = [one for one in lines if one["event"] == "mail"]
    assert [one["code"] for one in told] == [250, 550, 451]
    assert all(str(one["incident"]) in answer for one, answer in zip(told, answers, strict=True))
    assert told[1]["to"] == [
        {"address": "x@else.test", "settled": "refused", "reason": "policy.rejected", "rule": "staff:none"}
    ]
    assert "hi" not in json.dumps(told)


# The stop


def test_a_stop_ends_idle_connections_and_lets_work_finish() -> None:
    gate, taker = Gate(), Taker()
    taker.then = gate
    frontend = SmtpFrontend(settings(), taker)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(frontend.start(), loop).result()
        at = dict(frontend.addresses)
        with Talk(at["out"]) as idle, Talk(at["out"]) as busy, Talk(at["out"]) as receiving:
            for talk in (idle, busy, receiving):
                talk.greet()
            for command in (b"MAIL FROM:<r@bank.test>", b"RCPT TO:<x@else.test>", b"DATA"):
                receiving.say(command)
            answers: list[str] = []
            sender = threading.Thread(target=lambda: answers.append(busy.mail(CONTENT)))
            sender.start()
            assert gate.begun.acquire(timeout=10)
            stopping = asyncio.run_coroutine_threadsafe(frontend.stop(10), loop)
            assert idle.reply().startswith("421 4.3.2")
            with pytest.raises(OSError):
                Talk(at["out"])
            receiving.send(CONTENT + b".\r\n")
            gate.go.set()
            sender.join()
            assert answers[0].startswith("250")
            assert busy.reply().startswith("421 4.3.2")
            assert receiving.reply().startswith("250")
            assert stopping.result(10) == 0
        assert len(taker.mails) == 2
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_a_stop_does_not_wait_for_ever() -> None:
    gate = Gate()
    frontend = SmtpFrontend(settings(), Taker(gate))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(frontend.start(), loop).result()
        with Talk(frontend.addresses["out"]) as talk:
            talk.greet()
            for command in (b"MAIL FROM:<r@bank.test>", b"RCPT TO:<x@else.test>", b"DATA"):
                talk.say(command)
            talk.send(CONTENT + b".\r\n")
            assert gate.begun.acquire(timeout=10)
            assert asyncio.run_coroutine_threadsafe(frontend.stop(0.2), loop).result(5) == 2
    finally:
        gate.go.set()
        time.sleep(0.05)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_a_port_that_is_taken_is_told() -> None:
    with relay(Taker()) as at:
        port = at["out"][1]
        frontend = SmtpFrontend(settings(listeners=[{"name": "again", "role": "outbound", "port": port}]), Taker())
        with pytest.raises(GatewayError) as told:
            asyncio.run(frontend.start())
        assert told.value.reason is Reason.CONFIG_INVALID
        assert f"again: 127.0.0.1:{port}" in told.value.detail
