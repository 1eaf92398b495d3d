"""The demo's outside services over HTTP on loopback: a partner's directory, and the authorities' lists.

`Site` serves a few paths from memory, `Directory` a certificate per address. Each is on a port of its own, so that
the directory can die while everything else goes on.
"""

import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlsplit
from urllib.request import Request, urlopen

Answer = tuple[str, bytes]  # media type, octets
Find = Callable[[str, dict[str, list[str]]], Answer | None]


class Site:
    """Answers GET by `find(path, query)`; None is 404."""

    def __init__(self, port: int, find: Find) -> None:
        self.port = port
        self._find = find
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        """Listens on 127.0.0.1; OSError if the port is in use."""
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


def post(url: str, body: bytes | None, media_type: str) -> bytes:
    """What a service of the demo answers to POST, or to GET where `body` is None. OSError if it does not."""
    headers = {"Content-Type": media_type} if media_type else {}
    with urlopen(Request(url, body, headers), timeout=20) as answer:  # noqa: S310 - http:// and loopback, ours
        octets: bytes = answer.read()
    return octets


def ask(url: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
    """Status and JSON of any answer to POST. OSError without an answer."""
    request = Request(url, json.dumps(body).encode(), {"Content-Type": "application/json", **headers})  # noqa: S310
    try:
        with urlopen(request, timeout=20) as answer:  # noqa: S310 - http:// and loopback, ours
            status, octets = answer.status, answer.read()
    except HTTPError as refused:
        status, octets = refused.code, refused.read()
        refused.close()
    content: dict[str, Any] = json.loads(octets or b"{}")
    return status, content


def _handler(find: Find) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            answer = find(parts.path, parse_qs(parts.query))
            media_type, octets = answer or ("text/plain", b"not here\n")
            self.send_response(200 if answer else 404)
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(octets)))
            self.end_headers()
            self.wfile.write(octets)

        def log_message(self, *words: object) -> None:
            """Logs nothing: the gateway's log has its requests."""

    return Handler


class World:
    """Both sites of the demo."""

    def __init__(self, lists: Lists, directory: Directory) -> None:
        self.lists = lists
        self.directory = directory

    def start(self) -> None:
        """Both listen. OSError names none of them: the caller does."""
        self.lists.site.start()
        self.directory.site.start()

    def stop(self) -> None:
        """Both die."""
        self.lists.site.stop()
        self.directory.site.stop()
