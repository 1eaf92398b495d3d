"""Whatever is done to codes in whatever order, the store says what a few lines of Python say of it.

The model is a list of dictionaries and no database. What it promises: of each client, customer and purpose at most one
code lives; a code is used at most once, after at most so many tries, within its life, by its own client; a blocked
customer has none; no more mails leave than the limit has.
"""

import atexit
import tempfile
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule
from sqlalchemy import delete

from gateway.adapters.db.codes import DbCodes
from gateway.adapters.db.engine.database import Database
from gateway.adapters.db.tables.codes import blocked_customer, code
from gateway.errors import Reason
from gateway.ports.services.codes import Block, CodeRow, CodeState, SendLimits, Tried
from tests.support.databases import open_database
from tests.support.pki import NOW

TRIES, SENDS, HOURLY = 3, 3, 6
LIFE = timedelta(minutes=5)
CLIENTS, CUSTOMERS, PURPOSES = ("portal", "cards"), ("1", "2"), ("login", "payment")


@dataclass
class Known:
    """One code as the model has it."""

    row: CodeRow
    state: CodeState = CodeState.LIVE
    tries: int = 0

    def lives(self, now: datetime) -> bool:
        return self.state is CodeState.LIVE and now < self.row.expires_at


@cache
def _database() -> tuple[Database, "tempfile.TemporaryDirectory[str]"]:
    """One for all runs: making the tables is what would take time."""
    directory = tempfile.TemporaryDirectory()
    database = open_database(Path(directory.name) / "codes.db")
    atexit.register(database.close)
    return database, directory


def empty() -> Database:
    """Without a code."""
    database, _ = _database()
    for table in (code, blocked_customer):
        database.write(lambda connection, table=table: connection.execute(delete(table)) and None)
    return database


class Codes(RuleBasedStateMachine):
    """See the module."""

    codes = Bundle("codes")

    @initialize()
    def begin(self) -> None:
        database = empty()
        self.store = DbCodes(database)
        self.issued = 0
        self.now = NOW
        self.known: list[Known] = []
        self.mails: list[tuple[str, datetime]] = []
        self.blocked: set[str] = set()

    def _often(self, customer: str) -> bool:
        since = self.now - timedelta(hours=1)
        return sum(whose == customer and at > since for whose, at in self.mails) >= HOURLY

    @rule(target=codes, client=st.sampled_from(CLIENTS), customer=st.sampled_from(CUSTOMERS),
          purpose=st.sampled_from(PURPOSES))
    def issue(self, client: str, customer: str, purpose: str) -> Known:
        self.issued += 1
        row = CodeRow(f"{self.issued:024x}", client, customer, purpose, CodeState.LIVE, 8, b"n", b"d", "en", "",
                      self.now, self.now + LIFE)
        known = Known(row, CodeState.CANCELLED)
        wanted = (Reason.CUSTOMER_BLOCKED if customer in self.blocked
                  else Reason.CODE_OFTEN if self._often(customer) else None)
        assert self.store.issue(row, SendLimits(HOURLY, 0)) is wanted
        if wanted is None:
            for one in self.known:
                same = (one.row.client, one.row.customer, one.row.purpose) == (client, customer, purpose)
                if same and one.state is CodeState.LIVE:
                    one.state = CodeState.REPLACED
            known.state = CodeState.LIVE
            self.known.append(known)
            self.mails.append((customer, self.now))
        return known

    @rule(known=codes, right=st.booleans(), stranger=st.booleans())
    def attempt(self, known: Known, right: bool, stranger: bool) -> None:
        client = "elsewhere" if stranger else known.row.client
        tried = self.store.attempt(client, known.row.code_id, self.now, TRIES,
                                   lambda _: None if right else Reason.CODE_WRONG)
        if stranger or known not in self.known:
            assert tried is None
            return
        assert isinstance(tried, Tried)
        assert (tried.fault is None) == (right and known.lives(self.now))
        if known.lives(self.now):
            known.tries += 1
            known.state = (CodeState.USED if right else CodeState.DEAD if known.tries >= TRIES else CodeState.LIVE)

    @rule(known=codes)
    def send_again(self, known: Known) -> None:
        found = self.store.send_again(known.row.code_id, self.now, SENDS, SendLimits(HOURLY, 0))
        if known not in self.known or not known.lives(self.now):
            assert found is Reason.CODE_UNKNOWN
        elif isinstance(found, CodeRow):
            self.mails.append((known.row.customer, self.now))
            assert found.sends <= SENDS
        else:
            assert found is Reason.CODE_OFTEN
            before = self.store.get(known.row.code_id)
            assert self._often(known.row.customer) or (before is not None and before.sends == SENDS)

    @rule(known=consumes(codes))
    def cancel(self, known: Known) -> None:
        lived = known in self.known and known.state is CodeState.LIVE
        assert self.store.end(known.row.code_id, CodeState.CANCELLED) is lived
        if lived:
            known.state = CodeState.CANCELLED

    @rule(customer=st.sampled_from(CUSTOMERS))
    def block(self, customer: str) -> None:
        done = self.store.block(Block(customer, self.now, "bank"))
        assert done is not None
        assert done.fresh is (customer not in self.blocked)
        self.blocked.add(customer)
        dead = [one for one in self.known if one.row.customer == customer and one.state is CodeState.LIVE]
        assert {one.code_id for one in done.dead} == {one.row.code_id for one in dead if one.lives(self.now)}
        for one in dead:
            one.state = CodeState.BLOCKED

    @rule(customer=st.sampled_from(CUSTOMERS))
    def unblock(self, customer: str) -> None:
        assert self.store.unblock(customer) is (customer in self.blocked)
        self.blocked.discard(customer)

    @rule(seconds=st.sampled_from([1, 60, 299, 300, 3599, 3600]))
    def later(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @invariant()
    def the_store_says_the_same(self) -> None:
        if not hasattr(self, "known"):
            return
        rows = {row.code_id: row for customer in CUSTOMERS for row in self.store.of_customer(customer, 10_000)}
        assert {key: (row.state, row.tries) for key, row in rows.items()} == {
            one.row.code_id: (one.state, one.tries) for one in self.known}
        living = [row for row in rows.values() if row.state is CodeState.LIVE]
        assert len({(row.client, row.customer, row.purpose) for row in living}) == len(living)
        assert not [row for row in living if row.customer in self.blocked]
        assert all(row.tries <= TRIES for row in rows.values())


Codes.TestCase.settings = settings(max_examples=30, stateful_step_count=30, deadline=None,
                                   suppress_health_check=[HealthCheck.too_slow])
TestCodes = Codes.TestCase
