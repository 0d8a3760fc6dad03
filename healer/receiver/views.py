"""The core's values as the JSON of the API: what a person or a page needs of them, by stable names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from healer.core.change import Pause
from healer.core.detector import Standing, standing
from healer.core.incident import Incident, IncidentState
from healer.core.model import Health, Resource, Snapshot, Target
from healer.core.planner import Plan
from healer.core.policy import Contested, Owned
from healer.core.repair import Repair
from healer.core.state import State
from healer.ports import Entry, FiledAlarm


def moment(at: datetime | None) -> str | None:
    """ISO 8601, UTC, to the millisecond."""
    if at is None:
        return None
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def overview(state: State, clouds: Iterable[str], now: datetime) -> dict[str, Any]:
    """How much is open, and what keeps healer from acting."""
    pauses = (one for one in state.pauses.values() if one.until is None or now < one.until)
    return {
        "clouds": [{"name": name, "why": state.unreachable.get(name)} for name in clouds],
        "pauses": [pause(one) for one in pauses],
        "silences": silences(state, now),
        "incidents": len(state.incidents),
        "repairs": len(state.repairs),
    }


def silences(state: State, now: datetime) -> list[dict[str, Any]]:
    """What is silenced at senders of alarms now."""
    return [
        {
            "source": source,
            "id": one.id,
            "who": one.who,
            "why": one.why,
            "until": moment(one.until),
            "sentence": one.sentence(source),
        }
        for source, every in sorted(state.silences.items())
        for one in every.lasting(now)
    ]


def incident(one: Incident) -> dict[str, Any]:
    root = one.target.root
    return {
        "id": one.id,
        "state": one.state,
        "outcome": one.outcome,
        "cloud": root.cloud,
        "stack": root.name or root.id,
        "stack_id": root.id,
        "resource": one.target.path,
        "type": one.type,
        "physical_id": one.incarnation.physical_id,
        "successor": one.successor.physical_id if one.successor else None,
        "policy": one.policy or None,
        "source": one.source,
        "symptom": one.symptom,
        "detail": one.detail,
        "opened_at": moment(one.opened_at),
        "closed_at": moment(one.closed_at),
        "rung": one.rung,
        "repair": one.repair,
        "refusal": {
            "reason": one.refusal.reason,
            "sentence": one.refusal.sentence,
            "look_again": moment(one.refusal.look_again),
        }
        if one.refusal and one.state in {IncidentState.HELD, IncidentState.WOULD_HEAL}
        else None,
        "requested_by": {
            "who": one.request.who,
            "why": one.request.why,
            "overrides": list(one.request.overrides),
        }
        if one.request
        else None,
        "plan": plan(one.plan) if one.plan else None,
    }


def plan(one: Plan) -> dict[str, Any]:
    return {
        "replaces": [
            {"resource": c.path, "type": c.type, "physical_id": c.incarnation.physical_id}
            for c in one.condemned
        ],
        "touches": [
            {"resource": t.path, "type": t.type, "effect": t.effect, "why": t.via} for t in one.touched
        ],
    }


def repair(one: Repair) -> dict[str, Any]:
    return {
        "id": one.id,
        "cloud": one.root.cloud,
        "stack": str(one.root),
        "action": one.recipe.action,
        "step": one.step,
        "progress": one.progress or None,
        "incidents": list(one.members),
        "opened_at": moment(one.opened_at),
        "deadline": moment(one.deadline),
    }


def stack(state: State, snapshot: Snapshot) -> dict[str, Any]:
    root = snapshot.root
    resources = sorted(snapshot.resources.values(), key=lambda resource: resource.path)
    return {
        "cloud": root.cloud,
        "project": root.project,
        "id": root.id,
        "name": root.name,
        "status": snapshot.status,
        "busy": list(snapshot.busy),
        "read_at": moment(snapshot.taken_at),
        "resources": [_resource(state, Target(root, r.path), r) for r in resources],
    }


def _resource(state: State, target: Target, resource: Resource) -> dict[str, Any]:
    owner = state.owners.get(target)
    open_incident = state.incident_of(target)
    return {
        "path": target.path,
        "type": resource.type,
        "physical_id": resource.incarnation.physical_id,
        "status": f"{resource.action}_{resource.state}",
        "health": _health(state, target),
        "is_stack": resource.is_stack,
        "requires": list(resource.requires),
        "attributes": dict(resource.attributes),
        "policy": owner.policy.name if isinstance(owner, Owned) else None,
        "contested_by": list(owner.names) if isinstance(owner, Contested) else [],
        "incident": open_incident.id if open_incident else None,
    }


def _health(state: State, target: Target) -> Health:
    tracks = state.tracks.get(target, {})
    match standing(tracks):
        case Standing.FAILING | Standing.SUSPECT:
            return Health.UNHEALTHY
        case Standing.CALM:
            return Health.HEALTHY if any(track.good for track in tracks.values()) else Health.UNKNOWN


def entry(one: Entry) -> dict[str, Any]:
    return {
        "seq": one.seq,
        "at": moment(one.at),
        "kind": one.kind,
        "incident": one.incident,
        "repair": one.repair,
        "body": dict(one.body),
    }


def pause(one: Pause) -> dict[str, Any]:
    return {
        "id": one.id,
        "scope": one.scope,
        "who": one.who,
        "why": one.why,
        "at": moment(one.at),
        "until": moment(one.until),
    }


def alarm(one: FiledAlarm) -> dict[str, Any]:
    labels: Mapping[str, str] = one.alarm.labels
    return {
        "source": one.alarm.source,
        "key": one.alarm.key,
        "status": one.alarm.status,
        "started_at": moment(one.alarm.started_at),
        "received_at": moment(one.alarm.received_at),
        "labels": dict(labels),
        "outcome": one.outcome,
        "detail": one.detail or None,
        "incident": one.incident,
    }
