"""A world in memory for the declarative engine, and a stack in it that things are done to as to one in a real Heat."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from healer.core.model import NOTHING, Health, Incarnation, Symptom
from healer.declarative.books import Book, Row, listed, stacks, standings
from healer.declarative.declaration import Declaration
from healer.declarative.reading import Told, mark, unmark
from healer.declarative.reality import Look, Made, RealityError, Thing
from healer.declarative.resource_types import FILE
from healer.declarative.traversal import Convergence
from healer.documents import read

TEMPLATES = Path(__file__).parents[1] / "templates"
START = datetime(2026, 1, 1, tzinfo=UTC)


class World:
    """Things are entries of a dictionary; what is switched by logical name goes wrong, or takes its time."""

    def __init__(self) -> None:
        self.things: dict[str, dict[str, Any]] = {}
        self.switches: dict[str, set[str]] = {}
        self.calls: list[tuple[str, str]] = []
        self.startable = True
        self._ports = iter(range(20000, 60000))

    def _on(self, switch: str, thing: Thing) -> bool:
        return thing.name in self.switches.get(switch, ())

    def create(self, thing: Thing) -> Made:
        self.calls.append(("create", thing.token))
        if self._on("fail_create", thing) or not self.startable:
            raise RealityError(f"{thing.name} may not be created")
        physical_id = f"id-{thing.token}"
        if physical_id not in self.things:
            self.things[physical_id] = {**thing.properties, "port": next(self._ports)}
        return Made(physical_id, {"port": self.things[physical_id]["port"]})

    def created(self, thing: Thing) -> bool:
        if self._on("break_create", thing):
            del self.things[thing.physical_id]
            self.switches["break_create"].remove(thing.name)
            raise RealityError(f"{thing.name} broke while it was made")
        return not self._on("hold_create", thing)

    def update(self, thing: Thing, changed: frozenset[str]) -> None:
        self.calls.append(("update", thing.physical_id))
        if thing.physical_id not in self.things:
            raise RealityError(f"{thing.name} {thing.physical_id} is gone")
        self.things[thing.physical_id] |= {key: thing.properties[key] for key in changed}

    def updated(self, thing: Thing) -> bool:
        return not self._on("hold_update", thing)

    def delete(self, thing: Thing) -> None:
        self.calls.append(("delete", thing.physical_id))
        if self._on("fail_delete", thing):
            raise RealityError(f"{thing.name} may not be deleted")

    def deleted(self, thing: Thing) -> bool:
        if self._on("hold_delete", thing):
            return False
        self.things.pop(thing.physical_id, None)
        return True

    def attributes(self, thing: Thing) -> Mapping[str, Any]:
        if thing.type == FILE:
            now = self.things.get(thing.physical_id, {})
            return {"path": f"/world/{thing.token}", "content": now.get("content")}
        told = self.things.get(thing.physical_id, {}).get("wires")
        return {"port": thing.data["port"], "address": "127.0.0.1", "wires": told}

    def look(self, thing: Thing) -> Look:
        if thing.physical_id in self.things:
            return Look(Health.HEALTHY)
        return Look(Health.UNHEALTHY, Symptom.GONE)

    def properties(self, thing: Thing) -> Mapping[str, Any]:
        real = self.things.get(thing.physical_id, {})
        return {key: value for key, value in real.items() if key != "port"}


def declaration(template: str, **parameters: str) -> Declaration:
    """A template of tests/templates; what it needs to be given becomes a default."""
    root = read(TEMPLATES / template).data
    for name, value in parameters.items():
        root["parameters"][name]["default"] = value
    kinds = {resource["type"] for resource in root["resources"].values()}
    files = {kind: read(TEMPLATES / kind).data for kind in kinds if kind.endswith(".yaml")}
    return Declaration(root, files)


class Stage:
    """What tests/heat/scenarios.py plays on: the declarative engine alone, in virtual time."""

    def __init__(self, world: World | None = None) -> None:
        self.world = world or World()
        self.convergence = Convergence(self.world)
        self.now = START
        self.book: Book
        self.steps: list[dict[str, Any]] = []
        self._seen = 0
        self._symbols: dict[str, str] = {}
        self._incarnations: dict[str, int] = {}

    # What the scenarios do.

    async def begin(self, template: str, *, rollback: bool = False) -> None:
        assert not rollback
        self.start(declaration(template, python="python", tier="tier.py"))
        await self.see()

    def start(self, declared: Declaration) -> None:
        self.book = self.convergence.create("shop", "root", declared, self.now)
        self.steps.append({"do": "create"})

    def take_python(self) -> None:
        self.world.startable = False
        self.steps.append({"do": "take away the program that every command begins with"})

    def give_python(self) -> None:
        self.world.startable = True
        self.steps.append({"do": "put that program back"})

    async def break_thing(self, path: str) -> None:
        physical_id = self.row(path).physical_id
        del self.world.things[physical_id]
        self.steps.append({"do": f"break {self._symbols[physical_id]}"})

    async def mark(self, path: str, *, physical_id: str | None = None, unhealthy: bool = True) -> None:
        row, stack = next((p.row, p.stack) for p in listed(self.book) if p.path == path)
        wanted = Incarnation(stack.id, row.name, physical_id or row.physical_id)
        told = (mark if unhealthy else unmark)(self.book, wanted, "play", self.now)
        did = f"{'mark' if unhealthy else 'unmark'} {self.symbol(path, wanted.physical_id)}"
        answer = {Told.DONE: 200, Told.STALE: 404, Told.BUSY: 409}[told]
        self.steps.append({"do": did, "answer": answer})

    async def preview(self, path: str = "") -> None:
        stack = next(stack for stack in stacks(self.book) if stack.path == path)
        replaced = [n for n in stack.names() if self.convergence.would_replace(self.book, stack, n)]
        self.steps.append({"do": f"preview {path or 'the root'}", "answer": {"replaced": sorted(replaced)}})

    async def update(self) -> None:
        self.convergence.update(self.book, self.now)
        self.steps.append({"do": "update", "answer": 202})

    @contextlib.asynccontextmanager
    async def switched(self, switch: str, name: str, until: str) -> AsyncIterator[None]:
        self.world.switches.setdefault(switch, set()).add(name)
        self.steps.append({"do": f"switch {switch} of {name} on"})
        yield
        await self.wait_for(*until.rsplit(" ", 1))
        self.world.switches[switch].remove(name)
        self.steps.append({"do": f"switch it off after {until}"})

    async def physical_id(self, path: str) -> str:
        return self.row(path).physical_id

    async def wait_for(self, path: str, status: str) -> None:
        while not any((event["path"], event["status"]) == (path, status) for event in self._events()):
            self._advance()

    async def wait_for_successor(self, path: str) -> None:
        while (found := self.row(path).physical_id) in self._symbols or not found:
            self._advance()

    async def see(self) -> None:
        """Let it run to its end, and record what has happened and what is there."""
        while self.book.root.busy or any(standing.row.work for standing in standings(self.book)):
            self._advance()
        state = {
            standing.path: {"status": standing.row.status}
            | (
                {"id": self.symbol(standing.path, standing.row.physical_id)}
                if self._is_real(standing.row)
                else {}
            )
            for standing in listed(self.book)
        }
        events = self._events()
        self._seen = self.book.position
        exists = sorted(self._symbols[physical_id] for physical_id in self.world.things)
        seen = {"events": events, "status": self.book.root.status, "state": state, "exists": exists}
        self.steps.append(seen)

    # What else the tests of this folder need.

    def row(self, path: str) -> Row:
        return next(standing.row for standing in listed(self.book) if standing.path == path)

    def run(self) -> None:
        while self.convergence.advance(self.book, self.now):
            pass

    def _advance(self) -> None:
        moved = self.convergence.advance(self.book, self.now)
        self.now += timedelta(seconds=1)
        assert moved or self.now < START + timedelta(hours=1), "it waits for ever"

    @staticmethod
    def _is_real(row: Row) -> bool:
        return row.type.startswith("Local::") and bool(row.physical_id)

    def symbol(self, path: str, physical_id: str) -> str:
        if physical_id not in self._symbols:
            self._incarnations[path] = self._incarnations.get(path, 0) + 1
            self._symbols[physical_id] = f"{path}#{self._incarnations[path]}"
        return self._symbols[physical_id]

    def _events(self) -> list[dict[str, Any]]:
        happened = []
        for entry in self.book.events:
            event = entry.event
            if entry.position > self._seen:
                known = event.physical_id.startswith("id-")
                named = {"id": self.symbol(event.path, event.physical_id)} if known else NOTHING
                happened.append({"path": event.path, "status": event.status, **named})
        return happened
