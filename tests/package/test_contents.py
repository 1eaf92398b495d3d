"""What is in the Debian package and in the wheel. Truth: dpkg-deb, du, the program itself."""

import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gateway import __version__
from gateway.cli.main import COMMANDS
from tests.package.conftest import ROOT, Package, made

pytestmark = pytest.mark.package

INSTALLED_MAX_MB = 250
PRIVATE_KEY = re.compile(rb"BEGIN (RSA |EC |ENCRYPTED |OPENSSH )?PRIVATE KEY-----\s+[A-Za-z0-9+/]{40}")


def site(package: Package) -> Path:
    (found,) = package.tree.glob("usr/lib/sealgate/lib/python3.*/site-packages")
    return found


def python(package: Package, *arguments: str | Path) -> str:
    done = subprocess.run([package.tree / "usr/lib/sealgate/bin/python3", "-I", "-B", *arguments], cwd="/",
                          capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_made_twice_it_is_the_same_octet_by_octet(package: Package, tmp_path: Path) -> None:
    digests = {hashlib.sha256(deb.read_bytes()).hexdigest() for deb in (package.deb, made(tmp_path))}
    assert len(digests) == 1


def test_it_is_small(package: Package) -> None:
    """Blocks on the disk, as an administrator measures it."""
    told = subprocess.run(["du", "-sm", "--exclude=DEBIAN", package.tree], capture_output=True, text=True, check=True)
    assert int(told.stdout.split()[0]) <= INSTALLED_MAX_MB


@pytest.mark.parametrize("name", ["pip", "pytest", "mypy", "ruff", "hatchling", "setuptools", "mkdocs", "hypothesis"])
def test_no_test_or_build_tool_is_in_it(package: Package, name: str) -> None:
    assert not (site(package) / name).exists()


def test_it_has_no_secret_and_no_settings(package: Package) -> None:
    files = [path for path in package.tree.rglob("*") if path.is_file() and not path.is_symlink()]
    assert [path for path in files if PRIVATE_KEY.search(path.read_bytes())] == []
    assert {path.relative_to(package.tree).parts[0] for path in files} == {"usr", "DEBIAN"}


def test_modes_and_owners(package: Package) -> None:
    listed = subprocess.run(["dpkg-deb", "--contents", package.deb], capture_output=True, text=True, check=True).stdout
    assert {line.split()[1] for line in listed.splitlines()} == {"root/root"}
    modes = {stat.S_IMODE(path.lstat().st_mode) for path in package.tree.rglob("*") if not path.is_symlink()}
    assert modes <= {0o644, 0o755}
    links = [line.split(None, 5)[5] for line in listed.splitlines() if line.startswith("l")]
    assert len(links) == 1
    assert re.fullmatch(r"\./usr/lib/sealgate/bin/python3 -> /usr/bin/python3\.\d+", links[0])


def test_it_names_no_directory_of_the_machine_that_made_it(package: Package) -> None:
    """Without a compiled module of others, which names its own maker's."""
    work = str(package.deb.parents[1]).encode()
    found = [path for path in package.tree.rglob("*") if path.is_file() and work in path.read_bytes()]
    assert found == []


def test_byte_code_for_every_module(package: Package) -> None:
    """The service cannot write it: without it every start would compile for seconds."""
    sources = list(site(package).rglob("*.py"))
    missing = [path for path in sources
               if not list((path.parent / "__pycache__").glob(f"{path.stem}.cpython-*.pyc"))]
    assert len(sources) > 2000
    assert [path.name for path in missing] == []


def test_every_compiled_module_loads(package: Package) -> None:
    modules = (path for path in site(package).rglob("*.so") if not path.parent.name.endswith(".libs"))
    names = [str(path.relative_to(site(package))).split(".")[0].replace("/", ".") for path in modules]
    assert len(names) > 30
    python(package, "-c", "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)",
           "psycopg", *[name for name in names if "imagingtk" not in name])  # which needs a screen


def test_languages_of_europe_have_formats_and_others_do_not(package: Package) -> None:
    text = ("from babel.core import Locale, UnknownLocaleError\n"
            "for one in 'de de_AT en en_GB fr pl el is tr uk'.split(): Locale.parse(one)\n"
            "try: Locale.parse('ja')\nexcept UnknownLocaleError: print('unknown')")
    assert python(package, "-c", text) == "unknown\n"


def test_the_demo_runs_from_it(package: Package, tmp_path: Path) -> None:
    told = python(package, package.tree / "usr/bin/sealgate", "demo", "--once", "--home", tmp_path / "demo")
    assert (tmp_path / "demo" / "outgoing").is_dir()
    assert told


def test_control_files(package: Package) -> None:
    control = (package.control / "control").read_text()
    fields = dict(line.split(": ", 1) for line in control.splitlines() if not line.startswith(" "))
    assert fields["Version"] == __version__
    for package_name in (site(package).parent.name, "adduser", "libc6 (>= ", "libstdc++6", "zlib1g", "libldap2"):
        assert package_name in fields["Depends"]
    assert all(len(line) <= 80 for line in control.partition("Description")[2].splitlines())
    for script in ("preinst", "postinst", "prerm", "postrm"):
        assert (package.control / script).read_text().startswith("#!/bin/sh\n")
        subprocess.run(["sh", "-n", package.control / script], check=True)
    summed = {line.split("  ", 1)[1] for line in (package.control / "md5sums").read_text().splitlines()}
    assert summed == {str(path.relative_to(package.tree)) for path in (package.tree / "usr").rglob("*")
                      if path.is_file() and not path.is_symlink()}


def test_manual_completion_units_and_pages(package: Package) -> None:
    usr = package.tree / "usr"
    hidden = {"worker", "runs"}
    pages = {path.name for path in (usr / "share/man/man1").iterdir()}
    assert {f"sealgate-{name}.1.gz" for name in COMMANDS if name not in hidden} - pages == set()
    assert "_SEALGATE_COMPLETE" in (usr / "share/bash-completion/completions/sealgate").read_text()
    unit = (usr / "lib/systemd/system/sealgate.service").read_text()
    assert "ExecStart=/usr/bin/sealgate run\n" in unit
    for name in ("copyright", "CHANGELOG.md", "docs/install.md", "docs/upgrade.md"):
        assert (usr / "share/doc/sealgate" / name).is_file()
    for name in ("conf/sealgate.yaml", "conf/postfix/after-queue.main.cf", "policies/staff.yaml"):
        assert (usr / "share/sealgate" / name).read_bytes() == (ROOT / name).read_bytes()


def test_the_wheel_carries_what_the_program_needs(package: Package, tmp_path: Path) -> None:
    """In a fresh environment outside the tree; the packages that it needs are those of the Debian package."""
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-index", "--no-build-isolation",
                    "--wheel-dir", tmp_path, ROOT], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    subprocess.run(["/usr/bin/python3", "-m", "venv", tmp_path / "venv"], check=True)
    subprocess.run([tmp_path / "venv/bin/pip", "install", "-q", "--no-deps", "--no-index", wheel], check=True)
    (packages,) = (tmp_path / "venv").glob("lib/python3.*/site-packages")
    for one in site(package).iterdir():
        if one.name != "gateway" and not (packages / one.name).exists():
            (packages / one.name).symlink_to(one)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run([tmp_path / "venv/bin/sealgate", "demo", "--once", "--home", tmp_path / "demo"], cwd=tmp_path,
                          capture_output=True, text=True, check=False, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    inside = packages / "gateway"
    for name in ("_policies/staff.yaml", "_conf/sealgate.yaml", "_systemd/sealgate.service"):
        assert (inside / name).is_file()
    shutil.rmtree(tmp_path / "demo")


def test_the_bill_of_materials_lists_what_is_installed(package: Package) -> None:
    """CycloneDX 1.6; each hash is one that requirements.lock permits."""
    document = json.loads((package.tree / "usr/share/doc/sealgate/sbom.cdx.json").read_text())
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    lock = "".join((ROOT / name).read_text() for name in ("requirements.lock", "requirements-ldap.lock"))
    listed = {f"{one['name']}-{one['version']}".replace("-", "_").lower() for one in document["components"]}
    installed = {path.name.removesuffix(".dist-info").replace("-", "_").lower() for path in site(package).iterdir()
                 if path.suffix == ".dist-info"}
    assert {one.replace(".", "_") for one in listed} == {one.replace(".", "_") for one in installed}
    for one in document["components"]:
        assert all(f"sha256:{digest['content']}" in lock for digest in one["hashes"])
        assert one["licenses"], one["name"]
    references = {one["bom-ref"] for one in document["components"]} | {"sealgate"}
    assert {one["ref"] for one in document["dependencies"]} == references
    assert {needed for one in document["dependencies"] for needed in one["dependsOn"]} <= references
