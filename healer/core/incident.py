"""The life of one failure of one incarnation, as a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, assert_never

from healer.core.model import NOTHING, Incarnation, Symptom, Target
from healer.core.planner import Plan


class IncidentState(StrEnum):
    OPEN = "open"
    """Seen; it is being decided whether its remediation may start."""
    HELD = "held"
    """It may not start now: the refusal says why, and when it is looked at again."""
    WOULD_HEAL = "would_heal"
    """Its policy only observes: this is the plan that would have been carried out."""
    REMEDIATING = "remediating"
    VERIFYING = "verifying"
    """The remediation is over; only looks made since then can close it."""
    EXHAUSTED = "exhausted"
    """Every rung of the ladder was tried: it needs a person, or recovers by itself."""
    CLOSED = "closed"


class Outcome(StrEnum):
    """How an incident ended."""

    HEALED = "healed"
    RECOVERED = "recovered"
    """It came back by itself."""
    SUPERSEDED = "superseded"
    """Somebody else replaced what had failed."""
    GONE = "gone"
    """There is no such resource, or no such stack, any more."""
    CANCELLED = "cancelled"
    """What had asked for it was taken back before anything was done."""
    RELEASED = "released"
    """A person let go of it."""


class Refusal(StrEnum):
    """Why a remediation may not start or go on; the same word in log, metric, API and test."""

    STOPPED = "stopped"
    PAUSED = "paused"
    SILENCED = "silenced"
    """People have silenced it where its alarms come from, or what they silence there is not known yet."""
    NO_POLICY = "no_policy"
    CONTESTED = "contested"
    CLOUD_UNREACHABLE = "cloud_unreachable"
    STALE_INCARNATION = "stale_incarnation"
    REPAIR_IN_PROGRESS = "repair_in_progress"
    STACK_BUSY = "stack_busy"
    UNCONFIRMED = "unconfirmed"
    """Nothing that looked since the last heal, or since the start, says that it fails now."""
    STARTUP_GRACE = "startup_grace"
    UPSTREAM_FAILING = "upstream_failing"
    COOLDOWN = "cooldown"
    ATTEMPTS = "attempts"
    DEPENDENT_GONE = "dependent_gone"
    """What must be told of the successor does not exist itself, so that telling it would fail the update."""
    FOREIGN_CHANGES = "foreign_changes"
    BLAST_RADIUS = "blast_radius"
    PREVIEW_MOVED = "preview_moved"
    FORBIDDEN = "forbidden"
    REJECTED = "rejected"
    OBSERVE = "observe"
    """The policy's mode: the gate that `mode: auto` opens."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Why not, for a machine and for a person, and when to look again."""

    reason: Refusal
    sentence: str
    look_again: datetime


@dataclass(frozen=True, slots=True)
class Request:
    """An operator's demand: it overrides some gates, and its story names which."""

    who: str
    why: str
    at: datetime
    overrides: tuple[Refusal, ...] = ()
    """Gates that would have refused and were overridden, as they come up."""


@dataclass(frozen=True, slots=True)
class Incident:
    id: str
    target: Target
    incarnation: Incarnation
    type: str
    """Resource type."""
    policy: str
    source: str
    """Whose observation opened it."""
    symptom: Symptom
    detail: str
    opened_at: datetime
    state: IncidentState = IncidentState.OPEN
    rung: int = 0
    """Index into the policy's ladder."""
    wake_at: datetime | None = None
    deadline: datetime | None = None
    """While it is verified: until when it must be seen healthy."""
    refusal: Refused | None = None
    cause_over_at: datetime | None = None
    """When the incident of something that it requires was closed: an alarm from before that says nothing of now."""
    alarms: Mapping[str, bool] = NOTHING
    """Every alarm that was raised about it, by source → whether it stands, or was taken back: neither is said twice."""
    expiries: Mapping[str, datetime] = NOTHING
    """Until when such an alarm stands if it is not sent again, by source; without an entry: until it is taken back."""
    request: Request | None = None
    plan: Plan | None = None
    repair: str | None = None
    successor: Incarnation | None = None
    """What replaced it; once set, this is what is verified."""
    closed_at: datetime | None = None
    outcome: Outcome | None = None

    @property
    def current(self) -> Incarnation:
        """The incarnation that this incident is about now."""
        return self.successor or self.incarnation


@dataclass(frozen=True, slots=True)
class Admitted:
    repair: str
    plan: Plan | None


@dataclass(frozen=True, slots=True)
class Declined:
    """A gate refused, or a repair ended without having acted."""

    refused: Refused


@dataclass(frozen=True, slots=True)
class Planned:
    """The policy observes: this would have been done."""

    plan: Plan | None
    refused: Refused


@dataclass(frozen=True, slots=True)
class Remediated:
    """The remediation is proven by the engine; now it must be seen."""

    successor: Incarnation | None
    deadline: datetime


@dataclass(frozen=True, slots=True)
class Climbed:
    """This rung did not help, or only told somebody: the next one is due."""

    wake_at: datetime


@dataclass(frozen=True, slots=True)
class Exhausted:
    """There is no further rung."""


@dataclass(frozen=True, slots=True)
class Demanded:
    """An operator asks for it now."""

    request: Request
    wake_at: datetime


@dataclass(frozen=True, slots=True)
class Closed:
    outcome: Outcome
    at: datetime


IncidentEvent = Admitted | Declined | Planned | Remediated | Climbed | Exhausted | Demanded | Closed

_S = IncidentState
WAITING = (_S.OPEN, _S.HELD, _S.WOULD_HEAL)
"""Not begun, and not given up."""

TRANSITIONS: Mapping[tuple[IncidentState, type[Any]], IncidentState] = {
    **{(state, Admitted): _S.REMEDIATING for state in WAITING},
    **{(state, Declined): _S.HELD for state in (*WAITING, _S.REMEDIATING)},
    **{(state, Planned): _S.WOULD_HEAL for state in WAITING},
    (_S.REMEDIATING, Remediated): _S.VERIFYING,
    (_S.REMEDIATING, Climbed): _S.OPEN,
    (_S.VERIFYING, Climbed): _S.OPEN,
    (_S.REMEDIATING, Exhausted): _S.EXHAUSTED,
    (_S.VERIFYING, Exhausted): _S.EXHAUSTED,
    **{(state, Demanded): _S.OPEN for state in (*WAITING, _S.EXHAUSTED)},
    **{(state, Closed): _S.CLOSED for state in _S if state is not _S.CLOSED},
}
"""What may follow what; every other pair is refused as a bug."""


class InvalidTransitionError(Exception):
    """The kernel asked for what the table does not allow: a bug, never bad input."""


def advance(incident: Incident, event: IncidentEvent) -> Incident:
    """The incident after the event."""
    state = TRANSITIONS.get((incident.state, type(event)))
    if state is None:
        raise InvalidTransitionError(
            f"incident {incident.id} of {incident.target} is {incident.state} and cannot be {type(event).__name__}"
        )
    match event:
        case Admitted(repair, plan):
            return replace(incident, state=state, repair=repair, plan=plan, refusal=None, wake_at=None)
        case Declined(refused):
            return replace(incident, state=state, refusal=refused, wake_at=refused.look_again)
        case Planned(plan, refused):
            return replace(incident, state=state, plan=plan, refusal=refused, wake_at=refused.look_again)
        case Remediated(successor, deadline):
            return replace(incident, state=state, successor=successor, wake_at=deadline, deadline=deadline)
        case Climbed(wake_at):
            return replace(
                incident,
                state=state,
                rung=incident.rung + 1,
                wake_at=wake_at,
                incarnation=incident.current,
                successor=None,
                deadline=None,
            )
        case Exhausted():
            return replace(
                incident,
                state=state,
                wake_at=None,
                deadline=None,
                incarnation=incident.current,
                successor=None,
            )
        case Demanded(request, wake_at):
            return replace(incident, state=state, request=request, rung=0, refusal=None, wake_at=wake_at)
        case Closed(outcome, at):
            return replace(incident, state=state, outcome=outcome, closed_at=at, wake_at=None)
    assert_never(event)


def diagram() -> str:
    """The table as a Mermaid state diagram, for the documentation."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for (state, event), to in TRANSITIONS.items():
        arrows.setdefault((state, to), []).append(event.__name__)
    lines = [f"    {a} --> {b}: {', '.join(names)}" for (a, b), names in arrows.items()]
    return "\n".join(["stateDiagram-v2", "    [*] --> open", *lines, "    closed --> [*]"])
