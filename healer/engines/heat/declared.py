"""What is declared in a stack and all that is nested in it: who refers to whom, and who requires whom."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from healer.core.model import Reference
from healer.declarative.references import Tree, references, requires
from healer.engines.heat.api import Api
from healer.engines.heat.effects import Schema, effect_of
from healer.engines.heat.listing import Listing, StackName

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Declaration:
    references: tuple[Reference, ...]
    """Between resources that are there; a condition may leave others out."""
    requires: Mapping[str, tuple[str, ...]]
    """By path; with what Heat adds to the template, such as a port and its subnet's router."""
    schemas: Mapping[str, Schema | None]
    """By type of a resource that is no stack."""


@dataclass(slots=True)
class Declarations:
    """Reads templates, and reads them again only after something was done to one of the stacks."""

    api: Api
    _schemas: dict[str, Schema | None] = field(default_factory=dict)
    _known: dict[str, tuple[str, Declaration]] = field(default_factory=dict)
    """By id of the root: the event after which it was read, and what was read."""

    async def read(self, listing: Listing) -> Declaration:
        # Before the templates: what is read after it may be newer than it says, and never older.
        version = await self.api.newest_turn_at_any_depth(listing.root)
        known = self._known.get(listing.root.id)
        if known is not None and version and known[0] == version:
            return known[1]
        types = {each.type for each in listing.resources.values() if not each.is_stack} | {
            each.type for each in listing.resources.values() if each.type.startswith("OS::Heat::")
        }
        self._schemas |= await together(types - self._schemas.keys(), self.api.schema)
        templates = await together(listing.stacks.values(), self.api.template)
        declaration = self._declaration(listing, templates)
        self._known[listing.root.id] = (version, declaration)
        return declaration

    def forget(self, root: str) -> None:
        self._known.pop(root, None)

    def _declaration(self, listing: Listing, templates: Mapping[StackName, Mapping[str, Any]]) -> Declaration:
        tree = _tree(listing, templates, listing.root)
        there = listing.resources.keys()
        found = references(tree, effect_of(self._schemas))
        needs = {path: dict.fromkeys(needed) for path, needed in requires(tree).items()}
        for path, listed in listing.resources.items():
            outer = path[: len(path) - len(listed.name)]
            for name in listed.required_by:
                needs.setdefault(outer + name, {})[path] = None
        return Declaration(
            tuple(each for each in found if each.source in there and each.target in there),
            {path: tuple(each for each in needed if each in there) for path, needed in needs.items()},
            self._schemas,
        )


async def together(
    keys: Iterable[_Key], read: Callable[[_Key], Coroutine[Any, Any, _Value]]
) -> dict[_Key, _Value]:
    """Reads for all keys, as many at once as the cloud's session allows; ends when all have, or one has failed."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = {key: group.create_task(read(key), name=f"reading {key}") for key in keys}
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return {key: task.result() for key, task in tasks.items()}


def _tree(listing: Listing, templates: Mapping[StackName, Mapping[str, Any]], stack: StackName) -> Tree:
    children = {
        each.name: _tree(listing, templates, each.nested)
        for each in listing.resources.values()
        if each.stack == stack and each.nested is not None
    }
    return Tree(templates[stack], children)
