"""What only PostgreSQL needs, against real servers that are stopped, restarted, cut off and killed.

Starts: the session's server, and one of its own per module that is ended and begun again.
"""

import subprocess
import sys
import threading
import time
from dataclasses import replace

import psycopg
import pytest
from sqlalchemy import insert, select, update

from gateway.adapters.db.certificates.store import DbCertificates
from gateway.adapters.db.engine import claim_owner as owner
from gateway.adapters.db.engine import heartbeat as pulse
from gateway.adapters.db.engine.connections import TRIED_AGAIN_S
from gateway.adapters.db.engine.lookup_cache import KEPT_S, Kept
from gateway.adapters.db.engine.schema import connected
from gateway.adapters.db.journal import DbJournal
from gateway.adapters.db.tables.mail import counter, customer, journal_claim
from gateway.clock import SystemClock
from gateway.errors import GatewayError, Reason
from gateway.ports.administration import NewCertificate
from gateway.ports.journal import JournalState
from tests.support import postgres
from tests.support.databases import open_database, written
from tests.support.pki import get_pki
from tests.support.tls import make_tls

ANNA = get_pki().recipient("p-256", email="anna@customer.example")
KEY = "k" * 64


@pytest.fixture(scope="module")
def server():
    postgres.need_postgres()
    return postgres.server()


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    home = postgres.scratch("postgres-own")
    with postgres.own(home) as made:
        yield made


@pytest.fixture
def opened():
    """Opens databases that are closed at the end."""
    kept = []

    def open_one(where, how=open_database):
        kept.append(how(where))
        return kept[-1]

    yield open_one
    for one in kept:
        one.close()


def waits_for(fact, seconds=30.0):
    end = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < end
        time.sleep(0.02)


def unavailable(call) -> str:
    with pytest.raises(GatewayError) as caught:
        call()
    assert (caught.value.reason, caught.value.retry) == (Reason.STORE_UNAVAILABLE, True)
    return caught.value.detail


def add(number: str):
    return lambda connection: connection.execute(insert(customer).values(number=number, name="")) and None


# --- the way in


def test_a_password_file_that_others_may_read_is_refused(server, tmp_path) -> None:
    path = tmp_path / "password"
    path.write_text(postgres.PASSWORD)
    path.chmod(0o640)
    with pytest.raises(GatewayError, match="open to others") as caught:
        open_database(server.settings("postgres", password_file=path))
    assert caught.value.reason is Reason.KEY_UNAVAILABLE


@pytest.mark.parametrize("octets", [b"pass\xffword", b"pass\0word"])
def test_a_password_that_is_no_text_is_told_and_not_shown(server, tmp_path, octets) -> None:
    path = tmp_path / "password"
    path.write_bytes(octets)
    path.chmod(0o600)
    with pytest.raises(GatewayError, match="is not UTF-8 text") as caught:
        open_database(server.settings("postgres", password_file=path))
    assert caught.value.reason is Reason.KEY_UNAVAILABLE
    assert "pass" not in caught.value.detail.replace(str(path), "")


class Answers:
    """Stands for a connection whose server knows nobody."""

    def execute(self, *_):
        return self

    def fetchone(self):
        return None

    def fetchall(self):
        return []

    def close(self):
        pass


def test_signs_of_life_go_on_after_a_password_file_that_was_away(monkeypatch) -> None:
    """It is written anew just when the server is, too: who gives up then is dead to all other nodes, for ever."""
    monkeypatch.setattr(pulse, "BEAT_S", 0.01)
    troubles = [GatewayError(Reason.KEY_UNAVAILABLE, "not there", retry=True), OSError("too many open files")]
    connected_at = threading.Event()

    def connect():
        if troubles:
            raise troubles.pop()
        connected_at.set()
        return Answers()

    one = pulse.Heartbeat(connect, Kept())
    one.start()
    assert connected_at.wait(10)
    one.close()


def test_a_wrong_password_is_named_and_not_shown(server, tmp_path) -> None:
    path = tmp_path / "password"
    path.write_text("the wrong word")
    path.chmod(0o600)
    detail = unavailable(lambda: open_database(server.settings("postgres", password_file=path)))
    assert "password authentication failed" in detail
    assert "wrong word" not in detail


def test_a_new_password_is_taken_from_the_file_without_a_restart(own, opened, tmp_path) -> None:
    """As operators rotate it: the role first, then the file."""
    path = tmp_path / "password"
    path.write_text(postgres.PASSWORD)
    path.chmod(0o600)
    own.sql("CREATE ROLE rotating LOGIN PASSWORD 'first word'")
    path.write_text("first word\n")
    database = opened(own.settings("postgres", user="rotating", password_file=path), connected)
    with database.read() as connection:
        assert connection.scalar(select(1)) == 1
    own.sql("ALTER ROLE rotating PASSWORD 'second word'")
    own.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'rotating'")
    path.write_text("second word\n")
    waits_for(lambda: not own.sql("SELECT 1 FROM pg_stat_activity WHERE usename = 'rotating'"))
    with database.read() as connection:
        assert connection.scalar(select(1)) == 1


def test_tls_is_checked_as_the_settings_say(own, tmp_path) -> None:
    """verify-full: the name and the root must be right (libpq's sslmode)."""
    good, other = make_tls(own.home, ("localhost",)), make_tls(tmp_path, ("localhost",))
    for path in (good.server, good.server_key):
        postgres.give(path)
    own.sql(f"ALTER SYSTEM SET ssl_cert_file = '{good.server}'")
    own.sql(f"ALTER SYSTEM SET ssl_key_file = '{good.server_key}'")
    own.sql("ALTER SYSTEM SET ssl = on")
    own.sql("SELECT pg_reload_conf()")

    def encrypted(**how) -> object:
        database = connected(own.settings("postgres", tls="verify-full", **how))
        try:
            with database.read() as connection:
                return connection.exec_driver_sql(
                    "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()").scalar()
        finally:
            database.close()

    waits_for(lambda: own.sql("SHOW ssl") == [("on",)])
    assert encrypted(host="localhost", tls_ca=good.ca) == "TLSv1.3"
    assert "certificate verify failed" in unavailable(lambda: encrypted(host="localhost", tls_ca=other.ca))
    assert "127.0.0.1" in unavailable(lambda: encrypted(host="127.0.0.1", tls_ca=good.ca))


def test_nobody_but_us_is_held_up_by_a_transaction_that_stands_still(server, opened) -> None:
    where = server.database().model_copy(update={"statement_timeout_s": 0.3})
    database = opened(where)
    with psycopg.connect(server.dsn(where.name)) as stranger:
        stranger.execute("LOCK TABLE customer")
        assert "statement timeout" in unavailable(lambda: database.write(add("1")))
    database.write(add("1"))


def test_a_table_that_somebody_locks_costs_a_few_timeouts_and_not_one_for_each_write(server, opened) -> None:
    """Nine mails, and one write that has nothing to do with the table."""
    where = server.database().model_copy(update={"statement_timeout_s": 0.5})
    database = opened(where)
    results: list[object] = []

    def run(work) -> None:
        try:
            results.append(database.write(work))
        except GatewayError as trouble:
            results.append(trouble.reason)

    with psycopg.connect(server.dsn(where.name)) as stranger:
        stranger.execute("LOCK TABLE customer")
        begun = time.monotonic()
        threads = [threading.Thread(target=run, args=(work,)) for work in
                   (*(add(str(number)) for number in range(10)), lambda _: "its own")]
        for thread in threads:  # the first one's group is waiting already when the others gather
            thread.start()
        for thread in threads:
            thread.join(30)
        assert time.monotonic() - begun < 3.0
    assert sorted(map(str, results)) == ["its own", *[str(Reason.STORE_UNAVAILABLE)] * 10]


def test_a_process_takes_no_more_connections_than_the_settings_say(server, opened) -> None:
    where = server.database().model_copy(update={"connections_max": 4})
    database = opened(where)
    database.attend()
    together, seen = threading.Barrier(8), []

    def work(number: int) -> None:
        together.wait(30)
        database.write(add(str(number)))
        with database.read() as connection:
            seen.append(connection.exec_driver_sql(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()").scalar())

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(seen) == 8
    assert max(seen) <= 4


# --- a server that goes and comes


def test_after_a_restart_under_load_everything_that_was_told_durable_is_there(own, opened) -> None:
    """Four threads write while the server is restarted by `fast` and by `immediate` (its word for a crash)."""
    database = opened(own.database())
    told, failed, ended = [], [], threading.Event()

    def write(thread: int) -> None:
        for number in range(1_000_000):
            if ended.is_set():
                return
            name = f"{thread}-{number}"
            try:
                database.write(add(name))
                told.append(name)
            except GatewayError as trouble:
                failed.append((name, trouble.reason))
                time.sleep(0.01)

    threads = [threading.Thread(target=write, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    for how in ("fast", "immediate"):
        before = len(told)
        waits_for(lambda before=before: len(told) > before + 20)
        own.stop(how)
        own.start()
        after = len(told)
        waits_for(lambda after=after: len(told) > after + 20)
    ended.set()
    for thread in threads:
        thread.join(30)
    with database.read() as connection:
        there = set(connection.scalars(select(customer.c.number)))
    assert set(told) <= there
    assert {reason for _, reason in failed} == {Reason.STORE_UNAVAILABLE}
    assert there - set(told) <= {name for name, _ in failed}  # a commit whose answer never came may be there


def test_an_idle_connection_whose_server_has_gone_is_not_used(own, opened) -> None:
    database = opened(own.database())
    database.write(add("1"))
    with database.read() as connection:
        connection.scalar(select(1))
    own.stop()
    own.start()
    database.write(add("2"))
    with database.read() as connection:
        assert sorted(connection.scalars(select(customer.c.number))) == ["1", "2"]


def test_while_it_is_away_it_is_not_asked_by_every_mail(own, opened, monkeypatch) -> None:
    database = opened(own.database())
    own.stop()
    try:
        asked = []
        monkeypatch.setattr("gateway.adapters.db.engine.connections._Bounded.connect", staticmethod(
            lambda **given: asked.append(1) or psycopg.connect(**given)))
        begun = time.monotonic()
        for _ in range(200):
            unavailable(lambda: database.write(add("1")))
        assert len(asked) <= 1 + (time.monotonic() - begun) / TRIED_AGAIN_S
    finally:
        own.start()
    waits_for(lambda: _succeeds(lambda: database.write(add("1"))))


def _succeeds(call) -> bool:
    try:
        call()
    except GatewayError:
        return False
    return True


def test_of_many_that_find_it_silent_one_waits_and_the_others_are_told_at_once(own, opened, monkeypatch) -> None:
    """Who connects would wait `connect_timeout_s`: counted are those who did."""
    with postgres.cut_off(own.port) as wire:
        database = opened(own.database().model_copy(update={"port": wire.port, "statement_timeout_s": 0.1}))
        wire.silent = True
        connector = database._connector
        connector._lost()
        connector._away_until = 0.0
        tried = []
        real = type(connector)._connected
        monkeypatch.setattr(type(connector), "_connected",
                            lambda self, *given, **how: tried.append(1) or real(self, *given, **how))
        threads = [threading.Thread(target=lambda: unavailable(lambda: _read(database))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert len(tried) == 1


def _read(database) -> None:
    with database.read() as connection:
        connection.scalar(select(1))


def test_a_server_that_says_nothing_any_more_is_given_up(own, opened, monkeypatch) -> None:
    """As if a switch had died: what we send is taken, nothing comes back."""
    monkeypatch.setattr("gateway.adapters.db.engine.connections.SILENT_S", 1)
    with postgres.cut_off(own.port) as wire:
        database = opened(own.database().model_copy(update={"port": wire.port, "statement_timeout_s": 0.3}))
        database.write(add("1"))
        wire.silent = True
        assert "gives no answer" in unavailable(lambda: database.write(add("2")))


# --- answers kept


class Hand:
    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


def test_an_answer_is_kept_for_its_time_and_not_longer() -> None:
    clock = Hand()
    kept = Kept(clock)
    kept.observe("mark")
    kept.put("anna", [(1,)])
    clock.at = KEPT_S
    assert kept.get("anna") == [(1,)]
    assert kept.get("ben") is None
    clock.at = KEPT_S + 0.1
    assert kept.get("anna") is None


def test_an_answer_is_dropped_when_what_it_hangs_on_changes() -> None:
    kept = Kept(Hand())
    kept.put("before anybody looked", [(1,)])
    kept.observe("mark")
    assert kept.get("before anybody looked") is None
    kept.put("anna", [(1,)])
    kept.observe("mark")
    assert kept.get("anna") == [(1,)]
    kept.observe("another")
    assert kept.get("anna") is None


def test_an_answer_is_not_given_when_nobody_has_watched_for_long() -> None:
    clock = Hand()
    kept = Kept(clock)
    kept.observe("mark")
    clock.at = KEPT_S + 1
    kept.put("anna", [(1,)])
    assert kept.get("anna") is None


def test_known_recipients_stay_known_while_the_database_is_away(own, opened) -> None:
    database = opened(own.database())
    store = DbCertificates(database, SystemClock())
    store.add([NewCertificate(ANNA.certificate)])
    database._pulse.start()
    waits_for(lambda: database._kept._marked_at > 0)
    before = store.rows("anna@customer.example")
    assert before
    assert store.rows("zoe@customer.example") == ()
    own.stop()
    try:
        assert store.rows("anna@customer.example") == before
        unavailable(lambda: store.rows("ben@customer.example"))  # nobody asked for him: he is not absent
        unavailable(lambda: store.rows("zoe@customer.example"))  # she may have been enrolled since
        unavailable(lambda: list(store.list()))
    finally:
        own.start()


@pytest.mark.parametrize("change", ["distrust", "revocation"])
def test_what_was_distrusted_or_revoked_before_the_database_went_is_not_known_any_more(own, opened, change) -> None:
    database = opened(own.database())
    store = DbCertificates(database, SystemClock())
    (added,) = store.add([NewCertificate(ANNA.certificate)])
    database._pulse.start()
    waits_for(lambda: database._kept._marked_at > 0)
    store.rows("anna@customer.example")
    looked = database._kept._marked_at
    elsewhere = opened(database.where)
    if change == "distrust":
        DbCertificates(elsewhere, SystemClock()).set_trust(added.row.sha256, "distrusted")
    else:
        elsewhere.write(lambda c: c.execute(insert(counter).values(name="revocation", value=1)) and None)
    waits_for(lambda: database._kept._marked_at > looked + pulse.BEAT_S)
    own.stop()
    try:
        unavailable(lambda: store.rows("anna@customer.example"))
    finally:
        own.start()


def test_an_answer_that_cannot_be_used_is_no_absence_of_the_server(server, opened) -> None:
    database = opened(server.database())
    store = DbCertificates(database, SystemClock())
    store.add([NewCertificate(ANNA.certificate)])
    database._pulse.start()
    waits_for(lambda: database._kept._marked_at > 0)
    store.rows("anna@customer.example")
    database.write(lambda connection: connection.exec_driver_sql("DROP TABLE certificate_address") and None)
    unavailable(lambda: store.rows("anna@customer.example"))


# --- claims of several nodes

NODE = """
import sys, time
from dataclasses import replace
from gateway.adapters.db.engine import claim_owner as owner, heartbeat as pulse
pulse.BEAT_S, pulse.DEAD_S = float(sys.argv[2]), float(sys.argv[3])
real = owner._owner(owner.os.getpid())
owner._owner = lambda process: replace(real, machine="elsewhere", boot="another")
from gateway.adapters.db.journal import DbJournal
from tests.support.databases import open_database
from gateway.clock import SystemClock
from tests.support.databases import read
database = open_database(read(sys.argv[1]))
journal = DbJournal(database, SystemClock())
journal.claim("k" * 64, ("anna@customer.example",))
print("claimed", flush=True)
for line in sys.stdin:
    try:
        journal.sending("k" * 64, ("anna@customer.example",))
        print("sending", flush=True)
    except Exception as error:
        print(getattr(error, "reason", error), flush=True)
"""


class Node:
    """A process on what looks like another machine, with one claim."""

    def __init__(self, where) -> None:
        command = [sys.executable, "-c", NODE, written(where), str(pulse.BEAT_S), str(pulse.DEAD_S)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True)
        assert self.process.stdout.readline() == "claimed\n"

    def tries_to_send(self) -> str:
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        while (answer := self.process.stdout.readline().strip()).startswith("20"):
            pass  # a line of its log
        return answer

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.fixture
def node(monkeypatch):
    """Signs of life are given more often than in earnest, so that nobody has to wait."""
    monkeypatch.setattr(pulse, "BEAT_S", 0.3)
    monkeypatch.setattr(pulse, "DEAD_S", 2.4)
    kept = []

    def start(where) -> Node:
        kept.append(Node(where))
        return kept[-1]

    yield start
    for one in kept:
        one.end()


def claims(journal) -> bool:
    try:
        journal.claim(KEY, ("anna@customer.example",))
    except GatewayError as trouble:
        if trouble.reason not in (Reason.JOURNAL_IN_PROGRESS, Reason.STORE_UNAVAILABLE):
            raise
        return False
    return True


def test_a_dead_nodes_claim_is_free_within_seconds_and_a_slow_ones_never(server, opened, node) -> None:
    """The slow one sleeps longer than it takes to find the other one dead."""
    where = server.database()
    database = opened(where)
    journal = DbJournal(database, SystemClock())
    slow = node(where)
    begun = time.monotonic()
    while time.monotonic() < begun + pulse.DEAD_S + 3 * pulse.BEAT_S:
        assert not claims(journal)
        time.sleep(0.25)
    slow.process.kill()
    waits_for(lambda: claims(journal))
    assert {row.state for row in journal.rows(KEY)} == {JournalState.PLANNED}


def test_a_node_that_lost_the_database_sends_nothing_once_its_claim_was_taken_over(own, opened, node) -> None:
    """A partition: it lives and is healthy, but nobody sees it. `sending` has to be written before the final dot."""
    where = own.database()
    journal = DbJournal(opened(where), SystemClock())
    with postgres.cut_off(own.port) as wire:
        cut = node(where.model_copy(update={"port": wire.port, "statement_timeout_s": 1.0}))
        wire.silent = True
        waits_for(lambda: claims(journal))
        journal.sending(KEY, ("anna@customer.example",))
        wire.silent = False  # the network is whole again
        assert cut.tries_to_send() in ("journal.in_progress", "store.unavailable")
        assert cut.tries_to_send() == "journal.in_progress"
    assert [(row.state, row.resent) for row in journal.rows(KEY)] == [(JournalState.SENDING, 0)]


def test_nobody_is_dead_because_the_database_was_away(own, opened, node) -> None:
    where = own.database()
    journal = DbJournal(opened(where), SystemClock())
    lives = node(where)
    assert not claims(journal)
    own.stop()
    time.sleep(pulse.DEAD_S)  # it is away for longer than anybody may stand still
    own.start()
    begun = time.monotonic()
    while time.monotonic() < begun + 2 * pulse.BEAT_S + 1:
        assert not claims(journal)
        time.sleep(0.1)
    assert lives.tries_to_send() == "sending"


def test_a_claim_that_the_database_took_with_it_is_given_back(own, opened) -> None:
    """The database goes while a mail is under way: its claim cannot be given back, and its process lives on."""
    database = opened(own.database())
    journal, other = DbJournal(database, SystemClock()), DbJournal(opened(database.where), SystemClock())
    journal.claim(KEY, ("anna@customer.example",))
    own.stop()
    try:
        unavailable(lambda: journal.release(KEY, acknowledged=False))
    finally:
        own.start()
    waits_for(lambda: claims(other))


def test_a_claim_in_flight_is_not_taken_for_one_that_was_left(database) -> None:
    """Many threads claim and work at once through one journal, while a claim that was left is given back."""
    journal = DbJournal(database, SystemClock())
    journal._leave("token", "left")
    failed = []

    def work(thread: int) -> None:
        for number in range(15):
            key = f"{thread}-{number}"
            try:
                journal.claim(key, ("anna@customer.example",))
                journal.sending(key, ("anna@customer.example",))
                journal.taken(key, ("anna@customer.example",), "250 ok")
                journal.release(key, acknowledged=True)
            except GatewayError as trouble:
                failed.append(trouble)

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []


def test_of_an_unknown_owner_only_age_tells(server, opened) -> None:
    """A process of a version that showed no life."""
    database = opened(server.database())
    journal = DbJournal(database, SystemClock())
    journal.claim(KEY, ("anna@customer.example",))
    stranger = str(replace(owner.here(), machine="old", boot="old"))
    database.write(lambda c: c.execute(update(journal_claim).values(owner=stranger)) and None)
    assert not claims(DbJournal(database, SystemClock()))


# --- who leads


def test_of_several_nodes_one_leads_and_another_when_it_ends(server, opened) -> None:
    where = server.database()
    nodes = [opened(where) for _ in range(3)]
    waits_for(lambda: any(one.leads("jobs") for one in nodes))
    for _ in range(20):
        assert sum(one.leads("jobs") for one in nodes) == 1
        time.sleep(0.05)
    first = next(one for one in nodes if one.leads("jobs"))
    first.close()
    rest = [one for one in nodes if one is not first]
    waits_for(lambda: any(one.leads("jobs") for one in rest))
    assert sum(one.leads("jobs") for one in rest) == 1


def test_who_loses_the_database_leads_no_more(own, opened) -> None:
    database = opened(own.database())
    waits_for(lambda: database.leads("jobs"))
    own.stop()
    try:
        waits_for(lambda: not database.leads("jobs"))
    finally:
        own.start()
    waits_for(lambda: database.leads("jobs"))
