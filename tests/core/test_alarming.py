"""What an alarm means for the target that it is about, and what is kept of it over a restart."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from healer.core.alarming import lately_taken_back
from healer.core.change import AlarmOutcome, AlarmsSettled
from healer.core.event import Alarmed, Listed, Released, Renewed, Unreachable, Woken
from healer.core.incident import IncidentState, Outcome
from healer.core.model import Alarm, AlarmStatus, Selector, Target
from healer.core.policy import Match, Mode
from healer.core.step import Step
from tests.core.driven import POLICY, SHOP, START, Driven, shop, tier
from tests.core.test_causes_and_symptoms import UNWATCHED, outcomes
from tests.core.test_progress import incident

DB = Target(SHOP, "db")


def settled(driven: Driven) -> list[AlarmOutcome]:
    return [change.outcome for change in driven.changes if isinstance(change, AlarmsSettled)]


def alarm(driven: Driven, selector: Selector, key: str = "k") -> None:
    driven.happen(Alarmed((Alarm("am", key, AlarmStatus.FIRING, driven.now, driven.now, selector),)))


def test_alarms_become_what_they_mean() -> None:
    driven = Driven(replace(POLICY, match=Match(type="Local::Process", resource="[dw]*")))
    driven.read(shop(**{"group/db": replace(tier("db", "inner-1"), path="group/db")}))
    for key, selector in {
        "a": Selector(stack="shop", resource="web"),
        "b": Selector(stack="shop", resource="cache"),
        "c": Selector(stack="shop", resource="db"),
        "d": Selector(stack="shop", resource="api"),
    }.items():
        alarm(driven, selector, key)
    assert settled(driven) == [
        AlarmOutcome.MATCHED,
        AlarmOutcome.UNMATCHED,
        AlarmOutcome.AMBIGUOUS,
        AlarmOutcome.UNOWNED,
    ]
    assert next(iter(driven.state.incidents.values())).target.path == "web"
    assert not driven.state.alarms


def test_an_alarm_about_what_was_healed_away_is_stale() -> None:
    driven = Driven()
    driven.heal("db")
    driven.look(False, "web", times=1)
    alarm(driven, Selector(physical_id="db-1"), "by id")
    driven.alarm("db", since=START)
    assert settled(driven) == [AlarmOutcome.STALE, AlarmOutcome.STALE]
    assert driven.incident("db") is None


def test_an_alarm_that_began_before_somebody_else_replaced_the_thing_is_about_its_predecessor() -> None:
    driven = Driven()
    made = driven.now + timedelta(seconds=5)
    driven.read(shop(db=replace(tier("db", "db-2"), created_at=made)))
    driven.now = made + timedelta(seconds=20)
    driven.alarm("db", since=made)
    assert settled(driven) == [AlarmOutcome.STALE]
    assert driven.incident("db") is None
    driven.alarm("db", since=made + timedelta(seconds=1))
    assert driven.incident("db") is not None


def test_an_alarm_that_names_the_very_thing_counts_whenever_it_began() -> None:
    driven = Driven()
    driven.read(shop(db=replace(tier("db", "db-2"), created_at=driven.now)))
    alarm(driven, Selector(physical_id="db-2"), "by id")
    assert settled(driven) == [AlarmOutcome.MATCHED]


def test_an_alarm_that_began_after_the_heal_counts() -> None:
    driven = Driven()
    driven.heal("db")
    driven.alarm("db", since=driven.now)
    assert driven.incident("db") is not None


def test_an_alarm_that_is_taken_back_before_anything_was_done_calls_it_off() -> None:
    driven = Driven(UNWATCHED)
    driven.alarm("db")
    driven.alarm("db", status=AlarmStatus.CLEARED)
    assert outcomes(driven, "db") == [Outcome.CANCELLED]
    assert not driven.out


def test_an_alarm_is_told_by_its_summary_or_its_name() -> None:
    driven = Driven()
    one = Alarm(
        "am",
        "k",
        AlarmStatus.FIRING,
        START,
        START,
        Selector(stack="shop", resource="db"),
        {"alertname": "DbDown"},
    )
    driven.happen(Alarmed((one,)))
    assert incident(driven).detail == "DbDown"
    driven.happen(
        Alarmed(
            (
                replace(
                    one,
                    key="l",
                    selector=Selector(stack="shop", resource="api"),
                    annotations={"summary": "api is dead"},
                ),
            )
        )
    )
    assert incident(driven, "api").detail == "api is dead"


def test_an_alarm_that_may_mean_what_cannot_be_read_yet_is_asked_again() -> None:
    driven = Driven()
    driven.happen(Unreachable("there", "it has not been read yet"))
    alarm(driven, Selector(stack="other", resource="db"))
    assert settled(driven) == []
    assert len(driven.state.alarms) == 1
    driven.alarm("db")
    assert settled(driven) == [AlarmOutcome.MATCHED]
    driven.happen(Listed("there", frozenset()))
    assert settled(driven) == [AlarmOutcome.MATCHED, AlarmOutcome.UNMATCHED]


def test_an_alarm_of_before_the_restart_is_not_taken_back_by_a_probe() -> None:
    driven = Driven()
    driven.alarm("db")
    driven.begin()
    driven.look(True, "db", times=5)
    assert driven.incident("db") is not None
    driven.alarm("db", status=AlarmStatus.CLEARED)
    assert outcomes(driven, "db") == [Outcome.CANCELLED]


def test_what_an_alarm_has_said_last_is_known_over_a_restart() -> None:
    """Its sender says it once: the healthy successor would be replaced, as nobody had seen it healthy."""
    driven = Driven(UNWATCHED)
    driven.alarm("db")
    driven.pass_time(1)
    driven.carry_out(Step.FOLLOW)
    driven.alarm("db", status=AlarmStatus.CLEARED)
    assert set(incident(driven).alarms.values()) == {False}
    driven.begin()
    driven.carry_out()
    driven.begin()
    assert incident(driven).state is IncidentState.VERIFYING
    driven.pass_time(2)
    assert outcomes(driven, "db") == [Outcome.HEALED]


def test_an_alarm_that_stands_does_so_over_a_restart_and_may_be_raised_again() -> None:
    driven = Driven(UNWATCHED)
    driven.alarm("db")
    driven.pass_time(1)
    driven.carry_out(Step.FOLLOW)
    driven.alarm("db", status=AlarmStatus.CLEARED)
    driven.pass_time(1)
    driven.alarm("db", since=driven.now)
    assert set(incident(driven).alarms.values()) == {True}
    driven.begin()
    driven.carry_out()
    driven.pass_time(30)
    assert incident(driven).state is IncidentState.VERIFYING


def test_an_alarm_of_another_sender_stands_over_a_restart_too() -> None:
    driven = Driven(UNWATCHED)
    driven.alarm("db")
    driven.pass_time(1)
    driven.carry_out()
    driven.alarm("db", status=AlarmStatus.CLEARED)
    driven.pass_time(1)
    selector = Selector(stack="shop", resource="db")
    other = Alarm("am", "another", AlarmStatus.FIRING, driven.now, driven.now, selector)
    driven.happen(Alarmed((other,)))
    driven.begin()
    driven.pass_time(30)
    assert incident(driven).state is IncidentState.VERIFYING


def test_an_alarm_by_the_id_of_what_was_healed_away_is_taken_back_by_that_id() -> None:
    driven = Driven(UNWATCHED)
    alarm(driven, Selector(physical_id="db-1"))
    driven.pass_time(1)
    driven.carry_out()
    assert incident(driven).current.physical_id == "db-2"
    over = Alarm("am", "k", AlarmStatus.CLEARED, driven.now, driven.now, Selector(physical_id="db-1"))
    driven.happen(Alarmed((over, replace(over, key="another"))))
    assert settled(driven) == [AlarmOutcome.MATCHED, AlarmOutcome.MATCHED, AlarmOutcome.STALE]
    driven.pass_time(2)
    assert outcomes(driven, "db") == [Outcome.HEALED]


OBSERVE = replace(UNWATCHED, mode=Mode.OBSERVE)


def lasting(driven: Driven, seconds: float, path: str = "db", **changes: Any) -> Alarm:
    """An alarm that ends by itself unless it is sent again."""
    ends = driven.now + timedelta(seconds=seconds)
    one = Alarm("am", "k", AlarmStatus.FIRING, driven.now, driven.now, Selector(stack="shop", resource=path))
    return replace(one, expires_at=ends, **changes)


def test_an_alarm_that_its_sender_cannot_vouch_for_is_no_evidence_of_anything() -> None:
    driven = Driven(UNWATCHED)
    alarm(driven, Selector(stack="shop", resource="db"))
    standing = incident(driven)
    unknown = Alarm(
        "am", "k", AlarmStatus.UNKNOWN, driven.now, driven.now, Selector(stack="shop", resource="db")
    )
    driven.happen(
        Alarmed((unknown, replace(unknown, key="l", selector=Selector(stack="shop", resource="web"))))
    )
    assert settled(driven) == [AlarmOutcome.MATCHED, AlarmOutcome.NO_EVIDENCE, AlarmOutcome.NO_EVIDENCE]
    assert incident(driven).id == standing.id
    assert driven.incident("web") is None


def test_an_alarm_that_is_not_sent_again_is_over_at_its_end() -> None:
    driven = Driven(OBSERVE)
    driven.happen(Alarmed((lasting(driven, 60),)))
    assert incident(driven).expiries == {"alarm:am:k": driven.now + timedelta(seconds=60)}
    driven.pass_time(59)
    assert driven.incident("db") is not None
    driven.pass_time(2)
    assert outcomes(driven, "db") == [Outcome.CANCELLED]
    assert not driven.state.expiries


def test_an_alarm_that_is_sent_again_stands_as_long_again() -> None:
    driven = Driven(OBSERVE)
    first = lasting(driven, 60)
    driven.happen(Alarmed((first,)))
    driven.pass_time(50)
    driven.happen(Renewed((replace(first, expires_at=driven.now + timedelta(seconds=60)),)))
    driven.pass_time(50)
    assert driven.incident("db") is not None
    driven.happen(Renewed((replace(first, key="of something else"),)))
    driven.pass_time(11)
    assert driven.incident("db") is None


def sent_again(driven: Driven, alarm: Alarm) -> None:
    driven.happen(Renewed((replace(alarm, expires_at=driven.now + timedelta(seconds=60)),)))


def test_an_alarm_that_had_come_to_its_end_is_raised_again_where_its_sender_speaks_again() -> None:
    """A Prometheus that was away for longer than its alerts last goes on with those that it had."""
    driven = Driven(OBSERVE)
    first = lasting(driven, 60)
    driven.happen(Alarmed((first,)))
    driven.pass_time(61)
    assert driven.incident("db") is None
    sent_again(driven, first)
    assert incident(driven).alarms == {"alarm:am:k": True}
    driven.pass_time(59)
    assert driven.incident("db") is not None
    driven.pass_time(2)
    assert driven.incident("db") is None


def over(alarm: Alarm, driven: Driven) -> Alarm:
    return replace(alarm, status=AlarmStatus.CLEARED, expires_at=None, received_at=driven.now)


def test_a_repetition_that_is_late_raises_nothing_that_was_taken_back() -> None:
    driven = Driven(OBSERVE)
    first = lasting(driven, 60)
    driven.happen(Alarmed((first,)))
    driven.happen(Alarmed((over(first, driven),)))
    driven.pass_time(299)
    sent_again(driven, first)
    assert driven.incident("db") is None


def test_who_says_for_minutes_what_was_taken_back_means_it() -> None:
    """An Alertmanager that was cut off says that all is over, and then goes on with the alert as it was."""
    driven = Driven(OBSERVE)
    first = lasting(driven, 60)
    driven.happen(Alarmed((first,)))
    end = over(first, driven)
    driven.happen(Alarmed((end,)))
    driven.pass_time(300)
    sent_again(driven, first)
    assert incident(driven).alarms == {"alarm:am:k": True}
    driven.happen(Renewed((over(first, driven),)))
    assert driven.incident("db") is None
    driven.happen(Renewed((end,)))
    assert driven.incident("db") is None


def test_what_comes_after_its_own_end_is_stale() -> None:
    """One of a pair says that it is over, and then the other that it has begun."""
    driven = Driven(OBSERVE)
    first = lasting(driven, 60)
    driven.happen(Alarmed((over(first, driven),)))
    driven.happen(Alarmed((first,)))
    assert settled(driven) == [AlarmOutcome.MATCHED, AlarmOutcome.STALE]
    assert driven.incident("db") is None
    driven.happen(Alarmed((replace(first, started_at=driven.now + timedelta(seconds=1)),)))
    assert driven.incident("db") is not None


def test_what_was_taken_back_lately_is_known_over_a_restart() -> None:
    driven = Driven(OBSERVE)
    first = lasting(driven, 60)
    driven.state.taken_back = {first.voice: over(first, driven)}
    sent_again(driven, first)
    assert driven.incident("db") is None
    driven.pass_time(300)
    driven.happen(Woken())
    assert not driven.state.taken_back


def test_the_end_of_an_earlier_one_ends_no_later_one() -> None:
    driven = Driven(OBSERVE)
    first = lasting(driven, 600)
    driven.happen(Alarmed((first, over(first, driven))))
    driven.pass_time(10)
    later = replace(first, started_at=driven.now)
    driven.happen(Alarmed((later,)))
    driven.happen(Renewed((over(first, driven),)))
    assert driven.incident("db") is not None
    driven.happen(Alarmed((over(later, driven),)))
    assert driven.incident("db") is None


def test_the_order_of_what_was_kept_says_who_was_taken_back() -> None:
    driven = Driven(OBSERVE)
    first = lasting(driven, 60)
    end = over(first, driven)
    again = replace(first, started_at=driven.now + timedelta(seconds=1))
    latest = driven.now
    assert lately_taken_back([first, end, first], latest) == {first.voice: end}
    assert lately_taken_back([first, end, again], latest) == {}
    assert lately_taken_back([first, end], latest + timedelta(minutes=5)) == {}


def test_an_alarm_whose_end_has_passed_before_it_is_understood_is_stale() -> None:
    driven = Driven(OBSERVE)
    first = lasting(driven, 60)
    driven.happen(Unreachable("here", "it is away"))
    late = replace(first, selector=Selector(stack="shop", resource="late"))
    driven.happen(Alarmed((late,)))
    driven.pass_time(61)
    driven.read(shop(late=replace(tier("late", "late-1"), path="late")))
    assert settled(driven) == [AlarmOutcome.STALE]
    assert driven.incident("late") is None


def test_what_waits_to_be_understood_is_asked_of_the_stack_that_comes_in() -> None:
    driven = Driven(OBSERVE)
    driven.happen(Unreachable("here", "it is away"))
    late = replace(lasting(driven, 60), selector=Selector(stack="shop", resource="late"))
    stranger = replace(late, key="s", selector=Selector(stack="bank", resource="late"))
    driven.happen(Alarmed((late, stranger)))
    assert settled(driven) == []
    driven.read(shop(late=replace(tier("late", "late-1"), path="late")))
    assert driven.incident("late") is not None
    assert list(driven.state.alarms) == [stranger.identity]


def test_a_heal_in_place_outlives_what_names_the_same_incarnation() -> None:
    """A reboot keeps the physical id: what began before it is not evidence against what it came to."""
    driven = Driven()
    since = driven.now
    driven.heal("db")
    (attempt,) = driven.state.attempts.values()
    driven.state.attempts[attempt.id] = replace(attempt, physical_id="db-2")
    driven.pass_time(60)
    named = Alarm(
        "am", "k", AlarmStatus.FIRING, since, driven.now, Selector(stack="shop", physical_id="db-2")
    )
    driven.happen(Alarmed((named,)))
    driven.happen(Renewed((named,)))
    assert settled(driven) == [AlarmOutcome.STALE]
    assert driven.incident("db") is None


def test_what_still_fires_after_a_restart_is_raised_by_its_repetition() -> None:
    driven = Driven(OBSERVE)
    first = lasting(driven, 60)
    driven.happen(Alarmed((first,)))
    driven.pass_time(61)
    driven.begin()
    sent_again(driven, first)
    assert driven.incident("db") is not None


def test_what_meant_nothing_here_at_first_is_raised_once_it_does() -> None:
    driven = Driven(OBSERVE)
    late = replace(lasting(driven, 60), selector=Selector(stack="shop", resource="late"))
    driven.happen(Alarmed((late,)))
    assert settled(driven) == [AlarmOutcome.UNMATCHED]
    sent_again(driven, late)
    assert driven.incident("late") is None
    driven.read(shop(late=replace(tier("late", "late-1"), path="late")))
    sent_again(driven, late)
    assert driven.incident("late") is not None


@pytest.mark.parametrize("status", [AlarmStatus.CLEARED, AlarmStatus.UNKNOWN])
def test_only_what_fires_stands_longer_for_coming_again(status: AlarmStatus) -> None:
    driven = Driven(OBSERVE)
    first = lasting(driven, 60)
    driven.happen(Alarmed((first,)))
    driven.pass_time(50)
    driven.happen(Renewed((replace(first, status=status, expires_at=driven.now + timedelta(seconds=60)),)))
    driven.pass_time(11)
    assert driven.incident("db") is None


def test_an_end_that_hardly_moves_is_not_stored_anew() -> None:
    driven = Driven(OBSERVE)
    first = lasting(driven, 60)
    driven.happen(Alarmed((first,)))
    kept = incident(driven)
    driven.happen(Renewed((replace(first, expires_at=driven.now + timedelta(seconds=69)),)))
    assert incident(driven) is kept
    driven.happen(Renewed((replace(first, expires_at=driven.now + timedelta(seconds=71)),)))
    assert incident(driven).expiries == {"alarm:am:k": driven.now + timedelta(seconds=71)}


def test_an_alarm_of_which_nobody_says_any_more_when_it_ends_stands_until_it_is_taken_back() -> None:
    driven = Driven(OBSERVE)
    first = lasting(driven, 60)
    driven.happen(Alarmed((first,)))
    driven.happen(Alarmed((replace(first, expires_at=None, started_at=driven.now),)))
    driven.pass_time(120)
    assert incident(driven).expiries == {}
    over = replace(first, status=AlarmStatus.CLEARED, expires_at=None)
    driven.happen(Alarmed((over,)))
    assert driven.incident("db") is None


def test_an_end_is_known_over_a_restart() -> None:
    driven = Driven(OBSERVE)
    driven.happen(Alarmed((lasting(driven, 60),)))
    driven.begin()
    driven.pass_time(61)
    assert driven.incident("db") is not None  # It may have been sent while nobody listened.
    driven.pass_time(240)
    assert driven.incident("db") is None


def test_what_a_person_let_go_of_may_fail_again_once_its_alarm_has_come_to_its_end() -> None:
    driven = Driven(OBSERVE)
    first = lasting(driven, 60)
    driven.happen(Alarmed((first,)))
    driven.happen(Released(incident(driven).id, "anna"))
    driven.pass_time(61)
    driven.happen(Alarmed((replace(first, started_at=driven.now, expires_at=None),)))
    assert driven.incident("db") is not None


def test_an_alarm_about_a_host_is_about_all_that_runs_there() -> None:
    paths = [f"s{number}" for number in range(7)]
    driven = Driven(replace(OBSERVE, match=Match(resource="s*")))
    there = {path: replace(tier(path, f"{path}-1"), attributes={"host": "compute-1"}) for path in paths}
    driven.read(shop(**there))
    alarm(driven, Selector(host="compute-1"))
    assert {each.target.path for each in driven.state.incidents.values()} == set(paths)
    [told] = [change for change in driven.changes if isinstance(change, AlarmsSettled)]
    assert told.outcome is AlarmOutcome.MATCHED
    assert told.detail == "shop/s0, shop/s1, shop/s2, shop/s3, shop/s4 and 2 more"


def test_an_alarm_about_a_host_on_which_somebody_looks_after_one_thing_is_about_that() -> None:
    driven = Driven(replace(OBSERVE, match=Match(resource="db")))
    here = {"host": "compute-1"}
    driven.read(
        shop(
            api=replace(tier("api", "api-1"), attributes=here),
            db=replace(tier("db", "db-1"), attributes=here),
        )
    )
    alarm(driven, Selector(host="compute-1"))
    [told] = [change for change in driven.changes if isinstance(change, AlarmsSettled)]
    assert (told.outcome, told.detail) == (AlarmOutcome.MATCHED, "shop/db")
    assert told.incident == incident(driven).id


def test_an_alarm_that_names_nothing_when_it_is_over_is_taken_back_wherever_it_was_raised() -> None:
    """A load balancer names the members that fail, and when none does any more, only itself."""
    driven = Driven(OBSERVE)
    raised = [Selector(stack="shop", resource=path) for path in ("db", "web")]
    for number, selector in enumerate(raised):
        at = driven.now + timedelta(microseconds=number)
        driven.happen(Alarmed((Alarm("am", "lb", AlarmStatus.FIRING, at, at, selector),)))
    driven.happen(Alarmed((Alarm("am", "lb", AlarmStatus.CLEARED, driven.now, driven.now, Selector()),)))
    assert settled(driven) == [AlarmOutcome.MATCHED] * 3
    assert not driven.state.incidents


def test_an_alarm_about_a_host_that_is_not_sent_again_is_over_for_all_that_runs_there() -> None:
    driven = Driven(replace(OBSERVE, match=Match(resource="s*")))
    here = {"host": "compute-1"}
    driven.read(shop(**{path: replace(tier(path, f"{path}-1"), attributes=here) for path in ("s1", "s2")}))
    driven.happen(Alarmed((replace(lasting(driven, 60), selector=Selector(host="compute-1")),)))
    assert len(driven.state.incidents) == 2
    driven.pass_time(61)
    assert not driven.state.incidents
    assert not driven.state.expiries
