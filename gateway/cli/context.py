"""Shared by all commands: the path of the configuration, exit codes, and messages.

Messages go to standard error, data to standard output. Exit codes: 0 good, 1 the answer is bad,
2 usage, configuration or a missing permission, 69 refused by policy, 75 temporary (sysexits.h).
"""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NoReturn

import typer

from gateway.errors import GatewayError, Reason
from gateway.model.sentences import SENTENCES
from gateway.settings import Settings
from gateway.settings import load as load_settings

BAD: Final = 1
USAGE: Final = 2
REFUSED: Final = 69
TEMPORARY: Final = 75

CONFIG_VARIABLE: Final = "SEALGATE_CONFIG"
CONFIG_DEFAULT: Final = "/etc/sealgate/sealgate.yaml"

_OTHER_USER: Final = ("Run the command as the gateway's user, such as `sudo -u sealgate sealgate check`, or correct "
                      "the owner and mode of the file and its directory.")
_DENIED: Final = frozenset({"SQLITE_READONLY", "SQLITE_READONLY_DIRECTORY", "SQLITE_PERM"})
_CAUSES_MAX: Final = 10  # length of a chain of exceptions that is examined


def config_path() -> Path:
    """The file of `--config`, else $SEALGATE_CONFIG, else /etc/sealgate/sealgate.yaml."""
    return Path(os.environ.get(CONFIG_VARIABLE) or CONFIG_DEFAULT)


def settings() -> Settings:
    """The settings in force; ends with exit 2 and all problems if they cannot be loaded."""
    with reporting_errors():
        return load_settings(config_path())


def is_child() -> bool:
    """Whether the relay started this process (frontends.processes.children): then standard error is its log."""
    return "SEALGATE_PARENT" in os.environ


def say(text: str) -> None:
    """One message to standard error; of the relay's child one line of its log."""
    if is_child():
        text = json.dumps({"text": text, "event": "process.output", "level": "error",
                           "timestamp": f"{datetime.now(UTC):%FT%TZ}"})
    with suppress(OSError):  # a full disk or a closed pipe must not change how the command ends
        print(text, file=sys.stderr)


def fail(text: str, code: int = BAD) -> NoReturn:
    """A message, and the end."""
    say(f"sealgate: {text}")
    raise typer.Exit(code)


@contextmanager
def reporting_errors() -> Iterator[None]:
    """A GatewayError inside ends the command: what, where, remedy; never a traceback."""
    try:
        yield
    except GatewayError as trouble:
        say(f"sealgate: {explained(trouble)}")
        raise typer.Exit(exit_code(trouble)) from None


def explained(trouble: GatewayError) -> str:
    """What happened, why, and the administrator's remedy. Errors of the configuration and of a call have their own."""
    if trouble.reason.family in ("config", "usage") and trouble.detail:
        return trouble.detail
    detail = f" ({trouble.detail})" if trouble.detail else ""
    if is_denied(trouble):
        return f"{trouble.reason}: This user cannot access a file that the command needs.{detail} {_OTHER_USER}"
    sentence = SENTENCES[trouble.reason]
    return f"{trouble.reason}: {sentence.what}{detail} {sentence.admin}"


def is_denied(trouble: GatewayError) -> bool:
    """Whether this user may not access a file (errno EACCES, EPERM; SQLite's words for it): a retry would not help."""
    cause: BaseException | None = trouble
    for _ in range(_CAUSES_MAX):
        if isinstance(cause, PermissionError) or getattr(cause, "sqlite_errorname", "") in _DENIED:
            return True
        if cause is None:
            break
        cause = getattr(cause, "orig", None) or cause.__cause__ or cause.__context__
    return False


def exit_code(trouble: GatewayError) -> int:
    """75 for what may succeed later, 2 for configuration, usage and missing permissions, 1 for the rest."""
    if is_denied(trouble) and not is_child():
        return USAGE
    if trouble.retry:
        return TEMPORARY
    if trouble.reason.family in ("config", "usage") or trouble.reason is Reason.INPUT_UNREADABLE:
        return USAGE
    return BAD
