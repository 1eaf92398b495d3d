"""Goal 3: what a real Postfix delivers with the milter, against the same Postfix without it.

One private instance with two doors, one of which hands its mail to `sealgate milter` (two workers) as
conf/postfix/milter.* say; Postfix's own smtp-source and our sink are the load. The doors take turns. Time runs from
the first connection until the queue is empty: all is delivered by then.

A row of goal 2 besides: the relay as a content filter of that Postfix, against a script that calls `openssl cms` as
sites write it, behind the same Postfix. Both count what the filter adds: CPU seconds beyond those of the plain door.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from bench import tree
from bench.material import Material
from bench.relay import RUN, bank_of, free_port, start, transaction
from bench.report import Progress, Report, Row
from tests.support.postfix import PIECES, private_postfix

GOAL = 0.5
GOAL_SCRIPT = 5.0
SCRIPT_PART = 4  # of the mails of goal 3: four processes each take their time
COUNTS = {"5K": 400, "100K": 200}
SESSIONS = 20
START_S = 60.0
_TICKS_S = os.sysconf("SC_CLK_TCK")
_SITE = """\
myhostname = mx.bank.example
mydestination =
mynetworks = 127.0.0.0/8
default_transport = smtp:[127.0.0.1]:{sink}
smtpd_client_connection_count_limit = 0
smtpd_relay_restrictions = permit_mynetworks, reject
"""


def goals(report: Report, made: Material, progress: Progress, *, short: bool) -> None:
    """The rows of goal 3; a note where Postfix is not there or may not be started."""
    progress.stage("starting Postfix and the milter")
    if not all(map(shutil.which, ("postfix", "smtp-source"))) or os.geteuid() != 0:
        report.notes.append("left out: goal 3 (it needs Postfix and root, who alone may start one)")
        return
    try:
        _rows(report, made, progress, short=short)
    except (RuntimeError, OSError, subprocess.SubprocessError, pytest.fail.Exception) as error:
        # The other goals' figures are not lost for it; there is no row, and the table says why.
        report.notes.append(f"goal 3 was not measured to its end: {type(error).__name__}: {error}")


def _rows(report: Report, made: Material, progress: Progress, *, short: bool) -> None:
    with tempfile.TemporaryDirectory(prefix="sealgate-bench-postfix-") as folder, ExitStack() as ends:
        home, sink, door, plain, by_hand, filtered = Path(folder), *(free_port() for _ in range(5))
        home.chmod(0o755)
        ends.enter_context(_process([sys.executable, "-m", "bench.wire", "sink", str(sink)], home / "sink.log"))
        back = {"10026": free_port(), "10028": free_port(), "10029": free_port()}
        bank = bank_of(home / "bank", sink, more=(
            f"milter: {{socket: 'inet:{back['10029']}@127.0.0.1', outbound_daemons: [sealgate-outbound], "
            "inbound_daemons: [sealgate-inbound]}\n"))
        milter = ends.enter_context(_process(
            [sys.executable, "-m", "gateway", "--config", str(bank.config), "milter"], home / "milter.log",
            "milter.ready"))
        relayed = bank_of(home / "relayed", sink)
        relay = start("relay", [word.replace("{}", str(relayed.config)) for word in RUN], relayed.ports.outbound,
                      home / "relay.log")
        ends.callback(relay.process.wait)
        ends.callback(relay.process.terminate)
        pieces = [(PIECES / f"milter.{name}.cf").read_text() for name in ("main", "master")]
        for printed, port in back.items():
            pieces = [text.replace(f":{printed}", f":{port}") for text in pieces]
        doors = (f"127.0.0.1:{door} inet n - n - 100 smtpd -o milter_macro_daemon_name=sealgate-outbound\n"
                 f"127.0.0.1:{plain} inet n - n - 100 smtpd -o smtpd_milters=\n"
                 f"127.0.0.1:{by_hand} inet n - n - 100 smtpd -o smtpd_milters= -o content_filter=openssl:\n"
                 f"127.0.0.1:{filtered} inet n - n - 100 smtpd -o smtpd_milters= "
                 f"-o content_filter=filter:[127.0.0.1]:{relayed.ports.outbound}\n"
                 "filter unix - - n - 20 smtp -o smtp_tls_security_level=none\n"
                 f"openssl unix - n n - 10 pipe flags=q user=nobody argv={_script(home, made, plain)} ${{sender}} "
                 "${recipient}\n")
        ends.enter_context(private_postfix(
            home / "postfix", _SITE.format(sink=sink) + pieces[0], more=doors + pieces[1]))
        master = int((home / "postfix" / "spool" / "pid" / "master.pid").read_text())
        for size, mails in COUNTS.items():
            file = home / f"mail-{size}"
            file.write_bytes(transaction(made.entities[size]).partition(b"\0")[2].removesuffix(b".\r\n")
                             .replace(b"\r\n..", b"\r\n.").replace(b"\r\n", b"\n"))
            count = mails // (2 if short else 1)
            with_, without = (_Door(port, home / "postfix" / "spool", (master, milter.pid)) for port in (door, plain))
            for one in (with_, without):
                one.deliver(file, SESSIONS)
            progress.stage(f"Postfix with the milter, {size}")
            turns = [(with_.deliver(file, count), without.deliver(file, count)) for _ in range(2 if short else 3)]
            for place, unit, goal in ((0, "mails/s", GOAL), (1, "mails/CPUs", None)):
                ours, theirs = (statistics.median(turn[which][place] for turn in turns) for which in (0, 1))
                report.rows.append(Row("3", f"Postfix with the milter, {size}", "the same without", ours, theirs, unit,
                                       ours / theirs, goal))
            progress.stage(f"Postfix with the relay and with openssl cms, {size}")
            spool, few = home / "postfix" / "spool", max(SESSIONS, count // SCRIPT_PART)
            three = [_Door(port, spool, pids) for port, pids in (
                (plain, (master,)), (filtered, (master, relay.process.pid)), (by_hand, (master,)))]
            for one in three:
                one.deliver(file, SESSIONS)
            costs = [[1 / one.deliver(file, few)[1] for one in three] for _ in range(2 if short else 3)]
            if "status=bounced" in (home / "postfix" / "maillog").read_text():
                raise RuntimeError("a content filter failed, and its mails bounced")
            ours, theirs = (1 / max(statistics.median(cost[which] - cost[0] for cost in costs), 1 / _TICKS_S / few)
                            for which in (1, 2))
            report.rows.append(Row("2", f"relay as Postfix's filter, {size}", "openssl cms script", ours, theirs,
                                   "mails/CPUs", ours / theirs, GOAL_SCRIPT))


# Signs and encrypts one mail on standard input, and gives it back to Postfix. $1: sender, $2: recipient.
_SCRIPT = r"""#!/bin/bash
set -e
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
tr -d '\r' | awk -v dir="$dir" '
  body { print > (dir "/entity"); next }
  /^$/ { body = 1; print > (dir "/entity"); next }
  /^[A-Za-z]/ { content = tolower($0) ~ /^(content-|mime-version:)/ }
  { print > (dir (content ? "/entity" : "/outer")) }'
openssl cms -sign -md sha256 -in "$dir/entity" -out "$dir/signed" -signer KEYS/signer.pem -inkey KEYS/signer.key \
  -certfile KEYS/chain.pem
openssl cms -encrypt -aes-256-cbc -in "$dir/signed" -out "$dir/sealed" KEYS/recipient.pem
exec 3<> /dev/tcp/127.0.0.1/BACK
ask() {
  printf '%s\r\n' "$1" >&3
  while read -r reply <&3 && [ "${reply:3:1}" = - ]; do :; done
  case $reply in 2*|3*) ;; *) echo "$reply"; exit 75;; esac
}
read -r reply <&3
ask "HELO filter.bank.example"; ask "MAIL FROM:<$1>"; ask "RCPT TO:<$2>"; ask DATA
cat "$dir/outer" "$dir/sealed" | sed 's/\r$//; s/^\./../; s/$/\r/' >&3
ask .
ask QUIT
"""


def _script(home: Path, made: Material, back: int) -> Path:
    """The by-hand filter, with keys that the user of pipe(8) can read. `back`: the port where it hands mail back."""
    keys, script = home / "keys", home / "openssl-filter"
    keys.mkdir(mode=0o755)
    for name in ("signer.pem", "signer.key", "chain.pem", "recipient.pem"):
        (keys / name).write_bytes((made.home / name).read_bytes())
        (keys / name).chmod(0o644)
    script.write_text(_SCRIPT.replace("KEYS", str(keys)).replace("BACK", str(back)))
    script.chmod(0o755)
    return script


class _Door:
    """One smtpd of the instance. `pids`: whose trees' CPU seconds count."""

    def __init__(self, port: int, spool: Path, pids: tuple[int, ...]) -> None:
        self._port = port
        self._spool = spool
        self._pids = pids

    def deliver(self, file: Path, count: int) -> tuple[float, float]:
        """Mails a second, and for each CPU-second of Postfix and the milter."""
        began, used = time.perf_counter(), sum(map(tree.cpu_s, self._pids))
        subprocess.run(["smtp-source", "-s", str(SESSIONS), "-m", str(count), "-f", "otp@bank.example",
                        "-t", "ben@customer.example", "-F", str(file), f"127.0.0.1:{self._port}"], check=True)
        while self._waiting():
            if time.perf_counter() - began > START_S:
                raise RuntimeError("the queue of Postfix does not get empty")
            time.sleep(0.01)
        # A clock tick at least: a door that used less has no figure of its own.
        return (count / (time.perf_counter() - began),
                count / max(sum(map(tree.cpu_s, self._pids)) - used, 1 / _TICKS_S))

    def _waiting(self) -> bool:
        return any(files for name in ("incoming", "active", "deferred", "maildrop")
                   for _, _, files in os.walk(self._spool / name))


class _process:  # noqa: N801 - used like a function
    """A process while the `with` lasts; `ready`: what its log must say before it counts as started."""

    def __init__(self, command: list[str], log: Path, ready: str = "") -> None:
        self._log = log
        with log.open("wb") as file:
            self._process = subprocess.Popen(command, stdout=file, stderr=file)
        end = time.monotonic() + START_S
        while ready not in log.read_text():
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{command} did not start: {log.read_text()[-2000:]}")
            time.sleep(0.05)

    def __enter__(self) -> "subprocess.Popen[bytes]":
        return self._process

    def __exit__(self, *failure: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
