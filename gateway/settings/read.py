"""Reads sealgate.yaml and reports all problems at once, each with file:line:column and the nearest name.

Paths in the file are relative to the file's own directory; a credential of systemd goes before the file it is made of.
"""

import os
from pathlib import Path
from typing import Any, Final, TypeVar

from gateway import strictyaml
from gateway.errors import GatewayError, Reason
from gateway.settings.base import Section
from gateway.settings.findings import findings
from gateway.settings.settings import Settings

AnySection = TypeVar("AnySection", bound=Section)


_NAME_IT: Final = "Name the configuration file with `sealgate --config FILE` or the variable SEALGATE_CONFIG"
_AS_ROOT: Final = "Run the command as root or as the user of the gateway, such as `sudo -u sealgate sealgate check`"


def load(path: Path) -> Settings:
    """The settings of a file, with all paths absolute.

    CONFIG_UNREADABLE if the file cannot be read; strictyaml.YamlProblems (CONFIG_INVALID) with all its problems.
    """
    return read(text_of(path), path)


def text_of(path: Path, missing: str = _NAME_IT) -> str:
    """The content of the file. CONFIG_UNREADABLE with a remedy if it cannot be read; `missing`: that of no file."""
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        remedy = _AS_ROOT if isinstance(error, PermissionError) else missing
        raise GatewayError(Reason.CONFIG_UNREADABLE, f"{path}: {error.strerror}. {remedy}") from None
    except UnicodeDecodeError as error:
        raise GatewayError(Reason.CONFIG_UNREADABLE, f"{path}: octet {error.start} is not valid UTF-8. Save the file "
                           "as UTF-8") from None


def read(text: str, path: Path) -> Settings:
    """As `load`, of a text in place of the file at `path`."""
    document = strictyaml.load(text, str(path), Settings)
    settings = strictyaml.validate(Settings, document)
    problems = [document.problem(at, what, remedy) for at, what, remedy in findings(settings)]
    if problems:
        raise strictyaml.YamlProblems(problems)
    return _with_state(_absolute(settings, path.absolute().parent), settings)


def _absolute(section: AnySection, base: Path) -> AnySection:
    """The same values with every relative path resolved against `base`."""
    changed = {name: _resolved(getattr(section, name), base) for name in type(section).model_fields}
    return section.model_copy(update=changed)


def _with_state(settings: Settings, given: Settings) -> Settings:
    """Results of runs are beside the database where no directory is given: the service cannot write elsewhere."""
    own = given.statements
    if own is None or settings.statements is None or "reports" in own.model_fields_set:
        return settings
    reports = settings.database.parent / own.reports
    return settings.model_copy(update={"statements": settings.statements.model_copy(update={"reports": reports})})


def _resolved(value: Any, base: Path) -> Any:
    if isinstance(value, Path):
        return _credential(base / value, base) or base / value
    if isinstance(value, Section):
        return _absolute(value, base)
    if isinstance(value, tuple):
        return tuple(_resolved(item, base) for item in value)
    return value


def _credential(path: Path, base: Path) -> Path | None:
    """The file of systemd in place of one beside the settings (systemd.exec: LoadCredential= of a directory).

    keys/otp.key.pem is there as keys_otp.key.pem: the service and root's commands read the same settings.
    """
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    if directory is None or not path.is_relative_to(base):
        return None
    handed = Path(directory, "_".join(path.relative_to(base).parts))
    return handed if handed.is_file() else None
