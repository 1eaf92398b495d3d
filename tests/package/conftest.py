"""The Debian package, made once for all tests of this directory. SEALGATE_DEB names one that is there already."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.peers import need

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Package:
    """`deb`: the file; `tree`: what it installs, unpacked; `control`: its control files."""

    deb: Path
    tree: Path
    control: Path


def made(directory: Path) -> Path:
    """The package, by the very script of `make deb`."""
    subprocess.run(["/usr/bin/python3", ROOT / "scripts" / "package" / "deb.py", "--output", directory / "dist",
                    "--work", directory / "work"], check=True, stdout=subprocess.DEVNULL)
    (deb,) = (directory / "dist").glob("*.deb")
    return deb


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    need("dpkg-deb", "dpkg")
    need("strip", "binutils")
    home = tmp_path_factory.mktemp("package")
    deb = Path(os.environ["SEALGATE_DEB"]) if "SEALGATE_DEB" in os.environ else made(home)
    shutil.rmtree(home / "work", ignore_errors=True)
    subprocess.run(["dpkg-deb", "--raw-extract", deb, home / "tree"], check=True)
    return Package(deb, home / "tree", home / "tree" / "DEBIAN")
