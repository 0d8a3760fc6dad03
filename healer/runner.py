"""Commit, perform, feed back: one task takes events to the kernel, and nothing is done before it is stored."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from healer.core.change import Change
from healer.core.event import Alarmed, Event, Reported, Woken
from healer.core.kernel import Decision, Kernel
from healer.core.model import Alarm
from healer.core.step import Failed, Failure, Report
from healer.core.turn import Perform
from healer.ports import Clock, StaleWriterError, StoreError, Write

log = structlog.get_logger(__name__)

STORE_RETRY = 1.0
"""Seconds between tries to store what the kernel has decided, while the store refuses."""

Spawn = Callable[[Coroutine[Any, Any, None], str], "asyncio.Task[None]"]


class Performs(Protocol):
    async def perform(self, command: Perform) -> Report: ...


class Writes(Protocol):
    async def write(self, write: Write) -> tuple[bool, ...]: ...


class Observer(Protocol):
    """Told of every event and what it led to, once that is stored: telemetry, and whoever shows the story."""

    def decided(self, event: Event, decision: Decision) -> None: ...


@dataclass(slots=True)
class _Fed:
    event: Event
    stored: asyncio.Future[Decision] | None


class Runner:
    """The daemon's heart. `feed` never blocks; `decide` returns once what was decided is stored."""

    def __init__(
        self,
        kernel: Kernel,
        writer: Writes,
        performer: Performs,
        clock: Clock,
        spawn: Spawn,
        observers: Sequence[Observer],
    ) -> None:
        self.kernel = kernel
        self._writer = writer
        self._performer = performer
        self._clock = clock
        self._spawn = spawn
        self._observers = observers
        self._fed: asyncio.Queue[_Fed | None] = asyncio.Queue()
        self._wake: asyncio.TimerHandle | None = None
        self._out: set[asyncio.Task[None]] = set()
        self._deciding: asyncio.Task[None] | None = None
        self.unstored: str | None = None
        """Why what was decided is not stored; while this is set nothing is carried out."""

    def start(self) -> None:
        self._deciding = self._spawn(self._decide(), "decider")

    async def stop(self, patience: float) -> None:
        """Let what is out end within `patience` seconds; what does not is parked: its intent is stored."""
        if self._wake:
            self._wake.cancel()
        if self._out:
            await asyncio.wait(self._out, timeout=patience)
        for task in self._out:
            task.cancel()
        self._fed.put_nowait(None)
        if self._deciding:
            await asyncio.wait([self._deciding], timeout=patience)
            self._deciding.cancel()

    def feed(self, event: Event) -> None:
        """Hand in an event; it is decided in order."""
        self._fed.put_nowait(_Fed(event, None))

    async def decide(self, event: Event) -> Decision:
        """Hand in an event, and wait until what it led to is stored."""
        stored: asyncio.Future[Decision] = asyncio.get_running_loop().create_future()
        self._fed.put_nowait(_Fed(event, stored))
        return await stored

    async def accept(self, alarms: tuple[Alarm, ...]) -> tuple[bool, ...]:
        """Store alarms, then think about the new ones. For each: was it new? StoreError if they are not stored."""
        if self.unstored:
            raise StoreError(self.unstored)
        new = await self._writer.write(Write(alarms=alarms))
        fresh = tuple(alarm for alarm, is_new in zip(alarms, new, strict=True) if is_new)
        if fresh:
            self.feed(Alarmed(fresh))
        return new

    async def _decide(self) -> None:
        while (fed := await self._fed.get()) is not None:
            decision = self.kernel.handle(fed.event, self._clock.now())
            if decision.changes:
                await self._store(decision.changes)
            for observer in self._observers:
                observer.decided(fed.event, decision)
            for command in decision.commands:
                self._carry_out(command)
            if fed.stored and not fed.stored.done():
                fed.stored.set_result(decision)
            self._set_alarm_clock(decision)

    async def _store(self, changes: tuple[Change, ...]) -> None:
        """Until it is stored nothing goes on: the kernel is ahead of the store, and no command may be carried out."""
        while True:
            try:
                await self._writer.write(Write(changes=changes))
            except StaleWriterError:
                raise
            except StoreError as error:
                if self.unstored is None:
                    log.error("store.refused", why=str(error))
                self.unstored = str(error)
                await asyncio.sleep(STORE_RETRY)
            else:
                self.unstored = None
                return

    def _carry_out(self, command: Perform) -> None:
        repair = command.repair
        task = self._spawn(self._perform(command), f"{repair.step} of repair {repair.id} on {repair.root}")
        self._out.add(task)
        task.add_done_callback(self._out.discard)

    async def _perform(self, command: Perform) -> None:
        repair = command.repair
        try:
            report = await self._performer.perform(command)
        except Exception as error:
            # A plug-in's boundary: whatever it raises, what became of the step is unknown, and is looked at again.
            log.exception("step.broke", step=str(repair.step), repair=repair.id)
            report = Failed(Failure.UNREACHABLE, f"the step broke: {type(error).__name__}: {error}")
        self.feed(Reported(repair.id, repair.attempt, report))

    def _set_alarm_clock(self, decision: Decision) -> None:
        if self._wake:
            self._wake.cancel()
            self._wake = None
        if decision.wake_at is not None:
            delay = (decision.wake_at - self._clock.now()).total_seconds()
            self._wake = asyncio.get_running_loop().call_later(max(0.0, delay), self.feed, Woken())
