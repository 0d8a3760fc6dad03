"""What a step's end means for its repair, and what a repair's end means for its incidents."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from healer.core.change import AttemptChanged, Pause, RepairChanged
from healer.core.event import Paused, Reported, Requested
from healer.core.incident import Incident, IncidentState, Outcome
from healer.core.model import StackState, Target
from healer.core.policy import Remediation
from healer.core.progress import WITHDRAWN
from healer.core.repair import Repair
from healer.core.step import NATURE, Done, Failed, Failure, Inspected, Pending, Previewed, Read, Step
from tests.core.driven import POLICY, REPLACE, SHOP, Driven, replaced, shop, tier
from tests.core.test_causes_and_symptoms import outcomes
from tests.core.test_guardrails import failing

TWICE = replace(POLICY, remediations=(POLICY.remediations[0], *POLICY.remediations))


def incident(driven: Driven, path: str = "db") -> Incident:
    found = driven.incident(path)
    assert found is not None
    return found


def repair(driven: Driven) -> Repair:
    assert driven.out
    return driven.out[0].repair


def at(step: Step, policy: object = POLICY) -> Driven:
    """A repair of db whose present step is out."""
    driven = failing(Driven(policy))  # type: ignore[arg-type]
    driven.carry_out(step)
    assert repair(driven).step is step
    return driven


def marks_are_left(driven: Driven) -> bool:
    """Whether a repair that had begun to mark ended without taking the marks back."""
    ended = [c.repair for c in driven.changes if isinstance(c, RepairChanged) and not c.repair.is_open]
    return any(
        Step.MARK in r.began and r.ending and r.ending.failure and Step.UNMARK not in r.began for r in ended
    )


def test_a_repair_goes_through_its_steps_in_order_and_each_intent_is_stored_before_it() -> None:
    driven = failing(Driven())
    done = []
    while driven.out:
        present = repair(driven)
        stored = [c.repair for c in driven.changes if isinstance(c, RepairChanged)]
        assert present in stored
        done.append(present.step)
        before = len(driven.out)
        driven.carry_out_one()
        assert len(driven.out) <= before
    assert tuple(done) == REPLACE.steps
    assert incident(driven).state is IncidentState.VERIFYING


def test_a_late_answer_changes_nothing() -> None:
    driven = at(Step.MARK)
    present = repair(driven)
    before = len(driven.changes)
    driven.happen(Reported(present.id, present.attempt - 1, Failed(Failure.GONE)))
    driven.happen(Reported("nobody", 1, Failed(Failure.GONE)))
    assert len(driven.changes) == before


def test_what_is_pending_is_looked_at_again_and_its_progress_is_told_once() -> None:
    driven = at(Step.FOLLOW)
    driven.report(Pending(timedelta(seconds=2), "creating db", 1, 3))
    told = [c.note for c in driven.changes if isinstance(c, RepairChanged) and c.kind == "progressed"]
    assert told == [{"step": Step.FOLLOW, "progress": "creating db (1 of 3)"}]
    driven.pass_time(2)
    driven.report(Pending(timedelta(seconds=2), "creating db", 1, 3))
    driven.pass_time(2)
    driven.report(Pending(timedelta(seconds=2)))
    driven.pass_time(2)
    assert driven.out[0].resumed
    assert len([c for c in driven.changes if isinstance(c, RepairChanged) and c.kind == "progressed"]) == 1
    driven.carry_out()
    assert incident(driven).state is IncidentState.VERIFYING


ACTING = (Step.MARK, Step.PREVIEW, Step.CONVERGE, Step.FOLLOW, Step.PROVE)


@pytest.mark.parametrize(
    ("step", "failure"),
    [(s, f) for s in ACTING for f in sorted(NATURE[s].failures - {Failure.UNREACHABLE, Failure.NOT_BEGUN})],
)
def test_every_failure_that_ends_a_step_takes_the_marks_back_and_holds_or_climbs(
    step: Step, failure: Failure
) -> None:
    driven = at(step, TWICE)
    acted = step in {Step.FOLLOW, Step.PROVE}
    driven.report(Failed(failure, "because"))
    if (step, failure) == (Step.FOLLOW, Failure.EXPIRED):
        driven.carry_out(Step.FOLLOW)
        driven.report(Failed(failure, "because"))
        acted = True
    assert repair(driven).step is Step.UNMARK
    driven.carry_out(Step.INSPECT)
    assert not marks_are_left(driven)
    found = incident(driven)
    if acted or failure is Failure.REJECTED or (step is Step.CONVERGE and failure is Failure.EXPIRED):
        assert found.rung == 1
    else:
        assert found.rung == 0
        assert found.state is IncidentState.HELD
        assert found.refusal is not None
        assert found.refusal.reason is WITHDRAWN[failure][0]
        assert not driven.state.attempts


@pytest.mark.parametrize("failure", sorted(NATURE[Step.INSPECT].failures))
def test_a_stack_that_cannot_be_inspected_holds_its_incidents(failure: Failure) -> None:
    driven = failing(Driven())
    driven.report(Failed(failure, "because"))
    assert incident(driven).state is IncidentState.HELD
    assert driven.held("db") == WITHDRAWN[failure][0]
    assert not driven.state.repairs


def test_no_answer_is_asked_for_again_with_patience_and_until_the_deadline() -> None:
    driven = at(Step.CONVERGE, TWICE)
    waits = []
    while repair(driven).step is Step.CONVERGE:
        driven.report(Failed(Failure.UNREACHABLE, "no route"))
        if driven.out:
            break
        present = next(iter(driven.state.repairs.values()))
        assert present.wake_at is not None
        waits.append((present.wake_at - driven.now).total_seconds())
        driven.pass_time(waits[-1])
        assert driven.out[0].resumed or driven.out[0].repair.step is Step.UNMARK
    assert waits[:7] == [1, 2, 4, 8, 16, 32, 60]
    assert repair(driven).step is Step.UNMARK
    driven.carry_out(Step.INSPECT)
    # Whether the update was begun is unknown: that is an attempt.
    assert incident(driven).rung == 1


def test_the_engine_s_own_word_when_to_come_back_is_kept() -> None:
    driven = at(Step.MARK)
    driven.report(Failed(Failure.UNREACHABLE, "later", timedelta(seconds=17)))
    (present,) = driven.state.repairs.values()
    assert present.wake_at == driven.now + timedelta(seconds=17)


def test_a_deadline_that_passes_while_it_waits_ends_it() -> None:
    driven = at(Step.PREVIEW)
    driven.report(Failed(Failure.UNREACHABLE, "no route", timedelta(minutes=10)))
    driven.pass_time(600)
    assert repair(driven).step is Step.UNMARK
    assert repair(driven).ending is not None


def test_taking_marks_back_is_tried_until_it_is_certain() -> None:
    driven = at(Step.MARK)
    driven.report(Failed(Failure.BUSY, "busy"))
    for _ in range(20):
        driven.report(Failed(Failure.UNREACHABLE, "no route"))
        driven.pass_time(60)
        assert repair(driven).step is Step.UNMARK
    driven.report(Failed(Failure.STALE, "it is not there any more"))
    assert driven.held("db") == "stack_busy"


def test_a_preview_that_moves_only_what_is_marked_goes_on_and_one_that_moves_more_unwinds() -> None:
    driven = failing(Driven())
    driven.report(Done(Inspected(shop(), {SHOP.id: frozenset({"web"})})))
    driven.carry_out(Step.PREVIEW)
    driven.report(Done(Previewed({SHOP.id: frozenset({"db", "web"})})))
    assert repair(driven).step is Step.CONVERGE
    moved = at(Step.PREVIEW)
    moved.report(Done(Previewed({SHOP.id: frozenset({"db", "api"})})))
    assert repair(moved).step is Step.UNMARK
    moved.carry_out()
    assert moved.held("db") == "preview_moved"


def test_an_update_that_passed_the_mark_by_is_asked_for_again_from_the_mark_on() -> None:
    driven = at(Step.PROVE)
    left = replace(tier("db", "db-1"), action="CHECK", state=StackState.FAILED)
    driven.report(Done(Read(shop(db=left), {})))
    assert repair(driven).step is Step.MARK
    driven.carry_out()
    assert incident(driven).state is IncidentState.VERIFYING
    assert len(driven.state.attempts) == 1


def test_what_was_replaced_beyond_the_plan_is_told() -> None:
    driven = at(Step.PROVE)
    driven.report(Done(Read(replaced(shop(), "db", "web"), {})))
    assert [
        c.note["what"] for c in driven.changes if isinstance(c, RepairChanged) and c.kind == "surprised"
    ] == [["web was replaced and the plan did not say so"]]
    assert incident(driven).state is IncidentState.VERIFYING


@pytest.mark.parametrize("step", [Step.MARK, Step.CONVERGE])
def test_a_pause_between_two_steps_stops_before_the_next_call(step: Step) -> None:
    driven = at(Step.INSPECT if step is Step.MARK else Step.PREVIEW)
    driven.happen(Paused(Pause("p", "all", "alice", "wait", driven.now)))
    driven.carry_out_one()
    assert not driven.out or repair(driven).step is Step.UNMARK
    driven.carry_out()
    assert driven.held("db") == ("paused" if step is Step.MARK else "stopped")
    assert not driven.state.attempts
    assert not marks_are_left(driven)


def test_what_came_back_before_the_update_is_not_replaced() -> None:
    driven = at(Step.PREVIEW)
    driven.look(True, "db")
    driven.carry_out()
    assert outcomes(driven, "db") == [Outcome.RECOVERED]
    assert not driven.state.attempts
    assert not marks_are_left(driven)


def test_of_two_that_were_to_be_healed_together_the_other_is_looked_at_again() -> None:
    driven = Driven()
    driven.read(shop(cache=tier("cache", "cache-1")))
    driven.look(False, "db", "cache")
    driven.pass_time(1)
    driven.carry_out(Step.PREVIEW)
    assert len(repair(driven).members) == 2
    driven.look(True, "cache")
    driven.carry_out_one()
    driven.carry_out(Step.INSPECT)
    assert outcomes(driven, "cache") == [Outcome.RECOVERED]
    assert driven.held("db") == "unconfirmed"
    driven.pass_time(10)
    driven.carry_out()
    assert incident(driven).state is IncidentState.VERIFYING


def test_a_recovery_that_arrives_while_the_update_is_out_lets_it_end_and_only_later_looks_count() -> None:
    driven = at(Step.FOLLOW)
    driven.look(True, "db", times=5)
    assert incident(driven).state is IncidentState.REMEDIATING
    driven.carry_out()
    assert incident(driven).state is IncidentState.VERIFYING
    driven.pass_time(1)
    assert incident(driven).state is IncidentState.VERIFYING
    driven.look(True, "db", times=4)
    driven.pass_time(1)
    assert outcomes(driven, "db") == [Outcome.HEALED]


def test_an_attempt_is_counted_from_the_intent_and_closed_with_its_end() -> None:
    driven = at(Step.CONVERGE)
    (attempt,) = driven.state.attempts.values()
    assert (attempt.physical_id, attempt.ended_at, attempt.succeeded) == ("db-1", None, False)
    driven.carry_out()
    (attempt,) = driven.state.attempts.values()
    assert (attempt.ended_at, attempt.succeeded) == (driven.now, True)
    assert driven.state.replaced() == {"db-1": incident(driven).target}


def test_a_call_that_was_certainly_not_carried_out_is_no_attempt() -> None:
    driven = at(Step.CONVERGE)
    driven.report(Failed(Failure.STOPPED, "STOP is there"))
    assert not driven.state.attempts
    assert [c.withdrawn for c in driven.changes if isinstance(c, AttemptChanged)][-1]


def test_the_last_rung_tells_somebody_and_then_a_person_is_needed() -> None:
    driven = at(Step.PROVE)
    driven.report(Failed(Failure.UNPROVEN, "db was not replaced"))
    driven.carry_out(Step.NOTIFY)
    assert repair(driven).step is Step.NOTIFY
    driven.report(Failed(Failure.UNREACHABLE, "the webhook is down"))
    driven.pass_time(1)
    driven.carry_out()
    assert incident(driven).state is IncidentState.EXHAUSTED


def test_somebody_who_cannot_be_told_is_no_reason_to_go_on_for_ever() -> None:
    quick = replace(POLICY, remediations=(Remediation("notify", timedelta(seconds=5)),))
    driven = failing(Driven(quick))
    driven.report(Failed(Failure.REJECTED, "404"))
    assert incident(driven).state is IncidentState.EXHAUSTED


def test_an_operator_s_repair_goes_on_though_the_thing_answers() -> None:
    driven = Driven()
    driven.look(True, "db", times=3)
    driven.happen(Requested(Target(SHOP, "db"), "alice", "it smells"))
    driven.carry_out()
    assert incident(driven).state is IncidentState.VERIFYING


def test_an_answer_that_proves_nothing_and_comes_after_the_deadline_is_the_end() -> None:
    driven = at(Step.PREVIEW)
    driven.now += timedelta(minutes=10)
    driven.report(Failed(Failure.UNREACHABLE, "timed out"))
    assert repair(driven).step is Step.UNMARK
    assert repair(driven).ending is not None
    assert "out of time at preview: timed out" in str(repair(driven).ending)


@pytest.mark.parametrize("step", [Step.MARK, Step.CONVERGE])
def test_a_pause_that_came_between_two_tries_lets_the_second_one_only_look(step: Step) -> None:
    driven = at(step)
    driven.report(Failed(Failure.UNREACHABLE, "silence"))
    driven.happen(Paused(Pause("p", "all", "alice", "wait", driven.now)))
    driven.pass_time(1)
    (command,) = driven.out
    assert command.resumed
    assert command.objection is not None
    assert (command.objection.failure, command.objection.detail) == (
        Failure.STOPPED,
        "alice paused all: wait",
    )


def test_a_pause_that_came_before_a_restart_lets_the_new_daemon_only_look() -> None:
    driven = at(Step.MARK)
    driven.happen(Paused(Pause("p", "all", "alice", "wait", driven.now)))
    driven.begin()
    (command,) = driven.out
    assert command.objection is not None
    driven.report(command.objection)
    assert repair(driven).step is Step.UNMARK
    assert driven.out[0].objection is None


def test_what_is_read_while_somebody_else_updates_the_stack_proves_nothing() -> None:
    driven = at(Step.PROVE, TWICE)
    busy = replace(shop(), busy=("shop",), state=StackState.IN_PROGRESS, action="UPDATE")
    driven.report(Done(Read(busy, {})))
    assert not driven.out
    driven.pass_time(1)
    assert (repair(driven).step, incident(driven).rung) == (Step.PROVE, 0)
    driven.carry_out()
    assert incident(driven).state is IncidentState.VERIFYING


def test_an_alarm_is_not_taken_back_by_a_probe_while_its_repair_is_under_way_either() -> None:
    """Also not after a restart, when of the alarm there is only the incident that it opened."""
    driven = Driven()
    driven.alarm("db")
    driven.pass_time(1)
    driven.carry_out(Step.PREVIEW)
    driven.begin()
    driven.look(True, "db", times=5)
    driven.carry_out()
    assert incident(driven).state is IncidentState.VERIFYING
