"""A template file together with all the template files that it uses as types."""

from __future__ import annotations

import copy
import os
import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from healer.declarative.checking import check_template
from healer.declarative.graph import cycle
from healer.declarative.resource_types import GROUP, TYPES, Types, is_template
from healer.declarative.template import Template, parse
from healer.documents import Document, DocumentError, KeyPath, Problem, did_you_mean, read

NESTING_LIMIT = 5
"""Levels of nested stacks; Heat's default."""


@dataclass(frozen=True)
class Declaration:
    """What a stack is created from: plain templates, which name each other as keys of `files`."""

    template: Mapping[str, Any]
    files: Mapping[str, Mapping[str, Any]]
    """Template → its data, by path relative to the folder of the root template."""


def declare(path: str | PathLike[str], types: Types = TYPES) -> Declaration:
    """Read a root template and what it uses. Raises DocumentError with every mistake in any of them."""
    loading = _Loading(Path(path), types)
    problems = loading.problems()
    if problems:
        raise DocumentError(problems)
    data = {name: document.data for name, document in loading.documents.items()}
    return Declaration(data.pop(loading.root), data)


def check(path: str | PathLike[str], types: Types = TYPES) -> tuple[Problem, ...]:
    """All that is wrong with a root template and what it uses; empty where it could be created."""
    try:
        declare(path, types)
    except DocumentError as error:
        return error.problems
    return ()


class _Loading:
    """Reads files until no type names one that is not read yet."""

    def __init__(self, path: Path, types: Types) -> None:
        self._folder = path.parent
        self._types = types
        self._unread: list[Problem] = []
        self._problems: list[Problem] = []
        self._uses: dict[str, dict[str, KeyPath]] = {}
        """Template → template that it uses as a type → where it first does."""
        self.root = path.name
        self.documents: dict[str, Document] = {}
        self._templates: dict[str, Template] = {}
        pending = [self.root]
        while pending:
            name = pending.pop()
            if name not in self._uses:
                self._load(name)
                pending.extend(self._uses[name])

    def problems(self) -> list[Problem]:
        if not self._unlimited():
            for name, template in self._templates.items():
                self._problems += check_template(
                    self.documents[name], template, self._templates, self._types, root=name == self.root
                )
        # Of a value that could not be read nothing else is said.
        unread = {(problem.file, problem.key) for problem in self._unread}
        return self._unread + [each for each in self._problems if (each.file, each.key) not in unread]

    def _load(self, name: str) -> None:
        uses = self._uses[name] = {}
        try:
            found = read(os.fspath(self._folder / name))
        except DocumentError as error:
            self._unread.extend(error.problems)
            if not error.documents:
                return
            found = error.documents[0]
        data = copy.deepcopy(found.data)
        document = Document(found.file, data, found.lines)
        for path, holder in _typed(data):
            kind = holder["type"]
            if is_template(kind) and self._is_there(document, name, kind, path):
                holder["type"] = self._beside(name, kind)
                uses.setdefault(holder["type"], path)
        self.documents[name] = document
        self._templates[name], problems = parse(document)
        self._problems.extend(problems)

    @staticmethod
    def _beside(name: str, kind: str) -> str:
        return posixpath.normpath(posixpath.join(posixpath.dirname(name), kind))

    def _is_there(self, document: Document, name: str, kind: str, path: KeyPath) -> bool:
        if "://" in kind or kind.startswith("/"):
            self._problems.append(document.problem(path, "a nested template must be a file beside this one"))
            return False
        place = self._folder / self._beside(name, kind)
        if place.is_file():
            return True
        beside = [other.name for other in place.parent.glob("*") if is_template(other.name)]
        said = did_you_mean(place.name, beside)
        self._problems.append(document.problem(path, f"there is no file {place}: {said}"))
        return False

    def _unlimited(self) -> bool:
        """Whether templates nest without end, or too deep: then nothing more can be said of them."""
        circle = cycle(self._uses)
        if circle:
            user, used = circle[-2], circle[-1]
            place = self._uses[user][used]
            says = f"templates nest in a circle: {' → '.join(circle)}"
            self._problems.append(self.documents[user].problem(place, says))
            return True
        trail = self._deepest(self.root)
        if len(trail) - 1 > NESTING_LIMIT:
            user, used = trail[NESTING_LIMIT], trail[NESTING_LIMIT + 1]
            says = f"nests deeper than {NESTING_LIMIT} stacks: {' → '.join(trail)}"
            self._problems.append(self.documents[user].problem(self._uses[user][used], says))
            return True
        return False

    def _deepest(self, name: str) -> tuple[str, ...]:
        below = [self._deepest(used) for used in self._uses[name]]
        return (name, *max(below, key=len, default=()))


def _typed(data: Any) -> Iterator[tuple[KeyPath, dict[str, Any]]]:
    """Every mapping of a template in which `type` names the type of a resource, and the path of that."""
    resources = data.get("resources") if isinstance(data, dict) else None
    for name, body in resources.items() if isinstance(resources, dict) else ():
        match body:
            case {"type": str(kind)}:
                yield ("resources", name, "type"), body
                match body.get("properties"):
                    case {"resource_def": {"type": str()} as member} if kind == GROUP:
                        yield ("resources", name, "properties", "resource_def", "type"), member
                    case _:
                        pass
            case _:
                pass
