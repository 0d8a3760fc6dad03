"""What the embedded engine's resources really are: processes and files of this machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from healer.core.model import Health, Symptom
from healer.declarative.reality import Look, Made, RealityError, Thing
from healer.declarative.resource_types import PROCESS
from healer.engines.local import machine

PATIENCE_S = 5.0
"""Seconds between SIGTERM and SIGKILL, for a process that is to go."""

GONE = Look(Health.UNHEALTHY, Symptom.GONE)
THERE = Look(Health.HEALTHY)


class Things:
    """The reality of one stack. What it makes lies in one directory; calls may block for milliseconds."""

    def __init__(self, directory: Path, elapsed: Callable[[], float]) -> None:
        """`elapsed` counts seconds, monotonically."""
        self._directory = directory
        self._elapsed = elapsed
        self._asked: dict[str, float] = {}
        """Physical id of a process → when it was asked to go."""

    def create(self, thing: Thing) -> Made:
        with _explained(thing):
            if thing.type == PROCESS:
                state = machine.find_by_token(thing.token) or machine.start_process(
                    thing.properties["command"],
                    thing.properties["wires"] or {},
                    str(self._directory),
                    thing.token,
                )
                data = {"port": state.port, "address": state.address, "wires_path": state.wires_path}
                return Made(state.physical_id, data)
            machine.write_file(self._path(thing), thing.properties["content"])
            return Made(thing.token)

    def created(self, thing: Thing) -> bool:
        """It was started; whether it answers is for a probe to see."""
        del thing
        return True

    def update(self, thing: Thing, changed: frozenset[str]) -> None:
        with _explained(thing):
            if "wires" in changed:
                machine.rewire(thing.physical_id, thing.data["wires_path"], thing.properties["wires"] or {})
            if "content" in changed:
                machine.rewrite_file(self._path(thing), thing.properties["content"])

    def updated(self, thing: Thing) -> bool:
        del thing
        return True

    def delete(self, thing: Thing) -> None:
        with _explained(thing):
            if thing.type != PROCESS:
                machine.remove_file(self._path(thing))
            elif physical_id := self._process_of(thing):
                machine.ask_to_stop(physical_id)
                self._asked[physical_id] = self._elapsed()

    def deleted(self, thing: Thing) -> bool:
        if thing.type != PROCESS:
            return True
        with _explained(thing):
            physical_id = self._process_of(thing)
            if not physical_id or machine.stopped(physical_id):
                self._asked.pop(physical_id, None)
                machine.remove_file(
                    thing.data.get("wires_path") or self._directory / f"{thing.token}.wires.json"
                )
                return True
            if self._elapsed() - self._asked.setdefault(physical_id, self._elapsed()) > PATIENCE_S:
                machine.kill_process(physical_id)
            return False

    def attributes(self, thing: Thing) -> Mapping[str, Any]:
        with _explained(thing):
            if thing.type == PROCESS:
                place = {key: thing.data[key] for key in ("port", "address")}
                return place | {"wires": self._wires(thing)}
            return {"path": str(self._path(thing)), "content": machine.read_file(self._path(thing))}

    def look(self, thing: Thing) -> Look:
        try:
            if thing.type == PROCESS:
                return THERE if machine.process_alive(thing.physical_id) else GONE
            return GONE if machine.read_file(self._path(thing)) is None else THERE
        except OSError:
            return Look(Health.UNKNOWN)

    def properties(self, thing: Thing) -> Mapping[str, Any]:
        real = "wires" if thing.type == PROCESS else "content"
        now = self.attributes(thing)[real]
        declared = {key: value for key, value in thing.properties.items() if key != real}
        return declared if now is None else declared | {real: now}

    def _path(self, thing: Thing) -> Path:
        return self._directory / thing.token

    @staticmethod
    def _wires(thing: Thing) -> Any:
        text = machine.read_file(thing.data["wires_path"])
        return None if text is None else json.loads(text)

    @staticmethod
    def _process_of(thing: Thing) -> str:
        """Its physical id; of one that was to be made when a crash came, that of whatever was started for it."""
        if thing.physical_id:
            return thing.physical_id
        orphan = machine.find_by_token(thing.token)
        return orphan.physical_id if orphan else ""


@contextmanager
def _explained(thing: Thing) -> Iterator[None]:
    """What this machine refuses, as what has become of the thing."""
    try:
        yield
    except (OSError, ValueError, machine.GoneError) as error:
        raise RealityError(f"{thing.name}: {error}") from error
