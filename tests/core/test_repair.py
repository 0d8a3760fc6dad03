"""What follows each end of each step is decided for every pair, in one table."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from healer.core.repair import (
    LAST_RETRY,
    ON_FAILURE,
    RECONVERGENCES,
    RESUMPTIONS,
    Ending,
    Recipe,
    Repair,
    Then,
    back_off,
    begin,
    end,
    next_step,
    on_failure,
    wait,
)
from healer.core.step import NATURE, Failed, Failure, Step
from tests.core.driven import NOTIFY, REPLACE, SHOP, START

REBOOT = Recipe("reboot", (Step.INSPECT, Step.POWER))
REPAIR = Repair("r", SHOP, REPLACE, ("i",), START, START + timedelta(minutes=5), began=(Step.INSPECT,))
MARKED = replace(REPAIR, step=Step.CONVERGE, began=(Step.INSPECT, Step.MARK, Step.PREVIEW, Step.CONVERGE))


def test_every_failure_of_every_step_is_decided_and_no_other() -> None:
    assert ON_FAILURE.keys() == {(step, failure) for step in Step for failure in NATURE[step].failures}


def test_nothing_gives_up_while_something_of_ours_may_be_marked() -> None:
    ends = {
        failure for (step, failure), then in ON_FAILURE.items() if step is Step.UNMARK and then is Then.END
    }
    assert ends == {Failure.STALE, Failure.GONE}
    for (step, _), then in ON_FAILURE.items():
        if step in {Step.MARK, Step.PREVIEW, Step.CONVERGE, Step.FOLLOW, Step.PROVE}:
            assert then in {Then.AGAIN, Then.UNWIND}


@pytest.mark.parametrize("failure", sorted(NATURE[Step.MARK].failures - {Failure.UNREACHABLE}))
def test_before_anything_was_marked_there_is_nothing_to_unwind(failure: Failure) -> None:
    assert on_failure(replace(REPAIR, step=Step.MARK), Failed(failure)) is Then.END
    assert on_failure(replace(MARKED, step=Step.MARK), Failed(failure)) is Then.UNWIND


def test_an_update_that_passed_a_mark_by_is_asked_for_again_but_not_for_ever() -> None:
    proving, unproven = replace(MARKED, step=Step.PROVE), Failed(Failure.UNPROVEN)
    assert on_failure(proving, unproven, still_marked=True) is Then.RECONVERGE
    assert on_failure(proving, unproven) is Then.UNWIND
    tired = replace(proving, reconverged=RECONVERGENCES)
    assert on_failure(tired, unproven, still_marked=True) is Then.UNWIND


def test_an_update_that_did_not_end_in_time_is_asked_for_again_but_not_for_ever() -> None:
    following, expired = replace(MARKED, step=Step.FOLLOW), Failed(Failure.EXPIRED)
    assert on_failure(following, expired) is Then.RESUME
    assert on_failure(replace(following, resumed=RESUMPTIONS), expired) is Then.UNWIND
    assert on_failure(MARKED, expired) is Then.UNWIND


def test_the_recipe_says_what_comes_next_and_unwinding_ends_it() -> None:
    steps = [Step.INSPECT]
    while (following := next_step(replace(REPAIR, step=steps[-1]))) is not None:
        steps.append(following)
    assert tuple(steps) == REPLACE.steps
    assert next_step(replace(REPAIR, step=Step.UNMARK)) is None
    assert next_step(replace(REPAIR, recipe=NOTIFY, step=Step.NOTIFY)) is None


def test_an_intent_counts_up_and_is_remembered_once() -> None:
    once = begin(wait(REPAIR, START, failed=True), Step.MARK)
    assert (once.step, once.attempt, once.tries, once.wake_at) == (Step.MARK, 2, 0, None)
    assert once.began == (Step.INSPECT, Step.MARK)
    again = begin(wait(once, START, "half", failed=True), Step.MARK)
    assert (again.attempt, again.tries, again.began, again.progress) == (3, 1, once.began, "half")
    assert wait(again, START).tries == 0


def test_only_an_update_or_a_restart_touches_the_thing_itself() -> None:
    assert not REPAIR.acted
    assert not begin(REPAIR, Step.MARK).acted
    assert MARKED.acted
    assert begin(replace(REPAIR, recipe=REBOOT), Step.POWER).acted


def test_tries_back_off_to_a_minute() -> None:
    assert [back_off(n).total_seconds() for n in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert back_off(10_000) == LAST_RETRY


def test_what_made_it_unwind_stays_its_ending() -> None:
    moved = Ending(Failure.MOVED, "too much")
    ended = end(replace(MARKED, ending=moved), START, Ending(Failure.GONE))
    assert ended.ending == moved
    assert not ended.is_open
    assert end(MARKED, START).ending == Ending()
    assert end(MARKED, START, Ending(Failure.GONE)).ending == Ending(Failure.GONE)
