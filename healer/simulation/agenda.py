"""What is due when, in virtual time; and coroutines that wait by naming a time."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from datetime import datetime, timedelta
from heapq import heappop, heappush
from typing import Any, TypeVar

from healer.engines.simulated.clock import VirtualClock

_Result = TypeVar("_Result")


class pause:  # noqa: N801 - it is awaited like a function
    """Let so many seconds pass; only in a coroutine that an agenda plays."""

    __slots__ = ("_seconds",)

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __await__(self) -> Generator[float, None, None]:
        yield self._seconds


class Agenda:
    """A heap of moments. What is due at the same one happens in the order in which it was asked for."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self._due: list[tuple[datetime, int, Callable[[], None]]] = []
        self._asked = 0

    def at(self, moment: datetime, what: Callable[[], None]) -> None:
        """At once where the moment is over."""
        self._asked += 1
        heappush(self._due, (moment, self._asked, what))

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        self.at(self.clock.at + timedelta(seconds=seconds), what)

    def step(self, latest: datetime) -> bool:
        """Let the next thing happen. False where none is due until then: it is that time now."""
        if not self._due or self._due[0][0] > latest:
            self.clock.pass_until(latest)
            return False
        moment, _, what = heappop(self._due)
        self.clock.pass_until(moment)
        what()
        return True

    def run(self, seconds: float) -> None:
        latest = self.clock.at + timedelta(seconds=seconds)
        while self.step(latest):
            pass

    def run_until(self, reached: Callable[[], bool], within: float) -> bool:
        """Until it is so; False where it is not within so many seconds. Asked after everything that happens."""
        latest = self.clock.at + timedelta(seconds=within)
        while not reached():
            if not self.step(latest):
                return reached()
        return True


class Played:
    """One coroutine on an agenda. It goes on by itself, and its end is passed on; `drop` cuts it off where it waits."""

    __slots__ = ("_agenda", "_coroutine", "_guard", "_then")

    def __init__(
        self,
        agenda: Agenda,
        coroutine: Coroutine[Any, Any, _Result],
        guard: Callable[[Callable[[], None]], None],
        then: Callable[[_Result], None],
    ) -> None:
        """`guard` is called with each piece of it, and may leave it out."""
        self._agenda = agenda
        self._coroutine: Coroutine[Any, Any, Any] | None = coroutine
        self._guard = guard
        self._then: Callable[[Any], None] = then

    def start(self) -> None:
        """Its first piece, up to where it waits."""
        self._go_on()

    def drop(self) -> None:
        """Nothing more of it happens, and nobody is told."""
        if self._coroutine is not None:
            coroutine, self._coroutine = self._coroutine, None
            coroutine.close()

    def _go_on(self) -> None:
        if self._coroutine is None:
            return
        try:
            seconds = self._coroutine.send(None)
        except StopIteration as end:
            self._coroutine = None
            self._then(end.value)
        else:
            self._agenda.after(seconds, self._due)

    def _due(self) -> None:
        if self._coroutine is not None:
            self._guard(self._go_on)
