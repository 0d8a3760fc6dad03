"""Every action is a recipe that the kernel can order: what it begins it can take back, and it is named as its file."""

from __future__ import annotations

import pytest

from healer.core.repair import Recipe
from healer.core.step import NATURE, Step
from healer.plugins import find, names


@pytest.fixture(params=names("actions"))
def recipe(request: pytest.FixtureRequest) -> Recipe:
    found = find("actions", request.param)().recipe  # type: ignore[attr-defined]
    assert isinstance(found, Recipe)
    assert found.action == request.param
    return found


def test_each_step_comes_once_and_unmark_is_never_one(recipe: Recipe) -> None:
    assert len(set(recipe.steps)) == len(recipe.steps) > 0
    assert Step.UNMARK not in recipe.steps  # The kernel unwinds by itself.


def test_whoever_changes_anything_inspects_first(recipe: Recipe) -> None:
    if any(NATURE[step].mutates for step in recipe.steps):
        assert recipe.steps[0] is Step.INSPECT


def test_a_replacement_ends_with_its_proof_and_nothing_else_marks(recipe: Recipe) -> None:
    assert recipe.replaces is (Step.MARK in recipe.steps) is (Step.PROVE in recipe.steps)
