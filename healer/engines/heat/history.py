"""How an update stands, read from what a stack's own history says of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from healer.core.model import StackState
from healer.ports import Operation, OperationState

UNCHANGING = frozenset({"CHECK", "SNAPSHOT"})
"""Actions that look at a stack, and leave all that is declared and all that there is as it was."""
_ENDS = {StackState.COMPLETE, StackState.FAILED}
_CANCELLED = "Stack UPDATE cancelled"
"""Heat's reason of the one failure after which it does not roll back."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One event of the root stack itself."""

    action: str
    state: StackState
    reason: str = ""


def changed_to(turns: Iterable[Turn]) -> StackState | None:
    """What the last change among these came to, oldest first; None where none has ended. A check is no change."""
    ends = [turn.state for turn in turns if turn.action not in UNCHANGING and turn.state in _ENDS]
    return ends[-1] if ends else None


def updates(turns: Iterable[Turn]) -> int:
    """How many have begun among these; one that begins while another is in progress takes its place."""
    return sum((turn.action, turn.state) == ("UPDATE", StackState.IN_PROGRESS) for turn in turns)


def operation(turns: Iterable[Turn], rolls_back: bool) -> Operation:
    """The first update that began among these, oldest first. One that takes another's place carries it on.

    `rolls_back`: the stack undoes what fails. UPDATE_FAILED is then on the way, and what was undone has failed.
    """
    begun, failed, undoing = False, "", False
    for turn in turns:
        if not begun:
            begun = (turn.action, turn.state) == ("UPDATE", StackState.IN_PROGRESS)
        elif turn.action not in ("UPDATE", "ROLLBACK"):
            return _failed(failed or f"{turn.action} took the place of the update")
        elif turn.state is StackState.IN_PROGRESS:
            undoing = turn.action == "ROLLBACK"
            if failed and not undoing:
                return _failed(failed)
        elif turn.action == "UPDATE" and turn.state is StackState.COMPLETE:
            return Operation(OperationState.COMPLETE)
        elif turn.action == "ROLLBACK":
            return _failed(f"{failed or turn.reason} (rolled back: {turn.state})")
        elif turn.action == "UPDATE":
            failed = turn.reason or "UPDATE_FAILED, and Heat does not say why"
    if not begun:
        return Operation(OperationState.NOT_BEGUN)
    if failed and not undoing and (not rolls_back or failed == _CANCELLED):
        return _failed(failed)
    return Operation(OperationState.IN_PROGRESS, f"rolling back: {failed}" if failed else "")


def _failed(why: str) -> Operation:
    return Operation(OperationState.FAILED, why)
