"""The plug-ins that a configuration names: each is loaded once, and told of its options' mistakes by file and line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from healer import plugins
from healer.config.sections import NOT_YET_PLUGINS
from healer.config.sentences import problems, shown
from healer.core.repair import Recipe
from healer.documents import Document, KeyPath, Problem, did_you_mean
from healer.plugins import Plugin
from healer.ports import PluginError


@dataclass(frozen=True, slots=True)
class Named:
    """A plug-in as a file calls it."""

    folder: str
    name: str
    at: KeyPath
    """Where the name stands."""
    context: Mapping[str, Any] = field(default_factory=dict)
    """What its options may be held against, should it care: `placeholders` are the attributes that there are."""


class Shelf:
    """`directory` is the configuration file's: an option that is a relative path is taken from there."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._names: dict[str, tuple[str, ...]] = {}
        self._found: dict[tuple[str, str], type[Plugin]] = {}

    def names(self, folder: str) -> tuple[str, ...]:
        if folder not in self._names:
            self._names[folder] = plugins.names(folder)
        return self._names[folder]

    def find(self, folder: str, name: str) -> type[Plugin]:
        """Raises PluginError, in words for whoever wrote the name."""
        if name not in self.names(folder):
            one = "alarm source" if folder == "alarms" else folder.removesuffix("s")
            if name in NOT_YET_PLUGINS.get(folder, ()):
                known = ", ".join(self.names(folder))
                raise PluginError(f"{name} is not yet supported as a kind of {one}; there are {known}")
            raise PluginError(f"there is no {one} {shown(name)}; {did_you_mean(name, self.names(folder))}")
        if (folder, name) not in self._found:
            self._found[folder, name] = plugins.find(folder, name)
        return self._found[folder, name]

    def build(
        self,
        document: Document,
        at: KeyPath,
        named: Named,
        options: Mapping[str, Any],
        also: Iterable[str] = (),
    ) -> Plugin | tuple[Problem, ...]:
        """The plug-in with the options that stand at `at`; or what is wrong with them.

        `also` are keys that stand beside the options and are not the plug-in's.
        """
        try:
            kind = self.find(named.folder, named.name)
        except PluginError as error:
            return (document.problem(named.at, str(error)),)
        moved = {
            name: anchored(value, self.directory)
            if name in fields and _is_path(fields[name].annotation)
            else value
            for fields in (kind.model_fields,)
            for name, value in options.items()
        }
        try:
            return kind.model_validate(moved, context=named.context)
        except ValidationError as error:
            return problems(document, kind, error, at, also=also)

    def recipes(self, actions: Iterable[str]) -> dict[str, Recipe]:
        """The recipes of those that there are."""
        found: dict[str, Recipe] = {}
        for name in actions:
            with suppress(PluginError):  # It is reported where the name stands.
                recipe = getattr(self.find("actions", name), "recipe", None)
                if isinstance(recipe, Recipe):
                    found[name] = recipe
        return found


def anchored(value: Any, directory: Path) -> Any:
    """The path, or all paths in a list or a mapping, taken from the directory where they are relative."""
    match value:
        case Path():
            return directory / value
        case str() if value:
            return str(directory / value)
        case list():
            return [anchored(inner, directory) for inner in value]
        case dict():
            return {key: anchored(inner, directory) for key, inner in value.items()}
        case _:
            return value


def _is_path(annotation: Any) -> bool:
    """Whether an option is a path, or holds paths."""
    if annotation is Path:
        return True
    return any(_is_path(argument) for argument in get_args(annotation))
