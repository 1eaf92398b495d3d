"""What one of several workers may use up of what the settings allow all of them together.

Threads, octets of mails in work and connections to a next hop are divided: their sum over the workers is what the
settings say, but no worker gets less than one of anything, so with more workers than that it is one for each. While a
reload lets old workers finish their mails these count besides.
"""

import os
from typing import Final

from gateway.settings import NextHopSettings, Settings

NUMBER: Final = "SEALGATE_WORKER"  # environment of a worker: which one of how many, such as 0/2


def numbered() -> tuple[int, int]:
    """Which worker this process is, from 0, and of how many."""
    number, _, size = os.environ.get(NUMBER, "0/1").partition("/")
    return int(number), int(size)


def part(total: int, number: int, size: int) -> int:
    """Of `total`, at least 1; the first ones get what is left over."""
    return max(1, total // size + (number < total % size))


def share(settings: Settings, number: int, size: int) -> Settings:
    """The settings of worker `number` of `size`."""
    if size == 1:
        return settings
    limits, hops = settings.limits, settings.next_hops

    def hop(whole: NextHopSettings) -> NextHopSettings:
        return whole.model_copy(update={"connections_max": part(whole.connections_max, number, size)})

    return settings.model_copy(update={
        "limits": limits.model_copy(update={
            "workers_max": part(limits.workers_max, number, size),
            "octets_in_flight_max": part(limits.octets_in_flight_max, number, size),
        }),
        "next_hops": hops.model_copy(update={"outbound": hop(hops.outbound), "inbound": hop(hops.inbound)}),
    })
