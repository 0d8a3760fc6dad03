"""What was seen ends what it disproves, and says nothing of what it was not about."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from healer.core.change import AlarmOutcome, AlarmsSettled
from healer.core.event import Alarmed, Listed, Observed, Released, Requested, Resumed, Unreachable
from healer.core.incident import IncidentState, Outcome
from healer.core.model import Alarm, AlarmStatus, Health, Observation, Selector, Symptom, Target
from healer.core.policy import Match, Remediation
from healer.core.repair import Recipe
from healer.core.step import Failed, Failure, Step
from tests.core.driven import POLICY, PROBE, SHOP, Driven, replaced, shop, tier
from tests.core.test_causes_and_symptoms import outcomes
from tests.core.test_guardrails import failing
from tests.core.test_progress import incident

DB = Target(SHOP, "db")


def settled(driven: Driven) -> list[AlarmOutcome]:
    return [change.outcome for change in driven.changes if isinstance(change, AlarmsSettled)]


def alarm(driven: Driven, selector: Selector, key: str = "k") -> None:
    driven.happen(Alarmed((Alarm("am", key, AlarmStatus.FIRING, driven.now, driven.now, selector),)))


def test_a_failure_opens_one_incident_however_often_it_is_seen() -> None:
    driven = Driven()
    driven.look(False, "db", times=20)
    assert len(driven.state.incidents) == 1
    assert (incident(driven).symptom, incident(driven).source) == (Symptom.REFUSED, PROBE)


def test_what_comes_back_by_itself_is_left_alone() -> None:
    driven = Driven()
    driven.look(False, "db")
    driven.look(True, "db")
    assert outcomes(driven, "db") == [Outcome.RECOVERED]
    assert not driven.out


def test_what_nobody_owns_is_not_looked_at() -> None:
    driven = Driven(replace(POLICY, match=Match(resource="api")))
    driven.look(False, "db", times=9)
    assert not driven.state.incidents


def test_a_look_at_an_earlier_incarnation_or_for_another_policy_says_nothing() -> None:
    driven = Driven()
    seen = Observation(DB, PROBE, Health.UNHEALTHY, Symptom.REFUSED, driven.now, physical_id="db-0")
    elsewhere = replace(seen, physical_id=None, source="watcher:engine")
    driven.happen(Observed((seen, elsewhere) * 9))
    assert not driven.state.incidents
    driven.happen(Observed((replace(seen, physical_id="db-1"),) * 2))
    assert driven.state.incidents


@pytest.mark.parametrize("held", [False, True])
def test_what_somebody_else_has_replaced_is_superseded_and_looked_at_anew(held: bool) -> None:
    driven = Driven()
    driven.look(False, "db")
    if held:
        driven.happen(Unreachable("here", "down"))
        driven.pass_time(1)
    driven.read(replaced(shop(), "db"))
    assert outcomes(driven, "db") == [Outcome.SUPERSEDED]
    assert DB not in driven.state.tracks


def test_a_resource_that_is_not_declared_any_more_is_gone() -> None:
    driven = Driven()
    driven.look(False, "web")
    driven.read(replace(shop(), resources={name: tier(name, f"{name}-1") for name in ("db", "api")}))
    assert outcomes(driven, "web") == [Outcome.GONE]


def test_a_stack_is_gone_only_by_a_complete_listing_and_other_clouds_say_nothing_of_it() -> None:
    driven = Driven()
    driven.look(False, "db")
    driven.happen(Listed("there", frozenset()))
    assert driven.state.incidents
    driven.happen(Listed("here", frozenset()))
    assert outcomes(driven, "db") == [Outcome.GONE]
    assert not driven.state.snapshots
    assert not driven.state.owners
    assert not driven.state.tracks


def test_what_is_being_remediated_is_not_closed_by_what_the_update_does_on_its_way() -> None:
    driven = failing(Driven())
    driven.carry_out(Step.FOLLOW)
    driven.read(replaced(shop(), "db"))
    driven.happen(Listed("here", frozenset()))
    assert incident(driven).state is IncidentState.REMEDIATING


def test_a_replacement_that_is_replaced_again_by_another_hand_is_superseded() -> None:
    driven = failing(Driven())
    driven.carry_out()
    driven.read(replaced(driven.there, "db"))
    assert outcomes(driven, "db") == [Outcome.SUPERSEDED]


def test_a_request_for_what_is_not_there_does_nothing() -> None:
    driven = Driven()
    driven.happen(Requested(Target(SHOP, "cache"), "alice", "now"))
    driven.happen(Requested(Target(replace(SHOP, id="other"), "db"), "alice", "now"))
    assert not driven.state.incidents


def test_a_request_for_what_is_being_healed_is_left_to_it() -> None:
    driven = failing(Driven())
    driven.carry_out(Step.FOLLOW)
    driven.happen(Requested(DB, "alice", "now"))
    assert incident(driven).request is None


def test_a_request_opens_what_waits_and_what_was_given_up() -> None:
    driven = Driven()
    driven.happen(Unreachable("here", "down"))
    failing(driven)
    driven.happen(Listed("here", frozenset({SHOP})))
    driven.carry_out(Step.FOLLOW)
    waiting = Driven()
    waiting.look(False, "db")
    waiting.happen(Requested(DB, "alice", "now"))
    assert incident(waiting).request is not None
    assert waiting.out


def test_a_gap_in_time_makes_everything_unknown_but_forgets_no_failure() -> None:
    driven = Driven()
    driven.look(False, "db")
    driven.look(True, "api", times=1)
    driven.happen(Resumed(3600))
    assert driven.state.tracks[DB][PROBE].failing
    assert not driven.state.tracks[Target(SHOP, "api")][PROBE].good
    driven.pass_time(1)
    assert driven.held("db") == "unconfirmed"


def test_a_witness_that_did_not_raise_it_cannot_take_it_back() -> None:
    driven = Driven()
    driven.alarm("db")
    driven.look(True, "db", times=3)
    assert incident(driven).state is not IncidentState.CLOSED
    assert driven.incident("db") is not None


def test_an_incident_of_before_the_restart_ends_when_its_own_witness_sees_it_healthy() -> None:
    driven = Driven()
    driven.look(False, "db")
    driven.begin()
    driven.look(True, "db", times=1)
    assert driven.incident("db") is not None
    driven.look(True, "db", times=1)
    assert outcomes(driven, "db") == [Outcome.RECOVERED]
    later = Driven()
    later.look(False, "db")
    later.begin()
    later.pass_time(timedelta(minutes=1).total_seconds())
    assert later.held("db") == "unconfirmed"


def test_a_replacement_that_leaves_the_stack_while_it_is_made_is_left_to_its_repair() -> None:
    driven = failing(Driven())
    driven.carry_out(Step.FOLLOW)
    driven.read(replace(shop(), resources={name: tier(name, f"{name}-1") for name in ("api", "web")}))
    assert incident(driven).state is IncidentState.REMEDIATING


def test_what_is_being_verified_must_be_seen_anew_after_something_that_it_requires_came_back() -> None:
    driven = Driven()
    driven.look(False, "api")
    driven.pass_time(1)
    driven.carry_out()
    driven.look(False, "db")
    driven.look(True, "api", "db", times=2)
    assert outcomes(driven, "db") == [Outcome.RECOVERED]
    assert incident(driven, "api").state is IncidentState.VERIFYING
    assert not driven.state.tracks[Target(SHOP, "api")][PROBE].good


def test_a_demand_that_was_tried_in_vain_is_over_once_nothing_fails() -> None:
    driven = Driven()
    driven.look(True, "db", times=3)
    driven.happen(Requested(DB, "alice", "it smells"))
    driven.look(True, "db", times=3)
    assert incident(driven).request is not None
    driven.carry_out(Step.FOLLOW)
    driven.report(Failed(Failure.UPDATE_FAILED, "no room"))
    driven.carry_out()
    assert incident(driven).state is IncidentState.EXHAUSTED
    driven.look(True, "db", times=2)
    assert outcomes(driven, "db") == [Outcome.RECOVERED]


def test_a_server_that_was_rebooted_may_fail_again_by_its_id() -> None:
    reboot = replace(POLICY, remediations=(Remediation("reboot", timedelta(minutes=1)), *POLICY.remediations))
    driven = Driven(reboot)
    driven.recipes["reboot"] = Recipe("reboot", (Step.INSPECT, Step.POWER))
    driven.begin()
    driven.heal("db")
    alarm(driven, Selector(physical_id="db-1"))
    assert settled(driven) == [AlarmOutcome.MATCHED]
    assert driven.incident("db") is not None


def test_a_group_or_a_nested_stack_is_not_asked_for() -> None:
    driven = Driven()
    driven.read(shop(group=replace(tier("group", "group-1"), is_stack=True)))
    driven.happen(Requested(Target(SHOP, "group"), "alice", "now"))
    assert not driven.state.incidents


def test_what_a_person_let_go_of_is_left_alone_until_it_has_been_healthy_and_fails_again() -> None:
    driven = Driven()
    driven.look(False, "db")
    driven.happen(Released(incident(driven).id, "alice"))
    driven.look(False, "db", times=9)
    otherwise = Observation(DB, PROBE, Health.UNHEALTHY, Symptom.TIMED_OUT, driven.now)
    driven.happen(Observed((otherwise,)))
    assert driven.incident("db") is None
    driven.look(True, "db")
    driven.look(False, "db")
    assert driven.incident("db") is not None


def test_a_successor_that_fails_like_its_predecessor_is_noticed() -> None:
    """An update of ours that failed has replaced it all the same: the failure of the new one is one of its own."""
    driven = failing(Driven(replace(POLICY, remediations=POLICY.remediations[:1])))
    driven.carry_out(Step.FOLLOW)
    driven.read(replaced(shop(), "db"))
    driven.report(Failed(Failure.UPDATE_FAILED, "api could not be told"))
    driven.carry_out()
    driven.read(driven.there)
    assert outcomes(driven, "db") == [Outcome.SUPERSEDED]
    driven.look(False, "db")
    assert incident(driven).incarnation.physical_id == "db-2"


def test_what_is_not_declared_any_more_and_is_again_is_looked_at_anew() -> None:
    driven = failing(Driven(replace(POLICY, remediations=POLICY.remediations[:1])))
    driven.carry_out(Step.FOLLOW)
    lacking = replace(shop(), resources={name: tier(name, f"{name}-1") for name in ("api", "web")})
    driven.read(lacking)
    driven.report(Failed(Failure.GONE, "it is not there"))
    driven.carry_out()
    driven.read(lacking)
    assert outcomes(driven, "db") == [Outcome.GONE]
    driven.read(shop())
    driven.look(False, "db")
    assert driven.incident("db") is not None
