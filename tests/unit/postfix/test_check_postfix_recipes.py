"""`check --postfix` over Debian's own Postfix with each recipe of conf/postfix put into it, as its comments say: clean.

Truth: postconf of the distribution reads the files; nothing is started.
"""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.cli.context import CONFIG_VARIABLE
from gateway.cli.main import application
from gateway.postfix.check import postfix
from gateway.settings import Settings
from tests.support.peers import need

PIECES = Path(__file__).parents[3] / "conf" / "postfix"
FORMS = sorted(path.name.removesuffix(".master.cf") for path in PIECES.glob("*.master.cf"))
SUBMISSION = "submission inet n - y - - smtpd -o smtpd_client_restrictions=permit_sasl_authenticated,reject\n"


def settings_for(form: str) -> Settings:
    lmtp = {"protocol": "lmtp", "xforward_peers": ["127.0.0.0/8"]} if form == "after-queue" else {}
    values: dict[str, Any] = {
        "version": 1,
        "bank": {"domains": ["bank.example"], "hostname": "gw.bank.example"},
        "listeners": [{"name": "out", "role": "outbound", "port": 10025, **lmtp},
                      {"name": "in", "role": "inbound", "port": 10027, **lmtp}],
        "next_hops": {"outbound": {"host": "127.0.0.1", "port": 10026},
                      "inbound": {"host": "127.0.0.1", "port": 10028}},
        "keys": [{"name": "k", "purpose": "decrypt", "key": "k", "certificate": "c", "recipients": ["*@bank.example"]}],
        "policies": ["unused.yaml"],
    }
    if form == "before-queue":  # its door for the bank's systems has a listener of its own
        values["listeners"].append({"name": "systems", "role": "outbound", "port": 10023,
                                    "xforward_peers": ["127.0.0.0/8"]})
    if form == "milter":
        values["milter"] = {"outbound_daemons": ["sealgate-outbound"], "inbound_daemons": ["sealgate-inbound"]}
    return Settings.model_validate(values)


def debian(root: Path, form: str) -> Path:
    """Debian's master.cf with a door for people, and the recipe in it, by its own commands."""
    need("postconf", "postfix")
    dist = Path("/usr/share/postfix")
    (root / "main.cf").write_text(
        "compatibility_level = 3.6\nmyhostname = mx.bank.example\nmydestination = bank.example\n"
        "mynetworks = 127.0.0.0/8\nalias_maps =\nforward_path =\nsmtp_address_preference = ipv4\n"
        + (PIECES / f"{form}.main.cf").read_text())
    master = (PIECES / f"{form}.master.cf").read_text()
    (root / "master.cf").write_text((dist / "master.cf.dist").read_text() + SUBMISSION + master)
    (root / "dynamicmaps.cf").write_text("")
    for line in re.findall(r"^#   (postconf -P .*)$", master, re.MULTILINE):
        subprocess.run(["sh", "-c", line.replace("postconf ", f"postconf -c {root} ")], check=True)
    return root


@pytest.mark.parametrize("form", FORMS)
def test_a_recipe_is_clean(tmp_path: Path, form: str) -> None:
    found = list(postfix(settings_for(form), debian(tmp_path, form)))
    assert [one for one in found if one.level != "ok"] == []
    assert {one.about for one in found} >= {"master.cf smtp/inet", "master.cf pickup/unix", "master.cf submission/inet"}


@pytest.mark.parametrize("form", FORMS)
def test_a_recipe_says_each_thing_once(form: str) -> None:
    """master(5): of a service or an option that is there twice, the later one counts, and nobody is warned."""
    services: dict[str, list[str]] = {}
    name = ""
    for line in (PIECES / f"{form}.master.cf").read_text().splitlines():
        if line.startswith("  -o "):
            services[name].append(line.split("=")[0])
        elif line and not line.startswith("#"):
            name = " ".join(line.split()[:2])
            assert name not in services
            services[name] = []
    assert {name: options for name, options in services.items() if len(set(options)) < len(options)} == {}
    named = [line.split("=")[0] for line in (PIECES / f"{form}.main.cf").read_text().splitlines()
             if line and not line.startswith(("#", " "))]
    assert len(set(named)) == len(named)


def test_debians_own_postfix_is_not(tmp_path: Path) -> None:
    """Before a recipe is in it: every door leads to the world."""
    debian(tmp_path, "relay")
    (tmp_path / "main.cf").write_text("compatibility_level = 3.6\nmynetworks = 127.0.0.0/8\n")
    (tmp_path / "master.cf").write_text(Path("/usr/share/postfix/master.cf.dist").read_text())
    found = [one for one in postfix(settings_for("relay"), tmp_path) if one.level == "error"]
    assert {"master.cf smtp/inet", "master.cf pickup/unix", "main.cf bounce_size_limit"} <= {one.about for one in found}


def test_tables_are_read_where_they_lie(tmp_path: Path) -> None:
    """A map's text beside its database, an access table, and one that is not there."""
    debian(tmp_path, "milter")
    (tmp_path / "aliases").write_text("a@bank.example b@bank.example,\n  boss@elsewhere.example\n")
    (tmp_path / "senders").write_text("vip@bank.example FILTER smtp:[203.0.113.1]\n")
    with (tmp_path / "main.cf").open("a") as file:
        file.write(f"virtual_alias_maps = hash:{tmp_path}/aliases, hash:{tmp_path}/none\n"
                   f"smtpd_restriction_classes = vip\nvip = check_sender_access texthash:{tmp_path}/senders\n")
    told = {one.about: one.text for one in postfix(settings_for("milter"), tmp_path) if one.level == "error"}
    assert f"boss@elsewhere.example (hash:{tmp_path}/aliases)" in told["main.cf virtual_alias_maps"]
    assert f"hash:{tmp_path}/none (cannot be read here)" in told["main.cf virtual_alias_maps"]
    assert "FILTER smtp:[203.0.113.1]" in told["main.cf vip"]


def test_no_postfix_at_all_is_told(tmp_path: Path) -> None:
    (finding,) = postfix(settings_for("relay"), tmp_path / "nothing")
    assert finding.level == "error"
    assert "main.cf" in finding.text


@pytest.mark.parametrize(("mode", "exit_code"), [("live", 0), ("observe", 0), ("wrong", 1)])
def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, exit_code: int) -> None:
    """Findings as JSON, exit 1 where something leaks, and loud while observing."""
    etc, config = tmp_path / "etc", tmp_path / "sealgate.yaml"
    etc.mkdir()
    debian(etc, "relay")
    if mode == "wrong":
        subprocess.run(["postconf", "-c", str(etc), "-P", "pickup/unix/content_filter="], check=True)
    config.write_text(
        f"version: 1\nmode: {'live' if mode == 'wrong' else mode}\n"
        "bank: {domains: [bank.example], hostname: gw.bank.example}\n"
        "listeners: [{name: out, role: outbound, port: 10025}, {name: in, role: inbound, port: 10027}]\n"
        "next_hops: {outbound: {host: 127.0.0.1, port: 10026}, inbound: {host: 127.0.0.1, port: 10028}}\n"
        "policies: [unused.yaml]\n")
    monkeypatch.setenv(CONFIG_VARIABLE, str(config))
    result = CliRunner().invoke(application(["check"]), ["check", "--postfix", "--postfix-dir", str(etc), "--json"])
    assert result.exit_code == exit_code, result.output
    found = json.loads(result.stdout)
    assert (found[0]["about"] == "mode" and "OBSERVE" in found[0]["text"]) == (mode == "observe")
    assert {one["about"] for one in found if one["level"] == "error"} == (
        {"master.cf pickup/unix"} if mode == "wrong" else set())
    assert set(found[0]) == {"level", "about", "text"}
