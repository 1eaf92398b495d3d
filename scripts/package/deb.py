"""Makes the Debian package: deb.py [--version VERSION] [--output dist]. See `make deb`.

It is made of a tree of stage.py by dpkg-deb alone, equal octet by octet each time: names are sorted, all times are
SOURCE_DATE_EPOCH (without it, that of the last commit), all files are root's. It holds no secret and no file of /etc:
settings are written by `sealgate init`, so no upgrade asks about them.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from stage import ROOT, VERSION, Tree, stage, version

SCRIPTS: Final = ("preinst", "postinst", "prerm", "postrm")
# Shared libraries of the system that the packages' modules load, and Debian's packages of them.
LIBRARIES: Final = {"libc.so": "libc6", "libm.so": "libc6", "libpthread.so": "libc6", "libdl.so": "libc6",
                    "librt.so": "libc6", "libutil.so": "libc6", "libresolv.so": "libc6", "ld-linux": "libc6",
                    "libstdc++.so": "libstdc++6", "libgcc_s.so": "libgcc-s1", "libz.so": "zlib1g",
                    "libldap.so.2": "libldap2", "liblber.so.2": "libldap2", "libsasl2.so": "libsasl2-2"}
_SHARED: Final = re.compile(r"\.so(\.\d+)*$")
_NEEDED: Final = re.compile(r"\(NEEDED\)\s+Shared library: \[([^]]+)\]")
_GLIBC: Final = re.compile(r"GLIBC_(\d+)\.(\d+)")
CONTROL: Final = """\
Package: sealgate
Version: {version}
Architecture: {architecture}
Maintainer: Sealgate maintainers <maintainers@sealgate.invalid>
Installed-Size: {size}
Depends: {depends}
Recommends: ca-certificates
Suggests: postfix, openssl, poppler-utils
Section: mail
Priority: optional
Description: mail encryption gateway for banks
 Signs, time-stamps and encrypts outbound mail as the bank's policies require,
 or does not send it; decrypts, verifies, judges and labels inbound mail. Built
 from S/MIME (RFC 8551), CMS, RFC 3161 and SMTP alone.
"""


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description="Make the Debian package.")
    parser.add_argument("--version", default=version(), help="default: that of the program")
    parser.add_argument("--output", type=Path, default=ROOT / "dist")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "deb")
    asked = parser.parse_args()
    if os.path.realpath(sys.executable) != f"/usr/bin/{VERSION}":
        sys.exit(f"make the package with Debian's own Python: /usr/bin/python3 {Path(__file__).name}")
    os.umask(0o022)
    moment = int(os.environ.get("SOURCE_DATE_EPOCH") or _last_commit())
    root = asked.work.absolute() / "root"
    shutil.rmtree(root, ignore_errors=True)
    tree = Tree(root, Path("/usr"), asked.work.absolute(), ldap=True)
    stage(tree)
    _documents(tree)
    _control(tree, asked.version)
    for path in (root, *root.rglob("*")):
        os.utime(path, (moment, moment), follow_symlinks=False)
    asked.output.mkdir(parents=True, exist_ok=True)
    made = asked.output / f"sealgate_{asked.version}_{_architecture()}.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Zzstd", "-z9", "--threads-max=1", "--build", root, made],
                   check=True, env={**os.environ, "SOURCE_DATE_EPOCH": str(moment)}, stdout=subprocess.DEVNULL)
    print(f"{made}  {hashlib.sha256(made.read_bytes()).hexdigest()}")


def _last_commit() -> str:
    command = ["git", "-C", ROOT, "log", "-1", "--format=%ct"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _architecture() -> str:
    return subprocess.run(["dpkg", "--print-architecture"], check=True, capture_output=True, text=True).stdout.strip()


def _documents(tree: Tree) -> None:
    """Names that Debian's tools look for."""
    documents = tree.at("share", "doc", "sealgate")
    shutil.copy(Path(__file__).parent / "debian" / "copyright", documents / "copyright")
    (documents / "LICENSE").unlink()  # of the system: /usr/share/common-licenses


def _control(tree: Tree, version: str) -> None:
    directory = tree.destdir / "DEBIAN"
    files = sorted(path for path in tree.destdir.rglob("*") if path.is_file() and not path.is_symlink())
    size = sum(-(-path.stat().st_size // 1024) for path in files)
    directory.mkdir()
    text = CONTROL.format(version=version, architecture=_architecture(), size=size, depends=", ".join(_depends(tree)))
    (directory / "control").write_text(text)
    (directory / "md5sums").write_text("".join(
        f"{hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()}  {path.relative_to(tree.destdir)}\n"
        for path in files))
    for name in SCRIPTS:
        shutil.copy(Path(__file__).parent / "debian" / name, directory / name)
        (directory / name).chmod(0o755)


def _depends(tree: Tree) -> Iterator[str]:
    """The minor version of Python that the modules were compiled for, and the libraries that they load."""
    modules = sorted(path for path in tree.packages.rglob("*") if _SHARED.search(path.name) and path.is_file())
    text = subprocess.run(["readelf", "-dVW", *modules], check=True, capture_output=True, text=True).stdout
    ours = {path.name for path in modules}
    packages = {_package_of(name) for name in sorted(set(_NEEDED.findall(text)) - ours)}
    major, minor = max((int(major), int(minor)) for major, minor in _GLIBC.findall(text))
    yield VERSION
    yield "adduser"
    yield from (f"libc6 (>= {major}.{minor})" if name == "libc6" else name for name in sorted(packages))


def _package_of(library: str) -> str:
    for prefix, package in LIBRARIES.items():
        if library.startswith(prefix):
            return package
    sys.exit(f"a module loads {library}, which no package brings; add it to LIBRARIES in {Path(__file__).name}")


if __name__ == "__main__":
    main()
