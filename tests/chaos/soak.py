"""`python -m tests.chaos.soak --mails 100000` (make soak): memory over many mails stays flat.

A bank in this process, its whole way for each mail: signed, stamped, encrypted and recorded for one customer or two,
opened and judged for another, now and then refused or held. Only the next hop is a stand-in that keeps nothing.
Measured after a warm-up and then ten times: what the process holds (VmRSS), and how many objects Python knows.
"""

import argparse
import gc
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.cms import enveloped
from gateway.cms.algorithms import ContentCipher
from gateway.cms.certificate import load_certificates
from gateway.frontends.telemetry.logs import configure
from gateway.model.mail import Mail
from gateway.model.outcome import Settled
from tests.support.bank import Context, ScriptedHop, context
from tests.support.sealed import cms, message

STEPS = 10
OTP, STATEMENTS = "otp@bank.example", "statements@bank.example"


class Forgetful(ScriptedHop):
    """Takes everything and keeps nothing."""

    def deliver(self, *given: object, **named: object):  # type: ignore[override]
        """See ports.next_hop.NextHop."""
        replies = super().deliver(*given, **named)  # type: ignore[arg-type]
        self.taken.clear()
        return replies


@dataclass(frozen=True)
class Point:
    """How it stood after so many mails. `octets`: VmRSS."""

    mails: int
    octets: int
    objects: int


def rss() -> int:
    """What this process holds, in octets."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def bank(home: Path) -> Iterator[Context]:
    """A new one, with hops that keep nothing."""
    with context(home) as built:
        built.gateway.use(replace(built.gateway.context, outbound_hop=Forgetful(), inbound_hop=Forgetful()))
        yield built


def mails(built: Context) -> Iterator[tuple[Mail, set[Settled]]]:
    """One after the other, none like another, with what may become of it."""
    support = load_certificates(built.bank.support_certificate.read_bytes())[0]
    number = 0
    while True:
        number += 1
        text = (f"From: {{}}\r\nTo: undisclosed-recipients:;\r\nSubject: News {number}\r\n"
                f"Message-ID: <{number}@soak.example>\r\n\r\nNumber {number}\r\n" + "and so on\r\n" * (number % 300))
        yield built.send(text.format(OTP).encode(), "anna@customer.example"), {Settled.TAKEN}
        yield built.send(text.format(OTP).encode(), "anna@customer.example", "ben@customer.example"), {Settled.TAKEN}
        yield built.send(text.format(OTP).encode(), f"x{number}@nowhere.example"), {Settled.REFUSED}
        letter = message(cms(enveloped.encrypt(b"Content-Type: text/plain\r\n\r\n" + text.encode(), [support],
                                               ContentCipher.AES256_CBC), "enveloped-data"),
                         from_=f"s{number}@customer.example", to="support@bank.example")
        yield built.receive(letter.replace(b"<m1@", b"<%d@" % number), "support@bank.example"), {Settled.TAKEN}
        broken = b"From: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n%d\r\n--b--" % number
        yield built.receive(broken, "support@bank.example"), {Settled.TAKEN, Settled.REFUSED}
        if number % 50 == 0:
            yield (built.send(text.format(STATEMENTS).encode(), f"x{number}@nowhere.example", client="core-banking",
                              sender=STATEMENTS), {Settled.TAKEN})


def soak(built: Context, warm: int, many: int, tell: Callable[[Point], None] = lambda _: None) -> list[Point]:
    """The first point after `warm` mails, STEPS more until `many` are through; each is told as it comes."""
    points, ways = [], mails(built)
    for number in range(warm + many + 1):
        if number >= warm and (number - warm) % (many // STEPS) == 0:
            gc.collect()
            points.append(Point(number, rss(), len(gc.get_objects())))
            tell(points[-1])
        mail, allowed = next(ways)
        outcome = built.gateway.handle(mail)
        assert outcome.answer in allowed, outcome
    return points


def slope(points: list[Point]) -> float:
    """Octets for each mail, from the first half of the points to the second: their medians, so no single one counts."""
    half = len(points) // 2
    first, second = (sorted(point.octets for point in part)[len(part) // 2] for part in (points[:half], points[half:]))
    return (second - first) / (points[-1].mails - points[0].mails) * 2


def tell(point: Point) -> None:
    """One line of the table."""
    sys.stdout.write(f"{point.mails:>9} mails  {point.octets / 2**20:8.1f} MiB  {point.objects:>8} objects\n")
    sys.stdout.flush()


def main() -> int:
    """For `make soak`."""
    options = argparse.ArgumentParser()
    options.add_argument("--mails", type=int, default=100_000)
    given = options.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="soak-") as scratch, bank(Path(scratch) / "home") as built:
        configure("error")
        points = soak(built, given.mails // 10, given.mails, tell)
    sys.stdout.write(f"{slope(points):.1f} octets for each mail, {time.monotonic() - begun:.0f} s\n")
    return int(slope(points) > 100)


if __name__ == "__main__":
    sys.exit(main())
