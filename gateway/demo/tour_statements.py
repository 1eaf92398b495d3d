"""The tour's stations on statements: a run with a row that cannot go, and what waits for a certificate."""

import csv
import json
import secrets
import subprocess
import time
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from shutil import which
from typing import Any, Final

from gateway.demo.bank import NUMBERS
from gateway.demo.guide import Guide
from gateway.demo.newcomer import Newcomer

_WAIT_S: Final = 60.0
_COLUMNS: Final = (
    "customer",
    "language",
    "account",
    "name",
    "address",
    "number",
    "from",
    "to",
    "opening",
    "closing",
    "bookings",
)
_REST: Final = (
    "Riverside 12; 60311 Frankfurt am Main",
    "11/2026",
    "2026-11-01",
    "2026-11-30",
    "2204.50",
    "1140.15",
)
_BOOKINGS: Final = json.dumps(
    [
        {"date": "2026-11-05", "party": "Hausverwaltung Schön & Söhne", "text": "Rent", "amount": "-980.00"},
        {"date": "2026-11-17", "text": "Groceries", "amount": "-84.35"},
    ]
)
_RUN: Final = """\
version: 1
name: Statements of November
period: "2026-11"
source: {{csv: november.csv}}
columns: {{language: language}}
documents: {{template: statement}}
refused_percent_max: {percent}
values: {{bank: Demo Bank, bank_address: Main Street 1; 60311 Frankfurt am Main, currency: EUR}}
"""


@dataclass(slots=True)
class StatementsTour:
    """Its stations. `late`: the customer who has no certificate at first."""

    guide: Guide
    late: Newcomer | None = None
    account: str = ""

    def run(self) -> None:
        """Two customers with certificates, one without, one unknown number."""
        guide = self.guide
        file = self._written(percent=2)
        result = self._json("statements", "check", file, "--json")
        guide.claim(f"the pre-flight lists the channels: {_channels(result)}", holds=bool(result))
        before = guide.files("outgoing")
        started = guide.done("statements", "send", file)
        guide.claim(
            "with one row in four that cannot go the run does not start",
            holds=not started and guide.files("outgoing") == before,
        )
        self._written(percent=30)
        done = self._json("statements", "send", file, "--json")
        guide.claim(f"the run: {_states(done)}", holds=_count(done, "sent") == 2 and _count(done, "held") == 1)
        guide.claim("the run names the row that cannot go, and continues", holds=_count(done, "refused") == 1)
        for path in sorted(guide.files("outgoing") - before):
            self._read(path)
        again = guide.files("outgoing")
        repeated = self._json("statements", "send", self._written(percent=30, name="Once more"), "--json")
        guide.claim(
            f"a second run of the same sends nothing: {_states(repeated)}",
            holds=_count(repeated, "sent") == 0 and guide.files("outgoing") == again,
        )
        page = guide.bank.scratch / "report.html"
        guide.done("statements", "report", str(done["id"]), "--html", page)
        guide.claim(f"the report, with charts: {page}", holds="<svg" in page.read_text("utf-8"))

    def appears(self) -> None:
        """The held statement leaves once there is a certificate, without an operator."""
        guide, late = self.guide, self.late
        if late is None:
            raise OSError("no statement waits")
        guide.claim(
            f"the statement of {late.person.address} waits in the hold store",
            holds=late.person.address in guide.configured("hold", "list", "--json"),
        )
        before = guide.files("outgoing")
        late.enrol(guide)
        guide.console.print("   (the customer's certificate is imported, and nothing else done)", style="dim")
        path = self._first(before)
        guide.claim("its statement leaves without an operator", holds=late.person.address in path.name)
        self._document(guide.checked(path.read_bytes(), late.person))

    def _read(self, path: Path) -> None:
        name = next(name for name, person in self.guide.bank.people.items() if person.address in path.name)
        self.guide.console.print(f"   → {path}", style="dim", highlight=False)
        self._document(self.guide.checked(path.read_bytes(), self.guide.bank.people[name]))

    def _document(self, inside: EmailMessage) -> None:
        """The PDF as poppler and pikepdf's own tool see it."""
        (octets,) = [part.get_content() for part in inside.walk() if part.get_content_type() == "application/pdf"]
        path = self.guide.bank.scratch / "statement.pdf"
        path.write_bytes(octets)
        if not which("pdftotext"):
            self.guide.console.print("   (pdftotext is not here: apt-get install poppler-utils)", style="dim")
            return
        text = _output("pdftotext", "-layout", path, "-")
        balance = "1,140.15" in text or "1.140,15" in text
        self.guide.claim(
            "pdftotext reads the account and the balance", holds=self.account in "".join(text.split()) and balance
        )
        output = _output("pdfinfo", path)
        self.guide.claim("pdfinfo: tagged, so that it can be read aloud", holds="Tagged:          yes" in output)

    def _written(self, *, percent: int, name: str = "") -> Path:
        """RUN.yaml and its data; the same customers and account each time."""
        if self.late is None:
            self.late = Newcomer.register(self.guide, "clara")
            self.account = "DE02" + "".join(str(secrets.randbelow(10)) for _ in range(18))
        directory = self.guide.bank.home / "statements"
        rows = [
            (NUMBERS["anna"], "en", "Anna Allen"),
            (NUMBERS["ben"], "de", "Ben Müller"),
            (self.late.number, "en", "Clara Stone"),
            ("19999", "en", "Nobody"),
        ]
        with (directory / "november.csv").open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file)
            table.writerow(_COLUMNS)
            table.writerows((number, language, self.account, who, *_REST, _BOOKINGS) for number, language, who in rows)
        text = _RUN.format(percent=percent)
        path = directory / "november.yaml"
        path.write_text(text.replace("Statements of November", name) if name else text, "utf-8")
        return path

    def _json(self, *arguments: str | Path) -> dict[str, Any]:
        result: dict[str, Any] = json.loads(self.guide.configured(*arguments))
        return result

    def _sent(self, directory: str, before: frozenset[Path]) -> frozenset[Path]:
        return self.guide.files(directory) - before

    def _first(self, before: frozenset[Path]) -> Path:
        deadline = time.monotonic() + _WAIT_S
        while not (new := self._sent("outgoing", before)):
            if time.monotonic() > deadline:
                raise OSError(f"nothing left within {_WAIT_S:.0f} s")
            time.sleep(0.1)
        return min(new)


def _output(program: str, *arguments: str | Path) -> str:
    return subprocess.run([program, *map(str, arguments)], capture_output=True, timeout=60, check=True).stdout.decode()


def _channels(result: dict[str, Any]) -> str:
    return ", ".join(f"{count} {channel}" for channel, count in result["channels"].items() if count)


def _count(result: dict[str, Any], state: str) -> int:
    return int(result.get("items", {}).get(state, 0))


def _states(result: dict[str, Any]) -> str:
    return ", ".join(f"{count} {state}" for state, count in result.get("items", {}).items() if count)
