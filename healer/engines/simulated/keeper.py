"""The keeper of one simulated stack: its books, carried on to whatever moment somebody asks about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from healer.core.model import Health, Incarnation, Resource, Root, Snapshot, StackState, Symptom
from healer.core.step import Failure
from healer.declarative import reading
from healer.declarative.books import Action, Book, Row, listed, stacks, standings
from healer.declarative.declaration import Declaration
from healer.declarative.reading import Reading, Told
from healer.declarative.resource_types import TYPES
from healer.declarative.traversal import Convergence
from healer.engines.simulated.world import World
from healer.ports import EngineError, Event, Operation

WENT_DOWN = "Worker went down during resource"

Trick = Callable[[], bool]
"""Something that is to happen in the middle of an update; asked after each piece of it until it says True."""


class Keeper:
    """All raise EngineError, none waits. Whoever calls has carried the stack on to the present before."""

    def __init__(
        self, root: Root, declaration: Declaration, world: World, rebuildable: frozenset[str], *, tells: bool
    ) -> None:
        """`tells`: whether a snapshot says which things are gone, as the embedded engine's does."""
        self.root = root
        self.world = world
        self._rebuildable = rebuildable
        self._tells = tells
        self._working = True
        """Whether anything may be under way."""
        self._convergence = Convergence(world)
        self._reading = Reading(world, TYPES)
        self.book: Book = self._convergence.create(root.name, root.id, declaration, world.at)
        self.frozen = False
        """The engine has died in the middle of something: nothing goes on until it is asked for an update."""
        self.tricks: list[Trick] = []
        self.passed_by: set[str] = set()
        """Ids of marked rows that the update which is in progress, or comes next, takes for unmarked."""
        self.given_up_by_others: set[str] = set()
        """Physical ids of all that somebody else was going to replace, ever."""
        self.updated_by_another = False
        """Whose the update is that is in progress, or was last."""
        self._changes = 0
        self._read: tuple[tuple[int, int], Snapshot] | None = None

    # Carrying on.

    def carry_on(self, now: datetime) -> None:
        """Let everything happen that is due until then, each at its moment."""
        world = self.world
        while self._working and not self.frozen and self._is_at_work():
            self._advance()
            due = world.next_due()
            if due is not None and due <= now:
                world.at = max(world.at, due)
            elif world.at < now:
                world.at = now  # something may wait in the books alone
            else:
                break
        world.at = max(world.at, now)

    def _advance(self) -> None:
        while not self.frozen and self._advance_past_marks():
            self._changes += 1
            if self.updated_by_another:
                rows = (standing.row for standing in standings(self.book))
                self.given_up_by_others |= {row.physical_id for row in rows if row.replaced_by}
            self.tricks = [trick for trick in self.tricks if not trick()]
            if not self.book.root.busy:
                self.passed_by.clear()

    def _advance_past_marks(self) -> bool:
        hidden = [row for row in self.marked() if row.id in self.passed_by] if self.passed_by else []
        for row in hidden:
            row.state = StackState.COMPLETE
        moved = self._convergence.advance(self.book, self.world.at)
        for row in hidden:
            if row.action is Action.CHECK:
                row.state = StackState.FAILED
        return moved

    @property
    def is_deleted(self) -> bool:
        return (self.book.root.action, self.book.root.state) == (Action.DELETE, StackState.COMPLETE)

    @property
    def is_going(self) -> bool:
        """Whether it is being deleted."""
        return self.book.root.action is Action.DELETE

    @property
    def busy(self) -> tuple[str, ...]:
        return tuple(stack.name for stack in stacks(self.book) if stack.busy)

    def _is_at_work(self) -> bool:
        self._working = self.book.root.busy or any(standing.row.work for standing in standings(self.book))
        return self._working

    # The port's calls.

    def snapshot(self) -> Snapshot:
        return replace(self._reading_now(), taken_at=self.world.at)

    def _reading_now(self) -> Snapshot:
        """Read anew only where anything has changed: most readings find what the one before found."""
        version = (self._changes, self.world.version)
        if self._read is None or self._read[0] != version:
            found = self._reading.snapshot(self.book, self.root, self._rebuildable, self.world.at)
            self._read = (version, found if self._tells else _untold(found))
        return self._read[1]

    def tell(self, incarnation: Incarnation, reason: str, *, unhealthy: bool) -> None:
        """As Heat itself does: also while the stack is in progress, if nothing is being done to this resource."""
        self.touched()
        told = (reading.mark if unhealthy else reading.unmark)(self.book, incarnation, reason, self.world.at)
        self._tell(told, incarnation)

    def unmark(self, incarnation: Incarnation) -> None:
        self.refuse_if_busy()
        self.tell(incarnation, "mark taken back", unhealthy=False)

    def preview(self, stack_id: str) -> frozenset[str]:
        stack = reading.find(self.book, stack_id)
        if stack is None:
            raise EngineError(Failure.GONE, f"{self.root} has no stack {stack_id}")
        would = self._convergence.would_replace
        return frozenset(name for name in stack.names() if would(self.book, stack, name))

    def position(self) -> str:
        return str(self.book.position)

    def must_ask(self, own_since: str | None) -> bool:
        """Whether an update is to be asked for; False where the caller's own has been asked for again already."""
        begun = 0
        if own_since is not None:
            begun = sum(update.begun > int(own_since) for update in self.book.updates)
        if begun == 0:
            self.refuse_if_busy()
        return begun < 2

    def update(self, *, by_another: bool = False) -> None:
        """An update begins, whatever is in progress: that is superseded, and what it has begun is adopted."""
        self.touched()
        self.updated_by_another = by_another
        died, self.frozen = self.frozen, False
        if died:
            self.world.drop_work()
            for stack in stacks(self.book):
                stack.traversal = None
        self._convergence.update(self.book, self.world.at)
        if died:
            self._find_undone()

    def operation(self, since: str) -> Operation:
        if not since.isdecimal():
            raise EngineError(Failure.REJECTED, f"{since!r} is no position in the history of {self.root}")
        return reading.operation(self.book, int(since))

    def begun_at(self, since: str) -> datetime | None:
        """When the first update after this position of the history began, if one has."""
        positions = [update.begun for update in self.book.updates if update.begun > int(since)]
        return next((each.at for each in self.book.events if each.position in positions[:1]), None)

    def wires(self, paths: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
        return self._reading.wires(self.book, paths)

    def power(self, incarnation: Incarnation) -> None:
        self.must_be(incarnation)
        if not self.world.reboot(incarnation.physical_id):
            # The thing is not there, and no waiting brings it back: only the next rung may.
            raise EngineError(
                Failure.REJECTED, f"{incarnation.physical_id} does not exist: nothing to restart"
            )

    def events(self) -> tuple[Event, ...]:
        return tuple(entry.event for entry in self.book.events)

    def delete(self) -> None:
        self.touched()
        self.frozen = False
        self._convergence.delete(self.book, self.world.at)

    # For those who interfere.

    def touched(self) -> None:
        """Something in the books is changed: the next snapshot is read anew, and it may have to be carried on."""
        self._changes += 1
        self._working = True

    def refuse_if_busy(self) -> None:
        if busy := self.busy:
            raise EngineError(Failure.BUSY, f"{', '.join(busy)} is in progress")

    def must_be(self, incarnation: Incarnation) -> None:
        """It stands there now, and nothing is being done to it; else STALE, or BUSY."""
        for standing in listed(self.book):
            row = standing.row
            if Incarnation(standing.stack.id, row.name, row.physical_id) == incarnation:
                if row.work is not None:
                    self._tell(Told.BUSY, incarnation)
                return
        self._tell(Told.STALE, incarnation)

    def marked(self) -> list[Row]:
        return [standing.row for standing in listed(self.book) if is_marked(standing.row)]

    def resources(self) -> list[Resource]:
        """All that can be replaced, as it stands."""
        found = self._reading_now().resources.values()
        return [resource for resource in found if not resource.is_stack]

    def is_lost(self, physical_id: str) -> bool:
        """Whether it was told of something that does not stand in the stack, or does not exist, any more."""
        items = self.world.items
        current = {each.incarnation.physical_id for each in self.resources()}
        places = {items[each].place for each in current if each in items}
        return physical_id in items and not places.issuperset(items[physical_id].needs)

    def _find_undone(self) -> None:
        """What the dead engine was at has failed, so the new one finds; what it has begun is there all the same."""
        for standing in list(standings(self.book)):
            row = standing.row
            if row.work is not None:
                row.work = None
                reason = f"{WENT_DOWN} {row.action}"
                standing.set_status(row.action, StackState.FAILED, reason, self.world.at)

    def _tell(self, told: Told, incarnation: Incarnation) -> None:
        if told is Told.STALE:
            which = f"{incarnation.name} {incarnation.physical_id}"
            raise EngineError(Failure.STALE, f"{which} is not what stands in {self.root} now")
        if told is Told.BUSY:
            raise EngineError(Failure.BUSY, f"{incarnation.name} is being worked on")


def is_marked(row: Row) -> bool:
    return (row.action, row.state) == (Action.CHECK, StackState.FAILED)


def _untold(snapshot: Snapshot) -> Snapshot:
    """Without what only a look at the things themselves can tell, which Heat does not take."""
    resources = {
        path: replace(resource, condition=Health.UNKNOWN, condition_symptom=Symptom.OK)
        for path, resource in snapshot.resources.items()
    }
    return replace(snapshot, resources=resources)
