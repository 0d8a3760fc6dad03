"""What fails because something else does is not healed by the word that came before its cause was over."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from healer.core.change import IncidentChanged
from healer.core.incident import Outcome
from healer.core.model import AlarmStatus
from tests.core.driven import POLICY, Driven

UNWATCHED = replace(POLICY, detect=replace(POLICY.detect, watches=()))


def outcomes(driven: Driven, path: str) -> list[Outcome]:
    """Of the incidents of this resource that were closed."""
    return [
        change.incident.outcome
        for change in driven.changes
        if isinstance(change, IncidentChanged)
        and change.incident.target.path == path
        and change.incident.outcome is not None
    ]


@pytest.fixture
def driven() -> Driven:
    """All three alarms have come, db has been healed, and none of them has been taken back."""
    driven = Driven()
    driven.alarm("db", "api", "web")
    driven.pass_time(1)
    assert [driven.held(path) for path in ("api", "web")] == ["upstream_failing"] * 2
    driven.carry_out()
    driven.look(True, "db", times=4)
    driven.pass_time(1)
    assert outcomes(driven, "db") == [Outcome.HEALED]
    return driven


def test_the_alarm_of_a_symptom_heals_nothing_while_its_sender_may_still_take_it_back(driven: Driven) -> None:
    driven.pass_time(30)
    assert driven.held("api") == "unconfirmed"
    assert not driven.out


def test_the_alarm_of_a_symptom_that_is_taken_back_ends_it(driven: Driven) -> None:
    driven.alarm("api", "web", status=AlarmStatus.CLEARED)
    assert outcomes(driven, "api") == outcomes(driven, "web") == [Outcome.CANCELLED]
    assert not driven.out


def test_a_symptom_that_is_seen_healthy_is_left_alone_however_long_its_alarm_stands(driven: Driven) -> None:
    for _ in range(20):
        driven.look(True, "api", "web", times=10)
        driven.pass_time(1)
    assert driven.held("api") == "unconfirmed"
    assert not driven.out


def test_a_symptom_that_is_seen_failing_still_is_healed(driven: Driven) -> None:
    driven.look(False, "api")
    assert [command.repair.members for command in driven.out] == [(driven.incident("api").id,)]  # type: ignore[union-attr]


def test_a_symptom_of_which_a_new_alarm_comes_is_healed(driven: Driven) -> None:
    driven.pass_time(30)
    driven.alarm("api", since=driven.now - timedelta(seconds=1))
    assert len(driven.out) == 1


def test_an_alarm_that_nobody_can_check_counts_once_it_was_not_taken_back_in_time() -> None:
    driven = Driven(UNWATCHED)
    driven.alarm("db", "api")
    driven.pass_time(1)
    driven.carry_out()
    driven.alarm("db", status=AlarmStatus.CLEARED)
    driven.pass_time(3)
    assert driven.incident("db") is None
    driven.pass_time(POLICY.verify.within.total_seconds() - 1)
    assert driven.held("api") == "unconfirmed"
    driven.pass_time(1)
    assert len(driven.out) == 1


def test_a_restart_does_not_make_an_old_alarm_a_new_one(driven: Driven) -> None:
    driven.begin()
    driven.pass_time(30)
    assert driven.held("api") == "unconfirmed"
    assert not driven.out


def test_a_symptom_whose_cause_came_back_by_itself_must_be_seen_failing_anew() -> None:
    driven = Driven()
    driven.look(False, "db", "api")
    driven.look(True, "db")
    assert outcomes(driven, "db") == [Outcome.RECOVERED]
    driven.pass_time(5)
    assert driven.held("api") == "unconfirmed"
    assert not driven.out
    driven.look(False, "api")
    assert len(driven.out) == 1


def test_an_alarm_without_any_other_failure_counts_at_once() -> None:
    driven = Driven()
    driven.alarm("web")
    driven.pass_time(1)
    assert len(driven.out) == 1


def test_where_nobody_else_looks_the_end_of_the_alarm_ends_the_heal() -> None:
    driven = Driven(UNWATCHED)
    driven.alarm("web")
    driven.pass_time(1)
    driven.carry_out()
    driven.pass_time(5)
    assert outcomes(driven, "web") == []
    driven.alarm("web", status=AlarmStatus.CLEARED)
    driven.pass_time(POLICY.verify.stable_for.total_seconds())
    assert outcomes(driven, "web") == [Outcome.HEALED]
