"""Limits on sizes, numbers and times."""

from collections.abc import Iterator

from pydantic import Field

from gateway.settings.base import Finding, Section


class Limits(Section):
    """Limits on sizes, numbers and times."""

    message_octets_max: int = Field(52_428_800, ge=1024, description="50 MiB, announced as SIZE")
    recipients_max: int = Field(100, ge=1, description="per transaction; further ones 452 (RFC 5321 4.5.3.1.8)")
    connections_max: int = Field(
        500, ge=1, description="per role of listener; unknown peers cannot use the reserved part")
    connections_per_peer_max: int = Field(50, ge=1)
    messages_per_minute_per_client_max: int = Field(0, ge=0, description="0 = no limit")
    workers_max: int = Field(16, ge=1, description="mails processed at once, per role of listener")
    octets_in_flight_max: int = Field(
        268_435_456, ge=1024, description="of mails being processed, per role of listener")
    command_timeout_s: float = Field(300.0, gt=0, description="RFC 5321 4.5.3.2.7")
    data_timeout_s: float = Field(600.0, gt=0, description="for the whole DATA")
    message_deadline_s: float = Field(
        240.0, gt=0, description="less than the preceding server's own time-out (RFC 5321: 600 s)")
    hops_max: int = Field(50, ge=1, description="Received fields; more is a loop")
    errors_per_session_max: int = Field(20, ge=1)


def check(limits: Limits) -> Iterator[Finding]:
    """Contradictions in the section."""
    if limits.octets_in_flight_max < limits.message_octets_max:
        yield ("limits", "octets_in_flight_max"), (
            f"octets_in_flight_max is less than message_octets_max ({limits.message_octets_max}): "
            "the largest mail would always be deferred"), f"write {limits.message_octets_max} or more"
    is_set = "connections_per_peer_max" in limits.model_fields_set
    if is_set and limits.connections_per_peer_max > limits.connections_max:
        yield ("limits", "connections_per_peer_max"), (
            f"connections_per_peer_max is greater than connections_max ({limits.connections_max})"), (
            f"write {limits.connections_max} or less")
