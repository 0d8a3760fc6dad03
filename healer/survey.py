"""Reads one cloud again and again: which stacks there are, what stands in them, and what the engine says of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

import structlog

from healer.core.event import Event, Listed, Observed, Snapped, Unreachable
from healer.core.model import Root
from healer.core.step import Failure
from healer.ports import Engine, EngineError, Watcher

log = structlog.get_logger("healer")


@dataclass(slots=True)
class Survey:
    """One cloud's reader. What cannot be read is said to be unreachable, and nothing there is healed meanwhile."""

    cloud: str
    engine: Engine
    refresh: timedelta
    """Between the end of one reading and the beginning of the next."""
    watchers: Mapping[str, Watcher]
    """Only those that some policy asks for, by name."""
    feed: Callable[[Event], None]
    _started: bool = field(default=False, init=False)
    _why: str | None = field(default="it has not been read yet", init=False)
    """Why it could not be read the last time."""

    async def run(self) -> None:
        """Until it is cancelled; a reading never overlaps with the next."""
        while True:
            await self.read()
            await asyncio.sleep(self.refresh.total_seconds())

    async def read(self) -> None:
        """One complete reading: every stack first, the listing last, for it says that this is all."""
        try:
            if not self._started:
                await self.engine.start()
                self._started = True
            roots = await self.engine.roots()
            read = [root for root in roots if await self._read_stack(root)]
        except EngineError as error:
            self._failed(error.detail)
        except Exception as error:
            # A plug-in's boundary: what breaks in reading one cloud must not end the healing of the others.
            log.exception("cloud.broke", cloud=self.cloud)
            self._failed(f"reading it broke: {type(error).__name__}: {error}")
        else:
            if self._why is not None:
                log.info("cloud.read", cloud=self.cloud, stacks=len(read))
            self._why = None
            self.feed(Listed(self.cloud, frozenset(read)))

    def _failed(self, why: str) -> None:
        if why != self._why:
            log.warning("cloud.unreachable", cloud=self.cloud, why=why)
        self._why = why
        self.feed(Unreachable(self.cloud, why))

    async def _read_stack(self, root: Root) -> bool:
        """False where the stack went away between the listing and the reading."""
        try:
            snapshot = await self.engine.snapshot(root)
        except EngineError as error:
            if error.failure is Failure.GONE:
                return False
            raise
        self.feed(Snapped(snapshot))
        seen = [observation for watcher in self.watchers.values() for observation in watcher.watch(snapshot)]
        if seen:
            self.feed(Observed(tuple(seen)))
        return True
