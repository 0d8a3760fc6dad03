"""Alarms: which target one is about, what that says of it, and what must be remembered of it over a restart."""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from healer.core import verification
from healer.core.change import AlarmOutcome
from healer.core.detector import Track
from healer.core.incident import IncidentState
from healer.core.inventory import Ambiguous, Found, Stale, Unmatched, resolve
from healer.core.model import Alarm, Health, Observation, Symptom, Target
from healer.core.policy import Owned
from healer.core.sighting import observed
from healer.core.turn import Turn


def alarmed(turn: Turn, alarm: Alarm) -> None:
    """A stored alarm: it is judged already, and must pass every gate all the same."""
    state = turn.state
    state.alarms[alarm.identity] = alarm
    found = resolve(state.snapshots, alarm.selector, state.replaced())
    if state.unreachable and not isinstance(found, Found):
        return  # It may mean what cannot be read yet: it is asked again with the next listing.
    match found:
        case Unmatched(why):
            turn.settle(alarm.identity, AlarmOutcome.UNMATCHED, why)
        case Ambiguous(candidates):
            names = ", ".join(str(target) for target in candidates)
            turn.settle(alarm.identity, AlarmOutcome.AMBIGUOUS, f"it may mean {names}")
        case Stale(target) if alarm.is_over and _source(alarm) in state.tracks.get(target, {}):
            # It names what was healed away, and still is the word that whoever raised it takes back.
            _match(turn, replace(alarm, selector=replace(alarm.selector, physical_id=None)), target)
        case Stale(target):
            turn.settle(
                alarm.identity, AlarmOutcome.STALE, f"it is about an earlier {target}, which was replaced"
            )
        case Found(target):
            _match(turn, alarm, target)
        case _:
            assert_never(found)


def _match(turn: Turn, alarm: Alarm, target: Target) -> None:
    if not isinstance(turn.state.owners.get(target), Owned):
        turn.settle(alarm.identity, AlarmOutcome.UNOWNED, f"no single policy owns {target}")
        return
    firing = not alarm.is_over
    # The end of an alarm is about now, however long ago it began: where nobody else looks, it ends the heal.
    outlived = _outlived(turn, alarm, target) if firing and alarm.selector.physical_id is None else ""
    if outlived:
        turn.settle(alarm.identity, AlarmOutcome.STALE, outlived)
        return
    observed(
        turn,
        Observation(
            target=target,
            source=_source(alarm),
            health=Health.UNHEALTHY if firing else Health.HEALTHY,
            symptom=Symptom.ALARM if firing else Symptom.CLEARED,
            at=turn.now,
            physical_id=alarm.selector.physical_id,
            detail=alarm.annotations.get("summary") or alarm.labels.get("alertname", alarm.key),
            judged=True,
        ),
    )
    incident = turn.state.incident_of(target)
    turn.settle(alarm.identity, AlarmOutcome.MATCHED, str(target), incident.id if incident else None)
    if incident is not None and incident.alarms.get(_source(alarm)) is not firing:
        # It is said once, and must not be forgotten over a restart.
        noted = {**incident.alarms, _source(alarm): firing}
        turn.keep(replace(incident, alarms=noted), "noted")


def _source(alarm: Alarm) -> str:
    return f"alarm:{alarm.source}:{alarm.key}"


def remember(turn: Turn) -> None:
    """After a restart: what was said of each open incident. Nobody will say it again."""
    for incident in list(turn.state.incidents.values()):
        tracks = turn.state.tracks.setdefault(incident.target, {}) if incident.alarms else {}
        for source, stands in incident.alarms.items():
            over = Track(good=1, good_since=turn.now, symptom=Symptom.CLEARED)
            tracks.setdefault(source, Track(failing=True, symptom=Symptom.ALARM) if stands else over)
        if incident.state is IncidentState.VERIFYING:
            verification.review(turn, incident)


def _outlived(turn: Turn, alarm: Alarm, target: Target) -> str:
    """Why it can only be about something that is no more; empty where it may be about what stands there now."""
    attempts = (a for a in turn.state.attempts.values() if a.target == target and a.succeeded)
    healed_at = max((a.ended_at for a in attempts if a.ended_at), default=None)
    if healed_at is not None and alarm.started_at <= healed_at:
        return f"it began before {target} was last healed"
    made_at = turn.state.snapshots[target.root].resources[target.path].created_at
    if made_at is not None and alarm.started_at <= made_at:
        return f"it began before {target} was made, as it is now"
    return ""
