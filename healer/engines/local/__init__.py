"""The embedded engine: a small orchestrator over real processes and files of this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, ClassVar, TypeVar

from pydantic import PrivateAttr, StringConstraints

from healer.core.model import Incarnation, Root, Snapshot
from healer.core.step import Failure
from healer.declarative.resource_types import PROCESS
from healer.engines.local.keeper import Keeper
from healer.engines.local.shelf import Shelf
from healer.engines.local.things import Things
from healer.plugins import Plugin
from healer.ports import EngineError, Event, Operation, Place

FOLDER = "local"
"""Of this engine, in the daemon's state directory."""

StackName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z][a-zA-Z0-9_.-]*$", max_length=255)]
_Answer = TypeVar("_Answer")


class Local(Plugin):
    """Its stacks are created at start if they never were, and else left as they are, whatever the template says now."""

    stacks: dict[StackName, Path]
    """Name of a stack → its template, a file in a subset of HOT (docs/templates.md)."""

    rebuildable: ClassVar[frozenset[str]] = frozenset({PROCESS})
    poll: ClassVar[timedelta] = timedelta(milliseconds=100)
    made_of: ClassVar[type[Things]] = Things

    _keepers: dict[str, Keeper] = PrivateAttr(default_factory=dict)
    """By name of the stack."""
    _opened: bool = PrivateAttr(default=False)

    def bind(self, place: Place) -> None:
        self._place = place

    async def start(self) -> None:
        """Create what never was, take up what was left. A template that is wrong is REJECTED, after all the others."""
        failed = await asyncio.to_thread(self._open)
        self._opened = True
        if failed:
            raise EngineError(failed[0].failure, "\n".join(error.detail for error in failed))

    async def close(self) -> None:
        """Nothing is held between two calls."""

    async def roots(self) -> tuple[Root, ...]:
        found = await asyncio.to_thread(lambda: [keeper.root() for keeper in self._keepers.values()])
        return tuple(root for root in found if root is not None)

    async def snapshot(self, root: Root) -> Snapshot:
        return await self._ask(root, lambda keeper: keeper.snapshot(self.rebuildable))

    async def mark(self, root: Root, incarnation: Incarnation, reason: str) -> None:
        await self._ask(root, lambda keeper: keeper.mark(incarnation, reason))

    async def unmark(self, root: Root, incarnation: Incarnation) -> None:
        await self._ask(root, lambda keeper: keeper.unmark(incarnation))

    async def preview(self, root: Root, stack: str) -> frozenset[str]:
        return await self._ask(root, lambda keeper: keeper.preview(stack))

    async def position(self, root: Root) -> str:
        return await self._ask(root, lambda keeper: keeper.position())

    async def converge(self, root: Root, own_since: str | None = None) -> None:
        await self._ask(root, lambda keeper: keeper.converge(own_since))

    async def operation(self, root: Root, since: str) -> Operation:
        return await self._ask(root, lambda keeper: keeper.operation(since))

    async def wires(self, root: Root, paths: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
        return await self._ask(root, lambda keeper: keeper.wires(paths))

    async def power(self, root: Root, incarnation: Incarnation) -> None:
        raise EngineError(
            Failure.REJECTED, f"{root}: a restarted process is another one, so {incarnation.name} is replaced"
        )

    async def events(self, root: Root) -> tuple[Event, ...]:
        """The history of the stack, oldest first, as far back as it is kept."""
        return await self._ask(root, lambda keeper: keeper.events())

    async def delete(self, root: Root) -> bool:
        """Delete the stack and end all that it runs; call again until True. It is created anew at the next start."""
        return await self._ask(root, lambda keeper: keeper.delete())

    def _open(self) -> list[EngineError]:
        """All stacks that are declared, and those that were and still exist."""
        folder = self._place.state_directory / FOLDER / self._place.cloud
        kept = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        failed = []
        for name in dict.fromkeys([*self.stacks, *kept] if self._place.creates else kept):
            shelf = Shelf(folder / name)
            keeper = Keeper(name, shelf, self._place.cloud, self._place.clock, self.made_of)
            self._keepers[name] = keeper
            try:
                keeper.open(self.stacks.get(name))
            except EngineError as error:
                failed.append(error)
        return failed

    async def _ask(self, root: Root, what: Callable[[Keeper], _Answer]) -> _Answer:
        """In a thread, for books are written to the disk and processes started on the way."""

        def answer() -> _Answer:
            for keeper in self._keepers.values():
                if keeper.stack_id == root.id:
                    return what(keeper)
            if not self._opened:
                raise EngineError(Failure.UNREACHABLE, "the embedded engine has not read its books yet")
            raise EngineError(Failure.GONE, f"there is no stack {root} ({root.id})")

        return await asyncio.to_thread(answer)
