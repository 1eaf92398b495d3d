"""The fuzz targets without a fuzzer: their corpora, and changes of these with fixed seeds. `make fuzz` goes on.

Nothing but GatewayError leaves a parser, and no input takes long: CPU seconds, generous, for what is quadratic takes
minutes. Where atheris is installed one target runs under it for a moment, so that `make fuzz` is known to start.
"""

import importlib.util
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fuzz import mutate, targets

ROOT = Path(__file__).parents[2]
MUTATIONS = 300
CPU_S = 10.0
NAMES = sorted(targets.TARGETS)


def within_bounds(name: str, octets: bytes, what: str) -> None:
    begun = time.process_time()
    try:
        targets.run(name, octets)
    except Exception as error:
        raise AssertionError(f"{name}, {what}: {error!r} for {octets[:2000]!r}") from error
    assert time.process_time() - begun < CPU_S, f"{name}, {what}: {octets[:2000]!r}"


@pytest.mark.parametrize("name", NAMES)
def test_the_corpus_passes(name: str) -> None:
    found = targets.corpus(name)
    assert found
    for octets in found:
        within_bounds(name, octets, "as it is")


@pytest.mark.parametrize("name", NAMES)
def test_what_is_changed_passes(name: str) -> None:
    for number, octets in enumerate(mutate.mutations(targets.corpus(name), MUTATIONS, seed=20261126)):
        within_bounds(name, octets, f"change {number}")


def test_the_corpora_are_small() -> None:
    files = [path for path in targets.CORPUS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 1_000_000
    assert {path.parent.name for path in files} == set(NAMES)


@pytest.mark.parametrize("name", ["cms_enveloped", "mail_open", "pki_ocsp", "pki_crl", "mail_card", "cms_timestamp",
                                  "cms_private_key"])
def test_a_corpus_reaches_the_end(name: str) -> None:
    """A corpus that is refused at the door tests the door: at least one input of each goes the whole way."""
    reached = 0
    for octets in targets.corpus(name):
        try:
            targets.TARGETS[name](octets)
            reached += 1
        except targets.GatewayError:
            continue
    assert reached


def test_sealed_mails_of_the_corpus_are_opened_and_believed() -> None:
    from gateway.smime.open import open_mail

    verdicts = [open_mail(octets, [targets.box()], targets.judge(), targets.AT).verdicts
                for octets in targets.corpus("mail_open")]
    assert {str(one.verdict) for one in verdicts} >= {"trusted", "unknown"}
    assert {one.decryption.status for one in verdicts} >= {"decrypted", "not_encrypted"}


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed")
def test_a_target_runs_under_atheris(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "fuzz.one", "mime_params", "-runs=200", "-print_final_stats=1",
                           f"-artifact_prefix={tmp_path}/", str(tmp_path), str(targets.CORPUS / "mime_params")],
                          cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "number_of_executed_units: " in done.stderr
