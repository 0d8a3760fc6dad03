"""The simulated engine: an orchestrator and its cloud in virtual time, which misbehaves on request and by seed.

It does what a real Heat was recorded to do, with things that exist in memory alone. Nothing happens between two
calls: each first lets everything happen, at its moment, that is due by the clock's time. What it holds is gone with
the process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, ClassVar, TypeVar

from pydantic import ConfigDict, Field, PrivateAttr, StringConstraints

from healer.core.model import Incarnation, Root, Snapshot
from healer.core.step import Failure
from healer.declarative.declaration import declare
from healer.declarative.resource_types import FILE, PROCESS
from healer.documents import DocumentError
from healer.engines.simulated.cloud import SILENCE, Cloud
from healer.engines.simulated.keeper import Keeper
from healer.engines.simulated.trouble import Call, Misbehaviour
from healer.plugins import Plugin
from healer.ports import EngineError, Operation, Place

StackName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z][a-zA-Z0-9_.-]*$", max_length=255)]
_Answer = TypeVar("_Answer")


class Simulated(Plugin):
    """For trying out policies, and healer itself, where nothing can be broken."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"stacks": {"shop": "shop.yaml"}}]})

    stacks: dict[StackName, Path] = Field(default_factory=dict)
    """Name of a stack → its template, a file in a subset of HOT (docs/templates.md)."""
    seed: int = 0
    """Of all that is drawn: how long each thing takes, and what goes wrong when. Equal seeds, equal histories."""
    trouble: float = Field(default=0.0, ge=0.0, le=1.0)
    """How likely it is that a call goes wrong in one way or another, from 0 (never) to 1."""
    tells: bool = True
    """Whether it says which things are gone, as the embedded engine does, or knows but its books, as Heat does."""

    rebuildable: ClassVar[frozenset[str]] = frozenset({PROCESS, FILE})
    poll: ClassVar[timedelta] = timedelta(seconds=1)

    _cloud: Cloud = PrivateAttr()

    @property
    def cloud(self) -> Cloud:
        """Once it is bound: for whoever has a hand in it."""
        return self._cloud

    def bind(self, place: Place) -> None:
        self._cloud = Cloud(place.cloud, place.clock, self.seed, self.rebuildable, tells=self.tells)
        self._cloud.trouble.come(self.trouble)

    async def start(self) -> None:
        """A template that is wrong is REJECTED, before anything is created."""
        missing = self.stacks.keys() - {root.name for root in self.cloud.roots()}
        try:
            declared = {name: declare(self.stacks[name]) for name in sorted(missing)}
        except DocumentError as error:
            raise EngineError(Failure.REJECTED, str(error)) from error
        for name, declaration in declared.items():
            self.cloud.create(name, declaration)

    async def close(self) -> None:
        """Nothing is held between two calls."""

    async def roots(self) -> tuple[Root, ...]:
        if self.cloud.trouble.next(Call.ROOTS):
            raise EngineError(Failure.UNREACHABLE, SILENCE)
        return self.cloud.roots()

    async def snapshot(self, root: Root) -> Snapshot:
        return self._answer(Call.SNAPSHOT, root, lambda keeper: keeper.snapshot())

    async def mark(self, root: Root, incarnation: Incarnation, reason: str) -> None:
        keeper, misbehaviour = self.cloud.called(Call.MARK, root)
        keeper.refuse_if_busy()
        if misbehaviour is Misbehaviour.LOST_MARK:
            keeper.must_be(incarnation)
            return
        self.cloud.meddle(keeper, misbehaviour)
        keeper.tell(incarnation, reason, unhealthy=True)
        _lose_answer(misbehaviour)

    async def unmark(self, root: Root, incarnation: Incarnation) -> None:
        self._answer(Call.UNMARK, root, lambda keeper: keeper.unmark(incarnation))

    async def preview(self, root: Root, stack: str) -> frozenset[str]:
        return self._answer(Call.PREVIEW, root, lambda keeper: keeper.preview(stack))

    async def position(self, root: Root) -> str:
        return self._answer(Call.POSITION, root, lambda keeper: keeper.position())

    async def converge(self, root: Root, own_since: str | None = None) -> None:
        keeper, misbehaviour = self.cloud.called(Call.CONVERGE, root)
        if not keeper.must_ask(own_since):
            return
        self.cloud.meddle(keeper, misbehaviour)
        if misbehaviour not in {Misbehaviour.LOST_UPDATE, Misbehaviour.CROSSED_UPDATE}:
            keeper.update()
        _lose_answer(misbehaviour)

    async def operation(self, root: Root, since: str) -> Operation:
        return self._answer(Call.OPERATION, root, lambda keeper: keeper.operation(since))

    async def wires(self, root: Root, paths: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
        return self._answer(Call.WIRES, root, lambda keeper: keeper.wires(paths))

    async def power(self, root: Root, incarnation: Incarnation) -> None:
        self._answer(Call.POWER, root, lambda keeper: keeper.power(incarnation))

    def _answer(self, call: Call, root: Root, ask: Callable[[Keeper], _Answer]) -> _Answer:
        keeper, misbehaviour = self.cloud.called(call, root)
        self.cloud.meddle(keeper, misbehaviour)
        answer = ask(keeper)
        _lose_answer(misbehaviour)
        return answer


def _lose_answer(misbehaviour: Misbehaviour | None) -> None:
    if misbehaviour is Misbehaviour.ANSWER_LOST:
        raise EngineError(Failure.UNREACHABLE, SILENCE)
