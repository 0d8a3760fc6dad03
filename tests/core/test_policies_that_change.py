"""Policies are edited while things fail: what is under way goes on, and what waits follows the new ones."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from healer.core.change import IncidentChanged
from healer.core.event import Observed, PoliciesLoaded, Released, Requested
from healer.core.incident import IncidentState, Outcome
from healer.core.model import Health, Observation, Symptom, Target
from healer.core.policy import Mode, Policy, Remediation, Watch
from healer.core.repair import Recipe
from healer.core.step import Failed, Failure, Step
from tests.core.driven import POLICY, PROBE, SHOP, Driven
from tests.core.test_causes_and_symptoms import outcomes
from tests.core.test_guardrails import failing
from tests.core.test_progress import TWICE, at, incident, repair

REBOOT = Recipe("reboot", (Step.INSPECT, Step.POWER))
DB = Target(SHOP, "db")
TCP = Watch("probe:tcp", timedelta(seconds=1), timedelta(seconds=1))
TWO_CHECKS = replace(POLICY, detect=replace(POLICY.detect, watches=(*POLICY.detect.watches, TCP)))


def load(driven: Driven, *policies: Policy) -> None:
    driven.happen(PoliciesLoaded(policies, driven.recipes))


def second_rung() -> Driven:
    driven = at(Step.PROVE, TWICE)
    driven.report(Failed(Failure.UNPROVEN, "db was not replaced"))
    driven.carry_out(Step.MARK)
    assert incident(driven).rung == 1
    return driven


def test_a_ladder_that_is_cut_short_under_a_repair_lets_it_end() -> None:
    driven = second_rung()
    load(driven, replace(POLICY, remediations=POLICY.remediations[:1]))
    driven.carry_out()
    assert incident(driven).state is IncidentState.VERIFYING


def test_a_daemon_that_comes_back_to_a_shorter_ladder_goes_on() -> None:
    driven = second_rung()
    driven.policy = replace(POLICY, remediations=POLICY.remediations[:1])
    driven.begin()
    driven.carry_out()
    assert incident(driven).state is IncidentState.VERIFYING


def test_an_update_that_hangs_under_a_ladder_that_was_cut_short_is_resumed_all_the_same() -> None:
    driven = second_rung()
    driven.carry_out(Step.FOLLOW)
    load(driven, replace(POLICY, remediations=POLICY.remediations[:1]))
    driven.report(Failed(Failure.EXPIRED, "it hangs"))
    driven.carry_out()
    assert incident(driven).state is IncidentState.VERIFYING


def test_what_waits_under_a_policy_that_was_renamed_is_healed_under_its_new_name() -> None:
    driven = Driven(replace(POLICY, mode=Mode.OBSERVE))
    failing(driven)
    driven.carry_out()
    load(driven, replace(POLICY, name="shops"))
    driven.carry_out()
    assert (incident(driven).policy, incident(driven).state) == ("shops", IncidentState.VERIFYING)
    told = [c.note for c in driven.changes if isinstance(c, IncidentChanged) and c.kind == "adopted"]
    assert told == [{"policy": "shops", "before": "tiers"}]


def test_a_daemon_that_comes_back_to_a_renamed_policy_follows_it() -> None:
    driven = Driven()
    driven.look(False, "db")
    driven.policy = replace(POLICY, name="shops")
    driven.begin()
    driven.look(False, "db")
    driven.carry_out()
    assert (incident(driven).policy, incident(driven).state) == ("shops", IncidentState.VERIFYING)


def test_what_is_being_healed_stays_with_the_policy_that_it_was_begun_under() -> None:
    driven = at(Step.CONVERGE)
    load(driven, replace(POLICY, name="shops"))
    assert incident(driven).policy == "tiers"


def test_a_check_that_the_policy_does_not_have_any_more_holds_nothing_up() -> None:
    driven = Driven(TWO_CHECKS)
    bad = Observation(DB, TCP.source, Health.UNHEALTHY, Symptom.REFUSED, driven.now)
    driven.happen(Observed((bad, bad)))
    assert incident(driven).source == TCP.source
    load(driven, POLICY)
    driven.look(True, "db")
    assert outcomes(driven, "db") == [Outcome.RECOVERED]
    assert driven.state.tracks[DB].keys() == {PROBE}


def test_what_nobody_owns_any_more_makes_nothing_wait_for_it() -> None:
    driven = Driven()
    driven.look(False, "db")
    driven.happen(Released(incident(driven).id, "alice"))
    load(driven, replace(POLICY, match=replace(POLICY.match, resource="api")))
    failing(driven, "api")
    driven.carry_out()
    assert incident(driven, "api").state is IncidentState.VERIFYING


def test_what_an_operator_asks_for_while_another_rung_is_inspected_is_begun_with_the_first() -> None:
    ladder = (Remediation("reboot", timedelta(seconds=20)), *POLICY.remediations)
    driven = Driven(replace(POLICY, remediations=ladder))
    driven.recipes["reboot"] = REBOOT
    driven.begin()
    failing(driven)
    driven.carry_out(Step.POWER)
    driven.report(Failed(Failure.EXPIRED, "it hangs"))
    assert repair(driven).recipe.action == "replace"
    driven.happen(Requested(DB, "alice", "now"))
    driven.carry_out(Step.POWER)
    assert (repair(driven).recipe.action, incident(driven).rung) == ("reboot", 0)
