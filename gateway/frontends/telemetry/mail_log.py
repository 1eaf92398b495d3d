"""Reports a mail when it has its answer: one log line, and the counters. Relay and milter use it alike."""

import structlog

from gateway.errors import GatewayError, Reason
from gateway.frontends.telemetry import metrics
from gateway.model.mail import Envelope, Origin
from gateway.model.outcome import Outcome, Settled

log = structlog.get_logger("sealgate.mail")

WITHDRAWN = "withdrawn"  # its client left while it waited in line; it will come again


def tell(origin: Origin, envelope: Envelope, *, code: int, size: int, seconds: float,
         result: Outcome | GatewayError | None) -> None:
    """The one line of this message. `code`: what the client was answered (SMTP; of a milter what it amounts to).

    `result`: what the pipeline returned or raised, None: it never began. `size` in octets as received.
    """
    fields: dict[str, object] = {}
    settled: tuple[Settled, ...] = ()
    reason: Reason | None = None
    if result is None:
        answer = WITHDRAWN
    elif isinstance(result, GatewayError):
        answer, reason = "later" if code < 500 else "refused", result.reason
        fields["detail"] = result.detail
    else:
        answer, reason = result.answer.value, result.reason
        settled = tuple(one.settled for one in result.recipients)
        fields["to"] = [
            {key: value for key, value in (
                ("address", one.address), ("settled", one.settled.value), ("reason", one.reason), ("rule", one.rule),
                ("detail", one.detail), ("reply", one.reply)) if value}
            for one in result.recipients]
    if "to" not in fields:
        fields["to"] = [{"address": one.address} for one in envelope.recipients]
    if result is not None:
        fields["reason"] = reason
    if in_front := origin.attempt_id or origin.queue_id:
        fields["queue_id"] = in_front
    if origin.forwarded:
        fields["forwarded"] = origin.forwarded
    log.info("mail", incident=origin.incident, code=code, listener=origin.listener, client=origin.client,
             peer=origin.peer, tls=origin.tls, sender=envelope.reverse_path, size=size, seconds=round(seconds, 3),
             answer=answer, **fields)
    metrics.mail_settled(direction="outbound" if origin.ours else "inbound", listener=origin.listener, answer=answer,
                         reason=reason, seconds=seconds, size=size, recipients=settled)
