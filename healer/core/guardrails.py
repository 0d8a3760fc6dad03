"""May it start now? Gates in order, each with its reason, a sentence, and when to look again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto

from healer.core.causes import cause_of
from healer.core.detector import confirmed, in_grace, is_alarm, stable_since
from healer.core.incident import Incident, Refusal, Refused
from healer.core.maintenance import awaited, pause_on, silence_on
from healer.core.model import NOTHING, Health, Resource, Snapshot, Symptom
from healer.core.planner import Plan
from healer.core.policy import Contested, Mode, Policy
from healer.core.repair import Recipe
from healer.core.state import State

SOON = timedelta(seconds=5)
"""For what an event will announce anyway; the look again is only the net under it."""
LATER = timedelta(seconds=30)
MUCH_LATER = timedelta(minutes=10)
CLOCKS_APART = timedelta(seconds=5)
"""Allowance between the engine's clock, which counts whole seconds, and ours."""
UNOWNED = Policy("")
"""By its defaults is treated what nobody owns and a person wants healed."""


@dataclass(frozen=True, slots=True)
class Case:
    """All that the gates may look at. The plan is there only once the stack has been inspected."""

    state: State
    incident: Incident
    policy: Policy | None
    recipe: Recipe
    now: datetime
    plan: Plan | None = None

    @property
    def snapshot(self) -> Snapshot | None:
        return self.state.snapshots.get(self.incident.target.root)

    @property
    def resource(self) -> Resource | None:
        """What stands at the target now."""
        return self.snapshot.resources.get(self.incident.target.path) if self.snapshot else None

    @property
    def settings(self) -> Policy:
        return self.policy or UNOWNED

    def refused(self, reason: Refusal, sentence: str, after: timedelta | datetime) -> Refused:
        return Refused(reason, sentence, after if isinstance(after, datetime) else self.now + after)


class Stage(Enum):
    ADMISSION = auto()
    """Before anything is called, from what is known."""
    INSPECTED = auto()
    """Again, with facts read a moment ago."""


_BOTH = frozenset(Stage)
_FRESH = frozenset({Stage.INSPECTED})
_EARLY = frozenset({Stage.ADMISSION})


@dataclass(frozen=True, slots=True)
class Gate:
    reason: Refusal
    judge: Callable[[Case], Refused | None]
    stages: frozenset[Stage] = _BOTH
    override: bool = False
    """Whether an operator's request passes it; the request then names it."""
    always: bool = False
    """Whether it also applies to what touches nothing, such as telling somebody."""


def refusal(case: Case, stage: Stage) -> tuple[Refused | None, tuple[Refusal, ...]]:
    """The first refusal, if any, and the gates that an operator's request overrode on the way."""
    overridden: list[Refusal] = []
    for gate in GATES:
        if stage not in gate.stages or (not gate.always and not case.recipe.heals):
            continue
        refused = gate.judge(case)
        if refused is None:
            continue
        if not (gate.override and case.incident.request):
            return refused, tuple(overridden)
        overridden.append(gate.reason)
    return None, tuple(overridden)


def _stopped(case: Case) -> Refused | None:
    why = case.state.stopped
    return case.refused(Refusal.STOPPED, why, LATER) if why is not None else None


def _silenced(case: Case) -> Refused | None:
    return awaited(case.state, case.now) or silence_on(case.state, case.incident, case.now)


def _policy(case: Case) -> Refused | None:
    if case.recipe.steps and (case.policy is not None or case.incident.request is not None):
        return None
    return case.refused(
        Refusal.NO_POLICY, f"policy {case.incident.policy!r} does not say what to do any more", MUCH_LATER
    )


def _contested(case: Case) -> Refused | None:
    match case.state.owners.get(case.incident.target):
        case Contested(names):
            return case.refused(
                Refusal.CONTESTED, f"more than one policy owns it: {', '.join(names)}", MUCH_LATER
            )
        case _:
            return None


def _reachable(case: Case) -> Refused | None:
    why = case.state.unreachable.get(case.incident.target.root.cloud)
    if why is None and case.snapshot is not None:
        return None
    return case.refused(Refusal.CLOUD_UNREACHABLE, why or "the stack has not been read yet", LATER)


def _repair_in_progress(case: Case) -> Refused | None:
    repair = case.state.repair_of(case.incident.target.root)
    if repair is None:
        return None
    return case.refused(
        Refusal.REPAIR_IN_PROGRESS, f"repair {repair.id} of this stack is at {repair.step}", SOON
    )


def _current(case: Case) -> Refused | None:
    resource = case.resource
    if resource is not None and resource.incarnation == case.incident.current:
        return None
    return case.refused(Refusal.STALE_INCARNATION, "what failed is not there any more", SOON)


def _confirmed(case: Case) -> Refused | None:
    incident = case.incident
    tracks = case.state.tracks.get(incident.target, NOTHING)
    if case.resource is not None and not case.resource.is_failed:
        # The engine's own finding, of which the latest reading knows nothing any more.
        tracks = {s: track for s, track in tracks.items() if track.symptom is not Symptom.ENGINE_FAILED}
    certain = incident.source.startswith("operator:") or not incident.current.physical_id
    if certain or confirmed(tracks, case.settings.detect.fail_after):
        return None
    if not is_alarm(incident.source) and not any(is_alarm(s) and tracks[s].failing for s in tracks):
        return case.refused(Refusal.UNCONFIRMED, "it is not known yet whether it still fails", SOON)
    if incident.cause_over_at is None:
        return None  # A judged word stands until it is taken back, also over a restart.
    if stable_since({source: track for source, track in tracks.items() if not is_alarm(source)}):
        sentence = "it is seen healthy now, and its alarm is older than the end of what caused it"
        return case.refused(Refusal.UNCONFIRMED, sentence, LATER)
    until = incident.cause_over_at + case.settings.verify.within
    sentence = (
        f"its alarm is older than the end of what caused it, and counts if it stands at {until:%H:%M:%S} UTC"
    )
    return case.refused(Refusal.UNCONFIRMED, sentence, until) if case.now < until else None


def _idle(case: Case) -> Refused | None:
    if case.snapshot is None or not case.snapshot.busy:
        return None
    names = ", ".join(case.snapshot.busy)
    return case.refused(Refusal.STACK_BUSY, f"an update by somebody else is in progress: {names}", SOON)


def _grace(case: Case) -> Refused | None:
    resource = case.resource
    last = case.state.last_attempt([case.incident.target])
    healed_at = last.ended_at if last and last.succeeded else None
    moments = [resource.created_at if resource else None, healed_at]
    began = max((moment for moment in moments if moment is not None), default=None)
    grace = case.settings.detect.grace
    tracks = case.state.tracks.get(case.incident.target, NOTHING)
    empty = not case.incident.current.physical_id  # What is not there is not starting.
    if began is None or empty or not in_grace(tracks, began, grace, case.now):
        return None
    return case.refused(Refusal.STARTUP_GRACE, "it may still be starting", began + grace)


def _cause(case: Case) -> Refused | None:
    if case.incident.symptom.explains_itself or is_gone(case.resource):
        return None
    sentence = cause_of(case.state, case.incident.target, case.now)
    return case.refused(Refusal.UPSTREAM_FAILING, sentence, SOON) if sentence else None


def is_gone(resource: Resource | None) -> bool:
    """Whether the engine itself knows that the thing is not there: no failing requirement explains that."""
    return (
        resource is not None
        and resource.condition is Health.UNHEALTHY
        and resource.condition_symptom.explains_itself
    )


def _cooldown(case: Case) -> Refused | None:
    cooldown = case.settings.guardrails.cooldown
    last = case.state.last_attempt([case.incident.target])
    if last is None or last.incident == case.incident.id:
        return None  # The next rung of the same ladder is no new attempt at something healed.
    ready = (last.ended_at or last.began_at) + cooldown
    if case.now >= ready:
        return None
    return case.refused(Refusal.COOLDOWN, f"it was healed already, at {last.began_at:%H:%M:%S} UTC", ready)


def _attempts(case: Case) -> Refused | None:
    limit = case.settings.guardrails.attempts
    made = case.state.attempts_on(case.incident.target, case.now - limit.within)
    if len(made) < limit.max:
        return None
    began = sorted(attempt.began_at for attempt in made)
    sentence = f"{len(made)} attempts were made since {began[0]:%d %b %H:%M} UTC"
    return case.refused(Refusal.ATTEMPTS, sentence, began[-limit.max] + limit.within)


def _own_changes(case: Case) -> Refused | None:
    snapshot = case.snapshot
    if snapshot is None or not snapshot.half_done:
        return None
    ours = case.state.last_attempt_in(snapshot.root)
    explained = ours is not None and ours.ended_at is not None and not ours.succeeded
    changed = snapshot.updated_at or snapshot.created_at
    if explained and ours and ours.ended_at and (changed is None or changed <= ours.ended_at + CLOCKS_APART):
        return None
    return case.refused(
        Refusal.FOREIGN_CHANGES,
        f"{snapshot.root} is {snapshot.status}: its last update failed and was not ours, and healing would finish it",
        LATER,
    )


def _blast_radius(case: Case) -> Refused | None:
    if case.plan is None or case.snapshot is None:
        return None
    bound = case.settings.guardrails.blast_radius
    allowed = case.snapshot.rebuildable if bound.may_replace is None else bound.may_replace
    given_up = [(c.path, c.type) for c in case.plan.condemned] + [
        (t.path, t.type) for t in case.plan.collateral
    ]
    forbidden = sorted({f"{path} ({kind})" for path, kind in given_up if kind not in allowed})
    if forbidden:
        return case.refused(
            Refusal.BLAST_RADIUS,
            f"it would replace {', '.join(forbidden)}, which may_replace does not name",
            MUCH_LATER,
        )
    if len(case.plan.collateral) > bound.collateral:
        names = ", ".join(f"{t.path} ({t.via})" for t in case.plan.collateral)
        return case.refused(Refusal.BLAST_RADIUS, f"it would also replace {names}", MUCH_LATER)
    return None


def _mode(case: Case) -> Refused | None:
    if case.policy is not None and case.policy.mode is Mode.AUTO:
        return None
    return case.refused(Refusal.OBSERVE, "the policy's mode is observe", MUCH_LATER)


GATES: tuple[Gate, ...] = (
    Gate(Refusal.STOPPED, _stopped),
    Gate(Refusal.PAUSED, lambda case: pause_on(case.state, case.incident, case.now), always=True),
    Gate(Refusal.SILENCED, _silenced, always=True),
    Gate(Refusal.NO_POLICY, _policy, always=True),
    Gate(Refusal.CONTESTED, _contested, always=True),
    Gate(Refusal.CLOUD_UNREACHABLE, _reachable),
    Gate(Refusal.STALE_INCARNATION, _current),
    Gate(Refusal.UNCONFIRMED, _confirmed, override=True),
    Gate(Refusal.STACK_BUSY, _idle, stages=_FRESH),
    Gate(Refusal.STARTUP_GRACE, _grace, override=True),
    Gate(Refusal.UPSTREAM_FAILING, _cause),
    Gate(Refusal.COOLDOWN, _cooldown, override=True),
    Gate(Refusal.ATTEMPTS, _attempts, override=True),
    Gate(Refusal.REPAIR_IN_PROGRESS, _repair_in_progress, stages=_EARLY, always=True),
    Gate(Refusal.FOREIGN_CHANGES, _own_changes, stages=_FRESH),
    Gate(Refusal.BLAST_RADIUS, _blast_radius, stages=_FRESH),
    Gate(Refusal.OBSERVE, _mode, stages=_FRESH, override=True),
)
"""Cheap ones first. All fail closed: what a gate cannot know refuses, except grace, which needs a known beginning."""
