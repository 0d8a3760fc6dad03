"""What there is outside: two stacks as an orchestrator keeps them, and what becomes of each call that is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import Enum, auto

from healer.core.model import Effect, Incarnation, Reference, Resource, Root, Snapshot, StackState, Target
from healer.core.repair import Repair
from healer.core.step import (
    Done,
    Failed,
    Failure,
    Inspected,
    Marked,
    Pending,
    Previewed,
    Read,
    Report,
    Step,
)
from healer.core.turn import Perform

START = datetime(2031, 2, 3, 4, 5, 6, tzinfo=UTC)
LONG_AGO = START - timedelta(days=1)
SHOP = Root("here", "local", "shop-id", "shop")
LAB = Root("there", "local", "lab-id", "lab")
GROUP = "group"
TREE: dict[str, tuple[str, ...]] = {
    "db": (),
    "api": ("db",),
    "web": ("api",),
    "group/0": ("db",),
    "group/1": ("db",),
}
"""What there is in each stack, and what it requires; the members of the group lie in a stack of its own."""
TYPE = "Local::Process"


class Fate(Enum):
    """What becomes of a call."""

    WELL = auto()
    LOST = auto()
    """It is carried out, and its answer is lost."""
    SILENT = auto()
    """It never arrives, and nobody can tell."""


def owning_stack(root: Root, path: str) -> str:
    return f"{root.id}-{GROUP}" if path.startswith(f"{GROUP}/") else root.id


def first(root: Root) -> Snapshot:
    resources = {
        path: Resource(
            path=path,
            type=TYPE,
            incarnation=Incarnation(
                owning_stack(root, path), path.rpartition("/")[2], f"{root.name}/{path}-1"
            ),
            action="CREATE",
            state=StackState.COMPLETE,
            requires=requires,
            attributes={"port": "1"},
            fixed=frozenset({"port"}),
            created_at=LONG_AGO,
        )
        for path, requires in TREE.items()
    }
    group = Resource(
        path=GROUP,
        type="OS::Heat::ResourceGroup",
        incarnation=Incarnation(root.id, GROUP, f"{root.id}-{GROUP}"),
        action="CREATE",
        state=StackState.COMPLETE,
        is_stack=True,
    )
    return Snapshot(
        root=root,
        taken_at=START,
        action="CREATE",
        state=StackState.COMPLETE,
        resources={**resources, GROUP: group},
        references=tuple(
            Reference(path, "wires", required, "port", Effect.UPDATED)
            for path, requires in TREE.items()
            for required in requires
        ),
        created_at=LONG_AGO,
        rebuildable=frozenset({TYPE}),
    )


@dataclass
class Update:
    state: StackState = StackState.IN_PROGRESS


@dataclass
class World:
    now: Callable[[], datetime]
    stacks: dict[Root, Snapshot] = field(default_factory=lambda: {root: first(root) for root in (SHOP, LAB)})
    updates: dict[Root, list[Update]] = field(default_factory=lambda: {SHOP: [], LAB: []})
    """Those that healer asked for, in order."""
    dead: set[str] = field(default_factory=set)
    """Physical ids of what does not answer."""
    busy: set[Root] = field(default_factory=set)
    """Where somebody else's update is in progress."""
    replaced: list[str] = field(default_factory=list)
    """Physical ids that updates of healer's gave up, in order."""

    def current(self, target: Target) -> str:
        return self.stacks[target.root].resources[target.path].incarnation.physical_id

    def answers(self, target: Target) -> bool:
        """Whether it answers, and through everything that it requires."""
        needed = {target.path, *TREE[target.path], *(["db"] if target.path == "web" else [])}
        return not {self.current(Target(target.root, path)) for path in needed} & self.dead

    def snapshot(self, root: Root) -> Snapshot:
        busy = root in self.busy or self._running(root) is not None
        return replace(self.stacks[root], taken_at=self.now(), busy=(root.name,) if busy else ())

    def marks(self) -> set[str]:
        """Ids of the repairs of which something is marked."""
        return {
            resource.reason.partition("/")[2].partition(":")[0]
            for snapshot in self.stacks.values()
            for resource in snapshot.resources.values()
            if resource.marked and resource.reason
        }

    # What other hands do.

    def replace(self, target: Target, *, ours: bool = False) -> None:
        old = self.stacks[target.root].resources[target.path]
        stem, _, number = old.incarnation.physical_id.rpartition("-")
        new = f"{stem}-{int(number) + 1}"
        self.dead.discard(old.incarnation.physical_id)
        if ours:
            self.replaced.append(old.incarnation.physical_id)
        self._put(
            target,
            replace(
                old,
                incarnation=replace(old.incarnation, physical_id=new),
                action="CREATE",
                state=StackState.COMPLETE,
                reason="",
                attributes={"port": str(int(number) + 1)},
                created_at=self.now(),
            ),
        )

    def finish(self, root: Root, *, well: bool = True, passes_by: bool = False) -> None:
        """The update of ours that is in progress ends; `passes_by`: it does not see the marks."""
        running = self._running(root)
        if running is None:
            return
        running.state = StackState.COMPLETE if well else StackState.FAILED
        if well and not passes_by:
            for resource in list(self.stacks[root].resources.values()):
                if resource.state is StackState.FAILED:
                    self.replace(Target(root, resource.path), ours=True)
        self.stacks[root] = replace(
            self.stacks[root], action="UPDATE", state=running.state, updated_at=self.now()
        )

    # What healer asks for.

    def perform(self, command: Perform, fate: Fate = Fate.WELL) -> Report:
        """As the performer of the daemon does it: look first where it may be done, and object before it is done."""
        repair = command.repair
        if fate is Fate.SILENT:
            return Failed(Failure.UNREACHABLE, "silence")
        if command.resumed and repair.step is Step.POWER:
            return Done()
        if command.resumed and repair.step is Step.CONVERGE and self._operation(repair) is not None:
            return Done()
        report = command.objection or self._call(command)
        lost = fate is Fate.LOST and not isinstance(report, Pending)
        return Failed(Failure.UNREACHABLE, "its answer was lost") if lost else report

    def _call(self, command: Perform) -> Report:
        repair = command.repair
        match repair.step:
            case Step.INSPECT:
                snapshot = self.snapshot(repair.root)
                stacks = {i.incarnation.stack for i in command.incidents}
                return Done(Inspected(snapshot, {} if snapshot.busy else {s: frozenset() for s in stacks}))
            case Step.MARK:
                return self._mark(repair)
            case Step.PREVIEW:
                return Done(Previewed(self._marked(repair.root)))
            case Step.UNMARK:
                return self._unmark(repair)
            case Step.CONVERGE:
                return self._converge(repair)
            case Step.FOLLOW:
                return self._follow(repair)
            case Step.PROVE:
                return Done(Read(self.snapshot(repair.root), self._wires(repair.root)))
            case Step.POWER:
                self.dead -= {incident.current.physical_id for incident in command.incidents}
                return Done()
            case Step.NOTIFY:
                return Done()

    def _mark(self, repair: Repair) -> Report:
        if self.snapshot(repair.root).busy:
            return Failed(Failure.BUSY, "an update is in progress")
        for one in repair.plan.condemned if repair.plan else ():
            target = Target(repair.root, one.path)
            there = self.stacks[repair.root].resources[one.path]
            if there.incarnation != one.incarnation:
                return Failed(Failure.STALE, f"{one.path} has been replaced")
            if one.needs_mark:
                reason = f"healer:test/{repair.id}: it fails"
                self._put(target, replace(there, action="CHECK", state=StackState.FAILED, reason=reason))
        return Done(Marked(str(len(self.updates[repair.root]))))

    def _unmark(self, repair: Repair) -> Report:
        if self.snapshot(repair.root).busy:
            return Failed(Failure.BUSY, "an update is in progress")
        for path, resource in list(self.stacks[repair.root].resources.items()):
            if resource.marked and f"/{repair.id}:" in resource.reason:
                whole = replace(resource, state=StackState.COMPLETE, reason="")
                self._put(Target(repair.root, path), whole)
        return Done()

    def _converge(self, repair: Repair) -> Report:
        running = self._running(repair.root)
        ours = running is not None and running is self._operation(repair)
        if repair.root in self.busy or (running is not None and not (ours and repair.resumed)):
            return Failed(Failure.BUSY, "an update is in progress")
        if running is None:
            self.updates[repair.root].append(Update())
        return Done()

    def _follow(self, repair: Repair) -> Report:
        operation = self._operation(repair)
        if operation is None or operation.state is StackState.IN_PROGRESS:
            return Pending(timedelta(seconds=1), "converging")
        if operation.state is StackState.FAILED:
            return Failed(Failure.UPDATE_FAILED, "no room")
        return Done()

    def _wires(self, root: Root) -> dict[str, dict[str, str]]:
        resources = self.stacks[root].resources
        return {
            path: {"wires": ", ".join(resources[required].attributes["port"] for required in requires)}
            for path, requires in TREE.items()
        }

    def _marked(self, root: Root) -> dict[str, frozenset[str]]:
        found: dict[str, set[str]] = {}
        for resource in self.stacks[root].resources.values():
            if resource.marked:
                found.setdefault(resource.incarnation.stack, set()).add(resource.incarnation.name)
        return {stack: frozenset(names) for stack, names in found.items()}

    def _running(self, root: Root) -> Update | None:
        return next((u for u in self.updates[root] if u.state is StackState.IN_PROGRESS), None)

    def _operation(self, repair: Repair) -> Update | None:
        """The first update that began after the repair's last mark."""
        position = int(repair.position or 0)
        return next(iter(self.updates[repair.root][position:]), None)

    def _put(self, target: Target, resource: Resource) -> None:
        snapshot = self.stacks[target.root]
        self.stacks[target.root] = replace(snapshot, resources={**snapshot.resources, target.path: resource})
