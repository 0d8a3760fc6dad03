"""Every step says what it may end in, whether it changes anything, and what takes it back."""

from __future__ import annotations

from healer.core.step import NATURE, Failure, Step


def test_every_step_has_a_nature() -> None:
    assert NATURE.keys() == set(Step)


def test_only_what_reads_or_tells_leaves_things_as_they_are() -> None:
    mutating = {step for step, nature in NATURE.items() if nature.mutates}
    assert mutating == {Step.MARK, Step.UNMARK, Step.CONVERGE, Step.POWER}


def test_all_but_a_restart_can_be_done_twice() -> None:
    assert {step for step, nature in NATURE.items() if not nature.repeatable} == {Step.POWER}


def test_a_mark_is_what_can_be_taken_back() -> None:
    assert {step: nature.undone_by for step, nature in NATURE.items() if nature.undone_by} == {
        Step.MARK: Step.UNMARK
    }


def test_whatever_calls_the_engine_may_find_nobody_there() -> None:
    assert all(Failure.UNREACHABLE in nature.failures for nature in NATURE.values())


def test_taking_marks_back_is_never_stopped_and_never_out_of_time() -> None:
    assert not NATURE[Step.UNMARK].failures & {Failure.STOPPED, Failure.CANCELLED, Failure.EXPIRED}
