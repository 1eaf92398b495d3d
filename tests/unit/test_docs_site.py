"""The documentation as a site and as man pages. Truth: MkDocs' own check of links, and groff's warnings."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from gateway.cli.main import COMMANDS
from tests.support.peers import need

ROOT = Path(__file__).parents[2]


def test_every_page_is_in_the_site_and_every_link_leads_somewhere(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(tmp_path)], cwd=ROOT,
                          capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "search" / "search_index.json").stat().st_size > 100_000
    assert all("](../" not in page.read_text("utf-8") for page in tmp_path.rglob("*.html"))


def test_a_broken_link_is_an_error(tmp_path: Path) -> None:
    """The check of the test before does look."""
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("# A page\n\n[gone](none.md)\n")
    settings = {"site_name": "x", "validation": settings["validation"]}
    (tmp_path / "mkdocs.yml").write_text(yaml.safe_dump(settings))
    done = subprocess.run([sys.executable, "-m", "mkdocs", "build", "--strict"], cwd=tmp_path,
                          capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode != 0
    assert "none.md" in done.stderr


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("man")
    subprocess.run([sys.executable, "scripts/man_pages.py", str(directory)], cwd=ROOT, check=True, timeout=120,
                   env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin"})
    return directory


def test_every_command_has_a_man_page_without_a_warning(pages: Path) -> None:
    found = {path.stem for path in pages.iterdir()}
    assert {"sealgate", "sealgate-statements", "sealgate-check"} <= found
    assert {name.removeprefix("sealgate-") for name in found} - {"sealgate"} <= set(COMMANDS)
    groff = need("groff", "groff-base")
    for path in sorted(pages.iterdir()):
        done = subprocess.run([groff, "-man", "-Tutf8", "-ww", str(path)], capture_output=True, text=True, check=True,
                              timeout=60)
        assert done.stderr == "", path.name
        assert "NAME" in done.stdout


def test_a_man_page_has_synopsis_options_and_example(pages: Path) -> None:
    text = (pages / "sealgate-hold.1").read_text()
    assert ".SH NAME\nsealgate\\-hold \\- " in text
    assert ".B sealgate hold show\n[OPTIONS] {ID}" in text
    assert "Example: sealgate hold show" in text
