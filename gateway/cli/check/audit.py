"""`sealgate check`: the audit log: its triggers, and the key that signs its heads."""

from collections.abc import Iterator

from gateway import app as composition
from gateway.app.audit.four_eyes import rule_of, stored
from gateway.app.audit.heads import signer
from gateway.model.finding import Finding
from gateway.settings import Settings


def audit_log(settings: Settings) -> Iterator[Finding]:
    """Whether changes of the log would be refused, and found."""
    store = composition.open_store(settings)
    try:
        missing, size, rule = store.audit.missing_triggers(), store.audit.size(), stored(store.database)
    finally:
        store.close()
    if missing:
        yield Finding("error", "audit log", f"the database does not refuse changes of the log: the triggers "
                      f"{', '.join(missing)} were removed. Find out who did it, and run `sealgate audit verify`")
    if rule != rule_of(settings) and rule.acts:
        yield Finding("warning", "four_eyes", "the settings demand a second person for less, or name other persons, "
                      "than the rule in force, which stays; `sealgate audit four-eyes` requests the change")
    unsigned = "" if signer(settings) is not None else (
        "; `audit.key` is not set, so heads are not signed: generate a key with `sealgate key generate audit "
        "--algorithm ed25519` (docs/audit.md)")
    if not missing:
        yield Finding("ok", "audit log", f"{size} records{unsigned}")
