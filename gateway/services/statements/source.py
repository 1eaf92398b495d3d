"""The source of a run: CSV or lines of JSON, read row by row from any place in the file.

A place is the number of octets before a row, so that a process begins in the middle of a million rows without reading
those before. A bad row is reported with its number, and the next one is read.
"""

import csv
import hashlib
import json
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from gateway.errors import GatewayError, Reason
from gateway.model.address import is_mailbox
from gateway.services.statements.spec import Columns, Spec

LINE_OCTETS_MAX: Final = 1_048_576  # some 8,000 bookings of a statement in JSON
ROW_OCTETS_MAX: Final = 1_048_576  # of one row, which may have several lines in CSV
READ_AGAIN_OCTETS: Final = 67_108_864  # of rows with unclosed quotes, and READ_AGAIN_TIMES the file's size
READ_AGAIN_TIMES: Final = 8
HOLDERS_MAX: Final = 20
DIGEST_OCTETS: Final = 1_048_576  # read at once for the SHA-256 of a source
_LOCAL_OCTETS_MAX: Final = 64  # RFC 5321 4.5.3.1.1
_TEXT_MAX: Final = 200  # characters of a number, an account or a version


@dataclass(frozen=True, slots=True)
class Row:
    """One statement. `customers`: the holder, then the joint holders; each gets a mail of their own.

    `document`: a file name below the run's directory, '' where it is rendered; `language` '' = the run's;
    `address` '' = that of the customer in the store. `values`: all columns of the row, for templates.
    """

    number: int
    customers: tuple[str, ...]
    account: str
    version: str
    document: str
    language: str
    address: str
    values: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be sent, and why; `problem` names columns, never their values."""

    number: int
    customer: str
    problem: str


@dataclass(frozen=True, slots=True)
class Placed:
    """A row and where the next one begins, in octets."""

    row: Row | BadRow
    end: int


def open_regular(path: Path) -> BinaryIO:
    """Opens a regular file for reading; does not wait for the writer of a named pipe. INPUT_UNREADABLE."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise GatewayError(Reason.INPUT_UNREADABLE, f"{path}: not a regular file. Name a regular file")
    return os.fdopen(descriptor, "rb")


def _unreadable(path: Path, error: Exception) -> GatewayError:
    return GatewayError(Reason.INPUT_UNREADABLE, f"{path}: {getattr(error, 'strerror', None) or type(error).__name__}")


def digest(path: Path, alive: Callable[[], object] = lambda: None) -> str:
    """SHA-256 (hex) of a source. `alive` is called after each MiB. INPUT_UNREADABLE."""
    found = hashlib.sha256()
    try:
        with open_regular(path) as file:
            while block := file.read(DIGEST_OCTETS):
                found.update(block)
                alive()
    except OSError as error:
        raise _unreadable(path, error) from None
    return found.hexdigest()


def count_lines(path: Path) -> int:
    """About as many as there are rows: for a sample, and for a bar. INPUT_UNREADABLE."""
    found = 0
    try:
        with open_regular(path) as file:
            while block := file.read(DIGEST_OCTETS):
                found += block.count(b"\n")
    except OSError as error:
        raise _unreadable(path, error) from None
    return found


def mark(path: Path) -> tuple[int, int, int]:
    """Values that change when the file is written or replaced. GatewayError INPUT_UNREADABLE."""
    try:
        found = path.stat()
    except OSError as error:
        raise _unreadable(path, error) from None
    return found.st_ino, found.st_size, found.st_mtime_ns


def rows(spec: Spec, path: Path, *, offset: int = 0, first: int = 1, count: int | None = None) -> Iterator[Placed]:
    """Rows of the source at `path` (see Spec.source) from `offset` on, the first of which has the number `first`.

    GatewayError INPUT_UNREADABLE, or CONFIG_INVALID where a column that the run names is not in the file.
    """
    try:
        with open_regular(path) as file:
            reader = _csv(spec, file, offset) if spec.source.kind == "csv" else _json_lines(file, offset)
            for number, (values, end) in enumerate(reader, first):
                if count is not None and number >= first + count:
                    return
                yield Placed(_row(spec.columns, number, values), end)
    except OSError as error:
        raise _unreadable(path, error) from None


class _Lines:
    """Lines of a file as text, with the place behind the last that was taken."""

    def __init__(self, file: BinaryIO, offset: int) -> None:
        self._file = file
        file.seek(offset)
        self.at = offset
        self.broken = False  # the line was no UTF-8, or endless
        self.first: int | None = None  # the end of a row's first line
        self._row_from: int | None = None
        self._read_again_max = READ_AGAIN_OCTETS + READ_AGAIN_TIMES * os.fstat(file.fileno()).st_size

    def begin_row(self) -> None:
        """The lines that follow are one row of at most ROW_OCTETS_MAX; csv.Error where it is longer."""
        self._row_from, self.broken, self.first = self.at, False, None

    def only_first(self) -> None:
        """Gives all lines back but the first: an unclosed quote must not take the next customers with it.

        GatewayError INPUT_UNREADABLE where that was necessary too often: each time they are read again.
        """
        if self.first is not None and self.first != self.at:
            self._read_again_max -= self.at - self.first
            if self._read_again_max < 0:
                raise GatewayError(Reason.INPUT_UNREADABLE, "too many rows have a quote that is not closed: save the "
                                   "file as CSV with all quotes in pairs")
            self._file.seek(self.first)
            self.at = self.first

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        if self._row_from is not None and self.first is not None and self.at - self._row_from > ROW_OCTETS_MAX:
            raise csv.Error(f"a row of more than {ROW_OCTETS_MAX} octets; is a quote not closed?")
        line = self._file.readline(LINE_OCTETS_MAX + 1)
        if not line:
            raise StopIteration
        self.at += len(line)
        while len(line) > LINE_OCTETS_MAX and not line.endswith(b"\n"):  # an endless line is read over
            self.broken = True
            rest = self._file.readline(LINE_OCTETS_MAX + 1)
            if not rest:
                break
            self.at += len(rest)
            line = rest if rest.endswith(b"\n") else line
        if self.first is None:
            self.first = self.at
        try:
            return line.decode("utf-8-sig" if self.at == len(line) else "utf-8")
        except UnicodeDecodeError:
            self.broken = True
            return line.decode("latin-1")


_Values = Mapping[str, object] | str  # of a row, or what is wrong with it


def _csv(spec: Spec, file: BinaryIO, offset: int) -> Iterator[tuple[_Values, int]]:
    csv.field_size_limit(ROW_OCTETS_MAX)  # of the whole process: its own is 128 KiB, and others set another
    delimiter = spec.source.delimiter
    header, behind = _header(spec, file)
    named = spec.columns.named()
    missing = [name for name in named if name not in header]
    if len(missing) == len(set(named)):  # the file begins with a customer, whose data are not quoted
        raise GatewayError(Reason.CONFIG_INVALID, f"{spec.source.path}:1: the first line contains none of the columns "
                           f"{', '.join(f'`{name}`' for name in named)}{_otherwise(header, named, delimiter)}")
    if missing:
        raise GatewayError(Reason.CONFIG_INVALID,
                           f"{spec.source.path}:1: the column `{missing[0]}` is missing. Correct its "
                           f"name in `columns`; the file has {', '.join(header[:20])}")
    if twice := [name for name, times in Counter(header).items() if name and times > 1]:
        raise GatewayError(Reason.CONFIG_INVALID,
                           f"{spec.source.path}:1: the column `{twice[0]}` is repeated. Rename or remove "
                           "one of them")
    lines = _Lines(file, offset or behind)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        before = lines.at
        lines.begin_row()
        try:
            cells = next(reader, None)
        except csv.Error as error:
            lines.only_first()
            yield f"the row is not valid CSV: {error}", lines.at
            reader = csv.reader(lines, delimiter=delimiter, strict=True)
            continue
        if cells is None:
            return
        if not cells:  # an empty line is no row
            continue
        if lines.broken or lines.at - before > ROW_OCTETS_MAX:
            lines.only_first()
            yield "the row is not UTF-8, or too long", lines.at
        elif len(cells) != len(header):
            lines.only_first()
            yield f"the row has {len(cells)} columns instead of {len(header)}", lines.at
        else:
            yield dict(zip(header, cells, strict=True)), lines.at


def _header(spec: Spec, file: BinaryIO) -> tuple[list[str], int]:
    """The names of the columns, and the place behind them in octets. CONFIG_INVALID for a line that names none."""
    lines = _Lines(file, 0)
    lines.begin_row()
    try:
        header = next(csv.reader(lines, delimiter=spec.source.delimiter, strict=True), None)
    except csv.Error as error:
        raise GatewayError(Reason.CONFIG_INVALID, f"{spec.source.path}:1: the first line is not CSV ({error}): save "
                           "the file as CSV with the column names in its first line") from None
    if lines.broken:
        raise GatewayError(Reason.CONFIG_INVALID, f"{spec.source.path}:1: the first line is not UTF-8, or has more "
                           f"than {LINE_OCTETS_MAX} octets: save the file as CSV in UTF-8")
    if not header:
        raise GatewayError(Reason.CONFIG_INVALID,
                           f"{spec.source.path}:1: the first line is empty. Write the column names there")
    return header, lines.at


def _otherwise(header: Sequence[str], named: Sequence[str], delimiter: str) -> str:
    """A remedy if the columns exist in another spelling; never quotes the file."""
    for other in {",", ";", "\t", "|"} - {delimiter}:
        if set(named) <= set(next(csv.reader([delimiter.join(header)], delimiter=other), ())):
            apart, shown = ("a tab", "\\t") if other == "\t" else (f"`{other}`", other)
            return f'; the separator is {apart}: write `delimiter: "{shown}"` in `source`'
    if {name.casefold() for name in named} <= {name.casefold() for name in header}:
        return "; upper and lower case must match"
    return ""


def _json_lines(file: BinaryIO, offset: int) -> Iterator[tuple[_Values, int]]:
    lines = _Lines(file, offset)
    for line in lines:
        broken, lines.broken = lines.broken, False
        if not line.strip():
            continue
        try:
            values = json.loads(line) if not broken else None
        except (ValueError, RecursionError):
            values = None
        if not isinstance(values, dict):
            yield "the line is not a JSON object", lines.at
        elif not _is_text(line, values):
            yield "the line has half of a UTF-16 surrogate pair, which is not text", lines.at
        else:
            yield values, lines.at


def _is_text(line: str, values: object) -> bool:
    """Whether all strings can be written as UTF-8: JSON's escapes can name halves of pairs (RFC 8259 8.2)."""
    if "\\u" not in line:
        return True
    try:
        json.dumps(values, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _row(columns: Columns, number: int, values: _Values) -> Row | BadRow:
    if isinstance(values, str):
        return BadRow(number, "", values)
    customer, account = _text(values, columns.customer), _text(values, columns.account)
    version = _text(values, columns.version) if columns.version else "1"
    document = _text(values, columns.document) if columns.document else ""
    language = _text(values, columns.language) if columns.language else ""
    address = _text(values, columns.address) if columns.address else ""
    further = _text(values, columns.holders) if columns.holders else ""
    named = (customer, account, version, document, language, address, further)
    names = (columns.customer, columns.account, columns.version, columns.document, columns.language, columns.address,
             columns.holders)
    if wrong := next((name for name, one in zip(names, named, strict=True)
                      if one is not None and (len(one) > _TEXT_MAX or not one.isprintable())), ""):
        return BadRow(number, "", f"`{wrong}` has more than {_TEXT_MAX} characters, or a control character")
    if wrong := next((name for name, one in zip(names, named, strict=True) if one is None), ""):
        return BadRow(number, customer or "", f"`{wrong}` is not text")
    if not customer or not account or not version:
        empty = columns.customer if not customer else columns.account if not account else columns.version
        return BadRow(number, customer or "", f"`{empty}` is empty")
    if columns.document and not document:
        return BadRow(number, customer, f"`{columns.document}` is empty")
    customers = tuple(dict.fromkeys((customer, *(one.strip() for one in (further or "").split(";") if one.strip()))))
    if len(customers) > HOLDERS_MAX:
        return BadRow(number, customer, f"more than {HOLDERS_MAX} holders")
    return Row(number, customers, account, version, document or "", language or "", address or "", values)


def _text(values: Mapping[str, object], column: str) -> str | None:
    """The value of a column; a whole number as its digits. None: nothing, or something else."""
    value = values.get(column, "")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value.strip() if isinstance(value, str) else None


def is_address(address: str) -> bool:
    """Whether mail can go there (RFC 5321 4.1.2, 4.5.3.1): one mailbox in a domain of the internet."""
    local, _, domain = address.rpartition("@")
    return is_mailbox(address) and len(local.encode()) <= _LOCAL_OCTETS_MAX and "." in domain
