"""What the endpoints need, in one frozen value; the composition root builds it, a reload replaces it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gateway.cms.certificate import Certificate
from gateway.frontends.http.partners import Partners
from gateway.model.lookup import CertificateAnswer


def _nothing() -> None:
    """Always ready."""


@dataclass(frozen=True, slots=True)
class Service:
    """`respond`: DER TimeStampReq to DER TimeStampResp, None: no time-stamps are served.

    `own`: the bank's own service certificates of an address, to anybody. `select`: the usable certificates of a
    customer, None: there are no partners; GatewayError(retry=True) if the store does not answer. `ready` raises
    GatewayError for the first thing that does not work now.
    """

    respond: Callable[[bytes], bytes] | None = None
    own: Callable[[str], Sequence[Certificate]] = field(default=lambda _: ())
    select: Callable[[str], CertificateAnswer] | None = None
    partners: Partners = field(default_factory=lambda: Partners(()))
    ready: Callable[[], None] = _nothing
    requests_per_minute_max: int = 600


class Current:
    """Where the application finds the service of the moment."""

    def __init__(self, service: Service) -> None:
        self.service = service
