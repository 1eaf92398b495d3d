"""Another milter of the same Postfix, by pymilter: it does one thing to every mail, and declares only that.

Run as a program: SOCKET ACTION [ADDRESS], with a socket as smtpd_milters has it, and
ACTION quarantine, addrcpt, delrcpt or none.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.postfix.reading import milter_actions
from tests.support.process import ROOT
from tests.support.smtp import until


@contextmanager
def other_milter(at: int | str, action: str, address: str = "") -> Iterator[None]:
    """Until it answers. `at`: a port, or a socket as smtpd_milters has it."""
    socket = f"inet:127.0.0.1:{at}" if isinstance(at, int) else at
    process = subprocess.Popen([sys.executable, "-m", "tests.support.other_milter", socket, action, address], cwd=ROOT)
    try:
        until(lambda: milter_actions(socket, "/") is not None, 30)
        yield
    finally:
        process.terminate()
        process.wait(30)


def _run(socket: str, action: str, address: str) -> None:
    import Milter

    declared = {"quarantine": Milter.QUARANTINE, "addrcpt": Milter.ADDRCPT, "delrcpt": Milter.DELRCPT,
                "none": Milter.ADDHDRS}[action]

    class Other(Milter.Base):  # type: ignore[misc] # pymilter has no types
        def negotiate(self, opts: list[int]) -> int:
            reply = int(super().negotiate(opts))  # pymilter itself declares whatever Postfix offers
            opts[0] = declared
            return reply

        def eom(self) -> int:
            if action == "quarantine":
                self.quarantine("looks odd")
            elif action == "addrcpt":
                self.addrcpt(f"<{address}>")
            elif action == "delrcpt":
                self.delrcpt(f"<{address}>")
            return int(Milter.CONTINUE)

    Milter.factory = Other
    Milter.set_flags(declared)
    if socket.startswith("inet:"):
        socket = f"inet:{socket.rpartition(':')[2]}@127.0.0.1"
    Milter.runmilter(Path(__file__).stem, socket, 60)


if __name__ == "__main__":
    _run(*sys.argv[1:4])
