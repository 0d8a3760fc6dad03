"""The simulated engine: an orchestrator and its cloud in virtual time, which misbehaves on request and by seed.

It does what a real Heat was recorded to do, with things that exist in memory alone. Nothing happens between two
calls: each first lets everything happen, at its moment, that is due by the clock's time. What it holds is gone with
the process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from itertools import count
from pathlib import Path
from random import Random
from typing import Annotated, ClassVar, TypeVar

from pydantic import ConfigDict, Field, PrivateAttr, StringConstraints

from healer.core.model import Incarnation, Resource, Root, Snapshot, StackState
from healer.core.step import Failure
from healer.declarative.declaration import Declaration, declare
from healer.declarative.resource_types import FILE, PROCESS
from healer.documents import DocumentError
from healer.engines.simulated.keeper import Keeper
from healer.engines.simulated.others import INTERFERENCES, interfere, replace_one, update
from healer.engines.simulated.trouble import Call, Misbehaviour, Trouble
from healer.engines.simulated.world import Pace, World
from healer.plugins import Plugin
from healer.ports import EngineError, Event, Operation, Place

PROJECT = "simulated"

StackName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z][a-zA-Z0-9_.-]*$", max_length=255)]
_Answer = TypeVar("_Answer")

_SILENCE = "no answer within a minute"


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

    _keepers: dict[str, Keeper] = PrivateAttr(default_factory=dict)
    """By id of the root stack."""

    def bind(self, place: Place) -> None:
        self._place = place
        self._random = Random(self.seed)
        self._ports = count(20000)
        self._made = count(1)
        self._trouble = Trouble(self._random)
        self._trouble.chance = self._trouble.chance_of_changes = self.trouble

    async def start(self) -> None:
        """A template that is wrong is REJECTED, before anything is created."""
        missing = self.stacks.keys() - {keeper.root.name for keeper in self._keepers.values()}
        try:
            declared = {name: declare(self.stacks[name]) for name in sorted(missing)}
        except DocumentError as error:
            raise EngineError(Failure.REJECTED, str(error)) from error
        for name, declaration in declared.items():
            self.create(name, declaration)

    async def close(self) -> None:
        """Nothing is held between two calls."""

    async def roots(self) -> tuple[Root, ...]:
        if self._trouble.next(Call.ROOTS):
            raise EngineError(Failure.UNREACHABLE, _SILENCE)
        self._carry_on()
        return tuple(keeper.root for keeper in self._keepers.values() if not keeper.is_going)

    async def snapshot(self, root: Root) -> Snapshot:
        return self._answer(Call.SNAPSHOT, root, lambda keeper: keeper.snapshot(self.rebuildable))

    async def mark(self, root: Root, incarnation: Incarnation, reason: str) -> None:
        keeper, misbehaviour = self._call(Call.MARK, root)
        keeper.refuse_if_busy()
        if misbehaviour is Misbehaviour.LOST_MARK:
            keeper.must_be(incarnation)
            return
        self._interfere(keeper, misbehaviour)
        keeper.tell(incarnation, reason, unhealthy=True)
        _lose_answer(misbehaviour)

    async def unmark(self, root: Root, incarnation: Incarnation) -> None:
        self._answer(Call.UNMARK, root, lambda keeper: keeper.unmark(incarnation))

    async def preview(self, root: Root, stack: str) -> frozenset[str]:
        return self._answer(Call.PREVIEW, root, lambda keeper: keeper.preview(stack))

    async def position(self, root: Root) -> str:
        return self._answer(Call.POSITION, root, lambda keeper: keeper.position())

    async def converge(self, root: Root, own_since: str | None = None) -> None:
        keeper, misbehaviour = self._call(Call.CONVERGE, root)
        if not keeper.must_ask(own_since):
            return
        self._interfere(keeper, misbehaviour)
        if misbehaviour not in {Misbehaviour.LOST_UPDATE, Misbehaviour.CROSSED_UPDATE}:
            keeper.update()
        _lose_answer(misbehaviour)

    async def operation(self, root: Root, since: str) -> Operation:
        return self._answer(Call.OPERATION, root, lambda keeper: keeper.operation(since))

    async def wires(self, root: Root, paths: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
        return self._answer(Call.WIRES, root, lambda keeper: keeper.wires(paths))

    async def power(self, root: Root, incarnation: Incarnation) -> None:
        self._answer(Call.POWER, root, lambda keeper: keeper.power(incarnation))

    # What a test or a simulation does to it. None of these misbehaves.

    def create(self, name: str, declaration: Declaration, pace: Pace | None = None) -> Root:
        """A stack whose creation has begun."""
        root = Root(self._place.cloud, PROJECT, f"{name}-{next(self._made)}", name)
        world = World(self._place.clock.now(), Random(self._random.random()), self._ports, pace or Pace())
        self._keepers[root.id] = Keeper(root, declaration, world, tells=self.tells)
        return root

    def delete(self, root: Root) -> None:
        """Its deletion has begun."""
        self._keeper(root).delete()

    def has(self, root: Root) -> bool:
        """Whether there is such a stack, and nobody is deleting it."""
        self._carry_on(root.id)
        return root.id in self._keepers and not self._keepers[root.id].is_going

    def state(self, root: Root) -> StackState:
        return self._keeper(root).book.root.state

    def busy(self, root: Root) -> bool:
        """Whether the stack, or one that is nested in it, is in progress."""
        return bool(self._keeper(root).busy)

    def hangs(self, root: Root) -> bool:
        """Whether whoever worked on it has died."""
        return self._keeper(root).frozen

    def world(self, root: Root) -> World:
        """The things of a stack, as they are now. Raises EngineError (GONE) where there is no such stack."""
        return self._keeper(root).world

    def is_lost(self, root: Root, physical_id: str) -> bool:
        """Whether this thing was told of something that does not stand in its stack any more."""
        return self._keeper(root).is_lost(physical_id)

    def resource_of(self, root: Root, path: str) -> Incarnation:
        """What stands there now."""
        return self._keeper(root).snapshot(self.rebuildable).resources[path].incarnation

    def resources(self, root: Root) -> list[Resource]:
        """All that can be replaced, as it stands now."""
        return self._keeper(root).resources()

    def events(self, root: Root) -> tuple[Event, ...]:
        """The history of the stack, oldest first, as far back as it is kept."""
        return self._keeper(root).events()

    def mark_by_another(self, root: Root, incarnation: Incarnation, *, unhealthy: bool = True) -> None:
        """As Heat lets anybody: also while the stack is in progress, if nothing is being done to the resource."""
        self._keeper(root).tell(incarnation, "by another", unhealthy=unhealthy)

    def update_by_another(self, root: Root) -> None:
        """An update begins, whatever is in progress."""
        update(self._keeper(root))

    def replace_by_another(self, root: Root, path: str) -> None:
        """Somebody marks it and updates the stack, where that is idle."""
        replace_one(self._keeper(root), path)

    def kill(self, root: Root) -> None:
        """Whoever works on this stack dies: nothing goes on until somebody asks for an update."""
        self._keeper(root).frozen = True

    def given_up_by_others(self, root: Root) -> frozenset[str]:
        """Physical ids of all that somebody else was going to replace, ever."""
        return frozenset(self._keeper(root).given_up_by_others)

    def misbehave(self, misbehaviour: Misbehaviour, at: Call | None = None) -> None:
        """Let this come at the next call that it can come in the way of, or at the next one of these."""
        self._trouble.ask(misbehaviour, at)

    def interfere(self, root: Root, misbehaviour: Misbehaviour) -> None:
        """Let it happen to this stack at once; only what somebody does, or what becomes of an update, can."""
        interfere(self._keeper(root), misbehaviour, self._random)

    def trouble_by(self, chance: float, chance_of_changes: float | None = None) -> None:
        """From now on each call goes wrong with this probability, and one that changes something with the other.

        What was asked for is forgotten.
        """
        self._trouble.calm()
        self._trouble.chance = chance
        self._trouble.chance_of_changes = chance if chance_of_changes is None else chance_of_changes

    # How a call is answered.

    def _answer(self, call: Call, root: Root, ask: Callable[[Keeper], _Answer]) -> _Answer:
        keeper, misbehaviour = self._call(call, root)
        self._interfere(keeper, misbehaviour)
        answer = ask(keeper)
        _lose_answer(misbehaviour)
        return answer

    def _call(self, call: Call, root: Root) -> tuple[Keeper, Misbehaviour | None]:
        misbehaviour = self._trouble.next(call)
        if misbehaviour is Misbehaviour.TIMED_OUT:
            raise EngineError(Failure.UNREACHABLE, _SILENCE)
        keeper = self._keeper(root)
        if misbehaviour is Misbehaviour.FORBIDDEN:
            raise EngineError(Failure.FORBIDDEN, f"this may not be done: {call} of {root}")
        return keeper, misbehaviour

    def _interfere(self, keeper: Keeper, misbehaviour: Misbehaviour | None) -> None:
        if misbehaviour in INTERFERENCES:
            interfere(keeper, misbehaviour, self._random)
            keeper.carry_on(self._place.clock.now())

    def _keeper(self, root: Root) -> Keeper:
        self._carry_on(root.id)
        keeper = self._keepers.get(root.id)
        if keeper is None:
            raise EngineError(Failure.GONE, f"there is no stack {root} ({root.id})")
        return keeper

    def _carry_on(self, only: str | None = None) -> None:
        """One stack, or all of them; what is deleted is forgotten."""
        now = self._place.clock.now()
        for keeper in [self._keepers[only]] if only in self._keepers else list(self._keepers.values()):
            keeper.carry_on(now)
            if keeper.is_deleted:
                del self._keepers[keeper.root.id]


def _lose_answer(misbehaviour: Misbehaviour | None) -> None:
    if misbehaviour is Misbehaviour.ANSWER_LOST:
        raise EngineError(Failure.UNREACHABLE, _SILENCE)
