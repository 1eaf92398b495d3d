"""Who is the client: networks, certificates, logins; shared limits. Truth: the settings' own words, arithmetic."""

import asyncio
from hashlib import sha256
from typing import Any

import pytest

from gateway.errors import GatewayError, Reason
from gateway.frontends.clients import Clients, may_use
from gateway.frontends.limits import RATE_KEYS_MAX, Connections, Octets, Rate, Reservation
from gateway.settings import Client
from tests.support.smtp import Taker, Talk, relay
from tests.support.smtp import settings as relay_settings

PRINT = "ab" * 32


def client(name: str, **fields: Any) -> Client:
    return Client.model_validate({"name": name} | fields)


def test_the_narrowest_network_wins() -> None:
    clients = Clients(
        [
            client("all", networks=["10.0.0.0/8", "::/0"]),
            client("one", networks=["10.1.2.3"]),
            client("net", networks=["10.1.0.0/16"]),
        ]
    )
    names = {
        peer: found.name if (found := clients.by_peer(peer)) else None
        for peer in (
            "10.1.2.3",
            "10.1.2.4",
            "10.9.9.9",
            "192.0.2.1",
            "::1",
            "::ffff:10.1.2.3",
            "fe80::1%eth0",
            "",
            "nonsense",
        )
    }
    assert names == {
        "10.1.2.3": "one",
        "10.1.2.4": "net",
        "10.9.9.9": "all",
        "192.0.2.1": None,
        "::1": "all",
        "::ffff:10.1.2.3": "one",
        "fe80::1%eth0": "all",
        "": None,
        "nonsense": None,
    }


def test_certificates_and_logins() -> None:
    der = b"a certificate"
    pairs = sha256(der).hexdigest().upper()
    clients = Clients(
        [
            client("tls", tls_certificates=[":".join(pairs[at : at + 2] for at in range(0, 64, 2))]),
            client("login", logins=["anna"]),
        ]
    )
    found = clients.by_certificate(der)
    assert found is not None
    assert found.name == "tls"
    assert clients.by_certificate(b"another") is None
    assert clients.by_certificate(None) is None
    assert clients.by_login("Anna") is None
    assert clients.has_logins
    assert not Clients([]).has_logins


@pytest.mark.parametrize(
    "pair",
    [
        [client("a"), client("a")],
        [client("a", networks=["10.0.0.0/8"]), client("b", networks=["10.0.0.0/8"])],
        [client("a", logins=["x"]), client("b", logins=["x"])],
        [client("a", tls_certificates=[PRINT]), client("b", tls_certificates=[PRINT.upper()])],
        [client("a", networks=["10.0.0.1/8"])],
        [client("a", networks=["bank.test"])],
        [client("a", tls_certificates=["abc"])],
    ],
)
def test_what_belongs_to_two_or_is_nothing_stops_the_start(pair: list[Client]) -> None:
    with pytest.raises(GatewayError) as told:
        Clients(pair)
    assert told.value.reason is Reason.CONFIG_INVALID
    assert "clients: " in told.value.detail


def test_a_client_without_addresses_may_use_none_but_the_null_path() -> None:
    assert may_use(client("a"), "")
    assert not may_use(client("a"), "a@bank.test")
    assert may_use(client("a", **{"from": ["*"]}), "anybody@else.test")
    assert not may_use(client("a", **{"from": ["*@bank.test"]}), "x@ban\u212a.test")  # KELVIN SIGN is no k


def test_connections() -> None:
    doors = Connections(3, 2)
    assert [doors.enter(peer) for peer in ("a", "a", "a", "b", "c")] == [True, True, False, True, False]
    doors.leave("a")
    assert doors.enter("c")
    for peer in ("a", "b", "c"):
        doors.leave(peer)
    assert doors == Connections(3, 2)


def test_rate_refills_evenly_and_its_memory_is_bounded() -> None:
    at = [0.0]
    rate = Rate(60, lambda: at[0])
    assert [rate.allow("a") for _ in range(61)] == [True] * 60 + [False]
    at[0] = 2.0
    assert [rate.allow("a") for _ in range(3)] == [True, True, False]
    for number in range(RATE_KEYS_MAX * 2):
        assert rate.allow(str(number))
    assert len(rate._buckets) <= RATE_KEYS_MAX
    assert all(Rate(0, lambda: 0.0).allow("a") for _ in range(1000))


async def test_octets_wait_in_line_and_give_up() -> None:
    octets = Octets(100)
    assert await octets.take(80, 1)
    first, second = asyncio.create_task(octets.take(50, 5, "a")), asyncio.create_task(octets.take(10, 5, "b"))
    await asyncio.sleep(0)
    assert not await octets.take(1, 0.01)  # behind the others, though there is room
    cancelled = asyncio.create_task(octets.take(1, 5))
    await asyncio.sleep(0)
    cancelled.cancel()
    octets.give(80)
    assert await first
    assert await second
    await asyncio.gather(cancelled, return_exceptions=True)
    assert octets.used == 60
    octets.give(50, "a")
    octets.give(10, "b")
    assert octets.try_take(1000)  # alone, whatever its size
    assert not octets.try_take(1)


async def test_a_slow_peer_cannot_have_more_than_half() -> None:
    octets = Octets(100)
    assert octets.try_take(40, "slow")
    assert not octets.try_take(20, "slow")
    waiting = asyncio.create_task(octets.take(20, 5, "slow"))
    await asyncio.sleep(0)
    assert await octets.take(30, 1, "other")  # passes the one that has used up its share
    assert not waiting.done()
    octets.give(40, "slow")
    assert await waiting


def test_one_mail_alone_may_grow_beyond_the_share() -> None:
    octets = Octets(1_000_000)
    octets.try_take(10, "a")
    assert Reservation(octets, 10, "a").cover(900_000)
    assert not octets.try_take(1, "a")
    assert octets.try_take(1, "b")


def test_a_reservation_grows_and_is_released_once() -> None:
    octets = Octets(1_000_000)
    octets.try_take(10)
    reservation = Reservation(octets, 10)
    assert reservation.cover(10)
    assert reservation.cover(11)
    assert octets.used == 262_154
    octets.try_take(10, "other")
    assert not reservation.cover(2_000_000)
    reservation.release()
    reservation.release()
    assert octets.used == 10


def test_while_observing_a_client_may_use_any_sender_and_stays_who_it_is() -> None:
    """What it may not use is recorded, and not refused; a stranger stays a stranger."""
    taker = Taker()
    observing = relay_settings(clients=[{"name": "app", "networks": ["127.0.0.1/32"], "from": ["*@bank.test"]}])
    for mode, code in (("live", "550"), ("observe", "250")):
        with relay(taker, observing.model_copy(update={"mode": mode})) as addresses, Talk(addresses["out"]) as talk:
            talk.greet()
            assert talk.say(b"MAIL FROM:<director@elsewhere.test>").startswith(code)
    nobody = relay_settings(clients=[], mode="observe")
    with relay(taker, nobody) as addresses, Talk(addresses["out"]) as talk:
        talk.greet()
        assert talk.say(b"MAIL FROM:<director@elsewhere.test>").startswith("554")
