"""Locked PDFs as others see them: qpdf and poppler are the judges."""

import re
import subprocess
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path


def run(*command: str, ok: tuple[int, ...] = (0,)) -> str:
    """Standard output; qpdf ends with 3 where it only warns, and that is no success here."""
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    assert done.returncode in ok, (command[0], done.returncode, done.stderr)
    return done.stdout.decode()


def mail_of(octets: bytes) -> EmailMessage:
    """The message, read by the standard library."""
    read = message_from_bytes(octets, policy=default)
    assert isinstance(read, EmailMessage)
    return read


def pdf_of(octets: bytes) -> bytes:
    """The one PDF that is attached somewhere in a mail."""
    (found,) = [part for part in mail_of(octets).walk() if part.get_content_type() == "application/pdf"]
    content = found.get_content()
    assert isinstance(content, bytes)
    return content


def opened(pdf: bytes, password: str, directory: Path) -> dict[str, bytes]:
    """'' to the text of its pages, and each file inside by its name."""
    path = directory / "locked.pdf"
    path.write_bytes(pdf)
    shown = run("qpdf", f"--password={password}", "--show-encryption", str(path))
    assert "R = 6" in shown  # ISO 32000-2 7.6.4
    assert "file encryption method: AESv3" in shown  # AES-256
    run("qpdf", f"--password={password}", "--check", str(path))
    target = directory / "files"
    target.mkdir(exist_ok=True)
    listed = run("pdfdetach", "-upw", password, "-list", str(path))
    run("pdfdetach", "-upw", password, "-saveall", "-o", str(target), str(path))
    files = {one.name: one.read_bytes() for one in target.iterdir()}
    assert len(files) == int(re.match(r"(\d+)", listed)[1])  # type: ignore[index]
    text = run("pdftotext", "-upw", password, "-layout", str(path), "-")
    return {"": text.encode(), **files}


def is_locked(pdf: bytes, directory: Path, *passwords: str) -> bool:
    """Whether neither qpdf nor poppler gets in without the password, or with others."""
    path = directory / "locked.pdf"
    path.write_bytes(pdf)
    for password in ("", *passwords):
        for command in (("qpdf", f"--password={password}", "--check", str(path)),
                        ("pdftotext", "-upw", password, str(path), "-")):
            if subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0:
                return False
    return True
