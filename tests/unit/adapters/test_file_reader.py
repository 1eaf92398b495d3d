"""Files that a client names. Truth: open(2): a named pipe and a dead mount hold whoever opens them."""

import errno
import os

import pytest

from gateway.adapters.files import reader as file_reader
from gateway.adapters.files.reader import read_below
from gateway.errors import GatewayError, Reason


def refused(directory, name, **more) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        read_below(directory, name, 10, **more)
    return caught.value


def test_a_file_below_the_directory_is_read(tmp_path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "run.yaml").write_bytes(b"0123456789")
    (tmp_path / "link.yaml").symlink_to("below/run.yaml")
    assert read_below(tmp_path, "below/run.yaml", 10) == b"0123456789"
    assert read_below(tmp_path, "link.yaml", 10) == b"0123456789"


@pytest.mark.parametrize("name", ["nothing", "pipe", "directory", "out", "../outside", "a\0b"])
def test_nothing_else_is(tmp_path, name) -> None:
    (tmp_path / "outside").write_bytes(b"secret")
    sources = tmp_path / "sources"
    sources.mkdir()
    (sources / "directory").mkdir()
    (sources / "out").symlink_to("../outside")
    os.mkfifo(sources / "pipe")
    found = refused(sources, name)
    assert (found.reason, found.retry) == (Reason.INPUT_UNREADABLE, False)


def test_a_large_file_is_refused(tmp_path) -> None:
    (tmp_path / "large").write_bytes(b"0" * 11)
    assert refused(tmp_path, "large").reason is Reason.INPUT_TOO_LARGE


def test_a_file_system_that_does_not_answer_holds_the_caller_for_the_deadline_only(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(file_reader, "_CHILD", "import signal; signal.pause()")
    found = refused(tmp_path, "anything", deadline_s=0.2)
    assert (found.reason, found.retry) == (Reason.INPUT_UNREADABLE, True)


def test_a_reader_that_was_killed_is_no_unreadable_file(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(file_reader, "_CHILD", "import os; os.kill(os.getpid(), 9)")
    found = refused(tmp_path, "anything")
    assert (found.reason, found.retry) == (Reason.INPUT_UNREADABLE, True)
    assert "signal 9" in found.detail


@pytest.mark.parametrize(("number", "retry"), [(errno.EAGAIN, True), (errno.ENOMEM, True), (errno.E2BIG, False)])
def test_without_room_for_a_process_it_is_read_later(tmp_path, monkeypatch, number, retry) -> None:
    def none(*_: object, **__: object) -> None:
        raise OSError(number, "")

    monkeypatch.setattr(file_reader.subprocess, "Popen", none)
    found = refused(tmp_path, "anything")
    assert (found.reason, found.retry) == (Reason.INPUT_UNREADABLE, retry)
