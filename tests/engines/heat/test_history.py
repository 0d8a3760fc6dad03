"""Tests of how an update stands, from what Heat's stacks were seen to go through."""

from __future__ import annotations

import pytest

from healer.engines.heat.history import Turn, changed_to, operation, updates
from healer.engines.heat.listing import status
from healer.ports import OperationState

FAILED = "UPDATE_FAILED no room"


def turns(*texts: str) -> list[Turn]:
    """`UPDATE_FAILED no room` → the turn with this reason."""
    split = [text.partition(" ") for text in texts]
    return [Turn(*status(name), reason) for name, _, reason in split]


@pytest.mark.parametrize(
    ("history", "state", "detail"),
    [
        ((), "not_begun", ""),
        (("UPDATE_COMPLETE",), "not_begun", ""),
        ((FAILED, "ROLLBACK_IN_PROGRESS", "ROLLBACK_COMPLETE"), "not_begun", ""),
        (("UPDATE_IN_PROGRESS",), "in_progress", ""),
        (("UPDATE_COMPLETE", "UPDATE_IN_PROGRESS"), "in_progress", ""),
        (("UPDATE_IN_PROGRESS", "UPDATE_COMPLETE"), "complete", ""),
        (("UPDATE_IN_PROGRESS", FAILED), "failed", "no room"),
        (("UPDATE_IN_PROGRESS", "UPDATE_FAILED"), "failed", "UPDATE_FAILED, and Heat does not say why"),
        # A later update says nothing of this one.
        (("UPDATE_IN_PROGRESS", "UPDATE_COMPLETE", "UPDATE_IN_PROGRESS", FAILED), "complete", ""),
        (("UPDATE_IN_PROGRESS", FAILED, "UPDATE_IN_PROGRESS", "UPDATE_COMPLETE"), "failed", "no room"),
        # One that takes its place carries it on.
        (("UPDATE_IN_PROGRESS", "UPDATE_IN_PROGRESS"), "in_progress", ""),
        (("UPDATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "UPDATE_COMPLETE"), "complete", ""),
        (
            ("UPDATE_IN_PROGRESS", FAILED, "ROLLBACK_IN_PROGRESS"),
            "in_progress",
            "rolling back: no room",
        ),
        (
            ("UPDATE_IN_PROGRESS", FAILED, "ROLLBACK_IN_PROGRESS", "ROLLBACK_COMPLETE"),
            "failed",
            "no room (rolled back: COMPLETE)",
        ),
        (
            ("UPDATE_IN_PROGRESS", FAILED, "ROLLBACK_IN_PROGRESS", "ROLLBACK_FAILED again"),
            "failed",
            "no room (rolled back: FAILED)",
        ),
        (
            ("UPDATE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS", "ROLLBACK_COMPLETE by hand"),
            "failed",
            "by hand (rolled back: COMPLETE)",
        ),
        (
            ("UPDATE_IN_PROGRESS", "UPDATE_FAILED Stack UPDATE cancelled"),
            "failed",
            "Stack UPDATE cancelled",
        ),
        (("UPDATE_IN_PROGRESS", "CHECK_IN_PROGRESS"), "failed", "CHECK took the place of the update"),
        (("UPDATE_IN_PROGRESS", FAILED, "CHECK_IN_PROGRESS"), "failed", "no room"),
        (("UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS"), "failed", "DELETE took the place of the update"),
    ],
)
def test_how_an_update_stands(history: tuple[str, ...], state: str, detail: str) -> None:
    found = operation(turns(*history), rolls_back=False)
    assert (found.state, found.detail) == (OperationState(state), detail)


@pytest.mark.parametrize(
    ("history", "state"),
    [
        ((), None),
        (("CHECK_IN_PROGRESS", "CHECK_COMPLETE"), None),
        (("UPDATE_IN_PROGRESS",), None),
        (("CREATE_IN_PROGRESS", "CREATE_COMPLETE", "CHECK_IN_PROGRESS", "CHECK_FAILED"), "COMPLETE"),
        (("CREATE_COMPLETE", "UPDATE_IN_PROGRESS", FAILED, "CHECK_IN_PROGRESS", "CHECK_COMPLETE"), "FAILED"),
        (("UPDATE_FAILED x", "ROLLBACK_IN_PROGRESS", "ROLLBACK_COMPLETE", "SNAPSHOT_COMPLETE"), "COMPLETE"),
    ],
)
def test_what_the_last_change_came_to(history: tuple[str, ...], state: str | None) -> None:
    assert changed_to(turns(*history)) == state


def test_updates_are_counted_by_their_beginnings() -> None:
    assert updates(turns("CHECK_IN_PROGRESS", "CHECK_COMPLETE")) == 0
    assert updates(turns("UPDATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "UPDATE_COMPLETE")) == 2


def test_a_failure_is_on_the_way_where_the_stack_rolls_back() -> None:
    found = operation(turns("UPDATE_IN_PROGRESS", FAILED), rolls_back=True)
    assert (found.state, found.detail) == (OperationState.IN_PROGRESS, "rolling back: no room")


def test_a_cancelled_update_is_not_rolled_back() -> None:
    history = turns("UPDATE_IN_PROGRESS", "UPDATE_FAILED Stack UPDATE cancelled")
    assert operation(history, rolls_back=True).state is OperationState.FAILED
