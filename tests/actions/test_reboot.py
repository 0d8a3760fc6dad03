"""A restart keeps the identity, so that nothing is marked and nothing is rewired."""

from __future__ import annotations

from healer.actions.reboot import Reboot
from healer.core.step import Step


def test_the_stack_is_inspected_and_the_thing_restarted_and_no_mark_is_set() -> None:
    assert Reboot.recipe.steps == (Step.INSPECT, Step.POWER)
    assert Reboot.recipe.heals
    assert not Reboot.recipe.replaces
