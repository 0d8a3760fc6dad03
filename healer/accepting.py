"""Alarms on their way into the store: what many senders post meanwhile is one write, one fsync and one event."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol

from healer.core.event import Alarmed, Event, Renewed
from healer.core.model import Alarm
from healer.ports import StaleWriterError, StoreError, Write

MOST_WAITING = 10_000
"""Alarms: some 20 MB of memory, and a second's work for the store."""
WINDOW = 0.005
"""Seconds. A write costs as much as taking in a dozen alarms, and nobody misses the moment."""

New = tuple[bool, ...]
"""For each alarm whether it came for the first time."""


class Writes(Protocol):
    async def write(self, write: Write) -> New: ...


@dataclass(frozen=True, slots=True)
class _Posted:
    alarms: tuple[Alarm, ...]
    kept: asyncio.Future[New]


class Accepting:
    def __init__(
        self,
        writer: Writes,
        feed: Callable[[Event], None],
        spawn: Callable[[Coroutine[Any, Any, None], str], object],
        most_waiting: int = MOST_WAITING,
        window: float = WINDOW,
    ) -> None:
        """`feed`: hands the kernel an event. `window`: seconds that the first of a write waits for company.

        Beyond `most_waiting` alarms that are not kept yet, more are refused.
        """
        self._writer = writer
        self._feed = feed
        self._spawn = spawn
        self._most_waiting = most_waiting
        self._window = window
        self._waiting = 0
        self._posted: list[_Posted] = []
        self._at_work = False

    async def accept(self, alarms: tuple[Alarm, ...]) -> New:
        """Keep them, then let the kernel think about them: about those that are new, and those that came once more.

        Raises StoreError where they are not kept: the store failed, or too many are waiting; they can be sent again.
        Whoever is cancelled here must expect that they are kept all the same.
        """
        if self._waiting >= self._most_waiting:
            raise StoreError(f"overloaded: {self._waiting} alarms are waiting to be stored")
        posted = _Posted(alarms, asyncio.get_running_loop().create_future())
        self._posted.append(posted)
        self._waiting += len(alarms)
        if not self._at_work:
            self._at_work = True
            self._spawn(self._work(), "storing of alarms")
        return await posted.kept

    async def _work(self) -> None:
        """Until nothing waits. What comes while the store is at work goes with the next write."""
        taken: list[_Posted] = []
        try:
            while self._posted:
                await asyncio.sleep(self._window)
                taken, self._posted = self._posted, []
                await self._keep(taken)
        finally:
            self._at_work = False
            for posted in [*taken, *self._posted]:
                if not posted.kept.done():  # only where the daemon ends meanwhile
                    self._tell(posted, StoreError("healer is stopping"))

    async def _keep(self, taken: Sequence[_Posted]) -> None:
        try:
            kept = await self._writer.write(Write(alarms=tuple(chain(*(one.alarms for one in taken)))))
        except StoreError as error:
            if len(taken) > 1 and not isinstance(error, StaleWriterError):
                await self._keep_one_by_one(taken)
                return
            for posted in taken:
                self._tell(posted, error)
        else:
            at = 0
            for posted in taken:
                self._tell(posted, kept[at : (at := at + len(posted.alarms))])
            self._think([alarm for posted in taken for alarm in posted.alarms], kept)

    async def _keep_one_by_one(self, taken: Sequence[_Posted]) -> None:
        """One of them may be what cannot be kept: the others must not suffer for it."""
        writes = (self._writer.write(Write(alarms=posted.alarms)) for posted in taken)
        for posted, kept in zip(taken, await asyncio.gather(*writes, return_exceptions=True), strict=True):
            self._tell(posted, kept)
            if not isinstance(kept, BaseException):
                self._think(posted.alarms, kept)

    def _tell(self, posted: _Posted, outcome: New | BaseException) -> None:
        self._waiting -= len(posted.alarms)
        if posted.kept.done():  # whoever posted it is gone
            return
        if isinstance(outcome, BaseException):
            posted.kept.set_exception(outcome)
        else:
            posted.kept.set_result(outcome)

    def _think(self, alarms: Sequence[Alarm], new: New) -> None:
        fresh = tuple(alarm for alarm, is_new in zip(alarms, new, strict=True) if is_new)
        if fresh:
            self._feed(Alarmed(fresh))
        again = tuple(alarm for alarm, is_new in zip(alarms, new, strict=True) if not is_new)
        if again:
            self._feed(Renewed(again))
