"""Where Postfix delivers mail of the bank's domains: the class of each (ADDRESS_CLASS_README), and its route.

Mail of a domain in no class goes by default_transport, as mail for strangers does: to relayhost or to the domain's MX.
"""

from collections.abc import Iterator
from typing import Final

from gateway.postfix.form import Site
from gateway.postfix.tables import entries

# What lists the domains of a class, and what delivers their mail. Domains of aliases alone have no transport.
CLASSES: Final = {
    "mydestination": "local_transport", "virtual_mailbox_domains": "virtual_transport",
    "relay_domains": "relay_transport", "virtual_alias_domains": ""}
_LISTED_BY_PARENT: Final = "parent_domain_matches_subdomains"


def lists(site: Site, parameter: str, domain: str) -> bool:
    """Whether a list of domains has this one. A table or a file may."""
    for word in site.postfix.words(parameter):
        negated, bare = word.startswith("!"), word.removeprefix("!").lower()
        if (":" in bare and not negated) or bare.startswith("/") or _is_it(site, parameter, bare, domain):
            return not negated
    return False


def _is_it(site: Site, parameter: str, listed: str, domain: str) -> bool:
    """`parent` lists the domains below it where postconf(5) parent_domain_matches_subdomains says so, else `.parent`.

    mydestination and the two lists of virtual domains are looked up by the whole name alone.
    """
    if listed == domain:
        return True
    if parameter != "relay_domains":
        return False
    if parameter in site.postfix.words(_LISTED_BY_PARENT):
        return domain.endswith(f".{listed}")
    return listed.startswith(".") and domain.endswith(listed)


def names_ours(site: Site, parameter: str) -> bool:
    """Whether a list of domains names one of the bank's."""
    return any(lists(site, parameter, domain) for domain in site.domains)


def routed_as_strangers(site: Site) -> Iterator[tuple[str, str, str]]:
    """Each domain of the bank in no class and without a route: domain, the parameter that routes it, `transport:hop`.

    No hop is the domain's MX. Only where opened mail comes back to this Postfix.
    """
    if not any("inbound" in roles for _, roles in site.returns):
        return
    keys = {key.lower() for key, _ in entries(site.postfix, "transport_maps")}
    tables = site.postfix.words("transport_maps")
    if "*" in keys or any(key.startswith(("/", "!/")) for key in keys) or any(
            ":" in one and site.postfix.table(one) is None for one in tables):
        return  # `delivery.servers` examines these
    for spelled in site.spelled_domains:
        if any(lists(site, parameter, one) for parameter in CLASSES for one in spelled):
            continue
        if any(_routed(site, one, keys) for one in spelled):
            continue
        transport, _, hop = site.postfix.value("default_transport").partition(":")
        relayhost = site.postfix.value("relayhost")
        parameter = "default_transport" if hop or not relayhost else "relayhost"
        yield spelled[0], parameter, f"{transport}:{hop or relayhost}"


def _routed(site: Site, domain: str, keys: set[str]) -> bool:
    parents = [domain.split(".", count)[-1] for count in range(1, domain.count(".") + 1)]
    by_name = "transport_maps" in site.postfix.words(_LISTED_BY_PARENT)
    return domain in keys or any((one if by_name else f".{one}") in keys for one in parents)
