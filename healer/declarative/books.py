"""What the engine believes to exist: stacks, their resources, what is being done to them, and what happened."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from healer.core.model import StackState
from healer.ports import Event

EVENTS_KEPT = 500
UPDATES_KEPT = 50


class Action(StrEnum):
    """The first half of a status."""

    INIT = "INIT"
    CREATE = "CREATE"
    UPDATE = "UPDATE"
    CHECK = "CHECK"
    DELETE = "DELETE"


@dataclass(slots=True)
class Work:
    """What is being done to one row. It is written down before it is begun, so that a crash loses nothing."""

    traversal: int
    node: str
    begun: bool = False
    since: datetime | None = None
    properties: dict[str, Any] = field(default_factory=dict)
    """Of an update: what they will be."""
    requires: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Row:
    """One incarnation of a resource, wanted or left over; several of one name may be there for a while."""

    id: str
    """Never used twice; also the token by which its reality is found after a crash."""
    name: str
    type: str
    generation: int
    """The stack's, when this was last found to be as declared."""
    action: Action = Action.INIT
    state: StackState = StackState.COMPLETE
    reason: str = ""
    physical_id: str = ""
    """Empty as long as there is nothing; of a nested stack, that stack's id."""
    properties: dict[str, Any] = field(default_factory=dict)
    """As it was last made or changed with, worked out."""
    attributes: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    """What its reality wants to remember of it."""
    requires: list[str] = field(default_factory=list)
    """Ids of the rows that it was made or changed with."""
    replaces: str = ""
    replaced_by: str = ""
    changed: int = 0
    """Position in the book's history when its status last changed."""
    created_at: datetime | None = None
    work: Work | None = None

    @property
    def status(self) -> str:
        return f"{self.action}_{self.state}"


@dataclass(slots=True)
class Traversal:
    """One way through the graph of a stack: every resource is looked at once, and every left-over once."""

    number: int
    needs: dict[str, list[str]]
    """Node → nodes that must be done before; `update:<row>` and `cleanup:<row>`."""
    current: dict[str, str]
    """Logical name → row that stands for it in this traversal; its replacement, once there is one."""
    started: set[str] = field(default_factory=set)
    done: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Stack:
    id: str
    name: str
    path: str
    """Of the resource that it is, within the root stack; empty for the root itself."""
    template: dict[str, Any]
    parameters: dict[str, Any]
    """As given."""
    action: Action = Action.INIT
    state: StackState = StackState.COMPLETE
    reason: str = ""
    generation: int = 0
    """Counts the updates; that of the template which the stack is, or is to be, as declared by."""
    previous: int | None = None
    """The generation before, as long as this one is not complete."""
    rows: dict[str, Row] = field(default_factory=dict)
    children: dict[str, Stack] = field(default_factory=dict)
    """Nested stacks by id."""
    traversal: Traversal | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None

    def best(self, name: str) -> Row | None:
        """The row that counts as the resource of this name: Heat's own choice (`_get_best_existing_rsrc_db`)."""
        rows = [row for row in self.rows.values() if row.name == name]
        return max(rows, key=self._suitability, default=None)

    def _suitability(self, row: Row) -> tuple[int, int]:
        score = 0
        score -= 30 if row.state is StackState.FAILED else 0
        score -= 50 if row.action is Action.DELETE else 0
        score -= 1 if row.replaced_by else 0
        score += 5 if row.generation == self.previous else 0
        score += 10 if row.generation == self.generation else 0
        return score, row.changed

    def current(self, name: str) -> Row | None:
        """The row that others refer to: within a traversal its own, else the best."""
        if self.traversal is not None and name in self.traversal.current:
            return self.rows.get(self.traversal.current[name])
        return self.best(name)

    def path_of(self, name: str) -> str:
        return f"{self.path}/{name}" if self.path else name

    def names(self) -> tuple[str, ...]:
        """Logical names of all resources that it declares."""
        return tuple(self.template.get("resources") or ())

    @property
    def status(self) -> str:
        return f"{self.action}_{self.state}"

    @property
    def busy(self) -> bool:
        return self.state is StackState.IN_PROGRESS


@dataclass(slots=True)
class Happened:
    """One entry of the history of a root stack."""

    position: int
    at: datetime
    event: Event


@dataclass(slots=True)
class Update:
    """One update of the root stack."""

    begun: int
    """Its position in the history."""
    state: StackState = StackState.IN_PROGRESS
    detail: str = ""


@dataclass(slots=True)
class Book:
    """All of one root stack; plain data, to be stored as a whole."""

    root: Stack
    files: dict[str, dict[str, Any]]
    """Templates that are used as types, by name."""
    position: int = 0
    """Of the latest entry of the history."""
    made: int = 0
    """How many ids were given out."""
    events: list[Happened] = field(default_factory=list)
    updates: list[Update] = field(default_factory=list)

    def new_id(self) -> str:
        self.made += 1
        return f"{self.root.id}-{self.made}"

    def set_status(
        self, stack: Stack, action: Action, state: StackState, now: datetime, reason: str = ""
    ) -> None:
        """A new status of one stack, with its event. The root's is also how its updates stand."""
        stack.action, stack.state, stack.reason = action, state, reason
        stack.updated_at = None if action is Action.CREATE else now
        self.note(now, f"{stack.path}/" if stack.path else "", stack.status, stack.id, reason)
        if stack is not self.root:
            return
        if stack.busy:
            self.updates.append(Update(self.position))
            del self.updates[:-UPDATES_KEPT]
            return
        for update in self.updates:
            if update.state is StackState.IN_PROGRESS:
                update.state, update.detail = state, reason

    def note(self, now: datetime, path: str, status: str, physical_id: str, reason: str) -> None:
        self.position += 1
        self.events.append(Happened(self.position, now, Event(path, status, physical_id, reason)))
        del self.events[:-EVENTS_KEPT]


@dataclass(frozen=True, slots=True)
class Standing:
    """One row, and where it stands."""

    book: Book
    stack: Stack
    row: Row

    @property
    def path(self) -> str:
        return self.stack.path_of(self.row.name)

    def set_status(self, action: Action, state: StackState, reason: str, now: datetime) -> None:
        """A new status, with its event; the same status again changes only the reason, as in Heat."""
        before = self.row.status
        self.row.action, self.row.state, self.row.reason = action, state, reason
        if self.row.status != before:
            self.book.note(now, self.path, self.row.status, self.row.physical_id, reason)
            self.row.changed = self.book.position


def stacks(book: Book) -> Iterator[Stack]:
    """Every stack, outermost first."""
    pending = [book.root]
    while pending:
        stack = pending.pop(0)
        yield stack
        pending.extend(stack.children.values())


def standings(book: Book) -> Iterator[Standing]:
    """Every row, left-overs too."""
    for stack in stacks(book):
        for row in stack.rows.values():
            yield Standing(book, stack, row)


def listed(book: Book) -> Iterator[Standing]:
    """The resources as they are listed: for each name of each stack that counts the row that counts."""
    pending = [book.root]
    while pending:
        stack = pending.pop(0)
        for name in stack.names():
            row = stack.best(name)
            if row is not None:
                yield Standing(book, stack, row)
                if row.physical_id in stack.children:
                    pending.append(stack.children[row.physical_id])
