"""The JSON of statement runs: what a run is (its own file's form, or that file's name), and how far it is."""

from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Discriminator, Field, RootModel, Tag

from gateway.frontends.api.pages import Page
from gateway.ports.services.statements.rows import ItemState, RunRow, RunState
from gateway.services.statements.runs import Shown
from gateway.services.statements.spec import Spec

RUN_ID: Final = "^[0-9a-f]{16}$"


class RunFile(BaseModel):
    """A run's file in the gateway's directory for them."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    file: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}(/[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}){0,9}$",
                      examples=["2026-11.yaml"], description="Its name, below `statements.sources`")


def _which(value: Any) -> str:
    return "<file>" if isinstance(value, dict) and "file" in value else "<run>"


class RunOrder(RootModel[Annotated[
        Annotated[RunFile, Tag("<file>")] | Annotated[Spec, Tag("<run>")], Discriminator(_which)]]):
    """The order of a run: its file's name, or the content of such a file. All paths are below `statements.sources`."""


class RunListed(BaseModel):
    """A run, without its numbers."""

    id: str = Field(pattern=RUN_ID)
    kind: str = Field(description="statement, replace or recall")
    name: str
    period: str
    state: RunState
    about: str = Field(description="The run that is replaced or recalled; empty for none")
    rows: int | None = Field(description="Of its source; null until they are all read")
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    reason: str = Field(description="Why it could not begin or go on; empty for no reason")

    @classmethod
    def of(cls, run: RunRow) -> "RunListed":
        """From the store's row; `detail` stays inside, for it may name files."""
        return cls(**_listed(run))


class RunShown(RunListed):
    """A run, and how far it is."""

    mails: int = Field(description="All of them, a joint holder's too")
    states: dict[ItemState, int]
    resent: int = Field(description="Further copies that went, because it was not known whether the first one left")
    delivered: int | None = Field(description="null: no mail log is read, so it is unknown")
    bounced: int
    rate: float = Field(description="Mails a second since it began")
    rest_s: float | None = Field(description="Remaining time; null: unknown")

    @classmethod
    def whole(cls, shown: Shown, *, log_read: bool) -> "RunShown":
        """From the service's answer; `log_read`: whether the settings name a log of deliveries."""
        counts = shown.counts
        return cls(**_listed(shown.run), mails=counts.all, states=counts.states, resent=counts.resent,
                   delivered=counts.delivered if log_read or counts.delivered else None,
                   bounced=counts.bounced, rate=round(shown.rate, 3), rest_s=shown.rest_s)


class RunPage(Page[RunListed]):
    """The newest first."""


class Runs(BaseModel):
    """The form of the list under its former path."""

    runs: list[RunListed]


def _listed(run: RunRow) -> dict[str, Any]:
    return {name: getattr(run, name) for name in RunListed.model_fields}
