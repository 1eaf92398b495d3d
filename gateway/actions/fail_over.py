"""Several time-stamping services in order: the first that stamps is the one."""

from collections.abc import Sequence

import structlog

from gateway.errors import GatewayError, Reason
from gateway.ports.stampers import StamperTrust, TimeStamper

log = structlog.get_logger("sealgate.stamp")


class FailOver:
    """A `ports.stampers.TimeStamper` over others. One that cannot stamp now costs what finding that out costs."""

    def __init__(self, stampers: Sequence[TimeStamper]) -> None:
        """At least one. `trust` is the first one's: what is promised where all is well."""
        self._stampers = tuple(stampers)
        self.name = ", ".join(one.name for one in stampers)

    @property
    def trust(self) -> StamperTrust:
        """See TimeStamper."""
        return self._stampers[0].trust

    def stamp(self, digest: bytes, digest_name: str) -> bytes:
        """See TimeStamper. Raises what the last one said, if none can."""
        trouble = GatewayError(Reason.STAMPER_UNAVAILABLE, "no stamper", retry=True)
        for one in self._stampers:
            try:
                return one.stamp(digest, digest_name)
            except GatewayError as error:
                trouble = error
                log.info("the next stamper", after=one.name, reason=str(error.reason))
        raise trouble
