"""Which file makes an anchor for what. A wrong line here makes strangers trusted, or a time-stamp qualified."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.app.trust import load_trust
from gateway.ports.administration import TrustList
from gateway.settings import Trust
from tests.support.pki import get_pki


def anchors(home: Path, name: str) -> dict[str, list[str]]:
    """Purpose to kinds of its anchors, where one root is in the setting `name` alone."""
    path = home / "root.pem"
    path.write_bytes(get_pki().root_pem)
    listed = TrustList(frozenset(), frozenset(), ())
    store: Any = SimpleNamespace(certificates=SimpleNamespace(trust_list=lambda: listed))
    settings: Any = SimpleNamespace(trust=Trust.model_validate({name: (path,)}))
    loaded = load_trust(settings, store)
    found = {purpose: [anchor.stamper for anchor in getattr(loaded, purpose)]
             for purpose in ("signers", "recipients", "stampers")}
    return {purpose: kinds for purpose, kinds in found.items() if kinds}


@pytest.mark.parametrize(("name", "found"), [
    ("signers", {"signers": ["internal"]}),
    ("recipients", {"recipients": ["internal"]}),
    ("stampers", {"stampers": ["internal"]}),
    ("stampers_external", {"stampers": ["external"]}),
    ("stampers_qualified", {"stampers": ["qualified"]}),
    ("intermediates", {}),
    ("ocsp_responders", {}),
])
def test_a_root_is_trusted_for_its_purpose_alone(tmp_path: Path, name: str, found: dict[str, list[str]]) -> None:
    assert anchors(tmp_path, name) == found
