"""The contract suite's hands in the simulated engine: whatever it waits for, time passes at once."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from healer.core.model import Incarnation, Root, StackState
from healer.declarative.declaration import Declaration
from healer.documents import read
from healer.engines.simulated import Simulated
from healer.engines.simulated.clock import VirtualClock
from healer.engines.simulated.world import Verb
from healer.ports import EngineError, Event, Place
from tests.contract.harness import TEMPLATES

ALWAYS = 1_000_000
PARAMETERS = {"python": "python", "tier": "tier.py"}

_numbers = itertools.count(1)


class SimulatedHarness:
    def __init__(self, directory: Path) -> None:
        self.clock = VirtualClock()
        self.engine = Simulated(seed=next(_numbers))
        self.engine.bind(Place("simulated", directory, self.clock))

    async def create(self, template: str) -> Root:
        root = self.engine.cloud.create(f"{Path(template).stem}-{next(_numbers)}", declaration(template))
        while (await self.engine.snapshot(root)).state is not StackState.COMPLETE:
            await self.a_moment()
        return root

    async def delete(self, root: Root) -> None:
        self.engine.cloud.delete(root)
        with contextlib.suppress(EngineError):
            for _ in range(1000):
                self.engine.cloud.world(root)
                await self.a_moment()

    async def break_behind(self, root: Root, path: str) -> None:
        physical_id = (await self.engine.snapshot(root)).resources[path].incarnation.physical_id
        self.engine.cloud.world(root).kill(physical_id)

    async def exists(self, physical_id: str) -> bool:
        return any(physical_id in self.engine.cloud.world(root).items for root in await self.engine.roots())

    @contextlib.asynccontextmanager
    async def fails(self, name: str) -> AsyncIterator[None]:
        worlds = [self.engine.cloud.world(root) for root in await self.engine.roots()]
        for world in worlds:
            world.fails[Verb.CREATE, name] = ALWAYS
        yield
        for world in worlds:
            world.fails[Verb.CREATE, name] = 0

    @contextlib.asynccontextmanager
    async def holds(self, name: str, *, delete: bool = False) -> AsyncIterator[None]:
        held = (Verb.DELETE if delete else Verb.CREATE, name)
        worlds = [self.engine.cloud.world(root) for root in await self.engine.roots()]
        for world in worlds:
            world.holds.add(held)
        yield
        for world in worlds:
            world.holds.remove(held)

    async def mark_unasked(self, root: Root, incarnation: Incarnation) -> None:
        self.engine.cloud.mark_by_another(root, incarnation)

    async def history(self, root: Root) -> Sequence[Event]:
        return self.engine.cloud.events(root)

    async def a_moment(self) -> None:
        self.clock.pass_time(1)


def declaration(template: str) -> Declaration:
    """A template of tests/templates, with what it must be given as defaults."""
    found = {template: read(TEMPLATES / template).data}
    pending = [template]
    while pending:
        for resource in found[pending.pop()]["resources"].values():
            kind = resource["type"]
            if kind.endswith(".yaml") and kind not in found:
                found[kind] = read(TEMPLATES / kind).data
                pending.append(kind)
    root = found.pop(template)
    for name, parameter in root.get("parameters", {}).items():
        if name in PARAMETERS:
            parameter["default"] = PARAMETERS[name]
    return Declaration(root, found)


@contextlib.asynccontextmanager
async def opened(request: pytest.FixtureRequest, directory: Path) -> AsyncIterator[SimulatedHarness]:
    del request
    yield SimulatedHarness(directory)
