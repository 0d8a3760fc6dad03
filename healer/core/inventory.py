"""What there is: which incarnation is meant, and what a policy wants looked at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from healer.core.model import Resource, Root, Selector, Snapshot, Target
from healer.core.policy import Owned, Policy, Watch, owner

Snapshots = Mapping[Root, Snapshot]

_ADDRESSES = ("address", "name", "hostname")
_FURTHER = "further_addresses"


class By(StrEnum):
    """What a resource was known by, the surest first."""

    PHYSICAL_ID = "physical_id"
    NAME = "name"
    ADDRESS = "address"
    HOST = "host"


@dataclass(frozen=True, slots=True)
class Found:
    targets: tuple[Target, ...]
    """One; all that run on a host, where it is a host that is meant."""
    by: By


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

_NAMELESS = "it names no resource: neither by a physical id, nor by stack and name, address or host"


def resolve(snapshots: Snapshots, selector: Selector, replaced: Mapping[str, Target]) -> Resolution:
    """What a selector means: by its physical id; else by stack and name; else by its address; else by its host.

    `replaced`: physical ids of incarnations that were healed away. Whoever names something that exists and gives it
    another name as well contradicts himself, and means nothing.
    """
    said = _said(selector)
    if not said:
        return Unmatched(_NAMELESS)
    cloud, stack = selector.cloud, selector.stack
    within = [
        one
        for one in snapshots.values()
        if (stack is None or stack in (one.root.name, one.root.id))
        and (cloud is None or cloud == one.root.cloud)
    ]
    for by, name in said:
        found = tuple(
            Target(snapshot.root, resource.path)
            for snapshot in within
            for resource in _called(snapshot, by, name)
        )
        if len(found) > 1 and by is not By.HOST:
            return Ambiguous(tuple(sorted(found)))
        if found:
            return _unless_contradicted(found, within, selector, by)
        if by is By.PHYSICAL_ID and name in replaced:
            return Stale(replaced[name])
    if not within:
        return Unmatched(
            f"there is no stack {selector.stack!r} here" if selector.stack else "there is no stack here"
        )
    # Which they are, the alarm says itself: so this is the same for all that are none of ours.
    names = " or its ".join(by.replace("_", " ") for by, _ in said)
    return Unmatched(f"no resource here has its {names}")


def _said(selector: Selector) -> list[tuple[By, str]]:
    names = (
        (By.PHYSICAL_ID, selector.physical_id),
        (By.NAME, selector.resource),
        (By.ADDRESS, selector.address),
        (By.HOST, selector.host),
    )
    return [(by, name) for by, name in names if name is not None]


def _unless_contradicted(
    found: tuple[Target, ...], within: Sequence[Snapshot], selector: Selector, by: By
) -> Found | Unmatched:
    """An id that is one thing's, beside a name that is another's."""
    if by is By.PHYSICAL_ID and selector.resource is not None:
        named = {
            Target(snapshot.root, resource.path)
            for snapshot in within
            for resource in _called(snapshot, By.NAME, selector.resource)
        }
        if named and found[0] not in named:
            return Unmatched(f"{selector.physical_id} is {found[0]}, and not {selector.resource!r}")
    return Found(found, by)


def _called(snapshot: Snapshot, by: By, name: str) -> Iterable[Resource]:
    """A port counts only where the resource has one: what is scraped on a server need not be what it serves."""
    known = _known(snapshot)
    found = known.get((by, name), [])
    if by is not By.ADDRESS or ":" not in name:
        return found
    host, _, port = name.rpartition(":")
    there = known.get((by, host.strip("[]")), [])
    return [*found, *(r for r in there if r.attributes.get("port") in {None, port} and r not in found)]


def _known(snapshot: Snapshot) -> Mapping[tuple[By, str], list[Resource]]:
    """Who is called so. Worked out once: a flood of alarms must not walk through every resource for each of them."""
    known: dict[tuple[By, str], list[Resource]] | None = snapshot.memo.get(By)
    if known is None:
        known = snapshot.memo[By] = {}
        for resource in snapshot.resources.values():
            if not resource.is_stack:  # of a stack, its members are meant
                for name in dict.fromkeys(_names(resource)):
                    known.setdefault(name, []).append(resource)
    return known


def addresses(attributes: Mapping[str, str]) -> Iterator[str]:
    """All by which a thing is reached. `further_addresses` holds several, with blanks between them."""
    for name in _ADDRESSES:
        if address := attributes.get(name):
            yield address
    yield from attributes.get(_FURTHER, "").split()


def _names(resource: Resource) -> Iterator[tuple[By, str]]:
    if resource.incarnation.physical_id:
        yield By.PHYSICAL_ID, resource.incarnation.physical_id
    yield By.NAME, resource.path
    yield By.NAME, resource.incarnation.name
    for address in addresses(resource.attributes):
        yield By.ADDRESS, address
    if host := resource.attributes.get("host"):
        yield By.HOST, host


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
