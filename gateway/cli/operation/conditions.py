"""Conditions of lists, as options of commands."""

import typer

from gateway.cli.context import USAGE, fail
from gateway.errors import Reason


def not_empty(context: typer.Context, parameter: typer.CallbackParam, text: str) -> str:
    """For `callback`. An option that is given empty is a variable that a script has not set, and no condition: with
    `--all` it would mean all mail.
    """
    source = context.get_parameter_source(parameter.name or "")
    if not text and source is not None and source.name == "COMMANDLINE":
        fail(f"{parameter.opts[0]} is empty. Give it a value, or leave it out", USAGE)
    return text


def one_of(option: str, text: str, values: tuple[str, ...]) -> None:
    """Ends the command where `text` is given and is none of the values."""
    if text and text not in values:
        fail(f"{option} {text!r} does not exist. It is one of: {', '.join(values)}", USAGE)


def reason_or_family(text: str) -> None:
    """Ends the command where `--reason` is given and is neither a reason nor the first part of one."""
    if text and not any(reason == text or reason.startswith(f"{text}.") for reason in Reason):
        fail(f"--reason {text!r} does not exist. Write one such as certificate.expired, or its first part", USAGE)
