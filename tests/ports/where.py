"""Where a database is, as one argument of a process."""

from pathlib import Path

from gateway.settings.deployment import Postgresql


def written(where: Path | Postgresql) -> str:
    return where.model_dump_json() if isinstance(where, Postgresql) else str(where)


def read(text: str) -> Path | Postgresql:
    return Postgresql.model_validate_json(text) if text.startswith("{") else Path(text)
