"""PINs that a token refused, on disk. Truth: locks of the kernel between two open files, as between two processes."""

import errno
import fcntl
import os
from pathlib import Path

import pytest

from gateway.adapters.keys import refused_pins
from gateway.errors import GatewayError, Reason
from gateway.settings import Token

TOKEN = Token(name="hsm", module=Path("/usr/lib/x.so"), label="bank", pin_file=Path("/run/pin"))


def said(directory: Path | None, pin: bytes, token: Token = TOKEN) -> str | None:
    with refused_pins.trial(directory, token, pin) as trial:
        return trial.refusal


def refuse(directory: Path, pin: bytes) -> Path:
    with refused_pins.trial(directory, TOKEN, pin) as trial:
        trial.refused(pin, "the token says no")
        assert trial.path is not None
        return trial.path


def test_one_pin_of_one_token(tmp_path: Path) -> None:
    refuse(tmp_path / "x", b"1234")
    assert said(tmp_path / "x", b"1234") == "the token says no"
    assert said(tmp_path / "x", b"1235") is None
    assert said(tmp_path / "x", b"1234", TOKEN.model_copy(update={"label": "other"})) is None
    with refused_pins.trial(tmp_path / "x", TOKEN, b"1235") as trial:
        trial.accepted()
    assert said(tmp_path / "x", b"1234") is None


def test_two_processes_never_try_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = refuse(tmp_path, b"1234")
    monkeypatch.setattr(refused_pins, "LOCK_WAIT_S", 0.0)
    with path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(GatewayError, match="another process") as caught:
            said(tmp_path, b"1235")
        assert (caught.value.reason, caught.value.retry) == (Reason.KEY_UNAVAILABLE, True)
    assert said(tmp_path, b"1235") is None


@pytest.mark.parametrize("record", [b"x", b"[]", b"{}", b'{"salt": 1, "digest": "", "said": ""}'])
def test_broken_record_stops_nothing(tmp_path: Path, record: bytes) -> None:
    refuse(tmp_path, b"1234").write_bytes(record)
    assert said(tmp_path, b"1234") is None


def test_without_a_place_on_disk(tmp_path: Path) -> None:
    """The process's own memory must do: keys are not refused for a directory."""
    (tmp_path / "file").write_bytes(b"")
    for directory in (None, tmp_path / "missing" / "x", tmp_path / "file"):
        assert said(directory, b"1234") is None
        with refused_pins.trial(directory, TOKEN, b"1234") as trial:
            trial.refused(b"1234", "no")
            trial.accepted()


def test_a_right_pin_does_not_fail_on_a_read_only_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Truth: ftruncate(2) fails with EIO or EROFS there. A PIN that the token has accepted is right."""
    def fails(*_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    refuse(tmp_path / "x", b"1234")
    with refused_pins.trial(tmp_path / "x", TOKEN, b"1235") as trial:
        for call in ("ftruncate", "fstat", "pwrite", "fsync"):
            with monkeypatch.context() as broken:
                broken.setattr(os, call, fails)
                trial.accepted()
                trial.refused(b"1234", "the token says no")
