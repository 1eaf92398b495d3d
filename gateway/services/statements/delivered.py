"""Copies the next hop's log lines about mails into the items; a line may be copied twice, and that is harmless."""

from dataclasses import dataclass

import structlog

from gateway.ports.services.delivery_log import DeliveryLog
from gateway.ports.services.statements.results import ResultStore

log = structlog.get_logger("sealgate.statements")


@dataclass(frozen=True, slots=True)
class Taken:
    """`deliveries`: lines about mails, of which `ours` were statements. `lost`: some of the log was gone."""

    deliveries: int
    ours: int
    lost: bool


def take(source: DeliveryLog, store: ResultStore) -> Taken:
    """All that was written since the last time. The place is kept after the commit: a crash between reads them twice,

    which changes nothing. GatewayError INPUT_UNREADABLE, STORE_UNAVAILABLE (retry).
    """
    deliveries = ours = 0
    lost = False
    for batch in source.read():
        if batch.lost and not lost:
            lost = True
            log.warning("delivery_log.lost", offset=batch.place.offset)
        deliveries += len(batch.deliveries)
        ours += store.deliveries(batch.deliveries)
        source.keep(batch.place)
    return Taken(deliveries, ours, lost)
