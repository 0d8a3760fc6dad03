"""The contract suite's hands in a real Heat."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from healer.clock import BootClock
from healer.core.model import Incarnation, Root
from healer.engines.heat import Heat
from healer.engines.local import machine
from healer.ports import Event, Place
from tests.contract.harness import TEMPLATES
from tests.heat.stacks import Stack, Stacks
from tests.real_heat import TIMEOUT_S, RealHeat
from tests.tier import TIER

MARKS = (pytest.mark.real_heat, pytest.mark.timeout(TIMEOUT_S))

_numbers = itertools.count(1)


class HeatHarness:
    def __init__(self, real: RealHeat, stacks: Stacks, directory: Path) -> None:
        self.stacks = stacks
        self.engine = Heat(
            cloud=real.cloud, clouds_yaml=real.clouds_yaml, request_timeout=timedelta(seconds=90)
        )
        self.engine.bind(Place("mine", directory, BootClock()))
        self._real = real
        self._switches: dict[str, list[str]] = {}

    async def create(self, template: str) -> Root:
        # Not the same name twice: Heat frees a name a moment after it says that the stack is deleted.
        name = f"{Path(template).stem.replace('_', '-')}-{next(_numbers)}"
        text = (TEMPLATES / template).read_text()
        parameters = {"python": sys.executable, "tier": str(TIER)}
        stack = await self.stacks.create(name, text, parameters=parameters, files=dict(_nested(text)))
        return Root("mine", "admin", stack.id, stack.name)

    async def delete(self, root: Root) -> None:
        await self.stacks.delete(stack_of(root))

    async def break_behind(self, root: Root, path: str) -> None:
        listed = (await self.engine.snapshot(root)).resources[path]
        physical_id = listed.incarnation.physical_id
        if listed.type == "Local::File":
            machine.remove_file(self._real.reality / physical_id)
            return
        os.kill(int(physical_id.split(":")[1]), signal.SIGKILL)
        async with asyncio.timeout(10):
            while machine.process_alive(physical_id):
                await self.a_moment()

    async def exists(self, physical_id: str) -> bool:
        if physical_id.count(":") == 2:
            return machine.process_alive(physical_id)
        return (self._real.reality / physical_id).is_file()

    @contextlib.asynccontextmanager
    async def fails(self, name: str) -> AsyncIterator[None]:
        with self._real.switched(fail_create=[name]):
            yield

    @contextlib.asynccontextmanager
    async def holds(self, name: str, *, delete: bool = False) -> AsyncIterator[None]:
        with self._real.switched(**{"hold_delete" if delete else "hold_create": [name]}):
            yield

    async def mark_unasked(self, root: Root, incarnation: Incarnation) -> None:
        for resource in (await self.engine.snapshot(root)).resources.values():
            if resource.incarnation == incarnation:
                outer, _, name = resource.path.rpartition("/")
                parent = outer.rpartition("/")[2]
                owner = await self.stacks.owner(stack_of(root), name, parent=parent)
                assert await self.stacks.mark(owner, incarnation.physical_id, reason="by another") == 200
                return
        raise AssertionError(f"{incarnation} is not there")

    async def history(self, root: Root) -> Sequence[Event]:
        listed = await self.stacks.resources(stack_of(root), depth=100)
        paths = {root.id: ""}
        for _ in listed:  # as many rounds as there can be levels
            for entry in listed:
                links = {link["rel"]: link["href"].rpartition("/")[2] for link in entry["links"]}
                if "nested" in links and links["stack"] in paths:
                    paths[links["nested"]] = f"{paths[links['stack']]}{entry['resource_name']}/"
        return [
            _event(event, paths[owner])
            for event in await self.stacks.events(stack_of(root))
            for owner in [_linked(event, "stack")]
            if owner in paths
        ]

    async def a_moment(self) -> None:
        await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def opened(request: pytest.FixtureRequest, directory: Path) -> AsyncIterator[HeatHarness]:
    real: RealHeat = request.getfixturevalue("real_heat")
    async with Stacks(real.url) as stacks:
        harness = HeatHarness(real, stacks, directory)
        await harness.engine.start()
        try:
            yield harness
        finally:
            await harness.engine.close()


def stack_of(root: Root) -> Stack:
    return Stack(root.name, root.id)


def _nested(text: str) -> Iterator[tuple[str, str]]:
    """The templates that a template names as types, and those that they name."""
    for resource in yaml.safe_load(text)["resources"].values():
        if resource["type"].endswith(".yaml"):
            nested = (TEMPLATES / resource["type"]).read_text()
            yield resource["type"], nested
            yield from _nested(nested)


def _event(event: Mapping[str, Any], prefix: str) -> Event:
    """A stack's own event has the path of the stack; while a resource is created its id is a name made up."""
    owner, physical_id = _linked(event, "stack"), event["physical_resource_id"] or ""
    path = prefix if physical_id == owner else prefix + event["resource_name"]
    if event["resource_status"] in ("CREATE_IN_PROGRESS", "CREATE_FAILED"):
        physical_id = ""
    return Event(path, event["resource_status"], physical_id, event["resource_status_reason"] or "")


def _linked(entry: Mapping[str, Any], relation: str) -> str:
    href: str = next(link["href"] for link in entry["links"] if link["rel"] == relation)
    return href.rpartition("/")[2]
