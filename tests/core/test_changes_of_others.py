"""What somebody else has left half done is not finished by a heal, whatever the stack has been asked since."""

from __future__ import annotations

from dataclasses import replace

import pytest

from healer.core.model import StackState
from tests.core.driven import Driven, shop


@pytest.mark.parametrize(
    ("action", "state", "changed_to", "held"),
    [
        ("UPDATE", StackState.FAILED, None, True),
        ("CHECK", StackState.FAILED, None, True),
        ("CHECK", StackState.FAILED, StackState.COMPLETE, False),
        ("CHECK", StackState.COMPLETE, StackState.FAILED, True),
        ("CHECK", StackState.COMPLETE, None, False),
    ],
)
def test_it_is_what_the_last_change_came_to_that_counts(
    action: str, state: StackState, changed_to: StackState | None, *, held: bool
) -> None:
    driven = Driven()
    driven.read(replace(shop(), action=action, state=state, changed_to=changed_to))
    driven.look(False, "web")
    driven.pass_time(1)
    driven.carry_out()
    assert (driven.held("web") == "foreign_changes") is held
    if held:
        refusal = driven.incident("web").refusal  # type: ignore[union-attr]
        assert refusal is not None
        assert refusal.sentence.startswith(f"shop is {action}_{state}")
