"""Customers and certificates in bulk, from CSV (RFC 4180) as spreadsheets write it: comma, semicolon or tab, UTF-8.

The first line names the columns. A bad line is reported with its number, the others are imported. Nothing of a line
is left out: mail to an address that the register does not have counts as mail to a stranger.
"""

import csv
import difflib
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from gateway.adapters.administration.certificate_import import OCTETS_MAX, Item
from gateway.errors import GatewayError, Reason
from gateway.model.address import is_mailbox
from gateway.model.lookup import Customer, KeyOrigin
from gateway.ports.administration import CustomerStore, Trouble

FIELD_MAX: Final = 131_072  # characters; csv's own default, stated because it is a limit
BATCH: Final = 1_000  # customers in one commit
_BETWEEN_ADDRESSES: Final = re.compile(r"[\s,;|]+")

CUSTOMER_COLUMNS: Final = ("number", "name", "addresses", "segment")
CERTIFICATE_COLUMNS: Final = ("file", "customer", "key_origin", "device_bound", "profile", "passphrase_file")


@dataclass(frozen=True, slots=True)
class Line:
    """One line below the header. `where`: 'FILE:LINE'; `columns`: the number of each column, from 1."""

    where: str
    values: dict[str, str]
    columns: dict[str, int]


def read_lines(text: str, name: str, columns: Sequence[str], required: Sequence[str]) -> Iterator[Line | Trouble]:
    """The lines with their values by column, stripped. INPUT_MALFORMED for an invalid header or CSV.

    A Trouble for a line with more or fewer cells than the header: which value is whose would be guessed.
    """
    csv.field_size_limit(FIELD_MAX)
    text = text.removeprefix("\ufeff")
    first = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), strict=True,
                        delimiter=max(",;\t", key=first.count))
    try:
        header = [column.strip().lower() for column in next(reader, [])]
        _check_header(header, name, columns, required)
        numbers = {column: number for number, column in enumerate(header, 1)}
        line = reader.line_num
        for values in reader:
            begins, line = line + 1, reader.line_num
            if not any(map(str.strip, values)):
                continue
            if len(values) == len(header):
                yield Line(f"{name}:{begins}", dict(zip(header, map(str.strip, values), strict=True)), numbers)
                continue
            place = min(len(values), len(header)) + (len(values) > len(header))
            yield Trouble(f"{name}:{begins}:{place}", Reason.INPUT_MALFORMED,
                          f"the line has {len(values)} cells instead of {len(header)}. Separate the cells as line 1 "
                          "does, and write a cell that contains the separator in quotes")
    except csv.Error as error:
        raise GatewayError(Reason.INPUT_MALFORMED,
                           f"{name}:{reader.line_num}: the line is not valid CSV: {error}. Correct "
                           "the line; a cell that contains a quote or the separator is written in quotes") from None


def _check_header(header: Sequence[str], name: str, columns: Sequence[str], required: Sequence[str]) -> None:
    """GatewayError INPUT_MALFORMED that says which column is wrong and what to write in line 1."""
    known = f"The columns are {', '.join(columns)}"
    if not header:
        raise GatewayError(Reason.INPUT_EMPTY, f"{name}: the file has no line with the column names. {known}")
    for number, column in enumerate(header, 1):
        if column not in columns:
            near = difflib.get_close_matches(column, columns, n=1)
            hint = f"Did you mean `{near[0]}`? Rename" if near else "Rename or remove"
            raise GatewayError(Reason.INPUT_MALFORMED,
                               f"{name}:1: column {number}, `{column}`, is unknown. {hint} it in "
                               f"line 1. {known}")
        if column in header[:number - 1]:
            raise GatewayError(Reason.INPUT_MALFORMED,
                               f"{name}:1: column {number} repeats `{column}`. Remove one of the "
                               "two columns")
    for column in required:
        if column not in header:
            raise GatewayError(Reason.INPUT_MALFORMED, f"{name}:1: the column `{column}` is missing. Add it to line 1. "
                               f"{known}")


def import_customers(store: CustomerStore, text: str, name: str) -> Iterator[Customer | Trouble]:
    """One answer per line, in their order; commits by batches. `addresses` are separated by blanks, commas or such.

    A customer has one line: a second one would take away the addresses of the first.
    """
    batch: list[tuple[str, Customer]] = []
    first: dict[str, str] = {}  # number of a customer, and where its line is
    for line in read_lines(text, name, CUSTOMER_COLUMNS, ("number",)):
        answer = line if isinstance(line, Trouble) else _customer(line)
        if isinstance(answer, Customer) and isinstance(line, Line):
            before = first.setdefault(answer.number, line.where)
            if before == line.where:
                batch.append((line.where, answer))
            else:
                answer = Trouble(f"{line.where}:{line.columns['number']}", Reason.INPUT_MALFORMED,
                                 f"customer {answer.number} is in {before} already. Write all addresses of a "
                                 "customer in one line, separated by blanks")
        if isinstance(answer, Trouble):
            yield from _flush(store, batch)
            yield answer
        elif len(batch) >= BATCH:
            yield from _flush(store, batch)
    yield from _flush(store, batch)


def _customer(line: Line) -> Customer | Trouble:
    values = line.values
    addresses = tuple(word[1:-1] if word.startswith("<") and word.endswith(">") else word
                      for word in _BETWEEN_ADDRESSES.split(values.get("addresses", "")) if word)
    wrong = next((one for one in addresses if not is_mailbox(one)), None)
    if wrong is not None:
        return Trouble(f"{line.where}:{line.columns['addresses']}", Reason.INPUT_MALFORMED,
                       f"customer {values.get('number', '')}: `{wrong}` is not a valid mail address. Write only "
                       "addresses such as anna@customer.example, without names, separated by blanks")
    return Customer(values.get("number", ""), values.get("name", ""), addresses, values.get("segment") or None)


def _flush(store: CustomerStore, batch: list[tuple[str, Customer]]) -> Iterator[Customer | Trouble]:
    waiting, batch[:] = list(batch), []
    if not waiting:
        return
    try:
        store.put([one for _, one in waiting])
    except GatewayError as error:
        if error.retry:
            raise
    else:
        yield from (one for _, one in waiting)
        return
    for where, one in waiting:
        try:
            store.put([one])
            yield one
        except GatewayError as error:
            if error.retry:
                raise
            yield Trouble(where, error.reason, error.detail)


def certificate_items(text: str, name: str, base: Path) -> Iterator[Item | Trouble]:
    """The certificates that the lines of a CSV name; paths are relative to the CSV's own directory `base`."""
    for line in read_lines(text, name, CERTIFICATE_COLUMNS, ("file",)):
        if isinstance(line, Trouble):
            yield line
            continue
        try:
            yield _item(line, base)
        except GatewayError as error:
            yield Trouble(line.where, error.reason, error.detail)


def _item(line: Line, base: Path) -> Item:
    values = line.values
    passphrase = values.get("passphrase_file")
    return Item(
        where=line.where, octets=read_file(base / values.get("file", "")),
        passphrase=read_file(base / passphrase).partition(b"\n")[0].rstrip(b"\r") if passphrase else None,
        customer=values.get("customer") or None, key_origin=_key_origin(values.get("key_origin", "")),
        device_bound=_boolean(values.get("device_bound", "")), profile=_profile(values.get("profile", "")))


def read_file(path: Path) -> bytes:
    """A whole file within the limit. INPUT_UNREADABLE, INPUT_TOO_LARGE."""
    try:
        with path.open("rb") as file:
            octets = file.read(OCTETS_MAX + 1)
    except OSError as error:
        raise GatewayError(Reason.INPUT_UNREADABLE, f"{path}: {error.strerror}") from None
    if len(octets) > OCTETS_MAX:
        raise GatewayError(Reason.INPUT_TOO_LARGE, f"{path}: larger than {OCTETS_MAX} octets")
    return octets


def _key_origin(text: str) -> KeyOrigin:
    for known in get_args(KeyOrigin):
        if text == known:
            return known  # type: ignore[no-any-return]  # get_args forgets that these are the literals
    if not text:
        return "unknown"
    raise GatewayError(Reason.INPUT_MALFORMED, f"`key_origin` cannot be `{text}`; write one of: "
                       f"{', '.join(get_args(KeyOrigin))}, or nothing")


def _profile(text: str) -> Literal["cbc", "gcm"] | None:
    if text not in {"", "cbc", "gcm"}:
        raise GatewayError(Reason.INPUT_MALFORMED, f"`profile` cannot be `{text}`; write cbc, gcm or nothing")
    return "cbc" if text == "cbc" else "gcm" if text == "gcm" else None


def _boolean(text: str) -> bool:
    if text not in {"", "true", "false"}:
        raise GatewayError(Reason.INPUT_MALFORMED, f"`device_bound` cannot be `{text}`; write true, false or nothing")
    return text == "true"
