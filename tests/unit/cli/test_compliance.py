"""`sealgate compliance rts`: what it names exists, and what it calls open is what the settings leave open.

Truth: the text of the regulation for which articles there are; the demo's bank, whose settings and rules are changed
one by one, for what is open.
"""

import ast
import json
import re
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.app import load_rules
from gateway.cli.compliance import command as compliance
from gateway.cli.compliance import open_points as compliance_left
from gateway.cli.compliance.rts import CLAUSES, Clause
from gateway.cli.main import application
from gateway.errors import Reason
from gateway.settings import load
from tests.support.process import template

ROOT = Path(__file__).parents[3]
# Those of chapters II and IV, of traceability and of sessions; the others speak of risk, exemptions and interfaces.
CONCERN_US = {"3", "4", "5", "6", "7", "8", "9", "22", "23", "24", "25", "26", "27", "29", "35"}
PARAGRAPHS_OF_4_AND_5 = {"4 (1)", "4 (2)(a)", "4 (2)(b)", "4 (2)(c)", "4 (3)(a)", "4 (3)(b)", "4 (3)(c)", "4 (3)(d)",
                         "4 (4)",
                         "5 (1)(a)", "5 (1)(b)", "5 (1)(c)", "5 (1)(d)", "5 (2)", "5 (3)(b)"}


ENCRYPTED = "/run/credentials/sealgate.service/codes.secret"  # as systemd.exec has credentials


@cache
def names_of(path: Path) -> frozenset[str]:
    return frozenset(node.name for node in ast.walk(ast.parse(path.read_text("utf-8")))
                     if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"))


@pytest.mark.parametrize("named", sorted({test for clause in CLAUSES for test in clause.tests}))
def test_every_test_that_is_named_exists(named: str) -> None:
    file, _, test = named.partition("::")
    assert names_of(ROOT / file)
    assert not test or test in names_of(ROOT / file)


def test_every_article_that_concerns_codes_has_its_line() -> None:
    articles = [clause.article for clause in CLAUSES]
    assert len(set(articles)) == len(articles)
    assert {article.partition(" ")[0] for article in articles} == CONCERN_US
    assert {article for article in articles if article.startswith(("4 ", "5 "))} == PARAGRAPHS_OF_4_AND_5


@pytest.mark.parametrize("clause", CLAUSES, ids=lambda clause: clause.article)
def test_what_is_served_names_its_test(clause: Clause) -> None:
    assert bool(clause.serves) is bool(clause.tests)
    assert clause.serves or clause.yours
    assert clause.serves or not clause.settings


def test_every_question_is_asked() -> None:
    asked = {clause.left.__name__ for clause in CLAUSES}
    defined = {name for name, one in vars(compliance_left).items()
               if callable(one) and getattr(one, "__module__", "") == compliance_left.__name__ and name != "InForce"}
    assert asked == defined


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's bank, with what it leaves open set as a bank would."""
    home = tmp_path_factory.mktemp("compliance") / "bank"
    shutil.copytree(template(), home)
    change(home / "sealgate.yaml", lambda text: re.sub(
        r"secret_file: [^,}]*codes\.secret", f"secret_file: {ENCRYPTED}", text).replace(
        "clock_check: none", "clock_check: kernel") + (
        "" if "\napi:" in text else "api: {port: 8027}\n"))
    change(home / "policies" / "codes.yaml", lambda text: text.replace(
        "certificates: enrolled, ", "certificates: enrolled, device_bound: true, "))
    return home


def change(path: Path, how: Callable[[str], str]) -> None:
    text = path.read_text("utf-8")
    changed = how(text)
    assert changed != text
    path.write_text(changed, "utf-8")


def told(config: Path) -> tuple[int, dict[str, dict[str, object]]]:
    done = CliRunner().invoke(application(["compliance"]), ["--config", str(config), "compliance", "rts", "--json"])
    assert done.stdout, done.output
    return done.exit_code, {one["article"]: one for one in json.loads(done.stdout)["articles"]}


def open_(config: Path) -> set[str]:
    code, articles = told(config)
    found = {article for article, one in articles.items() if one["status"] == "open"}
    assert code == int(bool(found))
    return found


def test_a_bank_can_leave_nothing_open(home: Path) -> None:
    code, articles = told(home / "sealgate.yaml")
    assert {article: one["open"] for article, one in articles.items() if one["open"]} == {}
    assert code == 0
    assert {one["status"] for one in articles.values()} == {"served", "partly", "yours"}


def in_settings(old: str, new: str) -> Callable[[Path], None]:
    return lambda home: change(home / "sealgate.yaml", lambda text: text.replace(old, new))


def in_rules(old: str, new: str) -> Callable[[Path], None]:
    """The rule of codes with one case, which holds with and without what is changed."""
    def changed(home: Path) -> None:
        change(home / "policies" / "codes.yaml", lambda text: re.sub(
            r"(?m)^    cases:\n(?: +(?:-|expect|#).*\n)+", CASE, text.replace(old, new), count=1))
    return changed


def without_mailbox(home: Path) -> None:
    """And without the rules that need one."""
    change(home / "sealgate.yaml", lambda text: text.replace('bounces: "codes@bank.example",', "").replace(
        "policies/bounces.yaml,", ""))


CASE = """    cases:
      - given: {client: online-banking, from: otp@bank.example, recipient: anna@customer.example, certificate: enrolled}
        expect: {end: deliver}
"""
THEN = """    then:
      protect_headers: {outer_subject: "[...]"}
      sign: {with: otp}
      stamp: {by: internal, if_unavailable: defer}
      encrypt:"""
OPENS = {
    "six tries": (in_settings("codes: {", "codes: {tries_max: 6, "), {"4 (2)(c)", "4 (3)(b)", "4 (4)"}),
    "no lock": (in_settings("codes: {", "codes: {failures_max: 0, "), {"4 (3)(b)", "4 (4)"}),
    "six in a row": (in_settings("codes: {", "codes: {failures_max: 6, "), {"4 (3)(b)", "4 (4)"}),
    "any device": (in_rules("device_bound: true, ", ""), {"7", "9"}),
    "any certificate": (in_rules("certificates: enrolled", "certificates: any"), {"24"}),
    "in clear": (in_rules(THEN, "    #"), {"5 (2)", "7", "9", "22 (1)", "24", "25", "29"}),
    "subject in clear": (in_rules('      protect_headers: {outer_subject: "[...]"}\n', ""), {"5 (2)", "22 (1)", "25"}),
    "held": (in_rules("without_certificate: reject", "without_certificate: hold"), {"5 (2)", "22 (1)", "25"}),
    "no stamp": (in_rules("      stamp: {by: internal, if_unavailable: defer}\n", ""), {"29"}),
    "any clock": (in_settings("clock_check: kernel", "clock_check: none"), {"29"}),
    "no mailbox": (without_mailbox, {"27 (a)", "27 (c)"}),
    "own templates": (in_settings("codes: {", "codes: {templates: letters, "), {"5 (1)(a)"}),
    "nobody may order": (in_settings("scopes: [codes]", "scopes: []"), {"4 (3)(c)", "35 (1)"}),
    "a reader more": (in_rules("      encrypt:", "      escrow: {certificate: archive}\n      encrypt:"), {"35 (5)"}),
    "observing": (in_settings("version: 1\n", "version: 1\nmode: observe\n"), {"5 (2)", "22 (1)", "25"}),
    "revocation unasked": (in_settings("  recipients: [pki/root.pem]\n",
                                       "  recipients: [pki/root.pem]\n  revocation: none\n"), {"27 (a)", "27 (c)"}),
}


@pytest.mark.parametrize("name", OPENS)
def test_what_a_setting_or_a_rule_leaves_open_is_told(name: str, home: Path, tmp_path: Path) -> None:
    changed, expected = OPENS[name]
    shutil.copytree(home, copy := tmp_path / "bank")
    if name == "a reader more":
        change(copy / "sealgate.yaml", lambda text: text + (
            "escrow: [{name: archive, certificate: keys/archive.crt.pem}]\n"))
    changed(copy)
    assert open_(copy / "sealgate.yaml") == expected


@pytest.mark.parametrize("place", ["keys/codes.secret", "/run/credentials/sealgate.service/keys_codes.secret"])
def test_a_secret_in_a_plain_file_is_open(home: Path, tmp_path: Path, place: str) -> None:
    """Also where systemd only copies it (LoadCredential=): 22 (2)(b) asks how it is stored."""
    shutil.copytree(home, copy := tmp_path / "bank")
    change(copy / "sealgate.yaml", lambda text: text.replace(ENCRYPTED, place))
    assert open_(copy / "sealgate.yaml") == {"22 (2)(b)"}


def test_what_has_a_rest_for_the_bank_is_partly(home: Path) -> None:
    _, articles = told(home / "sealgate.yaml")
    for article, one in articles.items():
        expected = "yours" if not one["serves"] else "partly" if one["yours"] else "served"
        assert one["status"] == expected, article


def test_each_setting_that_is_named_exists_and_has_its_present_value(home: Path) -> None:
    settings = load(home / "sealgate.yaml")
    now = compliance.in_force(settings, load_rules(settings))
    for clause in CLAUSES:
        for name in clause.settings:
            compliance.value(name, now)  # KeyError for what is none
    assert compliance.value("codes.tries_max", now) == 5
    assert compliance.value("rules.without_certificate", now) == {"online-banking": "reject"}
    assert compliance.value("stampers.clock_check", now) == {"internal": "kernel", "public": "kernel"}
    with pytest.raises(KeyError):
        compliance.value("codes.lives", now)


def test_people_are_told_the_same(home: Path) -> None:
    done = CliRunner().invoke(application(["compliance"]),
                              ["--config", str(home / "sealgate.yaml"), "compliance", "rts"])
    assert done.exit_code == 0
    for clause in CLAUSES:
        article, asks = re.escape(clause.article), re.escape(clause.asks)
        assert re.search(rf"(?m)^{article} +(served|partly|yours) +{asks}$", done.stdout)
        assert all(test in done.stdout for test in clause.tests)
    assert "codes.tries_max: 5" in done.stdout
    assert ", 0 open, " in done.stdout


def test_without_codes_there_is_nothing_to_show(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home, copy := tmp_path / "bank")
    change(copy / "sealgate.yaml", lambda text: re.sub(r"(?m)^codes: .*\n", "", text))
    done = CliRunner().invoke(application(["compliance"]),
                              ["--config", str(copy / "sealgate.yaml"), "compliance", "rts"])
    assert done.exit_code == 2
    assert "codes" in done.stderr


def test_the_page_says_what_is_so(home: Path) -> None:
    """docs/compliance.md: its rule loads, its commands exist, what it calls a reason is one."""
    page = (ROOT / "docs" / "compliance.md").read_text("utf-8")
    (rule,) = re.findall(r"```yaml\n *(encrypt: .*)\n```", page)
    assert rule in (home / "policies" / "codes.yaml").read_text("utf-8")
    assert set(re.findall(r"(?m)^sealgate (\w+ \w+)", page)) == {"compliance rts"}
    assert Reason("certificate.not_device_bound").value in page
    for named in re.findall(r"`(tests/[^`]+)`", page):
        assert (ROOT / named).is_file()
    for query in re.findall(r"jq '([^']+)'", page):
        done = CliRunner().invoke(application(["compliance"]),
                                  ["--config", str(home / "sealgate.yaml"), "compliance", "rts", "--json"])
        one = json.loads(done.stdout)["articles"][0]
        assert all(field in one for field in re.findall(r"\.(status|article|open)", query))
