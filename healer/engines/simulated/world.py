"""The things of one simulated stack: they take their time, break, fall ill, come back, and know what they were told."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from random import Random
from typing import Any

from healer.core.model import Health, Symptom
from healer.declarative.reality import Look, Made, RealityError, Thing
from healer.declarative.resource_types import FILE
from healer.ports import Sight

ADDRESS = "127.0.0.1"
PLACE = re.compile(r"(?<![\w.-])\d{5,}\b|/simulated/[\w.-]+")
"""Where something listens, or lies: what a thing was told of others."""

GONE = Look(Health.UNHEALTHY, Symptom.GONE)
THERE = Look(Health.HEALTHY)
WELL = Sight(Health.HEALTHY, Symptom.OK, "it answers")


class Verb(StrEnum):
    """What can be done to a thing; it can be held up, or fail, by logical name."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    SPOIL = "spoil"
    """It is created, and breaks before that is through: it has an id, and does not exist."""


class Ailment(StrEnum):
    """What a thing may suffer from although it is there."""

    HUNG = "hung"
    """A reboot cures it."""
    ROTTEN = "rotten"
    """No reboot helps."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How long things take, as ranges of seconds; which of it is drawn by the seed."""

    create: tuple[float, float] = (2, 8)
    update: tuple[float, float] = (1, 3)
    delete: tuple[float, float] = (1, 4)
    boot: tuple[float, float] = (1, 6)
    """From the moment it is created, or rebooted, until it answers."""


@dataclass(slots=True)
class Item:
    """One thing that was made."""

    name: str
    properties: dict[str, Any]
    place: str
    """Where others find it: its port, or its path."""
    is_file: bool
    boots_until: datetime
    needs: tuple[str, ...] = ()
    """Places that it was told of: it answers only as long as they do."""
    ailment: Ailment | None = None
    well_at: datetime | None = None
    """When the ailment passes by itself."""
    reboots: int = 0


@dataclass(slots=True)
class World:
    """A reality for the declarative engine. `at` is its moment; whoever advances the stack moves it."""

    at: datetime
    random: Random
    ports: Iterator[int]
    pace: Pace = Pace()
    items: dict[str, Item] = field(default_factory=dict)
    """What exists now, by physical id."""
    fails: Counter[tuple[Verb, str]] = field(default_factory=Counter)
    """How often doing this to what has this logical name is going to fail."""
    holds: set[tuple[Verb, str]] = field(default_factory=set)
    """What begins and does not end."""
    cursed: Counter[str] = field(default_factory=Counter)
    """How many of the next incarnations of a logical name are rotten from the start."""
    taken: list[str] = field(default_factory=list)
    """Physical ids of what the engine has deleted although it existed, in order."""
    version: int = 0
    """Changes whenever anything about the things does."""
    _due: dict[str, datetime] = field(default_factory=dict)
    """Token of what is being worked on → when that is through."""

    # What the engine does.

    def create(self, thing: Thing) -> Made:
        self._refuse(Verb.CREATE, thing)
        self._take(thing, self.pace.create)
        if thing.token not in self.items:
            is_file = thing.type == FILE
            place = f"/simulated/{thing.token}" if is_file else str(next(self.ports))
            boots_until = self._due[thing.token] + self._drawn(self.pace.boot)
            item = Item(thing.name, dict(thing.properties), place, is_file, boots_until)
            item.needs = _told(item.properties)
            if self.cursed[thing.name] > 0:
                self.cursed[thing.name] -= 1
                item.ailment = Ailment.ROTTEN
            self.items[thing.token] = item
        return Made(thing.token, {"place": self.items[thing.token].place})

    def created(self, thing: Thing) -> bool:
        if not self._is_through(Verb.CREATE, thing):
            return False
        if self.fails[Verb.SPOIL, thing.name] > 0:
            self.fails[Verb.SPOIL, thing.name] -= 1
            self.items.pop(thing.token, None)
            raise RealityError(f"{thing.name} broke while it was made")
        return True

    def update(self, thing: Thing, changed: frozenset[str]) -> None:
        item = self.items.get(thing.physical_id)
        if item is None:
            raise RealityError(f"{thing.name} {thing.physical_id} is gone")
        self._take(thing, self.pace.update)
        item.properties.update({key: thing.properties[key] for key in changed})
        item.needs = _told(item.properties)

    def updated(self, thing: Thing) -> bool:
        if not self._is_through(Verb.UPDATE, thing):
            return False
        self._refuse(Verb.UPDATE, thing)
        return True

    def delete(self, thing: Thing) -> None:
        self._take(thing, self.pace.delete)

    def deleted(self, thing: Thing) -> bool:
        if not self._is_through(Verb.DELETE, thing):
            return False
        self._refuse(Verb.DELETE, thing)
        if self.items.pop(thing.token, None) is not None:
            self.taken.append(thing.token)
        return True

    def attributes(self, thing: Thing) -> Mapping[str, Any]:
        item = self.items.get(thing.physical_id)
        if thing.type == FILE:
            return {"path": thing.data["place"], "content": item.properties["content"] if item else None}
        told = item.properties.get("wires") if item else None
        return {"port": int(thing.data["place"]), "address": ADDRESS, "wires": told}

    def look(self, thing: Thing) -> Look:
        return THERE if thing.physical_id in self.items else GONE

    def properties(self, thing: Thing) -> Mapping[str, Any]:
        item = self.items.get(thing.physical_id)
        return item.properties if item else {}

    def next_due(self) -> datetime | None:
        """When something that is being worked on will be through."""
        return min(self._due.values(), default=None)

    # What becomes of things, whoever did it.

    def kill(self, physical_id: str) -> None:
        """It does not exist any more, and the engine is not told."""
        self.items.pop(physical_id, None)
        self.version += 1

    def sicken(self, physical_id: str, ailment: Ailment, until: datetime | None = None) -> None:
        """It is there and does not answer, for ever or until then."""
        if item := self.items.get(physical_id):
            item.ailment, item.well_at = ailment, until

    def cure(self, physical_id: str) -> None:
        """Somebody mends it with their own hands; what does not exist stays so."""
        if item := self.items.get(physical_id):
            item.ailment = item.well_at = None

    def reboot(self, physical_id: str) -> bool:
        """False where there is nothing to be rebooted. What was told it stays with it, and so does its id."""
        item = self.items.get(physical_id)
        if item is None:
            return False
        item.reboots += 1
        item.boots_until = self.at + self._drawn(self.pace.boot)
        if item.ailment is Ailment.HUNG:
            item.ailment = item.well_at = None
        return True

    def drop_work(self) -> None:
        """Whoever did it has died: what was begun is neither ended nor undone."""
        self._due.clear()

    def sight(self, physical_id: str, now: datetime) -> Sight:
        """What a probe sees of it: whether it answers, and through everything that it was told of."""
        item = self.items.get(physical_id)
        if item is None or now < item.boots_until:
            return Sight(Health.UNHEALTHY, Symptom.REFUSED, "nothing listens there")
        if _ails(item, now):
            return Sight(Health.UNHEALTHY, Symptom.TIMED_OUT, "it does not answer")
        for place in item.needs:
            if not self._answers(place, now):
                return Sight(Health.UNHEALTHY, Symptom.BAD_STATUS, f"it cannot reach {place}")
        return WELL

    def is_well(self, physical_id: str, now: datetime) -> bool:
        """Whether it is there and nothing ails it, whatever it was told of others."""
        item = self.items.get(physical_id)
        return item is not None and not _ails(item, now)

    def _answers(self, place: str, now: datetime) -> bool:
        for physical_id, item in self.items.items():
            if item.place == place:
                return item.is_file or self.sight(physical_id, now).health is Health.HEALTHY
        return False

    def _refuse(self, verb: Verb, thing: Thing) -> None:
        if self.fails[verb, thing.name] > 0:
            self.fails[verb, thing.name] -= 1
            raise RealityError(f"{thing.name} may not be {verb}d")

    def _take(self, thing: Thing, pace: tuple[float, float]) -> None:
        self._due[thing.token] = self.at + self._drawn(pace)

    def _is_through(self, verb: Verb, thing: Thing) -> bool:
        due = self._due.get(thing.token)
        if (verb, thing.name) in self.holds:
            self._due.pop(thing.token, None)
            return False
        if due is not None and due > self.at:
            return False
        self._due.pop(thing.token, None)
        return True

    def _drawn(self, pace: tuple[float, float]) -> timedelta:
        return timedelta(seconds=round(self.random.uniform(*pace), 3))


def _ails(item: Item, now: datetime) -> bool:
    return item.ailment is not None and (item.well_at is None or now < item.well_at)


def _told(value: Any) -> tuple[str, ...]:
    """Every place that is named anywhere in these properties."""
    if isinstance(value, str):
        return tuple(PLACE.findall(value))
    if isinstance(value, int):
        return _told(str(value))
    each = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return tuple(place for one in each for place in _told(one))
