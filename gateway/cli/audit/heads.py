"""Heads of the audit log in files."""

from pathlib import Path

from gateway.cli.context import USAGE, fail


def read_head(path: Path) -> str:
    """The text of a file. Ends the command if it cannot be read."""
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{path}: {getattr(error, 'strerror', None) or 'the file is not UTF-8'}", USAGE)
