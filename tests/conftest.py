"""For all tests: hypothesis waits for a busy machine instead of failing, and collected tests are no garbage."""

import gc
import os
from functools import cache

import pytest
import structlog
from hypothesis import HealthCheck, settings

from gateway.cms import private_keys

gc.disable()  # until all is collected
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

# Processes that tests start keep the compiled modules; else each of them compiles the gateway anew (0.2 s of CPU).
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# OpenSSL checks an RSA key for 30 ms whenever it is loaded, and a demo's bank has seven: once per process is enough.
private_keys.load_pem_private_key = cache(private_keys.load_pem_private_key)


_LOG = pytest.StashKey[dict[str, object]]()
_SLOW = ("chaos", "e2e", "peers", "attacks")  # their tests start processes


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow files come first: where one is the last, the other workers wait for it."""
    items.sort(key=lambda item: item.path.parent.name not in _SLOW)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """What a file set up for the log (level, form) does not reach the next one."""
    if nextitem is None or nextitem.path != item.path:
        structlog.configure(**item.config.stash[_LOG])


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """The garbage collector leaves out 14,000 collected tests and the loaded modules: a search costs 0.2 s less."""
    session.config.stash[_LOG] = structlog.get_config()
    gc.collect()
    gc.freeze()
    gc.enable()
