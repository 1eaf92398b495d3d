"""`sealgate run`: the process that starts all others, and touches neither keys nor mail.

It holds the listening sockets, which its relay workers inherit, and reads the settings; policies, keys and trust are
read by the first worker of a set, before anything else of that set is begun. Beside the workers it keeps the jobs, the
HTTP service and the milter (`children`).

SIGHUP: the first worker of the new set, then its others, then the old ones end after their mails. If the set does not
load nothing has happened. Since the sockets stay open all the while, no connection is refused. The processes beside
the workers reload after them. READY=1, and the answer to `sealgate reload` (`control`), come when every process works
by the new set. SIGTERM: all finish their mails. The supervisor sends WATCHDOG=1 to systemd only while its processes
send watchdog messages to it.
"""

import asyncio
import json
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import structlog

from gateway.errors import GatewayError, Reason
from gateway.frontends.processes import handover
from gateway.frontends.processes import memory_protection as forgetful
from gateway.frontends.processes.children import Children
from gateway.frontends.processes.control import Control, place
from gateway.frontends.processes.notify import Ear, notify, reloading, watchdog_s
from gateway.frontends.processes.open_files import make_room
from gateway.frontends.processes.process import PATIENCE_S, Process
from gateway.frontends.processes.sockets import Unavailable, bound, from_systemd, handed_on
from gateway.frontends.processes.worker_pool import MARGIN_S, WorkerPool
from gateway.frontends.shared_limits import MEMORY, SharedLimits
from gateway.frontends.telemetry.logs import log_unexpected
from gateway.frontends.worker_limits import NUMBER
from gateway.settings import InForce, Settings

log = structlog.get_logger("sealgate")

WATCH_S: Final = 1.0
LATE_S: Final = 1.0
TAKEN_S: Final = 10.0  # how long the workers of a supervisor that was killed may still hold a port
CHILDREN_S: Final = 90.0  # for the processes beside the workers to reload: the milter starts new workers, too
API_END_S: Final = 20.0  # a client that waits for a code has 10 s, then the process closes
FORGETS: Final = {  # what makes codes and checks them, and what reads whose statements are to leave
    "api": forgetful.ENVIRONMENT, "runs": forgetful.ENVIRONMENT}


class Supervisor:
    """One per `sealgate run`, on the main thread."""

    def __init__(self, first: InForce, read: Callable[[], InForce], command: Sequence[str], *,
                 beside: Callable[[Settings], Sequence[str]]) -> None:
        """`read`: reads the set again. `command`: how `sealgate` is called. `beside`: the commands of the children."""
        self._first = first
        self._packed = first.packed()  # of the set in force
        self._settings = first.settings
        self._read = read
        self._command = tuple(command)
        self._beside = beside
        self._sockets: dict[str, Sequence[socket.socket]] = {}
        self._ear = Ear()
        self._children = Children({})
        self._shared_limits = SharedLimits.new()
        self._pool = self._new_pool(first, {})  # the sockets come when it runs
        self._leaving: set[asyncio.Task[None]] = set()
        self._end = asyncio.Event()
        self._reload = asyncio.Event()
        self._asking: list[asyncio.Future[dict[str, Any]]] = []  # who waits for the outcome of the next reload
        self._control = Control(place(self._settings))

    def run(self) -> None:
        """Blocks until SIGTERM or SIGINT. GatewayError if the first set cannot be served."""
        asyncio.run(self._run())

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload.set)
        self._ear.open()
        try:
            self._sockets = self._open(self._settings, from_systemd(self._settings.listeners),
                                       time.monotonic() + TAKEN_S)
            self._pool = self._new_pool(self._first, self._sockets)
            if await self._unless_ended(self._begin()):
                await self._control.open(self._asked_to_reload)
                notify("READY=1")
                await self._serve()
            log.info("service.stopping")
            notify("STOPPING=1")
        finally:
            await self._stop()

    async def _begin(self) -> None:
        """Starts everything. Without a usable database clients are answered 421 until there is one."""
        try:
            await self._pool.start()
        except GatewayError as trouble:
            if trouble.reason.family != "store" or not trouble.retry:
                raise
            log.critical("database.unusable", reason=str(trouble.reason), detail=trouble.detail)
            notify(f"STATUS=no mail is taken: {trouble.reason}")
            self._pool = self._new_pool(self._first, self._sockets)
            self._pool.start_later()
        self._children = Children(
            self._commands(self._settings), ear=self._ear, stuck_after_s=self._settings.processes.stuck_after_s,
            own=FORGETS, end_s={"milter": self._settings.limits.message_deadline_s + MARGIN_S, "api": API_END_S},
            inherits=lambda: handover.handed_on(self._packed, has_served=self._pool.has_served))
        self._children.start()

    async def _unless_ended(self, work: Awaitable[None]) -> bool:
        """Does it, unless SIGTERM comes before; whether it was done. Raises what the work raises."""
        doing, ended = asyncio.ensure_future(work), asyncio.ensure_future(self._end.wait())
        await asyncio.wait({doing, ended}, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        if not doing.done():
            doing.cancel()
            await asyncio.gather(doing, return_exceptions=True)
            return False
        doing.result()
        return True

    async def _serve(self) -> None:
        """Until SIGTERM: a watch every second, a reload when one is asked for."""
        watching = asyncio.create_task(self._watch(), name="watch")
        try:
            while await self._unless_ended(self._asked()):
                self._reload.clear()
                asking, self._asking = self._asking, []
                try:
                    if not await self._unless_ended(self._reloaded(asking)):
                        return
                finally:
                    for one in asking:
                        one.cancel()  # of those that have no answer yet, because all ends
        finally:
            watching.cancel()

    async def _asked(self) -> None:
        await self._reload.wait()

    async def _asked_to_reload(self) -> dict[str, Any]:
        """For the control socket. A reload under way may have read the old files: another one follows it."""
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._asking.append(answer)
        self._reload.set()
        return await answer

    # Sets

    def _open(self, settings: Settings, before: Mapping[str, Sequence[socket.socket]], until: float = 0.0
              ) -> dict[str, Sequence[socket.socket]]:
        """The sockets of these listeners: those that are open already, and new ones. CONFIG_INVALID.

        `until`: see `listening.bound`.
        """
        sockets: dict[str, Sequence[socket.socket]] = {}
        for listener in settings.listeners:
            given = before.get(listener.name)
            try:
                sockets[listener.name] = given or bound(listener, until)
            except GatewayError:
                _close(sockets, keep=before)
                raise
            for one in () if given and self._pool.pids else sockets[listener.name]:
                name = one.getsockname()
                log.info("listener.open", listener=listener.name, role=listener.role, host=name[0], port=name[1])
        return sockets

    def _new_pool(self, new: InForce, sockets: Mapping[str, Sequence[socket.socket]]) -> WorkerPool:
        settings = new.settings
        make_room(settings)
        size = settings.processes.relay or len(os.sched_getaffinity(0))
        variables, fds = handed_on(sockets)
        packed = new.packed()

        async def launch(number: int, environment: Mapping[str, str], more: Sequence[int]) -> Process:
            with self._memories(packed, has_served=pool.has_served) as (given, memories, leaves):
                worker = await Process.start(
                    f"relay {number}", (*self._command, "worker"), ear=self._ear,
                    stuck_after_s=settings.processes.stuck_after_s, fds=(*fds, *more, *memories),
                    environment={**variables, **environment, **given, NUMBER: f"{number}/{size}"})
                worker.over.add_done_callback(lambda _: leaves())
                return worker

        unavailable = Unavailable(sockets, {one.name for one in settings.listeners if one.tls != "implicit"})
        pool = WorkerPool("relay", size, launch, grace_s=settings.limits.message_deadline_s, outage=unavailable.switch)
        return pool

    @contextmanager
    def _memories(self, packed: bytes, *, has_served: bool
                  ) -> Iterator[tuple[dict[str, str], list[int], Callable[[], None]]]:
        """What a worker inherits in memory, as environment and descriptors; and what is to be called when it is gone.

        That is called here where the `with` is left by an exception.
        """
        given: dict[str, str] = {}
        descriptors: list[int] = []
        slot = None if self._shared_limits is None else self._shared_limits.take()
        if self._shared_limits is not None and slot is not None:
            given[MEMORY] = f"{self._shared_limits.descriptor}/{slot}"
            descriptors.append(self._shared_limits.descriptor)

        def leaves() -> None:
            if self._shared_limits is not None and slot is not None:
                self._shared_limits.give(slot)

        try:
            with handover.handed_on(packed, has_served=has_served) as (variables, memories):
                yield given | variables, [*descriptors, *memories], leaves
        except BaseException:
            leaves()
            raise

    def _commands(self, settings: Settings) -> dict[str, Sequence[str]]:
        return {name: (*self._command, name) for name in self._beside(settings)}

    async def _reloaded(self, asking: Sequence[asyncio.Future[dict[str, Any]]] = ()) -> None:
        """Reloads. A set that does not load changes nothing and is logged as critical. `asking`: get the outcome."""
        reloading()
        try:
            new = self._read()
            settings = new.settings
            sockets = self._open_changed(settings)
            worker_pool = self._new_pool(new, sockets)
            try:
                await worker_pool.start(await self._pool.write_down())
            except BaseException:
                _close(sockets, keep=self._sockets)
                raise
        except Exception as error:  # noqa: BLE001 - after any error mail goes on by the old set
            if not isinstance(error, GatewayError):
                log_unexpected(log, error)
                error = GatewayError(Reason.INTERNAL, type(error).__name__)
            log.critical("reload.failed", reason=str(error.reason), detail=error.detail)
            notify("READY=1", f"STATUS=not reloaded: {error.reason}; the old rules stay in force")
            _answer(asking, _trouble_fields(error))
            return
        old, gone = self._pool, self._sockets
        self._pool, self._settings, self._sockets = worker_pool, settings, sockets
        self._packed = new.packed()
        loop = asyncio.get_running_loop()
        deaf = loop.create_task(old.retire(replaced=True))
        leaving = loop.create_task(_ended(old, deaf))  # with any result of this reload, the end waits for it
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)
        await asyncio.shield(deaf)
        _close(gone, keep=sockets)
        rules = json.loads(worker_pool.rules)
        log.info("reload.done", **rules)
        self._children.reload(self._commands(settings))
        troubles = await self._children.reloaded(CHILDREN_S)
        await asyncio.wait({leaving}, timeout=PATIENCE_S + LATE_S)  # clients of an old worker may begin a mail
        if troubles:
            name, trouble = next(iter(troubles.items()))
            notify("READY=1", f"STATUS=not reloaded: {', '.join(troubles)}: {trouble.reason}")
            named = GatewayError(trouble.reason, f"{name}: {trouble.detail}", retry=trouble.retry)
            _answer(asking, _trouble_fields(named))
            return
        notify("READY=1", "STATUS=")
        _answer(asking, rules)

    def _open_changed(self, settings: Settings) -> dict[str, Sequence[socket.socket]]:
        """A listener whose address is the same keeps its sockets, also under a new name."""
        before = {(one.host, one.port): self._sockets[one.name] for one in self._settings.listeners}
        kept = {one.name: before[one.host, one.port] for one in settings.listeners if (one.host, one.port) in before}
        return self._open(settings, kept)

    # Watching and ending

    async def _watch(self) -> None:
        asked_s = watchdog_s()
        pause = min(WATCH_S, asked_s / 3) if asked_s else WATCH_S
        looked = time.monotonic()
        while True:
            looked, before = time.monotonic(), looked
            try:
                self._look(looked - before - pause)
                if asked_s and self._well():
                    notify("WATCHDOG=1")
            except Exception as error:  # noqa: BLE001 - the next look may succeed; without any, systemd would end us
                log_unexpected(log, error)
            await asyncio.sleep(pause)

    def _look(self, late_s: float) -> None:
        """Replaces processes that are stuck. `late_s`: how much later than planned it is called."""
        if late_s > LATE_S:  # the supervisor itself was stopped: messages sent meanwhile may be lost
            log.warning("supervisor.delayed", seconds=round(late_s, 1))
            for process in (*self._pool.everyone, *self._children.everyone):
                process.forgive()
        self._pool.watch()
        self._children.watch()

    def _well(self) -> bool:
        """Whether the service is well: the supervisor can replace stuck processes, and a worker accepts mail.

        While the database cannot be used a new start helps nothing, and clients are answered.
        """
        if self._pool.waits_for_database:
            return True
        limit = self._settings.processes.stuck_after_s
        return time.monotonic() - self._pool.served_at <= limit

    async def _stop(self) -> None:
        self._control.close()

        async def pool_ends() -> None:
            await self._pool.retire()
            _close(self._sockets, keep={})  # a client that connects now must not wait for the last mail's end
            await self._pool.ended()

        await asyncio.gather(pool_ends(), self._children.stop(), *self._leaving)
        self._ear.close()


def _answer(asking: Sequence[asyncio.Future[dict[str, Any]]], answer: dict[str, Any]) -> None:
    for one in asking:
        if not one.done():
            one.set_result(answer)


def _trouble_fields(trouble: GatewayError) -> dict[str, Any]:
    return {"reason": str(trouble.reason), "detail": trouble.detail, "retry": trouble.retry}


async def _ended(worker_pool: WorkerPool, deaf: asyncio.Task[None]) -> None:
    await deaf
    await worker_pool.ended()


def _close(sockets: Mapping[str, Sequence[socket.socket]], *, keep: Mapping[str, Sequence[socket.socket]]) -> None:
    """Closes those that are not in `keep`."""
    kept = {id(one) for several in keep.values() for one in several}
    for several in sockets.values():
        for one in several:
            if id(one) not in kept:
                one.close()
