"""What a table of Postfix does with mail: actions that lead it elsewhere, and addresses that are not the bank's."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from gateway.postfix.configuration import INCLUDE, Configuration, Service

Kind = Literal["address", "program", "file", "include", "unread"]

# DATABASE_README: those that may say FILTER, and those made of others.
TABLES = frozenset({
    "hash", "btree", "lmdb", "cdb", "dbm", "texthash", "regexp", "pcre", "cidr", "ldap", "mysql", "pgsql", "sqlite",
    "mongodb", "memcache", "socketmap", "tcp", "pipemap", "randmap", "unionmap"})
_ACTION = re.compile(r"\S\s+(FILTER|REDIRECT|BCC)\b[ \t]*(\S*)", re.IGNORECASE)
# Also `@domain` for all of a domain's addresses, and what a pattern puts in: `${1}@domain`, `$1@$2.domain`.
_ADDRESS = re.compile(r"[^\s,:;|\"/<>]*@(?:\[[^\s,\]]*\]|[\w.${}()-]+)")
_PUT_IN: Final = re.compile(r"\$(?:\d+|\{\d+\}|\(\d+\))")
_ALIAS_NAME: Final = re.compile(r'\s*(?:"(?:[^"\\]|\\.)*"|[^:"])*:')
_DESTINATION: Final = re.compile(r'"((?:[^"\\]|\\.)*)"|([^\s,"]+)')


@dataclass(frozen=True, slots=True)
class Action:
    """One of FILTER, REDIRECT, BCC with its argument; `table` names its source."""

    name: str
    argument: str
    table: str


def actions(postfix: Configuration, tables: tuple[str, ...]) -> Iterator[Action]:
    """Every action that changes a mail's way."""
    for table in tables:
        for line in _logical_lines(postfix.table(table) or ""):
            if found := _ACTION.search(line):
                yield Action(found[1].upper(), found[2], table)


def outside(
    postfix: Configuration, parameter: str, domains: tuple[str, ...], service: Service | None = None,
) -> tuple[str, ...]:
    """Addresses on the right-hand side of a map that are in none of the bank's domains, such as `a@b (hash:/x)`.

    A table that cannot be read here is named itself: its addresses are unknown. `service`: the cleanup
    that reads the map.
    """
    ours = {domain.lower() for domain in domains}
    found: list[str] = []
    for table in postfix.words(parameter, service):
        if table == "unix:passwd.byname" or ":" not in table:
            continue
        text = postfix.table(table)
        if text is None:
            found.append(f"{table} (cannot be read here)")
            continue
        for line in _logical_lines(text):
            _, _, right = line.strip().replace("\t", " ").partition(" ")
            found += [f"{address} ({table})" for address in _ADDRESS.findall(right)
                      if not _is_ours(address.rpartition("@")[2].lower(), ours)]
    return tuple(found)


def _is_ours(domain: str, ours: set[str]) -> bool:
    """Also the domain that was looked up, put in again."""
    return domain in ours or _PUT_IN.fullmatch(domain) is not None


def aliases(postfix: Configuration) -> Iterator[tuple[str, Kind, str]]:
    """Table or included file, kind and text of each destination in alias_maps, once. `unread`: a list with no text.

    The parameter counts as main.cf has it and as each local(8) of master.cf overrides it.
    The default table of NIS does not count: Postfix cannot read it without NIS either.
    """
    agents = (one for one in postfix.services if one.command == "local")
    tables = dict.fromkeys(table for reader in (None, *agents) for table in postfix.words("alias_maps", reader))
    waiting = [(table, _right_sides(table, text)) for table in tables if (text := postfix.table(table)) is not None]
    yield from ((table, "unread", "the table") for table in tables
                if postfix.table(table) is None and not table.startswith("nis:"))
    visited: set[tuple[str, Kind, str]] = set()
    while waiting:
        where, values = waiting.pop(0)
        for found in ((where, *one) for value in values for one in destinations(value)):
            if found in visited:
                continue
            visited.add(found)
            included = postfix.table(found[2]) if found[1] == "include" else None
            if included is not None:
                waiting.append((found[2], list(_logical_lines(included))))
            else:
                yield (where, "unread", found[2]) if found[1] == "include" else found


def _right_sides(table: str, text: str) -> list[str]:
    """Values of aliases(5), `name: value, value`; the other types part name and value by a blank."""
    if table.removeprefix("proxy:").startswith(("inline:", "static:", "texthash:", "regexp:", "pcre:")):
        return [line.strip().replace("\t", " ").partition(" ")[2] for line in _logical_lines(text)]
    return [_ALIAS_NAME.sub("", line, count=1) for line in _logical_lines(text)]


def destinations(value: str) -> Iterator[tuple[Kind, str]]:
    """Kind and text of each destination of aliases(5), without its quotes. A name without a domain is not listed."""
    for quoted, bare in _DESTINATION.findall(value):
        text = quoted.replace('\\"', '"') or bare
        if text.startswith("|"):
            yield "program", text[1:].strip()
        elif text.startswith("/"):
            yield "file", text
        elif text.lower().startswith(INCLUDE):
            yield "include", INCLUDE + text[len(INCLUDE):].strip()
        elif "@" in text:
            yield "address", text


def lines(postfix: Configuration, parameter: str, service: Service | None = None) -> Iterator[tuple[str, str]]:
    """Each table that a list names, with each of its lines, as far as it can be read here."""
    for table in postfix.words(parameter, service):
        for line in _logical_lines(postfix.table(table) or ""):
            yield table, line


def entries(postfix: Configuration, parameter: str, service: Service | None = None) -> Iterator[tuple[str, str]]:
    """Key and value of each line of the tables that a map names, as far as they can be read here."""
    for table in postfix.words(parameter, service):
        for line in _logical_lines(postfix.table(table) or ""):
            parts = line.split(maxsplit=1)
            if len(parts) > 1:
                yield parts[0], parts[1].strip()


def head(found: tuple[str, ...], most: int = 3) -> str:
    """The first of them, and how many more."""
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return ", ".join(found[:most]) + more


def _logical_lines(text: str) -> Iterator[str]:
    """Comments away; a line that begins with a blank goes on."""
    line = ""
    for one in text.splitlines():
        if not one.strip() or one.lstrip().startswith("#"):
            continue
        if one[0].isspace():
            line += one
            continue
        if line:
            yield line
        line = one
    if line:
        yield line
