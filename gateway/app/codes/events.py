"""What became of codes as callbacks of their clients: filed where codes are made, and where mail comes in."""

from collections.abc import Callable, Sequence

from gateway.ports.services.callbacks import Event
from gateway.services.codes.events import CodeEvent, Told


def told_by(file: Callable[..., None]) -> Told:
    """Events of codes as events of callbacks, which `file` makes durable together."""
    def told(events: Sequence[CodeEvent]) -> None:
        file(*map(_event, events))

    return told


def _event(one: CodeEvent) -> Event:
    data: dict[str, str | int | bool | None] = {"customer": one.customer, "reference": one.reference}
    if one.mail:
        data["mail"] = one.mail
    if one.reason is not None:
        data["reason"] = str(one.reason)
    if one.detail:
        data["status"] = one.detail
    return Event(one.client, one.code_id, f"code.{one.kind}", one.at, f"{one.mail or ''} {one.detail}".strip(), data)
