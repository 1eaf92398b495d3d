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

# Files that take longest, the longest first (`--durations`, summed for each file). A file stays in one process.
_LONGEST = (
    "attacks/test_load_bombs.py", "e2e/test_supervisor.py", "e2e/test_milter_processes.py", "e2e/test_revocation.py",
    "peers/test_demo.py", "attacks/test_load_connections.py", "e2e/test_api_schema.py", "e2e/test_preflight.py",
    "e2e/test_milter_alone.py", "e2e/test_postfix_traps.py", "e2e/test_two_nodes.py", "e2e/test_backup.py",
    "attacks/test_planted_codes.py", "attacks/test_planted_accounts.py", "e2e/test_postfix_traps_milter.py",
    "e2e/test_examples.py", "e2e/test_runs_on_two_nodes.py", "e2e/test_database_gone.py", "e2e/test_runs_process.py",
    "attacks/test_load_certificates.py", "attacks/test_load_mails.py", "attacks/test_secrets_in_logs.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow files come first: where one is the last, the other workers wait for it."""
    place = {name: number for number, name in enumerate(_LONGEST)}

    def key(item: pytest.Item) -> tuple[int, bool]:
        directory = item.path.parent.name
        return place.get(f"{directory}/{item.path.name}", len(place)), directory not in _SLOW

    items.sort(key=key)


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
