"""The queue id of the mail server in front, out of the newest Received that is not ours. Truth: RFC 5321 4.4, and what
Postfix, Exim, Exchange and Sendmail write there.
"""

import pytest

from gateway.mime.trace import came_as

OURS = b"Received: from x ([127.0.0.1])\r\n\tby gw.bank.example with ESMTP id 6d923a86e45b0386\r\n\tfor <a@b>; Tue\r\n"
END = b"From: a@b.example\r\n\r\nid 4711x; \r\n"


@pytest.mark.parametrize("field, expected", [
    (b"Received: from a (a [192.0.2.1])\r\n\tby mx with ESMTPS id 4XyZ12abc\r\n\tfor <b@c>; Tue", "4XyZ12abc"),
    (b"Received: by mx.bank.example (Postfix, from userid 0)\r\n\tid 9F1A2B3C4D; Tue", "9F1A2B3C4D"),
    (b"Received: from a by mx with esmtp (Exim)\r\n\t(envelope-from <a@b>)\r\n\tid 1tFabc-000001-2x\r\n\tfor c; Tue",
     "1tFabc-000001-2x"),
    (b"RECEIVED: from a by b (8.18.1/8.18.1) with ESMTP id 4AOC1234567890;\r\n Tue", "4AOC1234567890"),
    (b"Received: from a by b with Microsoft SMTP Server id 15.20.8182.16; Tue", "15.20.8182.16"),
    (b"Received: from a by b; Tue", ""),
    (b"Subject: by x id 4XyZ12abc; y", ""),
])
def test_what_each_writes(field: bytes, expected: str) -> None:
    assert came_as(OURS + field + b"\r\n" + END, "6d923a86e45b0386") == expected
    assert came_as(field + b"\r\n" + END, "6d923a86e45b0386") == expected


def test_the_newest_counts_and_the_body_does_not() -> None:
    older = b"Received: from z by y with SMTP id 4Older000; Mon\r\n"
    newer = b"Received: from y by x with SMTP id 4Newer000; Tue\r\n"
    assert came_as(OURS + newer + older + END, "6d923a86e45b0386") == "4Newer000"
    assert came_as(OURS + END + b"Received: from y by x with SMTP id 4InBody00; Tue\r\n", "6d923a86e45b0386") == ""


@pytest.mark.parametrize("octets", [
    b"", b"\r\n\r\n", b"Received:", b"Received: id ", b"Received: \xff id \xff\xff\xff\xff\xff;\r\n\r\n",
    b"Received: id " + b"a" * 70_000 + b";\r\n\r\n", b"Received: \r\n" * 10_000, b"Received: x id\r\n\t" * 10_000])
def test_what_is_none_gives_nothing(octets: bytes) -> None:
    assert came_as(octets, "6d923a86e45b0386") == ""
