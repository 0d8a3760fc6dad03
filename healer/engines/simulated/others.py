"""What somebody else does to a stack at any moment, and what is done to it behind its engine's back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

from healer.core.model import Resource, StackState
from healer.core.planner import plan
from healer.declarative.books import Action, Row, listed
from healer.declarative.resource_types import is_stack
from healer.declarative.visits import UNTOUCHED
from healer.engines.simulated.keeper import Keeper, is_marked
from healer.engines.simulated.trouble import Misbehaviour
from healer.engines.simulated.world import Verb

BY_ANOTHER = "by another"
"""The reason of a foreign mark."""


def interfere(keeper: Keeper, misbehaviour: Misbehaviour, random: Random) -> None:
    """Let it happen now. What cannot happen to this stack as it stands does not."""
    _INTERFERENCES[misbehaviour](keeper, random)


def update(keeper: Keeper) -> None:
    """Whatever is in progress: that is superseded, and what it has begun is adopted."""
    _give_up(keeper)
    keeper.update(by_another=True)


def replace_one(keeper: Keeper, path: str) -> None:
    """Mark it and update the stack. Nothing happens where there is no such resource, or the stack is in progress."""
    for resource in _markable(keeper):
        if resource.path == path and _is_at_rest(keeper):
            _give_up(keeper, path)
            keeper.tell(resource.incarnation, BY_ANOTHER, unhealthy=True)
            keeper.update(by_another=True)


def _foreign_update(keeper: Keeper, random: Random) -> None:
    """It changes one resource in place, so that it takes its time."""
    if _is_at_rest(keeper) and _drift(keeper, random) is not None:
        update(keeper)


def _foreign_failure(keeper: Keeper, random: Random) -> None:
    if _is_at_rest(keeper) and (row := _drift(keeper, random)) is not None:
        keeper.world.fails[Verb.UPDATE, row.name] += 1
        update(keeper)


def _foreign_mark(keeper: Keeper, random: Random) -> None:
    if _is_at_rest(keeper):
        _mark_one(keeper, random)


def _foreign_unmark(keeper: Keeper, random: Random) -> None:
    """Events and all: anybody who looks can see it."""
    for standing in listed(keeper.book):
        if is_marked(standing.row) and standing.row.work is None:
            standing.set_status(Action.CHECK, StackState.COMPLETE, BY_ANOTHER, keeper.world.at)
            keeper.touched()
    del random


def _foreign_replacement(keeper: Keeper, random: Random) -> None:
    if _is_at_rest(keeper) and _mark_one(keeper, random):
        keeper.update(by_another=True)


def _foreign_deletion(keeper: Keeper, random: Random) -> None:
    del random
    if keeper.book.root.action is not Action.DELETE:
        keeper.delete()


def _late_mark(keeper: Keeper, random: Random) -> None:
    del random
    keeper.passed_by |= {row.id for row in keeper.marked()}


def _lying_complete(keeper: Keeper, random: Random) -> None:
    del random
    for row in keeper.marked():
        row.state, row.reason = StackState.COMPLETE, UNTOUCHED
    keeper.touched()


def _hanging_update(keeper: Keeper, random: Random) -> None:
    """After some pieces of it, drawn by the seed."""
    pieces = random.randint(1, 6)

    def trick() -> bool:
        nonlocal pieces
        pieces -= 1
        keeper.frozen = pieces <= 0 and keeper.book.root.busy
        return pieces <= 0 or not keeper.book.root.busy

    keeper.tricks.append(trick)


def _failing_create(keeper: Keeper, random: Random) -> None:
    for row in keeper.marked()[:1]:
        keeper.world.fails[Verb.CREATE, row.name] += random.randint(1, 3)


def _spoilt_create(keeper: Keeper, random: Random) -> None:
    del random
    for row in keeper.marked()[:1]:
        keeper.world.fails[Verb.SPOIL, row.name] += 1


def _failing_update(keeper: Keeper, random: Random) -> None:
    names = sorted({resource.incarnation.name for resource in keeper.resources()})
    marked = {row.name for row in keeper.marked()}
    if others := [name for name in names if name not in marked]:
        keeper.world.fails[Verb.UPDATE, random.choice(others)] += 1


def _undeletable(keeper: Keeper, random: Random) -> None:
    del random
    for row in keeper.marked()[:1]:
        keeper.world.fails[Verb.DELETE, row.name] += 1


_INTERFERENCES: Mapping[Misbehaviour, Callable[[Keeper, Random], None]] = {
    Misbehaviour.FOREIGN_UPDATE: _foreign_update,
    Misbehaviour.CROSSED_UPDATE: _foreign_update,
    Misbehaviour.FOREIGN_FAILURE: _foreign_failure,
    Misbehaviour.FOREIGN_MARK: _foreign_mark,
    Misbehaviour.FOREIGN_UNMARK: _foreign_unmark,
    Misbehaviour.FOREIGN_REPLACEMENT: _foreign_replacement,
    Misbehaviour.FOREIGN_DELETION: _foreign_deletion,
    Misbehaviour.LATE_MARK: _late_mark,
    Misbehaviour.LYING_COMPLETE: _lying_complete,
    Misbehaviour.HANGING_UPDATE: _hanging_update,
    Misbehaviour.FAILING_CREATE: _failing_create,
    Misbehaviour.SPOILT_CREATE: _spoilt_create,
    Misbehaviour.FAILING_UPDATE: _failing_update,
    Misbehaviour.UNDELETABLE: _undeletable,
}
INTERFERENCES = frozenset(_INTERFERENCES)


def _is_at_rest(keeper: Keeper) -> bool:
    return not keeper.busy and keeper.book.root.action is not Action.DELETE


def _markable(keeper: Keeper) -> list[Resource]:
    """A failed update may have left an empty place, and something that is still being worked on."""
    return [
        each
        for each in keeper.resources()
        if each.state is not StackState.IN_PROGRESS and each.incarnation.physical_id
    ]


def _mark_one(keeper: Keeper, random: Random) -> bool:
    resources = _markable(keeper)
    if not resources:
        return False
    chosen = random.choice(resources)
    _give_up(keeper, chosen.path)
    keeper.tell(chosen.incarnation, BY_ANOTHER, unhealthy=True)
    return True


def _give_up(keeper: Keeper, *paths: str) -> None:
    """Remember what an update will replace because of these, and of whatever has failed before."""
    planned = plan(keeper.snapshot(), paths)
    keeper.given_up_by_others |= {planned.before[path] for path in planned.replaced}


def _drift(keeper: Keeper, random: Random) -> Row | None:
    """One of the resources is not as it is declared any more, so that an update has to change it in place."""
    rows = [
        standing.row
        for standing in listed(keeper.book)
        if not is_stack(standing.row.type) and standing.row.work is None and standing.row.physical_id
    ]
    if not rows:
        return None
    row = random.choice(rows)
    row.properties = dict(row.properties) | {_in_place(row): None}
    return row


def _in_place(row: Row) -> str:
    return next(name for name in ("wires", "content", "value") if name in row.properties)
