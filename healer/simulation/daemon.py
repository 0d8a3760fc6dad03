"""The daemon in virtual time: kernel, store, performer, probes and readings, with every point at which it may die."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar, cast

from healer.core.event import (
    Alarmed,
    Event,
    Listed,
    Observed,
    PoliciesLoaded,
    Reported,
    Resumed,
    Silenced,
    Snapped,
    Started,
    Stopped,
    Unreachable,
    Woken,
)
from healer.core.kernel import Kernel
from healer.core.model import Alarm, Incarnation, Root
from healer.core.repair import Recipe
from healer.core.step import Failure, Report, Step
from healer.core.turn import Perform
from healer.engines.simulated.trouble import Call
from healer.plugins import find, names
from healer.ports import Action, EngineError, Write
from healer.simulation.agenda import Played, pause
from healer.simulation.looks import Looks
from healer.simulation.paced import Paced
from healer.simulation.surroundings import Point, Surroundings
from healer.steps import Performer
from healer.watchers.engine import EngineWatcher

CLOUD = "simulated"
INSTALLATION = "simulated"
RECIPES: Mapping[str, Recipe] = {
    name: cast("Action", find("actions", name)).recipe for name in names("actions")
}
ENGINE_WATCHER = EngineWatcher()
SOONEST = timedelta(seconds=0.02)
SLOW_LOOKS = 0.1
"""Of all looks: these are over a while after they began."""
SLOWEST_LOOK_S = 1.5

_Result = TypeVar("_Result")


class DiedError(Exception):
    """The daemon dies here."""


class Daemon:
    """One life. `start` begins it; it ends where it dies, and whoever wants another makes another."""

    def __init__(self, around: Surroundings) -> None:
        self.alive = False
        self.kernel: Kernel
        """Once it has started."""
        self.cloud = Paced(around.engine, around.random, self._called)
        self._around = around
        self._agenda = around.agenda
        self._played: set[Played] = set()
        self._woken = 0
        self._step: Step | None = None
        """The one that is being performed at this very moment."""
        self._looks = Looks()

    def start(self) -> None:
        """As the real one does: take the state, decide, look."""
        around = self._around
        around.store.acquire()
        self.kernel = Kernel(around.store.load(), around.random.randbytes(16))
        self._performer = Performer(
            {CLOUD: self.cloud}, {"postbox": around.postbox}, INSTALLATION, lambda: around.stop_file
        )
        self.alive = True
        self.feed(PoliciesLoaded(around.policies, RECIPES))
        self.feed(Unreachable(CLOUD, "it has not been read yet"))
        self.feed(Stopped(around.stop_file))
        self.feed(Silenced("alertmanager", around.silences))
        self.feed(Started())
        if not self.alive:
            return
        intervals = {watch.interval for policy in around.policies for watch in policy.detect.watches}
        for life in (self._survey(), *(self._look_every(interval) for interval in sorted(intervals))):
            self._play(life)

    def die(self) -> None:
        """SIGKILL: what it was told and had not stored is lost, and so are the answers that were on their way."""
        self.alive = False
        for played in self._played:
            played.drop()
        self._played.clear()
        self._around.store.close()

    def feed(self, event: Event) -> None:
        """Hand in an event, if it lives."""
        self._guard(lambda: self._handle(event))

    def accept(self, alarms: tuple[Alarm, ...]) -> bool:
        """Whether the sender is told that they are stored; it sends again whatever was not."""
        if not self.alive:
            return False
        (new,) = self._around.store.commit([Write(alarms=alarms)])
        fresh = tuple(alarm for alarm, is_new in zip(alarms, new, strict=True) if is_new)
        self._guard(lambda: self._hear(fresh))
        return self.alive

    def lose_time(self, seconds: float) -> None:
        """The machine is suspended: the clock counts it, and nobody looks."""
        self._agenda.clock.pass_time(seconds)
        self.feed(Resumed(seconds))

    # Deciding.

    def _hear(self, alarms: tuple[Alarm, ...]) -> None:
        self._reach(Point.COMMITTED)
        if alarms:
            self._handle(Alarmed(alarms))

    def _handle(self, event: Event) -> None:
        decision = self.kernel.handle(event, self._agenda.clock.at)
        step = decision.commands[0].repair.step if decision.commands else None
        if decision.changes:
            self._reach(Point.DECIDED, step)
            self._around.store.commit([Write(changes=decision.changes)])
            self._around.witness.decided(event, decision)
            self._reach(Point.COMMITTED, step)
        for command in decision.commands:
            self._carry_out(command)
        self._set_alarm_clock(decision.wake_at)

    def _set_alarm_clock(self, wake_at: datetime | None) -> None:
        self._woken += 1
        mine = self._woken

        def wake() -> None:
            if mine == self._woken:
                self.feed(Woken())

        if wake_at is not None:
            self._agenda.at(max(self._agenda.clock.at + SOONEST, wake_at), wake)

    def _carry_out(self, command: Perform) -> None:
        repair = command.repair

        def told(report: Report) -> None:
            self._reach(Point.DONE, repair.step)
            self._handle(Reported(repair.id, repair.attempt, report))

        self._play(self._perform(command), told, repair.step)

    async def _perform(self, command: Perform) -> Report:
        report = await self._performer.perform(command)
        await pause(0.05)
        return report

    # Looking.

    async def _survey(self) -> None:
        while True:
            try:
                roots = await self.cloud.roots()
                read = [root for root in roots if await self._read(root)]
            except EngineError as error:
                self._handle(Unreachable(CLOUD, error.detail))
            else:
                self._handle(Listed(CLOUD, frozenset(read)))
            await pause(self._around.refresh)

    async def _read(self, root: Root) -> bool:
        try:
            snapshot = await self.cloud.snapshot(root)
        except EngineError as error:
            if error.failure is Failure.GONE:
                return False
            raise
        self._handle(Snapped(snapshot))
        self._handle(Observed(tuple(ENGINE_WATCHER.watch(snapshot))))
        return True

    async def _look_every(self, interval: timedelta) -> None:
        while True:
            await pause(interval.total_seconds())
            seen = self._looks.take(interval, self.kernel.state, self._around.engine, self._agenda.clock.at)
            if self._around.random.random() < SLOW_LOOKS:
                await pause(self._around.random.uniform(0, SLOWEST_LOOK_S))
            if seen:
                self._handle(Observed(seen))

    # Living and dying.

    def _called(self, call: Call, root: Root | None, which: Incarnation | None) -> None:
        self._reach(Point.CALLING, self._step)
        self._around.witness.called(call, root, which)

    def _reach(self, point: Point, step: Step | None = None) -> None:
        if self._around.dies(point, step):
            raise DiedError

    def _play(
        self,
        coroutine: Coroutine[Any, Any, _Result],
        then: Callable[[_Result], None] | None = None,
        step: Step | None = None,
    ) -> None:
        def guard(piece: Callable[[], None]) -> None:
            self._step = step
            self._guard(piece)
            self._step = None

        def ended(result: _Result) -> None:
            self._played.discard(played)
            if then is not None:
                then(result)

        played = Played(self._agenda, coroutine, guard, ended)
        self._played.add(played)
        played.start()

    def _guard(self, what: Callable[[], None]) -> None:
        if not self.alive:
            return
        try:
            what()
        except DiedError:
            self.die()
