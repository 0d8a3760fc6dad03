"""Alarms: which target one is about, what that says of it, and what must be remembered of it over a restart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import assert_never

from healer.core import verification
from healer.core.change import AlarmOutcome
from healer.core.detector import Track
from healer.core.incident import IncidentState
from healer.core.inventory import Ambiguous, By, Found, Stale, Unmatched, resolve
from healer.core.model import Alarm, AlarmStatus, Health, Observation, Snapshot, Symptom, Target
from healer.core.policy import Owned
from healer.core.sighting import observed
from healer.core.turn import Turn

_NAMED = 5
"""Targets in the word on one alarm; a host may have hundreds."""
LATE = timedelta(minutes=5)
"""What fires and is older than its own end may come so much after it: longer than a pair of Alertmanagers is apart, or
one of them tries a notification again (`group_interval`); and as long as a signed request can be replayed."""
_ONCE = datetime.min.replace(tzinfo=UTC)
"""When it began is not known any more."""
_NEAR = timedelta(seconds=10)
"""By less than this an end that moves on is not stored anew: after a restart it is a little early."""


def alarmed(turn: Turn, alarms: Sequence[Alarm]) -> None:
    """Stored alarms: each is judged already, and must pass every gate all the same."""
    state = turn.state
    replaced = state.replaced()
    unmatched: dict[str, list[str]] = defaultdict(list)
    for alarm in alarms:
        identity = alarm.identity
        state.alarms[identity] = alarm
        found = resolve(state.snapshots, alarm.selector, replaced)
        if isinstance(found, Found) and _was_taken_back(turn, alarm):
            _settle(turn, identity, [_Became(AlarmOutcome.STALE, "its sender took it back before it came")])
        elif isinstance(found, Found):
            became = [_match(turn, alarm, target, _physical_id(alarm, found)) for target in found.targets]
            _settle(turn, identity, became)
        elif alarm.is_over and (raised := _raised(turn, alarm)):
            # It names what was healed away, or nothing at all, and still is the word that its sender takes back.
            _settle(turn, identity, [_match(turn, alarm, target, None) for target in raised])
        elif state.unreachable:
            continue  # It may mean what cannot be read yet: it is asked again with the next listing.
        elif isinstance(found, Unmatched):
            unmatched[found.why].append(identity)
        else:
            _settle(turn, identity, [_not_matched(found)])
    for why, identities in unmatched.items():
        # Most of what comes may be none of ours: what is alike is one change, however many they are.
        turn.settle(identities, AlarmOutcome.UNMATCHED, why)


def _physical_id(alarm: Alarm, found: Found) -> str | None:
    """Of the incarnation that is meant, where it is said which."""
    return alarm.selector.physical_id if found.by is By.PHYSICAL_ID else None


def _not_matched(found: Ambiguous | Stale) -> _Became:
    match found:
        case Ambiguous(candidates):
            names = ", ".join(str(target) for target in candidates)
            return _Became(AlarmOutcome.AMBIGUOUS, f"it may mean {names}")
        case Stale(target):
            return _Became(AlarmOutcome.STALE, f"it is about an earlier {target}, which was replaced")
    assert_never(found)


def ask_again(turn: Turn, snapshot: Snapshot | None = None) -> None:
    """Those that nobody could tell what they mean: all of them, or those that may mean something in one stack."""
    waiting = turn.state.alarms.values()
    if snapshot is None:
        alarmed(turn, tuple(waiting))
        return
    there = {snapshot.root: snapshot}
    alarmed(turn, [one for one in waiting if not isinstance(resolve(there, one.selector, {}), Unmatched)])


def _raised(turn: Turn, alarm: Alarm) -> list[Target]:
    """What this alarm was raised about."""
    source = alarm.voice
    return [target for target, tracks in turn.state.tracks.items() if source in tracks]


@dataclass(frozen=True, slots=True)
class _Became:
    outcome: AlarmOutcome
    detail: str
    incident: str | None = None


def _settle(turn: Turn, identity: str, became: Sequence[_Became]) -> None:
    """One word for all that it is about, which are many where a host is meant: what it did counts, if only to one."""
    best = next((one for one in became if one.outcome is AlarmOutcome.MATCHED), became[0])
    alike = [one for one in became if one.outcome is best.outcome]
    detail = ", ".join(one.detail for one in alike[:_NAMED])
    more = f" and {len(alike) - _NAMED} more" if len(alike) > _NAMED else ""
    turn.settle([identity], best.outcome, detail + more, best.incident)


def _match(turn: Turn, alarm: Alarm, target: Target, physical_id: str | None) -> _Became:
    if not isinstance(turn.state.owners.get(target), Owned):
        return _Became(AlarmOutcome.UNOWNED, f"no single policy owns {target}")
    if alarm.status is AlarmStatus.UNKNOWN:
        return _Became(AlarmOutcome.NO_EVIDENCE, f"its sender does not know how {target} is")
    firing = not alarm.is_over
    # The end of an alarm is about now, however long ago it began: where nobody else looks, it ends the heal.
    if firing and (outlived := _outlived(turn, alarm, target, physical_id)):
        return _Became(AlarmOutcome.STALE, outlived)
    detail = alarm.annotations.get("summary") or alarm.labels.get("alertname", alarm.key)
    if firing:
        turn.state.raised[alarm.voice] = alarm.started_at
        turn.state.taken_back.pop(alarm.voice, None)
    else:
        turn.state.raised.pop(alarm.voice, None)
        turn.state.taken_back[alarm.voice] = alarm
    _say(turn, target, alarm.voice, firing=firing, detail=detail, physical_id=physical_id)
    _stands_until(turn, target, alarm.voice, alarm.expires_at if firing else None)
    incident = turn.state.incident_of(target)
    return _Became(AlarmOutcome.MATCHED, str(target), incident.id if incident else None)


def _say(
    turn: Turn, target: Target, source: str, *, firing: bool, detail: str, physical_id: str | None = None
) -> None:
    observed(
        turn,
        Observation(
            target=target,
            source=source,
            health=Health.UNHEALTHY if firing else Health.HEALTHY,
            symptom=Symptom.ALARM if firing else Symptom.CLEARED,
            at=turn.now,
            physical_id=physical_id,
            detail=detail,
            judged=True,
        ),
    )
    incident = turn.state.incident_of(target)
    if incident is not None and incident.alarms.get(source) is not firing:
        # It is said once, and must not be forgotten over a restart.
        turn.keep(replace(incident, alarms={**incident.alarms, source: firing}), "noted")


def renewed(turn: Turn, alarms: Sequence[Alarm]) -> None:
    """They came once more: what fires stands as long again, and what is over ends what it has begun."""
    replaced = turn.state.replaced()
    for alarm in alarms:
        if alarm.is_over:
            _end_again(turn, alarm)
        elif alarm.status is AlarmStatus.FIRING:
            if standing := turn.state.expiries.get(alarm.voice):
                for target in list(standing):
                    _stands_until(turn, target, alarm.voice, alarm.expires_at)
            elif not _was_taken_back(turn, alarm):
                _raise_again(turn, alarm, replaced)


def lately_taken_back(kept: Iterable[Alarm], latest: datetime) -> dict[str, Alarm]:
    """By voice, of alarms in the order in which they came: who was the last to say, within LATE, that it is over."""
    found: dict[str, Alarm] = {}
    for alarm in kept:
        if alarm.is_over and alarm.received_at > latest - LATE:
            found[alarm.voice] = alarm
        elif alarm.voice in found and alarm.started_at > found[alarm.voice].started_at:
            del found[alarm.voice]
    return found


def _end_again(turn: Turn, alarm: Alarm) -> None:
    """It was raised again since its end was told for the first time."""
    began = turn.state.raised.get(alarm.voice)
    if began is not None and began <= alarm.started_at:
        for target in _raised(turn, alarm):
            _match(turn, alarm, target, None)


def _raise_again(turn: Turn, alarm: Alarm, replaced: Mapping[str, Target]) -> None:
    """Where it does not stand: its sender was silent for too long, or healer, or it meant nothing here until now."""
    found = resolve(turn.state.snapshots, alarm.selector, replaced)
    if not isinstance(found, Found):
        return
    became = [
        _match(turn, alarm, target, _physical_id(alarm, found))
        for target in found.targets
        if not _stands(turn, alarm, target) and not _healed_since(turn, alarm, target)
    ]
    if matched := [one for one in became if one.outcome is AlarmOutcome.MATCHED]:
        _settle(turn, alarm.identity, matched)


def _stands(turn: Turn, alarm: Alarm, target: Target) -> bool:
    track = turn.state.tracks.get(target, {}).get(alarm.voice)
    return track is not None and track.failing


def _was_taken_back(turn: Turn, alarm: Alarm) -> bool:
    """Whether it is older than the word that ended it, and only came later: from the other of a pair, or tried again.

    Whoever says it for longer than that means it: Prometheus goes on with an alert as it was when it comes back.
    """
    over = turn.state.taken_back.get(alarm.voice)
    return (
        over is not None
        and alarm.status is AlarmStatus.FIRING
        and alarm.started_at <= over.started_at
        and turn.now - over.received_at < LATE
    )


def _stands_until(turn: Turn, target: Target, source: str, at: datetime | None) -> None:
    standing = turn.state.expiries.setdefault(source, {})
    if at is not None:
        standing[target] = at
    else:
        standing.pop(target, None)
        if not standing:
            del turn.state.expiries[source]
    incident = turn.state.incident_of(target)
    kept = incident.expiries.get(source) if incident else None
    if incident is None or kept == at or (kept and at and abs(at - kept) < _NEAR):
        return
    others = {other: until for other, until in incident.expiries.items() if other != source}
    turn.keep(replace(incident, expiries=others | ({source: at} if at else {})), "noted")


def expire(turn: Turn) -> None:
    """Whoever raised it has stopped to say so, and never will say that it is over."""
    taken_back = turn.state.taken_back
    for voice in [voice for voice, over in taken_back.items() if turn.now - over.received_at >= LATE]:
        del taken_back[voice]
    standing = turn.state.expiries.items()
    due = [(source, target) for source, until in standing for target in until if until[target] <= turn.now]
    for source, target in due:
        _stands_until(turn, target, source, None)
        turn.state.raised.pop(source, None)
        _say(turn, target, source, firing=False, detail="its sender has stopped to send it")


def remember(turn: Turn) -> None:
    """After a restart: what was said of each open incident. Nobody will say it again."""
    for incident in list(turn.state.incidents.values()):
        tracks = turn.state.tracks.setdefault(incident.target, {}) if incident.alarms else {}
        for source, stands in incident.alarms.items():
            over = Track(good=1, good_since=turn.now, symptom=Symptom.CLEARED)
            tracks.setdefault(source, Track(failing=True, symptom=Symptom.ALARM) if stands else over)
            if stands:
                turn.state.raised.setdefault(source, _ONCE)
        for source, until in incident.expiries.items():
            # It may have been sent all the while that nobody listened.
            ends_at = max(until, turn.now + LATE)
            turn.state.expiries.setdefault(source, {}).setdefault(incident.target, ends_at)
        if incident.state is IncidentState.VERIFYING:
            verification.review(turn, incident)


def _outlived(turn: Turn, alarm: Alarm, target: Target, physical_id: str | None) -> str:
    """Why it can only be about something that is no more; empty where it may be about what stands there now."""
    if alarm.expires_at is not None and alarm.expires_at <= turn.now:
        return "its end had passed before it could be told what it means"
    if _healed_since(turn, alarm, target, physical_id):
        return f"it began before {target} was last healed"
    made_at = turn.state.snapshots[target.root].resources[target.path].created_at
    if physical_id is None and made_at is not None and alarm.started_at <= made_at:
        return f"it began before {target} was made, as it is now"
    return ""


def _healed_since(turn: Turn, alarm: Alarm, target: Target, physical_id: str | None = None) -> bool:
    """Whether a heal has ended since it began; of this incarnation alone, where one is named."""
    return any(
        attempt.succeeded and attempt.ended_at is not None and alarm.started_at <= attempt.ended_at
        for attempt in turn.state.attempts.values()
        if attempt.target == target and physical_id in {None, attempt.physical_id}
    )
