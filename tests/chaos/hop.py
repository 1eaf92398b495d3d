"""`python -m tests.chaos.hop PORT FILE`: a mail server that can be killed at any octet, and remembers what it took.

One line of JSON for each mail, written before its 250: Message-ID, recipients, and whether a planted secret stood in
it where anybody could read it. It takes its time here and there, so that a kill meets it in the middle.
"""

import base64
import json
import os
import random
import re
import socket
import sys
import threading
import time
from pathlib import Path

SECRET = b"SECRET-"
# In base64 it stands in one of three ways; of each, the letters that depend on nothing beside it.
_CODED = [base64.b64encode(b"x" * shift + SECRET)[-(-shift * 8 // 6):(shift + len(SECRET)) * 8 // 6]
          for shift in range(3)]
_CLEAR = re.compile(b"|".join(map(re.escape, [SECRET, *_CODED])))
_MESSAGE_ID = re.compile(rb"^message-id:[ \t\r\n]*<([^>]*)>", re.IGNORECASE | re.MULTILINE)


class Server:
    """Threads, one for each connection."""

    def __init__(self, port: int, file: Path) -> None:
        self._server = socket.create_server(("127.0.0.1", port), reuse_port=False)
        self._file = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def run(self) -> None:
        while True:
            sock, _ = self._server.accept()
            threading.Thread(target=self._talk, args=(sock,), daemon=True).start()

    def _talk(self, sock: socket.socket) -> None:
        try:
            with sock, sock.makefile("rb") as stream:
                sock.sendall(b"220 hop ESMTP\r\n")
                recipients: list[str] = []
                while line := stream.readline():
                    word = line[:4].upper()
                    if word == b"RCPT":
                        recipients.append(line.partition(b"<")[2].partition(b">")[0].decode())
                    if word in (b"MAIL", b"RSET", b"EHLO"):
                        recipients = []
                    if word == b"DATA" and recipients:
                        sock.sendall(b"354 go on\r\n")
                        if not self._mail(stream, recipients):
                            return
                    sock.sendall({b"EHLO": b"250-hop\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n",
                                  b"QUIT": b"221 2.0.0 bye\r\n"}.get(word, b"250 2.0.0 ok\r\n"))
                    if word == b"DATA":
                        recipients = []
        except OSError:
            pass

    def _mail(self, stream: object, recipients: list[str]) -> bool:
        octets = bytearray()
        while (line := stream.readline()) != b".\r\n":  # type: ignore[attr-defined]
            if not line:
                return False
            octets += line
        time.sleep(random.random() * 0.01)
        found = _MESSAGE_ID.search(octets)
        told = {"id": found[1].decode() if found else "", "to": recipients, "clear": bool(_CLEAR.search(octets))}
        os.write(self._file, json.dumps(told).encode() + b"\n")
        time.sleep(random.random() * 0.02)  # between what is done and what is told: where a kill makes a copy
        return True


if __name__ == "__main__":
    Server(int(sys.argv[1]), Path(sys.argv[2])).run()
