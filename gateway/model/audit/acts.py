"""The acts that the audit log records: one table of names, sentences and objects."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

Scalar = str | int | bool


@dataclass(frozen=True, slots=True)
class ActKind:
    """`sentence`: what the actor did. `object`: the kind of thing that the act changes.

    `personal`: the object's id is personal data, such as a customer number. `four_eyes`: the name by which the setting
    `four_eyes` demands a second person for it; '' = none can be demanded.
    """

    sentence: str
    object: str
    personal: bool = False
    four_eyes: str = ""


ACTS: Final[Mapping[str, ActKind]] = MappingProxyType({
    "hold.release": ActKind("Released a held mail: it was processed again and sent.", "held mail", four_eyes="release"),
    "hold.reject": ActKind("Rejected a held mail: its body was deleted.", "held mail"),
    "hold.read": ActKind("Read the content of a held mail.", "held mail"),
    "mail.seal": ActKind("Sealed a mail by command.", "mail"),
    "mail.open": ActKind("Opened a mail by command.", "mail"),
    "certificate.import": ActKind("Added certificates, or bound them to customers.", "certificate"),
    "certificate.trust": ActKind("Trusted a certificate without a path to a root.", "certificate", four_eyes="trust"),
    "certificate.distrust": ActKind("Distrusted a certificate.", "certificate"),
    "certificate.forget": ActKind("Removed the decision on a certificate: its path to a root decides.", "certificate",
                                  four_eyes="trust"),
    "authority.ignore": ActKind("Ignored an unknown authority.", "authority"),
    "customer.import": ActKind("Added or replaced customers.", "customer", personal=True),
    "customer.block": ActKind("Blocked a customer: no code is issued.", "customer", personal=True),
    "customer.unblock": ActKind("Unblocked a customer.", "customer", personal=True),
    "key.generate": ActKind("Generated a key.", "key", four_eyes="key"),
    "key.import": ActKind("Imported a key.", "key", four_eyes="key"),
    "key.rollover": ActKind("Generated the next key of a key set.", "key", four_eyes="key"),
    "client.login": ActKind("Added a client's login, or changed its password.", "login"),
    "client.logout": ActKind("Removed a client's login.", "login"),
    "client.token": ActKind("Generated or ended a client's token.", "client"),
    "run.create": ActKind("Created a statement run.", "run"),
    "run.recall": ActKind("Created the recall of a statement run.", "run"),
    "run.pause": ActKind("Paused a statement run.", "run"),
    "run.resume": ActKind("Resumed a statement run.", "run"),
    "run.cancel": ActKind("Cancelled a statement run.", "run"),
    "settings.reload": ActKind("Reloaded settings and policies.", "settings"),
    "policy.in_force": ActKind("Put a policy set in force.", "policy set", four_eyes="policy"),
    "four_eyes.request": ActKind("Requested a second person's approval of an act.", "request"),
    "four_eyes.approve": ActKind("Approved the act of another person.", "request"),
    "four_eyes.decline": ActKind("Declined the act of another person, or withdrew a request.", "request"),
    "four_eyes.change": ActKind("Changed which acts need a second person, or who the persons are.", "rule"),
    "legal_hold.add": ActKind("Added a legal hold: the records that it covers are not deleted.", "legal hold"),
    "legal_hold.remove": ActKind("Removed a legal hold: old records that it covered are deleted.", "legal hold",
                                 four_eyes="legal_hold"),
    "backup.create": ActKind("Made a backup.", "backup"),
    "backup.restore": ActKind("Restored a backup into a new database.", "backup"),
    "database.create": ActKind("Created the database.", "database"),
    "database.upgrade": ActKind("Upgraded the database.", "database"),
    "database.adopt": ActKind("Recorded the existing database as the expected one.", "database"),
})


@dataclass(frozen=True, slots=True)
class Act:
    """What is done to which object.

    `name` is in ACTS. `id`: of the object; '' of several. `details`: facts that are no personal data, such as counts,
    digests and names of files. `personal`: facts that are; the audit log records a commitment to each.
    """

    name: str
    id: str
    details: Mapping[str, Scalar] = field(default_factory=dict)
    personal: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.name not in ACTS:
            raise ValueError(self.name)
