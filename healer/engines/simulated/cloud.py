"""All stacks of one simulated cloud, and what can be done to them behind their engine's back or in its place."""

from __future__ import annotations

from datetime import datetime
from itertools import count
from random import Random

from healer.core.model import Incarnation, Resource, Root, StackState
from healer.core.step import Failure
from healer.declarative.declaration import Declaration
from healer.engines.simulated.keeper import Keeper
from healer.engines.simulated.others import INTERFERENCES, interfere, replace_one, update
from healer.engines.simulated.trouble import Call, Misbehaviour, Trouble
from healer.engines.simulated.world import Pace, World
from healer.ports import Clock, EngineError, Event

PROJECT = "simulated"
SILENCE = "no answer within a minute"


class Cloud:
    """Nothing happens in it between two calls: each first lets happen, at its moment, whatever is due by now."""

    def __init__(
        self, name: str, clock: Clock, seed: int, rebuildable: frozenset[str], *, tells: bool
    ) -> None:
        self._name = name
        self._clock = clock
        self._random = Random(seed)
        self.trouble = Trouble(self._random)
        """What goes wrong next."""
        self._rebuildable = rebuildable
        self._tells = tells
        self._ports = count(20000)
        self._made = count(1)
        self._keepers: dict[str, Keeper] = {}

    # Stacks.

    def roots(self) -> tuple[Root, ...]:
        """Of all that nobody is deleting."""
        self.carry_on()
        return tuple(keeper.root for keeper in self._keepers.values() if not keeper.is_going)

    def create(self, name: str, declaration: Declaration, pace: Pace | None = None) -> Root:
        """A stack whose creation has begun."""
        root = Root(self._name, PROJECT, f"{name}-{next(self._made)}", name)
        world = World(self._clock.now(), Random(self._random.random()), self._ports, pace or Pace())
        self._keepers[root.id] = Keeper(root, declaration, world, self._rebuildable, tells=self._tells)
        return root

    def delete(self, root: Root) -> None:
        """Its deletion has begun."""
        self.keeper(root).delete()

    def has(self, root: Root) -> bool:
        """Whether there is such a stack, and nobody is deleting it."""
        self.carry_on(root.id)
        return root.id in self._keepers and not self._keepers[root.id].is_going

    def state(self, root: Root) -> StackState:
        return self.keeper(root).book.root.state

    def busy(self, root: Root) -> bool:
        """Whether the stack, or one that is nested in it, is in progress."""
        return bool(self.keeper(root).busy)

    def hangs(self, root: Root) -> bool:
        """Whether whoever worked on it has died."""
        return self.keeper(root).frozen

    def left_failed_by_another(self, root: Root) -> datetime | None:
        """When its last update failed, if that was somebody else's."""
        keeper = self.keeper(root)
        failed = keeper.book.root.state is StackState.FAILED
        return keeper.book.root.updated_at if failed and keeper.updated_by_another else None

    def world(self, root: Root) -> World:
        """The things of a stack, as they are now. Raises EngineError (GONE) where there is no such stack."""
        return self.keeper(root).world

    def is_lost(self, root: Root, physical_id: str) -> bool:
        """Whether this thing was told of something that does not stand in its stack any more."""
        return self.keeper(root).is_lost(physical_id)

    def resource_of(self, root: Root, path: str) -> Incarnation:
        """What stands there now."""
        return self.keeper(root).snapshot().resources[path].incarnation

    def resources(self, root: Root) -> list[Resource]:
        """All that can be replaced, as it stands now."""
        return self.keeper(root).resources()

    def events(self, root: Root) -> tuple[Event, ...]:
        """The history of the stack, oldest first, as far back as it is kept."""
        return self.keeper(root).events()

    def mark_by_another(self, root: Root, incarnation: Incarnation, *, unhealthy: bool = True) -> None:
        """As Heat lets anybody: also while the stack is in progress, if nothing is being done to the resource."""
        self.keeper(root).tell(incarnation, "by another", unhealthy=unhealthy)

    def update_by_another(self, root: Root) -> None:
        """An update begins, whatever is in progress."""
        update(self.keeper(root))

    def replace_by_another(self, root: Root, path: str) -> None:
        """Somebody marks it and updates the stack, where that is idle."""
        replace_one(self.keeper(root), path)

    def kill(self, root: Root) -> None:
        """Whoever works on this stack dies: nothing goes on until somebody asks for an update."""
        self.keeper(root).frozen = True

    def given_up_by_others(self, root: Root) -> frozenset[str]:
        """Physical ids of all that somebody else was going to replace, ever."""
        return frozenset(self.keeper(root).given_up_by_others)

    def interfere(self, root: Root, misbehaviour: Misbehaviour) -> None:
        """Let it happen to this stack at once; only what somebody does, or what becomes of an update, can."""
        interfere(self.keeper(root), misbehaviour, self._random)

    # How a call is answered.

    def called(self, call: Call, root: Root) -> tuple[Keeper, Misbehaviour | None]:
        """Whom to ask, and what is to go wrong with it, if anything. EngineError where that is the call itself."""
        misbehaviour = self.trouble.next(call)
        if misbehaviour is Misbehaviour.TIMED_OUT:
            raise EngineError(Failure.UNREACHABLE, SILENCE)
        keeper = self.keeper(root)
        if misbehaviour is Misbehaviour.FORBIDDEN:
            raise EngineError(Failure.FORBIDDEN, f"this may not be done: {call} of {root}")
        return keeper, misbehaviour

    def meddle(self, keeper: Keeper, misbehaviour: Misbehaviour | None) -> None:
        """Let somebody's hand come in between, where it is that which goes wrong."""
        if misbehaviour in INTERFERENCES:
            interfere(keeper, misbehaviour, self._random)
            keeper.carry_on(self._clock.now())

    def keeper(self, root: Root) -> Keeper:
        """Raises EngineError (GONE) where there is no such stack."""
        self.carry_on(root.id)
        keeper = self._keepers.get(root.id)
        if keeper is None:
            raise EngineError(Failure.GONE, f"there is no stack {root} ({root.id})")
        return keeper

    def carry_on(self, only: str | None = None) -> None:
        """One stack, or all of them; what is deleted is forgotten."""
        now = self._clock.now()
        for keeper in [self._keepers[only]] if only in self._keepers else list(self._keepers.values()):
            keeper.carry_on(now)
            if keeper.is_deleted:
                del self._keepers[keeper.root.id]
