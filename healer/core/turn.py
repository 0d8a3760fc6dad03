"""One turn of the kernel: the state, the moment, and what has been changed and commanded so far."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from healer.core.change import (
    AlarmOutcome,
    AlarmsSettled,
    Attempt,
    AttemptChanged,
    Change,
    IncidentChanged,
    RepairChanged,
)
from healer.core.detector import forget, is_alarm
from healer.core.guardrails import UNOWNED, Case
from healer.core.ids import Ids
from healer.core.incident import (
    WAITING,
    Closed,
    Incident,
    IncidentEvent,
    IncidentState,
    Outcome,
    Refusal,
    advance,
)
from healer.core.model import NOTHING, Root, Target
from healer.core.planner import Plan, upstream
from healer.core.policy import Remediation
from healer.core.repair import NO_RECIPE, Recipe, Repair
from healer.core.state import State
from healer.core.step import Failed


@dataclass(frozen=True, slots=True)
class Perform:
    """Perform the repair's present step; the intent is stored by then. `resumed`: look first, it may be done."""

    repair: Repair
    incidents: tuple[Incident, ...]
    resumed: bool = False
    notifier: str = ""
    """For `notify`: which one; empty is every one that is configured."""
    objection: Failed | None = None
    """Why it may only be looked whether it is done, and it may not be performed."""


Command = Perform


@dataclass(slots=True)
class Turn:
    state: State
    ids: Ids
    now: datetime
    recipes: Mapping[str, Recipe]
    changes: list[Change] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    to_consider: dict[Root, set[Refusal]] = field(default_factory=dict)
    """Root stacks to look at again at the end of the turn, with the refusals that may no longer hold."""

    def keep(self, incident: Incident, kind: str, note: Mapping[str, Any] = NOTHING) -> Incident:
        """The incident as it is now; a closed one leaves the state."""
        if incident.state is IncidentState.CLOSED:
            self.state.incidents.pop(incident.id, None)
        else:
            self.state.incidents[incident.id] = incident
        self.changes.append(IncidentChanged(self.now, kind, incident, note))
        return incident

    def advance(
        self, incident: Incident, event: IncidentEvent, kind: str, note: Mapping[str, Any] = NOTHING
    ) -> Incident:
        return self.keep(advance(incident, event), kind, note)

    def wake_incident(self, incident: Incident, at: datetime) -> None:
        """Only its next look moves: no news, nothing to keep."""
        self.state.incidents[incident.id] = replace(incident, wake_at=at)

    def close(self, incident: Incident, outcome: Outcome, note: Mapping[str, Any] = NOTHING) -> None:
        self.advance(incident, Closed(outcome, self.now), "closed", {"outcome": outcome, **note})
        self._free(incident.target)
        self.reconsider(incident.target.root, Refusal.UPSTREAM_FAILING)

    def _free(self, cause: Target) -> None:
        """What failed while this did may have failed by it: it must be seen failing anew before anything is done."""
        snapshot = self.state.snapshots.get(cause.root)
        for other in self.state.incidents_of(cause.root):
            if snapshot is None or cause.path not in upstream(snapshot, other.target.path):
                continue
            self.reset_tracks(other.target)
            if other.state in WAITING:
                self.keep(replace(other, cause_over_at=self.now), "freed", {"cause": cause.path})

    def reset_tracks(self, target: Target, since: datetime | None = None) -> None:
        """Forget the counts, not the failure: what is seen from now on decides, or since that moment."""
        tracks = self.state.tracks.get(target)
        if tracks:
            self.state.tracks[target] = {
                source: forget(track, since or self.now, judged=is_alarm(source))
                for source, track in tracks.items()
            }

    def reconsider(self, root: Root, *refusals: Refusal) -> None:
        """Look at what is due in this stack, and at what is held for one of these reasons, at the turn's end."""
        self.to_consider.setdefault(root, set()).update(refusals)

    def keep_repair(self, repair: Repair, kind: str, note: Mapping[str, Any] = NOTHING) -> Repair:
        if repair.is_open:
            self.state.repairs[repair.id] = repair
        else:
            self.state.repairs.pop(repair.id, None)
            self.reconsider(repair.root, Refusal.REPAIR_IN_PROGRESS)
        self.changes.append(RepairChanged(self.now, kind, repair, note))
        return repair

    def keep_attempt(self, attempt: Attempt) -> None:
        self.state.attempts[attempt.id] = attempt
        self.changes.append(AttemptChanged(self.now, attempt))

    def withdraw_attempt(self, identity: str) -> None:
        """It turned out that nothing was done: it does not count."""
        attempt = self.state.attempts.pop(identity, None)
        if attempt is not None:
            self.changes.append(AttemptChanged(self.now, attempt, withdrawn=True))

    def settle(
        self, identities: Iterable[str], outcome: AlarmOutcome, detail: str = "", incident: str | None = None
    ) -> None:
        identities = tuple(identities)
        for identity in identities:
            self.state.alarms.pop(identity, None)
        self.changes.append(AlarmsSettled(self.now, identities, outcome, detail, incident))

    def perform(self, repair: Repair, *, resumed: bool = False, objection: Failed | None = None) -> None:
        members = self.members(repair)
        rung = self.rung(members[0]) if members else None
        notifier = rung.notifier if rung else ""
        self.commands.append(Perform(repair, members, resumed, notifier, objection))

    def members(self, repair: Repair) -> tuple[Incident, ...]:
        """The repair's incidents that are still open."""
        return tuple(self.state.incidents[i] for i in repair.members if i in self.state.incidents)

    def case(self, incident: Incident, plan: Plan | None = None) -> Case:
        policy = self.state.policy(incident.policy)
        rung = self.rung(incident)
        recipe = self.recipes.get(rung.action, NO_RECIPE) if rung else NO_RECIPE
        return Case(self.state, incident, policy, recipe, self.now, plan)

    def rung(self, incident: Incident) -> Remediation | None:
        """The incident's rung of its policy's ladder; None where the ladder has become shorter since."""
        ladder = (self.state.policy(incident.policy) or UNOWNED).remediations
        return ladder[incident.rung] if incident.rung < len(ladder) else None
