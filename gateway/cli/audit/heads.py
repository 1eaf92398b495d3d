"""Heads of the audit log in files."""

from pathlib import Path

from gateway.cli.context import USAGE, fail
from gateway.errors import file_error


def read_head(path: Path) -> str:
    """The text of a file. Ends the command if it cannot be read."""
    try:
        return path.read_text("utf-8")
    except OSError as error:
        fail(file_error(path, error), USAGE)
    except UnicodeDecodeError:
        fail(f"{path}: the file is not UTF-8. Name a file with signed heads (docs/audit.md)", USAGE)
