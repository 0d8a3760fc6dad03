"""What must hold after everything that happens, whatever it was; in every test that plays by the book."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime

from healer.core.change import IncidentChanged, RepairChanged
from healer.core.detector import Standing, standing
from healer.core.event import Event, Reported, Started, Woken
from healer.core.incident import WAITING, Incident, IncidentState, Outcome
from healer.core.kernel import Decision
from healer.core.maintenance import put_aside
from healer.core.model import Target
from healer.core.planner import upstream
from healer.core.policy import Owned
from healer.core.repair import Repair
from healer.core.state import State
from healer.core.step import NATURE, Failure, Step
from healer.core.turn import Perform

SILENT = (IncidentState.HELD, IncidentState.WOULD_HEAL)


@dataclass
class Witness:
    """Remembers what it has seen, for what must never happen twice, or never after."""

    closed: set[str] = field(default_factory=set)
    """Ids of incidents and repairs."""
    let_go: set[Target] = field(default_factory=set)
    """What people have released and has not been healthy since."""
    stored: dict[str, Repair] = field(default_factory=dict)
    """What the store has of each repair."""
    up: bool = False
    """A daemon is up from the moment at which it has taken up what was left to it."""
    counted: dict[str, int] = field(default_factory=dict)
    """The attempt of each repair that was commanded last."""

    def saw(
        self, event: Event, decision: Decision, state: State, out: Collection[Perform], now: datetime
    ) -> None:
        """The kernel has decided. `out`: commands that nobody has answered yet, these among them."""
        if isinstance(event, Started):
            self.up = True
            self.counted.clear()  # Nobody is left who could answer to what the last daemon asked for.
        for change in decision.changes:
            if isinstance(change, IncidentChanged):
                self._incident(change, state)
            elif isinstance(change, RepairChanged):
                self._repair(change)
        for command in decision.commands:
            self._command(command, decision, state, now)
        self._state(state, out)
        self._nothing_is_missed(state)
        if isinstance(event, Woken):
            self._has_looked(state, now)

    def _incident(self, change: IncidentChanged, state: State) -> None:
        incident = change.incident
        assert incident.id not in self.closed, f"{change.kind} after it was closed"
        if incident.state in SILENT:
            assert incident.refusal is not None, incident
            assert incident.refusal.sentence, incident
            later = incident.refusal.look_again > change.at or change.kind not in {"held", "would_heal"}
            assert later, f"it is never looked at again: {incident.refusal}"
        if change.kind == "admitted":
            self._admitted(incident, state)
        if incident.state is IncidentState.CLOSED:
            assert incident.outcome is not None
            self.closed.add(incident.id)
            if incident.outcome is Outcome.RELEASED:
                self.let_go.add(incident.target)

    def _admitted(self, incident: Incident, state: State) -> None:
        """The cause before the symptom, but for what does not exist at all."""
        snapshot = state.snapshots.get(incident.target.root)
        heals = incident.plan is not None
        if snapshot is None or not heals or incident.symptom.explains_itself:
            return
        required = upstream(snapshot, incident.target.path)
        causes = [i for i in state.incidents_of(incident.target.root) if i.target.path in required]
        assert not causes, f"{incident.target} is healed before {causes[0].target}"

    def _repair(self, change: RepairChanged) -> None:
        repair = change.repair
        assert repair.id not in self.closed, f"{change.kind} after it was closed"
        self.stored[repair.id] = repair
        if not repair.is_open:
            self.closed.add(repair.id)
            if Step.MARK in repair.began and (repair.ending and repair.ending.failure):
                assert Step.UNMARK in repair.began, f"its marks are left: {repair}"

    def _command(self, command: Perform, decision: Decision, state: State, now: datetime) -> None:
        repair, step = command.repair, command.repair.step
        assert repair.id not in self.closed, "a repair that is over goes on"
        assert state.repairs.get(repair.id) == repair, "what is commanded is not what is remembered"
        known = self.stored[repair.id]
        assert known.step is step, "the intent is not stored"
        assert step in known.began, "the intent is not stored"
        if not command.resumed:
            assert known == repair, "a first try is stored to the letter"
            assert any(isinstance(c, RepairChanged) and c.repair == repair for c in decision.changes)
        assert repair.attempt > self.counted.get(repair.id, 0), "attempts must rise"
        self.counted[repair.id] = repair.attempt
        if NATURE[step].mutates and step is not Step.UNMARK:
            for incident in command.incidents:
                if put_aside(state, incident, now) is not None:
                    assert command.objection is not None, "it is paused"
                    assert command.objection.failure in {Failure.STOPPED, Failure.CANCELLED}
                assert incident.state is IncidentState.REMEDIATING
                assert incident.repair == repair.id
        if step in {Step.CONVERGE, Step.POWER}:
            begun = {a.incident for a in state.attempts.values() if a.id.startswith(f"{repair.id}/")}
            assert {i.id for i in command.incidents} <= begun, "an attempt that is not counted"
        for one in repair.plan.condemned if repair.plan and step is Step.MARK else ():
            about = [i for i in command.incidents if i.target.path == one.path]
            assert [i.current for i in about] == [one.incarnation], "what is marked is not what failed"

    def _state(self, state: State, out: Collection[Perform]) -> None:
        in_hand = {i for repair in state.repairs.values() for i in repair.members}
        targets = [incident.target for incident in state.incidents.values()]
        assert len(set(targets)) == len(targets), "two incidents of one target"
        roots = [repair.root for repair in state.repairs.values()]
        assert len(set(roots)) == len(roots), "two repairs of one stack"
        for incident in state.incidents.values():
            match incident.state:
                case IncidentState.REMEDIATING:
                    assert incident.id in state.repairs[str(incident.repair)].members
                case IncidentState.EXHAUSTED:
                    assert incident.wake_at is None
                case IncidentState.CLOSED:
                    raise AssertionError("a closed one is kept")
                case _:
                    assert incident.wake_at is not None or incident.id in in_hand, f"forgotten: {incident}"
        asked = [command.repair.id for command in out]
        assert len(set(asked)) == len(asked), "a repair does two things at once"
        for repair in state.repairs.values():
            assert repair.is_open
            waits = repair.wake_at is not None
            assert not self.up or (repair.id in asked) != waits, f"forgotten: {repair.step} of {repair.id}"

    def _nothing_is_missed(self, state: State) -> None:
        """Whatever is known to fail and is looked after has an incident, unless a person has let go of it."""
        for target, tracks in state.tracks.items():
            if standing(tracks) is not Standing.FAILING:
                self.let_go.discard(target)
            elif isinstance(state.owners.get(target), Owned) and target not in self.let_go:
                assert state.incident_of(target) is not None, f"{target} fails, and nobody minds"

    def _has_looked(self, state: State, now: datetime) -> None:
        """Whatever was due was looked at, and is put off: else it would be woken for again and again."""
        for repair in state.repairs.values():
            assert repair.wake_at is None or repair.wake_at > now
        for incident in state.incidents.values():
            if incident.state in {*WAITING, IncidentState.VERIFYING} and incident.refusal is not None:
                in_hand = any(incident.id in repair.members for repair in state.repairs.values())
                assert in_hand or incident.wake_at is None or incident.wake_at > now, incident


def changes_nothing(event: Event, decision: Decision) -> None:
    """For what comes too late, or too early."""
    assert isinstance(event, Reported | Woken)
    assert not decision.changes
    assert not decision.commands
