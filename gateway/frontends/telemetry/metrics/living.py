"""Reads the gauges of running processes without HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.multiprocess import MultiProcessCollector

from gateway.frontends.telemetry.metrics.files import of_living


@dataclass(frozen=True, slots=True)
class Living:
    """`ready`: by kind, how many processes take mail. `not_asked`: directories and stampers that some of them leave

    alone after failures.
    """

    ready: Mapping[str, int]
    not_asked: tuple[str, ...]


def read(directory: Path) -> Living:
    """Of the directory in which the processes count."""
    ready: dict[str, int] = {}
    not_asked: list[str] = []
    for family in MultiProcessCollector.merge(map(str, of_living(directory))):  # type: ignore[no-untyped-call]
        for sample in family.samples:
            if sample.name == "sealgate_processes_ready":
                ready[sample.labels["kind"]] = int(sample.value)
            elif sample.name == "sealgate_resting" and sample.value:
                not_asked.append(f"{sample.labels['kind']} {sample.labels['name']}")
    return Living(ready, tuple(sorted(not_asked)))
