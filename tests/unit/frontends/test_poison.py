"""Mail that breaks us three times is told loudly; it is answered as before. Counts are shared by processes, bounded."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import structlog

from gateway.clock import SystemClock
from gateway.errors import GatewayError, Reason
from gateway.frontends import failure_counter
from gateway.frontends.failure_counter import FailureCounter
from gateway.model.mail import Envelope, Mail, Origin, Recipient
from gateway.model.outcome import Settled
from tests.support.smtp import outcome_of

OCTETS = b"Received: from a by b; now\r\nFrom: a@b.example\r\nMessage-ID: <1@b.example>\r\n\r\nsecret word\r\n"


def mail(octets: bytes = OCTETS, *, sender: str = "a@b.example", queue_id: str | None = None) -> Mail:
    origin = Origin(False, None, SystemClock().now(), "incident", queue_id=queue_id)
    return Mail(octets, Envelope(sender, (Recipient("b@bank.example"),)), origin)


def broken(_mail: Mail):
    raise ValueError("secret word")


def times(handle, *mails: Mail) -> list[int]:
    """What the critical lines say, after each mail met the same fault."""
    with structlog.testing.capture_logs() as lines:
        for one in mails:
            with pytest.raises(ValueError):
                handle(one)
    assert "secret" not in str(lines)
    return [line["times"] for line in lines
            if line["log_level"] == "critical" and line["event"] == "mail.repeated_failure"]


@pytest.mark.parametrize("shared", [False, True])
def test_the_third_failure_of_a_mail_is_loud(tmp_path: Path, shared: bool) -> None:
    handle = FailureCounter(tmp_path / "poison" if shared else None).watching(broken)
    assert times(handle, mail(), mail()) == []
    assert times(handle, mail(), mail()) == [3, 4]


def test_another_mail_is_another_count_and_a_retry_is_the_same() -> None:
    handle = FailureCounter().watching(broken)
    others = [mail(OCTETS.replace(b"<1@", b"<%d@" % number)) for number in range(20)]
    assert times(handle, *others, mail(sender="c@b.example"), mail(sender="d@b.example")) == []
    retry = mail(b"Received: from b by c; later\r\n" + OCTETS, queue_id="4ABC")  # one hop more, another queue id
    assert times(handle, mail(), retry) == [3]


def test_what_is_expected_is_no_poison() -> None:
    def refused(_mail: Mail):
        raise GatewayError(Reason.INTERNAL, retry=True)

    handle = FailureCounter().watching(refused)
    with structlog.testing.capture_logs() as lines:
        for _ in range(5):
            with pytest.raises(GatewayError):
                handle(mail())
        assert FailureCounter().watching(lambda one: outcome_of(one, Settled.TAKEN))(mail()).answer is Settled.TAKEN
    assert lines == []


def test_a_mail_without_a_header_or_made_of_nothing_else_has_a_key_too() -> None:
    odd = [b"", b"\r\n", b"word", b"\r\nword", b"Received:", b"Received: from a\r\n" * 3_000, b":\r\n\r\n"]
    for octets in odd:
        assert times(FailureCounter().watching(broken), *[mail(octets)] * 3) == [3]
    top = b"Received: from a by b;\r\n\tnow\r\nARC-Seal: x\r\n" * 2_000
    changed = mail(OCTETS.replace(b"word", b"work"))
    assert times(FailureCounter().watching(broken), mail(), mail(top + OCTETS), changed) == []


def test_processes_count_together(tmp_path: Path) -> None:
    file = tmp_path / "poison"
    program = ("import sys; from pathlib import Path; from gateway.frontends.failure_counter import FailureCounter\n"
               "one = FailureCounter(Path(sys.argv[1]))\n"
               "for _ in range(50): one.failed(bytes(16))\n"
               "print(one.failed(b'x' * 15 + sys.argv[2].encode()))")
    running = [subprocess.Popen([sys.executable, "-c", program, str(file), str(n)], stdout=subprocess.PIPE)
               for n in range(4)]
    assert [process.communicate(timeout=60)[0] for process in running] == [b"1\n"] * 4
    assert FailureCounter(file).failed(bytes(16)) == 201
    assert file.stat().st_mode & 0o777 == 0o600


def test_the_file_is_bounded_and_forgets_the_oldest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failure_counter, "KEYS_MAX", 10)
    memory = FailureCounter(tmp_path / "poison")
    for number in range(30):
        memory.failed(number.to_bytes(16))
    assert (tmp_path / "poison").stat().st_size == 10 * failure_counter._ROW.size
    assert memory.failed((29).to_bytes(16)) == 2
    assert memory.failed((0).to_bytes(16)) == 1, "long forgotten"


def test_a_torn_or_missing_file_breaks_nothing(tmp_path: Path) -> None:
    file = tmp_path / "poison"
    memory = FailureCounter(file)
    assert [memory.failed(b"a" * 16), memory.failed(b"b" * 16)] == [1, 1]
    file.write_bytes(file.read_bytes()[:-3])
    assert [memory.failed(b"a" * 16), memory.failed(b"b" * 16)] == [2, 1]
    nowhere = FailureCounter(tmp_path / "no" / "such" / "directory")
    assert [nowhere.failed(b"a" * 16) for _ in range(3)] == [1, 2, 3], "then each process by itself"


def test_a_link_in_the_way_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"mine")
    (tmp_path / "poison").symlink_to(target)
    assert FailureCounter(tmp_path / "poison").failed(b"a" * 16) == 1
    assert target.read_bytes() == b"mine"


def test_the_count_survives_a_new_worker(tmp_path: Path) -> None:
    for expected in ([], [], [3]):
        assert times(FailureCounter(tmp_path / "poison").watching(broken), replace(mail())) == expected
