"""The world around the demo's bank, over HTTP on loopback: a partner's directory, and the authorities' lists.

`Site` serves a few paths from memory, `Directory` a certificate per address. Each stands on a port of its own, so that
the directory can die while everything else goes on.
"""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

Answer = tuple[str, bytes]  # media type, octets
Find = Callable[[str, dict[str, list[str]]], Answer | None]


class Site:
    """Answers GET by `find(path, query)`; None is 404."""

    def __init__(self, port: int, find: Find) -> None:
        self.port = port
        self._find = find
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        """Listens on 127.0.0.1; OSError if somebody else does."""
        server = ThreadingHTTPServer(("127.0.0.1", self.port), _handler(self._find))
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        self._server = server

    def stop(self) -> None:
        """Dies: connections are refused from now on."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


class Lists:
    """What authorities publish: path to DER octets. `put` replaces one."""

    def __init__(self, port: int) -> None:
        self._octets: dict[str, Answer] = {}
        self.site = Site(port, lambda path, _: self._octets.get(path))

    def put(self, path: str, media_type: str, octets: bytes) -> None:
        """Published from now on."""
        self._octets[path] = media_type, octets


class Directory:
    """A partner's directory: GET /?mail=ADDRESS gives the certificate (DER), or 404."""

    def __init__(self, port: int, certificates: dict[str, bytes]) -> None:
        self._certificates = certificates
        self.site = Site(port, self._look_up)

    def _look_up(self, path: str, query: dict[str, list[str]]) -> Answer | None:
        del path
        der = self._certificates.get(query.get("mail", [""])[0].lower())
        return None if der is None else ("application/pkix-cert", der)


def _handler(find: Find) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # noqa: N802 - http.server's name
            parts = urlsplit(self.path)
            answer = find(parts.path, parse_qs(parts.query))
            media_type, octets = answer or ("text/plain", b"not here\n")
            self.send_response(200 if answer else 404)
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(octets)))
            self.end_headers()
            self.wfile.write(octets)

        def log_message(self, *words: object) -> None:
            """Says nothing: the gateway's log tells what it asked."""

    return Handler
