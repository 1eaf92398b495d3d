"""The next mail server, one for each direction."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from gateway.settings.base import Section


class NextHopSettings(Section):
    """The next mail server, one for each direction."""

    host: str
    port: int = Field(25, ge=1, le=65535)
    tls: Literal["none", "may", "require"] = "may"
    tls_ca: Path | None = Field(None, description="PEM of the roots; None = the system's")
    tls_name: str = Field("", description="name in its certificate; '' = host")
    connections_max: int = Field(10, ge=1)
    idle_s: float = Field(60.0, gt=0, description="an idle connection is closed after this time")
    connect_timeout_s: float = Field(10.0, gt=0)
    reply_timeout_s: float = Field(120.0, gt=0)


class NextHops(Section):
    """The next hop of each direction."""

    outbound: NextHopSettings
    inbound: NextHopSettings
