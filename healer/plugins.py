"""How plug-ins are found: the file's name is the plug-in's name, and its fields are its options."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from difflib import get_close_matches
from importlib.metadata import entry_points
from types import ModuleType

from pydantic import BaseModel, ConfigDict

from healer.ports import PluginError

FOLDERS = (
    "probes",
    "watchers",
    "alarms",
    "authentication",
    "pulls",
    "actions",
    "engines",
    "stores",
    "notifiers",
)


class Plugin(BaseModel):
    """What every plug-in derives from. Its fields are its options in YAML; a key that is not a field is refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", arbitrary_types_allowed=True, use_attribute_docstrings=True
    )


def names(folder: str) -> tuple[str, ...]:
    """Names of all plug-ins of a folder, ours and outsiders' (entry-point group `healer.<folder>`), sorted."""
    package = importlib.import_module(f"healer.{folder}")
    ours = {
        module.name for module in pkgutil.iter_modules(package.__path__) if not module.name.startswith("_")
    }
    return tuple(sorted(ours | {entry.name for entry in entry_points(group=f"healer.{folder}")}))


def find(folder: str, name: str) -> type[Plugin]:
    """The plug-in class of this name. Imports only that module, so a library that one plug-in lacks hurts no other.

    Raises PluginError with the names that exist, or with what the module does not load for.
    """
    known = names(folder)
    if name not in known:
        close = get_close_matches(name, known, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise PluginError(f"no {folder} named {name!r}{hint} There are: {', '.join(known) or 'none'}.")
    return _only_plugin(folder, name, _load(folder, name))


def _load(folder: str, name: str) -> ModuleType:
    for entry in entry_points(group=f"healer.{folder}"):
        if entry.name == name:
            module = entry.load()
            if not isinstance(module, ModuleType):
                raise PluginError(f"{entry.value} must be a module that defines one Plugin")
            return module
    try:
        return importlib.import_module(f"healer.{folder}.{name}")
    except ImportError as error:
        raise PluginError(f"{folder} {name!r} does not load: {error}") from error


def _only_plugin(folder: str, name: str, module: ModuleType) -> type[Plugin]:
    found = [
        value
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, Plugin)
        and value.__module__.startswith(module.__name__)
        and not value.__name__.startswith("_")
    ]
    if len(found) != 1:
        raise PluginError(f"{folder} {name!r} must define exactly one Plugin, and defines {len(found)}")
    return found[0]
