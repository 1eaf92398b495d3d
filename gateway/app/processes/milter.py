"""The milter put together: the socket, and what each worker loads for itself."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from gateway.app import Gateway
from gateway.errors import GatewayError, Reason
from gateway.frontends.clients import Clients, speaking_freely
from gateway.frontends.milter.listen import listen
from gateway.frontends.milter.parent import Line, Parent, Work
from gateway.frontends.milter.session import Shared, Take
from gateway.frontends.milter.session_limits import SessionLimits
from gateway.frontends.milter.transaction import Rules
from gateway.frontends.milter.worker import Worker
from gateway.frontends.processes.children import end_with_parent
from gateway.frontends.repeated_failures import FailureCounter, place
from gateway.frontends.telemetry import metrics
from gateway.frontends.telemetry.logs import configure, own_process
from gateway.frontends.worker_limits import part, share
from gateway.model.mail import Mail
from gateway.model.outcome import Outcome
from gateway.settings import InForce, Milter, Settings

log = structlog.get_logger("sealgate.milter")

END_S: Final = 5.0  # beyond the grace of its mails, for a worker to end


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a worker does first, and once it has loaded everything."""

    begin: Callable[[], object]
    loaded: Callable[[Gateway], object]


def serve_milter(first: InForce, load: Callable[[], InForce], hooks: Hooks) -> None:
    """Blocks until SIGTERM; mails in work are finished. `load`: what the files say at a reload.

    GatewayError if something cannot be had.
    """
    settings = first.settings
    milter = milter_of(settings)
    configure(settings.log_level)
    own_process()
    end_with_parent()
    listening, waiting = listen(milter), [first]
    listening.setblocking(False)  # several workers wait for one connection, and one gets it

    def work() -> tuple[int, Work]:
        """The set of one generation: a replacement of its worker works by the same."""
        now = waiting.pop() if waiting else load()
        if milter_of(now.settings).socket != milter.socket:
            raise GatewayError(Reason.CONFIG_INVALID, "milter.socket changes by a new start only")
        return workers(now.settings), lambda number, control: work_until_end(now, number, listening, control, hooks)

    grace_s = settings.limits.message_deadline_s
    Parent(work, settings.processes.stuck_after_s, grace_s + END_S, listening).run()


def milter_of(settings: Settings) -> Milter:
    """GatewayError CONFIG_INVALID if there is none."""
    if settings.milter is None:
        raise GatewayError(Reason.CONFIG_INVALID, "the settings have no section `milter`. Add it: docs/milter.md")
    return settings.milter


def workers(settings: Settings) -> int:
    """How many there are at once."""
    return settings.processes.milter or len(os.sched_getaffinity(0))


def work_until_end(now: InForce, number: int, listening: Line, control: Line, hooks: Hooks) -> None:
    """The life of worker `number`. GatewayError of the first thing that cannot be had."""
    hooks.begin()
    metrics.begin()
    settings = share(now.settings, number, workers(now.settings))
    gateway = Gateway(settings, policies=now.policies)
    gateway.enter_service(has_served=now.has_served)
    observing = settings.mode == "observe"
    clients, limits = settings.clients, settings.limits
    rules = Rules(settings.bank, limits, Clients(speaking_freely(clients) if observing else clients), observing)
    mails = limits.messages_per_minute_per_client_max
    session_limits = SessionLimits(limits.octets_in_flight_max, limits.workers_max,
                                   part(mails, number, workers(now.settings)) if mails else 0)
    shared = Shared(milter_of(settings), rules, _way(gateway, settings), gateway.clock, session_limits)
    hooks.loaded(gateway)
    if number == 0:
        log.info("rules.loaded", digest=gateway.rules.digest, rules=len(gateway.rules.rules),
                 settings=str(now.path))
    Worker(control, limits.message_deadline_s).run(listening, shared)
    gateway.close()


def _way(gateway: Gateway, settings: Settings) -> Callable[[Mail, Take], Outcome]:
    failure_counter = FailureCounter(place(settings))

    def handle(mail: Mail, take: Take) -> Outcome:
        return failure_counter.watching(lambda whole: gateway.handle_in_place(whole, take))(mail)

    return handle
