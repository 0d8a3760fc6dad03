"""The line of the journal that a change makes: what a person needs to read the story, never the whole object."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Any, assert_never

from healer.core.change import (
    AlarmsSettled,
    AttemptChanged,
    Change,
    IncidentChanged,
    PauseChanged,
    RepairChanged,
)
from healer.core.incident import Incident, IncidentState
from healer.core.model import Root, Target
from healer.core.planner import Plan
from healer.core.repair import Repair
from healer.ports import Entry

SCHEMA = 1
"""Of the bodies; kept with each entry, so that an old story can be told from a new one."""

UNTOLD = frozenset({"inspecting", "not_admitted", "noted"})
"""Kinds that are no news: the incidents of a repair tell what came of its inspection, and an alarm tells of itself."""

_PLANNED = frozenset({"admitted", "would_heal"})
"""Kinds that tell what will be touched; later ones refer to the same plan."""


def entry_of(change: Change, seq: int = 0) -> Entry | None:
    """The entry for a change, under the number that the store gives it; None where it is no news.

    Kinds: `incident.<kind>`, `repair.<kind>`, `alarm.<outcome>`, `pause.set`, `pause.lifted`. The body is JSON of
    strings, numbers, lists and mappings; a moment in it is ISO 8601.
    """
    match change:
        case IncidentChanged(at, kind, incident, note):
            if kind in UNTOLD:
                return None
            body = _incident(incident, kind) | {"note": note}
            return Entry(seq, at, f"incident.{kind}", incident.id, incident.repair, _plain(body))
        case RepairChanged(at, kind, repair, note):
            if kind in UNTOLD:
                return None
            body = _repair(repair, kind) | {"note": note}
            return Entry(seq, at, f"repair.{kind}", None, repair.id, _plain(body))
        case AlarmsSettled(at, identities, outcome, detail, concerned):
            told = {"identity": next(iter(identities), ""), "detail": detail}
            alike = {"alarms": len(identities)} if len(identities) > 1 else {}
            return Entry(seq, at, f"alarm.{outcome}", concerned, None, told | alike)
        case PauseChanged(at, pause, lifted_by):
            body = {"id": pause.id, "scope": pause.scope, "who": pause.who, "why": pause.why}
            if lifted_by is not None:
                return Entry(seq, at, "pause.lifted", None, None, body | {"lifted_by": lifted_by})
            return Entry(seq, at, "pause.set", None, None, _plain(body | {"until": pause.until}))
        case AttemptChanged():
            return None
    assert_never(change)


def _incident(incident: Incident, kind: str) -> dict[str, Any]:
    body = {
        "target": _target(incident.target),
        "type": incident.type,
        "physical_id": incident.current.physical_id,
        "policy": incident.policy,
        "state": incident.state,
        "rung": incident.rung,
    }
    if incident.refusal and incident.state in {IncidentState.HELD, IncidentState.WOULD_HEAL}:
        refusal = incident.refusal
        body["refusal"] = {
            "reason": refusal.reason,
            "sentence": refusal.sentence,
            "look_again": refusal.look_again,
        }
    if incident.plan and kind in _PLANNED:
        body["plan"] = _plan(incident.plan)
    return body


def _repair(repair: Repair, kind: str) -> dict[str, Any]:
    body = {
        "root": _root(repair.root),
        "action": repair.recipe.action,
        "step": repair.step,
        "attempt": repair.attempt,
        "members": repair.members,
    }
    if repair.plan and kind in _PLANNED:
        body["plan"] = _plan(repair.plan)
    return body


def _root(root: Root) -> dict[str, Any]:
    return {"cloud": root.cloud, "project": root.project, "stack": str(root), "stack_id": root.id}


def _target(target: Target) -> dict[str, Any]:
    return _root(target.root) | {"path": target.path}


def _plan(plan: Plan) -> dict[str, Any]:
    return {
        "condemned": [
            {"path": c.path, "type": c.type, "physical_id": c.incarnation.physical_id, "prior": c.prior}
            for c in plan.condemned
        ],
        "touched": [{"path": t.path, "type": t.type, "effect": t.effect, "via": t.via} for t in plan.touched],
    }


def _plain(value: Any) -> Any:
    """The same value as JSON gives it back, so that every store tells the same story."""
    match value:
        case Enum():
            return value.value
        case None | bool() | int() | float() | str():
            return value
        case datetime():
            return value.isoformat()
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case set() | frozenset():
            return sorted(_plain(item) for item in value)
        case _:
            return str(value)
