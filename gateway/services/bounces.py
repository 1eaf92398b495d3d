"""Mail that came back: who told it, of which mail of ours, and whether that may be believed.

1. A bounce has the null reverse-path (RFC 5321 4.5.5, 6.1). What has a sender is somebody's mail, whatever it contains.
2. It is addressed to the return path of one mail, which nobody knows but those who had that mail (`verp`). A bounce at
   the mailbox itself is of no mail of ours: anybody can send one, and it changes nothing.
3. It is a report as RFC 3464 writes it (`mime.dsn`). Null paths carry answers of machines as well (RFC 3834 3.3), and
   absence is no bounce; nor are words alone, of whatever old mail server.
4. Of what the report says only failure and delay count. Failure is final, whatever the class of its status: the server
   has given up.

All of it is taken, and nothing is answered: an answer to a bounce would be the beginning of a loop.
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
    """The first failure in a report, else its first delay; None where it tells of neither.

    A status of success beside either is a report that contradicts itself, and so does not count.
    """
    for action in ("failed", "delayed"):
        for one in report.recipients:
            if one.action == action and not one.status.startswith("2"):
                return one
    return None
