"""The daemon put together: the one module that knows every other; started in order, stopped in reverse."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
from collections.abc import Awaitable, Coroutine, Mapping
from contextlib import AsyncExitStack
from datetime import time, timedelta
from typing import Any

import structlog

from healer import __version__, assembly, confirming, pulling, systemd
from healer.calendar import Calendar
from healer.clock import BootClock
from healer.config.load import Config
from healer.core import event as happened
from healer.core.ids import Ids
from healer.core.inventory import watched
from healer.core.kernel import Decision, Kernel
from healer.core.model import Observation
from healer.folding import Folding
from healer.ports import ConfigError, HealerError, PolicyRevision, StoreError, Write
from healer.receiver import alarms, api, peers, servers, views
from healer.runner import Runner
from healer.scheduler import Scheduler
from healer.steps import Performer
from healer.stopfile import StopFile
from healer.stores.sqlite import Sqlite
from healer.survey import Survey
from healer.writer import Writer

log = structlog.get_logger("healer")

PATIENCE = 10.0
"""Seconds that what is out may take to end when the daemon stops; the rest is parked, and goes on at the next start."""
HOUSEKEEPING = 10.0
"""Seconds between two looks after the store, and two foldings of what was seen into it."""
PRUNED_AT = time(3, 17)
"""UTC, at an hour when little else is done, and not on the hour, when everybody else's jobs are."""
STALLED = timedelta(seconds=30)
"""A loop that has not turned for so long is dead: the service manager should restart the daemon."""

_READINGS = (happened.Snapped, happened.Listed, happened.PoliciesLoaded, happened.Reported)
"""After which there may be other things to look at."""


class App:
    """One daemon in one process. `run` is its whole life; a test may `start` and `stop` it instead."""

    def __init__(self, config: Config, housekeeping: float = HOUSEKEEPING) -> None:
        """`housekeeping`: seconds between two looks after the store."""
        self._config = config
        self._housekeeping = housekeeping
        self._directory = config.settings.state.directory
        self._clock = BootClock()
        self._started_at = self._clock.now()
        self._exit = AsyncExitStack()
        self._tasks: set[asyncio.Task[None]] = set()
        self._over = asyncio.Event()
        self._failure: BaseException | None = None
        self._news = asyncio.Event()
        self._folding = Folding()
        self._stop_file = StopFile(self._directory)
        self._reassigning: asyncio.Handle | None = None
        self.port = 0
        """Of the listener for alarms and metrics, once started."""

    async def run(self) -> int:
        """Start, wait for SIGTERM or SIGINT, stop. 0; 1 where it broke; 2 where it could not start."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._over.set)
        try:
            await self.start()
        except HealerError as error:
            log.error("healer.cannot_start", why=str(error))  # noqa: TRY400 - a person needs the sentence, not the stack
            await self.stop()
            return 1 if self._failure else 2
        systemd.notify("READY=1", "STATUS=watching")
        log.info("healer.ready", version=__version__, pid=os.getpid(), port=self.port)
        await self._over.wait()
        systemd.notify("STOPPING=1", "STATUS=finishing what is under way")
        log.info("healer.stopping")
        await self.stop()
        return 1 if self._failure else 0

    async def start(self) -> None:
        """Take the state, decide, look, and only then listen. HealerError where that cannot be done."""
        self._writer = Writer(Sqlite(directory=self._directory))
        self._exit.push_async_callback(self._writer.close)
        await self._writer.read(lambda store: store.acquire())
        state = await self._writer.read(lambda store: store.load())
        self._engines = await asyncio.to_thread(assembly.engines, self._config, self._clock)
        for engine in self._engines.values():
            self._exit.push_async_callback(engine.close)
        self._telemetry = assembly.telemetry(self._config, self._clock)
        self._kernel = Kernel(state, secrets.token_bytes(16))
        performer = Performer(
            self._engines,
            assembly.notifiers(self._config),
            self._config.settings.installation,
            self._stop_file.why,
        )
        self._runner = Runner(
            self._kernel,
            self._writer,
            performer,
            clock=self._clock,
            spawn=self.spawn,
            observers=(self._telemetry, self),
        )
        self._scheduler = Scheduler(
            self._clock, self.spawn, self._observed, self._gap, on_look=self._telemetry.looked
        )
        self._runner.start()
        self._exit.push_async_callback(self._runner.stop, PATIENCE)
        self._pullings = assembly.pullings(self._config, self._runner, self._clock, self._telemetry)
        for unknown in assembly.unknown(self._config, self._pullings):
            await self._runner.decide(unknown)
        await self._load_policies()
        self._scheduler.start()
        self._exit.push_async_callback(self._scheduler.stop)
        await self._look()
        await self._listen()

    async def stop(self) -> None:
        await self._exit.aclose()

    def spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """The only place where tasks are made: kept until they end, and named for a person.

        One that breaks ends the daemon: it is restarted, looks, and goes on, where half a daemon would not.
        """
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        stack = None if isinstance(error, HealerError) else error
        log.critical("task.broke", task=task.get_name(), why=str(error), exc_info=stack)
        self._failure = self._failure or error
        self._over.set()

    async def _load_policies(self) -> None:
        loaded = self._config.policies
        revisions = tuple(PolicyRevision(p.policy.digest, p.policy.name, p.text) for p in loaded)
        await self._writer.write(Write(revisions=revisions))
        policies = tuple(one.policy for one in loaded)
        recipes = await asyncio.to_thread(assembly.recipes)
        await self._runner.decide(happened.PoliciesLoaded(policies, recipes))

    async def _look(self) -> None:
        """At every cloud, from now on; what was out when the last daemon ended goes on."""
        watchers = assembly.watchers(self._config)
        for name, cloud in self._config.clouds.items():
            survey = Survey(name, self._engines[name], cloud.refresh, watchers, self._runner.feed)
            self._in_background(survey.run(), f"survey of {name}")
        await self._runner.decide(happened.Stopped(self._stop_file.why()))
        self._in_background(self._stop_file.watch(self._runner.feed), "stop file")
        await self._runner.decide(happened.Started())
        self._in_background(self._keep_house(), "housekeeping")
        calendar = Calendar(self.spawn)
        calendar.daily("pruning of the journal", PRUNED_AT, self._prune)
        self._exit.push_async_callback(calendar.stop)
        calendar.start()
        for one in self._pullings:
            self._in_background(one.run(), f"reading of alarms from {one.source}")
        if (every := systemd.watchdog_interval()) is not None:
            self._in_background(self._say_alive(every), "watchdog")

    def _in_background(self, coroutine: Coroutine[Any, Any, None], name: str) -> None:
        self._exit.push_async_callback(_cancel, self.spawn(coroutine, name))

    async def _listen(self) -> None:
        settings = self._config.settings
        intake = alarms.Intake(
            sources=await asyncio.to_thread(assembly.sources, self._config),
            accept=self._runner.accept,
            now=self._clock.now,
            metrics=self._metrics,
            alive=self._why_dead,
            ready=lambda: self._runner.unstored,
            telemetry=self._telemetry,
            confirm=confirming.caller(assembly.confirmed_at(self._config), self.spawn),
            cut_off=pulling.waker(self._pullings),
        )
        self._exit.push_async_callback(assembly.let_go, self._config)
        address, port = settings.listen.address, settings.listen.port
        application = alarms.application(intake, settings.listen.body_limit)
        public = await self._open(
            f"listen: {address}, port {port}", servers.on_tcp(application, address, port)
        )
        self.port = public.port
        ids = Ids(secrets.token_bytes(16))
        daemon = api.Daemon(
            state=self._kernel.state,
            decide=self._runner.decide,
            read=self._writer.read,
            news=lambda: self._news,
            now=self._clock.now,
            new_id=lambda: ids.new(self._clock.now()),
            status=self._status,
            objection=lambda: self._runner.unstored,
        )
        rights = peers.Rights.named(settings.api.operators, settings.api.readers)
        socket = settings.api.socket
        await self._open(f"api.socket: {socket}", servers.on_unix(api.application(daemon, rights), socket))

    async def _open(self, what: str, opening: Awaitable[servers.Server]) -> servers.Server:
        try:
            server = await opening
        except OSError as error:
            why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or error
            raise ConfigError(f"{what}: cannot be listened at: {why}") from error
        self._exit.push_async_callback(server.close)
        return server

    # What the parts tell each other.

    def decided(self, event: happened.Event, decision: Decision) -> None:
        if decision.changes:
            self._news.set()
            self._news = asyncio.Event()
        if isinstance(event, _READINGS) and self._reassigning is None:
            self._reassigning = asyncio.get_running_loop().call_soon(self._reassign)

    def _reassign(self) -> None:
        """Point every probe at what stands now: once for all that was read together."""
        self._reassigning = None
        state = self._kernel.state
        self._scheduler.assign(assembly.assignments(self._config, watched(state.policies, state.snapshots)))

    def _observed(self, observations: list[Observation]) -> None:
        self._folding.add(observations)
        self._runner.feed(happened.Observed(tuple(observations)))

    def _gap(self, seconds: float) -> None:
        log.warning("clock.gap", seconds=round(seconds, 1))
        self._runner.feed(happened.Resumed(seconds))

    async def _metrics(self, accept: str) -> tuple[bytes, str]:
        vitals = self._scheduler.vitals()
        self._telemetry.scheduled(vitals.lag_s, vitals.waiting, vitals.skipped)
        return await self._telemetry.render(
            self._kernel.state, accept, refusing=self._runner.unstored is not None
        )

    def _status(self) -> Mapping[str, Any]:
        return {
            "version": __version__,
            "pid": os.getpid(),
            "port": self.port,
            "started_at": views.moment(self._started_at),
            "stopped": self._stop_file.why(),
            "unstored": self._runner.unstored,
            **views.overview(self._kernel.state, self._config.clouds, self._clock.now()),
        }

    def _why_dead(self) -> str | None:
        silent = self._clock.now() - self._scheduler.vitals().last_tick_at
        return f"nothing was looked at for {silent.total_seconds():.0f} s" if silent > STALLED else None

    async def _keep_house(self) -> None:
        """Fold what was seen into the store, and see that the state file is still the one that was opened."""
        while True:
            await asyncio.sleep(self._housekeeping)
            await self._writer.read(lambda store: store.check())
            if self._runner.unstored is None and (runs := self._folding.flush()):
                await self._fold(runs)

    async def _prune(self) -> None:
        before = self._clock.now() - self._config.settings.journal.keep
        forgotten = await self._writer.read(lambda store: store.prune(before))
        log.info("journal.pruned", entries=forgotten)

    async def _fold(self, runs: tuple[Any, ...]) -> None:
        try:
            await self._writer.write(Write(runs=runs))
        except StoreError as error:
            log.warning("store.refused", why=str(error), lost=f"{len(runs)} runs of looks")

    async def _say_alive(self, every: timedelta) -> None:
        while True:
            if self._why_dead() is None:
                systemd.notify("WATCHDOG=1")
            await asyncio.sleep(every.total_seconds())


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
