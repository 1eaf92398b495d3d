# ruff: noqa: N802 - aiosmtpd finds commands by methods of this name
"""LMTP: the relay's commands with an answer for each recipient after the final dot.

RFC 2033. What differs from SMTP: LHLO in place of HELO and EHLO (4.1); DATA without recipients is 503, and after the
final dot there is one reply for every RCPT that was accepted, in their order, an address that was given twice
included (4.2). Not for port 25 (5): the settings refuse it. A mail server in front keeps the queue: it sends one
recipient on, bounces another, and tries a third again, each for itself.
"""

from gateway.errors import GatewayError
from gateway.frontends.smtp import dialogue
from gateway.frontends.smtp.paths import RefusedCommandError
from gateway.frontends.smtp.session import Relay


class Lmtp(Relay):
    """One client's session."""

    protocol = "LMTP"
    no_recipients = dialogue.NO_RECIPIENTS_LMTP
    helo_first = dialogue.LHLO_FIRST

    @property
    def answers(self) -> tuple[str, ...]:
        """See Relay."""
        return tuple(self.accepted)

    async def smtp_LHLO(self, argument: str) -> None:
        """RFC 2033 4.1."""
        if not argument:
            self.say(dialogue.SYNTAX_LHLO)
            return
        await super().smtp_EHLO(argument)

    async def smtp_DATA(self, argument: str) -> None:
        """See Relay. An unexpected error has one reply where the client waits for several, so the connection ends.

        Else the client would take the replies to its next commands for the results of its other recipients.
        """
        try:
            await super().smtp_DATA(argument)
        except (GatewayError, RefusedCommandError):  # before 354: one reply is right
            raise
        except Exception:
            self.ending = True
            raise

    async def smtp_HELO(self, argument: str) -> None:
        """RFC 2033 4.1: never a positive reply."""
        del argument
        self.say(dialogue.HELO_NOT_LMTP)

    async def smtp_EHLO(self, argument: str) -> None:
        """As HELO."""
        await self.smtp_HELO(argument)
