"""The mail server behind the demo's gateway: writes what it gets into two directories and shows it."""

import re
import threading
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session


class Sink:
    """Two directories: `outgoing`, mail to the internet; `incoming`, mail to the bank. Files: NUMBER-RECIPIENT.eml."""

    def __init__(self, home: Path, port: int, domains: frozenset[str]) -> None:
        self._home = home
        self._domains = domains
        self._count = sum(1 for directory in ("outgoing", "incoming") for _ in (home / directory).glob("*.eml"))
        self._lock = threading.Lock()
        self._controller = Controller(
            self, hostname="127.0.0.1", port=port, enable_SMTPUTF8=True, data_size_limit=100_000_000, ident="sink"
        )

    def start(self) -> None:
        """Listens; returns when connections are taken."""
        self._controller.start()

    def stop(self) -> None:
        """Ends it."""
        self._controller.stop()

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """Writes one file per mail."""
        del server, session
        recipients = [str(address) for address in envelope.rcpt_tos]
        ours = any(address.rpartition("@")[2].lower() in self._domains for address in recipients)
        with self._lock:
            self._count += 1
            number = self._count
        recipient = re.sub(r"[^A-Za-z0-9@._+-]", "_", recipients[0])[:80]
        path = self._home / ("incoming" if ours else "outgoing") / f"{number:03d}-{recipient}.eml"
        content: Any = envelope.content
        path.write_bytes(content if isinstance(content, bytes) else str(content).encode())
        return f"250 2.0.0 queued as {number:03d}"
