"""What all commands share: where the configuration is, how they end, how they speak.

Messages go to standard error, data to standard output. Exit codes: 0 good, 1 the answer is bad,
2 usage or configuration, 69 refused by policy, 75 temporary (sysexits.h).
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


def config_path() -> Path:
    """The file of `--config`, else $SEALGATE_CONFIG, else /etc/sealgate/sealgate.yaml."""
    return Path(os.environ.get(CONFIG_VARIABLE) or CONFIG_DEFAULT)


def settings() -> Settings:
    """The settings in force; ends with exit 2 and every problem told if they do not load."""
    with told():
        return load_settings(config_path())


def is_child() -> bool:
    """Whether the relay has started this process (`frontends.children`): then standard error is the relay's log."""
    return "SEALGATE_PARENT" in os.environ


def say(text: str) -> None:
    """One message to standard error; of the relay's child one line of its log."""
    if is_child():
        text = json.dumps({"text": text, "event": "said", "level": "error", "timestamp": f"{datetime.now(UTC):%FT%TZ}"})
    with suppress(OSError):  # a full disk or a closed pipe must not change how the command ends
        print(text, file=sys.stderr)


def fail(text: str, code: int = BAD) -> NoReturn:
    """A message, and the end."""
    say(f"sealgate: {text}")
    raise typer.Exit(code)


@contextmanager
def told() -> Iterator[None]:
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
    sentence = SENTENCES[trouble.reason]
    return f"{trouble.reason}: {sentence.what}{detail} {sentence.admin}"


def exit_code(trouble: GatewayError) -> int:
    """75 for what may succeed later, 2 for configuration and usage, 1 for the rest."""
    if trouble.retry:
        return TEMPORARY
    if trouble.reason.family in ("config", "usage") or trouble.reason is Reason.INPUT_UNREADABLE:
        return USAGE
    return BAD
