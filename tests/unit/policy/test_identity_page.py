"""What docs/identity.md shows is what there is: its rule loads, its case holds, its words and terms are the code's."""

from pathlib import Path

from gateway.actions.table import VERBS
from gateway.cms import strength
from gateway.policy.cases import run
from gateway.policy.levels import MESIGN, WORDS
from gateway.policy.load import load
from gateway.policy.rules import Known

PAGE = (Path(__file__).parents[3] / "docs" / "identity.md").read_text("utf-8")


def blocks(language):
    return [part.partition("```")[0] for part in PAGE.split(f"```{language}\n")[1:]]


def test_the_rule_loads_and_its_case_holds():
    rule = next(block for block in blocks("yaml") if block.startswith("- name:"))
    text = "version: 1\nrules:\n" + "".join(f"  {line}\n" for line in rule.splitlines()) + "otherwise: reject\n"
    ran = run(load([("page.yaml", text)], VERBS, Known()))
    assert ran.results
    assert not ran.failed


def test_every_word_is_explained():
    for word in WORDS:
        assert f"| `{word}` |" in PAGE
    for written, meant in MESIGN.items():
        (line,) = [line for line in PAGE.splitlines() if line.startswith(f"| `{written}` |")]
        assert {word for word in WORDS if f"`{word}`" in line} == set(meant)


def test_every_algorithm_with_a_term_stands_in_the_table():
    lines = [line.lower() for line in PAGE.splitlines() if line.startswith("|")]
    shown = {"des-cbc": "des,", "3des-cbc": "3des", "rc2-cbc": "rc2", "rc4": "rc4", "ripemd160": "ripemd-160",
             "sha1": "sha-1", "sha224": "sha-224"}
    for table in (strength.DIGESTS, strength.KEYS, strength.CIPHERS):
        for name, line in table.items():
            if line.until is None:
                continue
            rows = [row for row in lines if shown.get(name, name) in row and "no end" not in row]
            assert rows, name
            row = rows[0]
            assert ("never" in row) is (line.until is strength.EVER)
            assert line.until is strength.EVER or ("end of 2030" in row and line.until.year == 2031)
