"""A pause comes between any two calls that change something, also where one is made once more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from healer.core.change import Pause
from healer.core.event import Paused, Unpaused
from healer.core.model import StackState
from healer.core.step import NATURE, Done, Failed, Failure, Read, Step
from tests.core.driven import Driven, shop, tier
from tests.core.test_guardrails import failing
from tests.core.test_progress import at, incident, repair


def pause(driven: Driven, scope: str = "all") -> None:
    driven.happen(Paused(Pause("p", scope, "alice", "wait", driven.now)))


def objected(driven: Driven) -> tuple[Step, str]:
    """What is out, and why it may only be looked at."""
    (command,) = driven.out
    if command.objection is not None:
        assert command.objection.failure is Failure.STOPPED
        return command.repair.step, command.objection.detail
    return command.repair.step, ""


MUTATING = [Step.MARK, Step.CONVERGE]


@pytest.mark.parametrize("step", MUTATING)
def test_a_call_that_is_made_once_more_may_only_find_out_what_the_first_one_did(step: Step) -> None:
    driven = at(step)
    driven.report(Failed(Failure.UNREACHABLE, "500"))
    pause(driven, "stack:shop")
    driven.pass_time(1)
    assert objected(driven) == (step, "alice paused stack:shop: wait")


@pytest.mark.parametrize("step", MUTATING)
def test_nor_may_a_daemon_that_was_started_again(step: Step) -> None:
    driven = at(step)
    pause(driven)
    driven.begin()
    assert objected(driven) == (step, "alice paused all: wait")


def test_a_mark_that_was_passed_by_is_not_set_again() -> None:
    driven = at(Step.PROVE)
    pause(driven)
    driven.report(
        Done(Read(shop(db=replace(tier("db", "db-1"), action="CHECK", state=StackState.FAILED)), {}))
    )
    assert objected(driven) == (Step.MARK, "alice paused all: wait")


def test_marks_are_taken_back_during_a_pause() -> None:
    driven = at(Step.MARK)
    pause(driven)
    driven.report(Failed(Failure.STOPPED, "alice paused all: wait"))
    assert objected(driven) == (Step.UNMARK, "")
    driven.carry_out()
    assert driven.held("db") == "stopped"


@pytest.mark.parametrize(
    "step", [step for step in Step if not NATURE[step].mutates and step is not Step.NOTIFY]
)
def test_to_read_is_never_objected(step: Step) -> None:
    driven = at(step)
    pause(driven)
    driven.begin()
    assert objected(driven) == (step, "")


def test_a_pause_of_something_else_stops_nothing() -> None:
    driven = at(Step.CONVERGE)
    pause(driven, "stack:other")
    driven.begin()
    assert objected(driven) == (Step.CONVERGE, "")


def test_what_was_stopped_is_tried_again_as_soon_as_the_pause_is_taken_back() -> None:
    driven = at(Step.PREVIEW)
    pause(driven)
    driven.carry_out()
    assert driven.held("db") == "stopped"
    driven.happen(Unpaused("p", "alice"))
    driven.carry_out(Step.MARK)
    assert repair(driven).members == (incident(driven).id,)


def test_whom_to_tell_is_not_held_up_by_a_pause_that_began_meanwhile() -> None:
    driven = failing(Driven())
    driven.carry_out(Step.MARK)
    driven.report(Failed(Failure.REJECTED, "no"))
    driven.carry_out(Step.NOTIFY)
    pause(driven)
    driven.begin()
    assert objected(driven) == (Step.NOTIFY, "")
