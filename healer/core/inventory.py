"""What there is: which incarnation is meant, and what a policy wants looked at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from healer.core.model import Resource, Root, Selector, Snapshot, Target
from healer.core.policy import Owned, Policy, Watch, owner

Snapshots = Mapping[Root, Snapshot]


@dataclass(frozen=True, slots=True)
class Found:
    target: Target
    resource: Resource


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """More than one resource could be meant: nobody guesses."""

    candidates: tuple[Target, ...]


@dataclass(frozen=True, slots=True)
class Stale:
    """An incarnation is meant that has been replaced since."""

    target: Target


@dataclass(frozen=True, slots=True)
class Unmatched:
    why: str


Resolution = Found | Ambiguous | Stale | Unmatched


def resolve(snapshots: Snapshots, selector: Selector, replaced: Mapping[str, Target]) -> Resolution:
    """The resource that a selector means. `replaced`: physical ids of incarnations that were healed away."""
    if selector.physical_id is None and selector.resource is None:
        return Unmatched("it names neither a resource nor a physical id")
    within = [snapshot for snapshot in snapshots.values() if _may_hold(snapshot, selector)]
    found = [
        Found(Target(snapshot.root, resource.path), resource)
        for snapshot in within
        for resource in snapshot.resources.values()
        if not resource.is_stack and _is_meant(resource, selector)
    ]
    if len(found) > 1:
        return Ambiguous(tuple(sorted(one.target for one in found)))
    if found:
        return found[0]  # Also where it was healed once and kept its id, as a restart does.
    if selector.physical_id is not None and selector.physical_id in replaced:
        return Stale(replaced[selector.physical_id])
    if not within:
        return Unmatched(
            f"there is no stack {selector.stack!r} here" if selector.stack else "there is no stack here"
        )
    return Unmatched(f"no resource here is {selector.physical_id or selector.resource!r}")


def _may_hold(snapshot: Snapshot, selector: Selector) -> bool:
    root = snapshot.root
    return (selector.cloud is None or selector.cloud == root.cloud) and (
        selector.stack is None or selector.stack in {root.name, root.id}
    )


def _is_meant(resource: Resource, selector: Selector) -> bool:
    if selector.physical_id is not None and resource.incarnation.physical_id != selector.physical_id:
        return False
    return selector.resource is None or selector.resource in {resource.path, resource.incarnation.name}


@dataclass(frozen=True, slots=True)
class Watched:
    """One active check that a policy wants on one resource."""

    target: Target
    resource: Resource
    policy: Policy
    watch: Watch


def watched(policies: Iterable[Policy], snapshots: Snapshots) -> tuple[Watched, ...]:
    """Everything to be looked at. A resource that two policies own is looked at for neither."""
    policies = tuple(policies)
    found: list[Watched] = []
    for snapshot in snapshots.values():
        for resource in snapshot.resources.values():
            match owner(policies, snapshot, resource):
                case Owned(policy):
                    target = Target(snapshot.root, resource.path)
                    found += [Watched(target, resource, policy, watch) for watch in policy.detect.watches]
                case _:
                    continue
    return tuple(found)
