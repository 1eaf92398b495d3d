"""Which acts need a second person, from the settings into the database."""

import structlog

from gateway.adapters.db.engine.database import Database
from gateway.adapters.db.engine.second_person import SecondPerson, stored_rule
from gateway.errors import GatewayError
from gateway.model.audit.four_eyes import FourEyesRule
from gateway.settings import Settings

log = structlog.get_logger("sealgate.audit")


def rule_of(settings: Settings) -> FourEyesRule:
    """The rule that the settings ask for."""
    return FourEyesRule(frozenset(settings.four_eyes),
                        {account: one.name for one in settings.persons for account in one.accounts}
                        if settings.four_eyes else {})


def demand(database: Database, settings: Settings) -> None:
    """From now on acts through `database` need what the settings and the stored rule demand."""
    database.second_person = SecondPerson(rule_of(settings))


def keep_rule(database: Database) -> None:
    """A process of the service starts: the rule of its settings is stored, unless it demands less than the stored one.

    The stored one stays in force then. GatewayError STORE_UNAVAILABLE (retry).
    """
    try:
        database.change_rule(database.second_person.apply)
    except GatewayError as trouble:
        if trouble.retry:
            raise
        log.warning("four_eyes.not_relaxed")


def stored(database: Database) -> FourEyesRule:
    """The rule in force."""
    with database.read() as connection:
        return stored_rule(connection)
