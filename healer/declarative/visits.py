"""What a visit to one resource finds to be done, and writes down: make, leave, change in place, replace, remove."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from healer.core.model import Effect, StackState
from healer.declarative.books import Action, Book, Row, Stack, Standing, Traversal, Work
from healer.declarative.makers import Maker
from healer.declarative.resource_types import Types, effect_of, is_stack
from healer.declarative.values import Values

UNTOUCHED = "Update status to COMPLETE for FAILED resource neither update nor replace."
CHANGED = "state changed"


class Visits:
    """The rules of Heat's `Resource._needs_update` and `make_replacement`, for one row at a time."""

    def __init__(self, values: Values, types: Types, maker: Callable[[Row], Maker]) -> None:
        self._values = values
        self._types = types
        self._effect = effect_of(types)
        self._maker = maker

    def left_over(self, standing: Standing, node: str, traversal: Traversal, now: datetime) -> bool:
        """Remove what this traversal has not found to be as declared. True where there is nothing to be done."""
        row = standing.row
        if row.generation == standing.stack.generation:
            return True
        if row.action is Action.INIT:
            del standing.stack.rows[row.id]
            return True
        row.work = Work(traversal.number, node)
        standing.set_status(Action.DELETE, StackState.IN_PROGRESS, CHANGED, now)
        return False

    def wanted(self, standing: Standing, node: str, traversal: Traversal, now: datetime) -> bool:
        """Bring one to what is declared. True where it is so already; may raise EvaluationError."""
        row, stack = standing.row, standing.stack
        definition = self._values.template(stack).resources[row.name]
        requires = [traversal.current[need] for need in definition.requires]
        wanted = self._values.properties(standing.book, stack, row.name)
        work = Work(traversal.number, node, properties=wanted, requires=requires)
        if row.action is Action.INIT:
            self._create(standing, work, now)
            return False
        row.replaced_by = ""
        if self._must_be_replaced(stack, row, definition.type):
            self._replace(standing, work, traversal, now)
            return False
        changed = _changes(row, wanted)
        if self._any_replaces(row, changed, wanted):
            standing.set_status(Action.UPDATE, StackState.IN_PROGRESS, CHANGED, now)
            reason = f"The Resource {row.name} requires replacement."
            standing.set_status(Action.UPDATE, StackState.COMPLETE, reason, now)
            self._replace(standing, work, traversal, now)
            return False
        row.generation = stack.generation
        if changed or is_stack(
            row.type
        ):  # what is in a nested stack decides for itself whether it is changed
            row.work = work
            row.requires = list(dict.fromkeys([*row.requires, *requires]))
            standing.set_status(Action.UPDATE, StackState.IN_PROGRESS, CHANGED, now)
            return False
        if row.state is StackState.FAILED:
            standing.set_status(row.action, StackState.COMPLETE, UNTOUCHED, now)
        row.requires = requires
        row.attributes = dict(self._maker(row).read(row))
        return True

    def would_replace(self, book: Book, stack: Stack, name: str) -> bool:
        """Whether an update would replace the resource of this name, as its requirements stand now."""
        row = stack.best(name)
        kind = self._values.template(stack).resources[name].type
        if row is None or row.action is Action.INIT or self._must_be_replaced(stack, row, kind):
            return True
        wanted = self._values.properties(book, stack, name)
        return self._any_replaces(row, _changes(row, wanted), wanted)

    def _must_be_replaced(self, stack: Stack, row: Row, kind: str) -> bool:
        """Whether it is replaced whatever its properties come to."""
        if row.type != kind:
            return True
        failed = row.state is StackState.FAILED
        marked = failed and row.action is Action.CHECK
        if is_stack(row.type) and row.physical_id:
            child = stack.children.get(row.physical_id)
            checked = child is not None and (child.action, child.state) == (Action.CHECK, StackState.FAILED)
            return child is None or (marked and not checked)
        known = self._types.get(row.type)
        always = known is not None and known.always_replaced
        return always or marked or (failed and self._maker(row).broken(row))

    def _any_replaces(self, row: Row, changed: list[str], wanted: Mapping[str, Any]) -> bool:
        return any(self._effect(row.type, wanted, name) is Effect.REPLACED for name in changed)

    def _create(self, standing: Standing, work: Work, now: datetime) -> None:
        row = standing.row
        row.properties, row.requires, row.created_at = work.properties, work.requires, now
        row.generation, row.work = standing.stack.generation, work
        standing.set_status(Action.CREATE, StackState.IN_PROGRESS, CHANGED, now)

    def _replace(self, standing: Standing, work: Work, traversal: Traversal, now: datetime) -> None:
        """The new one first; the old one goes when it is visited as a left-over."""
        old, stack, book = standing.row, standing.stack, standing.book
        kind = self._values.template(stack).resources[old.name].type
        new = Row(book.new_id(), old.name, kind, stack.generation, replaces=old.id)
        old.replaced_by = new.id
        stack.rows[new.id] = new
        traversal.current[old.name] = new.id
        self._create(Standing(book, stack, new), work, now)


def _changes(row: Row, wanted: Mapping[str, Any]) -> list[str]:
    """Names of the properties that differ from what the row was last made or changed with."""
    return [key for key in {**row.properties, **wanted} if row.properties.get(key) != wanted.get(key)]
