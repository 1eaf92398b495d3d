"""Mailboxes that are programs: what comes back of codes and statements has its way to the gateway."""

from collections.abc import Iterator

from gateway.model.address import fold
from gateway.model.finding import Finding
from gateway.postfix.configuration import endpoint
from gateway.postfix.form import Site
from gateway.postfix.tables import entries

_READABLE = ("inline:", "static:", "hash:", "btree:", "lmdb:", "cdb:", "dbm:", "texthash:")


def to_service(site: Site, address: str, transport: str) -> bool:
    """Whether this line of transport_maps gives the mailbox of a service to the inbound listener.

    No other server reads that mailbox, and no mail returns from it.
    """
    ours = {fold(mailbox) for mailbox in site.settings.mailboxes.values()}
    return fold(address) in ours and endpoint(transport).port in {
        one.port for one in site.settings.listeners if one.role == "inbound"}


def bounces_of_its_own(site: Site) -> Iterator[Finding]:
    """Postfix's own bounces pass no filter: they go where their recipient is routed."""
    found = site.settings.mailboxes
    if not found:
        return
    if "+" not in site.postfix.value("recipient_delimiter"):
        yield Finding("error", "main.cf recipient_delimiter",
                      "Return paths such as codes+ID@… do not reach their mailbox. Run `postconf -e "
                      "recipient_delimiter=+`")
    tables = site.postfix.words("transport_maps")
    if any(not one.removeprefix("proxy:").startswith(_READABLE) for one in tables):
        return  # Postfix alone can say
    routed = {fold(key) for key, value in entries(site.postfix, "transport_maps") if to_service(site, key, value)}
    for name, mailbox in found.items():
        if fold(mailbox) not in routed:
            yield Finding("warning", "main.cf transport_maps", "Bounces that this Postfix writes do not reach the "
                          f"service `{name}`. Route {mailbox} to the inbound listener as docs/bounces.md describes")
