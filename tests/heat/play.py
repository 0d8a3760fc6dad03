"""A stack in the real Heat that things are done to, with a record of what was done and what came of it.

The record is a list of steps, in order: `{"do": …, "answer": …}` is what was done, with the HTTP status, or what a
preview answered; `{"events": […], "status": …, "state": {…}, "exists": […]}` is what was seen once nothing was
in progress any more: what happened since the last such step, oldest first; the status of the stack; of each
resource its incarnation, its status and what it has been told of others; and which incarnations really exist.

Nothing in it depends on when and where it was made: `db#2` is the second incarnation of `db`, wherever its
physical id, its port, its address or its path was seen.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from healer.engines.local import machine
from tests.heat.stacks import Stack, Stacks
from tests.tier import TIER

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.real_heat import RealHeat

TEMPLATES = Path(__file__).parents[1] / "templates"


class Play:
    """One stack of a template in tests/templates, and the record of what happens to it."""

    def __init__(self, real_heat: RealHeat, heat: Stacks, directory: Path) -> None:
        """`directory` is an empty one, for the interpreter that the stack's processes are started with."""
        self.steps: list[dict[str, Any]] = []
        self.template = ""
        self.requires: list[list[str]] = []
        """Pairs of paths: a resource, and one that it requires."""
        self.heat = heat
        self.stack: Stack
        self._real_heat = real_heat
        self._python = directory / "python"
        self._seen: set[str] = set()
        self._incarnations: dict[str, list[str]] = {}
        self._symbols: dict[str, str] = {}

    async def begin(self, template: str, *, rollback: bool = False) -> None:
        """Create the stack of this template, and see it once."""
        self.template = template
        self.give_python()
        text = (TEMPLATES / template).read_text()
        types = {resource["type"] for resource in yaml.safe_load(text)["resources"].values()}
        self.stack = await self.heat.create(
            template.removesuffix(".yaml").replace("_", "-"),
            text,
            parameters={"python": str(self._python), "tier": str(TIER)},
            files={name: (TEMPLATES / name).read_text() for name in types if name.endswith(".yaml")},
            disable_rollback=not rollback,
        )
        self._did("create, rolling back what fails" if rollback else "create")
        await self.see()
        paths = await self._paths()
        self.requires = sorted(
            [join(outer, dependent), join(outer, each["resource_name"])]
            for each in await self.heat.resources(self.stack, depth=5)
            for outer in [paths[linked(each, "stack").id]]
            for dependent in each["required_by"]
        )

    # What can be done.

    def take_python(self) -> None:
        """From now on no process can be started."""
        self._python.unlink()
        self._did("take away the program that every command begins with")

    def give_python(self) -> None:
        self._python.symlink_to(sys.executable)
        if self.steps:
            self._did("put that program back")

    async def break_thing(self, path: str) -> None:
        """Kill the process or delete the file, behind Heat's back."""
        physical_id = await self.physical_id(path)
        if ":" in physical_id:
            os.kill(int(physical_id.split(":")[1]), signal.SIGKILL)
            async with asyncio.timeout(10):
                while machine.process_alive(physical_id):
                    await asyncio.sleep(0.005)
        else:
            machine.remove_file(self._real_heat.reality / physical_id)
        self._did(f"break {self._symbols[physical_id]}")

    async def mark(self, path: str, *, physical_id: str | None = None, unhealthy: bool = True) -> None:
        """By the physical id that it has now, or another."""
        wanted = physical_id or await self.physical_id(path)
        owner, _ = await self._place(path)
        status = await self.heat.mark(owner, wanted, reason="play", unhealthy=unhealthy)
        self._did(f"{'mark' if unhealthy else 'unmark'} {self._symbol(path, wanted)}", status)

    async def update(self) -> None:
        self._did("update", await self.heat.update(self.stack))

    async def preview(self, stack: str = "") -> None:
        """What an update would do, asked of the root or of the nested stack at this path."""
        owner = self.stack
        if stack:
            name = (await self._place(stack))[0]
            shown = await self.heat.resource(name, stack.rpartition("/")[2])
            owner = linked(shown, "nested")
        _, body = await self.heat.request("PATCH", f"{owner.path}/preview", json={})
        changes = {
            change: sorted(each["resource_name"] for each in found)
            for change, found in body["resource_changes"].items()
        }
        self._did(f"preview {stack or 'the root'}", changes)

    async def updates_at_once(self, count: int) -> None:
        answers = await asyncio.gather(*(self.heat.update(self.stack) for _ in range(count)))
        self._did(f"{count} updates at once", sorted(answers))

    @contextlib.asynccontextmanager
    async def switched(self, switch: str, name: str, until: str) -> AsyncIterator[None]:
        """`switch` for the logical name `name`; at the end of the block, `until` (path and status) has been seen."""
        with self._real_heat.switched(**{switch: [name]}):
            self._did(f"switch {switch} of {name} on")
            yield
            await self.wait_for(*until.rsplit(" ", 1))
        self._did(f"switch it off after {until}")

    async def kill_engine(self) -> None:
        """SIGKILL the engine, whatever it does, and start it again."""
        await asyncio.to_thread(self._real_heat.kill)
        await asyncio.to_thread(self._real_heat.start)
        self._did("kill the engine and start it again")

    # What can be seen.

    async def physical_id(self, path: str) -> str:
        owner, name = await self._place(path)
        found: str = (await self.heat.resource(owner, name))["physical_resource_id"]
        return found

    async def wait_for(self, path: str, status: str) -> None:
        """Until this has happened since the last look; the empty path is the stack itself."""
        async with asyncio.timeout(30):
            while not any(
                (event["path"], event["status"]) == (path, status) for event in await self._events(keep=False)
            ):
                await asyncio.sleep(0.02)

    async def wait_for_successor(self, path: str) -> None:
        """Until the replacement of what is there now is there, though it may not be complete."""
        known = set(self._symbols)
        async with asyncio.timeout(30):
            while (found := await self.physical_id(path)) in known or not found:
                await asyncio.sleep(0.02)

    async def see(self) -> dict[str, Any]:
        """Wait until nothing is in progress, and record what has happened and what is there."""
        status = await self.heat.wait(self.stack)
        async with asyncio.timeout(30):
            while any(
                found["resource_status"].endswith("_IN_PROGRESS")
                for found in await self.heat.resources(self.stack, depth=5)
            ):
                await asyncio.sleep(0.02)
        return await self.look(status)

    async def look(self, status: str) -> dict[str, Any]:
        """Record what has happened and what is there, though something may be in progress."""
        state = await self._state()  # it learns names that the events need
        exists = sorted(
            self._symbols[physical_id] for physical_id in self._known() if self._exists(physical_id)
        )
        seen = {"events": await self._events(keep=True), "status": status, "state": state, "exists": exists}
        self.steps.append(seen)
        return seen

    def _did(self, what: str, answer: Any = None) -> None:
        self.steps.append({"do": what} | ({} if answer is None else {"answer": answer}))

    def _known(self) -> list[str]:
        return [each for ids in self._incarnations.values() for each in ids]

    def _exists(self, physical_id: str) -> bool:
        if physical_id.count(":") == 2:
            return machine.process_alive(physical_id)
        return machine.read_file(self._real_heat.reality / physical_id) is not None

    def _symbol(self, path: str, physical_id: str) -> str:
        if physical_id not in self._symbols:
            of_path = self._incarnations.setdefault(path, [])
            of_path.append(physical_id)
            self._symbols[physical_id] = f"{path}#{len(of_path)}"
        return self._symbols[physical_id]

    def _plain(self, value: Any) -> Any:
        """The value with symbols for all that is of this run alone."""
        if isinstance(value, dict):
            return {key: self._plain(each) for key, each in value.items()}
        if isinstance(value, list):
            return [self._plain(each) for each in value]
        text = str(value)
        for raw in sorted(self._symbols, key=len, reverse=True):
            text = text.replace(raw, self._symbols[raw])
        text = text.replace(str(self._python), "PYTHON").replace(self.stack.name, "STACK")
        return re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UUID", text)

    async def _paths(self) -> dict[str, str]:
        """Id of a nested stack → its path; the root's is empty."""
        paths = {self.stack.id: ""}
        found = await self.heat.resources(self.stack, depth=5)
        while True:
            new = {
                linked(each, "nested").id: join(paths[linked(each, "stack").id], each["resource_name"])
                for each in found
                if any(link["rel"] == "nested" for link in each["links"])
                and linked(each, "stack").id in paths
                and linked(each, "nested").id not in paths
            }
            if not new:
                return paths
            paths |= new

    async def _place(self, path: str) -> tuple[Stack, str]:
        """The stack that owns it, and its name there."""
        outer, _, name = path.rpartition("/")
        if not outer:
            return self.stack, name
        for each in await self.heat.resources(self.stack, depth=5):
            owner = linked(each, "stack")
            if each["resource_name"] == name and (await self._paths()).get(owner.id) == outer:
                return owner, name
        raise AssertionError(f"there is no {path}")

    async def _state(self) -> dict[str, Any]:
        paths = await self._paths()
        state: dict[str, Any] = {}
        for each in await self.heat.resources(self.stack, depth=5):
            owner = linked(each, "stack")
            path = join(paths[owner.id], each["resource_name"])
            entry = {"status": each["resource_status"], "id": each["physical_resource_id"]}
            if each["resource_type"].startswith("Local::") and each["physical_resource_id"]:
                symbol = self._symbol(path, each["physical_resource_id"])
                has = (await self.heat.resource(owner, each["resource_name"]))["attributes"]
                if each["resource_type"] == "Local::Process":
                    self._symbols |= {f"{has['address']}:{has['port']}": symbol, str(has["port"]): symbol}
                    entry["told"] = has["wires"]
                else:
                    self._symbols[has["path"]] = symbol
                    entry["told"] = has["content"]
            else:
                del entry["id"]  # a stack is what is in it
            state[path] = entry
        return {path: self._plain(state[path]) for path in sorted(state)}

    async def _events(self, *, keep: bool) -> list[dict[str, Any]]:
        paths = await self._paths()
        happened = []
        for event in await self.heat.events(self.stack):
            if event["id"] in self._seen:
                continue
            if keep:
                self._seen.add(event["id"])
            owner = linked(event, "stack")
            # An event of a nested stack as such bears its name; the resource that it is has events of its own.
            of_stack = event["resource_name"] == owner.name
            path = paths[owner.id] if of_stack else join(paths[owner.id], event["resource_name"])
            entry = {"path": path + ("/" if of_stack and path else ""), "status": event["resource_status"]}
            physical_id = event["physical_resource_id"]
            # While it is created this is a name that Heat has made up.
            if not of_stack and physical_id and is_physical(physical_id):
                entry["id"] = self._symbol(path, physical_id)
            if event["resource_status_reason"] not in {"state changed", None, ""} and not of_stack:
                entry["reason"] = self._plain(event["resource_status_reason"])
            happened.append(entry)
        return happened


def is_physical(text: str) -> bool:
    """Whether it is the physical id of a Local::Process or a Local::File."""
    process = r"[0-9a-f-]{36}:\d+:\d+"
    file = r"\w+-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    return re.fullmatch(f"{process}|{file}", text) is not None


def join(outer: str, name: str) -> str:
    return f"{outer}/{name}" if outer else name


def linked(shown: dict[str, Any], rel: str) -> Stack:
    """The stack that a resource or an event links to."""
    link = next(link["href"] for link in shown["links"] if link["rel"] == rel)
    return Stack(*link.rsplit("/", 2)[1:]) if "/resources/" not in link else Stack(*link.split("/")[-4:-2])
