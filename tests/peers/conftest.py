"""The peers as fixtures: each is started once for the process that runs the tests."""

from collections.abc import Callable
from functools import cache

import pytest

from tests.support.ours import Ours
from tests.support.peer_bc import BouncyCastle, bouncy_castle
from tests.support.peer_gpgsm import gpgsm
from tests.support.peer_nss import nss
from tests.support.peer_openssl import OpenSsl
from tests.support.peers import Peer
from tests.support.pki import Pki, get_pki


@pytest.fixture(scope="session")
def pki() -> Pki:
    return get_pki()


@pytest.fixture(scope="session")
def ours() -> Ours:
    return Ours()


@pytest.fixture(scope="session")
def openssl() -> OpenSsl:
    return OpenSsl()


@pytest.fixture(scope="session")
def bc() -> BouncyCastle:
    return bouncy_castle()


@pytest.fixture(scope="session")
def peer(pki: Pki) -> Callable[[str], Peer]:
    """A peer by name; ends the test if it is not installed."""
    makers: dict[str, Callable[[], Peer]] = {
        "openssl": OpenSsl, "bouncycastle": bouncy_castle, "nss": lambda: nss(pki), "gpgsm": lambda: gpgsm(pki)}
    return cache(lambda name: makers[name]())
