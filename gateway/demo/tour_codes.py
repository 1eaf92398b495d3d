"""The tour's stations on codes: online banking asks over HTTP, the customer reads sealed mail."""

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

from gateway.demo.bank import NOBODYS_NUMBER, NUMBERS
from gateway.demo.guide import Guide, text_of
from gateway.demo.world import ask

_CLIENT: Final = "online-banking"
_UP_S: Final = 30.0
_PAYMENT: Final = {
    "amount": "1234.50",
    "currency": "EUR",
    "payee": "Stadtwerke Musterstadt",
    "account": "DE89 3704 0044 0532 0130 00",
}


@dataclass(frozen=True, slots=True)
class CodesTour:
    """Its stations."""

    guide: Guide

    def payment(self) -> None:
        """As online banking does when a customer wants to pay; read as Anna's mail program would."""
        guide = self.guide
        anna = guide.bank.people["anna"]
        self._up()
        before = guide.files("outgoing")
        status, issued = self._ask(
            "/codes", {"customer": NUMBERS["anna"], "purpose": "payment", "transaction": _PAYMENT}
        )
        guide.claim(f"POST /v1/codes: {status}, good until {issued.get('expires_at')}", holds=status == 201)
        inside = guide.checked(guide.new("outgoing", before), anna)
        text = text_of(inside)
        code = _code(text)
        guide.claim("the mail shows the payee and the amount", holds=_PAYMENT["payee"] in text and "1,234.50" in text)
        guide.claim("the answer over HTTP does not hold the code", holds=bool(code) and code not in json.dumps(issued))
        path = f"/codes/{issued['id']}/verify"
        other = {"code": code, "transaction": _PAYMENT | {"amount": "9234.50"}}
        guide.claim(
            "with another amount it is not valid: code.changed", holds=self._verdict(path, other) == "code.changed"
        )
        other = {"code": code, "transaction": _PAYMENT | {"account": "DE02 1203 0000 0000 2020 51"}}
        guide.claim("with another account neither", holds=self._verdict(path, other) == "code.changed")
        asked = {"code": code, "transaction": _PAYMENT}
        guide.claim("for this payment it is valid", holds=self._verdict(path, asked) == "valid")
        guide.claim("once: code.used", holds=self._verdict(path, asked) == "code.used")

    def without_certificate(self) -> None:
        """The caller gets the error at once, and may choose another channel."""
        before = self.guide.count("outgoing")
        status, answer = self._ask("/codes", {"customer": NOBODYS_NUMBER, "purpose": "login"})
        self.guide.claim(
            f"a customer without a certificate: {status} {answer.get('reason')}",
            holds=status >= 400 and answer.get("reason") == "certificate.absent",
        )
        self.guide.claim("nothing left the gateway", holds=self.guide.count("outgoing") == before)

    def _verdict(self, path: str, body: Mapping[str, Any]) -> str:
        _, answer = self._ask(path, body)
        return "valid" if answer.get("valid") is True else str(answer.get("reason"))

    def _ask(self, path: str, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        return ask(
            f"http://127.0.0.1:{self.guide.bank.ports.api}/v1{path}",
            body,
            {"Authorization": f"Bearer {self.guide.bank.token(_CLIENT)}", "Idempotency-Key": str(uuid4())},
        )

    def _up(self) -> None:
        """Waits for the process beside the relay: it starts after it."""
        deadline = time.monotonic() + _UP_S
        while True:
            try:
                self._ask("/codes", {})
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
            else:
                return


def _code(text: str) -> str:
    """The code in the mail, without the blanks that make it readable; '' if there is none."""
    found = re.search(r"(?m)^\s*(\d(?: ?\d){5,9})\s*$", text)
    return found[1].replace(" ", "") if found else ""
