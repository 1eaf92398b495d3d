"""Doors of Postfix through which mail comes in: each of them leads to the gateway, once, and to the right listener."""

from collections.abc import Iterator

from gateway.model.finding import Finding
from gateway.postfix.configuration import EVERYWHERE, Service, narrow
from gateway.postfix.form import NAMES, RECIPES, Site, Way


def doors(site: Site) -> Iterator[Finding]:
    """Every door, one finding at least."""
    for door in site.doors:
        ways = site.ways(door)
        ours = tuple(way for way in ways if way.to is not None)
        about = f"master.cf {door.key}"
        if not ways:
            yield Finding("error", about, f"{_who(door)} does not pass the gateway and leaves unencrypted. "
                          f"{_lead(site, door)}")
        elif not ours:
            yield from _elsewhere(site, door, ways)
        elif len(ours) > 1:
            names = " and ".join(f"{NAMES[way.form]} ({way.parameter})" for way in ours)
            yield Finding("error", about, f"The mail passes the gateway twice: by {names}. Keep one of them; "
                          f"`postconf -P '{door.key}/{ours[-1].parameter}='` removes the other")
        else:
            yield from _role(site, door, ours[0])


def ports(site: Site) -> Iterator[Finding]:
    """One port, one program: who starts second does not start, and the other gets its mail."""
    for service in site.postfix.services:
        at = service.endpoint
        for listener in site.settings.listeners:
            same_host = at.host == listener.host or {at.host, listener.host} & EVERYWHERE
            if service.kind == "inet" and at.port == listener.port and same_host:
                yield Finding("error", f"master.cf {service.key}", f"Postfix listens on port {at.port}, which the "
                              f"gateway's listener {listener.name} uses too (amavis uses 10024 and 10025). Set "
                              "another port for the listener in sealgate.yaml and in content_filter")


def silent_milters(site: Site) -> Iterator[Finding]:
    """`no_milters` silences smtpd_milters even where the same service names one."""
    for door in site.postfix.services:
        if door.command != "smtpd" or "no_milters" not in site.postfix.words("receive_override_options", door):
            continue
        named = site.postfix.words("smtpd_milters", door)
        if named:
            place = site.postfix.place("receive_override_options", door)
            yield Finding("error", place, f"no_milters switches off {', '.join(named)} at {door.key}: a DKIM signer "
                          "does not sign, and the gateway does not receive the mail. Remove no_milters, and set `-o "
                          "smtpd_milters=` at the services that need no milter")


def some_clients_unseen(site: Site) -> Iterator[Finding]:
    """smtpd_milter_maps takes clients out of the milters' sight."""
    for door in site.doors:
        if "milter" in site.forms and site.postfix.value("smtpd_milter_maps", door):
            place = site.postfix.place("smtpd_milter_maps", door)
            yield Finding("error", place, "Mail of the clients in this map bypasses the gateway's milter, "
                          "unencrypted. Remove the map at the services that use the gateway's milter")


def other_names(site: Site) -> Iterator[Finding]:
    """A client that may change its identity for Postfix has that identity for the gateway, too."""
    for door in site.doors:
        if not any(way.to == "outbound" for way in site.ways(door)):
            continue
        for parameter in ("smtpd_authorized_xclient_hosts", "smtpd_authorized_xforward_hosts"):
            wide = tuple(one for one in site.postfix.words(parameter, door) if not narrow(one))
            if wide and door.command == "smtpd":
                yield Finding("error", site.postfix.place(parameter, door),
                              f"Every host in {', '.join(wide)} can claim at {door.key} to be any client of the bank, "
                              "and the gateway signs its mail as that client's. List only the addresses of the "
                              "bank's own filters, or none")


def _elsewhere(site: Site, door: Service, ways: tuple[Way, ...]) -> Iterator[Finding]:
    """To another filter, or to a milter that would not know the daemon."""
    about = f"master.cf {door.key}"
    for way in ways:
        if way.form == "milter":
            name = site.daemon_name(door)
            yield Finding("error", about, f"The gateway's milter does not know the daemon `{name}` and defers its "
                          "mail. Add the name to milter.outbound_daemons (mail of the bank) or "
                          "milter.inbound_daemons (mail from the internet). Or name the daemon: `postconf -P "
                          f"'{door.key}/milter_macro_daemon_name=…'`")
        else:
            yield Finding("warning", site.postfix.place(way.parameter, door), f"{_who(door)} goes to another filter "
                          f"(port {way.at.port}{_on(way)}). Make sure that this filter passes it to a service that "
                          "leads to the gateway. If the port is the gateway's, add a listener to sealgate.yaml")


def _on(way: Way) -> str:
    return f" on {way.at.host}" if way.at.host else ""


def _role(site: Site, door: Service, way: Way) -> Iterator[Finding]:
    place = site.postfix.place(way.parameter, door)
    about = f"master.cf {door.key}"
    if way.to == "outbound" and site.of_the_world(door) and not _knows_clients(site, way):
        yield Finding("error", place, f"Unknown hosts may send to {door.key}, which leads to the OUTBOUND listener. "
                      "The gateway takes Postfix's address for the client's there, so their mail would be signed as "
                      "the bank's. Change the port to that of the inbound listener, or reject unknown hosts "
                      "(smtpd_client_restrictions=permit_sasl_authenticated,reject)")
    elif way.to == "inbound" and not site.of_the_world(door):
        yield Finding("warning", place, f"{_who(door)} goes to the INBOUND listener, which treats it as mail from "
                      "outside. No mail leaves unencrypted, but the gateway rejects mail to other domains. "
                      f"{_lead(site, door)}")
    else:
        yield Finding("ok", about, f"{NAMES[way.form]}, {way.to}{_of_our_systems(site, door, way)}")


def _of_our_systems(site: Site, door: Service, way: Way) -> str:
    """A door for strangers by which the bank's own systems have also sent to the internet."""
    relaying = set(site.postfix.words("smtpd_relay_restrictions", door)) | set(
        site.postfix.words("smtpd_recipient_restrictions", door))
    if way.to != "inbound" or not site.of_the_world(door) or "permit_mynetworks" not in relaying:
        return ""
    return (f"; systems in mynetworks ({site.postfix.value('mynetworks', door)}) can no longer send to the internet "
            "here, because the gateway treats them as outside hosts. Give them a service of their own")


def _knows_clients(site: Site, way: Way) -> bool:
    """Whether the listener receives the address of the real client."""
    if way.form == "milter":
        return True
    believed = any(one.xforward_peers for one in site.settings.listeners if one.port == way.at.port)
    transport = site.postfix.transport(way.transport)
    return believed and (transport is None or site.postfix.yes(
        f"{transport.command}_send_xforward_command", transport))


def _who(door: Service) -> str:
    by_smtp = f"mail that enters by {door.key}"
    return {"pickup": "mail of sendmail(1)", "qmqpd": "mail by QMQP"}.get(door.command, by_smtp)


def _lead(site: Site, door: Service) -> str:
    """The remedy in the form that is in use, the after-queue filter where none is."""
    form = next((one for one in ("filter", "proxy", "milter") if one in site.forms), "filter")
    recipe = f"conf/postfix/{RECIPES[form]}.master.cf has the lines"
    if form == "milter" and site.settings.milter is not None:
        parameter = "smtpd_milters" if door.command == "smtpd" else "non_smtpd_milters"
        return f"Add the gateway's socket to {parameter}; {recipe}"
    transport = next((way.transport for other in site.doors for way in site.ways(other)
                      if way.form == "filter" and way.to is not None), "sealgate")
    port = next((one.port for one in site.settings.listeners if one.role == "outbound"), 10025)
    return f"Run `postconf -P '{door.key}/content_filter={transport}:[127.0.0.1]:{port}'`; {recipe}"
