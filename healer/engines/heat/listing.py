"""What a stack consists of now, read from Heat's list of its resources over all nested stacks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote, unquote

from healer.core.model import Incarnation, StackState
from healer.declarative.references import GROUPS


@dataclass(frozen=True, slots=True, order=True)
class StackName:
    """Heat wants name and id of a stack together."""

    name: str
    id: str

    @property
    def path(self) -> str:
        return f"/stacks/{quote(self.name, safe='')}/{self.id}" if self.name else f"/stacks/{self.id}"


@dataclass(frozen=True, slots=True)
class Listed:
    """One resource, with the stack that owns it and, if it is a stack itself, that one."""

    path: str
    stack: StackName
    name: str
    physical_id: str
    type: str
    action: str
    state: StackState
    reason: str
    nested: StackName | None
    required_by: tuple[str, ...]
    """Names in the same stack."""
    created_at: datetime | None
    updated: str
    """Changes whenever something was done to it; whole seconds."""

    @property
    def incarnation(self) -> Incarnation:
        return Incarnation(self.stack.id, self.name, self.physical_id)

    @property
    def is_stack(self) -> bool:
        """A group that could not be created has no stack yet, and is one all the same."""
        return self.nested is not None or self.type in GROUPS


@dataclass(frozen=True, slots=True)
class Listing:
    root: StackName
    resources: Mapping[str, Listed]
    """By path."""
    busy: tuple[str, ...] = ()
    """Names of the stacks in it that are in progress, or have a resource that is."""

    @property
    def stacks(self) -> Mapping[str, StackName]:
        """The root and all that is nested in it, by id."""
        nested = (listed.nested for listed in self.resources.values())
        return {stack.id: stack for stack in (self.root, *nested) if stack is not None}

    def find(self, incarnation: Incarnation) -> Listed | None:
        """The resource, if this very incarnation is what fills it now."""
        if not incarnation.physical_id:
            return None
        return next((each for each in self.resources.values() if each.incarnation == incarnation), None)

    def at(self, stack: str, name: str) -> Listed | None:
        """Whatever has this name in the stack with this id."""
        found = (each for each in self.resources.values() if (each.stack.id, each.name) == (stack, name))
        return next(found, None)

    def names_one(self, listed: Listed) -> bool:
        """Whether its physical id, asked for in its stack, means it alone and can stand in a URL.

        Heat takes a name first: an id that is the name of another resource would mean that one. A volume and its
        attachment have one id between them.
        """
        same = [
            each for each in self.resources.values() if each.stack.id == listed.stack.id and each != listed
        ]
        clash = any(listed.physical_id in (each.name, each.physical_id) for each in same)
        return not clash and "/" not in listed.physical_id


def listing(
    root: StackName, entries: Iterable[Mapping[str, Any]], in_progress: Iterable[Mapping[str, Any]]
) -> Listing:
    """`entries`: the list of resources to the last depth. `in_progress`: stacks, of this root or of any other."""
    by_stack: dict[str, list[Mapping[str, Any]]] = {}
    for entry in entries:
        by_stack.setdefault(_linked(entry, "stack").id, []).append(entry)
    found: dict[str, Listed] = {}
    _collect(found, by_stack, root.id, "")
    result = Listing(root, found)
    moving = {each.stack for each in found.values() if each.state is StackState.IN_PROGRESS}
    stacks = result.stacks
    moving |= {stacks[stack["id"]] for stack in in_progress if stack["id"] in stacks}
    return Listing(root, found, tuple(sorted(stack.name for stack in moving)))


def instant(text: str | None) -> datetime | None:
    """Heat writes `2026-11-24T11:07:51Z`, or nothing."""
    return datetime.fromisoformat(text) if text else None


def status(text: str) -> tuple[str, StackState]:
    """`CHECK_FAILED` → CHECK and FAILED."""
    action, _, state = text.partition("_")
    return action, StackState(state)


def _collect(
    found: dict[str, Listed], by_stack: Mapping[str, list[Mapping[str, Any]]], stack: str, prefix: str
) -> None:
    for entry in by_stack.get(stack, ()):
        path = prefix + entry["resource_name"]
        nested = _linked(entry, "nested") if any(link["rel"] == "nested" for link in entry["links"]) else None
        action, state = status(entry["resource_status"])
        found[path] = Listed(
            path=path,
            stack=_linked(entry, "stack"),
            name=entry["resource_name"],
            physical_id=entry["physical_resource_id"] or "",
            type=entry["resource_type"],
            action=action,
            state=state,
            reason=entry["resource_status_reason"] or "",
            nested=nested,
            required_by=tuple(entry["required_by"]),
            created_at=instant(entry["creation_time"]),
            updated=entry["updated_time"],
        )
        if nested is not None:
            _collect(found, by_stack, nested.id, f"{path}/")


def _linked(entry: Mapping[str, Any], relation: str) -> StackName:
    href = next(link["href"] for link in entry["links"] if link["rel"] == relation)
    *_, name, stack_id = href.rstrip("/").split("/")
    return StackName(unquote(name), stack_id)
