"""Why something may fail that is not broken itself: what it requires fails, or is only just coming up."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from healer.core.detector import Standing, in_grace, standing
from healer.core.model import NOTHING, Target
from healer.core.planner import upstream
from healer.core.policy import Owned
from healer.core.state import State


def cause_of(state: State, target: Target, now: datetime) -> str:
    """One sentence about what the target requires and what is the matter with that; empty where nothing is."""
    snapshot = state.snapshots.get(target.root)
    required = upstream(snapshot, target.path) if snapshot else frozenset()
    failing = {i.target.path for i in state.incidents_of(target.root) if i.target.path in required}
    failing |= {
        path
        for path in required
        if standing(state.tracks.get(Target(target.root, path), NOTHING)) is not Standing.CALM
    }
    if failing:
        verb = "fails" if len(failing) == 1 else "fail"
        return f"it requires {_names(failing)}, which {verb}: that comes first"
    starting = [path for path in required if _is_starting(state, Target(target.root, path), now)]
    return f"it requires {_names(starting)}, which may still be starting" if starting else ""


def _is_starting(state: State, target: Target, now: datetime) -> bool:
    """Whether it was made a moment ago, and those who look at it have not seen it healthy yet."""
    owned = state.owners.get(target)
    resource = state.snapshots[target.root].resources.get(target.path)
    if resource is None or not isinstance(owned, Owned) or not owned.policy.detect.watches:
        return False
    tracks = state.tracks.get(target, NOTHING)
    return in_grace(tracks, resource.created_at, owned.policy.detect.grace, now)


def _names(paths: Iterable[str]) -> str:
    return ", ".join(sorted(paths))
