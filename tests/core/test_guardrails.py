"""Each gate refuses with a reason, a sentence and a time; a request passes those against false alarms alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from healer.core.change import IncidentChanged, Pause
from healer.core.event import (
    Listed,
    Observed,
    Paused,
    PoliciesLoaded,
    Requested,
    Stopped,
    Unpaused,
    Unreachable,
)
from healer.core.guardrails import GATES, Stage
from healer.core.incident import IncidentState, Refusal
from healer.core.model import Effect, Health, Observation, Reference, StackState, Symptom, Target
from healer.core.policy import Attempts, BlastRadius, Guardrails, Match, Mode, Policy, Watch
from healer.core.step import Failed, Failure, Step
from tests.core.driven import NOTIFY, POLICY, REPLACE, SHOP, START, Driven, replaced, shop, tier

SECOND = timedelta(seconds=1)
RECIPES = {"replace": REPLACE, "notify": NOTIFY}


def failing(driven: Driven, path: str = "db") -> Driven:
    """It has failed for long enough to be considered."""
    driven.look(False, path)
    driven.pass_time(1)
    return driven


def refusal(driven: Driven, path: str = "db") -> tuple[str, str]:
    incident = driven.incident(path)
    assert incident is not None
    assert incident.refusal is not None, f"it is {incident.state}"
    assert incident.refusal.sentence
    assert incident.refusal.look_again > driven.now
    return str(incident.refusal.reason), incident.refusal.sentence


def test_every_reason_of_a_gate_is_one_gate_s_alone() -> None:
    reasons = [gate.reason for gate in GATES]
    assert len(reasons) == len(set(reasons))
    assert all(gate.stages <= set(Stage) and gate.stages for gate in GATES)


def test_what_an_operator_overrides_only_guards_against_false_alarms() -> None:
    overridden = {gate.reason for gate in GATES if gate.override}
    assert overridden == {
        Refusal.UNCONFIRMED,
        Refusal.STARTUP_GRACE,
        Refusal.COOLDOWN,
        Refusal.ATTEMPTS,
        Refusal.OBSERVE,
    }


def test_an_alarm_that_stands_confirms_also_what_somebody_else_has_seen_first() -> None:
    """Nothing else would ever be said of it: the alarm was judged once, and the heal has not ended it."""
    watches = (Watch("watcher:engine", SECOND, SECOND),)
    twice = (POLICY.remediations[0], *POLICY.remediations)
    watching = replace(POLICY, detect=replace(POLICY.detect, watches=watches, fail_after=1))
    driven = Driven(replace(watching, remediations=twice))
    target = Target(SHOP, "db")
    gone = Observation(target, "watcher:engine", Health.UNHEALTHY, Symptom.GONE, driven.now)
    driven.happen(Observed((gone,)))
    driven.alarm("db")
    driven.pass_time(1)
    driven.carry_out()
    well = replace(gone, health=Health.HEALTHY, symptom=Symptom.OK, at=driven.now + SECOND)
    driven.now += SECOND
    driven.happen(Observed((well,)))
    driven.pass_time(60)
    assert driven.out, refusal(driven)


def test_what_the_engine_found_failed_and_reads_otherwise_by_now_is_not_healed() -> None:
    """Somebody's update may have mended it since it was last looked at."""
    watching = replace(
        POLICY,
        detect=replace(POLICY.detect, watches=(Watch("watcher:engine", SECOND, SECOND),), fail_after=1),
    )
    said = "it is UPDATE_FAILED"
    seen = Observation(
        Target(SHOP, "db"), "watcher:engine", Health.UNHEALTHY, Symptom.ENGINE_FAILED, START, "db-1", said
    )
    for state, reason in ((StackState.FAILED, ""), (StackState.COMPLETE, "unconfirmed")):
        driven = Driven(watching)
        driven.read(shop(db=replace(tier("db", "db-1"), action="UPDATE", state=StackState.FAILED)))
        driven.happen(Observed((seen,)))
        driven.there = shop(db=replace(tier("db", "db-1"), action="UPDATE", state=state))
        driven.pass_time(1)
        driven.carry_out(Step.MARK)
        assert driven.held("db") == reason
        assert bool(driven.out) is not bool(reason)


@pytest.mark.parametrize("scope", ["all", "cloud:here", "stack:shop", "stack:shop-id", "policy:tiers"])
def test_a_pause_holds_all_that_it_covers_until_it_is_over(scope: str) -> None:
    driven = Driven()
    driven.happen(Paused(Pause("p", scope, "alice", "upgrade", START, START + timedelta(minutes=1))))
    assert refusal(failing(driven)) == ("paused", f"alice paused {scope}: upgrade")
    driven.look(False, "db")
    driven.pass_time(60)
    assert len(driven.out) == 1


@pytest.mark.parametrize("scope", ["cloud:there", "stack:other", "policy:other"])
def test_a_pause_of_something_else_holds_nothing(scope: str) -> None:
    driven = Driven()
    driven.happen(Paused(Pause("p", scope, "alice", "upgrade", START)))
    assert failing(driven).out


def test_a_pause_without_an_end_is_over_when_it_is_taken_back() -> None:
    driven = Driven()
    driven.happen(Paused(Pause("p", "all", "alice", "upgrade", START)))
    assert refusal(failing(driven))[0] == "paused"
    driven.happen(Unpaused("p", "bob"))
    assert len(driven.out) == 1
    driven.happen(Unpaused("p", "bob"))  # Twice is once.


def test_a_policy_that_is_gone_holds_its_incidents() -> None:
    driven = Driven()
    driven.look(False, "db")
    driven.happen(PoliciesLoaded((), RECIPES))
    driven.pass_time(1)
    assert refusal(driven)[0] == "no_policy"


def test_an_action_that_is_gone_holds_its_incidents() -> None:
    driven = Driven()
    driven.look(False, "db")
    driven.happen(PoliciesLoaded((POLICY,), {}))
    driven.pass_time(1)
    assert refusal(driven)[0] == "no_policy"


def test_what_two_policies_own_neither_may_heal() -> None:
    driven = Driven()
    driven.look(False, "db")
    driven.happen(PoliciesLoaded((POLICY, Policy("dbs", Match(resource="db"))), RECIPES))
    driven.pass_time(1)
    assert refusal(driven) == ("contested", "more than one policy owns it: dbs, tiers")


def test_what_cannot_be_read_is_not_healed_until_it_can() -> None:
    driven = Driven()
    driven.happen(Unreachable("here", "connection refused"))
    assert refusal(failing(driven)) == ("cloud_unreachable", "connection refused")
    driven.happen(Listed("here", frozenset({SHOP})))
    assert len(driven.out) == 1


def test_a_stack_that_somebody_updates_is_left_alone() -> None:
    driven = Driven()
    driven.there = replace(shop(), busy=("shop",))
    failing(driven)
    driven.carry_out()
    reason, sentence = refusal(driven)
    assert (reason, "shop" in sentence) == ("stack_busy", True)
    driven.look(False, "db")
    driven.read(shop())
    assert not driven.out  # The end of that update may have mended what was seen before.
    driven.look(False, "db")
    assert len(driven.out) == 1


def test_an_update_that_came_and_went_between_two_readings_may_have_mended_it_too() -> None:
    driven = Driven()
    driven.look(False, "db")
    driven.read(replace(shop(), updated_at=driven.now))
    driven.pass_time(5)
    assert not driven.out
    driven.look(False, "db")
    driven.pass_time(5)
    assert driven.out


def test_what_may_still_be_starting_is_given_its_time() -> None:
    driven = Driven()
    young = replace(tier("db", "db-2"), created_at=START)
    driven.read(shop(db=young))
    assert refusal(failing(driven)) == ("startup_grace", "it may still be starting")
    driven.look(False, "db", times=7)
    driven.pass_time(1)
    assert not driven.out  # What was seen in its time of grace is not the last word.
    driven.look(False, "db", times=1)
    driven.pass_time(1)
    assert driven.out


def test_what_came_up_in_its_time_of_grace_is_not_healed_for_what_was_seen_before() -> None:
    driven = Driven()
    driven.read(shop(db=replace(tier("db", "db-2"), created_at=START)))
    failing(driven)
    driven.look(False, "db", times=7)
    driven.look(True, "db", times=2)
    driven.pass_time(5)
    assert not driven.out
    assert driven.incident("db") is None


def test_grace_is_over_with_the_first_healthy_look_and_counts_from_the_last_heal() -> None:
    driven = Driven()
    driven.read(shop(db=replace(tier("db", "db-2"), created_at=START)))
    driven.look(True, "db", times=1)
    assert failing(driven).out
    once = Driven()
    once.heal("db")
    assert once.state.last_attempt([Target(SHOP, "db")]) is not None


def test_a_cause_comes_first_and_is_also_one_that_is_only_suspected() -> None:
    driven = Driven()
    driven.look(False, "db", times=1)
    failing(driven, "api")
    assert refusal(driven, "api") == ("upstream_failing", "it requires db, which fails: that comes first")


def test_what_is_gone_itself_needs_no_other_cause() -> None:
    gone = replace(tier("api", "api-1", "db"), condition=Health.UNHEALTHY, condition_symptom=Symptom.GONE)
    driven = Driven()
    driven.read(shop(api=gone))
    driven.look(False, "db", "api")
    driven.pass_time(1)
    assert len(driven.out[0].repair.members) == 2


def test_something_healed_is_left_alone_for_a_while_and_its_own_ladder_is_not() -> None:
    driven = Driven()
    driven.heal("db")
    failing(driven)
    reason, sentence = refusal(driven)
    assert (reason, "healed already" in sentence) == ("cooldown", True)
    driven.look(False, "db", times=30)
    driven.pass_time(1)
    assert driven.out


def test_attempts_are_counted_over_all_incidents() -> None:
    few = replace(POLICY.guardrails, attempts=Attempts(max=1), cooldown=timedelta(0))
    driven = Driven(replace(POLICY, guardrails=few))
    driven.heal("db")
    reason, sentence = refusal(failing(driven))
    assert (reason, sentence.startswith("1 attempts were made since")) == ("attempts", True)


def test_an_update_that_failed_and_was_not_ours_is_not_finished_by_us() -> None:
    driven = Driven()
    driven.there = replace(shop(), action="UPDATE", state=StackState.FAILED)
    failing(driven)
    driven.carry_out()
    assert refusal(driven)[0] == "foreign_changes"


def test_an_update_of_ours_that_failed_does_not_stand_in_the_way() -> None:
    twice = replace(POLICY, remediations=(POLICY.remediations[0], *POLICY.remediations))
    driven = failing(Driven(twice))
    driven.carry_out(Step.FOLLOW)
    driven.report(Failed(Failure.UPDATE_FAILED, "no room"))
    driven.there = replace(shop(), action="UPDATE", state=StackState.FAILED, updated_at=driven.now)
    driven.carry_out()
    driven.look(False, "db")
    driven.carry_out(Step.MARK)
    assert driven.out[0].repair.step is Step.MARK


def with_policy(bound: BlastRadius) -> Driven:
    return Driven(replace(POLICY, guardrails=replace(POLICY.guardrails, blast_radius=bound)))


def test_only_types_that_are_named_are_given_up() -> None:
    driven = failing(with_policy(BlastRadius(may_replace=frozenset({"Local::File"}))))
    driven.carry_out()
    reason, sentence = refusal(driven)
    assert (reason, "db (Local::Process), which may_replace does not name" in sentence) == (
        "blast_radius",
        True,
    )


def test_more_than_the_marked_is_replaced_only_where_that_is_allowed() -> None:
    hard = replace(shop(), references=(Reference("api", "command", "db", "port", Effect.REPLACED),))
    for allowed, held in ((0, "blast_radius"), (1, "")):
        driven = with_policy(BlastRadius(collateral=allowed))
        driven.read(hard)
        failing(driven)
        driven.carry_out(Step.MARK)
        assert driven.held("db") == held


def test_a_policy_that_observes_says_what_it_would_have_done() -> None:
    driven = failing(Driven(replace(POLICY, mode=Mode.OBSERVE)))
    driven.carry_out()
    incident = driven.incident("db")
    assert incident is not None
    assert incident.state is IncidentState.WOULD_HEAL
    assert incident.plan is not None
    assert [c.path for c in incident.plan.condemned] == ["db"]
    assert not driven.state.repairs


def test_a_plan_that_was_told_is_not_told_again_until_it_changes() -> None:
    driven = failing(Driven(replace(POLICY, mode=Mode.OBSERVE)))
    driven.carry_out()
    told = len(driven.changes)
    driven.look(False, "db", times=2)
    driven.pass_time(600)
    driven.carry_out()
    kinds = {change.kind for change in driven.changes[told:] if hasattr(change, "kind")}
    assert kinds <= {"inspecting", "not_admitted"}
    driven.happen(PoliciesLoaded((POLICY,), RECIPES))
    assert driven.out


@pytest.mark.parametrize(
    ("prepare", "overridden"),
    [
        (lambda driven: driven.heal("db"), ("unconfirmed", "cooldown")),
        (
            lambda driven: driven.read(shop(db=replace(tier("db", "db-2"), created_at=START))),
            ("startup_grace",),
        ),
    ],
)
def test_an_operator_passes_them_and_the_story_names_which(
    prepare: object, overridden: tuple[str, ...]
) -> None:
    driven = Driven()
    prepare(driven)  # type: ignore[operator]
    driven.happen(Requested(Target(SHOP, "db"), "alice", "it smells"))
    driven.carry_out(Step.MARK)
    incident = driven.incident("db")
    assert incident is not None
    assert incident.request is not None
    assert set(incident.request.overrides) <= set(overridden)
    assert incident.state is IncidentState.REMEDIATING


def test_an_operator_passes_an_observing_policy_and_never_a_busy_stack_or_the_blast_radius() -> None:
    observing = Driven(replace(POLICY, mode=Mode.OBSERVE))
    observing.happen(Requested(Target(SHOP, "db"), "alice", "now"))
    observing.carry_out(Step.MARK)
    incident = observing.incident("db")
    assert incident is not None
    assert incident.request is not None
    assert Refusal.OBSERVE in incident.request.overrides
    busy = Driven()
    busy.there = replace(shop(), busy=("shop",))
    busy.happen(Requested(Target(SHOP, "db"), "alice", "now"))
    busy.carry_out()
    assert busy.held("db") == "stack_busy"
    wide = with_policy(BlastRadius(may_replace=frozenset()))
    wide.happen(Requested(Target(SHOP, "db"), "alice", "now"))
    wide.carry_out()
    assert wide.held("db") == "blast_radius"


def test_what_nobody_owns_is_healed_on_demand_by_the_defaults_and_proven_by_the_engine() -> None:
    driven = Driven(replace(POLICY, match=Match(resource="api")))
    driven.happen(Requested(Target(SHOP, "db"), "alice", "now"))
    driven.carry_out()
    assert driven.incident("db") is None
    assert driven.there == replaced(shop(), "db")


def test_a_second_repair_of_a_stack_waits_for_the_first() -> None:
    driven = failing(Driven(), "web")
    driven.carry_out(Step.CONVERGE)
    driven.read(shop(cache=tier("cache", "cache-1")))
    failing(driven, "cache")
    reason, sentence = refusal(driven, "cache")
    assert (reason, "is at converge" in sentence) == ("repair_in_progress", True)


def test_guardrails_have_defaults_that_refuse_collateral() -> None:
    assert Guardrails().blast_radius == BlastRadius(may_replace=None, collateral=0)


def test_what_was_emptied_while_it_was_to_be_healed_is_looked_at_again() -> None:
    driven = failing(Driven())
    driven.there = replaced(shop(), "db")
    driven.carry_out()
    assert driven.incident("db") is None
    assert not driven.out


def test_an_alarm_of_before_a_restart_counts_until_it_is_taken_back() -> None:
    driven = Driven()
    driven.alarm("db")
    driven.begin()
    driven.pass_time(1)
    assert driven.out


def test_what_was_replaced_while_a_repair_of_it_was_under_way_is_left_alone_until_it_is_read_again() -> None:
    driven = failing(Driven())
    driven.carry_out(Step.CONVERGE)
    driven.read(replaced(shop(), "db"))
    driven.report(Failed(Failure.BUSY, "somebody else updates it"))
    driven.carry_out()
    driven.pass_time(5)
    assert refusal(driven)[0] == "stale_incarnation"
    driven.read(driven.there)
    assert driven.incident("db") is None


def test_attempts_are_over_when_their_time_is_over() -> None:
    few = replace(POLICY.guardrails, attempts=Attempts(2, timedelta(minutes=10)), cooldown=timedelta(0))
    driven = Driven(replace(POLICY, guardrails=few))
    for _ in range(2):
        driven.heal("db")
        driven.look(True, "db", times=60)
    failing(driven)
    found = driven.incident("db")
    assert found is not None
    assert found.refusal is not None
    first, _ = sorted(attempt.began_at for attempt in driven.state.attempts.values())
    assert (found.refusal.reason, found.refusal.look_again) == (
        Refusal.ATTEMPTS,
        first + timedelta(minutes=10),
    )
    driven.pass_time((found.refusal.look_again - driven.now).total_seconds())
    assert driven.out


def test_where_more_attempts_were_made_than_are_allowed_by_now_the_time_is_that_of_the_one_too_many() -> None:
    many = replace(POLICY.guardrails, attempts=Attempts(2, timedelta(minutes=10)), cooldown=timedelta(0))
    driven = Driven(replace(POLICY, guardrails=many))
    for _ in range(2):
        driven.heal("db")
        driven.look(True, "db", times=60)
    fewer = replace(many, attempts=Attempts(1, timedelta(minutes=10)))
    driven.happen(PoliciesLoaded((replace(POLICY, guardrails=fewer),), RECIPES))
    failing(driven)
    found = driven.incident("db")
    assert found is not None
    assert found.refusal is not None
    _, second = sorted(attempt.began_at for attempt in driven.state.attempts.values())
    assert found.refusal.look_again == second + timedelta(minutes=10)


def test_while_the_stop_file_is_there_nothing_is_begun_not_even_for_a_person_and_then_it_is() -> None:
    driven = Driven()
    driven.happen(Stopped("STOP is there"))
    failing(driven)
    assert refusal(driven) == (Refusal.STOPPED, "STOP is there")
    driven.happen(Requested(Target(SHOP, "db"), "anna", "now"))
    driven.pass_time(60)
    assert refusal(driven) == (Refusal.STOPPED, "STOP is there")
    assert not driven.out
    held = [c for c in driven.changes if isinstance(c, IncidentChanged) and c.kind == "held"]
    assert len(held) == 2, "each look again is told anew, and not only the demand"
    driven.happen(Stopped(None))
    assert driven.out
    driven.happen(Stopped(None))  # Twice is once.
    assert len(driven.out) == 1
