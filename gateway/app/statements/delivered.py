"""Reads the delivery status of statements from the next hop's log that the settings name."""

from typing import Final

from gateway.adapters.db.statements.store import statement_store
from gateway.adapters.next_hop.postfix_log import PostfixLog
from gateway.app.store import Store
from gateway.clock import Clock
from gateway.errors import GatewayError, Reason
from gateway.services.statements.delivered import Taken, take
from gateway.settings import Settings

PLACE: Final = "postfix-log.place"  # in `statements.reports`: of each node its own, as the log is


def take_deliveries(settings: Settings, store: Store, clock: Clock) -> Taken | None:
    """All that was written since the last time; None where the settings name no log.

    GatewayError INPUT_UNREADABLE, STORE_UNAVAILABLE (retry).
    """
    own = settings.statements
    if own is None or own.postfix_log is None:
        return None
    try:
        own.reports.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise GatewayError(Reason.INPUT_UNREADABLE, f"{own.reports}: {error.strerror}") from None
    return take(PostfixLog(own.postfix_log, own.reports / PLACE, clock), statement_store(store.database).results)
