"""The table of planted faults keeps up with the code. Whether the tests catch them is `make mutants`."""

from collections import Counter

import pytest

from tests.mutants.faults import FAULTS
from tests.mutants.model import Fault, misplaced

# Packages of the core, each with the least that the table has for it.
CORE = ("der", "cms", "pki", "mime", "smime", "authority", "policy", "actions", "pipeline", "services/codes",
        "services/statements", "adapters/db", "adapters/keys", "adapters/directories", "adapters/web", "frontends/smtp",
        "frontends/milter", "frontends/http", "frontends/api", "pdf", "letters", "app", "settings", "strictyaml")
FAULTS_MIN = 2


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_the_fault_can_be_planted(fault: Fault) -> None:
    assert misplaced(fault) == ""
    assert fault.before != fault.after


def test_each_id_is_used_once() -> None:
    assert [name for name, count in Counter(fault.id for fault in FAULTS).items() if count > 1] == []


@pytest.mark.parametrize("package", CORE)
def test_each_package_of_the_core_has_faults(package: str) -> None:
    assert len([fault for fault in FAULTS if fault.file.startswith(f"gateway/{package}/")]) >= FAULTS_MIN
