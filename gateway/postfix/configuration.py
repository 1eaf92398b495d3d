"""A Postfix configuration as a value, parsed from what postconf prints. Nothing is read or run here.

postconf(1): `-x` prints `name = value` with every $name expanded, `-M` one line per service, `-P`
`service/type/parameter = value`. Lists in values are parted by commas and blanks; braces keep a member together.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Final, Literal

_WITH_TABLES: Final = ("_maps", "_checks", "_restrictions", "_database", "virtual_alias_domains")
INCLUDE: Final = ":include:"  # aliases(5): the destinations are in that file
_INCLUDED: Final = re.compile(re.escape(INCLUDE) + r'\s*([^\s,"]+)', re.IGNORECASE)
_TIMES: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


@dataclass(frozen=True, slots=True)
class Service:
    """One line of master.cf. `name` of type inet is a port, a service's name, or HOST:PORT."""

    name: str
    kind: str
    command: str
    arguments: tuple[str, ...] = ()
    is_chrooted: bool = False

    @property
    def program(self) -> str:
        """The path that pipe(8) runs, '' if there is none."""
        return next((one.removeprefix("argv=") for one in self.arguments if one.startswith("argv=")), "")

    @property
    def key(self) -> str:
        """As `postconf -P` names it."""
        return f"{self.name}/{self.kind}"

    @property
    def endpoint(self) -> "Endpoint":
        """Where an inet service listens; '' as host: wherever inet_interfaces says."""
        return endpoint(self.name)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A host ('' if none is named) and a port (0 if it is none, such as that of a socket in a directory)."""

    host: str
    port: int

    def reaches(self, host: str, port: int) -> bool:
        """Whether who connects there comes to a program that listens on this host and port. Names, but for those of

        loopback, may mean any address; of loopback they mean none.
        """
        if self.port != port or not port:
            return False
        return host in EVERYWHERE or _same_host(self.host, host)


EVERYWHERE: Final = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - words of a configuration
_LOOPBACK: Final = frozenset({"", "localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback"})
_NAMED_PORTS: Final = {"smtp": 25, "smtps": 465, "submissions": 465, "submission": 587, "lmtp": 24, "qmqp": 628}


@dataclass(frozen=True, slots=True)
class Configuration:
    """What postconf says. `tables`: the text of each table that some value names, None if it cannot be read here."""

    main: Mapping[str, str]
    services: tuple[Service, ...]
    overrides: Mapping[str, Mapping[str, str]]
    tables: Mapping[str, str | None] = field(default_factory=dict)

    @classmethod
    def parsed(cls, main: str, master: str, overrides: str, tables: Mapping[str, str | None] | None = None,
               ) -> "Configuration":
        """Of the output of `postconf -x`, `-M` and `-P -x`."""
        own: dict[str, dict[str, str]] = {}
        for name, value in _assignments(overrides):
            service, kind, parameter = name.rsplit("/", 2)
            own.setdefault(f"{service}/{kind}", {})[parameter] = value
        return cls(dict(_assignments(main)), tuple(_services(master)), own, tables or {})

    def value(self, parameter: str, service: Service | None = None) -> str:
        """What is in force there: master.cf before main.cf."""
        own = self.overrides.get(service.key, {}) if service is not None else {}
        return own.get(parameter, self.main.get(parameter, ""))

    def words(self, parameter: str, service: Service | None = None) -> tuple[str, ...]:
        """The members of a list."""
        return words(self.value(parameter, service))

    def place(self, parameter: str, service: Service | None = None) -> str:
        """Where that value is written."""
        if service is not None and parameter in self.overrides.get(service.key, {}):
            return f"master.cf {service.key}/{parameter}"
        return f"main.cf {parameter}"

    def yes(self, parameter: str, service: Service | None = None) -> bool:
        """Of a switch."""
        return self.value(parameter, service).lower() == "yes"

    def seconds(self, parameter: str, service: Service | None = None) -> float:
        """Of a time-out."""
        return seconds(self.value(parameter, service))

    def number(self, parameter: str, service: Service | None = None) -> int:
        """Of a limit; 0 if it is none."""
        text = self.value(parameter, service)
        return int(text) if text.isdigit() else 0

    def transport(self, name: str) -> Service | None:
        """The client program of this name."""
        return next((one for one in self.services if one.name == name and one.kind == "unix"), None)

    def cleanup(self, door: Service) -> Service | None:
        """Which cleanup takes the door's mail into the queue."""
        return self.transport(self.value("cleanup_service_name", door) or "cleanup")

    def named_tables(self) -> Iterator[str]:
        """Every TYPE:NAME in any value that a check wants to look into, once."""
        visited: set[str] = set()
        values = [*self.main.items(), *(pair for own in self.overrides.values() for pair in own.items())]
        classes = self.words("smtpd_restriction_classes")  # the site's own names for lists of restrictions
        for parameter, value in values:
            if parameter in classes or parameter.endswith(_WITH_TABLES):
                for word in words(value):
                    if ":" in word and word not in visited:
                        visited.add(word)
                        yield word

    def included_lists(self) -> frozenset[str]:
        """Each `:include:PATH` in a table that was read; aliases(5) allows them in included files, too."""
        texts = [text or "" for text in self.tables.values()]
        texts += [value for own in (self.main, *self.overrides.values()) for name, value in own.items()
                  if name in ("alias_maps", "luser_relay")]
        return frozenset(INCLUDE + path for text in texts for path in _INCLUDED.findall(text))

    def table(self, name: str) -> str | None:
        """The text of a table, None if it cannot be read."""
        bare = name.removeprefix("proxy:")
        kind, _, rest = bare.partition(":")
        if kind == "inline":
            return "\n".join(" ".join(one.partition("=")[::2]) for one in words(rest.strip().strip("{}")))
        if kind in ("regexp", "pcre", "cidr") and rest.startswith("{"):
            return "\n".join(words(rest[1:-1]))
        if kind == "static":
            return f"* {rest.strip('{} ')}"
        return self.tables.get(name)


def seconds(text: str) -> float:
    """Of a time value of Postfix; 0 if it is none."""
    found = re.fullmatch(r"(\d+)([smhdw]?)", text.strip())
    return float(int(found[1]) * _TIMES[found[2]]) if found else 0.0


def words(value: str) -> tuple[str, ...]:
    """Members of a list: blanks and commas part them, but not inside braces; outer braces are taken off."""
    found, word, depth = [], "", 0
    for character in value + " ":
        depth += (character == "{") - (character == "}")
        if depth == 0 and character in ", \t\n":
            if word:
                found.append(word)
            word = ""
        else:
            word += character
    return tuple(one[1:-1].strip() if one.startswith("{") and one.endswith("}") else one for one in found)


def option(milter: str, name: str) -> str:
    """The value of an option in a member of smtpd_milters, `inet:HOST:PORT, name=value`; '' if it has none."""
    return next((one.partition("=")[2].strip() for one in words(milter) if one.partition("=")[0].strip() == name), "")


def endpoint(text: str) -> Endpoint:
    """Of `[HOST]:PORT`, `HOST:PORT`, `inet:HOST:PORT`, `inet:PORT@HOST`, or a port alone."""
    text = text.removeprefix("inet6:").removeprefix("inet:")
    if "@" in text:
        port, _, host = text.partition("@")
    else:
        host, _, port = text.rpartition(":")
    return Endpoint(host.strip("[]"), int(port) if port.isdigit() else _NAMED_PORTS.get(port, 0))


def _same_host(one: str, other: str) -> bool:
    kinds = _kind(one), _kind(other)
    if "name" in kinds:
        return "loopback" not in kinds
    return kinds == ("loopback", "loopback") or one == other


def _kind(host: str) -> Literal["loopback", "address", "name"]:
    if host.lower() in _LOOPBACK:
        return "loopback"
    try:
        return "loopback" if ip_address(host).is_loopback else "address"
    except ValueError:
        return "name"


def narrow(network: str) -> bool:
    """One address, or loopback: 127.0.0.0/8 is this machine. Names and tables are not examined here."""
    try:
        one = ip_network(network.replace("[", "").replace("]", ""), strict=False)
    except ValueError:
        return False
    return one.is_loopback or one.num_addresses == 1


def refusals(restrictions: tuple[str, ...]) -> frozenset[str]:
    """The words of a list of restrictions that count: none after `permit`, none that `warn_if_reject` only logs."""
    found, only_warns = set(), False
    for one in map(str.lower, restrictions):
        if one == "permit":
            break
        if not only_warns:
            found.add(one)
        only_warns = one == "warn_if_reject"
    return frozenset(found)


def _assignments(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        name, found, value = line.partition("=")
        if found:
            yield name.strip(), value.strip()


def _services(text: str) -> Iterator[Service]:
    for line in text.splitlines():
        fields = line.split()
        if len(fields) >= len(("name", "type", "private", "unpriv", "chroot", "wakeup", "maxproc", "command")):
            yield Service(fields[0], fields[1], fields[7], tuple(fields[8:]), fields[4] == "y")
