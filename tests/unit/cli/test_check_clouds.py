"""A network of a cloud service makes nobody a client: every tenant of it sends from there.

Truth of the networks: the services' own SPF records, as published; here is that the check knows them from others.
"""

import re
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.check.clouds import CLOUDS, clouds, shared
from gateway.settings import Settings, read


def settings(client: dict[str, Any], listener: dict[str, Any] | None = None) -> Settings:
    return Settings.model_validate({
        "version": 1,
        "bank": {"domains": ["bank.example"], "hostname": "gw.bank.example"},
        "listeners": [{"name": "out", "role": "outbound", "port": 10025, **(listener or {})}],
        "clients": [{"name": "office", "from": ["*@bank.example"], **client}],
        "next_hops": {"outbound": {"host": "127.0.0.1"}, "inbound": {"host": "127.0.0.1"}},
        "policies": ["unused.yaml"],
    })


@pytest.mark.parametrize("network", [
    "40.107.0.0/16", "40.92.0.0/15", "40.93.1.2/32", "52.102.7.0/24", "104.47.5.0/24", "2a01:111:f403:8000::/50",
    "209.85.128.0/17", "209.85.220.41/32", "2a00:1450:4864::/48", "0.0.0.0/0", "::/0", "40.0.0.0/8",
])
def test_a_network_of_a_cloud_alone_is_refused(network: str) -> None:
    (finding,) = clouds(settings({"networks": ["192.0.2.0/24", network]}))
    assert (finding.level, finding.about) == ("error", "client office")
    assert network in finding.text
    assert "docs/cloud-mail.md" in finding.text


@pytest.mark.parametrize("client", [
    {"networks": ["40.107.0.0/16"], "header": "X-Bank-Route", "header_file": "secret"},
    {"networks": ["192.0.2.0/24", "127.0.0.0/8", "2001:db8::/32", "104.47.128.0/24", "40.94.0.0/16"]},
    {"tls_certificates": ["00" * 32]},
    {"logins": ["office"]},
])
def test_a_proof_of_its_own_or_a_network_of_its_own_is_good(client: dict[str, Any]) -> None:
    assert list(clouds(settings(client))) == []


def test_a_tls_certificate_beside_the_network_is_no_proof() -> None:
    """A client is known by any of the two, and the service's certificate is that of all its tenants."""
    (finding,) = clouds(settings({"networks": ["40.107.0.0/16"], "tls_certificates": ["00" * 32]}))
    assert finding.level == "error"


@pytest.mark.parametrize("name", ["xforward_peers", "xclient_peers", "trusted_peers"])
def test_no_front_end_is_believed_there(name: str) -> None:
    (finding,) = clouds(settings({}, {name: ["40.107.0.0/16"]}))
    assert (finding.level, finding.about) == ("error", "listener out")
    assert name in finding.text


def test_the_table_holds_networks_and_none_twice() -> None:
    every = [ip_network(one) for networks in CLOUDS.values() for one in networks]
    assert len(set(every)) == len(every)
    assert not any(one.is_private for one in every)
    assert shared(()) == ""


PAGE = Path(__file__).parents[3] / "docs" / "cloud-mail.md"


@pytest.mark.parametrize("proof", [True, False])
def test_the_settings_of_the_page_hold_only_with_the_proof(tmp_path: Path, proof: bool) -> None:
    text = re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)[0]
    if not proof:
        text = re.sub(r"^    header.*\n", "", text, flags=re.MULTILINE)
    whole = ("version: 1\nbank: {domains: [bank.example], hostname: gw.bank.example}\npolicies: [unused.yaml]\n" + text)
    found = list(clouds(read(whole, tmp_path / "sealgate.yaml")))
    assert [one.about for one in found] == ([] if proof else ["client office"])
