"""docs/clients.md: its settings load, and whoever is told of in its table and list is who the page says.

Truth: the page, read by an operator. The settings of the page run as they stand, on free ports.
"""

import re
from pathlib import Path

import pytest

from gateway import settings as house_settings
from gateway.settings import Settings
from tests.support.smtp import Taker, Talk, relay

PAGE = (Path(__file__).parents[3] / "docs" / "clients.md").read_text("utf-8")
REST = """
version: 1
bank: {domains: [bank.example], hostname: gw.bank.example}
next_hops: {outbound: {host: 127.0.0.1}, inbound: {host: 127.0.0.1}}
policies: [staff.yaml]
"""


def page_settings() -> Settings:
    """The first YAML block, on any ports; the proxy of the page stands at 127.0.0.1."""
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    text = re.sub(r"port: \d+", "port: 0", block).replace("192.0.2.5/32", "127.0.0.1/32")
    return house_settings.read(REST + text, Path("clients.yaml"))


def client(listener: str, command: str, sender: str) -> str | None:
    """Whose mail it is after this command; the code of the refusal if it is nobody's."""
    taker = Taker()
    with relay(taker, page_settings()) as at, Talk(at[listener]) as talk:
        talk.reply()
        hello = b"LHLO mx" if listener == "outbound" else b"EHLO proxy"
        talk.say(hello)
        if command:
            assert talk.say(command.encode()).startswith(("250", "220", "501"))
            if command.startswith("XCLIENT"):
                talk.say(hello)
        reply = talk.mail(b"Subject: x\r\n\r\nhi\r\n", sender=sender.encode())
        return taker.mails[0].origin.client if taker.mails else reply[:9]


@pytest.mark.parametrize(("listener", "command", "sender", "expected"), [
    ("outbound", "XFORWARD ADDR=192.0.2.10", "otp@bank.example", "online-banking"),
    ("outbound", "XFORWARD ADDR=192.0.2.10", "staff@bank.example", "550 5.7.1"),
    ("outbound", "XFORWARD ADDR=203.0.113.7", "staff@bank.example", "554 5.7.1"),
    ("outbound", "", "staff@bank.example", "staff"),
    ("outbound", "XFORWARD SOURCE=LOCAL", "staff@bank.example", "staff"),
    ("outbound", "XFORWARD ADDR=what", "staff@bank.example", "554 5.7.1"),
    ("outbound", "XFORWARD ADDR=198.51.100.7", "staff@bank.example", "cloud"),  # its proof is asked for later
    ("portal", "XCLIENT ADDR=203.0.113.7 LOGIN=app", "app@bank.example", "app"),
    ("portal", "XCLIENT ADDR=203.0.113.7", "app@bank.example", "554 5.7.1"),
])
def test_who_it_is(listener: str, command: str, sender: str, expected: str) -> None:
    assert client(listener, command, sender) == expected


def test_the_reply_is_the_one_of_the_page() -> None:
    (told,) = re.findall(r"`(554 5\.7\.1 [^`]+)`", PAGE)
    with relay(Taker(), page_settings()) as at, Talk(at["outbound"]) as talk:
        talk.reply()
        talk.say(b"LHLO mx")
        talk.say(b"XFORWARD ADDR=203.0.113.7")
        assert talk.say(b"MAIL FROM:<staff@bank.example>").startswith(told)


def test_its_links_lead_somewhere() -> None:
    docs = Path(__file__).parents[3] / "docs"
    missing = [name for name in re.findall(r"\]\(([\w-]+\.md)\)", PAGE) if not (docs / name).exists()]
    assert missing == []
