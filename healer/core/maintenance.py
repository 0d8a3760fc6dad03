"""What people have put aside for now: nothing is begun on it, and no call is made that changes anything."""

from __future__ import annotations

from datetime import datetime, timedelta

from healer.core.incident import Incident, Refusal, Refused
from healer.core.model import NOTHING
from healer.core.silence import Known
from healer.core.state import State

_ASKED_AGAIN = timedelta(seconds=30)
"""For a pause without an end, whose end an event will announce; the look again is only the net under it."""


def pause_on(state: State, incident: Incident, now: datetime) -> Refused | None:
    """The pause that covers the incident now, if there is one."""
    root = incident.target.root
    stacks = {f"stack:{root.name}", f"stack:{root.id}"}
    scopes = {"all", f"cloud:{root.cloud}", f"policy:{incident.policy}", *stacks}
    for pause in state.pauses.values():
        if pause.scope in scopes and (pause.until is None or now < pause.until):
            sentence = f"{pause.who} paused {pause.scope}: {pause.why}"
            return Refused(Refusal.PAUSED, sentence, pause.until or now + _ASKED_AGAIN)
    return None


def silence_on(state: State, incident: Incident, now: datetime) -> Refused | None:
    """The silence at a sender of alarms that covers the incident now, if there is one."""
    if not state.silences:
        return None
    snapshot = state.snapshots.get(incident.target.root)
    resource = snapshot.resources.get(incident.target.path) if snapshot else None
    incarnation, attributes = (
        (resource.incarnation, resource.attributes) if resource else (incident.current, NOTHING)
    )
    known = Known(incident.target, incarnation, attributes)
    for source, silences in state.silences.items():
        silence = silences.on(known, state.snapshots, now)
        if silence is not None:
            return Refused(Refusal.SILENCED, silence.sentence(source), silence.until)
    return None


def awaited(state: State, now: datetime) -> Refused | None:
    """After a start: what is silenced is not known yet. That holds up only what has not begun."""
    for source, until in state.awaited.items():
        if now < until:
            sentence = f"what is silenced at {source} has not been read yet"
            return Refused(Refusal.SILENCED, sentence, until)
    return None


def put_aside(state: State, incident: Incident, now: datetime) -> Refused | None:
    """Why nothing that changes anything may be called for the incident now, although its repair has begun."""
    return pause_on(state, incident, now) or silence_on(state, incident, now)
