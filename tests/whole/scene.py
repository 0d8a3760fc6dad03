"""A stack on a real Heat, a daemon beside it, and what Heat itself says of the stack, whatever healer thinks of it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import yaml

from tests.heat.stacks import Stack, Stacks
from tests.real_heat import RealHeat
from tests.tier import TIER
from tests.whole.daemon import Daemon, config, policy

TEMPLATES = Path(__file__).parents[1] / "templates"
_numbers = count(1)
ENDS_OF_A_CHECK = {"CHECK_COMPLETE", "CHECK_FAILED"}

Place = tuple[str, str]
"""Name of the resource that the owning stack is (empty: the root), and the resource's own."""


@dataclass
class Scene:
    real: RealHeat
    heat: Stacks
    folder: Path
    """Where the daemon lives."""

    async def make(self, template: str) -> Stack:
        """A stack of tests/templates/<template>.yaml, complete, under a name that no other has had."""
        text = (TEMPLATES / f"{template}.yaml").read_text()
        parameters = {"python": sys.executable, "tier": str(TIER)}
        name = f"{template.replace('_', '-')}-{next(_numbers)}"
        return await self.heat.create(name, text, parameters=parameters, files=dict(nested(text)))

    def daemon(self, stack: Stack, policies: Mapping[str, Any] | None = None, **changes: Any) -> Daemon:
        """One that looks at this stack alone; `changes` of its configuration."""
        return Daemon(self.folder, config(self.real, stack.name, **changes), policies or policy())

    async def listed(self, stack: Stack) -> dict[Place, dict[str, Any]]:
        """Every resource at every depth, as Heat lists it."""
        found = await self.heat.resources(stack, depth=5)
        return {(one.get("parent_resource", ""), one["resource_name"]): one for one in found}

    async def ids(self, stack: Stack) -> dict[Place, str]:
        return {place: one["physical_resource_id"] for place, one in (await self.listed(stack)).items()}

    async def marked(self, stack: Stack) -> list[Place]:
        found = await self.listed(stack)
        return [place for place, one in found.items() if one["resource_status"] == "CHECK_FAILED"]

    async def happened(self, stack: Stack) -> Counter[tuple[str, str]]:
        """How often each status was reached, by logical name, at any depth."""
        return Counter(
            (one["resource_name"], one["resource_status"]) for one in await self.heat.events(stack)
        )

    async def where(self, stack: Stack, name: str) -> str:
        """The address at which a process listens."""
        said = (await self.heat.resource(stack, name, "address", "port"))["attributes"]
        return f"{said['address']}:{said['port']}"

    async def told(self, stack: Stack, name: str) -> Mapping[str, Any]:
        """What a process has been told of others."""
        said = (await self.heat.resource(stack, name, "wires"))["attributes"]
        wires: Mapping[str, Any] = said["wires"]
        return wires

    async def check(self, stack: Stack) -> None:
        """Let Heat look whether all that it made is there; return when it has."""
        status, said = await self.heat.request("POST", f"{stack.path}/actions", json={"check": None})
        assert status in {200, 201, 202}, said
        async with asyncio.timeout(30):
            while not any(one["resource_status"] in ENDS_OF_A_CHECK for one in await self.turns(stack)):
                await asyncio.sleep(0.05)

    async def turns(self, stack: Stack) -> list[dict[str, Any]]:
        """What happened to the stack itself."""
        return [one for one in await self.heat.events(stack) if one["physical_resource_id"] == stack.id]

    async def kill_heat(self) -> None:
        await asyncio.to_thread(self.real.kill)

    async def start_heat(self) -> None:
        await asyncio.to_thread(self.real.start)

    async def restart_heat(self) -> None:
        """However it was left: the other tests need it."""
        await asyncio.to_thread(self.real.restart)


def changed(before: Mapping[Place, str], after: Mapping[Place, str]) -> set[Place]:
    """Whose physical id is another one."""
    assert before.keys() == after.keys()
    return {place for place in before if before[place] != after[place]}


def kill(resource: Mapping[str, Any], number: signal.Signals = signal.SIGKILL) -> None:
    """The process, by healer's word for it; a physical id is `boot id:pid:start time`."""
    os.kill(int(resource["physical_id"].split(":")[1]), number)


def nested(text: str) -> Iterator[tuple[str, str]]:
    """The templates that a template names as types, and those that they name."""
    resources: dict[str, Any] = yaml.safe_load(text)["resources"]
    for resource in resources.values():
        if resource["type"].endswith(".yaml"):
            inner = (TEMPLATES / resource["type"]).read_text()
            yield resource["type"], inner
            yield from nested(inner)
