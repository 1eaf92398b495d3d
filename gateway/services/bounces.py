"""Bounces: who reported them, about which mail, and whether the gateway believes them.

1. A bounce has the null reverse-path (RFC 5321 4.5.5, 6.1). A mail with a sender is a person's mail, with any content.
2. It is addressed to the return path of one mail, which only those know who had that mail (`verp`). A bounce at the
   mailbox itself names no mail: anybody can send one, and it changes nothing.
3. It is a report in the form of RFC 3464 (`mime.dsn`). Answers of machines have null paths as well (RFC 3834 3.3).
   Absence notes and free texts of old mail servers do not count.
4. Of the report only failure and delay count. Failure is final with any class of status: the server has given up.

The gateway accepts all such mail and answers none: an answer to a bounce would begin a loop.
"""

from typing import Final

import structlog

from gateway.errors import GatewayError
from gateway.mime.dsn import Report, Reported, read_report
from gateway.mime.entity import parse_entity
from gateway.model.mail import Mail, Recipient
from gateway.pipeline.inbound.service import Taken
from gateway.ports.services.bounces import DIAGNOSTIC_CHARACTERS_MAX, BounceBook
from gateway.services.verp import Verp
from gateway.smime.open import Opened

log = structlog.get_logger("sealgate.bounces")

NO_MAIL_OF_OURS: Final = "a bounce that belongs to no mail of this service"
NO_REPORT: Final = "not a delivery report"
UNREADABLE: Final = "a delivery report that cannot be read"
NO_FAILURE: Final = "a delivery report without a failure or delay"


class Bounces:
    """Of one service. Threads may share it."""

    def __init__(self, book: BounceBook, returns: Verp) -> None:
        """`returns`: who made the return paths."""
        self._book = book
        self._returns = returns

    def take(self, mail: Mail, opened: Opened, to: Recipient) -> Taken | None:
        """Notes what came back; None: this mail has a sender, and is no bounce.

        GatewayError STORE_UNAVAILABLE (retry): it is to come again, and counts once.
        """
        if mail.envelope.reverse_path:
            return None
        identifier = self._returns.read(to.address)
        if identifier is None:
            return self._passed_over(mail, NO_MAIL_OF_OURS)
        try:
            report = read_report(parse_entity(opened.octets))
        except GatewayError as trouble:
            return self._passed_over(mail, UNREADABLE, identifier, trouble.detail)
        if report is None:
            return self._passed_over(mail, NO_REPORT, identifier)
        worst = worst_of(report)
        if worst is None:
            return self._passed_over(mail, NO_FAILURE, identifier)
        return self._noted(mail, identifier, worst)

    def _noted(self, mail: Mail, identifier: str, worst: Reported) -> Taken:
        permanent = worst.action == "failed"
        new = self._book.bounced(identifier, worst.status, worst.diagnostic[:DIAGNOSTIC_CHARACTERS_MAX], permanent,
                                 mail.origin.received_at)
        log.info("bounce.counted", incident=mail.origin.incident, id=identifier, status=worst.status,
                 permanent=permanent, new=new)
        kind = "bounce" if permanent else "delay"
        return Taken(f"{kind} {worst.status} of {identifier}" + ("" if new else ", already known or no longer stored"))

    @staticmethod
    def _passed_over(mail: Mail, why: str, identifier: str = "", detail: str = "") -> Taken:
        log.info("bounce.not_counted", incident=mail.origin.incident, id=identifier, why=why, detail=detail)
        return Taken(f"{why} ({identifier})" if identifier else why)


def worst_of(report: Report) -> Reported | None:
    """The first failure in a report, else its first delay; None if it reports neither.

    A status of success beside either contradicts it, so the report does not count.
    """
    for action in ("failed", "delayed"):
        for one in report.recipients:
            if one.action == action and not one.status.startswith("2"):
                return one
    return None
