"""The milter put together: the socket, and what each worker loads for itself."""

import os
from collections.abc import Callable
from typing import Final

from gateway.app import Gateway
from gateway.errors import GatewayError, Reason
from gateway.frontends import metrics
from gateway.frontends.children import end_with_parent
from gateway.frontends.clients import Clients
from gateway.frontends.logs import configure, own_process
from gateway.frontends.milter.listen import listen
from gateway.frontends.milter.parent import Line, Parent, Work
from gateway.frontends.milter.room import Room
from gateway.frontends.milter.session import Shared
from gateway.frontends.milter.transaction import Rules
from gateway.frontends.milter.worker import Worker
from gateway.settings import Settings

END_S: Final = 10.0  # beyond the grace of its mails, for a worker to end


def serve_milter(settings: Settings, load: Callable[[], Settings], prepare: Callable[[], object]) -> None:
    """Blocks until SIGTERM; mails in work are finished. `load`: the settings anew; `prepare` is called in each worker.

    GatewayError if something cannot be had.
    """
    if settings.milter is None:
        raise GatewayError(Reason.CONFIG_INVALID, "there is no section `milter` in the settings")
    configure(settings.log_level)
    own_process()
    end_with_parent()
    place, first = settings.milter.socket, [settings]
    listening = listen(settings.milter)

    def work() -> Work:
        """The first time with the settings that are there, later with what the file says by then."""
        now = first.pop() if first else load()
        if now.milter is None or now.milter.socket != place:
            raise GatewayError(Reason.CONFIG_INVALID, "milter.socket changes by a new start only")
        return lambda control: work_until_told(now, listening, control, prepare)

    grace_s = settings.limits.message_deadline_s
    count = settings.processes.milter or len(os.sched_getaffinity(0))
    Parent(work, count, settings.processes.stuck_after_s, 2 * grace_s + END_S).run()


def work_until_told(settings: Settings, listening: Line, control: Line,
                    prepare: Callable[[], object]) -> None:
    """A worker's life. GatewayError of the first thing that cannot be had."""
    prepare()
    metrics.begin()
    if settings.milter is None:
        raise GatewayError(Reason.INTERNAL, "no milter")
    gateway = Gateway(settings)
    limits = settings.limits
    shared = Shared(
        settings.milter, Rules(settings.bank, limits, Clients(settings.clients)), gateway.handle_in_place,
        gateway.clock, Room(limits.octets_in_flight_max, limits.workers_max))
    Worker(control, limits.message_deadline_s).run(listening, shared)
    gateway.close()
