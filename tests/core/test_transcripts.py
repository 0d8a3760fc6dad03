"""Histories as a person would tell them, from the first sign to the end."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from healer.core.change import AlarmOutcome, IncidentChanged, RepairChanged
from healer.core.event import Listed, PoliciesLoaded, Released, Reported, Resumed, Snapped, Unreachable, Woken
from healer.core.incident import IncidentState, Outcome, Refusal
from healer.core.model import AlarmStatus, Effect, Reference, Selector, StackState, Target
from healer.core.policy import BlastRadius, Match, Mode, Remediation
from healer.core.step import NATURE, Done, Failure, Pending, Previewed, Step
from tests.core.invariants import changes_nothing
from tests.core.playbook import HEALTHY, POLICY, REBOOTING, RECIPES, UNHEALTHY, UNKNOWN, Play, incident
from tests.core.world import LAB, SHOP, TYPE, Fate

FIRING, CLEARED = AlarmStatus.FIRING, AlarmStatus.CLEARED
DB = Target(SHOP, "db")
UNWATCHED = replace(POLICY, detect=replace(POLICY.detect, watches=()))


def dead_db(play: Play) -> Play:
    """db is dead, and what hangs on it does not answer either."""
    return play.kills("db").sees_what_is(3)


# Scenarios one and two: a recovery while the action is out, and an edge that is missed.


def test_a_server_that_comes_back_while_it_is_rebooted_is_rebooted_and_not_replaced() -> None:
    play = Play((REBOOTING,))
    play.sees("db", UNHEALTHY, times=2).passes(2).step(Step.INSPECT).done()
    play.sees("db", HEALTHY, times=4).expects(incident("db").remediating())
    play.step(Step.POWER).done().expects(incident("db").verifying())
    play.sees("db", HEALTHY, times=4).passes(1).expects(incident("db").closed(Outcome.HEALED))
    play.expects_nothing_out().expects_untouched("db").comes_to_rest()


def test_a_server_that_was_healthy_all_the_time_that_it_was_rebooted_is_healed_by_what_is_seen_after_it() -> (
    None
):
    """No look after the reboot is news to whoever waits for a change: the counts begin anew, so all of them are."""
    play = Play((REBOOTING,))
    play.sees("db", UNHEALTHY, times=2).passes(2).step(Step.INSPECT).done()
    play.sees("db", HEALTHY, times=9).step(Step.POWER).lost()
    play.passes(1).step(Step.POWER).done().expects(incident("db").verifying())
    play.passes(2).expects(incident("db").verifying())
    play.sees("db", HEALTHY, times=2).passes(2).expects(incident("db").closed(Outcome.HEALED))
    play.expects_untouched("db").comes_to_rest()


# The cause before the symptom.


def test_the_cause_is_healed_and_its_symptoms_recover_without_being_touched(play: Play) -> None:
    dead_db(play).passes(2)
    waits = [incident(path).held(Refusal.UPSTREAM_FAILING) for path in ("api", "web", "group/0", "group/1")]
    play.expects(*waits)
    play.carries_out().expects(incident("db").verifying())
    play.sees_what_is(4).passes(1)
    play.expects(incident("db").closed(Outcome.HEALED))
    play.expects(*(incident(path).closed(Outcome.RECOVERED) for path in ("api", "web", "group/0")))
    play.expects_untouched("api", "web", "group/0", "group/1").expects_nothing_out()


def test_a_symptom_that_fails_still_after_its_cause_is_healed_is_healed_itself(play: Play) -> None:
    play.kills("db", "api").sees_what_is(3).passes(2).carries_out()
    play.sees_what_is(5).passes(1).expects(incident("db").closed(Outcome.HEALED))
    play.sees_what_is(3).passes(5).carries_out().expects(incident("api").verifying())
    play.expects_untouched("web")


def test_members_of_a_group_that_fall_together_share_one_update(play: Play) -> None:
    play.kills("group/0", "group/1").sees_what_is(2).passes(2).carries_out()
    play.expects(incident("group/0").verifying(), incident("group/1").verifying())
    assert len({c.repair.id for c in play.changes if isinstance(c, RepairChanged)}) == 1
    assert len(play.world.updates[SHOP]) == 1


def test_a_stack_in_another_cloud_is_healed_at_the_same_time() -> None:
    play = Play((replace(POLICY, match=Match(type=TYPE)),))
    play.kills("db").kills("db", root=LAB).sees_what_is(2).passes(2)
    assert {command.repair.root for command in play.out} == {SHOP, LAB}
    play.comes_to_rest()


def test_one_of_two_that_recovers_before_the_update_keeps_it_from_being_asked_for(play: Play) -> None:
    play.kills("group/0", "group/1").sees_what_is(2).passes(2).until(Step.PREVIEW)
    play.world.dead.remove(play.world.current(Target(SHOP, "group/1")))
    play.sees_what_is(2).step(Step.PREVIEW).done().step(Step.UNMARK).done()
    play.expects(incident("group/1").closed(Outcome.RECOVERED))
    play.passes(6).carries_out().expects(incident("group/0").verifying()).expects_untouched("group/1")


# Nothing is done that was not wanted any more.


@pytest.mark.parametrize("step", [Step.MARK, Step.PREVIEW, Step.CONVERGE])
def test_what_has_been_replaced_by_another_hand_meanwhile_is_left_alone(play: Play, step: Step) -> None:
    dead_db(play).passes(2).until(Step.MARK)
    play.world.replace(DB)
    play.step(Step.MARK).done()
    play.carries_out().reads().expects(incident("db").closed(Outcome.SUPERSEDED))
    assert play.world.current(DB).endswith("-2")
    assert step in NATURE


@pytest.mark.parametrize(
    "step", [s for s in Step if NATURE[s].mutates and s not in {Step.UNMARK, Step.POWER}]
)
def test_the_stop_file_stops_it_right_before_the_call(play: Play, step: Step) -> None:
    dead_db(play).passes(2).until(step).step(step).fails(Failure.STOPPED, "STOP is there")
    play.carries_out().expects(incident("db").held(Refusal.STOPPED)).expects_untouched("db")
    assert not play.state.attempts


def test_the_stop_file_stops_a_reboot() -> None:
    play = Play((REBOOTING,))
    play.sees("db", UNHEALTHY, times=2).passes(2).until(Step.POWER).step(Step.POWER).fails(Failure.STOPPED)
    play.expects(incident("db").held(Refusal.STOPPED)).expects_nothing_out()
    assert not play.state.attempts
    play.comes_to_rest()


@pytest.mark.parametrize("before", [Step.MARK, Step.CONVERGE])
def test_a_pause_that_comes_before_a_call_is_kept(play: Play, before: Step) -> None:
    dead_db(play).passes(2).until(before)
    play.pauses("stack:shop").starts_again()
    assert play.step(before).command.objection is not None
    play.carries_out()
    assert not play.world.updates[SHOP]
    assert not play.world.marks()
    play.expects(incident("db").held(Refusal.STOPPED))
    play.resumes().sees_what_is(2).passes(5).carries_out().expects(incident("db").verifying())


def test_a_busy_stack_is_waited_for(play: Play) -> None:
    play.world.busy.add(SHOP)
    dead_db(play).passes(2).carries_out().expects(incident("db").held(Refusal.STACK_BUSY))
    play.world.busy.clear()
    play.reads().expects(incident("db").held(Refusal.UNCONFIRMED))
    play.sees_what_is(2).carries_out().expects(incident("db").verifying())


def test_an_update_that_begins_between_inspection_and_mark_is_waited_for(play: Play) -> None:
    dead_db(play).passes(2).until(Step.MARK)
    play.world.busy.add(SHOP)
    play.step(Step.MARK).done().step(Step.UNMARK).done().expects(incident("db").remediating())
    play.world.busy.clear()
    play.passes(60).carries_out().sees("db", UNHEALTHY).passes(6).carries_out()
    play.expects(incident("db").verifying())


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (Failure.FORBIDDEN, Refusal.FORBIDDEN),
        (Failure.BUSY, Refusal.STACK_BUSY),
        (Failure.GONE, Refusal.STALE_INCARNATION),
        (Failure.STALE, Refusal.STALE_INCARNATION),
    ],
)
def test_what_the_engine_refuses_to_mark_is_held_for_that(
    play: Play, failure: Failure, reason: Refusal
) -> None:
    dead_db(play).passes(2).until(Step.MARK).step(Step.MARK).fails(failure).step(Step.UNMARK).done()
    play.expects(incident("db").held(reason)).expects_untouched("db")


def test_a_preview_that_moves_more_unwinds_and_waits_for_a_person(play: Play) -> None:
    dead_db(play).passes(2).until(Step.PREVIEW)
    play.step(Step.PREVIEW).ends(Done(Previewed({SHOP.id: frozenset({"db", "web"})}))).step(
        Step.UNMARK
    ).done()
    play.expects(incident("db").held(Refusal.PREVIEW_MOVED)).expects_untouched("db", "web")


# Updates that do not do what they should.


def test_an_update_that_passes_the_mark_by_is_asked_for_again(play: Play) -> None:
    dead_db(play).passes(2).until(Step.FOLLOW)
    play.world.finish(SHOP, passes_by=True)
    play.step(Step.FOLLOW).done().step(Step.PROVE).done().step(Step.MARK).done()
    play.carries_out().expects(incident("db").verifying())
    assert play.world.replaced == ["shop/db-1"]
    assert len(play.state.attempts) == 1


def test_an_update_that_fails_leaves_no_mark_and_the_next_rung_tells_somebody(play: Play) -> None:
    dead_db(play).passes(2).until(Step.FOLLOW)
    play.world.finish(SHOP, well=False)
    play.step(Step.FOLLOW).done().step(Step.UNMARK).done().step(Step.NOTIFY).done()
    play.expects(incident("db").exhausted())
    assert not play.world.marks()


@pytest.mark.parametrize("fate", [Fate.LOST, Fate.SILENT])
@pytest.mark.parametrize("step", [Step.MARK, Step.PREVIEW, Step.CONVERGE, Step.FOLLOW, Step.PROVE])
def test_an_answer_that_is_lost_is_asked_for_again_and_nothing_is_done_twice(
    play: Play, step: Step, fate: Fate
) -> None:
    dead_db(play).passes(2).until(step)
    if step is Step.FOLLOW:
        play.world.finish(SHOP)
    play.step(step).ends(play.world.perform(play.out[0], fate)).expects_nothing_out()
    play.passes(1).carries_out().expects(incident("db").verifying())
    assert play.world.replaced == ["shop/db-1"]
    assert len(play.world.updates[SHOP]) == 1


@pytest.mark.parametrize("step", RECIPES["replace"].steps)
def test_a_daemon_that_is_killed_at_any_step_goes_on_there_and_replaces_once(play: Play, step: Step) -> None:
    dead_db(play).passes(2).until(step)
    play.starts_again().step(step)
    assert play.out[0].resumed
    play.sees_what_is(2).carries_out().expects(incident("db").verifying())
    assert play.world.replaced == ["shop/db-1"]


@pytest.mark.parametrize("step", RECIPES["replace"].steps)
def test_a_daemon_that_is_killed_after_a_step_before_it_hears_of_it_replaces_once(
    play: Play, step: Step
) -> None:
    dead_db(play).passes(2).until(step)
    if step is Step.FOLLOW:
        play.world.finish(SHOP)
    play.world.perform(play.out[0])
    play.starts_again().sees_what_is(2).carries_out().expects(incident("db").verifying())
    assert play.world.replaced == ["shop/db-1"]
    assert len(play.world.updates[SHOP]) == 1


def test_what_takes_long_tells_how_far_it_is(play: Play) -> None:
    dead_db(play).passes(2).until(Step.FOLLOW)
    play.step(Step.FOLLOW).ends(Pending(timedelta(seconds=2), "creating db", 1, 2)).expects_nothing_out()
    play.passes(2).carries_out().expects(incident("db").verifying())


# The ladder.


def test_a_reboot_that_does_not_help_is_followed_by_a_replacement() -> None:
    play = Play((REBOOTING,))
    play.sees("db", UNHEALTHY, times=2).passes(2).until(Step.POWER).answers().expects(
        incident("db").verifying()
    )
    play.sees("db", UNHEALTHY, times=2).passes(58).carries_out()
    play.expects(incident("db").verifying())
    assert play.world.replaced == ["shop/db-1"]
    play.comes_to_rest()


def test_what_no_rung_helps_is_told_and_needs_a_person_and_may_come_back_by_itself(play: Play) -> None:
    play.sees("db", UNHEALTHY, times=2).passes(2).carries_out()
    play.sees("db", UNHEALTHY, times=2).passes(58).step(Step.NOTIFY).done().expects(
        incident("db").exhausted()
    )
    play.sees("db", UNHEALTHY, times=20).passes(3600).expects_nothing_out().expects(
        incident("db").exhausted()
    )
    play.sees("db", HEALTHY, times=2).expects(incident("db").closed(Outcome.RECOVERED))


def test_what_is_healed_again_and_again_is_given_a_rest(play: Play) -> None:
    for heals in range(3):
        dead_db(play).passes(2).carries_out().sees_what_is(6).passes(1)
        play.expects(incident("db").closed(Outcome.HEALED))
        assert len(play.state.attempts) == heals + 1
        play.sees_what_is(30)
    dead_db(play).passes(2).expects(incident("db").held(Refusal.ATTEMPTS))
    play.passes(3600).carries_out().expects(incident("db").verifying())


# Policies.


def test_a_policy_that_observes_says_what_it_would_do_and_does_it_once_it_may() -> None:
    play = Play((replace(POLICY, mode=Mode.OBSERVE),))
    dead_db(play).passes(2).carries_out().expects(incident("db").would_heal())
    found = play.latest("db")
    assert found is not None
    assert found.plan is not None
    assert [one.path for one in found.plan.condemned] == ["db"]
    assert not play.world.marks()
    play.policies = (POLICY,)
    play.happens(PoliciesLoaded(play.policies, RECIPES)).carries_out().expects(incident("db").verifying())
    play.comes_to_rest()


def test_an_operator_passes_an_observing_policy_and_that_is_written_down() -> None:
    play = Play((replace(POLICY, mode=Mode.OBSERVE),))
    play.asks("web").carries_out()
    asked = play.latest("web")
    assert asked is not None
    assert asked.request is not None
    assert asked.request.overrides == (Refusal.OBSERVE,)
    assert play.world.replaced == ["shop/web-1"]
    play.comes_to_rest()


def test_what_would_take_another_with_it_is_refused_by_kind_and_by_number() -> None:
    play = Play()
    snapshot = play.world.stacks[SHOP]
    hard = Reference("web", "command", "api", "port", Effect.REPLACED)
    play.world.stacks[SHOP] = replace(snapshot, references=(*snapshot.references, hard))
    play.kills("api").sees_what_is(3).passes(2).carries_out()
    play.expects(incident("api").held(Refusal.BLAST_RADIUS)).expects_untouched("api", "web")
    bound = replace(POLICY.guardrails, blast_radius=BlastRadius(collateral=1))
    play.happens(PoliciesLoaded((replace(POLICY, guardrails=bound),), RECIPES)).until(Step.MARK)
    play.comes_to_rest()


def test_what_every_update_replaces_counts_even_if_it_only_lies_by() -> None:
    play = Play()
    snapshot = play.world.stacks[SHOP]
    handle = replace(
        snapshot.resources["group/1"], type="OS::Heat::UpdateWaitConditionHandle", always_replaced=True
    )
    play.world.stacks[SHOP] = replace(snapshot, resources={**snapshot.resources, "group/1": handle})
    play.reads().sees("web", UNHEALTHY, times=2).passes(2).carries_out()
    play.expects(incident("web").held(Refusal.BLAST_RADIUS)).comes_to_rest()


def test_an_update_of_somebody_else_s_that_failed_is_not_finished_by_a_heal(play: Play) -> None:
    play.world.stacks[SHOP] = replace(
        play.world.stacks[SHOP], action="UPDATE", state=StackState.FAILED, updated_at=play.now
    )
    dead_db(play.reads()).passes(2).carries_out()
    play.expects(incident("db").held(Refusal.FOREIGN_CHANGES)).expects_untouched("db")


def test_a_policy_that_is_taken_away_leaves_what_is_under_way_to_end(play: Play) -> None:
    dead_db(play).passes(2).until(Step.CONVERGE).happens(PoliciesLoaded((), RECIPES))
    play.carries_out()
    assert play.world.replaced == ["shop/db-1"]
    assert not play.world.marks()


# Alarms.


def test_an_alarm_is_enough_by_itself_and_its_end_ends_the_heal() -> None:
    play = Play((UNWATCHED,))
    selector = Selector(stack="shop", resource="web")
    play.alarms(FIRING, selector).passes(2).carries_out().expects(incident("web").verifying())
    play.alarms(CLEARED, selector, since=play.now).passes(3)
    play.expects(incident("web").closed(Outcome.HEALED)).comes_to_rest()


@pytest.mark.parametrize(
    ("selector", "outcome"),
    [
        (Selector(stack="shop", resource="db"), AlarmOutcome.MATCHED),
        (Selector(stack="shop", resource="cache"), AlarmOutcome.UNMATCHED),
        (Selector(stack="nowhere", resource="db"), AlarmOutcome.UNMATCHED),
        (Selector(resource="db"), AlarmOutcome.AMBIGUOUS),
        (Selector(stack="lab", resource="db"), AlarmOutcome.UNOWNED),
        (Selector(stack="shop", resource="1"), AlarmOutcome.MATCHED),
        (Selector(physical_id="shop/group/1-1"), AlarmOutcome.MATCHED),
    ],
)
def test_an_alarm_becomes_what_it_means(play: Play, selector: Selector, outcome: AlarmOutcome) -> None:
    play.alarms(FIRING, selector)
    assert play.settled() == [outcome]
    play.alarms(CLEARED, selector)


def test_an_alarm_about_what_was_healed_away_is_too_late_however_it_comes(play: Play) -> None:
    before = play.now
    dead_db(play).passes(2).carries_out().sees_what_is(6).passes(1).expects(
        incident("db").closed(Outcome.HEALED)
    )
    play.alarms(FIRING, Selector(physical_id="shop/db-1"), key="by id")
    play.alarms(FIRING, Selector(stack="shop", resource="db"), since=before, key="by name")
    assert play.settled() == [AlarmOutcome.STALE, AlarmOutcome.STALE]
    play.passes(60).expects_nothing_out()


def test_an_alarm_that_comes_before_anything_was_read_is_asked_again_and_one_that_is_over_is_nothing() -> (
    None
):
    play = Play((UNWATCHED,)).dies()
    play.happens(PoliciesLoaded((UNWATCHED,), RECIPES))
    selector = Selector(stack="shop", resource="web")
    play.alarms(FIRING, selector).alarms(FIRING, Selector(stack="shop", resource="api"), key="other")
    play.alarms(CLEARED, selector, since=play.now)
    assert play.settled() == []
    play.reads(SHOP).reads(LAB)
    assert play.settled() == [AlarmOutcome.MATCHED] * 3
    play.expects(incident("web").closed(Outcome.CANCELLED)).passes(2)
    assert [len(command.incidents) for command in play.out] == [1]
    play.comes_to_rest()


# Ends that nobody here brings about.


def test_a_stack_that_is_deleted_takes_its_incidents_with_it(play: Play) -> None:
    play.sees("web", UNHEALTHY, times=2).happens(Listed(SHOP.cloud, frozenset()))
    play.expects(incident("web").closed(Outcome.GONE)).passes(60).expects_nothing_out()


def test_a_person_lets_go_of_it(play: Play) -> None:
    play.sees("web", UNHEALTHY, times=2)
    play.happens(Released(next(iter(play.state.incidents)), "alice"))
    play.expects(incident("web").closed(Outcome.RELEASED)).sees("web", UNHEALTHY, times=9).passes(60)
    play.expects_nothing_out()


# Looking first.


def test_unknown_heals_nothing(play: Play) -> None:
    play.sees("db", UNKNOWN, times=50).passes(60).expects_nothing_out()
    assert not play.state.incidents


def test_a_cloud_that_cannot_be_read_is_not_touched(play: Play) -> None:
    play.happens(Unreachable(SHOP.cloud, "connection refused"))
    dead_db(play).passes(60).expects_nothing_out()
    play.expects(incident("db").held(Refusal.CLOUD_UNREACHABLE)).reads()
    play.step(Step.INSPECT)


@pytest.mark.parametrize("state", ["open", "held", "verifying", "exhausted"])
def test_a_daemon_that_comes_back_finds_each_incident_as_it_left_it(state: str) -> None:
    play = Play().sees("db", UNHEALTHY, times=2)
    if state == "held":
        play.pauses()
    if state != "open":
        play.passes(2).carries_out()
    if state == "exhausted":
        play.sees("db", UNHEALTHY, times=2).passes(58).carries_out()
    found = play.latest("db")
    assert found is not None
    assert str(found.state) == state
    play.starts_again()
    assert [str(one.state) for one in play.state.incidents.values()] == [state]
    play.expects_nothing_out().comes_to_rest()


def test_what_waited_before_a_restart_must_be_seen_failing_after_it(play: Play) -> None:
    play.sees("web", UNHEALTHY, times=2).starts_again().passes(10)
    play.expects(incident("web").held(Refusal.UNCONFIRMED)).expects_nothing_out()
    play.sees("web", UNHEALTHY, times=2).step(Step.INSPECT)


def test_what_comes_too_late_or_too_early_changes_nothing(play: Play) -> None:
    dead_db(play)
    event = Woken()
    changes_nothing(event, play.happens(event).last)
    play.passes(2).until(Step.PREVIEW)
    present = play.out[0].repair
    for attempt in (present.attempt - 1, present.attempt + 1):
        late = Reported(present.id, attempt, Done())
        changes_nothing(late, play.happens(late).last)
    play.carries_out().sees_what_is(6).passes(1)
    late = Reported(present.id, present.attempt, Done())
    changes_nothing(late, play.happens(late).last)


def test_time_that_was_lost_proves_nothing_against_what_is_being_verified(play: Play) -> None:
    dead_db(play).passes(2).carries_out().expects(incident("db").verifying())
    play.now += timedelta(hours=2)
    play.happens(Resumed(7200)).happens(Woken()).expects(incident("db").verifying()).expects_nothing_out()
    play.sees_what_is(4).passes(3).expects(incident("db").closed(Outcome.HEALED))


def test_a_reading_that_was_overtaken_undoes_nothing(play: Play) -> None:
    old = play.world.snapshot(SHOP)
    dead_db(play).passes(2).carries_out().happens(Snapped(old)).sees_what_is(6).passes(1)
    play.expects(incident("db").closed(Outcome.HEALED))


def test_it_tells_its_story_in_order(play: Play) -> None:
    dead_db(play).passes(2).carries_out().sees_what_is(6).passes(1)
    told = [c.kind for c in play.changes if isinstance(c, IncidentChanged) and c.incident.target == DB]
    assert told == ["opened", "admitted", "remediated", "closed"]


def test_an_empty_ladder_heals_nothing_and_says_so() -> None:
    play = Play((replace(POLICY, remediations=(Remediation("evacuate"),)),))
    dead_db(play).passes(2).expects(incident("db").held(Refusal.NO_POLICY)).expects_nothing_out()
    assert all(one.state is IncidentState.HELD for one in play.state.incidents.values())
    play.comes_to_rest()
