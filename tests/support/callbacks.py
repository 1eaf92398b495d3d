"""A client's own small web server, which hears what became of its codes."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Heard:
    """Of one server. `answers`: the statuses to come, then 204; `delay_s`: before each."""

    port: int
    bodies: list[bytes] = field(default_factory=list)
    fields: list[dict[str, str]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    delay_s: float = 0.0

    @property
    def url(self) -> str:
        """Where it is called."""
        return f"http://127.0.0.1:{self.port}/sealgate"


@contextmanager
def listening() -> Iterator[Heard]:
    """It, until the `with` ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            time.sleep(heard.delay_s)
            heard.bodies.append(body)
            heard.fields.append({name.lower(): value for name, value in self.headers.items()})
            self.send_response(heard.answers.pop(0) if heard.answers else 204)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    heard = Heard(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield heard
    finally:
        server.shutdown()
        server.server_close()
