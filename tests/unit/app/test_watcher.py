"""What the process that serves `metrics` finds out at a scrape, whatever is broken. Truth: what the test breaks.

Starts: listeners and a next hop of the test's own.
"""

import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.app.measurements import LazyStore, Watcher
from gateway.clock import FrozenClock, SystemClock
from gateway.errors import GatewayError, Reason
from gateway.settings import Milter, Settings, load
from tests.support.process import new_bank
from tests.support.smtp import Hop


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Of a bank whose listeners answer, and the mail server behind it."""
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    with Hop() as hop:
        bank = new_bank(tmp_path / "bank", hop=hop.port)
        with greeting(bank.ports.outbound), greeting(bank.ports.inbound):
            yield load(bank.config)


class greeting:  # noqa: N801 - used as a function
    """A listener that says 220, or what it is told to say."""

    def __init__(self, port: int, words: bytes = b"220 gw\r\n") -> None:
        self._server = socket.create_server(("127.0.0.1", port))
        self._words = words

    def __enter__(self) -> None:
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            with client:
                client.sendall(self._words)

    def __exit__(self, *_: object) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()


def checks(watcher: Watcher) -> dict[str, tuple[str, str]]:
    return {one.name: (one.state, one.detail) for one in watcher.observed.checks()}


def page(watcher: Watcher) -> str:
    return watcher.observed.page()[0].decode()


def test_all_is_well(settings: Settings) -> None:
    store = LazyStore(settings)
    watcher = Watcher(settings, store)
    assert checks(watcher) == dict.fromkeys(
        ("listeners", "next_hop_outbound", "next_hop_inbound", "database", "certificates"), ("ok", ""))
    assert "sealgate_database_up 1.0" in page(watcher)
    assert 'sealgate_expiry_timestamp_seconds{name="otp",what="key that signs"}' in page(watcher)
    store.close()


def test_without_the_database_the_page_is_there_all_the_same(settings: Settings) -> None:
    def away() -> LazyStore:
        raise GatewayError(Reason.STORE_UNAVAILABLE, "away", retry=True)

    watcher = Watcher(settings, away)  # type: ignore[arg-type]
    assert "sealgate_database_up 0.0" in page(watcher)
    assert 'name="otp"' in page(watcher)
    assert checks(watcher)["database"] == ("degraded", "store.unavailable")


def test_a_database_that_hangs_holds_up_nobody(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.app.measurements.NUMBERS_WAIT_S", 0.05)
    go = threading.Event()

    def hangs() -> LazyStore:
        go.wait(60)
        raise GatewayError(Reason.STORE_UNAVAILABLE, "away", retry=True)

    watcher = Watcher(settings, hangs)  # type: ignore[arg-type]
    assert "sealgate_database_up 0.0" in page(watcher)
    go.set()


def test_a_listener_that_is_full_or_gone_is_named(settings: Settings) -> None:
    listeners = (*settings.listeners, settings.listeners[0].model_copy(update={"name": "third", "port": free()}))
    assert checks(Watcher(settings.model_copy(update={"listeners": listeners}), LazyStore(settings)))["listeners"] == (
        "degraded", "no greeting: third")
    alone = settings.model_copy(update={"listeners": listeners[-1:]})
    assert checks(Watcher(alone, LazyStore(settings)))["listeners"] == ("failed", "no greeting: third")
    port = free()
    full = settings.listeners[0].model_copy(update={"name": "full", "port": port})
    with greeting(port, b"421 4.7.0 too many\r\n"):
        watcher = Watcher(settings.model_copy(update={"listeners": (full,)}), LazyStore(settings))
        assert checks(watcher)["listeners"] == ("failed", "no greeting: full")


def test_a_milter_is_there_or_it_is_not(settings: Settings, tmp_path: Path) -> None:
    port, path = free(), tmp_path / "milter"
    for address in (f"inet:{port}@127.0.0.1", f"unix:{path}"):
        with_it = settings.model_copy(update={"milter": Milter(socket=address, inbound_daemons=("mx",))})
        assert checks(Watcher(with_it, LazyStore(with_it)))["milter"] == ("degraded", "no process listens")
        family = socket.AF_UNIX if address.startswith("unix") else socket.AF_INET
        with socket.socket(family) as listening:
            listening.bind(str(path) if family == socket.AF_UNIX else ("127.0.0.1", port))
            listening.listen()
            assert checks(Watcher(with_it, LazyStore(with_it)))["milter"] == ("ok", "")


def test_one_direction_that_leads_nowhere_is_no_reason_to_refuse_the_other(settings: Settings) -> None:
    gone = settings.next_hops.inbound.model_copy(update={"port": free()})
    hops = settings.next_hops.model_copy(update={"inbound": gone})
    found = checks(Watcher(settings.model_copy(update={"next_hops": hops}), LazyStore(settings)))
    assert found["next_hop_outbound"] == ("ok", "")
    assert found["next_hop_inbound"] == ("degraded", "next_hop.unavailable")
    both = hops.model_copy(update={"outbound": gone})
    found = checks(Watcher(settings.model_copy(update={"next_hops": both}), LazyStore(settings)))
    assert found["next_hop_outbound"][0] == found["next_hop_inbound"][0] == "failed"


def test_own_certificates_that_have_ended_are_named(settings: Settings) -> None:
    """A hundred years from now."""
    clock = FrozenClock(SystemClock().now() + timedelta(days=36_500))
    state, detail = checks(Watcher(settings, LazyStore(settings), clock))["certificates"]
    assert state == "degraded"
    assert "otp" in detail
    assert "CN=" not in detail, "roots are no matter of ours"


def free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
