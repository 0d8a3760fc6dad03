"""Commit, perform, feed back: one task takes events to the kernel, and nothing is done before it is stored."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from healer.accepting import Accepting, Writes
from healer.core.change import Change
from healer.core.event import Event, Listed, Observed, Reported, Snapped, Unreachable, Woken
from healer.core.kernel import Decision, Kernel
from healer.core.model import Alarm
from healer.core.step import Failed, Failure, Report
from healer.core.turn import Perform
from healer.ports import Clock, StaleWriterError, StoreError, Write

log = structlog.get_logger(__name__)

STORE_RETRY = 1.0
"""Seconds between tries to store what the kernel has decided, while the store refuses."""
MOST_TOGETHER = 1000
"""Events that are decided before the loop turns: some 15 ms where they are looks that say nothing new."""
SOONEST = 0.02
"""Seconds. A kernel that wants to be woken at once, and at once again, must not keep all others from their turn."""

Spawn = Callable[[Coroutine[Any, Any, None], str], "asyncio.Task[None]"]
"""Runs it as a task of that name. A task that breaks ends the daemon: it is restarted, and looks again."""


class Performs(Protocol):
    async def perform(self, command: Perform) -> Report: ...


class Observer(Protocol):
    """Told of every event and what it led to, once that is stored: telemetry, and whoever shows the story."""

    def decided(self, event: Event, decision: Decision) -> None: ...


@dataclass(frozen=True, slots=True)
class _Fed:
    event: Event
    stored: asyncio.Future[Decision] | None


class Runner:
    """The daemon's heart. Where it stops, its task breaks, and everybody who waits for it is told StoreError."""

    def __init__(
        self,
        kernel: Kernel,
        writer: Writes,
        performer: Performs,
        *,
        clock: Clock,
        spawn: Spawn,
        observers: Sequence[Observer] = (),
    ) -> None:
        self.kernel = kernel
        self._writer = writer
        self._performer = performer
        self._clock = clock
        self._spawn = spawn
        self._accepting = Accepting(writer, self.feed, spawn)
        self._observers = observers
        self._fed: deque[_Fed] = deque()
        self._due = asyncio.Event()
        self._asked: set[asyncio.Future[Decision]] = set()
        self._let_go = 0
        self._wake: asyncio.TimerHandle | None = None
        self._out: set[asyncio.Task[None]] = set()
        self._deciding: asyncio.Task[None] | None = None
        self._parking = False
        self._ending = False
        self._broken: StaleWriterError | None = None
        self.unstored: str | None = None
        """Why what is decided is not stored. While this is set nothing is carried out, and no alarm is accepted."""

    def start(self) -> None:
        self._deciding = self._spawn(self._live(), "decider")

    async def stop(self, patience: float) -> None:
        """Begin nothing more. What is out may end within `patience` seconds; the rest is parked.

        What is parked is stored as intended, and looked at after the next start, as after a crash.
        """
        self._parking = True
        self._set_alarm_clock(None)
        if self._out:
            await asyncio.wait(self._out, timeout=patience)
        await _cancel(self._out, patience)
        self._ending = True
        self._due.set()
        if self._deciding:
            await asyncio.wait([self._deciding], timeout=patience)
            await _cancel([self._deciding], patience)

    def feed(self, event: Event) -> None:
        """Hand in an event; never blocks, and events are decided in order.

        While the store refuses, what is told again by itself is let go, for the queue must not fill the memory.
        """
        if self.unstored is not None and isinstance(event, Observed | Snapped | Listed | Unreachable):
            self._let_go += 1
            return
        self._put(_Fed(event, None))

    async def decide(self, event: Event) -> Decision:
        """Hand in an event, and wait until what it led to is stored. StoreError where the runner has stopped."""
        if self._deciding is None or self._deciding.done():
            raise StoreError(self.unstored or "nothing is decided yet")
        stored: asyncio.Future[Decision] = asyncio.get_running_loop().create_future()
        self._asked.add(stored)
        stored.add_done_callback(self._asked.discard)
        self._put(_Fed(event, stored))
        return await stored

    async def accept(self, alarms: tuple[Alarm, ...]) -> tuple[bool, ...]:
        """Store alarms, then think about them. For each: was it new? StoreError if they are not stored."""
        if self.unstored is not None:
            raise StoreError(self.unstored)
        try:
            return await self._accepting.accept(alarms)
        except StaleWriterError as error:
            self._broken = error
            self._due.set()
            raise

    def _put(self, fed: _Fed) -> None:
        self._fed.append(fed)
        self._due.set()

    async def _live(self) -> None:
        why = "healer is stopping"
        try:
            await self._decide()
        except Exception as error:
            why = f"healer cannot go on: {error}"
            raise
        finally:
            self._set_alarm_clock(None)
            self.unstored = why
            for stored in [one for one in self._asked if not one.done()]:
                stored.set_exception(StoreError(why))

    async def _decide(self) -> None:
        while fed := await self._take():
            decided = [(one, self.kernel.handle(one.event, self._clock.now())) for one in fed]
            changes = tuple(change for _, decision in decided for change in decision.changes)
            if changes:
                await self._store(changes)
            for one, decision in decided:
                self._pass_on(one, decision)
            self._set_alarm_clock(decided[-1][1])
            await asyncio.sleep(0)  # under a flood of events, too, everybody else has a turn

    async def _take(self) -> Sequence[_Fed]:
        """All that is queued, at least one event, for one commit; nothing once all is decided and it must end."""
        while not (self._fed or self._ending or self._broken):
            self._due.clear()
            await self._due.wait()
        if self._broken:
            raise self._broken
        return [self._fed.popleft() for _ in range(min(len(self._fed), MOST_TOGETHER))]

    def _pass_on(self, fed: _Fed, decision: Decision) -> None:
        for observer in self._observers:
            observer.decided(fed.event, decision)
        for command in decision.commands:
            self._carry_out(command)
        if fed.stored and not fed.stored.done():
            fed.stored.set_result(decision)

    async def _store(self, changes: tuple[Change, ...]) -> None:
        """Until it is stored nothing goes on: the kernel is ahead of the store, and no command may be carried out."""
        began = self._clock.elapsed()
        while True:
            try:
                await self._writer.write(Write(changes=changes))
            except StaleWriterError:
                raise
            except StoreError as error:
                if self.unstored is None:
                    log.error("store.refused", why=str(error))  # noqa: TRY400 - a person needs the sentence, not the stack
                self.unstored = str(error)
                await asyncio.sleep(STORE_RETRY)
            else:
                break
        if self.unstored is not None:
            seconds = round(self._clock.elapsed() - began, 1)
            log.warning("store.recovered", refused_for_s=seconds, let_go=self._let_go)
            self.unstored, self._let_go = None, 0

    def _carry_out(self, command: Perform) -> None:
        repair = command.repair
        if self._parking:
            log.info("step.parked", step=str(repair.step), repair=repair.id)
            return
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

    def _set_alarm_clock(self, decision: Decision | None) -> None:
        if self._wake:
            self._wake.cancel()
            self._wake = None
        if decision is not None and decision.wake_at is not None and not self._parking:
            delay = (decision.wake_at - self._clock.now()).total_seconds()
            self._wake = asyncio.get_running_loop().call_later(max(SOONEST, delay), self.feed, Woken())


async def _cancel(tasks: Collection[asyncio.Task[None]], patience: float) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=patience)
