"""Counts calls between the context and its adapters (docs/metrics.md). The pipeline knows nothing of it.

Only in a process that counts (`metrics.attend`); everywhere else the gateway stays as it is.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from gateway.errors import GatewayError
from gateway.frontends.telemetry import metrics
from gateway.model.lookup import CertificateAnswer, Found, Want
from gateway.model.mail import Envelope
from gateway.model.outcome import Settled
from gateway.model.record import EvidenceRecord
from gateway.pipeline.context import Context
from gateway.pki.lookup import LookUp
from gateway.ports.evidence import Evidence
from gateway.ports.next_hop import HopReply, NextHop
from gateway.ports.stampers import StamperTrust, TimeStamper

_GONE: Final = frozenset({Settled.TAKEN, Settled.HELD})


def metered(context: Context) -> Context:
    """The same context, counted. Counted parts stay as they are, so that a changed context may be passed again."""
    if not metrics.counting():
        return context
    return replace(
        context,
        select=MeteredLookUp(context.select) if isinstance(context.select, LookUp) else context.select,
        outbound_hop=_hop(context.outbound_hop, "outbound"), inbound_hop=_hop(context.inbound_hop, "inbound"),
        stampers={name: one if isinstance(one, MeteredStamper) else MeteredStamper(one)
                  for name, one in context.stampers.items()},
        evidence=(context.evidence if isinstance(context.evidence, MeteredEvidence)
                             else MeteredEvidence(context.evidence)))


@dataclass(frozen=True, slots=True)
class MeteredLookUp:
    """Counts each source that was asked, by its answer."""

    look_up: LookUp

    def __call__(self, address: str, want: Want = "any") -> CertificateAnswer:
        """See LookUp."""
        explanation = self.look_up.explained(address, want)
        for one in explanation.sources:
            if one.answer is not None:
                metrics.looked_up(one.source, _word(one.answer), one.kept, one.seconds)
        return explanation.answer


def _word(answer: CertificateAnswer) -> str:
    if isinstance(answer, Found):
        return "enrolled" if answer.enrolled else "found"
    return type(answer).__name__.lower()


@dataclass(frozen=True, slots=True)
class MeteredHop:
    """See ports.next_hop.NextHop."""

    hop: NextHop
    direction: str

    def deliver(self, octets: bytes, envelope: Envelope,
                before_dot: Callable[[tuple[str, ...]], None] | None = None, *,
                all_or_none: bool = False) -> tuple[HopReply, ...]:
        """See NextHop."""
        began = time.monotonic()
        answers: list[str] = []
        try:
            replies = self.hop.deliver(octets, envelope, before_dot, all_or_none=all_or_none)
            answers = [f"{one.code // 100}xx" if one.code else "none" for one in replies]
        except GatewayError as error:
            if error.reason.family == "next_hop":
                answers = [str(error.reason)] * len(envelope.recipients)
            raise
        finally:
            metrics.next_hop(self.direction, answers, time.monotonic() - began)
        return replies

    def probe(self, reverse_path: str, recipient: str) -> HopReply:
        """See NextHop."""
        return self.hop.probe(reverse_path, recipient)


def _hop(hop: NextHop, direction: str) -> NextHop:
    return hop if isinstance(hop, MeteredHop) else MeteredHop(hop, direction)


class MeteredStamper:
    """See ports.stampers.TimeStamper."""

    def __init__(self, stamper: TimeStamper) -> None:
        self._stamper = stamper
        self.name = stamper.name

    @property
    def trust(self) -> StamperTrust:
        """See TimeStamper."""
        return self._stamper.trust

    def stamp(self, digest: bytes, digest_name: str) -> bytes:
        """See TimeStamper."""
        began, answer = time.monotonic(), "failed"
        try:
            token = self._stamper.stamp(digest, digest_name)
            answer = "stamped"
        except GatewayError as error:
            answer = str(error.reason)
            raise
        finally:
            metrics.stamped(self.name, answer, time.monotonic() - began)
        return token


@dataclass(frozen=True, slots=True)
class MeteredEvidence:
    """See ports.evidence.Evidence. A mail's records come together: the first has the findings."""

    evidence: Evidence

    def ready(self) -> None:
        """See Evidence."""
        self.evidence.ready()

    def add(self, records: tuple[EvidenceRecord, ...]) -> None:
        """See Evidence."""
        for record in records:
            metrics.decided(record.rule, record.end)
            if (would := record.facts.get("would")) is not None:  # mode: observe; nothing was done to it
                metrics.observed(record.direction, would["settled"])
                continue
            if record.settled is Settled.TAKEN:
                for verb in record.steps:
                    metrics.protected(record.direction, verb)
            if record.settled in _GONE and (way := record.facts.get("fallback")) is not None:
                metrics.fell_back(record.rule, way)
        if records and (verdicts := records[0].facts.get("verdicts")) is not None:
            metrics.judged("trust", verdicts["verdict"])
            metrics.judged("signature", verdicts["signature"][0])
            metrics.judged("decryption", verdicts["decryption"][0])
            for signer in verdicts["signers"]:
                metrics.judged("timestamp", signer["timestamp"])
        self.evidence.add(records)

    def since(self, at: datetime) -> Iterator[EvidenceRecord]:
        """See Evidence."""
        return self.evidence.since(at)

    def find(self, key: str) -> tuple[EvidenceRecord, ...]:
        """See Evidence."""
        return self.evidence.find(key)
