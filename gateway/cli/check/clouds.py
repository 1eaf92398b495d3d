"""`sealgate check`: whom a network of a mail service in the cloud makes a client, a trusted filter, or a front end.

All tenants of such a service send from the same networks, and behind the same TLS certificate: the network shows that a
mail comes from the service, never from which tenant. Only a secret field (`header`) distinguishes the bank's tenant.
docs/cloud-mail.md says how to set it.
"""

from collections.abc import Iterable, Iterator
from ipaddress import ip_network
from typing import Final

from gateway.model.finding import Finding
from gateway.settings import Settings

# Networks that mail comes from, as the services' own SPF records name them (spf.protection.outlook.com, _spf.google.com
# with all that it includes or has included, and "unverified forwarding" of Google's support page 60764); from published
# copies of 2023 to 2026 that agree. Missing networks get no warning, and are no safer.
CLOUDS: Final = {
    "Microsoft 365": (
        "40.92.0.0/15", "40.107.0.0/16", "52.100.0.0/14", "104.47.0.0/17",
        "2a01:111:f400::/48", "2a01:111:f403::/48",
    ),
    "Google Workspace": (
        "35.190.247.0/24", "64.233.160.0/19", "66.102.0.0/20", "66.249.80.0/20", "72.14.192.0/18", "74.125.0.0/16",
        "108.177.8.0/21", "173.194.0.0/16", "209.85.128.0/17", "216.58.192.0/19", "216.239.32.0/19",
        "172.217.0.0/19", "172.217.32.0/20", "172.217.128.0/19", "172.217.160.0/20", "172.217.192.0/19",
        "172.253.56.0/21", "172.253.112.0/20", "108.177.96.0/19", "35.191.0.0/16", "130.211.0.0/22",
        "108.177.16.0/23", "142.250.220.0/23",
        "2001:4860:4000::/36", "2404:6800:4000::/36", "2607:f8b0:4000::/36", "2800:3f0:4000::/36",
        "2a00:1450:4000::/36", "2c0f:fb50:4000::/36", "2600:1901:101::/48",
    ),
}


def clouds(settings: Settings) -> Iterator[Finding]:
    """A network alone is no proof there."""
    for client in settings.clients:
        if not client.header and (found := shared(client.networks)):
            yield Finding("error", f"client {client.name}", f"{found}, so every other tenant would be this client and "
                          "its mail would be signed as yours. Set `header` and `header_file` (a secret that your "
                          "tenant adds to its mail), or remove the network: docs/cloud-mail.md")
    for listener in settings.listeners:
        for name, networks, harm in (
            ("xforward_peers", listener.xforward_peers, "every other tenant could claim to be any client"),
            ("xclient_peers", listener.xclient_peers, "every other tenant could become any client"),
            ("trusted_peers", listener.trusted_peers,
             "every other tenant could claim that DMARC has passed"),
        ):
            if found := shared(networks):
                yield Finding("error", f"listener {listener.name}", f"{name}: {found}: {harm}. Remove the network: "
                              "docs/cloud-mail.md")


def shared(networks: Iterable[str]) -> str:
    """The first network that is in, or contains, a network shared by tenants of a service, in words; '' if none is."""
    for text in networks:
        network = ip_network(text, strict=False)
        for cloud, theirs in CLOUDS.items():
            if any(ip_network(one).overlaps(network) for one in theirs if ip_network(one).version == network.version):
                return f"{text} is a network of {cloud}, whose tenants all send from it"
    return ""
