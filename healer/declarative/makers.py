"""How the resources of each kind come about: real things, nested stacks, and those that exist in the books alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

from healer.core.model import Health, StackState
from healer.declarative.books import Action, Book, Row, Stack, Standing, Work
from healer.declarative.reality import Reality, RealityError, Thing
from healer.declarative.resource_types import TEST_RESOURCE
from healer.declarative.values import Values


class Maker(Protocol):
    """Carries out the work that is written down at a row. Each may raise RealityError, and none waits.

    `begin` may be called again, where a crash has lost that it was called.
    """

    def begin(self, standing: Standing, work: Work, now: datetime) -> None: ...

    def finished(self, standing: Standing, work: Work, now: datetime) -> bool: ...

    def read(self, row: Row) -> Mapping[str, Any]:
        """Its attributes as they are now."""
        ...

    def broken(self, row: Row) -> bool:
        """Whether one that is FAILED must be replaced, rather than taken as it is."""
        ...


def thing_of(row: Row, properties: Mapping[str, Any] | None = None) -> Thing:
    wanted = row.properties if properties is None else properties
    return Thing(row.type, row.name, row.id, wanted, row.physical_id, row.data)


class Things:
    """Real things."""

    def __init__(self, reality: Reality) -> None:
        self._reality = reality

    def begin(self, standing: Standing, work: Work, now: datetime) -> None:
        del now
        row = standing.row
        match row.action:
            case Action.CREATE:
                made = self._reality.create(thing_of(row))
                row.physical_id, row.data = made.physical_id, dict(made.data)
            case Action.UPDATE:
                names = set(row.properties) | set(work.properties)
                changed = {key for key in names if row.properties.get(key) != work.properties.get(key)}
                self._reality.update(thing_of(row, work.properties), frozenset(changed))
            case _:
                self._reality.delete(thing_of(row))

    def finished(self, standing: Standing, work: Work, now: datetime) -> bool:
        del now
        row = standing.row
        match row.action:
            case Action.CREATE:
                return self._reality.created(thing_of(row))
            case Action.UPDATE:
                return self._reality.updated(thing_of(row, work.properties))
            case _:
                return self._reality.deleted(thing_of(row))

    def read(self, row: Row) -> Mapping[str, Any]:
        return self._reality.attributes(thing_of(row)) if row.physical_id else {}

    def broken(self, row: Row) -> bool:
        return not row.physical_id or self._reality.look(thing_of(row)).condition is Health.UNHEALTHY


class Imagined:
    """What exists in the books alone: OS::Heat::TestResource, which can be told to wait and to fail, and Value."""

    def begin(self, standing: Standing, work: Work, now: datetime) -> None:
        row, work.since = standing.row, now
        wanted = work.properties if row.action is Action.UPDATE else row.properties
        if row.action is not Action.DELETE and not wanted.get("fail"):
            row.physical_id = (
                row.physical_id or f"{standing.stack.name}-{row.name}-{row.id.rpartition('-')[2]}"
            )
            row.data = {"value": wanted.get("value")}

    def finished(self, standing: Standing, work: Work, now: datetime) -> bool:
        row = standing.row
        wanted = work.properties if row.action is Action.UPDATE else row.properties
        wait = (wanted.get("action_wait_secs") or {}).get(row.action.lower())
        wait = wanted.get("wait_secs", 0) if wait is None else wait
        only_value = wanted.get("value") == row.properties.get("value")
        if row.action is Action.UPDATE and only_value:
            wait = 0  # as in Heat: it waits where its value changes
        if wait < 0 or now - (work.since or now) < timedelta(seconds=wait):
            return False
        if wanted.get("fail") and row.action is not Action.DELETE:
            raise RealityError(f"Test Resource failed {row.name}")
        return True

    def read(self, row: Row) -> Mapping[str, Any]:
        return {"output" if row.type == TEST_RESOURCE else "value": row.data.get("value")}

    def broken(self, row: Row) -> bool:
        del row
        return True


class Nested:
    """Nested stacks and groups: each is a stack of its own, with its own traversals."""

    def __init__(
        self,
        values: Values,
        update: Callable[[Book, Stack, datetime], None],
        delete: Callable[[Book, Stack, datetime], None],
    ) -> None:
        self._values = values
        self._update = update
        self._delete = delete

    def begin(self, standing: Standing, work: Work, now: datetime) -> None:
        row, stack, book = standing.row, standing.stack, standing.book
        child = stack.children.get(row.physical_id)
        if row.action is Action.DELETE:
            if child is not None:
                self._delete(book, child, now)
            return
        wanted = work.properties if row.action is Action.UPDATE else row.properties
        template = self._values.nested_template(book, row.type, wanted)
        if child is None:
            row.physical_id = book.new_id()
            name = f"{stack.name}-{row.name}-{row.physical_id.rpartition('-')[2]}"
            child = Stack(row.physical_id, name, standing.path, template, {}, created_at=now)
            stack.children[child.id] = child
        child.template = template
        child.parameters = dict(wanted)
        self._update(book, child, now)

    def finished(self, standing: Standing, work: Work, now: datetime) -> bool:
        del work, now
        row, stack = standing.row, standing.stack
        child = stack.children.get(row.physical_id)
        if child is None:
            return True
        if child.state is StackState.FAILED:
            raise RealityError(f"resources.{row.name}: {child.reason}")
        if child.busy:
            return False
        if row.action is Action.DELETE:
            del stack.children[child.id]
        return True

    def read(self, row: Row) -> Mapping[str, Any]:
        del row
        return {}  # worked out from what is in it, when it is asked for

    def broken(self, row: Row) -> bool:
        return not row.physical_id
