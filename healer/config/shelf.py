"""The plug-ins that a configuration names: each is loaded once, and told of its options' mistakes by file and line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from healer import plugins
from healer.config.keys import Section
from healer.config.sections import NOT_YET_PLUGINS
from healer.config.sentences import problems, shown
from healer.core.repair import Recipe
from healer.documents import Document, KeyPath, Problem, did_you_mean
from healer.plugins import Plugin
from healer.ports import PluginError


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
        named: tuple[str, str],
        options: Section | Mapping[str, Any],
        named_at: KeyPath,
    ) -> Plugin | tuple[Problem, ...]:
        """The plug-in `named` (folder, name) with the options that stand at `at`; or what is wrong with them.

        Of a section, the options are the keys that are not its own. `named_at` is where the name stands.
        """
        also: tuple[str, ...] = ()
        if isinstance(options, Section):
            also, options = tuple(type(options).model_fields), options.model_extra or {}
        try:
            kind = self.find(*named)
        except PluginError as error:
            return (document.problem(named_at, str(error)),)
        try:
            return self._anchored(kind.model_validate(dict(options)))
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

    def _anchored(self, plugin: Plugin) -> Plugin:
        values = {name: getattr(plugin, name) for name in type(plugin).model_fields}
        moved = {name: anchored(value, self.directory) for name, value in values.items()}
        changed = {name: value for name, value in moved.items() if value != values[name]}
        return plugin.model_copy(update=changed) if changed else plugin


def anchored(value: Any, directory: Path) -> Any:
    """The value with every relative path in it taken from the directory. What is no path stays as it is."""
    if isinstance(value, Path):
        return directory / value
    if isinstance(value, dict):
        return {key: anchored(inner, directory) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(anchored(inner, directory) for inner in value)
    return value
