"""`sealgate cert find` over several sources: real directories by HTTP on loopback, dead ones included.

Truth: what each source was made to answer; the table of commands (exit 0, 1, 75; data and messages apart).
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from tests.support.pki import LONG_AGO, get_pki
from tests.support.web import WebServer, reply
from tests.unit.cli.test_store_commands import CONFIG, desk, run

assert desk  # a fixture

PKI = get_pki()
PIA = "pia@partner.example"
GOOD = PKI.recipient("p-256", email=PIA)
OLD = PKI.recipient("p-256", email=PIA, not_after=LONG_AGO)
PLACE = "http://127.0.0.1:9/list.crl"
LISTED = PKI.recipient("p-256", email=PIA, which=5, extensions=((x509.CRLDistributionPoints([x509.DistributionPoint(
    [x509.UniformResourceIdentifier(PLACE)], None, None, None)]), False),))
WORLD = PKI.recipient("p-256", email=PIA, name="Pia elsewhere", which=4)


@pytest.fixture
def web() -> Iterator[WebServer]:
    with WebServer({
        "/old": reply(OLD.pem), "/good": reply(GOOD.pem), "/world": reply(WORLD.pem), "/listed": reply(LISTED.pem),
        "/dead": reply(b"down", "503 Service Unavailable"),
    }) as server:
        yield server


@pytest.fixture
def directories(desk: Path, web: WebServer):
    """Writes settings with these directories, by name, in that order."""
    def write(*names: str, domains: str = "[]") -> None:
        lines = [f'  - {{name: {name}, kind: http, url: "{web.url(f"/{name}?m={{address}}")}", domains: {domains}, '
                 f"networks: [127.0.0.0/8], deadline_s: 2}}" for name in names]
        (desk / "sealgate.yaml").write_text(CONFIG + "sources:\n" + "\n".join(lines) + "\n")

    return write


def test_every_source_tells_until_one_decides(directories) -> None:
    directories("none", "old", "good", "world")
    told = run("cert", "find", PIA)
    assert told.code == 0
    lines = told.err.splitlines()
    assert [line.split(" (")[0] for line in lines[:5]] == [
        "store: absent", "none: absent", "old: unusable", "good: found", "world: not needed"]
    assert " ms)" in lines[3]
    assert "not enrolled: encrypted to 1 certificate" in lines[5]
    wins, loses = told.out.splitlines()
    assert wins.startswith(f"wins\t{GOOD.certificate.sha256[:16]}\t")
    assert loses.startswith(f"loses\t{OLD.certificate.sha256[:16]}\t")
    assert "\told\t" in loses
    assert "certificate.expired: " in loses


def test_all_asks_the_ones_behind_too_and_changes_nothing(directories) -> None:
    directories("good", "world", "dead")
    told = run("cert", "find", "--all", PIA)
    assert told.code == 0
    assert "world: found" in told.err
    assert "dead: unavailable" in told.err
    assert "not needed" in told.err
    assert [line.split("\t")[:2] for line in told.out.splitlines()] == [
        ["wins", GOOD.certificate.sha256[:16]], ["not needed", WORLD.certificate.sha256[:16]]]
    everything, answer = run("cert", "find", "--all", PIA, "--json").json(), run("cert", "find", PIA, "--json").json()
    assert (everything["answer"], everything["wins"]) == (answer["answer"], answer["wins"])
    assert [(one["source"], one["answer"], one["note"]) for one in everything["sources"]] == [
        ("store", "absent", ""), ("good", "found", ""), ("world", "found", "not_needed"),
        ("dead", "unavailable", "not_needed")]
    assert everything["sources"][1]["wins"] == [GOOD.certificate.sha256]
    assert everything["sources"][1]["milliseconds"] > 0
    assert "503" in everything["sources"][3]["detail"]


def test_a_dead_source_is_temporary_and_named(directories) -> None:
    directories("old", "dead", "good")
    told = run("cert", "find", PIA)
    assert told.code == 75
    assert "dead: unavailable" in told.err
    assert "good: not needed" in told.err
    assert f"{PIA}: certificate.unavailable: dead: " in told.err
    assert "dead: dead" not in told.err
    assert "certificate.expired" in told.out
    answer = run("cert", "find", PIA, "--json").json()
    assert (answer["answer"], answer["wins"]) == ("unavailable", [])
    assert "503" in answer["detail"]
    assert answer["loses"][0]["remedy"]


def test_enrolled_ones_are_asked_of_the_store_alone(directories, web) -> None:
    directories("dead")
    told = run("cert", "find", "--enrolled", PIA)
    assert told.code == 1
    assert "certificate.absent" in told.err
    assert web.requests == []


def test_a_bound_one_ends_it(directories, desk, web) -> None:
    directories("dead")
    run("cert", "import", "--customer", "1001", desk / "anna.pem")
    told = run("cert", "find", "anna@customer.example")
    assert told.code == 0
    assert "enrolled" in told.err
    assert web.requests == []


def test_a_source_for_other_domains_is_told_and_not_asked(directories, web) -> None:
    directories("dead", domains="[other.example]")
    told = run("cert", "find", PIA)
    assert (told.code, web.requests) == (1, [])
    assert "dead: not for this domain" in told.err


def test_the_order_of_the_settings_counts(directories, desk) -> None:
    directories("good", "world")
    with (desk / "sealgate.yaml").open("a") as file:
        file.write("lookups: {any: [world, good, store]}\n")
    answer = run("cert", "find", PIA, "--json").json()
    assert answer["wins"][0]["sha256"] == WORLD.certificate.sha256


def test_names_out_of_a_directory_move_no_cursor(directories, web) -> None:
    web.answers["/good"] = reply(PKI.recipient("p-256", email=PIA, name="Pia\x1b[2J", which=6).pem)
    directories("good")
    told = run("cert", "find", PIA)
    assert told.code == 0
    assert "\x1b" not in told.out + told.err


def test_what_does_not_load_is_a_matter_of_configuration(directories, desk) -> None:
    directories("good")
    text = (desk / "sealgate.yaml").read_text().replace("deadline_s: 2", "deadline_s: 2, tls_ca: nowhere.pem")
    (desk / "sealgate.yaml").write_text(text)
    told = run("cert", "find", PIA)
    assert told.code == 2
    assert "nowhere.pem" in told.err


def test_what_is_missing_of_revocation_is_wished_for_as_by_a_mail(directories, desk: Path) -> None:
    """Else `revocation refresh` would have nothing to fetch, and the answer stayed "not known" for ever."""
    directories("listed")
    config = (desk / "sealgate.yaml").read_text("utf-8")
    trust = "trust: {revocation: require, "
    (desk / "sealgate.yaml").write_text(config.replace("trust: {", trust) + "fetch: {networks: [127.0.0.0/8]}\n")
    assert run("cert", "find", PIA).code == 75
    assert [row["url"] for row in run("revocation", "list", "--json").json()] == [PLACE]
