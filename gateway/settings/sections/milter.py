"""Postfix's milter protocol."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from pydantic import Field

from gateway import strictyaml
from gateway.settings.base import Finding, Section, networks

_INET = re.compile(r"inet6?:(?P<port>\d{1,5})@(?P<host>\S+)")
_UNIX = re.compile(r"unix:/\S+")
_PORT_MAX: Final = 65535
MILTER: Final = "milter"  # as logs, evidence and counters call it where others name their listener


class Milter(Section):
    """Postfix passes mail to the gateway before it queues it (Sendmail's milter protocol)."""

    socket: str = Field("inet:10029@127.0.0.1", description="inet:PORT@HOST, inet6:PORT@HOST or unix:/PATH")
    socket_mode: str = Field(
        "0660", pattern=r"^0?[0-7]{3}$", description="mode of a unix socket; Postfix must have access")
    outbound_daemons: tuple[str, ...] = Field(
        (), description="Postfix daemons (milter_macro_daemon_name) that accept the clients' mail")
    inbound_daemons: tuple[str, ...] = Field(
        (), description="daemons that accept mail from the internet; mail of other daemons is rejected")
    trusted_peers: tuple[str, ...] = Field(
        (), description="networks of front ends whose Authentication-Results are accepted")

    @property
    def daemons(self) -> tuple[str, ...]:
        """All that are known."""
        return (*self.outbound_daemons, *self.inbound_daemons)

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """Host and port of the socket; () for a unix socket and for an invalid one."""
        inet = _INET.fullmatch(self.socket)
        return () if inet is None else ((inet["host"].strip("[]"), int(inet["port"])),)


def check(milter: Milter | None) -> Iterator[Finding]:
    """Contradictions in the section."""
    if milter is not None:
        yield from _milter(("milter",), milter)


def _milter(at: strictyaml.Path, milter: Milter) -> Iterator[Finding]:
    if not (_UNIX.fullmatch(milter.socket) or any(port <= _PORT_MAX for _, port in milter.addresses)):
        yield (*at, "socket"), f"`{milter.socket}` is not a valid milter socket", (
            "write inet:PORT@HOST such as inet:10029@127.0.0.1, or unix:/PATH")
    if not milter.daemons:
        yield at, "no milter daemon is configured, so every mail would be rejected", (
            "set `outbound_daemons`, `inbound_daemons` or both")
    yield from _both(at, milter.outbound_daemons, milter.inbound_daemons)
    yield from networks((*at, "trusted_peers"), milter.trusted_peers)


def _both(at: strictyaml.Path, outbound: Sequence[str], inbound: Sequence[str]) -> Iterator[Finding]:
    for number, daemon in enumerate(inbound):
        if daemon in outbound:
            yield (*at, "inbound_daemons", number), f"`{daemon}` is in `outbound_daemons` and in `inbound_daemons`", (
                "give the two Postfix daemons different names (milter_macro_daemon_name)")
