"""The bank's online banking, as thin as it can be: orders codes over one kept connection and tells how long each took.

`python -m bench.ordering PORT TOKEN_FILE CUSTOMER`: reads lines `COUNT PER_SECOND` from standard input, orders so many
codes at that pace and answers with a JSON array of milliseconds, from the first octet of the request to the last one of
the answer, which comes after the next hop's 250. The next hop takes everything at once, so all of it is our own time
and this program's.
"""

import http.client
import json
import sys
import time
from pathlib import Path

PAID = {"amount": "1234.50", "currency": "EUR", "payee": "Stadtwerke Musterstadt", "account": "DE89370400440532013000"}


class Ordering:
    """One client with one connection."""

    def __init__(self, port: int, token: str, customer: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._customer = customer
        self._number = 0

    def order(self) -> float:
        """Milliseconds of one code. RuntimeError if there is none."""
        self._number += 1
        body = json.dumps({"customer": self._customer, "purpose": f"bench-{self._number % 50}", "transaction": PAID})
        headers = {**self._headers, "Idempotency-Key": f"{time.time_ns()}-{self._number}"}
        started = time.perf_counter()
        self._connection.request("POST", "/v1/codes", body, headers)
        answer = self._connection.getresponse()
        octets = answer.read()
        took = (time.perf_counter() - started) * 1000
        if answer.status != 201:
            raise RuntimeError(f"no code: {answer.status} {octets[:300]!r}")
        return took

    def many(self, count: int, per_second: float) -> list[float]:
        """At that pace; one that took longer than its turn is followed at once."""
        times, due = [], time.perf_counter()
        for _ in range(count):
            time.sleep(max(0.0, due - time.perf_counter()))
            due += 1 / per_second
            times.append(self.order())
        return times


def main() -> None:
    """See the module."""
    port, token, customer = sys.argv[1:]
    ordering = Ordering(int(port), Path(token).read_text("ascii").strip(), customer)
    for line in sys.stdin:
        count, per_second = line.split()
        print(json.dumps(ordering.many(int(count), float(per_second))), flush=True)


if __name__ == "__main__":
    main()
