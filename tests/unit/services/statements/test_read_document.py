"""A document is looked at before it is read: whoever writes into the run's directory cannot stop or fill a worker."""

import os
from pathlib import Path

import pytest

from gateway.errors import GatewayError, Reason
from gateway.pdf.check import check
from gateway.services.statements.work import read_document
from tests.support.statements import document

OCTETS_MAX = 100_000
PDF = document()


class Checked:
    """The real check, with a limit of its own."""

    def check(self, document, depth="thorough", *, accessible=True):
        return check(document, OCTETS_MAX, depth=depth, accessible=accessible)


def reason_of(directory: Path, name: str) -> Reason:
    with pytest.raises(GatewayError) as caught:
        read_document(Checked(), directory, name)
    return caught.value.reason


def test_it_is_read_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(PDF)
    assert read_document(Checked(), tmp_path, "a.pdf") == PDF


def test_a_pipe_holds_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.pdf")
    assert reason_of(tmp_path, "a.pdf") is Reason.PDF_UNREADABLE


def test_what_is_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "a.pdf").open("wb") as file:
        file.truncate(1 << 40)
    assert reason_of(tmp_path, "a.pdf") is Reason.PDF_TOO_LARGE


@pytest.mark.parametrize("name", ["missing.pdf", "../outside.pdf", "/etc/hostname", "."])
def test_what_is_not_there_or_lies_elsewhere(tmp_path: Path, name: str) -> None:
    (tmp_path / "outside.pdf").write_bytes(PDF)
    inner = tmp_path / "inner"
    inner.mkdir()
    assert reason_of(inner, name) in (Reason.PDF_MISSING, Reason.PDF_UNREADABLE)
