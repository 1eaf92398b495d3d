"""Number of processes and their supervision; metrics."""

from pydantic import Field

from gateway.settings.base import Section


class Processes(Section):
    """Number of processes, and their supervision."""

    relay: int = Field(1, ge=0, le=64, description="0 = one per core")
    milter: int = Field(1, ge=0, le=64, description="0 = one per core")
    stuck_after_s: float = Field(
        60.0, gt=0, description="a process without a heartbeat for this long is killed and restarted")


class Metrics(Section):
    """Metrics for Prometheus and health checks, by HTTP; they contain no personal data, so no token is needed."""

    host: str = "127.0.0.1"
    port: int = Field(8026, ge=0, le=65535)
