"""What a heal would touch, what fails because something else fails, and whether a heal is proven."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from healer.core.model import NOTHING, Effect, Incarnation, Reference, Resource, Root, Snapshot, StackState


@dataclass(frozen=True, slots=True)
class Condemned:
    """A resource that the repair gives up: it is marked, or it is FAILED already and needs no mark."""

    path: str
    type: str
    incarnation: Incarnation
    prior: str
    """Status before the repair, e.g. `CREATE_COMPLETE`."""
    needs_mark: bool
    attributes: Mapping[str, str] = NOTHING


@dataclass(frozen=True, slots=True)
class Touched:
    """A resource that the engine will change because of the condemned ones."""

    path: str
    type: str
    effect: Effect
    via: str
    """What makes it so, for a person: `wires refers to db`."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What one update of one root stack would do, worked out beforehand and held against what it did."""

    root: Root
    condemned: tuple[Condemned, ...]
    touched: tuple[Touched, ...] = ()
    references: tuple[Reference, ...] = ()
    """Those by which the touched ones refer to what is replaced: the wires to look at afterwards."""
    before: Mapping[str, str] = NOTHING
    """Path → physical id of every resource before the repair."""

    @property
    def collateral(self) -> tuple[Touched, ...]:
        """What would be replaced without being condemned."""
        return tuple(touched for touched in self.touched if touched.effect is Effect.REPLACED)

    @property
    def replaced(self) -> frozenset[str]:
        return frozenset(c.path for c in self.condemned) | {t.path for t in self.collateral}

    @property
    def wired(self) -> tuple[str, ...]:
        """Paths whose wires must name the successors afterwards, sorted."""
        return tuple(sorted({reference.source for reference in self.references}))


def plan(snapshot: Snapshot, paths: Collection[str]) -> Plan:
    """Follow every reference from what will be replaced: the condemned, and all that any update replaces anyway."""
    condemned = tuple(_condemn(snapshot.resources[path]) for path in sorted(paths))
    touched: dict[str, Touched] = {}
    queue: deque[tuple[str, Effect]] = deque((path, Effect.REPLACED) for path in sorted(paths))
    for resource in snapshot.resources.values():
        why = _replaced_anyway(resource)
        if why and resource.path not in paths:
            touched[resource.path] = Touched(resource.path, resource.type, Effect.REPLACED, why)
            queue.append((resource.path, Effect.REPLACED))
    # What is declared need not be there: it was never created, or the stack is being deleted.
    declared = [
        each for each in snapshot.references if {each.source, each.target} <= snapshot.resources.keys()
    ]
    referring = _by_target(declared)
    while queue:
        path, effect = queue.popleft()
        for reference in referring.get(path, ()):
            follows = _follows(reference, effect, snapshot.resources[path])
            known = touched.get(reference.source)
            if (
                follows is Effect.UNCHANGED
                or reference.source in paths
                or (known and known.effect in {follows, Effect.REPLACED})
            ):
                continue
            via = f"{reference.property} refers to {path}"
            touched[reference.source] = Touched(
                reference.source, snapshot.resources[reference.source].type, follows, via
            )
            queue.append((reference.source, follows))
    gone = frozenset(paths) | {t.path for t in touched.values() if t.effect is Effect.REPLACED}
    return Plan(
        root=snapshot.root,
        condemned=condemned,
        touched=tuple(touched[path] for path in sorted(touched)),
        references=tuple(
            reference
            for reference in declared
            if reference.target in gone and reference.property and reference.source not in paths
        ),
        before={path: resource.incarnation.physical_id for path, resource in snapshot.resources.items()},
    )


def _condemn(resource: Resource) -> Condemned:
    return Condemned(
        path=resource.path,
        type=resource.type,
        incarnation=resource.incarnation,
        prior=f"{resource.action}_{resource.state}",
        # What is FAILED, or not there yet, any update makes anew; un-marking it later would falsify what it is.
        needs_mark=resource.state is StackState.COMPLETE and bool(resource.incarnation.physical_id),
        attributes=resource.attributes,
    )


def _replaced_anyway(resource: Resource) -> str:
    if resource.is_stack:
        return ""
    if resource.always_replaced:
        return f"every update replaces a {resource.type}"
    if resource.state is StackState.FAILED:
        return f"it is {resource.action}_FAILED already"
    return ""


def _by_target(references: Iterable[Reference]) -> dict[str, list[Reference]]:
    found: dict[str, list[Reference]] = {}
    for reference in references:
        found.setdefault(reference.target, []).append(reference)
    return found


def _follows(reference: Reference, effect: Effect, target: Resource) -> Effect:
    """What happens to the referring resource when the target is replaced, or changed in place."""
    if not reference.property:
        return Effect.UNCHANGED
    kept = reference.attribute is None or reference.attribute in target.fixed
    if effect is Effect.UPDATED and kept:
        return Effect.UNCHANGED
    return reference.effect


def upstream(snapshot: Snapshot, path: str) -> frozenset[str]:
    """All that the resource requires, directly or not; what its enclosing stacks require counts as its own."""
    seen: set[str] = set()
    queue = deque([path])
    while queue:
        here = queue.popleft()
        for required in _required(snapshot, here):
            if required not in seen and required != path:
                seen.add(required)
                queue.append(required)
    return frozenset(seen)


def _required(snapshot: Snapshot, path: str) -> Iterable[str]:
    parts = path.split("/")
    for depth in range(len(parts), 0, -1):
        resource = snapshot.resources.get("/".join(parts[:depth]))
        for required in resource.requires if resource else ():
            yield required
            # Whoever requires a nested stack or a group requires what is in it.
            yield from (p for p in snapshot.resources if p.startswith(required + "/"))


@dataclass(frozen=True, slots=True)
class Proof:
    """Whether reality agrees that the plan was carried out."""

    failures: tuple[str, ...] = ()
    """Sentences; none means proven."""
    still_marked: bool = False
    """The update passed a marked resource by: another one would take it."""
    surprises: tuple[str, ...] = ()
    """What was replaced although the plan did not say so: an underestimate that people must hear of."""


def prove(planned: Plan, after: Snapshot, wires: Mapping[str, Mapping[str, str]]) -> Proof:
    """Read the result against the plan: ids changed, nothing failed, every dependent names the successor."""
    failures: list[str] = []
    if after.busy:
        failures.append(f"{', '.join(after.busy)} still in progress")
    if after.state is not StackState.COMPLETE:
        failures.append(f"the stack is {after.action}_{after.state}")
    still_marked = False
    for condemned in planned.condemned:
        now = after.resources.get(condemned.path)
        if now is None:
            failures.append(f"{condemned.path} is not in the stack any more")
        elif now.incarnation.physical_id == condemned.incarnation.physical_id:
            still_marked = still_marked or now.state is StackState.FAILED
            failures.append(f"{condemned.path} was not replaced")
    failures += [
        f"{resource.path} is {resource.action}_{resource.state}: {resource.reason}".rstrip(": ")
        for resource in after.resources.values()
        if resource.state is not StackState.COMPLETE and not resource.is_stack
    ]
    failures += _stale_wires(planned, after, wires)
    surprises = tuple(
        f"{path} was replaced and the plan did not say so"
        for path, physical_id in planned.before.items()
        if path not in planned.replaced
        and path in after.resources
        and after.resources[path].incarnation.physical_id != physical_id
    )
    return Proof(tuple(failures), still_marked, surprises)


def _stale_wires(planned: Plan, after: Snapshot, wires: Mapping[str, Mapping[str, str]]) -> Iterable[str]:
    condemned = {c.path: c for c in planned.condemned}
    for reference in planned.references:
        text = wires.get(reference.source, NOTHING).get(reference.property)
        successor = after.resources.get(reference.target)
        if text is None or successor is None:
            continue
        if reference.attribute is None:
            old, new = planned.before[reference.target], successor.incarnation.physical_id
        else:
            predecessor = condemned.get(reference.target)
            old = predecessor.attributes.get(reference.attribute, "") if predecessor else ""
            new = successor.attributes.get(reference.attribute, "")
        if old and old != new and _names(text, old, new) and not _names(text, new, old):
            yield f"{reference.source} still refers to the old {reference.target} in {reference.property}"


def _names(text: str, value: str, other: str) -> bool:
    """Whether the text names the value, not only as a part of the other one, as 10.0.0.1 is of 10.0.0.11."""
    return bool(value) and value in (text.replace(other, "") if value in other else text)
