"""Octets of DATA: the fast ways against plain ones (property), and each refusal (RFC 5321 2.3.8, 4.5.2, 6.3)."""

import asyncio
import re
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.errors import GatewayError, Reason
from gateway.frontends.smtp.data import Checks, Collector, Trace, whole_mail
from gateway.model.wire import END, ends_in_pairs, find_end, has_dot_lines, longest_line_within, stuffed

SOUP = st.lists(st.sampled_from([b"\r", b"\n", b".", b"\r\n", b"a", b"\0", b"bc"]), max_size=60).map(b"".join)


def _regular(length: int, count: int, at: int, octet: bytes) -> bytes:
    """Lines of one length with something put in somewhere."""
    lines = (b"x" * length + b"\r\n") * count
    at %= len(lines) + 1
    return lines[:at] + octet + lines[at:]


REGULAR = st.builds(
    _regular,
    st.integers(0, 90),
    st.integers(0, 900),
    st.integers(0, 70_000),
    st.sampled_from([b"", b"\r", b"\n", b"\r\n", b"y", b"."]),
)
CHECKS = Checks(octets_max=1_000_000, hops_max=50)


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@settings(deadline=None)
@given(SOUP | REGULAR)
@example((b"x" * 38 + b"\r\n" + b"y" * 38 + b"\r\n") * 500)
@example(b"x" * 20_000)
@example(b"\n" * 20_000)
def test_fast_searches_agree_with_plain_ones(octets: bytes) -> None:
    assert ends_in_pairs(octets) == (re.search(rb"(?<!\r)\n|\r(?!\n)", octets) is None)
    assert find_end(octets) == octets.find(END)
    assert find_end(octets, 3) == octets.find(END, 3)
    assert has_dot_lines(octets) == any(line.startswith(b".") for line in octets.split(b"\r\n"))
    if ends_in_pairs(octets):
        for most in (0, 1, 3, 37, 76, 90):
            assert longest_line_within(octets, most) == all(len(line) <= most for line in octets.split(b"\r\n"))


@settings(deadline=None)
@given(SOUP.filter(ends_in_pairs), st.integers(1, 9))
def test_what_is_stuffed_arrives_however_it_is_cut(octets: bytes, size: int) -> None:
    octets = octets.replace(b"\0", b"") + b"\r\n"
    wire = stuffed(octets) + b".\r\nNEXT"
    with asyncio.Runner() as runner:
        done = runner.get_loop().create_future()
        collector = Collector(1_000_000, lambda _: True, done)
        after = None
        for start in range(0, len(wire), size):
            packet = wire[start : start + size]
            if after is not None:
                after += packet
            else:
                after = collector.feed(packet)
        assert after == b"NEXT"
        assert done.done()
        assert whole_mail(collector.take(), b"T\r\n", CHECKS) == b"T\r\n" + octets


def mail(content: bytes, **changes: object) -> bytes:
    values = {"octets_max": 1_000_000, "hops_max": 50} | changes
    return whole_mail(bytearray(b"\r\n" + content), b"", Checks(**values))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a\nb\r\n", Reason.MAIL_BARE_NEWLINE),
        (b"a\rb\r\n", Reason.MAIL_BARE_NEWLINE),
        (b"a\r\r\n", Reason.MAIL_BARE_NEWLINE),
        (b"\n.\r\n", Reason.MAIL_BARE_NEWLINE),
        (b"a\0b\r\n", Reason.MAIL_NUL),
        (b"x" * 65_537 + b"\r\n", Reason.MAIL_LINE_TOO_LONG),
        (b"y\r\n" + b"x" * 65_537 + b"\r\nz\r\n", Reason.MAIL_LINE_TOO_LONG),
    ],
)
def test_refusals(content: bytes, reason: Reason) -> None:
    with pytest.raises(GatewayError) as told:
        mail(content)
    assert told.value.reason is reason


@pytest.mark.parametrize("length", [997, 998, 999, 65_535, 65_536])
def test_long_lines_up_to_the_limit(length: int) -> None:
    content = b"Subject: x\r\n\r\n" + b"x" * length + b"\r\n"
    assert mail(content) == content


@pytest.mark.parametrize(("size", "good"), [(0, True), (999, True), (1000, True), (1001, False)])
def test_size(size: int, *, good: bool) -> None:
    content = b"x" * size
    if good:
        assert mail(content, octets_max=1000) == content
    else:
        with pytest.raises(GatewayError) as told:
            mail(content, octets_max=1000)
        assert told.value.reason is Reason.MAIL_TOO_LARGE


@pytest.mark.parametrize(("fields", "good"), [(49, True), (50, True), (51, False)])
def test_loops_end(fields: int, *, good: bool) -> None:
    header = b"".join(b"rEcEiVeD: from x\r\n\tby y\r\n" for _ in range(fields))
    body = b"Subject: x\r\n\r\n" + b"Received: in the body\r\n" * 100
    if good:
        mail(header + body)
    else:
        with pytest.raises(GatewayError) as told:
            mail(header + body)
        assert told.value.reason is Reason.MAIL_LOOP


def test_headers_that_never_end_are_not_counted_for_ever() -> None:
    assert mail(b"X-Y: z\r\n" * 200_000, octets_max=10_000_000)


@pytest.mark.parametrize(
    ("content", "result"),
    [
        (b"a\nb\rc\r\nd\r\n", b"a\r\nb\r\nc\r\nd\r\n"),
        (b"a\n\n.b\r\n", b"a\r\n\r\nb\r\n"),
        (b"\n..\n\r\n", b"\r\n.\r\n\r\n"),
    ],
)
def test_line_ends_are_normalised_for_those_who_may(content: bytes, result: bytes) -> None:
    assert mail(content, normalise=True) == result


@pytest.mark.parametrize(
    "content", [b"a\n.\n", b"a\n.\r\nMAIL FROM:<x@y.test>\r\n", b"a\r.\r\n", b".\nb\r\n", b"a\r\n.\rb\r\n"]
)
def test_a_lone_dot_is_never_normalised(content: bytes) -> None:
    """What another server might take for the end of data (SMTP smuggling, 2023)."""
    with pytest.raises(GatewayError) as told:
        mail(content, normalise=True)
    assert told.value.reason is Reason.MAIL_BARE_NEWLINE


def test_too_much_is_thrown_away_up_to_its_end(loop: asyncio.AbstractEventLoop) -> None:
    collector = Collector(1000, lambda _: True, loop.create_future())
    for _ in range(100):
        assert collector.feed(b"x" * 65_536) is None
    assert collector.refused is Reason.MAIL_TOO_LARGE
    assert len(collector.take()) < 10
    collector = Collector(1000, lambda octets: octets < 500, loop.create_future())
    assert collector.feed(b"x" * 600 + b"\r") is None
    assert collector.feed(b"\n.") is None
    assert collector.feed(b"\r") is None
    assert collector.feed(b"\nQUIT\r\n") == b"QUIT\r\n"
    assert collector.refused is Reason.CLIENT_BUSY


def trace(**changes: object) -> str:
    values = {
        "helo": "c.test",
        "peer": "192.0.2.1",
        "hostname": "gw.bank.test",
        "incident": "i1",
        "at": datetime(2026, 11, 24, 9, 5, 3, tzinfo=UTC),
        "extended": True,
        "secure": False,
        "authenticated": False,
        "smtputf8": False,
        "recipient": "x@else.test",
    }
    return Trace(**(values | changes)).field().decode()  # type: ignore[arg-type]


def test_received() -> None:
    assert trace() == (
        "Received: from c.test ([192.0.2.1])\r\n\tby gw.bank.test with ESMTP id i1\r\n"
        "\tfor <x@else.test>;\r\n\tTue, 24 Nov 2026 09:05:03 +0000\r\n"
    )


@pytest.mark.parametrize(
    ("changes", "protocol"),
    [
        ({"extended": False}, "SMTP"),
        ({"secure": True}, "ESMTPS"),
        ({"authenticated": True}, "ESMTPA"),
        ({"secure": True, "authenticated": True}, "ESMTPSA"),
        ({"smtputf8": True}, "UTF8SMTP"),
        ({"smtputf8": True, "secure": True, "authenticated": True}, "UTF8SMTPSA"),
        ({"transport": "LMTP"}, "LMTP"),
        ({"transport": "LMTP", "secure": True, "authenticated": True}, "LMTPSA"),
        ({"transport": "LMTP", "smtputf8": True, "secure": True}, "UTF8LMTPS"),
    ],
)
def test_with_names(changes: dict[str, object], protocol: str) -> None:
    """RFC 3848, RFC 6531 4.3."""
    assert f" with {protocol} id " in trace(**changes)


@pytest.mark.parametrize("helo", ["", "a b", "x\r\nSubject: y", "x)(", "ö.test", "x" * 256, "x;y"])
def test_a_helo_that_is_no_name_is_not_repeated(helo: str) -> None:
    assert trace(helo=helo).startswith("Received: from unknown ([192.0.2.1])\r\n")


def test_peers_and_recipients_in_received() -> None:
    assert "([IPv6:2001:db8::1])" in trace(peer="2001:db8::1")
    assert "([unknown])" in trace(peer="")
    assert "for" not in trace(recipient=None)
    assert "for" not in trace(recipient="ö@else.test")
    assert "for <ö@else.test>" in trace(recipient="ö@else.test", smtputf8=True)
