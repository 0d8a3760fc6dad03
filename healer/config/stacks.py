"""Stacks that the configuration itself declares: whether their templates are right, and who owns what is in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from healer.config.load import Config
from healer.config.policies import LoadedPolicy
from healer.core.model import Incarnation, Resource, Root, Snapshot, StackState
from healer.core.policy import Contested, owner
from healer.declarative.declaration import Declaration, declare
from healer.declarative.resource_types import GROUP
from healer.documents import DocumentError, Problem


@dataclass(slots=True)
class _Declared:
    """What the stacks of some clouds will hold."""

    stacks: list[Snapshot] = field(default_factory=list)
    unsure: set[str] = field(default_factory=set)
    """Clouds of which this is not all: a template is wrong, or a group's size is worked out."""


def stack_problems(config: Config) -> Iterator[Problem]:
    """Mistakes of the templates; policies that own nothing in them; resources that two policies own."""
    declared = _Declared()
    folder = Path(config.file).parent
    for name, cloud in config.clouds.items():
        if cloud.declared is None:
            declared.unsure.add(name)
            continue
        for stack, template in cloud.declared.items():
            try:
                declaration = declare(_as_typed(template, folder))
            except DocumentError as error:
                yield from error.problems
                declared.unsure.add(name)
            else:
                reading = _Reading(declaration)
                declared.stacks.append(reading.snapshot(Root(name, "", stack, stack)))
                if not reading.complete:
                    declared.unsure.add(name)
    yield from _idle(config, declared)
    yield from _contested(config.policies, declared)


def _as_typed(template: Path, folder: Path) -> Path:
    """The path as a person who types the configuration's path would type it."""
    absolute = folder.absolute()
    return folder / template.relative_to(absolute) if template.is_relative_to(absolute) else template


def _idle(config: Config, declared: _Declared) -> Iterator[Problem]:
    for loaded in config.policies:
        match = loaded.policy.match
        clouds = {name for name in config.clouds if fnmatchcase(name, match.cloud)}
        if not clouds or clouds & declared.unsure:
            continue
        if not any(
            match.owns(stack, resource) for stack in declared.stacks for resource in stack.resources.values()
        ):
            stacks = ", ".join(str(stack.root) for stack in declared.stacks if stack.root.cloud in clouds)
            yield Problem(
                loaded.file,
                loaded.line,
                "match",
                f"{loaded.policy.name} owns nothing: no resource of {stacks or 'any stack'} is as it says",
            )


def _contested(policies: tuple[LoadedPolicy, ...], declared: _Declared) -> Iterator[Problem]:
    places = {loaded.policy.name: loaded for loaded in policies}
    shared: dict[tuple[str, ...], list[str]] = {}
    for stack in declared.stacks:
        for resource in stack.resources.values():
            match owner((loaded.policy for loaded in policies), stack, resource):
                case Contested(names):
                    shared.setdefault(names, []).append(f"{stack.root}/{resource.path}")
                case _:
                    pass
    for names, resources in shared.items():
        first, *others = sorted((places[name] for name in names), key=lambda p: (p.file, p.line))
        for other in others:
            yield Problem(
                other.file,
                other.line,
                "match",
                f"{other.policy.name} owns {', '.join(resources)}, and so does {first.policy.name}"
                f" ({first.file}:{first.line}); expected one owner for each resource",
            )


class _Reading:
    """What a template will hold, at all levels, once it is created."""

    def __init__(self, declaration: Declaration) -> None:
        self._files = declaration.files
        self._template = declaration.template
        self._found: dict[str, Resource] = {}
        self.complete = True
        """No group's size had to be guessed."""

    def snapshot(self, root: Root) -> Snapshot:
        self._stack(self._template, "")
        return Snapshot(root, datetime.fromtimestamp(0, UTC), "INIT", StackState.COMPLETE, self._found)

    def _stack(self, template: Mapping[str, Any], prefix: str) -> None:
        for name, body in (template.get("resources") or {}).items():
            self._resource(f"{prefix}{name}", body)

    def _resource(self, path: str, body: Mapping[str, Any]) -> None:
        kind = body["type"]
        nested = self._files.get(kind)
        self._found[path] = Resource(
            path=path,
            type=kind,
            incarnation=Incarnation("", path, ""),
            action="INIT",
            state=StackState.COMPLETE,
            is_stack=nested is not None or kind == GROUP,
        )
        if nested is not None:
            self._stack(nested, f"{path}/")
        elif kind == GROUP:
            self._members(path, body.get("properties") or {})

    def _members(self, path: str, properties: Mapping[str, Any]) -> None:
        count = properties.get("count", 1)
        if not isinstance(count, int):  # it is worked out from a parameter
            self.complete, count = False, 1
        for index in range(count):
            self._resource(f"{path}/{index}", properties["resource_def"])
