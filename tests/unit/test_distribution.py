"""What comes with the program is found, and it starts itself and nothing else."""

import os
import subprocess
from pathlib import Path

import pytest

from gateway import __version__
from gateway.distribution import directory, own_command


@pytest.mark.parametrize(("name", "file"), [("policies", "staff.yaml"), ("conf", "sealgate.yaml"),
                                            ("systemd", "sealgate.service")])
def test_files_of_the_distribution(name: str, file: str) -> None:
    assert (directory(name) / file).is_file()


def test_a_package_in_the_working_directory_is_not_loaded(tmp_path: Path) -> None:
    """Root types commands in directories of others, too: `python -m` alone would run their code."""
    (tmp_path / "gateway").mkdir()
    (tmp_path / "gateway" / "__init__.py").write_text("raise SystemExit('foreign code')")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([*own_command(), "--version"], cwd=tmp_path, capture_output=True, text=True, check=False,
                          env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"sealgate {__version__}\n", "")
