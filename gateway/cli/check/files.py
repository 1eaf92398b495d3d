"""`sealgate check`: the files that the settings name: that each is there, and that no others may change what decides.

Some are opened only when a mail or a partner needs them: the roots of a directory, its password, a partner's token.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from gateway.app.tokens import unusable
from gateway.cli import context
from gateway.model.finding import Finding
from gateway.settings import Settings
from gateway.settings.base import Section

# Made by the first use, or kept off line until it is needed.
_MAY_BE_MISSING: Final = frozenset({"database", "archive_key", "archive_passphrase_file", "spool", "reports"})


def files(settings: Settings) -> Iterator[Finding]:
    """Checks every file of the settings: that it exists, and who may write it."""
    for about, name, path in _named(settings, ""):
        try:
            path.stat()
        except (FileNotFoundError, NotADirectoryError):
            if name not in _MAY_BE_MISSING:
                yield Finding("error", about or name,
                              f"{path}: No such file or directory. {_remedy(about, name, path)}")
            continue
        except OSError:  # a directory above it denies access
            pass
        if not os.access(path, os.R_OK):
            yield Finding("error", about or name,
                          f"{path}: Permission denied. Give the gateway's user read access, or correct `{name}`")
    for client, error in unusable(settings):
        yield Finding("error", f"client {client}", error.detail)
    for path in (context.config_path(), *settings.policies):
        if path.exists() and path.stat().st_mode & 0o022:
            yield Finding("warning", "files", f"other users can change {path}; run `chmod go-w {path}`")


def _remedy(about: str, name: str, path: Path) -> str:
    """Returns what to do about a missing file."""
    if name == "token_file":
        kind, _, whose = about.partition(" ")
        return f"Create it with `sealgate {'client' if kind == 'client' else 'http'} token {whose}`"
    if name == "callback_secret_file":
        command = f"(umask 077; printf 'whsec_%s\\n' \"$(openssl rand -base64 32)\" > {path})"
        return f"Create it with `{command}`, or correct `{name}`"
    if name.endswith("secret_file"):
        return f"Create it with `(umask 077; openssl rand -hex 32 > {path})`, or correct `{name}`"
    return f"Create it, or correct `{name}`"


def _named(section: Section, about: str) -> Iterator[tuple[str, str, Path]]:
    """Every path below a section: whose it is, the setting's name, and where."""
    for name in type(section).model_fields:
        value = getattr(section, name)
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, Path):
                yield about, name, one
            elif isinstance(one, Section):
                yield from _named(one, _about(name, one, about))


def _about(name: str, section: Section, outer: str) -> str:
    """Such as `source partner`; a section without a name is named by its place."""
    own = getattr(section, "name", "")
    return f"{name.removesuffix('s')} {own}" if own else f"{outer} {name}".strip()
