"""One door: equal histories give equal decisions, and a kernel that is built anew from what was kept goes on."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from healer.core.change import Pause, PauseChanged
from healer.core.event import Observed, Paused, Released, Unpaused, Woken
from healer.core.incident import IncidentState, Outcome
from healer.core.model import Health, Observation, Symptom, Target
from healer.core.policy import Remediation
from healer.core.step import Failed, Failure, Step
from tests.core.driven import POLICY, PROBE, REPLACE, SHOP, START, Driven
from tests.core.test_causes_and_symptoms import outcomes
from tests.core.test_guardrails import failing
from tests.core.test_progress import incident, repair


def played() -> Driven:
    driven = Driven()
    driven.heal("db")
    driven.look(False, "web")
    driven.pass_time(1)
    driven.carry_out(Step.FOLLOW)
    return driven


def test_equal_histories_give_equal_decisions_to_the_last_id() -> None:
    one, other = played(), played()
    assert one.changes == other.changes
    assert one.out == other.out


def test_a_look_that_says_nothing_new_changes_nothing() -> None:
    driven = Driven()
    driven.look(True, "db", "api", "web", times=3)
    seen = tuple(
        Observation(Target(SHOP, p), PROBE, Health.HEALTHY, Symptom.OK, driven.now) for p in ("db", "api")
    )
    decision = driven.kernel.handle(Observed(seen), driven.now)
    assert (decision.changes, decision.commands, decision.wake_at) == ((), (), None)


def test_it_wants_to_be_woken_for_whatever_comes_first() -> None:
    driven = Driven()
    driven.look(False, "db")
    decision = driven.kernel.handle(Woken(), driven.now)
    assert decision.wake_at == incident(driven).wake_at == driven.now + timedelta(seconds=1)


def test_being_woken_too_early_changes_nothing() -> None:
    driven = Driven()
    driven.look(False, "db")
    before = len(driven.changes)
    driven.pass_time(0.5)
    assert len(driven.changes) == before
    assert not driven.out


@pytest.mark.parametrize("step", REPLACE.steps)
def test_after_a_restart_each_step_is_looked_at_first_and_the_stack_is_healed_once(step: Step) -> None:
    driven = failing(Driven())
    driven.carry_out(step)
    driven.begin()
    assert [command.resumed for command in driven.out] == [True]
    assert repair(driven).step is step
    driven.look(False, "db")
    driven.carry_out()
    driven.look(True, "db", times=4)
    driven.pass_time(1)
    assert outcomes(driven, "db") == [Outcome.HEALED]
    assert len(driven.state.attempts) == 1
    assert driven.there.resources["db"].incarnation.physical_id == "db-2"


def test_after_a_restart_no_refusal_proves_that_nothing_was_done_before_it() -> None:
    driven = failing(Driven())
    driven.carry_out(Step.CONVERGE)
    driven.begin()
    driven.report(Failed(Failure.FORBIDDEN, "401"))
    assert driven.state.attempts


def test_what_was_put_off_before_a_restart_is_due_at_its_time() -> None:
    driven = failing(Driven())
    driven.carry_out(Step.CONVERGE)
    driven.report(Failed(Failure.UNREACHABLE, "no route"))
    driven.begin()
    assert not driven.out
    driven.pass_time(1)
    assert repair(driven).step is Step.CONVERGE


def test_what_waited_before_a_restart_is_acted_upon_only_once_it_is_seen_failing_again() -> None:
    driven = Driven()
    driven.look(False, "db")
    driven.begin()
    driven.pass_time(1)
    assert driven.held("db") == "unconfirmed"
    driven.look(False, "db")
    assert driven.out


def test_what_was_being_verified_goes_on_being_verified() -> None:
    driven = failing(Driven())
    driven.carry_out()
    driven.begin()
    assert incident(driven).state is IncidentState.VERIFYING
    driven.look(True, "db", times=4)
    driven.pass_time(1)
    assert outcomes(driven, "db") == [Outcome.HEALED]


def test_a_person_lets_go_of_what_waits_but_not_of_what_is_under_way() -> None:
    driven = failing(Driven())
    driven.carry_out(Step.CONVERGE)
    driven.happen(Released(incident(driven).id, "alice"))
    assert incident(driven).state is IncidentState.REMEDIATING
    driven.carry_out()
    driven.happen(Released(incident(driven).id, "alice"))
    assert outcomes(driven, "db") == [Outcome.RELEASED]
    driven.happen(Released("nobody", "alice"))


def test_pauses_are_kept_and_taken_back_by_name() -> None:
    driven = Driven()
    pause = Pause("p", "all", "alice", "why", START)
    driven.happen(Paused(pause))
    driven.happen(Unpaused("q", "bob"))
    driven.begin()
    assert driven.state.pauses == {"p": pause}
    driven.happen(Unpaused("p", "bob"))
    assert [c.lifted_by for c in driven.changes if isinstance(c, PauseChanged)] == [None, "bob"]


def test_policies_that_are_loaded_anew_ask_every_waiting_incident_again() -> None:
    driven = Driven(replace(Driven().policy, remediations=()))
    failing(driven)
    assert driven.held("db") == "no_policy"
    driven.policy = Driven().policy
    driven.begin()
    driven.look(False, "db")
    driven.pass_time(1)
    assert driven.out or driven.held("db") == "unconfirmed"


def test_what_was_begun_in_this_life_is_not_taken_for_what_the_last_one_left() -> None:
    driven = Driven(replace(POLICY, remediations=(Remediation("notify"),)))
    driven.look(False, "db")
    driven.now += timedelta(seconds=10)
    driven.begin()
    assert [command.repair.step for command in driven.out] == [Step.NOTIFY]
