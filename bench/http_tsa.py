"""Goal 4: what other mails notice of a time-stamping service over HTTP that takes 200 ms, or does not answer at all.

One relay (`sealgate run`) with both kinds of mail: statements stamped by the embedded service, codes by the slow one.
The median time of a statement, from connecting to the reply, is measured alone and while codes keep every place of the
slow service busy. All on one machine, so that the codes' own work is in the second figure too.
"""

import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from smtplib import SMTP

from bench.material import Material
from bench.relay import free_port, start
from bench.report import Progress, Report, Row
from bench.stamp import StampKey
from gateway.authority.tsa import EmbeddedTsa
from gateway.clock import SystemClock
from gateway.demo.bank import Ports, open_bank
from gateway.setup.files import pem

SLOW_S = 0.2
IN_FLIGHT = 4
STATEMENTS = {False: 200, True: 60}  # by --short
TRIP_SHARE = 0.25  # the bound: a mail that waited for one trip would take all of it
CODES, STATEMENT = ("127.0.0.1", "otp@bank.example"), ("127.0.0.2", "statements@bank.example")


def goals(report: Report, made: Material, progress: Progress, *, short: bool) -> None:
    """Two rows: the share of the trip that another mail takes, with the goal; and the same mail alone, to know."""
    progress.stage("mails beside a time-stamping service of 200 ms")
    with (tempfile.TemporaryDirectory(prefix="sealgate-bench-tsa-") as folder, _service(made) as url,
          _relay(Path(folder), url, made) as port):
        _latencies(port, 10)
        alone = statistics.median(_latencies(port, STATEMENTS[short])) * 1e3
        with _busy(port):
            beside = statistics.median(_latencies(port, STATEMENTS[short])) * 1e3
    what, trip = "a mail beside a slow HTTP stamper", SLOW_S * 1e3
    report.rows.append(Row("4", what, "the time-stamp's trip", beside, trip, "ms", beside / trip, TRIP_SHARE,
                           at_most=True))
    report.rows.append(Row("4", what, "the same mail alone", beside, alone, "ms", beside / alone, None, at_most=True))


@contextmanager
def _service(made: Material) -> Iterator[str]:
    """The embedded service behind a plain HTTP server that takes its time."""
    tsa = EmbeddedTsa("slow", StampKey(made), "tsa", made.stamper.certificate, (), policy_oid="1.3.6.1.4.1.99999.1",
                      accuracy_ms=1000, clock=SystemClock(), clock_check="none")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            """One time-stamp."""
            octets = tsa.respond(self.rfile.read(int(self.headers["Content-Length"])))
            time.sleep(SLOW_S)
            self.send_response(200)
            self.send_header("Content-Length", str(len(octets)))
            self.end_headers()
            self.wfile.write(octets)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def _relay(home: Path, url: str, made: Material) -> Iterator[int]:
    sink, port, inbound = free_port(), free_port(), free_port()
    bank = open_bank(home / "bank", Ports(outbound=port, sink=sink, inbound=inbound))
    (bank.home / "pki" / "bench.pem").write_bytes(pem(made.stamper.certificate.der))
    text = bank.config.read_text("utf-8")
    text = text.replace("stampers:\n", f'stampers:\n  - {{name: slow, kind: http, url: "{url}", '
                                       f"networks: [127.0.0.0/8], in_flight_max: {IN_FLIGHT}}}\n", 1)
    text = text.replace("  stampers: [pki/root.pem]", "  stampers: [pki/root.pem, pki/bench.pem]")
    lines = [line for line in text.splitlines() if not line.startswith(("http:", "fetch:"))]
    bank.config.write_text("\n".join([*lines, "fetch: {enabled: false}", ""]), "utf-8")
    policy = bank.home / "policies" / "codes.yaml"
    policy.write_text(policy.read_text("utf-8").replace("by: internal", "by: slow"), "utf-8")
    taking = subprocess.Popen([sys.executable, "-m", "bench.wire", "sink", str(sink)], stdout=subprocess.DEVNULL)
    try:
        relay = start("ours", [sys.executable, "-m", "gateway", "--config", str(bank.config), "run"], port,
                      home / "relay.log")
        try:
            yield port
        finally:
            relay.process.terminate()
            relay.process.wait(60)
    finally:
        taking.kill()
        taking.wait()


@contextmanager
def _busy(port: int) -> Iterator[None]:
    """As many codes at once as the slow service has places; each is stamped, or the figure would mean nothing."""
    ended, codes = threading.Event(), []

    def send() -> None:
        while not ended.is_set():
            codes.append(_mail(port, *CODES))

    threads = [threading.Thread(target=send) for _ in range(IN_FLIGHT)]
    for thread in threads:
        thread.start()
    time.sleep(2 * SLOW_S)
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert set(codes) == {250}, codes


def _latencies(port: int, count: int) -> list[float]:
    """Seconds of each statement."""
    took = []
    for _ in range(count):
        began = time.perf_counter()
        assert _mail(port, *STATEMENT) == 250
        took.append(time.perf_counter() - began)
    return took


def _mail(port: int, peer: str, sender: str) -> int:
    """One mail: the code of its reply."""
    with SMTP("127.0.0.1", port, local_hostname="bench", timeout=60, source_address=(peer, 0)) as smtp:
        smtp.ehlo()
        smtp.mail(sender)
        smtp.rcpt("anna@customer.example")
        head = f"From: {sender}\r\nTo: anna@customer.example\r\nSubject: x\r\n"
        return smtp.data(f"{head}Message-ID: <{time.monotonic_ns()}@bank.example>\r\n\r\nHello.\r\n".encode())[0]
