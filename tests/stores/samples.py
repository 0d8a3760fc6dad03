"""Values of the core to keep: plain ones with a few words changed, and any that its annotations allow."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum
from typing import Any, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from healer.core.change import Attempt, IncidentChanged, Pause, RepairChanged
from healer.core.incident import Incident, IncidentState, Outcome
from healer.core.model import Alarm, AlarmStatus, Effect, Incarnation, Root, Selector, Symptom, Target
from healer.core.planner import Condemned, Plan, Touched
from healer.core.repair import Recipe, Repair
from healer.core.step import Step

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
SHOP = Root("here", "local", "0f5a", "shop")
BANK = Root("here", "local", "77c1", "bank")
DB = Incarnation("0f5a", "db", "boot:41:900")
PLAN = Plan(
    root=SHOP,
    condemned=(Condemned("db", "Local::Process", DB, "CREATE_COMPLETE", needs_mark=True),),
    touched=(Touched("api", "Local::Process", Effect.UPDATED, "wires refers to db"),),
    before={"db": "boot:41:900", "api": "boot:42:901"},
)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def ulid(number: int) -> str:
    """Distinct, and of the form that the core gives."""
    return f"01JQ{number:022d}"


def incident(number: int = 1, **changed: Any) -> Incident:
    return replace(
        Incident(
            id=ulid(number),
            target=Target(SHOP, "db"),
            incarnation=DB,
            type="Local::Process",
            policy="tiers",
            source="probe:http",
            symptom=Symptom.REFUSED,
            detail="connection refused",
            opened_at=at(number),
        ),
        **changed,
    )


def closed(one: Incident, seconds: float) -> Incident:
    return replace(one, state=IncidentState.CLOSED, outcome=Outcome.HEALED, closed_at=at(seconds))


def repair(number: int = 1, **changed: Any) -> Repair:
    return replace(
        Repair(
            id=ulid(number),
            root=SHOP,
            recipe=Recipe("replace", (Step.INSPECT, Step.MARK, Step.CONVERGE), replaces=True),
            members=(ulid(1),),
            opened_at=at(number),
            deadline=at(number + 1800),
        ),
        **changed,
    )


def attempt(number: int = 1, **changed: Any) -> Attempt:
    plain = Attempt(
        f"{ulid(number)}/{ulid(1)}", Target(SHOP, "db"), "replace", ulid(1), at(number), "boot:41:900"
    )
    return replace(plain, **changed)


def pause(number: int = 1, **changed: Any) -> Pause:
    return replace(Pause(ulid(number), "stack:shop", "anna", "a release", at(number)), **changed)


def alarm(number: int = 1, **changed: Any) -> Alarm:
    return replace(
        Alarm(
            source="alertmanager",
            key=f"{number:016x}",
            status=AlarmStatus.FIRING,
            started_at=at(number),
            received_at=at(number + 30),
            selector=Selector(stack="shop", resource="db"),
            labels={"alertname": "DbDown", "stack": "shop"},
            annotations={"summary": "db is down"},
        ),
        **changed,
    )


def told(one: Incident, kind: str = "opened", seconds: float = 0, **note: Any) -> IncidentChanged:
    return IncidentChanged(at(seconds), kind, one, note)


def stepped(one: Repair, kind: str = "stepped", seconds: float = 0, **note: Any) -> RepairChanged:
    return RepairChanged(at(seconds), kind, one, note)


ZONES = st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30)), timezone(timedelta(hours=-8))])
MOMENTS = st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2200, 1, 1), timezones=ZONES)  # noqa: DTZ001 - hypothesis puts the zone in


def anything(kind: Any) -> st.SearchStrategy[Any]:
    """Values of any annotation that the core uses; for a dataclass, of every field, also those with a default."""
    if is_dataclass(kind) and isinstance(kind, type):
        hints = get_type_hints(kind)
        return st.builds(kind, **{field.name: anything(hints[field.name]) for field in fields(kind)})
    origin, inner = get_origin(kind), get_args(kind)
    if origin is types.UnionType:
        return st.one_of([st.none() if one is types.NoneType else anything(one) for one in inner])
    if origin is tuple:
        return st.lists(anything(inner[0]), max_size=3).map(tuple)
    if origin is frozenset:
        return st.frozensets(anything(inner[0]), max_size=3)
    if origin is Mapping:
        return st.dictionaries(anything(inner[0]), anything(inner[1]), max_size=3)
    if kind is datetime:
        return MOMENTS
    if isinstance(kind, type) and issubclass(kind, Enum):
        return st.sampled_from(kind)
    simple: dict[Any, st.SearchStrategy[Any]] = {
        str: st.text(max_size=8),
        int: st.integers(0, 2**31),
        bool: st.booleans(),
        Any: st.text(max_size=8) | st.integers() | st.booleans(),
    }
    return simple[kind]


def spelled(value: Any) -> Any:
    """All of it in plain words: also what takes no part in a comparison of the values themselves."""
    if is_dataclass(value):
        return {field.name: spelled(getattr(value, field.name)) for field in fields(value)}
    match value:
        case Mapping():
            return {key: spelled(item) for key, item in value.items()}
        case tuple():
            return tuple(spelled(item) for item in value)
        case frozenset():
            return sorted(spelled(item) for item in value)
        case _:
            return value
