"""The contract suite's hands in the embedded engine: the same real things, on the same machine."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import pytest
import yaml

from healer.clock import BootClock
from healer.core.model import Incarnation, Root, StackState
from healer.declarative.reading import Told, mark
from healer.declarative.reality import Made, RealityError, Thing
from healer.engines.local import FOLDER, Local, machine
from healer.engines.local.shelf import Shelf
from healer.engines.local.things import Things
from healer.ports import Event, Place
from tests.contract.harness import TEMPLATES, WITHIN_S
from tests.tier import TIER

CLOUD = "here"
PARAMETERS = {"python": sys.executable, "tier": str(TIER)}

_numbers = itertools.count(1)


class SwitchedThings(Things):
    """Things some of which cannot be made, or take their time, by logical name."""

    fail_create: ClassVar[set[str]] = set()
    hold_create: ClassVar[set[str]] = set()
    hold_delete: ClassVar[set[str]] = set()
    held: ClassVar[set[str]] = set()
    """Tokens of what was to go, and was not even asked to."""

    def create(self, thing: Thing) -> Made:
        if thing.name in self.fail_create:
            raise RealityError(f"{thing.name} may not be created")
        return super().create(thing)

    def created(self, thing: Thing) -> bool:
        return thing.name not in self.hold_create and super().created(thing)

    def delete(self, thing: Thing) -> None:
        if thing.name in self.hold_delete:
            self.held.add(thing.token)
        else:
            super().delete(thing)

    def deleted(self, thing: Thing) -> bool:
        if thing.name in self.hold_delete:
            return False
        if thing.token in self.held:
            self.held.remove(thing.token)
            super().delete(thing)
        return super().deleted(thing)


class SwitchedLocal(Local):
    made_of: ClassVar[type[Things]] = SwitchedThings


class LocalHarness:
    def __init__(self, directory: Path) -> None:
        self._templates = directory / "templates"
        self._place = Place(CLOUD, directory / "state", BootClock())
        self.engine = self._bound({})
        _write_templates(self._templates)

    def _bound(self, stacks: dict[str, Path]) -> Local:
        engine = SwitchedLocal(stacks=stacks)
        engine.bind(self._place)
        return engine

    async def create(self, template: str) -> Root:
        name = f"{Path(template).stem}-{next(_numbers)}"
        await self._bound({name: self._templates / template}).start()
        await self.engine.start()  # it takes up whatever stack there is
        root = next(root for root in await self.engine.roots() if root.name == name)
        async with asyncio.timeout(WITHIN_S):
            while (await self.engine.snapshot(root)).state is not StackState.COMPLETE:
                await self.a_moment()
        return root

    async def delete(self, root: Root) -> None:
        async with asyncio.timeout(WITHIN_S):
            while not await self.engine.delete(root):
                await self.a_moment()

    async def break_behind(self, root: Root, path: str) -> None:
        listed = (await self.engine.snapshot(root)).resources[path]
        if listed.type == "Local::File":
            machine.remove_file(listed.attributes["path"])
            return
        physical_id = listed.incarnation.physical_id
        os.kill(int(physical_id.split(":")[1]), signal.SIGKILL)
        async with asyncio.timeout(10):
            while machine.process_alive(physical_id):
                await self.a_moment()

    async def exists(self, physical_id: str) -> bool:
        if physical_id.count(":") == 2:
            return machine.process_alive(physical_id)
        found = await asyncio.to_thread(lambda: list(self._place.state_directory.rglob(physical_id)))
        return bool(found)

    @contextlib.asynccontextmanager
    async def fails(self, name: str) -> AsyncIterator[None]:
        with _switched(SwitchedThings.fail_create, name):
            yield

    @contextlib.asynccontextmanager
    async def holds(self, name: str, *, delete: bool = False) -> AsyncIterator[None]:
        with _switched(SwitchedThings.hold_delete if delete else SwitchedThings.hold_create, name):
            yield

    async def mark_unasked(self, root: Root, incarnation: Incarnation) -> None:
        """In the books themselves: nobody else but a mistake could."""
        shelf = Shelf(self._place.state_directory / FOLDER / CLOUD / root.name)
        book = await asyncio.to_thread(shelf.read)
        assert book is not None
        assert mark(book, incarnation, "by another", self._place.clock.now()) is Told.DONE
        await asyncio.to_thread(shelf.write, book)
        await self.engine.start()

    async def history(self, root: Root) -> Sequence[Event]:
        return await self.engine.events(root)

    async def a_moment(self) -> None:
        await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def opened(request: pytest.FixtureRequest, directory: Path) -> AsyncIterator[LocalHarness]:
    del request
    harness = LocalHarness(directory)
    await harness.engine.start()
    try:
        yield harness
    finally:
        for root in await harness.engine.roots():
            await harness.delete(root)
        await harness.engine.close()


def _write_templates(folder: Path) -> None:
    """The templates, with the parameters that a test of another engine would give as defaults."""
    folder.mkdir()
    for path in TEMPLATES.glob("*.yaml"):
        template = yaml.load(path.read_text(), yaml.BaseLoader)  # noqa: S506 - ours, and dates must stay text
        for name, parameter in template.get("parameters", {}).items():
            if name in PARAMETERS:
                parameter["default"] = PARAMETERS[name]
        (folder / path.name).write_text(yaml.safe_dump(template, sort_keys=False))


@contextlib.contextmanager
def _switched(switch: set[str], name: str) -> Iterator[None]:
    switch.add(name)
    try:
        yield
    finally:
        switch.remove(name)
