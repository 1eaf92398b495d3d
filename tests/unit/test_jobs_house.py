"""What stands behind the jobs' loop: the daily report to a real SMTP server, the plan, and when held mail is looked at.

Truth: what the server behind got, and what the database says afterwards.
"""

import email
import email.policy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from gateway.app.processes.jobs import JobsContext
from gateway.clock import FrozenClock
from gateway.errors import GatewayError, Reason
from gateway.ports.administration import NewCertificate
from gateway.settings import load
from tests.support.process import new_bank
from tests.support.revocable import Revocable, now
from tests.support.smtp import Hop
from tests.support.web import WebServer


@dataclass
class Room:
    """The jobs' house at noon, its next hop, and an authority that it believes."""

    context: JobsContext
    hop: Hop
    authority: Revocable
    config: Path
    noon: datetime

    def later(self, days: float) -> JobsContext:
        """Another process, another day."""
        return JobsContext(load(self.config), FrozenClock(self.noon + timedelta(days=days)))


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    noon = now().replace(hour=12)
    with WebServer() as server, Hop() as hop:
        authority = Revocable(server)

        def change(text: str) -> str:
            text = re.sub(r"^http: .*\n", "", text, flags=re.MULTILINE)
            return text.replace("signers: [pki/root.pem]", "signers: [pki/root.pem, pki/partner.pem]") + (
                "reports: {to: admin@bank.example, hour: 6}\n")

        bank = new_bank(tmp_path / "home", hop=hop.port, change=change)
        (bank.home / "pki" / "partner.pem").write_bytes(authority.root_pem)
        context = JobsContext(load(bank.config), FrozenClock(noon))
        yield Room(context, hop, authority, bank.config, noon)
        context.close()


def met(room: Room) -> None:
    room.context.store.authorities.record("CN=Some CA", "CN=Some Root", None, "eve@some.example", room.noon)


def test_nothing_to_tell_is_no_mail(room: Room) -> None:
    room.context.report()
    assert room.hop.mails == []


def test_an_unknown_authority_is_told_once(room: Room) -> None:
    met(room)
    room.context.report()
    (mail,) = room.hop.mails
    read = email.message_from_bytes(mail, policy=email.policy.default)
    assert read["subject"].startswith("IMPORTANT: ")
    assert "CN=Some CA" in read.get_content()
    assert [line for line in room.hop.lines if line.startswith((b"MAIL", b"RCPT"))] == [
        b"MAIL FROM:<>" + room.hop.lines[1][12:], b"RCPT TO:<admin@bank.example> NOTIFY=NEVER"]
    room.context.report()
    tomorrow = room.later(1)
    tomorrow.report()
    tomorrow.close()
    assert len(room.hop.mails) == 1


def test_what_is_met_after_todays_report_is_told_tomorrow(room: Room) -> None:
    room.context.report()
    met(room)
    room.context.report()
    assert room.hop.mails == []
    tomorrow = room.later(1)
    tomorrow.report()
    tomorrow.close()
    assert len(room.hop.mails) == 1


def test_not_before_its_hour(room: Room) -> None:
    met(room)
    early = room.later(-0.3)  # 04:48
    early.report()
    early.close()
    assert room.hop.mails == []


def test_a_report_that_is_not_taken_comes_again(room: Room) -> None:
    met(room)
    room.hop.replies["RCPT"] = "451 4.2.0 later"
    with pytest.raises(GatewayError) as caught:
        room.context.report()
    assert caught.value.reason is Reason.NEXT_HOP_LATER
    del room.hop.replies["RCPT"]
    room.context.report()
    assert len(room.hop.mails) == 1


def test_what_ends_soon_is_told(room: Room) -> None:
    far = room.later(2 * 365 - 10)  # the demo's keys live two years
    far.report()
    far.close()
    (mail,) = room.hop.mails
    assert b"IMPORTANT" not in mail.partition(b"\r\n\r\n")[0]
    assert b"signing key otp" in mail


def test_lists_of_known_issuers_are_wanted_before_a_mail_needs_them(room: Room) -> None:
    store = room.context.store
    store.certificates.add([NewCertificate(room.authority.mail_certificate)])
    room.context.plan()
    assert room.authority.server.url("/root.crl") in {task.request.url for task in store.fetch_tasks.list()}
    (task,) = [one for one in store.fetch_tasks.list() if one.request.url == room.authority.server.url("/root.crl")]
    room.authority.publish(age=timedelta(hours=12))  # the house's clock stands at noon
    assert room.context.carry_out(task) is None
    assert [one.url for one in store.revocations.all_lists()] == [task.request.url]


def test_held_mail_is_looked_at_only_where_there_is_some(room: Room) -> None:
    assert room.context.held() is None
