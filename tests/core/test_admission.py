"""Which incidents wait, which share one repair, and what is admitted once the stack has been inspected."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from healer.core.admission import INSPECTION
from healer.core.change import IncidentChanged, RepairChanged
from healer.core.event import PoliciesLoaded, Requested
from healer.core.incident import IncidentState, Outcome
from healer.core.model import Effect, Health, Resource, Snapshot, StackState, Symptom, Target
from healer.core.policy import Match, Mode, Remediation
from healer.core.repair import Recipe
from healer.core.step import Done, Failed, Failure, Inspected, Step
from tests.core.driven import POLICY, SHOP, START, Driven, shop, tier
from tests.core.test_causes_and_symptoms import outcomes
from tests.core.test_guardrails import failing
from tests.core.test_progress import incident, repair


def with_cache() -> Snapshot:
    return shop(cache=tier("cache", "cache-1"))


def condemned(driven: Driven) -> list[str]:
    planned = repair(driven).plan
    return [c.path for c in planned.condemned] if planned else []


def gone(resource: Resource) -> Resource:
    return replace(resource, condition=Health.UNHEALTHY, condition_symptom=Symptom.GONE)


def test_what_has_just_failed_settles_first_for_its_cause_may_show_itself() -> None:
    driven = Driven()
    driven.look(False, "api")
    assert not driven.out
    driven.look(False, "db")
    driven.pass_time(1)
    driven.carry_out(Step.MARK)
    assert condemned(driven) == ["db"]


def test_what_fails_while_another_settles_is_healed_by_the_same_update() -> None:
    driven = Driven()
    driven.read(shop(cache=tier("cache", "cache-1")))
    driven.look(False, "db")
    driven.pass_time(0.5)
    driven.look(False, "cache")
    driven.pass_time(0.5)
    driven.carry_out(Step.MARK)
    assert sorted(condemned(driven)) == ["cache", "db"]


def test_what_may_not_join_goes_on_settling() -> None:
    driven = Driven()
    driven.look(False, "db")
    driven.pass_time(0.5)
    driven.look(False, "api")
    driven.pass_time(0.5)
    driven.carry_out(Step.MARK)
    assert condemned(driven) == ["db"]
    assert incident(driven, "api").state is IncidentState.OPEN


def test_what_has_no_company_need_not_settle() -> None:
    driven = Driven()
    driven.read(
        Snapshot(
            SHOP,
            driven.now,
            "CREATE",
            shop().state,
            {"db": tier("db", "db-1")},
            rebuildable=frozenset({"Local::Process"}),
        )
    )
    driven.look(False, "db")
    assert driven.out


def test_failures_of_one_stack_that_fall_together_share_one_repair() -> None:
    driven = Driven()
    driven.read(with_cache())
    driven.look(False, "db", "cache")
    driven.pass_time(1)
    assert len(driven.out) == 1
    driven.carry_out()
    assert {incident(driven, path).state for path in ("db", "cache")} == {IncidentState.VERIFYING}
    assert len({c.repair.id for c in driven.changes if isinstance(c, RepairChanged)}) == 1


def test_what_fails_by_another_action_waits_for_its_own_repair() -> None:
    driven = Driven()
    driven.read(with_cache())
    driven.look(False, "db")
    driven.pass_time(1)
    driven.carry_out(Step.CONVERGE)
    driven.look(False, "cache")
    driven.pass_time(1)
    assert driven.held("cache") == "repair_in_progress"
    driven.carry_out(Step.INSPECT)
    assert repair(driven).members == (incident(driven, "cache").id,)


def test_what_is_held_joins_a_repair_whose_inspection_shows_that_it_may() -> None:
    driven = Driven()
    driven.look(False, "db", "api")
    driven.pass_time(1)
    assert driven.held("api") == "upstream_failing"
    driven.report(Done(Inspected(shop(api=gone(tier("api", "api-1", "db"))), {SHOP.id: frozenset()})))
    assert len(repair(driven).members) == 2
    assert condemned(driven) == ["api", "db"]


def test_a_dependent_that_is_gone_itself_and_not_yet_noticed_is_waited_for() -> None:
    driven = failing(Driven())
    driven.there = shop(api=gone(tier("api", "api-1", "db")))
    driven.carry_out()
    assert driven.held("db") == "dependent_gone"
    driven.look(False, "api")
    driven.pass_time(5)
    driven.carry_out(Step.MARK)
    assert len(repair(driven).members) == 2


def test_the_same_refusal_is_no_news() -> None:
    driven = failing(Driven())
    driven.there = replace(shop(), busy=("shop",))
    driven.carry_out()
    held = [c for c in driven.changes if isinstance(c, IncidentChanged) and c.kind == "held"]
    for _ in range(5):
        driven.look(False, "db", times=1)
        driven.pass_time(5)
        driven.carry_out()
    assert [c for c in driven.changes if isinstance(c, IncidentChanged) and c.kind == "held"] == held
    assert incident(driven).wake_at is not None


def test_an_inspection_has_a_deadline_of_its_own_and_a_repair_that_of_its_rung() -> None:
    driven = failing(Driven())
    assert repair(driven).deadline == driven.now + INSPECTION
    driven.carry_out(Step.MARK)
    assert repair(driven).deadline == driven.now + POLICY.remediations[0].timeout


def test_what_touches_nothing_needs_no_inspection() -> None:
    driven = failing(
        Driven(replace(POLICY, remediations=(Remediation("notify", timedelta(minutes=3), "ops"),)))
    )
    assert repair(driven).step is Step.NOTIFY
    assert driven.out[0].notifier == "ops"
    assert repair(driven).deadline == driven.now + timedelta(minutes=3)
    assert incident(driven).state is IncidentState.REMEDIATING


def test_a_recipe_that_keeps_the_identity_has_no_plan() -> None:
    reboot = replace(POLICY, remediations=(Remediation("reboot", timedelta(minutes=1)), *POLICY.remediations))
    driven = failing(Driven(reboot))
    assert driven.held("db") == "no_policy"  # There is no such recipe here yet.
    driven.recipes["reboot"] = Recipe("reboot", (Step.INSPECT, Step.POWER))
    driven.begin()
    driven.look(False, "db")
    driven.pass_time(10)
    driven.carry_out(Step.POWER)
    assert repair(driven).plan is None
    driven.carry_out()
    assert incident(driven).state is IncidentState.VERIFYING
    assert incident(driven).successor == incident(driven).incarnation
    driven.look(False, "db")
    driven.pass_time(60)
    driven.carry_out(Step.INSPECT)
    assert repair(driven).recipe.action == "replace"


def test_a_plan_of_an_observing_policy_that_changed_is_told_again() -> None:
    driven = failing(Driven(replace(POLICY, mode=Mode.OBSERVE)))
    driven.carry_out()
    driven.there = replace(shop(), references=())
    driven.look(False, "db")
    driven.pass_time(600)
    driven.carry_out()
    told = [c for c in driven.changes if isinstance(c, IncidentChanged) and c.kind == "would_heal"]
    assert len(told) == 2


def test_a_gate_that_was_overridden_is_named_once() -> None:
    driven = Driven(replace(POLICY, mode=Mode.OBSERVE))
    driven.there = replace(shop(), busy=("shop",))
    driven.happen(Requested(Target(SHOP, "db"), "alice", "now"))
    driven.carry_out()
    driven.read(shop())
    driven.carry_out()
    named = [
        c.note["gates"] for c in driven.changes if isinstance(c, IncidentChanged) and c.kind == "overridden"
    ]
    assert named == [["observe"]]


def test_what_came_back_while_its_marks_were_taken_back_is_over() -> None:
    driven = failing(Driven())
    driven.carry_out(Step.MARK)
    driven.report(Failed(Failure.BUSY, "busy"))
    driven.look(True, "db", times=3)
    driven.carry_out()
    driven.pass_time(5)
    assert outcomes(driven, "db") == [Outcome.RECOVERED]


FAILED = replace(tier("one", "one-1"), action="CHECK", state=StackState.FAILED)


def two_failed(observed: str = "") -> Driven:
    """Two that the engine has given up: any update replaces both of them, marked or not."""
    driven = Driven()
    other = replace(tier("two", "two-1"), action="CHECK", state=StackState.FAILED)
    driven.read(shop(one=FAILED, two=other))
    quiet = replace(POLICY, name="quiet", mode=Mode.OBSERVE, match=Match(resource=observed))
    loud = replace(POLICY, match=Match(resource="[!o]*")) if observed else POLICY
    driven.happen(PoliciesLoaded((loud, quiet) if observed else (POLICY,), driven.recipes))
    return driven


def test_what_is_healed_by_the_same_update_is_no_collateral() -> None:
    driven = two_failed()
    driven.look(False, "one", "two")
    driven.pass_time(1)
    driven.carry_out(Step.MARK)
    assert condemned(driven) == ["one", "two"]


def test_what_a_gate_refuses_is_collateral_all_the_same() -> None:
    driven = two_failed(observed="one")
    driven.look(False, "one", "two")
    driven.pass_time(1)
    driven.carry_out()
    assert incident(driven, "one").state is IncidentState.WOULD_HEAL
    assert driven.held("two") == "blast_radius"
    assert not driven.state.attempts


def test_one_of_two_that_were_given_up_waits_for_the_other_to_be_noticed() -> None:
    driven = two_failed()
    driven.look(False, "one")
    driven.pass_time(1)
    driven.carry_out()
    assert driven.held("one") == "blast_radius"
    driven.look(False, "two")
    driven.pass_time(1)
    driven.carry_out(Step.MARK)
    assert condemned(driven) == ["one", "two"]


@pytest.mark.parametrize("failure", [Failure.MOVED, Failure.FORBIDDEN, Failure.STOPPED])
def test_what_a_repair_of_its_own_has_ended_for_does_not_join_another(failure: Failure) -> None:
    driven = Driven()
    driven.read(with_cache())
    failing(driven, "cache")
    driven.carry_out(Step.PREVIEW if failure is Failure.MOVED else Step.MARK)
    driven.report(Failed(failure, "it would end likewise"))
    driven.carry_out()
    assert incident(driven, "cache").state is IncidentState.HELD
    failing(driven, "db")
    driven.carry_out(Step.MARK)
    assert condemned(driven) == ["db"]


def test_a_reading_that_was_overtaken_plans_nothing() -> None:
    driven = failing(Driven())
    overtaken = driven.there
    wider = shop(cache=replace(tier("cache", "cache-1"), state=StackState.FAILED))
    driven.read(replace(wider, taken_at=START + timedelta(minutes=1)))
    driven.report(Done(Inspected(overtaken, {SHOP.id: frozenset()})))
    assert driven.held("db") == "blast_radius"


def test_what_would_be_healed_names_also_the_dependents_that_fail_by_it() -> None:
    """They are held meanwhile, and looked at with it, but nothing heals them with it."""
    driven = Driven(replace(POLICY, mode=Mode.OBSERVE))
    driven.look(False, "db", "api")
    driven.pass_time(1)
    assert driven.held("api") == "upstream_failing"
    driven.carry_out()
    planned = incident(driven).plan
    assert incident(driven).state is IncidentState.WOULD_HEAL
    assert planned is not None
    assert [touched.path for touched in planned.touched] == ["api", "web"]
    assert {touched.effect for touched in planned.touched} == {Effect.UPDATED}


def test_of_two_that_need_different_actions_the_second_waits_and_says_so() -> None:
    driven = Driven()
    driven.read(with_cache())
    both = replace(POLICY, match=Match(resource="[dw]*"))
    telling = replace(
        POLICY, name="caches", match=Match(resource="cache"), remediations=(Remediation("notify"),)
    )
    driven.happen(PoliciesLoaded((both, telling), driven.recipes))
    driven.look(False, "db", "cache")
    driven.pass_time(1)
    assert len(driven.out) == 1
    assert driven.held("cache") == "repair_in_progress"
