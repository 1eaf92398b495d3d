"""Installs Sealgate into a tree: stage.py --destdir DIR --prefix /usr. See `make install` and `make deb`.

    PREFIX/lib/sealgate/bin/python3, pyvenv.cfg     the system's Python, with these packages and no others
    PREFIX/lib/sealgate/lib/python3.X/site-packages what requirements.lock names, and Sealgate; byte code
    PREFIX/bin/sealgate                             starts it
    PREFIX/lib/systemd/system, share/man, share/bash-completion, share/doc
    PREFIX/share/sealgate/conf, policies            the sample of the settings, pieces for Postfix, shipped rules

The tree is complete below DESTDIR and names no path of the machine that made it: it can be moved to PREFIX of another
machine with the same minor version of Python. It is equal octet by octet each time it is made of the same sources.
"""

import argparse
import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sbom import sbom
from trim import strip, trim

ROOT: Final = Path(__file__).parents[2]
VERSION: Final = f"python{sys.version_info.major}.{sys.version_info.minor}"
FROM_SOURCE: Final = ("authres",)  # packages without a wheel; built by requirements-build.lock, without a compiler
DOCUMENTS: Final = ("README.md", "CHANGELOG.md", "SECURITY.md", "LICENSE")


@dataclass(frozen=True, slots=True)
class Tree:
    """Below `destdir`, for `prefix`. `work`: for what is made on the way. `ldap`: with the library of directories."""

    destdir: Path
    prefix: Path
    work: Path
    ldap: bool = False

    def at(self, *names: str) -> Path:
        """A path of the tree, as it is now."""
        return self.destdir.joinpath(*self.prefix.parts[1:], *names)

    @property
    def home(self) -> Path:
        """Where everything is but what the system looks for elsewhere."""
        return self.at("lib", "sealgate")

    @property
    def packages(self) -> Path:
        """Python's packages."""
        return self.home / "lib" / VERSION / "site-packages"

    def python(self, *arguments: str | Path, **environment: str) -> bytes:
        """What the installed Python prints. It writes no byte code of its own."""
        command = [self.home / "bin" / "python3", "-I", "-B", *arguments]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd="/",
                              env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **environment}).stdout


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description="Install Sealgate into a tree.")
    parser.add_argument("--destdir", type=Path, default=Path("/"))
    parser.add_argument("--prefix", type=Path, default=Path("/usr/local"))
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "stage")
    parser.add_argument("--ldap", action="store_true", help="with LDAP directories; needs a compiler and headers")
    asked = parser.parse_args()
    os.umask(0o022)
    stage(Tree(asked.destdir.absolute(), asked.prefix, asked.work.absolute(), asked.ldap))


def stage(tree: Tree) -> None:
    """Makes it; an earlier one there is replaced."""
    if tree.home.exists():
        shutil.rmtree(tree.home)
    tree.packages.mkdir(parents=True)
    _install(tree)
    _own(tree)
    trim(tree.packages)
    strip(tree.packages)
    _interpreter(tree)
    _compile(tree)
    _readable(tree)
    _launcher(tree)
    _units(tree)
    _manual(tree)
    _completion(tree)
    _documents(tree)


def _install(tree: Tree) -> None:
    """By a pip of its own. Every file that is fetched has its hash in a lock, also what builds."""
    tools = tree.work / "tools"
    subprocess.run([sys.executable, "-m", "venv", "--clear", tools], check=True)
    pip = (tools / "bin" / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check", "--require-hashes",
           "--no-deps", "--only-binary", ":all:")
    # Debugging information would name the directory in which a module is compiled, and its build id would follow it.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "CFLAGS": "-g0"}
    subprocess.run([*pip, "-r", ROOT / "requirements-build.lock"], check=True, env=environment)
    subprocess.run([*pip, "--no-build-isolation", "--no-binary", ",".join(FROM_SOURCE), "--no-compile",
                    "--report", tree.work / "report.json", "--target", tree.packages,
                    "-r", ROOT / "requirements.lock"], check=True, env=environment)
    if tree.ldap:
        subprocess.run([*pip, "--no-build-isolation", "--no-binary", ":all:", "--no-compile",
                        "--report", tree.work / "report-ldap.json", "--target", tree.packages,
                        "-r", ROOT / "requirements-ldap.lock"], check=True, env=environment)


def _own(tree: Tree) -> None:
    """The package and what the wheel carries inside it (`force-include` in pyproject.toml)."""
    hatch = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]
    included = hatch["build"]["targets"]["wheel"]["force-include"]
    for source, target in {"gateway": "gateway", **included}.items():
        shutil.copytree(ROOT / source, tree.packages / target, ignore=shutil.ignore_patterns("__pycache__"))


def _interpreter(tree: Tree) -> None:
    """A `pyvenv.cfg` that names the system's Python is all that makes an environment; it can be moved."""
    base = Path(sys.base_prefix) / "bin"
    (tree.home / "bin").mkdir()
    (tree.home / "bin" / "python3").symlink_to(base / VERSION)
    (tree.home / "pyvenv.cfg").write_text(f"home = {base}\ninclude-system-site-packages = false\n")


def _compile(tree: Tree) -> None:
    """Byte code that is not compared with its source's time, which a package sets."""
    text = ("import compileall, py_compile, sys; sys.exit(not compileall.compile_dir("
            "sys.argv[1], quiet=1, stripdir=sys.argv[2], prependdir='/', force=True, "
            "invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH))")
    tree.python("-c", text, tree.packages, tree.destdir)


def _readable(tree: Tree) -> None:
    """For everybody, whatever the umask was when the sources were fetched."""
    for path in tree.home.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)


def _launcher(tree: Tree) -> None:
    python = tree.prefix / "lib" / "sealgate" / "bin" / "python3"
    _write(tree.at("bin", "sealgate"), f"#!{python} -I\nfrom gateway.cli.main import main\n\nmain()\n", 0o755)


def _units(tree: Tree) -> None:
    for unit in (ROOT / "systemd").iterdir():
        text = unit.read_text("utf-8").replace("/usr/bin/sealgate", str(tree.prefix / "bin" / "sealgate"))
        _write(tree.at("lib", "systemd", "system", unit.name), text)


def _manual(tree: Tree) -> None:
    pages = tree.work / "man"
    shutil.rmtree(pages, ignore_errors=True)
    tree.python(ROOT / "scripts" / "man_pages.py", pages)
    for page in sorted(pages.iterdir()):
        _compressed(tree.at("share", "man", "man1", f"{page.name}.gz"), page.read_bytes())


def _completion(tree: Tree) -> None:
    script = tree.python(tree.at("bin", "sealgate"), _SEALGATE_COMPLETE="source_bash")
    _write(tree.at("share", "bash-completion", "completions", "sealgate"), script.decode())


def _documents(tree: Tree) -> None:
    for source in (*(ROOT / name for name in DOCUMENTS), *_files("docs", "examples")):
        _write(tree.at("share", "doc", "sealgate", source.relative_to(ROOT).as_posix()), source.read_bytes())
    reports = ("report.json", "report-ldap.json") if tree.ldap else ("report.json",)
    installed = [one for name in reports for one in json.loads((tree.work / name).read_text("utf-8"))["install"]]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = ("hsm", "postgres", "ldap") if tree.ldap else ("hsm", "postgres")
    direct = [*project["dependencies"], *(one for extra in extras for one in project["optional-dependencies"][extra])]
    _write(tree.at("share", "doc", "sealgate", "sbom.cdx.json"), sbom(installed, direct, version()))
    for source in _files("conf", "policies"):
        _write(tree.at("share", "sealgate", source.relative_to(ROOT).as_posix()), source.read_bytes())


def _files(*directories: str) -> Iterator[Path]:
    for directory in directories:
        found = (one for one in (ROOT / directory).rglob("*") if one.is_file())
        yield from sorted(one for one in found if "__pycache__" not in one.parts)


def version() -> str:
    """Of the program."""
    found = re.search(r'__version__ = "([^"]+)"', (ROOT / "gateway" / "__init__.py").read_text("utf-8"))
    return found[1] if found else sys.exit("gateway/__init__.py has no version")


def _compressed(path: Path, octets: bytes) -> None:
    _write(path, gzip.compress(octets, 9, mtime=0))


def _write(path: Path, text: str | bytes, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)


if __name__ == "__main__":
    main()
