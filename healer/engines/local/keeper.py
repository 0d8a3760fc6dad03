"""The keeper of one stack: its books in memory and on disk, and the one thread at a time that may touch them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from uuid import uuid4

from healer.core.model import Incarnation, Root, Snapshot, StackState
from healer.core.step import Failure
from healer.declarative import reading
from healer.declarative.books import Action, Book, stacks, standings
from healer.declarative.declaration import declare
from healer.declarative.expressions import EvaluationError
from healer.declarative.reading import Reading, Told
from healer.declarative.reality import RealityError
from healer.declarative.resource_types import TYPES
from healer.declarative.traversal import Convergence
from healer.documents import DocumentError
from healer.engines.local.shelf import Shelf, UnreadableBookError
from healer.engines.local.things import Things
from healer.ports import Clock, EngineError, Event, Operation, OperationState

PROJECT = "local"
PIECE_S = 0.5
"""Seconds that one call may work on what is under way, before it answers."""


class Keeper:
    """Every method blocks, for milliseconds as a rule, and may be called from any thread. All raise EngineError.

    Whatever is under way is carried on a piece by each call, so that nothing has to run in between. What is to be
    done is on the disk before it is begun: a crash at any instant, and the next call goes on from there.
    """

    def __init__(self, name: str, shelf: Shelf, cloud: str, clock: Clock, made_of: type[Things]) -> None:
        self.name = name
        self.stack_id = ""
        """Of the root stack; empty where there is none, or its books could not be read."""
        self._shelf = shelf
        self._cloud = cloud
        self._clock = clock
        reality = made_of(shelf.things, clock.elapsed)
        self._convergence = Convergence(reality)
        self._reading = Reading(reality, TYPES)
        self._lock = Lock()
        self._book: Book | None = None

    def open(self, template: Path | None) -> None:
        """Take up the stack where it was left. One that was never created is created from the template."""
        with self._guarded():
            self._read()
            if self._book is not None and _is_deleted(self._book):
                self._clear()
            if self._book is None and template is not None:
                declared = declare(template)
                book = self._convergence.create(self.name, str(uuid4()), declared, self._clock.now())
                self._shelf.write(book)
                self._read()
            if self._book is not None:
                self._carry_on(self._book)

    def root(self) -> Root | None:
        """None where there is no such stack, or it is being deleted."""
        with self._guarded():
            if self._book is None:
                self._read()
            if self._book is None:
                return None
            self._carry_on(self._book)
            return None if self._book.root.action is Action.DELETE else self._root(self._book)

    def snapshot(self, rebuildable: frozenset[str]) -> Snapshot:
        with self._current() as book:
            return self._reading.snapshot(book, self._root(book), rebuildable, self._clock.now())

    def mark(self, incarnation: Incarnation, reason: str) -> None:
        with self._current() as book:
            self._refuse_if_busy(book)
            self._tell(reading.mark(book, incarnation, reason, self._clock.now()), incarnation)
            self._shelf.write(book)

    def unmark(self, incarnation: Incarnation) -> None:
        with self._current() as book:
            self._refuse_if_busy(book)
            self._tell(reading.unmark(book, incarnation, "mark taken back", self._clock.now()), incarnation)
            self._shelf.write(book)

    def preview(self, stack_id: str) -> frozenset[str]:
        with self._current() as book:
            stack = reading.find(book, stack_id)
            if stack is None:
                raise EngineError(Failure.GONE, f"{self.name} has no stack {stack_id}")
            replaced = self._convergence.would_replace
            return frozenset(name for name in stack.names() if replaced(book, stack, name))

    def position(self) -> str:
        with self._current() as book:
            return str(book.position)

    def converge(self, own_since: str | None) -> None:
        with self._current() as book:
            if own_since is not None and _is_under_way(book, own_since):
                return  # It is carried on by every call, as just now: there is nothing to ask for.
            self._refuse_if_busy(book)
            self._convergence.update(book, self._clock.now())
            self._shelf.write(book)

    def operation(self, since: str) -> Operation:
        if not since.isdecimal():
            raise EngineError(Failure.REJECTED, f"{since!r} is no position in the history of {self.name}")
        with self._current() as book:
            return reading.operation(book, int(since))

    def wires(self, paths: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
        with self._current() as book:
            return self._reading.wires(book, paths)

    def events(self) -> tuple[Event, ...]:
        with self._current() as book:
            return tuple(entry.event for entry in book.events)

    def delete(self) -> bool:
        """Delete the stack, with all that it is made of; call again until True."""
        with self._current() as book:
            if book.root.action is not Action.DELETE or book.root.state is StackState.FAILED:
                self._convergence.delete(book, self._clock.now())
                self._shelf.write(book)
                self._carry_on(book)
            deleted = _is_deleted(book)
            if deleted:
                self._clear()
            return deleted

    @contextmanager
    def _current(self) -> Iterator[Book]:
        """The books, with what is under way carried on; nobody else has them meanwhile."""
        with self._guarded():
            if self._book is None:
                self._read()
            if self._book is None:
                raise EngineError(Failure.GONE, f"there is no stack {self.name}")
            self._carry_on(self._book)
            yield self._book

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except EngineError:
                raise
            except BaseException as error:
                self._book = None  # it may be ahead of the disk, and only what is on the disk counts
                if isinstance(error, DocumentError):
                    raise EngineError(Failure.REJECTED, str(error)) from error
                if isinstance(error, OSError | UnreadableBookError | RealityError | EvaluationError):
                    raise EngineError(Failure.UNREACHABLE, f"{self.name}: {error}") from error
                raise

    def _read(self) -> None:
        self._book = self._shelf.read()
        self.stack_id = "" if self._book is None else self._book.root.id

    def _clear(self) -> None:
        self._shelf.clear()
        self._book, self.stack_id = None, ""

    def _carry_on(self, book: Book) -> None:
        if not book.root.busy and not any(standing.row.work for standing in standings(book)):
            return
        until = self._clock.elapsed() + PIECE_S
        while self._convergence.advance(book, self._clock.now()):
            self._shelf.write(book)
            if self._clock.elapsed() > until:
                return

    def _root(self, book: Book) -> Root:
        return Root(self._cloud, PROJECT, book.root.id, self.name)

    def _refuse_if_busy(self, book: Book) -> None:
        busy = [stack.name for stack in stacks(book) if stack.busy]
        if busy:
            raise EngineError(Failure.BUSY, f"{', '.join(busy)} is in progress")

    def _tell(self, told: Told, incarnation: Incarnation) -> None:
        match told:
            case Told.DONE:
                return
            case Told.STALE:
                which = f"{incarnation.name} {incarnation.physical_id}"
                raise EngineError(Failure.STALE, f"{which} is not what stands in {self.name} now")
            case Told.BUSY:
                raise EngineError(Failure.BUSY, f"{incarnation.name} is being worked on")


def _is_under_way(book: Book, since: str) -> bool:
    """Whether the update that began after this position has not ended; while it has not, no other begins."""
    return reading.operation(book, int(since)).state is OperationState.IN_PROGRESS


def _is_deleted(book: Book) -> bool:
    return (book.root.action, book.root.state) == (Action.DELETE, StackState.COMPLETE)
