"""The file of a run (RUN.yaml) as values: recipients, documents and texts of one run.

The settings (`statements`) apply to all runs; a run can lower a limit, but not raise it.
"""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway import strictyaml
from gateway.errors import GatewayError, Reason

_NAME = r"^[^\x00-\x1f\x7f]{1,100}$"
_WORD = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$"
_LANGUAGE = r"^[a-z]{2,3}(-[A-Za-z]{2,4})?$"
_FILLED = re.compile(r"\{(period|version|row)\}")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Sql(_Part):
    """A query of the bank's own database; it is executed once, at the start."""

    url_file: Path = Field(description="first line is SQLAlchemy's URL; mode 0600")
    query: str = Field(min_length=1, max_length=20_000, description="a SELECT")


class Columns(_Part):
    """The names of the columns in the source; '' = no such column."""

    customer: str = Field("customer", min_length=1, description="the customer's number")
    account: str = Field(
        "account", min_length=1, description="the account of the statement; never stored, never logged")
    version: str = Field("", description="version of the statement; without the column it is 1")
    document: str = Field("", description="file name in `documents.directory`")
    holders: str = Field("", description="numbers of joint holders, separated by `;`: each gets a separate mail")
    address: str = Field("", description="the mail address; '' = the customer's addresses in the store")
    language: str = Field("", description="language of the mail, such as en")

    def named(self) -> tuple[str, ...]:
        """All columns that the source must have."""
        return tuple(value for value in self.model_dump().values() if value)


class SourceSpec(_Part):
    """Exactly one of csv, json_lines and sql."""

    csv: Path | None = None
    json_lines: Path | None = None
    sql: Sql | None = None
    delimiter: Literal[",", ";", "\t", "|"] = Field(",", description="separator of a CSV file")

    @property
    def kind(self) -> Literal["csv", "json_lines", "sql"]:
        """Which of them it is."""
        return "csv" if self.csv is not None else "json_lines" if self.json_lines is not None else "sql"

    @property
    def path(self) -> Path | None:
        """The file; None for a query."""
        return self.csv or self.json_lines


class DocumentsSpec(_Part):
    """Exactly one of directory and template."""

    directory: Path | None = Field(None, description="finished PDFs, named by the column `document`")
    template: str = Field("", description="`statement`, `bill` or a template of the bank: rendered for each row")
    digest: str = Field("", pattern=r"^([0-9a-f]{64})?$", description="SHA-256 of the template and its files, as "
                        "`sealgate documents list` prints it; '' = the template at the start of the run")
    filename: str = Field("statement-{period}.pdf", pattern=r"^[^/\\\x00-\x1f\x7f]{1,100}\.pdf$",
                          description="file name for the customer; {period}, {version} and {row} are replaced")
    accessible: bool = Field(True, description="reject documents that are not accessible (ISO 14289)")


class Spec(_Part):
    """One run."""

    version: Literal[1]
    name: str = Field(pattern=_NAME, description="name of the run for people")
    period: str = Field(pattern=_WORD, description="part of the idempotency key: a statement of 2026-10 is sent once")
    source: SourceSpec
    columns: Columns = Columns()
    documents: DocumentsSpec
    language: str | None = Field(None, pattern=_LANGUAGE, description="None = the value in the settings")
    template: str = Field("statement", pattern=r"^[a-z][a-z0-9_]{0,39}$", description="template of the mail")
    values: dict[str, str] = Field(default_factory=dict, max_length=50,
                                   description="further values for the templates of mail and document")
    per_domain_per_minute_max: int = Field(0, ge=0, description="0 = the value in the settings")
    refused_percent_max: float | None = Field(None, ge=0, le=100, description="None = the value in the settings")
    give_up_after_s: int = Field(86_400, ge=0, le=604_800, description="how long deferred mails are retried")


def read(text: str, name: str, base: Path | None = None) -> Spec:
    """The file of a run. `name` is used in places; `base`: its directory, to which its paths are relative.

    strictyaml.YamlProblems (CONFIG_INVALID) with all problems. Missing files are only reported if `base` is given, so
    that callers over HTTP cannot find out which files exist.
    """
    document = strictyaml.load(text, name, Spec)
    spec = strictyaml.validate(Spec, document)
    found = [*_findings(spec), *(_gone(spec, base) if base is not None else ())]
    if problems := [document.problem(at, what, remedy) for at, what, remedy in found]:
        raise strictyaml.YamlProblems(problems)
    return spec


def of_mapping(given: Mapping[str, Any], name: str = "run") -> Spec:
    """The same out of values, as they come over HTTP."""
    document = strictyaml.Document(name, dict(given), {(): (1, 1)}, {})
    spec = strictyaml.validate(Spec, document)
    if problems := [document.problem(at, what, remedy) for at, what, remedy in _findings(spec)]:
        raise strictyaml.YamlProblems(problems)
    return spec


def _findings(spec: Spec) -> list[tuple[strictyaml.Path, str, str]]:
    found: list[tuple[strictyaml.Path, str, str]] = []
    given = [one for one in (spec.source.csv, spec.source.json_lines, spec.source.sql) if one is not None]
    if len(given) != 1:
        found.append((("source",), f"`source` has {len(given)} sources, not one",
                      "set exactly one of csv, json_lines and sql"))
    if (spec.documents.directory is None) == (not spec.documents.template):
        found.append((("documents",), "`documents` needs either `directory` or `template`",
                      "set exactly one of the two"))
    if spec.documents.directory is not None and not spec.columns.document:
        found.append((("columns",), "`documents.directory` needs the column of the file names",
                      "write columns: {document: NAME}"))
    if not {"{", "}"}.isdisjoint(_FILLED.sub("", spec.documents.filename)):
        found.append((("documents", "filename"), "`filename` contains unknown words in braces",
                      "use only {period}, {version} and {row}"))
    return found


def filled_in(filename: str, words: Mapping[str, str]) -> str:
    """With the run's own words for {period}, {version} and {row}. No `str.format`: that is a small language, in which a

    file name may ask for a gigabyte of blanks.
    """
    return _FILLED.sub(lambda found: words[found[1]], filename)


def _gone(spec: Spec, base: Path) -> list[tuple[strictyaml.Path, str, str]]:
    source, sql = spec.source, spec.source.sql
    files: tuple[tuple[strictyaml.Path, Path | None], ...] = (
        (("source", "csv"), source.csv), (("source", "json_lines"), source.json_lines),
        (("source", "sql", "url_file"), sql.url_file if sql is not None else None))
    found: list[tuple[strictyaml.Path, str]] = [
        (at, f"the file `{base / path}` does not exist") for at, path in files if path and not (base / path).is_file()]
    directory = spec.documents.directory
    if directory is not None and not (base / directory).is_dir():
        found.append((("documents", "directory"), f"the directory `{base / directory}` does not exist"))
    return [(at, what,
        "create it, or correct the path; relative paths start at the directory of this file") for at, what in found]


def placed(spec: Spec, base: Path, *, below: Path | None = None) -> Spec:
    """All paths absolute, relative ones from `base`. `below`: none of them may be elsewhere (runs over HTTP).

    With `below` no file system is asked: links are followed by `confined`, in the process that opens the files.
    USAGE for a path elsewhere; it is named as it was written.
    """
    def absolute(path: Path) -> Path:
        if "\0" in str(path):
            raise GatewayError(Reason.USAGE, "the path contains a NUL character. Remove it")
        if below is None:
            return (base / path).resolve()
        full = _lexical(base / path)
        if not full.is_relative_to(_lexical(below)):
            raise GatewayError(Reason.USAGE,
                               f"`{path}` is not below the directory `statements.sources`. Use a path below it")
        return full

    if spec.source.sql is not None and below is not None:
        raise GatewayError(Reason.USAGE,
                           "`source.sql` is not allowed over HTTP. Use it in the file of a run on the gateway")
    return _with_paths(spec, absolute)


def confined(spec: Spec, sources: Path) -> Spec:
    """The paths of a run that `placed` took, with their links followed. Only for a process that may hang.

    INPUT_UNREADABLE for a path below `sources` of which a link leads elsewhere.
    """
    def real(path: Path) -> Path:
        try:
            full = path.resolve()
            outside = path.is_relative_to(_lexical(sources)) and not full.is_relative_to(sources.resolve())
        except (OSError, RuntimeError) as error:  # a circle of links
            raise GatewayError(Reason.INPUT_UNREADABLE, f"{path}: {type(error).__name__}") from None
        if outside:
            raise GatewayError(Reason.INPUT_UNREADABLE,
                               f"{path}: a symbolic link points outside {sources}. Copy the file there instead")
        return full

    return _with_paths(spec, real)


def _lexical(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100 - `resolve` asks the file system


def _with_paths(spec: Spec, change: Callable[[Path], Path]) -> Spec:
    def absolute(path: Path | None) -> Path | None:
        return None if path is None else change(path)

    source, documents = spec.source, spec.documents
    sql = source.sql and source.sql.model_copy(update={"url_file": absolute(source.sql.url_file)})
    return spec.model_copy(update={
        "source": source.model_copy(update={"csv": absolute(source.csv), "json_lines": absolute(source.json_lines),
                                            "sql": sql}),
        "documents": documents.model_copy(update={"directory": absolute(documents.directory)})})
