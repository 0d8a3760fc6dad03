"""A replacement is looked at before, marked by id, previewed, asked for once, followed and proven."""

from __future__ import annotations

from healer.actions.replace import Replace
from healer.core.step import NATURE, Step


def test_nothing_is_changed_before_the_stack_was_inspected_and_nothing_is_done_before_it_is_proven() -> None:
    steps = Replace.recipe.steps
    assert steps[0] is Step.INSPECT
    assert steps[-1] is Step.PROVE
    assert (
        steps.index(Step.MARK)
        < steps.index(Step.PREVIEW)
        < steps.index(Step.CONVERGE)
        < steps.index(Step.FOLLOW)
    )


def test_it_heals_and_its_dependents_must_be_rewired() -> None:
    assert Replace.recipe.heals
    assert Replace.recipe.replaces
    assert all(NATURE[step].repeatable for step in Replace.recipe.steps)
