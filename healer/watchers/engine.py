"""What the engine itself says of its resources: that it has failed at one, or knows one to be dead.

Resources alone are looked at, not nested stacks and groups: their members are what can be replaced.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ConfigDict

from healer.core.model import Health, Observation, Resource, Snapshot, StackState, Symptom, Target
from healer.plugins import Plugin

SOURCE = "watcher:engine"
OUR_MARK = "healer:"
"""Begins the reason of every mark that a healer sets."""
_STANDING = frozenset({"CREATE", "UPDATE", "CHECK", "ADOPT", "RESTORE", "RESUME", "ROLLBACK", "SNAPSHOT"})
"""Actions after whose completion a resource should be there and at work."""


class EngineWatcher(Plugin):
    model_config = ConfigDict(json_schema_extra={"examples": [{}]})

    def watch(self, snapshot: Snapshot) -> Sequence[Observation]:
        return [
            _look(snapshot, resource) for resource in snapshot.resources.values() if not resource.is_stack
        ]


def _look(snapshot: Snapshot, resource: Resource) -> Observation:
    health, symptom, detail = _says(resource)
    return Observation(
        target=Target(snapshot.root, resource.path),
        source=SOURCE,
        health=health,
        symptom=symptom,
        at=snapshot.taken_at,
        physical_id=resource.incarnation.physical_id or None,
        detail=detail,
    )


def _says(resource: Resource) -> tuple[Health, Symptom, str]:
    status = f"{resource.action}_{resource.state}"
    if resource.state is StackState.IN_PROGRESS:
        return Health.UNKNOWN, Symptom.UNRESOLVED, f"it is {status}"
    if resource.condition is Health.UNHEALTHY:
        known = resource.condition_symptom
        symptom = Symptom.ENGINE_FAILED if known is Symptom.OK else known
        return Health.UNHEALTHY, symptom, f"the engine finds it {symptom}"
    if resource.marked and resource.reason.startswith(OUR_MARK):
        # Whoever marks a thing has judged it; the mark is no second witness.
        return Health.UNKNOWN, Symptom.UNRESOLVED, f"it is marked by a healer: {resource.reason}"
    if resource.state is StackState.FAILED:
        return (
            Health.UNHEALTHY,
            Symptom.ENGINE_FAILED,
            f"it is {status}: {resource.reason or 'no reason given'}",
        )
    if resource.action not in _STANDING:
        return Health.UNKNOWN, Symptom.UNRESOLVED, f"it is {status}"
    return Health.HEALTHY, Symptom.OK, f"it is {status}"
