"""The milter's processes under a real Postfix: killed at any moment, replaced, reloaded while mail runs.

Truth: what Postfix tells its client and what stands in the sinks. Whatever happens to a worker, the client hears 451 or
the mail leaves sealed; nothing in clear, nothing lost that had a 250. Started: two workers behind one Postfix.
"""

import json
import os
import re
import signal
import smtplib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import pytest

from tests.support.milter import FEATURES, Site, milter_site
from tests.support.smtp import Hop, until

MAIL = (
    b"From: otp@bank.example\r\nTo: anna@customer.example\r\nSubject: Your code\r\nX-Number: %s;\r\n"
    b"Message-ID: <%s@bank.example>\r\nDate: Tue, 24 Nov 2026 12:00:00 +0000\r\n\r\nYour code is 481516.\r\n"
)


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with milter_site(tmp_path_factory.mktemp("processes"), workers=2, forked=False) as site:
        yield site


@pytest.fixture
def site(started: Site) -> Site:
    """With both workers, whatever the test before did to them."""
    until(lambda: len(started.milter.workers()) == 2, 60)
    until(lambda: started.submit(mail("whole"), "anna@customer.example")[0] == 250, 60)
    return started


def mail(number: str) -> bytes:
    return MAIL % (number.encode(), number.encode())


def in_clear(site: Site) -> list[bytes]:
    return [one for one in site.internet.mails if b"481516" in one]


@contextmanager
def stopped(pids: list[int]) -> Iterator[None]:
    """They do nothing meanwhile; then they are killed."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)


def test_killed_between_two_commands(site: Site) -> None:
    """At MAIL, at RCPT, in the middle of the message: 451, and the next mail goes."""
    for moment in ("mail", "rcpt", "data"):
        before = site.milter.workers()
        assert len(before) == 2
        with smtplib.SMTP("127.0.0.1", site.doors.submission, timeout=60) as smtp:
            smtp.ehlo("app")
            code = smtp.mail("otp@bank.example")[0]
            if moment != "mail":
                code = smtp.rcpt("anna@customer.example")[0]
            assert code == 250
            if moment == "data":
                assert smtp.docmd("DATA")[0] == 354
                smtp.send(mail("cut")[:200])
            for pid in before:
                os.kill(pid, signal.SIGKILL)
            if moment == "data":
                smtp.send(mail("cut")[200:] + b".\r\n")
                code = smtp.getreply()[0]
            else:
                code = smtp.rcpt("ben@customer.example")[0]
            assert code == 451, moment
        after = mail(f"after-{moment}")
        until(lambda after=after: site.submit(after, "anna@customer.example")[0] == 250, 60)
        site.arrived(site.internet, b"X-Number: after-%s;" % moment.encode())
        until(lambda: len(site.milter.workers()) == 2, 60)
        assert not set(before) & set(site.milter.workers())
    assert not in_clear(site)
    assert not any(b"X-Number: cut;" in one for one in site.internet.mails)


def test_killed_while_postfix_waits_for_its_answer(site: Site) -> None:
    with smtplib.SMTP("127.0.0.1", site.doors.submission, timeout=60) as smtp:
        smtp.ehlo("app")
        smtp.mail("otp@bank.example")
        smtp.rcpt("anna@customer.example")
        assert smtp.docmd("DATA")[0] == 354
        with stopped(site.milter.workers()):
            smtp.send(mail("cut") + b".\r\n")
            until(lambda: "message-id=<cut@bank.example>" in site.maillog)
        code = smtp.getreply()[0]
    assert code == 451
    assert not any(b"X-Number: cut;" in one for one in site.internet.mails)
    assert not in_clear(site)


def test_killed_while_it_works(tmp_path: Path) -> None:
    """In the middle of a look-up, at the end of the message: nothing of it is in place."""
    with Killer() as killer, milter_site(tmp_path, change=killer.change, forked=False) as site:
        killer.victims = site.milter.workers
        octets = mail("cut").replace(b"otp@", b"staff@").replace(b"anna@customer", b"dora@partner")
        code, _ = site.submit(octets, "dora@partner.example", sender="staff@bank.example", peer="127.0.0.3")
        assert code == 451
        assert killer.killed
        assert not site.internet.mails
        assert b"Mail queue is empty" in site.postfix.queue()


class Killer:
    """A partner's directory that kills whoever asks it."""

    def __init__(self) -> None:
        self.victims: Callable[[], list[int]] = list
        self.killed = False

    def __enter__(self) -> Self:
        self._server = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def change(self, text: str) -> str:
        port = self._server.getsockname()[1]
        return "\n".join(
            line[: line.index('"http://')] + f'"http://127.0.0.1:{port}/?mail={{address}}",' if '"http://' in line
            else line for line in text.splitlines()) + "\n"

    def _serve(self) -> None:
        try:
            while True:
                connection, _ = self._server.accept()
                connection.recv(4096)
                self.killed = True
                for pid in self.victims():
                    os.kill(pid, signal.SIGKILL)
                connection.close()
        except OSError:
            return


def numbers(site: Site) -> set[str]:
    """Of the mails that arrived; one look at each, for there may be thousands."""
    return {name.decode() for mail in site.internet.mails for name in re.findall(rb"X-Number: ([^;]+);", mail)}


class Stream:
    """Clients that send mail after mail, each over a connection of its own or all over one, until they are stopped."""

    def __init__(self, site: Site, clients: int) -> None:
        self._site = site
        self._over = threading.Event()
        self.taken: list[str] = []
        self.later: list[str] = []
        self.broken: list[str] = []
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(clients)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)

    def _run(self, number: int) -> None:
        count = 0
        while not self._over.is_set():
            try:
                with smtplib.SMTP("127.0.0.1", self._site.doors.submission, timeout=60) as smtp:
                    smtp.ehlo("app")
                    count += 1
                    self._send(smtp, f"s{number}-{count}", several=count % 5 == 0)
                    while number % 2 and not self._over.is_set():  # every second client keeps its connection
                        count += 1
                        self._send(smtp, f"s{number}-{count}", several=count % 5 == 0)
            except smtplib.SMTPResponseException as error:  # to DATA or in the greeting, which smtplib raises
                (self.later if error.smtp_code in (421, 451) else self.broken).append(f"s{number}-{count}: {error}")
            except OSError as error:
                self.broken.append(f"s{number}-{count}: {error}")

    def _send(self, smtp: smtplib.SMTP, name: str, *, several: bool) -> None:
        if smtp.sock is None:  # smtplib hangs up after a 421, which is a "later" that stands in the list already
            smtp.connect("127.0.0.1", self._site.doors.submission)
            smtp.ehlo("app")
        to = ["anna@customer.example"] + (["ben@customer.example"] if several else [])
        code, text = smtp.mail("otp@bank.example")
        for one in to:
            if code == 250:
                code, text = smtp.rcpt(one)
        if code == 250:
            code, text = smtp.data(mail(name))
        elif code == 421:
            smtp.close()  # as the server does (RFC 5321 3.8)
        else:
            smtp.rset()
        if code == 250:
            self.taken.append(name)
        else:
            (self.later if 400 <= code < 500 else self.broken).append(f"{name}: {code} {text!r}")


def test_reloads_while_mail_runs(site: Site) -> None:
    """Five of them; every mail that has its 250 arrives, sealed; none is deferred, and none comes twice."""
    before = len(site.milter.lines("reload.done"))
    with Stream(site, 6) as stream:
        for _ in range(5):
            so_far = len(stream.taken)
            site.milter.reload()
            until(lambda so_far=so_far: len(stream.taken) > so_far + 5, 60)
    assert len(site.milter.lines("reload.done")) == before + 5
    assert len(stream.taken) > 30
    assert not stream.broken
    assert not stream.later, f"{len(stream.later)} of {len(stream.taken)} had to come again"
    for name in stream.taken:
        several = int(name.partition("-")[2]) % 5 == 0
        found = site.all_arrived(site.internet, b"X-Number: %s;" % name.encode(), 1 + several, 60)
        assert len(found) == 1 + several, name
    assert not in_clear(site)
    until(lambda: len(site.milter.workers()) == 2, 30)


def test_a_worker_dies_while_mail_runs(site: Site) -> None:
    """The other one goes on; what it cut is 451; what had its 250 arrives, and nothing in clear."""
    with Stream(site, 4) as stream:
        for _ in range(2):
            so_far = len(stream.taken)
            os.kill(site.milter.workers()[0], signal.SIGKILL)
            until(lambda so_far=so_far: len(stream.taken) > so_far + 5, 60)
            until(lambda: len(site.milter.workers()) == 2, 60)
    assert not stream.broken
    until(lambda: set(stream.taken) <= numbers(site), 60)
    assert not in_clear(site)


def test_settings_that_do_not_load_change_nothing(site: Site) -> None:
    before = site.milter.workers()
    good = site.bank.config.read_text()
    for broken in (good + "nonsense: 1\n", good.replace("keys/otp.key.pem", "keys/nobody.key.pem")):
        site.bank.config.write_text(broken)
        site.milter.reload()
        assert site.milter.lines("reload.failed")
        until(lambda: site.milter.workers() == before, 30)
        assert site.submit(mail("same"), "anna@customer.example")[0] == 250
    site.bank.config.write_text(good)
    site.milter.reload()
    until(lambda: len(site.milter.workers()) == 2 and not set(before) & set(site.milter.workers()), 30)


def test_a_stop_finishes_the_mail_in_work(tmp_path: Path) -> None:
    """SIGTERM while the next hop takes its time: the mail is settled and told, and the process ends well."""
    asked, go_on = threading.Event(), threading.Event()

    def dot(_: bytes) -> None:
        asked.set()
        assert go_on.wait(30)

    with Hop(FEATURES, dot=dot) as slow:
        def change(text: str) -> str:
            return "\n".join(f"  outbound: {{host: 127.0.0.1, port: {slow.port}, tls: none}}"
                             if line.startswith("  outbound: {host:") else line for line in text.splitlines()) + "\n"

        answers: list[int] = []
        with milter_site(tmp_path, change=change, forked=False) as site:
            client = threading.Thread(target=lambda: answers.append(
                site.submit(mail("slow"), "anna@customer.example", "ben@customer.example")[0]))
            client.start()
            assert asked.wait(30)
            site.milter.process.terminate()
            until(lambda: "milter.stopping" in site.milter.told)
            go_on.set()
            client.join(60)
            assert site.milter.process.wait(60) == 0
            assert site.submit(mail("none"), "anna@customer.example")[0] == 451, "nobody is there, nothing in clear"
    assert answers == [250]
    assert len(slow.mails) == 2


def test_every_line_of_the_log_is_json(site: Site) -> None:
    site.submit(mail("json"), "anna@customer.example")
    site.milter.reload()
    for line in site.milter.told.splitlines():
        json.loads(line)
