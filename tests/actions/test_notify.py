"""Telling somebody touches nothing and heals nothing."""

from __future__ import annotations

from healer.actions.notify import Notify
from healer.core.step import NATURE, Step


def test_it_only_tells() -> None:
    assert Notify.recipe.steps == (Step.NOTIFY,)
    assert not Notify.recipe.heals
    assert not any(NATURE[step].mutates for step in Notify.recipe.steps)
