"""Finds how each door of Postfix leads to the gateway, by comparing ports with sealgate.yaml.

A door is where mail comes in: smtpd, pickup (sendmail(1)), qmqpd. A return is a door that the gateway's next hop names.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from gateway.model.mailbox import spellings
from gateway.postfix.configuration import EVERYWHERE, Configuration, Endpoint, Service, endpoint, refusals, words
from gateway.settings import NextHopSettings, Settings

Form = Literal["proxy", "filter", "milter"]
Role = Literal["outbound", "inbound"]

_COMMON_PORTS = frozenset({25, 465, 587})
NAMES = {"proxy": "before-queue proxy", "filter": "after-queue filter", "milter": "milter"}
RECIPES = {"proxy": "before-queue", "filter": "after-queue", "milter": "milter"}


@dataclass(frozen=True, slots=True)
class Way:
    """One way out of a door. `to`: the listener's role, None if it leads elsewhere than to the gateway.

    `parameter` is what says so; `transport` the client program of a filter. `others`: destinations that Postfix tries
    when `at` does not answer; postconf(5) allows a list since Postfix 3.5.
    """

    form: Form
    to: Role | None
    at: Endpoint
    parameter: str
    transport: str = ""
    others: tuple[Endpoint, ...] = ()


@dataclass(frozen=True)
class Site:
    """Postfix and the gateway together. `milter_actions`: what each other milter says that it may do (SMFIF_* bits).

    A milter that did not answer is not in it.
    """

    postfix: Configuration
    settings: Settings
    milter_actions: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def spelled_domains(self) -> tuple[tuple[str, ...], ...]:
        """The bank's domains, each in all its spellings (Postfix has A-labels, sealgate.yaml may have letters)."""
        return tuple(map(spellings, self.settings.bank.domains))

    @cached_property
    def domains(self) -> frozenset[str]:
        """The bank's domains in lower case, in any spelling."""
        return frozenset(one for spelled in self.spelled_domains for one in spelled)

    @cached_property
    def returns(self) -> tuple[tuple[Service, frozenset[Role]], ...]:
        """The doors back from the gateway, and what comes there."""
        found = []
        hops: dict[Role, NextHopSettings] = {"outbound": self.settings.next_hops.outbound,
                                             "inbound": self.settings.next_hops.inbound}
        for service in self._smtpd():
            roles = frozenset(role for role, hop in hops.items() if self._is_hop(hop, service))
            if roles and service.kind == "inet":
                found.append((service, roles))
        return tuple(found)

    def _is_hop(self, hop: NextHopSettings, service: Service) -> bool:
        """Whether the gateway hands mail back there. The common ports are other servers' too: there the host counts."""
        at = service.endpoint
        if at.port not in _COMMON_PORTS or hop.port != at.port:
            return hop.port == at.port
        here = hop.host.lower() == self.postfix.value("myhostname").lower()
        return here or Endpoint(hop.host, hop.port).reaches("127.0.0.1" if at.host in EVERYWHERE else at.host,
                                                               at.port)

    @cached_property
    def doors(self) -> tuple[Service, ...]:
        """All others."""
        back = {service.key for service, _ in self.returns}
        others = tuple(one for one in self.postfix.services if one.command in ("pickup", "qmqpd"))
        return tuple(one for one in self._smtpd() if one.key not in back) + others

    @cached_property
    def forms(self) -> frozenset[Form]:
        """Those in use."""
        return frozenset(way.form for door in self.doors for way in self.ways(door) if way.to is not None)

    def ways(self, door: Service) -> tuple[Way, ...]:
        """Every filter of the door, the gateway's and others'."""
        return tuple(self._ways(door))

    def _ways(self, door: Service) -> Iterator[Way]:
        proxy = self.postfix.value("smtpd_proxy_filter", door) if door.command == "smtpd" else ""
        if proxy:
            at = endpoint(proxy)
            yield Way("proxy", self._listener(at), at, "smtpd_proxy_filter")
        transport, found, nexthop = self.postfix.value("content_filter", door).partition(":")
        if transport:
            named = words(nexthop or self.postfix.value("default_filter_nexthop")) if found else ()
            places = tuple(map(endpoint, named)) or (Endpoint("", 0),)
            at = next((one for one in places if self._listener(one)), places[0])
            others = tuple(one for one in places if one is not at)
            yield Way("filter", self._listener(at), at, "content_filter", transport, others)
        parameter, reader = self.milters(door)
        silent = "no_milters" in self.postfix.words("receive_override_options", door)
        for milter in () if silent else self.postfix.words(parameter, reader):
            if self.is_gateways_milter(milter):
                yield Way("milter", self._daemons_role(door), endpoint(words(milter)[0]), parameter)

    def milters(self, door: Service) -> tuple[str, Service]:
        """Which parameter names the door's milters, and which service reads it: of pickup it is cleanup."""
        if door.command == "smtpd":
            return "smtpd_milters", door
        return "non_smtpd_milters", self.postfix.cleanup(door) or door

    def is_gateways_milter(self, text: str) -> bool:
        """Whether this member of smtpd_milters is ours. Socket and options: `inet:HOST:PORT, default_action=…`."""
        milter = self.settings.milter
        address = (words(text) or ("",))[0]
        if milter is None or not address:
            return False
        if milter.socket.startswith("unix:"):
            path = address.removeprefix("unix:").strip("/")
            chrooted = f"{self.postfix.value('queue_directory')}/{path}".strip("/")
            return milter.socket.removeprefix("unix:").strip("/") in (path, chrooted)
        ours = endpoint(milter.socket)
        return endpoint(address).reaches(ours.host, ours.port)

    def socket_of_milter(self, text: str, reader: Service) -> str:
        """The absolute path at which this service looks for a `unix:` socket; '' for another kind (postconf(5))."""
        address = (words(text) or ("",))[0]
        path = address.removeprefix("unix:").removeprefix("local:")
        if not address or path == address:
            return ""
        inside = reader.is_chrooted or not path.startswith("/")
        return f"{self.postfix.value('queue_directory')}/{path.lstrip('/')}" if inside else path

    def daemon_name(self, door: Service) -> str:
        """The milter's value of {daemon_name}."""
        return self.postfix.value("milter_macro_daemon_name", self.milters(door)[1])

    def of_the_world(self, door: Service) -> bool:
        """Whether strangers may send here: no restriction rejects unknown clients."""
        if door.command != "smtpd":
            return False
        refusing = {"reject", "defer"}
        return not any(refusing & refusals(self.postfix.words(f"smtpd_{what}_restrictions", door))
                       for what in ("client", "helo", "sender", "relay", "recipient"))

    def _smtpd(self) -> tuple[Service, ...]:
        return tuple(one for one in self.postfix.services
                     if one.command == "smtpd" and one.kind in ("inet", "pass", "unix"))

    def leads_to_gateway(self, at: Endpoint, role: Role | None) -> bool:
        """Whether a listener of this role answers there, on this machine or, by the same port, on another node."""
        return any(one.role == role and one.port == at.port for one in self.settings.listeners)

    def _listener(self, at: Endpoint) -> Role | None:
        return next((one.role for one in self.settings.listeners if at.reaches(one.host, one.port)), None)

    def _daemons_role(self, door: Service) -> Role | None:
        milter, name = self.settings.milter, self.daemon_name(door)
        if milter is None:
            return None
        return "outbound" if name in milter.outbound_daemons else "inbound" if name in milter.inbound_daemons else None
