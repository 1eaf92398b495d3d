"""The tree itself: no unfinished work, no machine's own paths, no secrets, no addresses in the lock."""

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = {".py", ".md", ".yaml", ".toml", ".service", ".cf", ".java", ".c", ".svg", ".lock", ""}

LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-build.lock", "requirements-ldap.lock")

# Built from pieces, so that this file does not hold what it looks for.
WORDS = ("TO" + "DO", "FIX" + "ME", "X" * 3, "HA" + "CK")
UNFINISHED = re.compile(rf"\b({'|'.join(WORDS)})\b|raise NotImplemented" + "Error")
FOREIGN_PATHS = re.compile("/" + r"(root|home/\w+|work|Users)/")
OPERATORS_HOME = re.compile(r"^docs/[^:]+:\d+: .*" + "/root" + "/")  # the pages speak to root of a mail server
PRIVATE_KEY = re.compile("BEGIN " + r"(RSA |EC |ENCRYPTED )?PRIVATE KEY-----\s+[A-Za-z0-9+/]{40}")


@cache
def files() -> tuple[tuple[str, str], ...]:
    """(name, text) of every file that belongs to the project."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        pytest.skip("not a git clone")
    names = [name for name in done.stdout.decode().split("\0") if name and Path(name).suffix in TEXT]
    return tuple((name, (ROOT / name).read_text("utf-8", errors="replace")) for name in names if (ROOT / name).exists())


def found(pattern: re.Pattern[str], *, under: str = "") -> list[str]:
    return [
        f"{name}:{number}: {line.strip()[:120]}"
        for name, text in files() if name.startswith(under)
        for number, line in enumerate(text.splitlines(), 1) if pattern.search(line)
    ]


def test_nothing_is_left_unfinished() -> None:
    assert found(UNFINISHED) == []


def test_no_path_of_somebodys_machine() -> None:
    assert [line for line in found(FOREIGN_PATHS) if not OPERATORS_HOME.match(line)] == []


def test_no_private_key_lies_in_the_tree() -> None:
    assert [name for name, text in files() if PRIVATE_KEY.search(text)] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_holds_only_names_versions_and_hashes(lock: str) -> None:
    text = (ROOT / lock).read_text()
    for line in text.splitlines():
        assert re.fullmatch(r"(    --hash=sha256:[0-9a-f]{64}( \\)?|[A-Za-z0-9._-]+==[^ ]+( ; [^:]+)? \\)", line), line
    assert "://" not in text


def locked(lock: str) -> dict[str, str]:
    """The entry of each name: version, marker and hashes."""
    entries = re.split(r"^(?=\S)", (ROOT / lock).read_text(), flags=re.MULTILINE)
    return {entry.partition("==")[0]: entry for entry in entries if entry.strip()}


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-build.lock"])
def test_development_uses_the_versions_of_production_and_of_the_build(lock: str) -> None:
    wanted = locked(lock)
    assert {name: entry for name, entry in locked("requirements-dev.lock").items() if name in wanted} == wanted


@pytest.mark.parametrize("name", ["pytest", "mypy", "ruff", "hatchling", "mkdocs", "playwright", "setuptools", "pip"])
def test_production_has_no_test_or_build_tools(name: str) -> None:
    assert name not in locked("requirements.lock")


def test_every_source_file_says_what_it_is_for() -> None:
    bare = [name for name, text in files() if name.startswith(("gateway/", "bench/")) and name.endswith(".py")
            and text.strip() and not re.match(r'(#.*\n)*"""', text)]
    assert bare == []


@pytest.mark.parametrize("name", ["LICENSE", "CHANGELOG.md", "README.md", "requirements.lock", "gateway/py.typed",
                                  "conf/sealgate.yaml", "systemd/sealgate.service", ".ci/run", "docs/mail-way.svg"])
def test_it_is_there(name: str) -> None:
    assert (ROOT / name).read_text().strip() or name.endswith("py.typed")
