"""docs/nodes.md, "Postfix in front of two gateways": its blocks over the after-queue pieces, in a real Postfix.

Two sinks that speak LMTP stand for the gateways, on 127.0.0.1 and 127.0.0.2. Truth: which of them Postfix gives a mail.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.postfix.check import postfix as checked
from gateway.settings import read
from tests.support.postfix import Postfix, doors, postfix_with_pieces
from tests.support.smtp import Hop, Talk, until

PAGE = (Path(__file__).parents[2] / "docs" / "nodes.md").read_text("utf-8")
SECTION = PAGE.partition("## Postfix in front of two gateways\n")[2].partition("\n## ")[0]
YAML, = re.findall(r"(?s)```yaml\n(.*?)```", SECTION)
FAIL_OVER, SHARING, BACK = re.findall(r"(?s)```sh\n(.*?)```", SECTION)
SITE = """
myhostname = mx.bank.example
mydestination = bank.example
mynetworks =
local_recipient_maps = inline:{ support@bank.example=ok }
local_transport = discard
smtpd_relay_restrictions = reject_unauth_destination
minimal_backoff_time = 1s
lmtp_host_lookup = native
lmtp_dns_support_level = disabled
"""
HOSTS = "127.0.0.1 localhost gateways.bank.example\n127.0.0.2 gateways.bank.example\n"
LHLO = "250-gateway.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-DSN\r\n250 XFORWARD NAME ADDR PROTO HELO SOURCE IDENT"


@contextmanager
def site(root: Path, block: str) -> Iterator[tuple[Postfix, Hop, Hop]]:
    """With the block's commands run over the after-queue pieces; and both gateways."""
    at = doors()

    def here(text: str) -> str:
        for printed, now in (("192.0.2.11", "127.0.0.1"), ("192.0.2.12", "127.0.0.2"), ("192.0.2.5", "127.0.0.1"),
                             ("10025", at.gateway_outbound), ("10027", at.gateway_inbound), ("10026", at.sealed),
                             ("10028", at.opened), ("'smtp/inet", f"'127.0.0.1:{at.smtp}/inet"),
                             ("'submission/inet", f"'127.0.0.1:{at.submission}/inet"),
                             ("/etc/postfix", root / "postfix" / "etc")):
            text = text.replace(printed, str(now))
        return text

    commands = [line for line in here(block).splitlines() if line != "postfix reload"]
    with (Hop(port=at.gateway_outbound, LHLO=LHLO) as one, Hop(port=at.gateway_outbound, host="127.0.0.2", LHLO=LHLO)
          as other, postfix_with_pieces(root / "postfix", at, SITE, "after-queue", after=commands, hosts=HOSTS)
          as postfix):
        yield postfix, one, other


def sends(postfix: Postfix, count: int) -> None:
    for number in range(count):
        with Talk(("127.0.0.1", postfix.doors.submission)) as talk:
            talk.greet()
            assert talk.mail(b"Subject: %d\r\n\r\nHello\r\n" % number, sender=b"staff@bank.example",
                             to=(b"anna@customer.example",)).startswith("250")
    until(lambda: b"Mail queue is empty" in postfix.queue(), 30)


def test_the_second_takes_over_when_the_first_does_not_answer(tmp_path: Path) -> None:
    with site(tmp_path, FAIL_OVER) as (postfix, one, other):
        sends(postfix, 2)
        assert (len(one.mails), len(other.mails)) == (2, 0)
        one.end()
        sends(postfix, 2)
        assert len(other.mails) == 2


def test_both_share_the_mail_and_one_takes_all_when_the_other_is_away(tmp_path: Path) -> None:
    with site(tmp_path, SHARING) as (postfix, one, other):
        sends(postfix, 24)  # all to one of them by chance: once in 8 million runs
        assert len(one.mails) + len(other.mails) == 24
        assert one.mails
        assert other.mails
        taken = len(other.mails)
        one.end()
        sends(postfix, 4)
        assert len(other.mails) == taken + 4


def test_only_the_gateways_reach_the_doors_back(tmp_path: Path) -> None:
    with site(tmp_path, BACK) as (postfix, _, _):
        for port, recipient in ((postfix.doors.sealed, b"anna@customer.example"),
                                (postfix.doors.opened, b"support@bank.example")):
            for peer, code in (("127.0.0.2", "250"), ("127.0.0.3", "554")):
                with Talk(("127.0.0.1", port), peer=peer) as talk:
                    talk.greet()
                    talk.say(b"MAIL FROM:<staff@bank.example>")
                    assert talk.say(b"RCPT TO:<" + recipient + b">").startswith(code)


@pytest.mark.parametrize("block", [FAIL_OVER, SHARING], ids=["fail-over", "sharing"])
def test_check_finds_nothing_wrong(tmp_path: Path, block: str) -> None:
    text = YAML.replace("192.0.2.5", "127.0.0.1")
    with site(tmp_path, block) as (postfix, _, _):
        for printed, port in (("10025", postfix.doors.gateway_outbound), ("10027", postfix.doors.gateway_inbound),
                              ("10026", postfix.doors.sealed), ("10028", postfix.doors.opened)):
            text = text.replace(printed, str(port))
        settings = read("version: 1\nbank: {domains: [bank.example], hostname: gw.bank.example}\n"
                        f"policies: [staff.yaml]\n{text}", tmp_path / "sealgate.yaml")
        wrong = [one for one in checked(settings, postfix.etc) if one.level != "ok"]
        assert [one for one in wrong if f":{postfix.doors.forgotten}/" not in one.about + one.text] == []
