"""`sealgate run` whose database is not there, goes, and comes back: clients are told to come again, by every door.

Starts: one relay with the HTTP interface, and its sink. Truth: the replies, and what the sink received.
"""

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from tests.support.nodes import code, message_ids, sealgate
from tests.support.process import ROOT, Relay, new_bank
from tests.support.smtp import Hop, until

ANNA = ["anna@customer.example"]


def greeting(port: int) -> bytes:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            return connection.recv(200)
    except OSError:
        return b""


def http_status(port: int) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10) as answer:
            return answer.status, ""
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read()).get("reason", "")
    except OSError:
        return 0, ""


def test_it_takes_no_mail_without_its_database_and_goes_on_with_it(tmp_path: Path) -> None:
    with Hop() as sink:
        bank = new_bank(tmp_path / "bank", hop=sink.port, api=True)
        away = tmp_path / "away"
        away.mkdir()

        def move(to: Path, frm: Path) -> None:
            for name in ("sealgate.db", "sealgate.db-wal", "sealgate.db-shm"):
                if (frm / name).exists():
                    (frm / name).rename(to / name)

        move(away, bank.home)
        log = (tmp_path / "log").open("ab")
        process = subprocess.Popen([sys.executable, "-m", "gateway", "--config", str(bank.config), "run"], cwd=ROOT,
                                   stdout=log, stderr=log)
        relay = Relay(bank, process, tmp_path / "log")
        try:
            # Not there at the start: 421 and 503, the process stays, and nothing is made in its place.
            until(lambda: greeting(bank.ports.outbound).startswith(b"421 "), 60)
            until(lambda: http_status(bank.ports.api) == (503, "store.missing"), 60)
            assert process.poll() is None
            assert "database.unusable" in relay.told
            assert list(bank.home.glob("sealgate.db")) == []
            # It appears: mail goes on by itself.
            move(bank.home, away)
            until(lambda: greeting(bank.ports.outbound).startswith(b"220 "), 90)
            assert relay.submit(code("first"), ANNA)[0] == 250
            # It goes while workers run: each mail waits, and a reload does not help.
            move(away, bank.home)
            assert [relay.submit(code(f"gone{n}"), ANNA)[0] for n in range(3)] == [451] * 3
            relay.reload("reload.failed")
            assert relay.submit(code("gone"), ANNA)[0] == 451
            # Another one in its place is not used either.
            sealgate(bank, "init", "--database", "--replace", code=2)  # the gateway uses the old one still
            # It is back.
            move(bank.home, away)
            end = time.monotonic() + 60
            while relay.submit(code("back"), ANNA)[0] != 250:
                assert time.monotonic() < end, relay.told[-2000:]
                time.sleep(0.2)
            assert set(message_ids(sink.mails)) == {"first", "back"}
            process.terminate()
            assert process.wait(60) == 0
        finally:
            process.kill()
            process.wait()
            log.close()
