"""What /openapi.json says and what the interface does, held against each other by schemathesis with all its checks:
examples, edge cases, generated requests, and sequences of them. Over the real process, a store and a next hop.

Truth: schemathesis, which reads the description alone; what JSON Schema cannot say stands in its hooks.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.api_service import ROOT, Api, api

EXAMPLES = 8
HOOKS = ROOT / "tests" / "support" / "schemathesis_hooks.py"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with api(tmp_path_factory.mktemp("schema") / "bank", lambda text: text.replace(
            "api: {", "api: {requests_per_minute_max: 0, ").replace(
            "scopes: [codes]", "scopes: [codes, operate, release, audit]").replace(
            "secret_file: keys/codes.secret", "secret_file: keys/codes.secret, per_client_per_minute_max: 0,"
            " per_customer_per_hour_max: 0")) as running:
        sources = running.bank.home / "statements" / "2026-10"
        sources.mkdir(parents=True)
        (sources / "customers.csv").write_text("customer,account,file\n")
        yield running


@pytest.mark.parametrize("client", ["online-banking", "core-banking"])
def test_it_is_as_it_is_described(service: Api, client: str, tmp_path: Path) -> None:
    config = tmp_path / "schemathesis.toml"
    config.write_text((HOOKS.parent / "schemathesis.toml").read_text().replace("HOOKS", str(HOOKS)))
    done = subprocess.run(
        [str(Path(sys.executable).parent / "schemathesis"), "--config-file", config, "run",
         f"{service.base}/v1/openapi.json", "--checks", "all", "--max-examples", str(EXAMPLES), "--no-color",
         "--header", f"Authorization: Bearer {service.bank.token(client)}"],
        cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert '"internal.error"' not in service.told


def test_it_is_complete(service: Api) -> None:
    """Every operation has a name, words, its body's limits and examples, and a problem for each way to fail."""
    described = service.system("").ask("GET", "/v1/openapi.json").json
    assert described["openapi"].startswith("3.1")
    operations = [one for path in described["paths"].values() for one in path.values()]
    assert len({one["operationId"] for one in operations}) == len(operations) >= 9
    for one in operations:
        assert one["summary"]
        assert one["tags"]
        for status, response in one["responses"].items():
            form = "application/problem+json" if status >= "400" else "application/json"
            assert form in response["content"], (one["operationId"], status)
        if "requestBody" in one:
            assert one["requestBody"]["content"]["application/json"]["examples"]
    text = json.dumps(described)
    for ref in {part.split('"')[0] for part in text.split('"#/components/schemas/')[1:]}:
        assert ref in described["components"]["schemas"]
