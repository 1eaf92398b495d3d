"""Conditions of lists, as options of commands."""

from gateway.cli.context import USAGE, fail
from gateway.errors import Reason


def one_of(option: str, text: str, values: tuple[str, ...]) -> None:
    """Ends the command where `text` is given and is none of the values."""
    if text and text not in values:
        fail(f"{option} {text!r} does not exist. It is one of: {', '.join(values)}", USAGE)


def reason_or_family(text: str) -> None:
    """Ends the command where `--reason` is given and is neither a reason nor the first part of one."""
    if text and not any(reason == text or reason.startswith(f"{text}.") for reason in Reason):
        fail(f"--reason {text!r} does not exist. Write one such as certificate.expired, or its first part", USAGE)
