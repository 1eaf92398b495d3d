"""The installed program: the files that come with it, and how it starts itself."""

import sys
from importlib.resources import files
from pathlib import Path
from typing import Literal


def directory(name: Literal["policies", "conf", "systemd"]) -> Path:
    """Inside the package where it is installed, beside it in a source tree."""
    package = Path(str(files("gateway")))
    inside = package / f"_{name}"
    return inside if inside.is_dir() else package.parent / name


def own_command() -> tuple[str, ...]:
    """`sealgate`, by the same Python. -P: no module is loaded from the directory in which root types a command."""
    return (sys.executable, "-P", "-m", "gateway")
