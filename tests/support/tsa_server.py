"""Time-stamping services over HTTP on loopback, whose answers a test writes: any function of the request.

`openssl_tsa` is another program's: every request goes through `openssl ts -reply`.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.support.peer_openssl import OpenSsl
from tests.support.pki import Person

Answering = Callable[[bytes], bytes]


@dataclass
class Served:
    """What a server was asked. `release` ends every `hang`."""

    url: str = ""
    asked: list[bytes] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)
    accepts: list[str | None] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)
    status: int = 200

    def hang(self, request: bytes) -> bytes:
        """An answer that does not come until the test lets it."""
        self.release.wait(60)
        return b""


@contextmanager
def tsa_server(answer: Answering, served: Served | None = None) -> Iterator[Served]:
    """A server that answers each POST with what `answer` makes of its body."""
    served = served or Served()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            served.asked.append(body)
            served.authorizations.append(self.headers["Authorization"])
            served.accepts.append(self.headers["Accept"])
            octets = answer(body)
            try:
                self.send_response(served.status)
                self.send_header("Content-Type", "application/timestamp-reply")
                self.send_header("Content-Length", str(len(octets)))
                self.end_headers()
                self.wfile.write(octets)
            except OSError:
                pass  # whoever asked has gone

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = False  # joined at the end, so that nothing of a test outlives it
        request_queue_size = 64

    server = Server(("127.0.0.1", 0), Handler)
    served.url = f"http://127.0.0.1:{server.server_address[1]}/tsr"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield served
    finally:
        served.release.set()
        server.shutdown()
        thread.join()
        server.server_close()


def openssl_tsa(person: Person) -> Answering:
    """`openssl ts -reply` with this person's key."""
    return lambda request: OpenSsl().answer_request(request, person)
