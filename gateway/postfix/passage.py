"""How mail is handed to the gateway and back: protocol, patience, and octets as they are."""

from collections.abc import Iterator

from gateway.model.finding import Finding
from gateway.postfix.configuration import Service, seconds, words
from gateway.postfix.form import Site, Way

_OURS_END_S = 600.0  # how long any client waits for the answer to a whole mail (RFC 5321 4.5.3.2.6)


def patience(site: Site) -> Iterator[Finding]:
    """Who gives up while the gateway still works sends again what may have left: a copy."""
    needed = 2 * site.settings.limits.message_deadline_s
    if needed >= _OURS_END_S:
        yield Finding("warning", "limits.message_deadline_s", f"The gateway may take twice this time, {needed:.0f} s, "
                      "but clients give up after 600 s and send the mail again. Set less than 300")
    reported: set[str] = set()
    for door in site.doors:
        for way in site.ways(door):
            if way.to is None:
                continue
            parameter, service, given = _waits(site, door, way)
            place = site.postfix.place(parameter, service)
            if given < needed and place not in reported:
                reported.add(place)
                yield Finding("warning", place, f"Postfix gives up after {given:.0f} s, but the gateway may take "
                              f"{needed:.0f} s (twice limits.message_deadline_s). Mail that Postfix sends again is "
                              f"delivered twice. Set {parameter}={needed:.0f}s or more")


def _waits(site: Site, door: Service, way: Way) -> tuple[str, Service | None, float]:
    """Which time-out, of which service, in seconds."""
    if way.form == "proxy":
        return "smtpd_proxy_timeout", door, site.postfix.seconds("smtpd_proxy_timeout", door)
    if way.form == "milter":
        _, reader = site.milters(door)
        own = (seconds(one.partition("=")[2].strip()) for milter in site.postfix.words(way.parameter, reader)
               if site.is_gateways_milter(milter) for one in words(milter) if one.startswith("content_timeout"))
        return "milter_content_timeout", reader, next(own, site.postfix.seconds("milter_content_timeout", reader))
    transport = site.postfix.transport(way.transport)
    parameter = f"{transport.command if transport else 'smtp'}_data_done_timeout"
    return parameter, transport, site.postfix.seconds(parameter, transport)


def milter_socket(site: Site) -> Iterator[Finding]:
    """A service in a chroot and one outside of it look for an absolute path in two places."""
    ours = site.settings.milter.socket if site.settings.milter is not None else ""
    reported: set[str] = set()
    for door in site.doors if ours.startswith("unix:") else ():
        parameter, reader = site.milters(door)
        for text in site.postfix.words(parameter, reader):
            where = site.socket_of_milter(text, reader)
            if site.is_gateways_milter(text) and where != ours.removeprefix("unix:") and where not in reported:
                reported.add(where)
                below = ours.removeprefix("unix:").removeprefix(site.postfix.value("queue_directory") + "/")
                yield Finding("error", site.postfix.place(parameter, reader), f"{reader.key} expects the gateway's "
                              f"socket at {where}, but the gateway listens on {ours}, so mail is deferred. Use a "
                              "path relative to the queue directory, which works with and without a chroot: "
                              f"`unix:{below}`")


def speed_adjust(site: Site) -> Iterator[Finding]:
    """With it smtpd speaks to the proxy only when it has the whole mail: one refused recipient refuses all."""
    for door in site.doors:
        proxied = any(way.form == "proxy" and way.to is not None for way in site.ways(door))
        if proxied and "speed_adjust" in site.postfix.words("smtpd_proxy_options", door):
            yield Finding("error", site.postfix.place("smtpd_proxy_options", door),
                          "With speed_adjust, the rejection of one recipient rejects the whole mail. Run `postconf "
                          f"-P '{door.key}/smtpd_proxy_options='`")


def protocol(site: Site) -> Iterator[Finding]:
    """smtp(8) speaks to a listener of SMTP, lmtp(8) to one of LMTP; the octets go over as they are."""
    reported: set[str] = set()
    for door in site.doors:
        for way in site.ways(door):
            if way.to is None or way.form == "milter":
                continue
            listener = next(one for one in site.settings.listeners if way.at.reaches(one.host, one.port))
            transport = site.postfix.transport(way.transport)
            spoken = "smtp" if transport is None else transport.command
            if spoken != listener.protocol:
                yield Finding("error", site.postfix.place(way.parameter, door), f"Postfix uses {spoken.upper()} to "
                              f"the listener {listener.name}, which uses {listener.protocol.upper()}, so no mail "
                              f"passes. Set `protocol: {spoken}` for the listener, or use the other recipe")
            if transport is not None and transport.key not in reported:
                reported.add(transport.key)
                yield from _as_they_are(site, transport, xforward=bool(listener.xforward_peers))


def _as_they_are(site: Site, transport: Service, *, xforward: bool) -> Iterator[Finding]:
    spoken = transport.command
    if not site.postfix.yes("disable_mime_output_conversion", transport):
        yield Finding("warning", f"master.cf {transport.key}",
                      "Postfix may rewrite 8-bit mail before the gateway receives it, which breaks signatures. Set "
                      "`-o disable_mime_output_conversion=yes`")
    for parameter in (f"{spoken}_generic_maps", f"{spoken}_header_checks", f"{spoken}_body_checks"):
        if site.postfix.value(parameter, transport):
            yield Finding("warning", site.postfix.place(parameter, transport),
                          "Postfix rewrites mail before the gateway receives it. Run `postconf -P "
                          f"'{transport.key}/{parameter}='`")
    is_set = f"{spoken}_send_xforward_command" in site.postfix.overrides.get(transport.key, {})
    if xforward and not is_set and not site.postfix.yes(f"{spoken}_send_xforward_command", transport):
        yield Finding("warning", f"master.cf {transport.key}", "The listener expects XFORWARD from Postfix, which "
                      "does not send it, so the gateway recognises no client. Set `-o "
                      f"{spoken}_send_xforward_command=yes`")
