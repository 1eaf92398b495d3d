"""Traps of a Postfix whose milter the gateway is: what lets clear mail out while the milter is away, or past it.

Starts one `sealgate milter`, two sinks, and for each trap a private Postfix twice (root; 0.5 s each). Truth: what
arrives at the sinks behind the real Postfix.
"""

import smtplib
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from gateway.demo.bank import Bank
from gateway.settings import Settings, load
from tests.support.milter import milter_process, settings_for
from tests.support.other_milter import other_milter
from tests.support.postfix import Doors, doors
from tests.support.process import free_ports, new_bank, without_services
from tests.support.smtp import Hop, until
from tests.support.traps import Site, Trap, findings, holds, with_trap

CODE = b"Your code is 471108."
ANNA = "anna@customer.example"


@dataclass(frozen=True, slots=True)
class Bench:
    """What all traps share. `away`: the same with a milter port where nobody listens."""

    at: Doors
    bank: Bank
    ends: tuple[Hop, Hop]
    settings: Settings
    away: int


@pytest.fixture(scope="module")
def others(bench: "Bench") -> Iterator[None]:
    """Three other milters, at ports of `Doors` that this form does not need."""
    with (other_milter(bench.at.systems, "quarantine"),
          other_milter(bench.at.gateway_systems, "addrcpt", "helper@elsewhere.example"),
          other_milter(bench.at.gateway_inbound, "delrcpt", "ben@customer.example")):
        yield


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    at = doors()
    (away,) = free_ports(1)
    bank = new_bank(tmp_path_factory.mktemp("traps") / "bank",
                    change=lambda text: settings_for(at)(without_services(text)))
    with Hop() as mailboxes, Hop() as internet, milter_process(bank):
        yield Bench(at, bank, (mailboxes, internet), load(bank.config), away)


def code_for(recipient: str, sender: str = "otp@bank.example") -> bytes:
    return (f"From: {sender}\r\nTo: {recipient}\r\nSubject: Your code\r\n"
            f"Date: Tue, 24 Nov 2026 12:00:00 +0000\r\nMessage-ID: <{time.monotonic_ns()}@bank.example>\r\n\r\n"
            ).encode() + CODE + b"\r\n"


def submits(site: Site) -> None:
    reply = site.submit(site.postfix.doors.submission, code_for(ANNA), ANNA)
    assert reply.startswith("250"), reply


def leaves_in_clear(site: Site) -> None:
    submits(site)
    (mail,) = site.came(site.internet)
    assert CODE in mail


def leaves_sealed(site: Site) -> None:
    submits(site)
    (mail,) = site.came(site.internet)
    assert b"application/pkcs7-mime" in mail
    assert CODE not in mail


SECRET = b"4711 is the subject"


def with_subject_first() -> bytes:
    """A mail of the bank's own program, which writes the Subject before all other fields."""
    from_, to, _, *rest = code_for(ANNA).split(b"\r\n")
    return b"\r\n".join((b"Subject: " + SECRET, from_, to, *rest))


def leaves_with_its_subject(site: Site) -> None:
    reply = site.submit(site.postfix.doors.submission, with_subject_first(), ANNA)
    assert reply.startswith("250"), reply
    (mail,) = site.came(site.internet)
    assert CODE not in mail
    assert SECRET in mail


def leaves_without_its_subject(site: Site) -> None:
    reply = site.submit(site.postfix.doors.submission, with_subject_first(), ANNA)
    assert reply.startswith("250"), reply
    (mail,) = site.came(site.internet)
    assert b"application/pkcs7-mime" in mail
    assert SECRET not in mail
    assert (b"\n" + mail).lower().count(b"\nsubject:") == 1


def is_told_to_wait(site: Site) -> None:
    reply = site.submit(site.postfix.doors.submission, code_for(ANNA), ANNA)
    assert reply.startswith("4"), reply
    assert b"Mail queue is empty" in site.postfix.queue()
    assert site.internet.mails == []


def by_sendmail(site: Site) -> None:
    site.postfix.sendmail(code_for(ANNA), "otp@bank.example", ANNA)
    (mail,) = site.came(site.internet)
    assert CODE in mail


def sendmail_waits(site: Site) -> None:
    site.postfix.sendmail(code_for(ANNA), "otp@bank.example", ANNA)
    site.logged("4.7.1 Service unavailable")
    assert site.internet.mails == []


def is_held_and_released_in_clear(site: Site) -> None:
    submits(site)
    site.waits(b"!")  # postqueue's mark of the hold queue
    assert site.internet.mails == []
    site.postsuper("-H", "ALL")
    site.postfix.flush()
    (mail,) = site.came(site.internet)
    assert CODE in mail


def colleague_writes(site: Site) -> None:
    """By the bank's own person, to an address of the bank."""
    with smtplib.SMTP("127.0.0.1", site.postfix.doors.submission, source_address=("127.0.0.3", 0)) as smtp:
        smtp.sendmail("staff@bank.example", ["support@bank.example"],
                      code_for("support@bank.example", "staff@bank.example"))


def goes_outside_in_clear(site: Site) -> None:
    colleague_writes(site)
    (mail,) = site.came(site.internet)
    assert CODE in mail


def stays_inside(site: Site) -> None:
    colleague_writes(site)
    site.came(site.mailboxes)
    assert site.internet.mails == []


def large(site: Site) -> str:
    """Below the limit as it comes, and with what is made of it above."""
    mail = code_for(ANNA) + b"A line of a statement.\r\n" * 1000
    return site.submit(site.postfix.doors.submission, mail, ANNA)


def is_refused_as_too_large(site: Site) -> None:
    assert large(site).startswith("552 5.3.4")
    assert site.internet.mails == []


def large_leaves_sealed(site: Site) -> None:
    assert large(site).startswith("250")
    (mail,) = site.came(site.internet)
    assert CODE not in mail


def is_held_and_released_sealed(site: Site) -> None:
    submits(site)
    site.waits(b"!")
    site.postsuper("-H", "ALL")
    site.postfix.flush()
    (mail,) = site.came(site.internet)
    assert CODE not in mail


def goes_outside_as_well(site: Site) -> None:
    """The bank's own mail to an address of the bank."""
    colleague_writes(site)
    until(lambda: len(site.mailboxes.mails) == 1, 20)
    (mail,) = site.came(site.internet)
    assert CODE in mail


def opened_goes_outside_as_well(site: Site) -> None:
    reply = site.submit(site.postfix.doors.opened, code_for("support@bank.example"), "support@bank.example")
    assert reply.startswith("250"), reply
    until(lambda: len(site.mailboxes.mails) == 1, 20)
    (mail,) = site.came(site.internet)
    assert CODE in mail


def opened_stays_inside(site: Site) -> None:
    reply = site.submit(site.postfix.doors.opened, code_for("support@bank.example"), "support@bank.example")
    assert reply.startswith("250"), reply
    site.came(site.mailboxes)
    assert site.internet.mails == []


def writes_to_two(site: Site) -> None:
    """Neither may see the other, so the gateway sends two copies by itself."""
    reply = site.submit(site.postfix.doors.submission, code_for(ANNA), ANNA, "ben@customer.example")
    assert reply.startswith("250"), reply
    site.came(site.internet, 2)
    assert any(b"RCPT TO:<ben@customer.example>" in line for line in site.internet.lines)


SOCKET = "inet:127.0.0.1:{gateway_outbound}"
TRAPS = [
    Trap(
        "the gateway is away, and the mail goes on",
        ("main.cf milter_default_action", "lets the mail through unencrypted"),
        leaves_in_clear, is_told_to_wait, form="milter", dead=True,
        commands=("postconf -e smtpd_milters=" + SOCKET + " milter_default_action=accept milter_content_timeout=600s",),
        remedy=("postconf -e milter_default_action=tempfail",),
    ),
    Trap(
        "the gateway is away, and its own word says accept",
        ("main.cf smtpd_milters", "lets the mail through unencrypted"),
        leaves_in_clear, is_told_to_wait, form="milter", dead=True,
        commands=("postconf -e 'smtpd_milters={{ " + SOCKET + ", default_action=accept, content_timeout=600s }}'",),
        remedy=("postconf -e 'smtpd_milters={{ " + SOCKET + ", default_action=tempfail, content_timeout=600s }}'",),
    ),
    Trap(
        "the gateway is away, and an administrator releases",
        ("main.cf milter_default_action", "postsuper -H"),
        is_held_and_released_in_clear, is_told_to_wait, form="milter", dead=True,
        commands=("postconf -e milter_default_action=quarantine milter_content_timeout=600s smtpd_milters=" + SOCKET,),
        remedy=("postconf -e milter_default_action=tempfail",),
    ),
    Trap(
        "sendmail passes no milter",
        ("master.cf pickup/unix", "mail of sendmail(1) does not pass the gateway"),
        by_sendmail, sendmail_waits, form="milter", dead=True,
        commands=("postconf -e non_smtpd_milters=",),
        remedy=("postconf -e 'non_smtpd_milters=$smtpd_milters'",),
    ),
    Trap(
        "no_milters",
        ("receive_override_options", "no_milters switches off"),
        leaves_in_clear, leaves_sealed, form="milter",
        commands=("postconf -P 127.0.0.1:{submission}/inet/receive_override_options=no_milters",),
        remedy=("postconf -PX 127.0.0.1:{submission}/inet/receive_override_options",),
    ),
    Trap(
        "clients that pass the milters by",
        ("smtpd_milter_maps", "bypasses the gateway's milter"),
        leaves_in_clear, leaves_sealed, form="milter",
        commands=("postconf -e 'smtpd_milter_maps=cidr:{{{{127.0.0.0/8 DISABLE}}}}'",),
        remedy=("postconf -e smtpd_milter_maps=",),
    ),
    Trap(
        "no room for what was sealed in place",
        ("master.cf cleanup/unix", "is rejected and never sealed"),
        is_refused_as_too_large, large_leaves_sealed, form="milter",
        commands=("postconf -e message_size_limit=30000", "postconf -P cleanup/unix/message_size_limit=30000"),
        remedy=("postconf -P cleanup/unix/message_size_limit=90000",),
    ),
    Trap(
        "an alias that the milter does not see",
        ("main.cf virtual_alias_maps", "Use the after-queue form"),
        goes_outside_in_clear, stays_inside, form="milter",
        main="virtual_alias_maps = inline:{{ support@bank.example=helper@elsewhere.example }}\n",
        remedy=("postconf -e virtual_alias_maps=",),
    ),
    Trap(
        "an action that gives it another recipient",
        ("main.cf header_checks", "does not see"),
        goes_outside_in_clear, stays_inside, form="milter",
        commands=("postconf -e 'header_checks=regexp:{{{{/^Subject:/ REDIRECT helper@elsewhere.example}}}}'",),
        remedy=("postconf -e header_checks=",),
    ),
    Trap(
        "checks of what the milter writes",
        ("main.cf milter_header_checks", "fields that the gateway writes"),
        leaves_with_its_subject, leaves_without_its_subject, form="milter",
        commands=("postconf -e 'milter_header_checks=regexp:{{{{/^Subject:/ IGNORE}}}}'",),
        remedy=("postconf -e milter_header_checks=",),
    ),
]

# A Postfix that counts as its HISTORY of 2023-12-13 says: one before that is told by `check` (tests/unit/postfix).
HARMLESS_CHECKS = [
    "/^Received:/ IGNORE", "/^Received:/ STRIP",
    "/^Received:/ REPLACE Received: from somewhere", "/^Received:/ PREPEND X-Site: one",
    "/^Subject:/ PREPEND X-Site: one", "/^(To|Date):/ PREPEND X-Site: one", "/^Date:/ IGNORE",
    "/^Subject: (.*)$/ REPLACE Subject: $1 again",
]

OURS = "{{ " + SOCKET + ", default_action=tempfail, content_timeout=600s }}"
HOLDS, ADDS = "inet:127.0.0.1:{systems}", "inet:127.0.0.1:{gateway_systems}"
REMOVES = "inet:127.0.0.1:{gateway_inbound}"


def milters(*members: str) -> tuple[str]:
    return ("postconf -e 'smtpd_milters=" + ", ".join(members) + "'",)


BESIDE = [
    Trap(
        "another milter holds mail before us",
        ("main.cf smtpd_milters", "(before the gateway) put mail on HOLD"),
        is_held_and_released_in_clear, is_held_and_released_sealed, form="milter",
        commands=milters(HOLDS, OURS), remedy=milters(OURS, HOLDS),
    ),
    Trap(
        "another milter is away and its mail is held before us",
        ("main.cf milter_default_action", "is down, Postfix puts mail on HOLD"),
        is_held_and_released_in_clear, form="milter",
        commands=(*milters("inet:127.0.0.1:{dead}", OURS), "postconf -e milter_default_action=quarantine"),
    ),
    Trap(
        "another milter adds a recipient before us",
        ("main.cf smtpd_milters", "(before the gateway) add recipients"),
        goes_outside_as_well, form="milter",
        commands=milters(ADDS, OURS),
    ),
    Trap(
        "another milter adds a recipient after us",
        ("main.cf smtpd_milters", "(after the gateway) add recipients"),
        goes_outside_as_well, stays_inside, form="milter",
        commands=milters(OURS, ADDS), remedy=milters(OURS),
    ),
    Trap(
        "another milter of one door adds a recipient",
        ("/inet/smtpd_milters", "(after the gateway) add recipients"),
        goes_outside_as_well, form="milter",
        commands=("postconf -P '127.0.0.1:{submission}/inet/smtpd_milters=" + SOCKET + "," + ADDS + "'",
                  "postconf -e milter_content_timeout=600s"),
    ),
    Trap(
        "a milter behind us adds a recipient to opened mail",
        ("/inet/smtpd_milters", "add recipients to opened mail"),
        opened_goes_outside_as_well, opened_stays_inside, form="milter",
        commands=("postconf -P '127.0.0.1:{opened}/inet/smtpd_milters=" + ADDS + "'",),
        remedy=("postconf -P '127.0.0.1:{opened}/inet/smtpd_milters='",),
    ),
    Trap(
        "another milter removes a recipient",
        ("main.cf smtpd_milters", "remove recipients, who still receive the copies"),
        writes_to_two, form="milter",
        commands=milters(REMOVES, OURS),
    ),
]


@pytest.mark.parametrize("trap", BESIDE, ids=lambda trap: trap.name)
@pytest.mark.usefixtures("others")
def test_another_milter_is_shown_named_and_taken_away(bench: Bench, tmp_path: Path, trap: Trap) -> None:
    holds(trap, tmp_path, bench.at, bench.bank, bench.ends, bench.settings, bench.away)


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.name)
def test_a_trap_is_shown_named_and_taken_away(bench: Bench, tmp_path: Path, trap: Trap) -> None:
    at, settings = bench.at, bench.settings
    if trap.dead and settings.milter is not None:
        at = replace(at, gateway_outbound=bench.away)
        milter = settings.milter.model_copy(update={"socket": f"inet:{bench.away}@127.0.0.1"})
        settings, trap = settings.model_copy(update={"milter": milter}), replace(trap, dead=False)
    holds(trap, tmp_path, at, bench.bank, bench.ends, settings, bench.away)


@pytest.mark.parametrize("line", HARMLESS_CHECKS)
def test_checks_before_the_milter_change_no_field_of_another(bench: Bench, tmp_path: Path, line: str) -> None:
    """No trap: what the milter is shown is what Postfix counts, wherever a table adds or takes a field."""
    trap = Trap("checks", ("", ""), leaves_without_its_subject, form="milter", commands=(
        "postconf -e 'header_checks=regexp:{{{{" + line.replace("$", "$$") + "}}}}'",))
    with with_trap(tmp_path / "checks", bench.at, bench.bank, bench.ends, trap, dead=0, remedied=False) as site:
        assert findings(site, bench.settings) == []
        leaves_without_its_subject(site)


def test_what_postfix_holds_is_sealed_already(bench: Bench, tmp_path: Path) -> None:
    """No trap: HOLD of a table holds what the milter made of the mail, and a release sends that."""
    trap = Trap("HOLD", ("", ""), leaves_sealed, leaves_sealed, form="milter",
                commands=("postconf -e 'header_checks=regexp:{{{{/^Subject:/ HOLD}}}}'",))
    with with_trap(tmp_path / "hold", bench.at, bench.bank, bench.ends, trap, dead=0, remedied=False) as site:
        assert findings(site, bench.settings) == []
        submits(site)
        site.waits(b"!")
        site.postsuper("-H", "ALL")
        site.postfix.flush()
        (mail,) = site.came(site.internet)
    assert CODE not in mail
