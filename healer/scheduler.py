"""When each probe looks: again and again on a grid of 50 ms, with a deadline, and never twice at once at one thing.

Looks that begin on one point of the grid share one wake-up of the process, which is most of what a look costs.
All of it runs on the loop's monotonic time: the wall clock may be set as anybody likes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from heapq import heappop, heappush
from math import ceil
from typing import Any

from healer.core.model import Observation, Resource, Symptom, Target
from healer.look import Lateness, Worst, believed, look
from healer.ports import Clock, Probe, Subject

TICKS_PER_SECOND = 20
"""The grid. Measured: twice as fine costs a third more for each look, twice as coarse spares a tenth."""
HEARTBEAT = TICKS_PER_SECOND
"""Ticks after which the scheduler wakes even if nothing is due: by this the watchdog knows that the loop turns."""
GAP = timedelta(seconds=3)
"""Three heartbeats. Whoever missed that much was suspended, stopped or starved, and knows nothing of that time."""

Spawn = Callable[[Coroutine[Any, Any, None], str], "asyncio.Task[None]"]


@dataclass(frozen=True, slots=True)
class Assignment:
    """Who looks at what, how often, and how long one look may take."""

    target: Target
    physical_id: str
    source: str
    """Of its observations, e.g. `probe:http`; one target has each source once."""
    probe: Probe
    interval: timedelta
    timeout: timedelta
    subject: Subject


@dataclass(frozen=True, slots=True)
class Vitals:
    """How the scheduler fares, for telemetry and the watchdog. Counts are since the start."""

    assigned: int
    in_flight: int
    waiting: int
    """Looks that are due and held back by the cap."""
    looks: int
    skipped: int
    """Looks left out because the one before had not ended."""
    discounted: int
    """Looks whose failure was not believed because the observer itself was late."""
    lag_s: float
    """The worst lateness of the loop within the last ten to twenty seconds."""
    last_tick_at: datetime


@dataclass(slots=True, eq=False)
class _Track:
    """One assignment over time."""

    assignment: Assignment
    every: int
    """Ticks."""
    phase: int
    due: int = 0
    dropped: bool = False
    waiting: bool = False
    late_s: float = 0
    """The loop's worst lateness since the look that is out began."""
    missed_time: bool = False

    def __lt__(self, other: _Track) -> bool:
        return self.due < other.due

    def next_after(self, tick: int) -> int:
        return tick + self.every - (tick - self.phase) % self.every


def subject_of(target: Target, resource: Resource) -> Subject:
    """What a probe is pointed at; the values are the fixed table of placeholders."""
    incarnation = resource.incarnation
    always = {
        "name": incarnation.name,
        "path": target.path,
        "physical_id": incarnation.physical_id,
        "stack": str(target.root),
    }
    return Subject(str(target), incarnation.physical_id, {**resource.attributes, **always})


class Scheduler:
    """Made and used within one running loop.

    `observe` gets what was seen, in one batch for each tick. `on_gap` is told of a time, in seconds, in which
    nothing could be seen: the machine was suspended (the clock counts that, the loop does not), or the process
    did not run. `on_look` is told of every look at once, and of the seconds that it took.
    """

    def __init__(
        self,
        clock: Clock,
        spawn: Spawn,
        observe: Callable[[list[Observation]], None],
        on_gap: Callable[[float], None],
        *,
        max_in_flight: int = 256,
        on_look: Callable[[Observation, float], None] | None = None,
    ) -> None:
        self._clock = clock
        self._spawn = spawn
        self._observe = observe
        self._on_gap = on_gap
        self._on_look = on_look
        self._max_in_flight = max_in_flight
        self._loop = asyncio.get_running_loop()
        self._tracks: dict[tuple[Target, str], _Track] = {}
        self._due: list[_Track] = []
        self._waiting: deque[_Track] = deque()
        self._out: dict[_Track, asyncio.Task[None]] = {}
        self._seen: list[Observation] = []
        self._looks = self._skipped = self._discounted = 0
        self._worst = Worst(self._loop.time())
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._last_tick_at = clock.now()

    def start(self) -> None:
        self._last_tick_at = self._clock.now()
        self._arm()

    async def stop(self) -> None:
        """Looks that are out are cut short, and tell nothing; what was seen before is passed on."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.assign(())
        if self._out:
            await asyncio.wait(self._out.values())
        self._flush()

    def assign(self, assignments: Iterable[Assignment]) -> None:
        """Replace the whole set: what is new is added, what is not in it is dropped, the rest keeps its rhythm.

        A new incarnation, or another probe, is looked at on the next tick, and a look at the old one cut short.
        """
        wanted: dict[tuple[Target, str], Assignment] = {}
        for assignment in assignments:
            key = (assignment.target, assignment.source)
            if key in wanted:
                raise ValueError(f"{assignment.source} is assigned twice to {assignment.target}")
            wanted[key] = assignment
        for key in self._tracks.keys() - wanted.keys():
            self._drop(self._tracks.pop(key))
        for key, assignment in wanted.items():
            self._put(key, assignment, self._tick_now())
        if self._timer is not None and self._due and self._due[0].due / TICKS_PER_SECOND < self._timer_at:
            self._arm()

    def vitals(self) -> Vitals:
        overdue_s = self._loop.time() - self._timer_at if self._timer is not None else 0
        return Vitals(
            assigned=len(self._tracks),
            in_flight=len(self._out),
            waiting=sum(not track.dropped for track in self._waiting),
            looks=self._looks,
            skipped=self._skipped,
            discounted=self._discounted,
            lag_s=max(self._worst.value, overdue_s),
            last_tick_at=self._last_tick_at,
        )

    def _put(self, key: tuple[Target, str], assignment: Assignment, tick: int) -> None:
        old = self._tracks.get(key)
        same_thing = old is not None and (
            old.assignment.physical_id == assignment.physical_id and old.assignment.probe == assignment.probe
        )
        if old is not None and same_thing and old.assignment.interval == assignment.interval:
            old.assignment = assignment
            return
        track = self._tracks[key] = _track(assignment)
        if old is not None:
            self._drop(old)
        track.due = track.next_after(tick) if old is None or same_thing else tick + 1
        heappush(self._due, track)

    def _drop(self, track: _Track) -> None:
        track.dropped = True
        if out := self._out.get(track):
            out.cancel()

    def _tick_now(self) -> int:
        return int(self._loop.time() * TICKS_PER_SECOND + 1e-3)  # a timer may fire a clock's grain too early

    def _arm(self) -> None:
        """Set the one timer: for the next tick while anything is under way, so that lateness is seen finely."""
        if self._timer is not None:
            self._timer.cancel()
        now = self._tick_now()
        at = now + 1
        if not (self._out or self._waiting or self._seen):
            first = self._due[0].due if self._due else now + HEARTBEAT
            at = max(at, min(first, now + HEARTBEAT))
        self._timer_at = at / TICKS_PER_SECOND
        self._timer = self._loop.call_at(self._timer_at, self._tick)

    def _tick(self) -> None:
        try:
            self._note_lateness()
            self._start_what_is_due(self._tick_now())
            self._flush()
        finally:
            self._arm()

    def _note_lateness(self) -> None:
        late_s = self._loop.time() - self._timer_at
        self._worst.note(late_s, self._loop.time())
        missed = self._missed()
        self._last_tick_at = self._clock.now()
        for track in self._out:
            track.late_s = max(track.late_s, late_s)
            track.missed_time |= missed > GAP
        if missed > GAP:
            self._on_gap(missed.total_seconds())

    def _missed(self) -> timedelta:
        return self._clock.now() - self._last_tick_at

    def _start_what_is_due(self, tick: int) -> None:
        while self._due and self._due[0].due <= tick:
            track = heappop(self._due)
            if track.dropped:
                continue
            if track.waiting or track in self._out:
                self._skipped += 1
            else:
                track.waiting = True
                self._waiting.append(track)
            track.due = track.next_after(tick)  # after a stall: once, and not once for each that was missed
            heappush(self._due, track)
        while self._waiting and len(self._out) < self._max_in_flight:
            track = self._waiting.popleft()
            track.waiting = False
            if not track.dropped:
                self._start(track)

    def _start(self, track: _Track) -> None:
        self._looks += 1
        track.late_s, track.missed_time = 0.0, False
        name = f"{track.assignment.source} looks at {track.assignment.target}"
        self._out[track] = task = self._spawn(self._look(track, track.assignment), name)
        task.add_done_callback(lambda _: self._out.pop(track))

    async def _look(self, track: _Track, assignment: Assignment) -> None:
        # As of its beginning: a look that was out while a repair ended says nothing of what came of it.
        at, began = self._clock.now(), self._loop.time()
        sight = await look(assignment.probe, assignment.subject, assignment.timeout)
        if track.dropped:
            return
        now = self._loop.time()
        lateness = Lateness(
            late_s=max(track.late_s, now - self._timer_at),  # the tick itself may be overdue at this moment
            took_s=now - began,
            missed_time=track.missed_time or self._missed() > GAP,
        )
        sight = believed(sight, assignment.timeout, lateness)
        self._discounted += sight.symptom is Symptom.OBSERVER_LATE
        seen = Observation(
            target=assignment.target,
            source=assignment.source,
            health=sight.health,
            symptom=sight.symptom,
            at=at,
            physical_id=assignment.physical_id,
            detail=sight.detail,
        )
        if self._on_look is not None:
            self._on_look(seen, lateness.took_s)
        self._seen.append(seen)

    def _flush(self) -> None:
        if self._seen:
            seen, self._seen = self._seen, []
            self._observe(seen)


def _track(assignment: Assignment) -> _Track:
    """Its phase follows from who it is, so that the looks at many things are spread, and after a restart likewise."""
    every = max(1, ceil(assignment.interval.total_seconds() * TICKS_PER_SECOND - 1e-6))
    root = assignment.target.root
    whole = f"{root.cloud} {root.project} {root.id} {assignment.target.path} {assignment.source}"
    spread = int.from_bytes(blake2b(whole.encode(errors="replace"), digest_size=8).digest())
    return _Track(assignment, every, spread % every)
