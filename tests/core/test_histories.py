"""Histories whose next event is drawn from what may happen next: the invariants hold after each of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from healer.core.change import IncidentChanged, Pause, RepairChanged
from healer.core.event import (
    Listed,
    Paused,
    Released,
    Reported,
    Requested,
    Resumed,
    Silenced,
    Unpaused,
    Unreachable,
)
from healer.core.incident import IncidentState
from healer.core.model import AlarmStatus, Selector, Target
from healer.core.policy import Attempts, Guardrails
from healer.core.silence import Silence
from healer.core.step import NATURE, Done, Failed, Failure, Pending, Step
from healer.core.turn import Perform
from tests.core.driven import POLICY, SHOP, Driven, replaced

PATHS = ("db", "api", "web")
PATIENT = replace(
    POLICY,
    remediations=(POLICY.remediations[0], *POLICY.remediations),
    guardrails=Guardrails(Attempts(max=20), cooldown=timedelta(seconds=5)),
)
paths = st.sampled_from(PATHS)
NO_WAKE_UP = {IncidentState.REMEDIATING, IncidentState.EXHAUSTED}


class Histories(RuleBasedStateMachine):
    """One stack, one daemon, and everybody who may have a hand in it."""

    def __init__(self) -> None:
        super().__init__()
        self.driven = Driven(PATIENT)
        self.seen = 0
        self.marked: dict[str, str] = {}
        """Path → id of the repair that marked it, in the world outside."""
        self.converged: list[tuple[str, str]] = []
        """(path, physical id) of each condemned resource of each update that was carried out."""

    # What may happen.

    @rule(path=paths, healthy=st.booleans(), times=st.integers(1, 4))
    def look(self, path: str, healthy: bool, times: int) -> None:
        self.driven.look(healthy, path, times=times)

    @rule(path=paths, status=st.sampled_from(AlarmStatus))
    def alarm(self, path: str, status: AlarmStatus) -> None:
        self.driven.alarm(path, status=status, since=self.driven.now)

    @rule(seconds=st.sampled_from([0.5, 1, 5, 30, 400]))
    def pass_time(self, seconds: float) -> None:
        self.driven.pass_time(seconds)

    @rule(path=paths)
    def somebody_else_replaces(self, path: str) -> None:
        if not self.driven.state.repairs:
            self.marked.pop(path, None)
            self.driven.read(replaced(self.driven.there, path))

    @rule(path=paths)
    def somebody_asks(self, path: str) -> None:
        self.driven.happen(Requested(Target(SHOP, path), "alice", "now"))

    @rule()
    def somebody_pauses(self) -> None:
        self.driven.happen(Paused(Pause("p", "all", "alice", "wait", self.driven.now)))

    @precondition(lambda self: self.driven.state.pauses)
    @rule()
    def somebody_resumes(self) -> None:
        self.driven.happen(Unpaused("p", "alice"))

    @rule(path=paths, seconds=st.sampled_from([0, 5, 600]))
    def somebody_silences(self, path: str, seconds: int) -> None:
        """Or ends it: whatever was silenced before is not any more."""
        selector, until = Selector(stack="shop", resource=path), self.driven.now + timedelta(seconds=seconds)
        self.driven.happen(Silenced("am", (Silence("s", selector, until, "anna", "at work on it"),)))

    @precondition(lambda self: self.driven.state.incidents)
    @rule(data=st.data())
    def somebody_lets_go(self, data: st.DataObject) -> None:
        self.driven.happen(Released(data.draw(st.sampled_from(sorted(self.driven.state.incidents))), "alice"))

    @rule()
    def the_cloud_is_away_for_a_while(self) -> None:
        self.driven.happen(Unreachable("here", "down"))
        self.driven.pass_time(1)
        self.driven.happen(Listed("here", frozenset({SHOP})))

    @rule()
    def time_is_lost(self) -> None:
        self.driven.happen(Resumed(60))

    @rule()
    def the_daemon_dies_and_is_started_again(self) -> None:
        self.driven.begin()

    # Answers to what is out: most of them good, so that histories get somewhere.

    @precondition(lambda self: self.driven.out)
    @rule(how_many=st.integers(1, 4))
    def it_is_done(self, how_many: int) -> None:
        for _ in range(how_many):
            if self.driven.out:
                self.carried_out(self.driven.out[0])
                self.driven.carry_out_one()

    @precondition(lambda self: self.driven.out)
    @rule(data=st.data(), carried_out=st.booleans())
    def it_fails(self, data: st.DataObject, carried_out: bool) -> None:
        command = self.driven.out[0]
        failure = data.draw(st.sampled_from(sorted(NATURE[command.repair.step].failures)))
        unmarked = command.repair.step is Step.UNMARK and failure in {Failure.GONE, Failure.STALE}
        if unmarked or (carried_out and failure is Failure.UNREACHABLE):
            self.carried_out(command)  # What is not there any more bears no mark either.
        self.driven.report(Failed(failure, "because"))

    @precondition(lambda self: self.driven.out and self.driven.out[0].repair.step is Step.FOLLOW)
    @rule()
    def it_goes_on(self) -> None:
        self.driven.report(Pending(timedelta(seconds=1), "creating"))

    @precondition(lambda self: self.driven.out)
    @rule()
    def a_late_answer_comes(self) -> None:
        before = len(self.driven.changes)
        present = self.driven.out[0].repair
        self.driven.happen(Reported(present.id, present.attempt - 1, Done()))
        assert len(self.driven.changes) == before

    def carried_out(self, command: Perform) -> None:
        """What the call does in the world outside."""
        repair = command.repair
        condemned = repair.plan.condemned if repair.plan else ()
        match repair.step:
            case Step.MARK:
                for one in condemned:
                    current = self.driven.there.resources[one.path].incarnation
                    assert current == one.incarnation, "a mark names what is not there any more"
                    self.marked[one.path] = repair.id
            case Step.UNMARK:
                self.marked = {path: by for path, by in self.marked.items() if by != repair.id}
            case Step.CONVERGE:
                self.converged += [(one.path, one.incarnation.physical_id) for one in condemned]
            case Step.PROVE:
                self.marked = {path: by for path, by in self.marked.items() if by != repair.id}
            case _:
                pass

    # What must hold.

    @invariant()
    def every_incident_that_waits_will_be_looked_at_again(self) -> None:
        for incident in self.driven.state.incidents.values():
            assert incident.state is not IncidentState.CLOSED
            if incident.state not in NO_WAKE_UP and not self.is_inspected(incident.id):
                assert incident.wake_at is not None, incident

    def is_inspected(self, incident: str) -> bool:
        return any(incident in repair.members for repair in self.driven.state.repairs.values())

    @invariant()
    def a_refusal_has_a_reason_a_sentence_and_a_time(self) -> None:
        for incident in self.driven.state.incidents.values():
            if incident.state in {IncidentState.HELD, IncidentState.WOULD_HEAL}:
                assert incident.refusal is not None
                assert incident.refusal.sentence

    @invariant()
    def one_stack_has_one_repair_and_what_is_remediated_has_one(self) -> None:
        repairs = self.driven.state.repairs
        assert len({repair.root for repair in repairs.values()}) == len(repairs)
        for incident in self.driven.state.incidents.values():
            if incident.state is IncidentState.REMEDIATING:
                assert incident.repair in repairs

    @invariant()
    def every_open_repair_is_out_or_will_be_woken(self) -> None:
        out = {command.repair.id for command in self.driven.out}
        for repair in self.driven.state.repairs.values():
            assert (repair.id in out) != (repair.wake_at is not None), repair

    @invariant()
    def nothing_is_out_that_was_not_stored_before(self) -> None:
        stored: set[tuple[str, Step]] = {
            (change.repair.id, change.repair.step)
            for change in self.driven.changes
            if isinstance(change, RepairChanged)
        }
        assert all((command.repair.id, command.repair.step) in stored for command in self.driven.out)

    @invariant()
    def what_is_marked_belongs_to_a_repair_that_is_open(self) -> None:
        assert set(self.marked.values()) <= set(self.driven.state.repairs)

    @invariant()
    def an_update_was_an_attempt(self) -> None:
        attempted = {(a.target.path, a.physical_id) for a in self.driven.state.attempts.values()}
        assert set(self.converged) <= attempted

    @invariant()
    def closed_is_silent(self) -> None:
        closed: set[str] = set()
        for change in self.driven.changes:
            if isinstance(change, IncidentChanged):
                assert change.incident.id not in closed
                if change.incident.state is IncidentState.CLOSED:
                    closed.add(change.incident.id)

    def teardown(self) -> None:
        """All faults are lifted and everybody sees everything healthy: it comes to rest, and nothing stays marked."""
        driven = self.driven
        for pause in list(driven.state.pauses):
            driven.happen(Unpaused(pause, "alice"))
        driven.happen(Silenced("am", ()))
        for _ in range(200):
            while driven.out:
                self.carried_out(driven.out[0])
                driven.carry_out_one()
            if not driven.state.repairs and not driven.state.incidents:
                break
            driven.look(True, *PATHS, times=3)
            driven.alarm(*PATHS, status=AlarmStatus.CLEARED, since=driven.now)
            driven.pass_time(30)
        assert not driven.state.repairs
        assert not self.marked
        left = [i for i in driven.state.incidents.values() if i.state is not IncidentState.EXHAUSTED]
        assert not left, left


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=150,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
