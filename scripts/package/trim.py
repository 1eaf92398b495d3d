"""What an installation does not need of its packages, with the reason. It saves a third of 340 MB."""

import shutil
import subprocess
from pathlib import Path
from typing import Final

# Numbers, dates and names of months for customers' mails. A language of a template that is not here is an error
# (gateway/letters/write.py), not English.
LANGUAGES: Final = frozenset((
    "bg", "cs", "da", "de", "el", "en", "es", "et", "fi", "fr", "ga", "hr", "hu", "it", "lt", "lv", "mt", "nl", "pl",
    "pt", "ro", "sk", "sl", "sv",                           # of the European Union
    "is", "lb", "nb", "nn", "no", "rm",                     # of the other states of EEA and EFTA, and of Luxembourg
    "be", "bs", "hy", "ka", "mk", "ru", "sq", "sr", "tr", "uk",  # of their neighbours
    "br", "ca", "cy", "eu", "fo", "fur", "fy", "gd", "gl", "hsb", "dsb", "sc", "se", "oc",  # of regions
))

# Directories and files by their names. Each is of no use at run time.
_DIRECTORIES: Final = ("tests", "testing", "bin")          # tests of packages; pip's copies of their commands
_SUFFIXES: Final = (".pyx", ".pxd", ".pxi", ".pyi", ".c", ".cpp", ".h")  # sources and types of what is compiled
_OF_PIP: Final = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")  # would name files that are not here


# Single things, by patterns below the packages.
_NAMED: Final = (
    "pygments/lexers/[a-z]*.py",  # programming languages that `rich` could colour; nothing here is coloured so
    "PIL/_avif*.so", "pillow.libs/libavif*",  # a format of pictures that no mail and no PDF of ours has
)


def trim(packages: Path) -> None:
    """Removes them from a tree that pip has filled."""
    for file in [one for pattern in _NAMED for one in packages.glob(pattern)]:
        file.unlink()
    for directory in [one for name in _DIRECTORIES for one in packages.rglob(name) if one.is_dir()]:
        shutil.rmtree(directory, ignore_errors=True)
    for file in [one for one in packages.rglob("*") if one.is_file()]:
        if file.suffix in _SUFFIXES or (file.name in _OF_PIP and file.parent.suffix == ".dist-info"):
            file.unlink()
    for file in (packages / "babel" / "locale-data").iterdir():
        if file.stem != "root" and file.stem.partition("_")[0] not in LANGUAGES:
            file.unlink()


def strip(packages: Path) -> None:
    """Symbols for debuggers: 60 MB. Not from libraries that packages bring (*.libs), which their makers edited."""
    modules = sorted(one for one in packages.rglob("*.so") if not one.parent.name.endswith(".libs"))
    subprocess.run(["strip", "--strip-unneeded", *modules], check=True)
