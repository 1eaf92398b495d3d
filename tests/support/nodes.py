"""Banks whose gateway works on one PostgreSQL database: several of them are the nodes of one bank."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from gateway.demo.bank import Bank
from gateway.settings import Postgresql
from tests.support.command_server import prefix
from tests.support.process import ROOT, new_bank, without_web

CODE = (
    "From: otp@bank.example\r\nTo: anna@customer.example\r\nSubject: Your code\r\nMessage-ID: <{0}@bank.example>\r\n"
    "Date: Tue, 24 Nov 2026 12:00:00 +0000\r\n\r\nYour code is 481516.\r\n"
)


def code(mark: str) -> bytes:
    """A mail of online banking to Anna; whoever else is a recipient stands in no To, and goes alone."""
    return CODE.format(mark).encode()


def section(where: Postgresql) -> str:
    """`postgresql:` as settings have it."""
    return (f"postgresql: {{host: {where.host}, port: {where.port}, name: {where.name}, user: {where.user}, "
            f"password_file: {where.password_file}, tls: {where.tls}, statement_timeout_s: "
            f"{where.statement_timeout_s}, connect_timeout_s: {where.connect_timeout_s}}}\n")


def small(text: str) -> str:
    """Settings of one worker, without what no test here asks: two cores have to do for all nodes."""
    return re.sub(r"(?m)^processes: .*\n", "", without_web(text))


def node(home: Path, where: Postgresql, *, hop: int) -> Bank:
    """A node: the bank's keys, policies and settings, on ports of its own."""
    return new_bank(home, hop=hop, change=lambda text: small(text) + section(where))


def sealgate(bank: Bank, *arguments: str | Path, code: int | None = 0) -> str:
    """A command on the bank's settings; its standard output. `code`: the exit code it must have, None: any."""
    done = subprocess.run([*prefix(), "--config", bank.config, *arguments], cwd=ROOT,
                          capture_output=True, text=True, timeout=120, check=False)
    assert code in (None, done.returncode), done.stdout + done.stderr
    return done.stdout


def moved(home: Path, where: Postgresql) -> None:
    """Fills the database with what the demo's bank has, as a bank moves to it: backup, settings, restore."""
    source = new_bank(home)
    sealgate(source, "backup", home / "moved.tar")
    source.config.write_text(source.config.read_text("utf-8") + section(where), "utf-8")
    sealgate(source, "restore", home / "moved.tar", "--unverified")
    shutil.rmtree(home)


def message_ids(mails: Sequence[bytes]) -> list[str]:
    """What stands in `Message-ID`, of each copy that a sink has."""
    return [line[13:-14].decode() for mail in tuple(mails) for line in mail.split(b"\r\n")
            if line.startswith(b"Message-ID: <") and line.endswith(b"@bank.example>")]
