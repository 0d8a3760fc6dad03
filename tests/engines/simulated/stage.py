"""What tests/heat/scenarios.py plays on: the simulated engine, and a record of it in the form of tests/traces."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from healer.core.model import Incarnation, Resource, Root, Snapshot
from healer.core.step import Failure
from healer.engines.simulated import Simulated
from healer.engines.simulated.clock import VirtualClock
from healer.engines.simulated.trouble import Call, Misbehaviour
from healer.engines.simulated.world import Verb
from healer.ports import EngineError, Event, Place
from tests.contract.harness_simulated import ALWAYS, declaration

SWITCHES = {
    "hold_create": (Verb.CREATE, "holds"),
    "hold_delete": (Verb.DELETE, "holds"),
    "fail_create": (Verb.CREATE, "fails"),
    "fail_delete": (Verb.DELETE, "fails"),
}
LATEST = datetime(2031, 1, 1, tzinfo=UTC)


class Stage:
    def __init__(self, *, seed: int = 0, tells: bool = True) -> None:
        self.clock = VirtualClock()
        self.engine = Simulated(seed=seed, tells=tells)
        self.engine.bind(Place("simulated", Path(), self.clock))
        self.root: Root
        self.steps: list[dict[str, Any]] = []
        self.heat = SimpleNamespace(show=self._show)
        self.stack = None
        self._seen = 0
        self._symbols: dict[str, str] = {}
        self._incarnations: dict[str, int] = {}
        self._names: set[str] = set()

    # What the scenarios do.

    async def begin(self, template: str, *, rollback: bool = False) -> None:
        assert not rollback
        self.root = self.engine.cloud.create("shop", declaration(template))
        self._did("create")
        await self.see()
        self._names = {each.incarnation.name for each in (await self._snapshot()).resources.values()}

    def take_python(self) -> None:
        self._switch_all(ALWAYS)
        self._did("take away the program that every command begins with")

    def give_python(self) -> None:
        self._switch_all(0)
        self._did("put that program back")

    async def break_thing(self, path: str) -> None:
        physical_id = await self.physical_id(path)
        self.engine.cloud.world(self.root).kill(physical_id)
        self._did(f"break {self._symbols[physical_id]}")

    async def mark(self, path: str, *, physical_id: str | None = None, unhealthy: bool = True) -> None:
        now = (await self._snapshot()).resources[path].incarnation
        wanted = Incarnation(now.stack, now.name, physical_id or now.physical_id)
        answer = self._told(
            lambda: self.engine.cloud.mark_by_another(self.root, wanted, unhealthy=unhealthy),
            {Failure.STALE: 404, Failure.BUSY: 409},
            200,
        )
        self._did(f"{'mark' if unhealthy else 'unmark'} {self._symbol(path, wanted.physical_id)}", answer)

    async def preview(self, path: str = "") -> None:
        snapshot = await self._snapshot()
        stack = snapshot.resources[path].incarnation.physical_id if path else self.root.id
        replaced = sorted(await self.engine.preview(self.root, stack))
        self._did(f"preview {path or 'the root'}", {"replaced": replaced})

    async def update(self) -> None:
        self.engine.cloud.update_by_another(self.root)
        self._did("update", 202)

    async def updates_at_once(self, count: int) -> None:
        assert count == 2
        self.engine.cloud.trouble.ask(Misbehaviour.LOST_UPDATE, Call.CONVERGE)
        await self.engine.converge(self.root)
        self.engine.cloud.update_by_another(self.root)
        self._did("2 updates at once", [202, 202])

    @contextlib.asynccontextmanager
    async def switched(self, switch: str, name: str, until: str) -> AsyncIterator[None]:
        verb, how = SWITCHES[switch]
        world = self.engine.cloud.world(self.root)
        if how == "holds":
            world.holds.add((verb, name))
        else:
            world.fails[verb, name] = ALWAYS
        self._did(f"switch {switch} of {name} on")
        yield
        await self.wait_for(*until.rsplit(" ", 1))
        world.holds.discard((verb, name))
        world.fails[verb, name] = 0
        self._did(f"switch it off after {until}")

    async def kill_engine(self) -> None:
        self.engine.cloud.kill(self.root)
        self._did("kill the engine and start it again")

    async def physical_id(self, path: str) -> str:
        return (await self._snapshot()).resources[path].incarnation.physical_id

    async def wait_for(self, path: str, status: str) -> None:
        while not any((event.path, event.status) == (path, status) for event in self._new_events()):
            self._let_go_on()

    async def wait_for_successor(self, path: str) -> None:
        while (found := await self.physical_id(path)) in self._symbols or not found:
            self._let_go_on()

    async def see(self) -> None:
        """Let it run to its end, and record what has happened and what is there."""
        while (await self._snapshot()).busy or not self._is_idle(await self._snapshot()):
            self._let_go_on()
        await self.look(await self._status())

    async def look(self, status: str) -> None:
        resources = (await self._snapshot()).resources
        things = {path for path, resource in resources.items() if resource.type.startswith("Local::")}
        events = [self._recorded(event, things) for event in self._new_events()]
        self._seen = len(self.engine.cloud.events(self.root))
        for path in things:
            self._learn(resources[path])
        state = {path: self._entry(resources[path], path in things) for path in sorted(resources)}
        existing = sorted(self._symbols[each] for each in self.engine.cloud.world(self.root).items)
        self.steps.append({"events": events, "status": status, "state": state, "exists": existing})

    # How it is recorded.

    def _did(self, what: str, answer: Any = None) -> None:
        self.steps.append({"do": what} | ({} if answer is None else {"answer": answer}))

    async def _show(self, stack: object) -> dict[str, str]:
        del stack
        return {"stack_status": await self._status()}

    async def _snapshot(self) -> Snapshot:
        return await self.engine.snapshot(self.root)

    async def _status(self) -> str:
        snapshot = await self._snapshot()
        return f"{snapshot.action}_{snapshot.state}"

    def _switch_all(self, times: int) -> None:
        for name in self._names:
            self.engine.cloud.world(self.root).fails[Verb.CREATE, name] = times

    @staticmethod
    def _told(ask: Callable[[], None], failures: dict[Failure, int], otherwise: int) -> int:
        try:
            ask()
        except EngineError as error:
            return failures[error.failure]
        return otherwise

    def _let_go_on(self) -> None:
        self.clock.pass_time(0.1)
        assert self.clock.now() < LATEST, "it waits for ever"

    @staticmethod
    def _is_idle(snapshot: Snapshot) -> bool:
        return not any(resource.state == "IN_PROGRESS" for resource in snapshot.resources.values())

    def _new_events(self) -> list[Event]:
        return list(self.engine.cloud.events(self.root)[self._seen :])

    def _recorded(self, event: Event, things: set[str]) -> dict[str, Any]:
        is_thing = event.physical_id and event.path in things
        named = {"id": self._symbol(event.path, event.physical_id)} if is_thing else {}
        return {"path": event.path, "status": event.status, **named}

    def _learn(self, resource: Resource) -> None:
        """From now on, where it is found is its name too."""
        if physical_id := resource.incarnation.physical_id:
            symbol, has = self._symbol(resource.path, physical_id), resource.attributes
            if not has:
                return  # it is being made
            place = f"{has['address']}:{has['port']}" if "port" in has else has["path"]
            self._symbols |= {place: symbol, has.get("port", place): symbol}

    def _entry(self, resource: Resource, is_thing: bool) -> dict[str, Any]:
        entry: dict[str, Any] = {"status": f"{resource.action}_{resource.state}"}
        if is_thing and (physical_id := resource.incarnation.physical_id):
            has = resource.attributes
            told = has["content"] if "content" in has else json.loads(has.get("wires", "{}"))
            entry |= {"id": self._symbols[physical_id], "told": self._plain(told)}
        return entry

    def _plain(self, value: Any) -> Any:
        """The value with symbols for all that is of this run alone."""
        if isinstance(value, dict):
            return {key: self._plain(each) for key, each in value.items()}
        if isinstance(value, list):
            return [self._plain(each) for each in value]
        text = str(value)
        for raw in sorted(self._symbols, key=len, reverse=True):
            text = text.replace(raw, self._symbols[raw])
        return text

    def _symbol(self, path: str, physical_id: str) -> str:
        if physical_id not in self._symbols:
            self._incarnations[path] = self._incarnations.get(path, 0) + 1
            self._symbols[physical_id] = f"{path}#{self._incarnations[path]}"
        return self._symbols[physical_id]
