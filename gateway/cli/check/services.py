"""`sealgate check`: connections to other services: stampers, directories, next hops and the milter's socket."""

import socket
import time
from collections.abc import Iterator
from typing import Final

from gateway import app as composition
from gateway.app.sources import load_sources
from gateway.cli.context import explained
from gateway.errors import GatewayError
from gateway.model.finding import Finding
from gateway.postfix.configuration import endpoint
from gateway.settings import Milter, NextHopSettings, Settings
from gateway.settings.base import on_loopback

PROBE: Final = "sealgate-check"  # a mailbox that does not exist, asked for in a domain that the directory serves
PROBE_DOMAIN: Final = "example.com"  # RFC 2606 reserves it, and it is signed by DNSSEC


def gateway(settings: Settings) -> Iterator[Finding]:
    """Builds the gateway once, as `run` does: checks its context, the stampers and the clock."""
    built = composition.Gateway(settings, dry_run_hop=composition.DryRunHop())
    try:
        for name, stamper in built.context.stampers.items():
            begins = time.monotonic()
            try:
                stamper.stamp(bytes(32), "sha256")
            except GatewayError as trouble:
                yield Finding("error", f"stamper {name}", explained(trouble))
            else:
                took = (time.monotonic() - begins) * 1000
                yield Finding("ok", f"stamper {name}", f"stamps, in {took:.0f} ms; its token is {stamper.trust}")
    finally:
        built.close()
    for stamper_settings in settings.stampers:
        if stamper_settings.kind == "internal" and stamper_settings.clock_check == "none":
            yield Finding("warning", f"stamper {stamper_settings.name}",
                          "clock_check: none makes time-stamps even if the clock is wrong; set clock_check: kernel")


def sources(settings: Settings) -> Iterator[Finding]:
    """Every directory is asked for a mailbox that does not exist, and says so in time."""
    by_name = {one.name: one for one in settings.sources}
    directories = load_sources(settings)
    try:
        for directory in directories:
            served = by_name[directory.name].domains
            address = f"{PROBE}@{served[0] if served else PROBE_DOMAIN}"
            begins = time.monotonic()
            try:
                found = directory.rows(address)
            except GatewayError as trouble:
                yield Finding("error", f"source {directory.name}",
                              f"does not answer ({trouble.detail}): mail to addresses in it is deferred "
                              "until it answers; check `url` and the directory")
                continue
            took = (time.monotonic() - begins) * 1000
            if found:
                yield Finding("warning", f"source {directory.name}", f"has a certificate for {address}, which does "
                              "not exist; check that it does not give the same answer to every query")
            else:
                yield Finding("ok", f"source {directory.name}", f"answers, in {took:.0f} ms")
    finally:
        for directory in directories:
            directory.close()


def next_hops(settings: Settings) -> Iterator[Finding]:
    """They greet as mail servers do, and over TLS where the mail would leave the machine."""
    for name, hop in (("outbound", settings.next_hops.outbound), ("inbound", settings.next_hops.inbound)):
        yield _reached(f"next hop {name}", hop)


def _reached(about: str, hop: NextHopSettings) -> Finding:
    place = f"{hop.host}:{hop.port}"
    try:
        with socket.create_connection((hop.host, hop.port), timeout=hop.connect_timeout_s) as connection:
            greeting = connection.recv(512).decode("utf-8", "replace").strip()
    except OSError as trouble:
        return Finding("error", about,
                       f"{place}: {trouble.strerror or trouble}. Mail is deferred until it answers. Start the "
                       "server, or correct `next_hops`")
    if not greeting.startswith("220"):
        return Finding("error", about, f"{place} greets with {greeting!r}, not with 220 as an SMTP server does; check "
                       "host and port")
    if hop.tls == "none" and not on_loopback(hop.host):
        return Finding("warning", about, f"{place} without TLS would get decrypted mail unencrypted; set tls: require")
    return Finding("ok", about, f"{place} {greeting[:60]}")


def milter(settings: Settings) -> Iterator[Finding]:
    """Its socket, and who reaches it. `/readyz` and Postfix report whether it runs."""
    if settings.milter is None:
        return
    yield Finding("ok", "milter", settings.milter.socket)
    yield from _open_to(settings.milter)


def _open_to(milter: Milter) -> Iterator[Finding]:
    """The gateway takes every peer of the socket for Postfix."""
    harm = "could let the gateway sign any mail as a client's, and decrypt any mail"
    if milter.socket.startswith("unix:"):
        if int(milter.socket_mode, 8) & 0o002:
            yield Finding("warning", "milter.socket_mode", f"every user of this machine {harm}; set '0660'")
    elif not (at := endpoint(milter.socket)).reaches("127.0.0.1", at.port):
        yield Finding("warning", "milter.socket",
                      f"every host that reaches {milter.socket} {harm}; use 127.0.0.1 or a unix "
                      "socket, or a firewall that permits only Postfix")
