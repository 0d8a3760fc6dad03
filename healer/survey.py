"""Reads one cloud again and again: which stacks there are, what stands in them, and what the engine says of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from healer.core.event import Event, Listed, Observed, Snapped, Unreachable
from healer.core.model import Root
from healer.core.step import Failure
from healer.ports import Engine, EngineError, Watcher


@dataclass(slots=True)
class Survey:
    """One cloud's reader. What cannot be read is said to be unreachable, and nothing there is healed meanwhile."""

    cloud: str
    engine: Engine
    refresh: timedelta
    watchers: Mapping[str, Watcher]
    """Only those that some policy asks for, by name."""
    feed: Callable[[Event], None]
    _started: bool = field(default=False, init=False)
    _due: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    async def run(self) -> None:
        """Until it is cancelled; a reading never overlaps with the next."""
        while True:
            await self.read()
            self._due.clear()
            try:
                async with asyncio.timeout(self.refresh.total_seconds()):
                    await self._due.wait()
            except TimeoutError:
                continue

    def soon(self) -> None:
        """Read again now rather than at the next refresh."""
        self._due.set()

    async def read(self) -> None:
        """One complete reading: every stack first, the listing last, for it says that this is all."""
        try:
            if not self._started:
                await self.engine.start()
                self._started = True
            roots = await self.engine.roots()
            read = [root for root in roots if await self._read_stack(root)]
        except EngineError as error:
            self.feed(Unreachable(self.cloud, error.detail))
        else:
            self.feed(Listed(self.cloud, frozenset(read)))

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
