"""An update of ours that does not end in time is asked for once more, for its engine may have died in it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from healer.core.change import AttemptChanged, Pause, RepairChanged
from healer.core.event import Paused
from healer.core.incident import IncidentState
from healer.core.model import StackState
from healer.core.repair import RESUMPTIONS
from healer.core.step import Done, Failed, Failure, Pending, Read, Step
from tests.core.driven import POLICY, Driven

LONG = POLICY.remediations[0].timeout.total_seconds()


def follow_in_vain(driven: Driven) -> None:
    """Ask again and again, until nobody asks any more."""
    while driven.out and driven.out[0].repair.step is Step.FOLLOW:
        driven.report(Pending(timedelta(seconds=30), "db CREATE_IN_PROGRESS"))
        driven.pass_time(30)


@pytest.fixture
def driven() -> Driven:
    """The update did not end in time."""
    driven = Driven()
    driven.look(False, "db")
    driven.pass_time(1)
    driven.carry_out(until=Step.FOLLOW)
    follow_in_vain(driven)
    return driven


def test_it_is_asked_for_once_more_and_has_as_long_again(driven: Driven) -> None:
    (command,) = driven.out
    assert (command.repair.step, command.repair.resumed) == (Step.CONVERGE, 1)
    driven.pass_time(60)
    driven.carry_out(until=Step.FOLLOW)
    assert driven.out[0].repair.deadline == driven.now + timedelta(seconds=LONG)
    driven.carry_out()
    db = driven.incident("db")
    assert db is not None
    assert db.state is IncidentState.VERIFYING


def test_it_is_not_asked_for_without_end(driven: Driven) -> None:
    for _ in range(RESUMPTIONS):
        driven.carry_out(until=Step.FOLLOW)
        follow_in_vain(driven)
    (command,) = driven.out
    assert command.repair.step is Step.UNMARK
    driven.carry_out()
    db = driven.incident("db")
    assert db is not None
    assert db.state is IncidentState.EXHAUSTED


@pytest.mark.parametrize("failure", [Failure.BUSY, Failure.FORBIDDEN, Failure.STOPPED])
def test_an_attempt_was_made_all_the_same_where_it_cannot_be_asked_for(
    driven: Driven, failure: Failure
) -> None:
    driven.report(Failed(failure, "no"))
    assert driven.out[0].repair.step is Step.UNMARK
    driven.carry_out()
    assert len(driven.state.attempts) == 1
    assert not any(change.withdrawn for change in driven.changes if isinstance(change, AttemptChanged))


def test_it_is_finished_though_what_it_replaces_answers_by_now() -> None:
    driven = Driven()
    driven.look(False, "db")
    driven.pass_time(1)
    driven.carry_out(until=Step.FOLLOW)
    driven.look(True, "db", times=3)
    follow_in_vain(driven)
    assert driven.out[0].repair.step is Step.CONVERGE


def test_what_it_passes_by_is_marked_anew_and_another_update_begins(driven: Driven) -> None:
    """Were that asked for as one that is under way, it would never begin."""
    driven.carry_out(until=Step.PROVE)
    marked = replace(driven.there.resources["db"], action="CHECK", state=StackState.FAILED)
    after = replace(driven.there, resources={**driven.there.resources, "db": marked})
    driven.report(Done(Read(after, {})))
    driven.carry_out(until=Step.CONVERGE)
    (command,) = driven.out
    assert (command.repair.reconverged, command.repair.resumed) == (1, 0)


def test_a_pause_stops_it() -> None:
    driven = Driven()
    driven.look(False, "db")
    driven.pass_time(1)
    driven.carry_out(until=Step.FOLLOW)
    driven.happen(Paused(Pause("1", "all", "ann", "maintenance", driven.now)))
    follow_in_vain(driven)
    assert driven.out[0].repair.step is Step.UNMARK
    driven.carry_out()
    assert len(driven.state.attempts) == 1


def test_without_an_answer_it_is_asked_for_until_there_is_one(driven: Driven) -> None:
    """Heat is down for longer than anything may take: what was begun there is finished once it is up."""
    for _ in range(20):
        assert driven.out[0].repair.step is Step.CONVERGE
        driven.report(Failed(Failure.UNREACHABLE, "nobody there"))
        driven.pass_time(60)
    driven.carry_out(until=Step.FOLLOW)
    assert driven.out[0].repair.deadline == driven.now + timedelta(seconds=LONG)
    kinds = [change.kind for change in driven.changes if isinstance(change, RepairChanged)]
    assert kinds.count("stumbled") == 1, "the same failure again and again is one line of the story"


def test_an_operator_s_request_is_finished_likewise() -> None:
    driven = Driven(replace(POLICY, remediations=(POLICY.remediations[0],)))
    driven.look(False, "db")
    driven.pass_time(1)
    driven.carry_out(until=Step.FOLLOW)
    driven.begin()
    assert driven.out[0].resumed
    follow_in_vain(driven)
    assert driven.out[0].repair.step is Step.CONVERGE
