"""Bringing a stack to what is declared, a small piece at a time, in the order of Heat's convergence.

Each traversal visits every declared resource once, after all that it requires: it is made, left as it is, changed
in place or replaced. A left-over, such as what has been replaced, is visited after all that was made with it, and
goes. What is to be done is written into the books by one call of `advance` and begun by the next, so that whoever
stores the books in between can be killed at any moment and go on from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from healer.core.model import StackState
from healer.declarative.books import Action, Book, Row, Stack, Standing, Traversal, Work
from healer.declarative.declaration import Declaration
from healer.declarative.expressions import EvaluationError
from healer.declarative.graph import in_order
from healer.declarative.makers import Imagined, Maker, Nested, Things
from healer.declarative.reality import Reality, RealityError
from healer.declarative.resource_types import TYPES, Types, is_stack
from healer.declarative.values import Values
from healer.declarative.visits import CHANGED, Visits


class Convergence:
    """The rules. It holds no stack: all that is remembered stands in the book that each call is given."""

    def __init__(self, reality: Reality, types: Types = TYPES) -> None:
        self._types = types
        self._things = Things(reality)
        self._imagined = Imagined()
        self.values = Values(types)
        self._nested = Nested(self.values, self._begin, self._begin_delete)
        self._visits = Visits(self.values, types, self._maker)

    def create(self, name: str, stack_id: str, declaration: Declaration, now: datetime) -> Book:
        """A book in which the creation of this stack has begun."""
        root = Stack(stack_id, name, "", dict(declaration.template), {}, created_at=now)
        book = Book(root, {file: dict(data) for file, data in declaration.files.items()})
        self._begin(book, root, now)
        return book

    def update(self, book: Book, now: datetime) -> None:
        """Begin an update of the root with what is declared already; one that is in progress is superseded."""
        self._begin(book, book.root, now)

    def delete(self, book: Book, now: datetime) -> None:
        """Begin to delete the root and all that is in it; at the end it is DELETE_COMPLETE."""
        self._begin_delete(book, book.root, now)

    def advance(self, book: Book, now: datetime) -> bool:
        """Do a piece of what is under way. False where nothing has changed: there is only waiting left.

        What the books say is to be done is begun; what was begun is looked at; what comes next is written down.
        """
        return self._advance(book, book.root, now)

    def would_replace(self, book: Book, stack: Stack, name: str) -> bool:
        """Whether an update would replace the resource of this name, as its requirements stand now."""
        return self._visits.would_replace(book, stack, name)

    # ------------------------------------------------------------------------------------------------ beginning

    def _begin(self, book: Book, stack: Stack, now: datetime) -> None:
        action = Action.CREATE if stack.action is Action.INIT else Action.UPDATE
        stack.previous = None if action is Action.CREATE else stack.generation
        stack.generation += 1
        before = list(stack.rows.values())
        resources = self.values.template(stack).resources
        wanted: dict[str, Row] = {}
        for name in in_order({name: definition.requires for name, definition in resources.items()}):
            row = stack.best(name)
            if row is None:
                row = Row(book.new_id(), name, resources[name].type, stack.generation)
                stack.rows[row.id] = row
            wanted[name] = row
        needs = {
            _update(row): [_update(wanted[need]) for need in resources[name].requires]
            for name, row in wanted.items()
        }
        current = {name: row.id for name, row in wanted.items()}
        stack.traversal = Traversal(stack.generation, needs | _cleaning(before, needs), current)
        book.set_status(stack, action, StackState.IN_PROGRESS, now)

    @staticmethod
    def _begin_delete(book: Book, stack: Stack, now: datetime) -> None:
        stack.previous = stack.generation
        stack.generation += 1
        stack.traversal = Traversal(stack.generation, _cleaning(list(stack.rows.values()), {}), {})
        book.set_status(stack, Action.DELETE, StackState.IN_PROGRESS, now)

    # ------------------------------------------------------------------------------------------------ advancing

    def _advance(self, book: Book, stack: Stack, now: datetime) -> bool:
        changed = False
        for child in list(stack.children.values()):
            changed |= self._advance(book, child, now)
        for row in list(stack.rows.values()):
            if row.work is not None:
                changed |= self._carry_on(Standing(book, stack, row), row.work, now)
        while self._visit_what_is_ready(book, stack, now):
            changed = True
        return changed

    def _carry_on(self, standing: Standing, work: Work, now: datetime) -> bool:
        maker, row = self._maker(standing.row), standing.row
        begins = not work.begun
        try:
            if begins:
                maker.begin(standing, work, now)
                work.begun = True
            if not maker.finished(standing, work, now):
                return begins
            attributes = {} if row.action is Action.DELETE else dict(maker.read(row))
        except (RealityError, EvaluationError) as error:
            row.work = None
            self._fail(standing, row.action, str(error), now, traversal=work.traversal)
            return True
        row.work, row.attributes = None, attributes
        if row.action is Action.UPDATE:
            row.properties, row.requires = work.properties, work.requires
        standing.set_status(row.action, StackState.COMPLETE, CHANGED, now)
        if row.action is Action.DELETE:
            del standing.stack.rows[row.id]
        traversal = standing.stack.traversal
        if traversal is not None and traversal.number == work.traversal:
            traversal.done.add(work.node)
        return True

    def _visit_what_is_ready(self, book: Book, stack: Stack, now: datetime) -> bool:
        traversal = stack.traversal
        if traversal is None:
            return False
        if len(traversal.done) == len(traversal.needs):
            stack.traversal = stack.previous = None
            book.set_status(stack, stack.action, StackState.COMPLETE, now)
            return True
        changed = False
        for node, needs in traversal.needs.items():
            if node in traversal.started or not traversal.done.issuperset(needs):
                continue
            row = stack.rows.get(node.partition(":")[2])
            if row is not None and row.work is not None:
                continue  # an earlier traversal is still at it
            traversal.started.add(node)
            changed = True
            if row is None or self._visit(Standing(book, stack, row), node, traversal, now):
                traversal.done.add(node)
            if stack.traversal is not traversal:
                break  # it has failed
        return changed

    def _visit(self, standing: Standing, node: str, traversal: Traversal, now: datetime) -> bool:
        if node != _update(standing.row):
            return self._visits.left_over(standing, node, traversal, now)
        try:
            return self._visits.wanted(standing, node, traversal, now)
        except (RealityError, EvaluationError) as error:
            action = Action.CREATE if standing.row.action is Action.INIT else Action.UPDATE
            self._fail(standing, action, str(error), now, traversal=traversal.number)
            return False

    @staticmethod
    def _fail(standing: Standing, action: Action, reason: str, now: datetime, *, traversal: int) -> None:
        standing.set_status(action, StackState.FAILED, reason, now)
        stack = standing.stack
        if stack.traversal is None or stack.traversal.number != traversal:
            return  # it is no longer what the stack waits for
        stack.traversal = (
            None  # what is being done elsewhere in it goes on to its end, and nothing follows it
        )
        says = f"Resource {action} failed: {standing.path}: {reason}"
        standing.book.set_status(stack, stack.action, StackState.FAILED, now, says)

    def _maker(self, row: Row) -> Maker:
        if is_stack(row.type):
            return self._nested
        known = self._types.get(row.type)
        return self._imagined if known is not None and not known.real else self._things


def _update(row: Row) -> str:
    return f"update:{row.id}"


def _cleanup(row: Row) -> str:
    return f"cleanup:{row.id}"


def _cleaning(rows: list[Row], updates: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """The visits to what may be left over: each after its own update, and after all that was made with it."""
    there = {row.id: row for row in rows}
    needs: dict[str, list[str]] = {_cleanup(row): [] for row in rows}
    for row in rows:
        for required in row.requires:
            if required in there:
                needs[_cleanup(there[required])].append(_cleanup(row))
        if row.replaces in there:
            needs[_cleanup(there[row.replaces])].append(_cleanup(row))
        if _update(row) in updates:
            needs[_cleanup(row)].append(_update(row))
    return needs
