"""A private PostgreSQL server on a free loopback port (Debian package postgresql), one per test process.

A new database costs a copy of a template whose tables are made. The server refuses to run as root: root gives it the
user that the package made. It ends with the process that started it, however that ends.
"""

import atexit
import itertools
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from gateway.settings import Postgresql
from tests.support.peers import missing, need, run, scratch
from tests.support.process import free_ports

USER, PASSWORD, TEMPLATE = "sealgate", "a word for the database", "tables"
START_S = 30.0
_NUMBERS = itertools.count(1)

# Nothing of a test has to outlive the machine. `durable` servers are for measuring.
_FAST = ("fsync=off", "full_page_writes=off", "autovacuum=off", "max_wal_size=256MB")


@dataclass
class Postgres:
    """One server. Its port stays over `stop` and `start`."""

    home: Path
    port: int
    durable: bool = False
    _process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    @property
    def password_file(self) -> Path:
        return self.home / "password"

    def settings(self, name: str, **changed: object) -> Postgresql:
        """As a node has them for the database `name`."""
        values = {"host": "127.0.0.1", "port": self.port, "name": name, "user": USER, "tls": "disable",
                  "password_file": self.password_file, "connect_timeout_s": 2.0, "statement_timeout_s": 10.0}
        return Postgresql.model_validate(values | changed)

    def start(self) -> None:
        """Until it answers."""
        options = [part for name in ((() if self.durable else _FAST) + (
            f"port={self.port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={self.home}",
            "max_connections=200", "deadlock_timeout=100ms")) for part in ("-c", name)]
        with (self.home / "log").open("ab") as log:
            self._process = subprocess.Popen([*_as_postgres(), str(programs() / "postgres"), "-D",
                                              str(self.home / "data"), *options], stdout=log, stderr=log)
        end = time.monotonic() + START_S
        while not self._answers():
            assert self._process.poll() is None, (self.home / "log").read_text()[-3000:]
            assert time.monotonic() < end, "postgres does not answer"
            time.sleep(0.01)

    def _answers(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self.dsn("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self, how: str = "fast") -> None:
        """`fast`: connections are ended, as by an administrator; `immediate`: as by a crash."""
        if self._process is not None:
            self._process.send_signal({"fast": 2, "immediate": 3}[how])
            self._process.wait(START_S)
            self._process = None

    def dsn(self, name: str) -> str:
        """For the driver alone."""
        return f"host=127.0.0.1 port={self.port} dbname={name} user={USER} password='{PASSWORD}' sslmode=disable"

    def sql(self, statement: str, name: str = "postgres") -> list[tuple[object, ...]]:
        """Carries one out, as the administrator would."""
        import psycopg

        with psycopg.connect(self.dsn(name), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def empty(self) -> str:
        """The name of a new database without tables."""
        name = f"t{next(_NUMBERS)}"
        self.sql(f"CREATE DATABASE {name} TEMPLATE template0")
        return name

    def database(self) -> Postgresql:
        """The settings of a new database whose tables are made."""
        name = f"t{next(_NUMBERS)}"
        self.sql(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
        return self.settings(name)


@cache
def programs() -> Path:
    """Where the newest PostgreSQL's programs lie; ends the test where there are none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[4]))
    if found:
        return found[-1].parent
    return Path(need("postgres", "postgresql")).parent


def need_postgres() -> None:
    """Ends the test where the server or the driver is missing."""
    programs()
    if find_spec("psycopg") is None:
        missing("the Python package psycopg", "none: pip install 'sealgate[postgres]'")


def give(path: Path) -> None:
    """Makes a file the server's own."""
    if not os.geteuid():
        shutil.chown(path, "postgres", "postgres")
    path.chmod(0o600)


def _as_postgres() -> list[str]:
    ended = ["--pdeathsig", "QUIT"]
    if os.geteuid():
        return [need("setpriv", "util-linux"), *ended]
    return [need("setpriv", "util-linux"), "--reuid", "postgres", "--regid", "postgres", "--clear-groups", *ended]


def _make(home: Path, *, durable: bool = False) -> Postgres:
    need_postgres()
    home.chmod(0o755)
    password = home / "password"
    password.write_text(PASSWORD)
    password.chmod(0o600)
    shown = home / "initial"
    shown.write_text(PASSWORD)
    if not os.geteuid():
        shutil.chown(home, "postgres", "postgres")
        shutil.chown(shown, "postgres", "postgres")
    run(*_as_postgres(), programs() / "initdb", "-D", home / "data", "-A", "scram-sha-256", "-U", USER,
        "--pwfile", shown, "--no-sync", "-E", "UTF8", "--locale", "C.UTF-8")
    shown.unlink()
    server = Postgres(home, free_ports(1)[0], durable)
    server.start()
    return server


@cache
def server() -> Postgres:
    """The one of this test process, with the template, until its end. No test stops it: `own` is for that."""
    made = _make(scratch("postgres"))
    atexit.register(made.stop, "immediate")  # before its directory goes
    _template(made)
    return made


def _template(made: Postgres) -> None:
    from gateway.adapters.db.engine.schema import create_database
    from gateway.adapters.run_jobs import make_tables

    made.sql(f"CREATE DATABASE {TEMPLATE} TEMPLATE template0")
    create_database(made.settings(TEMPLATE), made.home / "template.id", make_tables).close()


@contextmanager
def own(home: Path, *, durable: bool = False) -> Iterator[Postgres]:
    """One that the test may stop and start. `home`: an empty directory that everybody may enter."""
    made = _make(home, durable=durable)
    try:
        _template(made)
        yield made
    finally:
        made.stop()


@contextmanager
def cut_off(port: int) -> Iterator["Wire"]:
    """A way to the server that can be cut without a word, as by a broken switch."""
    wire = Wire(port)
    try:
        yield wire
    finally:
        wire.close()


class Wire:
    """Passes octets between a free port and the server, until `silent`: then it takes and says nothing more."""

    def __init__(self, port: int) -> None:
        import threading

        self._to, self.silent = port, False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        import threading

        while True:
            try:
                client, _ = self._listener.accept()
                server_side = socket.create_connection(("127.0.0.1", self._to))
            except OSError:
                return
            self._open += [client, server_side]
            for pair in ((client, server_side), (server_side, client)):
                threading.Thread(target=self._pass, args=pair, daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while octets := source.recv(65536):
                while self.silent:
                    time.sleep(0.01)
                sink.sendall(octets)
        except OSError:
            pass
        for one in (source, sink):
            one.close()

    def close(self) -> None:
        """Ends everything."""
        self.silent = False
        self._listener.close()
        for one in self._open:
            one.close()
