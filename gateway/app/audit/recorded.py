"""Acts on files, for the audit log of the settings' database."""

from collections.abc import Iterator
from contextlib import contextmanager

from gateway.adapters.db.audit import DbAudit
from gateway.adapters.db.engine import identity, schema
from gateway.app.audit.four_eyes import demand
from gateway.model.audit.acts import Act
from gateway.ports.audit import CarriedOut
from gateway.settings import Settings


@contextmanager
def recorded(settings: Settings, act: Act) -> Iterator[CarriedOut]:
    """Records `act` before and after it is carried out inside.

    Before the settings have a database (`sealgate init`), nothing is recorded: no database is expected then.
    GatewayError STORE_* (retry): the act must not be carried out.
    """
    if identity.recorded_id(settings.database_id) is None:
        yield CarriedOut()
        return
    database = schema.open_database(settings.postgresql or settings.database, settings.database_id)
    demand(database, settings)
    try:
        with DbAudit(database).carrying_out(act) as carried:
            yield carried
    finally:
        database.close()
