"""What the endpoints need, in one frozen value; the composition root builds it, a reload replaces it."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime

from gateway.frontends.api.callers import Callers
from gateway.frontends.api.status_shapes import StatusShown
from gateway.model.outcome import Outcome
from gateway.ports.audit import AuditLog
from gateway.ports.hold import HeldList
from gateway.ports.mail_list import MailList
from gateway.ports.services.requests import Requests
from gateway.services.codes.issue_and_verify import Codes
from gateway.services.statements.pages.wording import ENGLISH_PAGE, Wording
from gateway.services.statements.runs import Statements


@dataclass(frozen=True, slots=True)
class RunDesk:
    """`text`: of a run's file below the directory of runs, by its name; INPUT_UNREADABLE, INPUT_TOO_LARGE.

    `log_read`: whether the settings name a log of deliveries. `wording`: of pages, in the language of the bank.
    """

    statements: Statements
    text: Callable[[str], str]
    now: Callable[[], datetime]
    log_read: bool = True
    wording: Wording = ENGLISH_PAGE


@dataclass(frozen=True, slots=True)
class HoldDesk:
    """`release`: the outcome, and whether the mail is not held any more. `reject`: deletes the body.

    Both raise GatewayError USAGE if the mail is not waiting.
    """

    hold: HeldList
    release: Callable[[str], tuple[Outcome, bool]]
    reject: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Service:
    """`codes`, `runs`: None where the settings have no section `codes` or `statements`; their endpoints are 404 then.

    `mac` makes what the book of requests knows a request by: hex, keyed, for neither keys nor content of requests may
    be found out from the database. `urgent`: while it lasts other writers wait. `ready` raises GatewayError for the
    first thing that does not work now.
    """

    callers: Callers
    requests: Requests
    mac: Callable[[bytes], str]
    ready: Callable[[], None]
    codes: Codes | None = None
    runs: RunDesk | None = None
    mails: MailList | None = None
    hold: HoldDesk | None = None
    audit: AuditLog | None = None
    status: Callable[[], StatusShown] | None = None
    requests_per_minute_max: int = 6000
    urgent: Callable[[], AbstractContextManager[None]] = nullcontext


class Current:
    """Where the application finds the service of the moment."""

    def __init__(self, service: Service) -> None:
        self.service = service
