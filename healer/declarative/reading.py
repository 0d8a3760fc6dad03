"""What the books say, in the words of the core: snapshots, wires, how an update stands; and marks, set in them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

from healer.core.model import Health, Incarnation, Reference, Resource, Root, Snapshot, StackState, Symptom
from healer.declarative.books import Action, Book, Row, Stack, Standing, listed, stacks, standings
from healer.declarative.makers import thing_of
from healer.declarative.reality import Look, Reality
from healer.declarative.references import Tree, references, requires
from healer.declarative.resource_types import Types, effect_of, is_stack
from healer.ports import Operation, OperationState

UNKNOWN = Look(Health.UNKNOWN)


class Told(StrEnum):
    """What came of a mark."""

    DONE = "done"
    STALE = "stale"
    """That physical id is not what stands there now."""
    BUSY = "busy"
    """Something is being done to it."""


class Reading:
    """Reads books; what only reality can tell, it asks."""

    def __init__(self, reality: Reality, types: Types) -> None:
        self._reality = reality
        self._types = types

    def snapshot(self, book: Book, root: Root, rebuildable: frozenset[str], now: datetime) -> Snapshot:
        forest = tree(book.root)
        needs = requires(forest)
        resources = {
            standing.path: self._resource(standing, needs.get(standing.path, ())) for standing in listed(book)
        }
        found: tuple[Reference, ...] = references(forest, effect_of(self._types))
        return Snapshot(
            root=root,
            taken_at=now,
            action=book.root.action,
            state=book.root.state,
            resources=resources,
            references=found,
            busy=tuple(stack.name for stack in stacks(book) if stack.busy),
            created_at=book.root.created_at,
            updated_at=book.root.updated_at,
            rebuildable=rebuildable,
        )

    def wires(self, book: Book, paths: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
        """Path → property → value as it really is; what is not there, or cannot be read, is left out."""
        standings = {standing.path: standing for standing in listed(book)}
        return {
            path: {name: as_text(value) for name, value in self._properties(standings[path].row).items()}
            for path in paths
            if path in standings
        }

    def _properties(self, row: Row) -> Mapping[str, Any]:
        if not self._is_real(row):
            return row.properties
        return self._reality.properties(thing_of(row)) if row.physical_id else {}

    def _resource(self, standing: Standing, needs: tuple[str, ...]) -> Resource:
        row = standing.row
        known = self._types.get(row.type)
        look = self._reality.look(thing_of(row)) if self._is_real(row) and row.physical_id else UNKNOWN
        return Resource(
            path=standing.path,
            type=row.type,
            incarnation=Incarnation(standing.stack.id, row.name, row.physical_id),
            action=row.action,
            state=row.state,
            reason=row.reason,
            requires=needs,
            attributes={name: as_text(value) for name, value in row.attributes.items() if value is not None},
            fixed=known.fixed if known else frozenset(),
            created_at=row.created_at,
            is_stack=is_stack(row.type),
            condition=look.condition,
            condition_symptom=look.symptom if look.condition is Health.UNHEALTHY else Symptom.OK,
            always_replaced=known is not None and known.always_replaced,
        )

    def _is_real(self, row: Row) -> bool:
        known = self._types.get(row.type)
        return known is not None and known.real


def mark(book: Book, incarnation: Incarnation, reason: str, now: datetime) -> Told:
    """Set a mark, as Heat does: also while the stack is in progress, if nothing is being done to this resource."""
    standing = _place(book, incarnation)
    if standing is None:
        return Told.STALE
    if standing.row.work is not None:
        return Told.BUSY
    if standing.row.action is not Action.DELETE:
        standing.set_status(Action.CHECK, StackState.FAILED, reason, now)
    return Told.DONE


def unmark(book: Book, incarnation: Incarnation, reason: str, now: datetime) -> Told:
    standing = _place(book, incarnation)
    if standing is None:
        return Told.STALE
    if standing.row.work is not None:
        return Told.BUSY
    if (standing.row.action, standing.row.state) == (Action.CHECK, StackState.FAILED):
        standing.set_status(Action.CHECK, StackState.COMPLETE, reason, now)
    return Told.DONE


def operation(book: Book, since: int) -> Operation:
    """How the first update of the root that began after this position of its history stands."""
    for update in book.updates:
        if update.begun > since:
            if update.state is StackState.IN_PROGRESS:
                return _in_progress(book)
            complete = update.state is StackState.COMPLETE
            state = OperationState.COMPLETE if complete else OperationState.FAILED
            return Operation(state, update.detail)
    return Operation(OperationState.NOT_BEGUN)


def _in_progress(book: Book) -> Operation:
    doing = [
        f"{standing.row.action.lower()} {standing.path}"
        for standing in standings(book)
        if standing.row.work is not None and not is_stack(standing.row.type)
    ]
    done = total = 0
    for stack in stacks(book):
        if stack.traversal is not None:
            done += len(stack.traversal.done)
            total += len(stack.traversal.needs)
    return Operation(OperationState.IN_PROGRESS, ", ".join(doing), done, total)


def tree(stack: Stack) -> Tree:
    """The stack's template with those of the stacks that are nested in it now."""
    children: dict[str, Tree] = {}
    for name in stack.names():
        row = stack.best(name)
        child = stack.children.get(row.physical_id) if row is not None else None
        if child is not None:
            children[name] = tree(child)
    return Tree(stack.template, children)


def find(book: Book, stack_id: str) -> Stack | None:
    return next((stack for stack in stacks(book) if stack.id == stack_id), None)


def _place(book: Book, incarnation: Incarnation) -> Standing | None:
    """Where this very incarnation stands, if it still counts as the resource of its name."""
    for standing in listed(book):
        row = standing.row
        if (standing.stack.id, row.name, row.physical_id) == (
            incarnation.stack,
            incarnation.name,
            incarnation.physical_id,
        ):
            return standing
    return None


def as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
