"""A heal is done when it is seen, for long enough, by those whose word counts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from healer.core.event import Observed
from healer.core.incident import IncidentState, Outcome
from healer.core.model import AlarmStatus, Health, Observation, Symptom, Target
from healer.core.policy import ProvedBy, Remediation, Watch
from healer.core.repair import Recipe
from healer.core.step import Done, Read, Step
from tests.core.driven import POLICY, SHOP, Driven, replaced
from tests.core.test_causes_and_symptoms import UNWATCHED, outcomes
from tests.core.test_guardrails import failing
from tests.core.test_progress import TWICE, incident, repair

WATCHES = POLICY.detect.watches


def verifying(driven: Driven) -> Driven:
    failing(driven)
    driven.carry_out()
    assert incident(driven).state is IncidentState.VERIFYING
    return driven


def test_it_must_be_seen_healthy_for_as_long_as_the_policy_says() -> None:
    driven = verifying(Driven())
    driven.look(True, "db", times=2)
    assert incident(driven).state is IncidentState.VERIFYING
    driven.pass_time(1)
    assert outcomes(driven, "db") == [Outcome.HEALED]


def test_a_relapse_begins_the_time_anew() -> None:
    driven = verifying(Driven())
    driven.look(True, "db", times=2)
    driven.look(False, "db", times=1)
    driven.look(True, "db", times=2)
    assert incident(driven).state is IncidentState.VERIFYING
    driven.pass_time(1)
    assert outcomes(driven, "db") == [Outcome.HEALED]


def test_each_of_the_policy_s_own_checks_must_have_looked() -> None:
    """One that looks rarely, or has not looked since a restart, may be the only one that can see what ails it."""
    other = Watch("probe:tcp", timedelta(seconds=30), timedelta(seconds=1))
    driven = verifying(Driven(replace(POLICY, detect=replace(POLICY.detect, watches=(*WATCHES, other)))))
    driven.look(True, "db", times=10)
    assert incident(driven).state is IncidentState.VERIFYING
    seen = Observation(Target(SHOP, "db"), other.source, Health.HEALTHY, Symptom.OK, driven.now)
    driven.happen(Observed((seen,)))
    driven.pass_time(2)
    assert outcomes(driven, "db") == [Outcome.HEALED]


def test_what_is_not_seen_healthy_in_time_climbs_the_ladder() -> None:
    driven = verifying(Driven(TWICE))
    driven.look(False, "db")
    driven.pass_time(58)
    assert repair(driven).step is Step.INSPECT
    assert incident(driven).rung == 1
    assert incident(driven).incarnation.physical_id == "db-2"


def test_what_was_seen_of_the_predecessor_is_not_said_of_the_successor() -> None:
    """That it is gone needs no cause; that its successor does not answer may have one."""
    watches = (*WATCHES, Watch("watcher:engine", timedelta(seconds=30), timedelta(seconds=1)))
    driven = Driven(replace(TWICE, detect=replace(POLICY.detect, watches=watches, fail_after=1)))
    target, gone = Target(SHOP, "api"), "the engine finds it gone"
    driven.happen(
        Observed(
            (Observation(target, "watcher:engine", Health.UNHEALTHY, Symptom.GONE, driven.now, None, gone),)
        )
    )
    driven.pass_time(1)
    driven.carry_out()
    assert incident(driven, "api").symptom is Symptom.GONE
    driven.look(False, "db", "api", times=1)
    driven.pass_time(60)
    assert incident(driven, "api").symptom is Symptom.REFUSED
    assert driven.held("api") == "upstream_failing"


def test_where_nobody_looks_the_proof_of_the_engine_is_enough() -> None:
    proved = replace(POLICY, verify=replace(POLICY.verify, by=ProvedBy.ENGINE))
    driven = failing(Driven(proved))
    driven.carry_out()
    assert outcomes(driven, "db") == [Outcome.HEALED]


def test_what_the_engine_has_replaced_and_finds_gone_again_is_not_healed() -> None:
    proved = replace(POLICY, verify=replace(POLICY.verify, by=ProvedBy.ENGINE))
    driven = failing(Driven(proved))
    driven.carry_out(Step.PROVE)
    after = replaced(driven.there, "db")
    gone = replace(after.resources["db"], condition=Health.UNHEALTHY, condition_symptom=Symptom.GONE)
    driven.report(Done(Read(replace(after, resources={**after.resources, "db": gone}), {})))
    assert outcomes(driven, "db") == []
    assert incident(driven).rung == 1
    assert incident(driven).incarnation.physical_id == "db-2"


def test_of_a_restart_the_engine_proves_nothing() -> None:
    by_engine = replace(POLICY, verify=replace(POLICY.verify, by=ProvedBy.ENGINE))
    driven = Driven(replace(by_engine, remediations=(Remediation("reboot"), *POLICY.remediations)))
    driven.recipes["reboot"] = Recipe("reboot", (Step.INSPECT, Step.POWER))
    driven.begin()
    driven = verifying(driven)
    driven.look(True, "db", times=4)
    driven.pass_time(1)
    assert outcomes(driven, "db") == [Outcome.HEALED]


def test_an_alarm_that_still_stands_does_not_spoil_what_the_policy_s_own_checks_see() -> None:
    driven = Driven()
    driven.alarm("db")
    driven.pass_time(1)
    driven.carry_out()
    driven.look(True, "db", times=4)
    driven.pass_time(1)
    assert outcomes(driven, "db") == [Outcome.HEALED]
    driven.pass_time(100)
    assert driven.incident("db") is None


def test_what_the_engine_says_of_its_books_does_not_answer_an_alarm() -> None:
    watches = (Watch("watcher:engine", timedelta(seconds=30), timedelta(seconds=1)),)
    driven = Driven(replace(POLICY, detect=replace(POLICY.detect, watches=watches)))
    driven.alarm("db")
    driven.pass_time(1)
    driven.carry_out()
    for _ in range(3):
        driven.now += timedelta(seconds=1)
        seen = Observation(Target(SHOP, "db"), "watcher:engine", Health.HEALTHY, Symptom.OK, driven.now)
        driven.happen(Observed((seen,)))
        driven.pass_time(5)
    assert incident(driven).state is IncidentState.VERIFYING
    driven.alarm("db", status=AlarmStatus.CLEARED)
    driven.pass_time(2)
    assert outcomes(driven, "db") == [Outcome.HEALED]


def test_an_alarm_that_is_taken_back_while_the_action_is_out_is_not_waited_for_again() -> None:
    """Whoever has taken it back will say nothing more, and the healthy successor would be replaced in turn."""
    driven = Driven(UNWATCHED)
    driven.alarm("db")
    driven.pass_time(1)
    driven.carry_out(Step.FOLLOW)
    driven.alarm("db", status=AlarmStatus.CLEARED)
    driven.pass_time(30)
    driven.carry_out()
    assert incident(driven).state is IncidentState.VERIFYING
    driven.pass_time(2)
    assert outcomes(driven, "db") == [Outcome.HEALED]


def test_with_an_alarm_alone_its_end_is_waited_for_until_the_time_is_over() -> None:
    driven = Driven(replace(UNWATCHED, remediations=UNWATCHED.remediations[:1]))
    driven.alarm("db")
    driven.pass_time(1)
    driven.carry_out()
    driven.pass_time(timedelta(seconds=60).total_seconds())
    assert incident(driven).state is IncidentState.EXHAUSTED


def test_where_only_the_engine_s_word_is_asked_for_that_word_ends_the_heal() -> None:
    watcher = Watch("watcher:engine", timedelta(seconds=1), timedelta(seconds=1))
    driven = Driven(replace(POLICY, detect=replace(POLICY.detect, watches=(watcher,))))

    def says(health: Health, symptom: Symptom) -> None:
        for _ in range(2):
            driven.now += timedelta(seconds=1)
            seen = Observation(Target(SHOP, "db"), watcher.source, health, symptom, driven.now)
            driven.happen(Observed((seen,)))

    says(Health.UNHEALTHY, Symptom.GONE)
    driven.pass_time(1)
    driven.carry_out()
    says(Health.HEALTHY, Symptom.OK)
    driven.pass_time(2)
    assert outcomes(driven, "db") == [Outcome.HEALED]


def test_a_replacement_that_fails_after_the_engine_s_word_was_enough_is_noticed_only_when_it_is_sure() -> (
    None
):
    """What was seen before the heal is no part of it, and must not hide it either."""
    trusting = replace(POLICY, verify=replace(POLICY.verify, by=ProvedBy.ENGINE))
    driven = failing(Driven(trusting))
    driven.carry_out()
    assert outcomes(driven, "db") == [Outcome.HEALED]
    driven.look(False, "db", times=1)
    assert driven.incident("db") is None
    driven.look(False, "db", times=1)
    assert driven.incident("db") is not None
