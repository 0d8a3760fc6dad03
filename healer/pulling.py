"""Reads alarms where a sender keeps them, at the start and ever after: what was sent to nobody heals too."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from healer.core.event import Awaited, Silenced
from healer.core.model import NOTHING, Alarm
from healer.core.silence import Silence
from healer.ports import Batch, EngineError, Pull, Silencing, StoreError

log = structlog.get_logger("healer")

BETWEEN_S = 5.0
"""At least, from the end of one reading to the next. Alertmanager may cut off a hundred groups in one second, and one
reading brings what all of them left out; a large one takes about a second for it, and has better things to do."""

FIRST_WITHIN = timedelta(minutes=1)
"""So long nothing is begun for want of a first reading of what is silenced: three questions of 10 s, and some."""

Accept = Callable[[tuple[Alarm, ...]], Awaitable[tuple[bool, ...]]]


@dataclass(slots=True)
class Pulling:
    """One sender's reader. What it gives is stored as what comes by itself is, and what is known already is known."""

    source: str
    """The name under which the sender is configured."""
    pull: Pull
    accept: Accept
    now: Callable[[], datetime]
    received: Callable[[str, Batch, tuple[bool, ...]], None]
    """Told of what was stored, for the metrics."""
    watchdog: str = ""
    """`alertname` of the alarm that always fires: read here it says nothing of the way that it should come."""
    only: Mapping[str, str] = NOTHING
    """Labels that an alarm carries, all of them, or is passed over here as where it is sent."""
    silenced: Callable[[Silenced], None] = lambda _: None
    """Told of all that is silenced at the sender, each time that this is read."""
    _unheard: bool = field(init=False)
    """What is silenced there has neither been read yet, nor in vain."""
    _why: str | None = field(default=None, init=False)
    """Why it could not be read the last time."""
    _wanted: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def __post_init__(self) -> None:
        self._unheard = isinstance(self.pull, Silencing) and self.pull.silences

    def awaited(self) -> Iterator[Awaited]:
        """What is to be known before anything is begun: nothing, of a sender at which nothing is silenced."""
        if self._unheard:
            yield Awaited(self.source, self.now() + FIRST_WITHIN)

    async def run(self) -> None:
        """Until it is cancelled."""
        every = self.pull.every.total_seconds()
        at_least = min(BETWEEN_S, every)
        try:
            while True:
                # Before and not after: what is asked for meanwhile may be too late for this reading.
                self._wanted.clear()
                await self.read()
                await asyncio.sleep(at_least)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wanted.wait(), every - at_least)
        finally:
            await self.pull.close()

    def soon(self) -> None:
        """It is read at once, or as soon as BETWEEN_S lets it, however often this is said."""
        self._wanted.set()

    async def read(self) -> None:
        """Once. The sender may forget what it gave only after that has been stored."""
        try:
            batch = (await self.pull.pull(self.source, self.now())).without(self.watchdog).only(self.only)
            if batch.silences is not None:
                self._hear(batch.silences)
            new = await self.accept(batch.alarms) if batch.alarms else ()
            await self.pull.stored()
        except EngineError as error:
            self._failed(error.detail)
        except StoreError as error:
            self._failed(f"what it gave could not be stored: {error}")
        except Exception as error:
            # A plug-in's boundary: one sender that cannot be read must not end the healing.
            log.exception("alarms.broke", source=self.source)
            self._failed(f"reading it broke: {type(error).__name__}: {error}")
        else:
            if self._why is not None:
                log.info("alarms.read", source=self.source, alarms=len(batch.alarms))
            self._why = None
            self.received(self.source, batch, new)

    def _hear(self, silences: tuple[Silence, ...]) -> None:
        self._unheard = False
        self.silenced(Silenced(self.source, silences))

    def _failed(self, why: str) -> None:
        if self._unheard:
            self._hear(())  # What fails must not stay so because nobody can say whether that is meant to be.
        if why != self._why:
            log.warning("alarms.unreadable", source=self.source, why=why)
        self._why = why


def waker(pullings: Sequence[Pulling]) -> Callable[[str], None]:
    """What the receiver tells that a sender has left something out; who is not read anywhere stays so."""

    def wake(source: str) -> None:
        for one in pullings:
            if one.source == source:
                one.soon()

    return wake
