"""The engine as the daemon meets it: at the end of a network, where every call takes a while and may find nobody."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from random import Random
from typing import ClassVar

from healer.core.model import Incarnation, Root, Snapshot
from healer.core.step import Failure
from healer.engines.simulated import Simulated
from healer.engines.simulated.trouble import Call
from healer.ports import EngineError, Operation, Place
from healer.simulation.agenda import pause

Called = Callable[[Call, Root | None, Incarnation | None], None]
"""Told of each call when it arrives, before it is carried out."""


class Paced:
    """Other things happen between any two calls. Answers come at once: a lost one is the engine's misbehaviour."""

    rebuildable: ClassVar[frozenset[str]] = Simulated.rebuildable
    poll: ClassVar[timedelta] = Simulated.poll

    def __init__(self, engine: Simulated, random: Random, called: Called, latency: float = 0.4) -> None:
        """`latency`: the longest that a call takes to arrive, in seconds."""
        self.away = False
        """Nobody is there: what is asked is not carried out, and not answered."""
        self._engine = engine
        self._random = random
        self._called = called
        self._latency = latency

    def bind(self, place: Place) -> None:
        self._engine.bind(place)

    async def start(self) -> None:
        await self._arrive(Call.ROOTS)

    async def close(self) -> None:
        """What the engine runs goes on."""

    async def roots(self) -> tuple[Root, ...]:
        await self._arrive(Call.ROOTS)
        return await self._engine.roots()

    async def snapshot(self, root: Root) -> Snapshot:
        await self._arrive(Call.SNAPSHOT, root)
        return await self._engine.snapshot(root)

    async def mark(self, root: Root, incarnation: Incarnation, reason: str) -> None:
        await self._arrive(Call.MARK, root, incarnation)
        await self._engine.mark(root, incarnation, reason)

    async def unmark(self, root: Root, incarnation: Incarnation) -> None:
        await self._arrive(Call.UNMARK, root, incarnation)
        await self._engine.unmark(root, incarnation)

    async def preview(self, root: Root, stack: str) -> frozenset[str]:
        await self._arrive(Call.PREVIEW, root)
        return await self._engine.preview(root, stack)

    async def position(self, root: Root) -> str:
        await self._arrive(Call.POSITION, root)
        return await self._engine.position(root)

    async def converge(self, root: Root, own_since: str | None = None) -> None:
        await self._arrive(Call.CONVERGE, root)
        await self._engine.converge(root, own_since)

    async def operation(self, root: Root, since: str) -> Operation:
        await self._arrive(Call.OPERATION, root)
        return await self._engine.operation(root, since)

    async def wires(self, root: Root, paths: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
        await self._arrive(Call.WIRES, root)
        return await self._engine.wires(root, paths)

    async def power(self, root: Root, incarnation: Incarnation) -> None:
        await self._arrive(Call.POWER, root, incarnation)
        await self._engine.power(root, incarnation)

    async def _arrive(self, call: Call, root: Root | None = None, which: Incarnation | None = None) -> None:
        await pause(round(self._random.uniform(0, self._latency), 3))
        if self.away:
            raise EngineError(Failure.UNREACHABLE, "there is no way to the cloud")
        self._called(call, root, which)
