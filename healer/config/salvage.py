"""A section of a file without its mistakes, so that what is right in it can be looked at as well."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from healer.config.keys import model_at
from healer.config.sentences import problems
from healer.core.model import NOTHING
from healer.documents import Document, KeyPath, Problem

_Model = TypeVar("_Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Salvaged(Generic[_Model]):
    section: _Model | None
    """None where too little is right to look any further."""
    problems: tuple[Problem, ...] = ()
    doubtful: frozenset[KeyPath] = field(default=frozenset())
    """Keys that hold their default only because nobody knows what was meant."""


def salvage(
    document: Document,
    model: type[_Model],
    stand_ins: Mapping[str, Any],
    not_yet: Mapping[str, str] = NOTHING,
) -> Salvaged[_Model]:
    """Validate a document, and on mistakes once more without them.

    `stand_ins` are values for required keys, should they be missing.
    """
    try:
        return Salvaged(model.model_validate(document.data))
    except ValidationError as mistakes:
        found, error = problems(document, model, mistakes, not_yet=not_yet), mistakes
    if not isinstance(document.data, dict):
        return Salvaged(None, found)
    rest, doubtful = {**stand_ins, **deepcopy(document.data)}, set[KeyPath]()
    for _ in range(3):  # what is gone may leave something else too short, or missing
        for mistake in error.errors(include_url=False, include_input=False, include_context=False):
            doubtful.add(_remove(rest, mistake["loc"]))
            if mistake["type"] == "extra_forbidden":
                doubtful.update(_meant(model, mistake["loc"]))
        try:
            return Salvaged(model.model_validate({**stand_ins, **rest}), found, frozenset(doubtful))
        except ValidationError as again:
            error = again
    return Salvaged(None, found)


def _remove(data: dict[str, Any], path: KeyPath) -> KeyPath:
    """Take out the innermost key of the path that is there, an entry of a list with its whole list; say which."""
    here: Any = data
    found: tuple[dict[str, Any], KeyPath] | None = None
    for depth, part in enumerate(path, 1):
        if isinstance(here, dict) and isinstance(part, str) and part in here:
            found, here = (here, path[:depth]), here[part]
        elif isinstance(here, list) and isinstance(part, int) and part < len(here):
            here = here[part]
        else:
            break
    if found is None:
        return path
    section, removed = found
    section.pop(str(removed[-1]))
    return removed


def _meant(model: type[BaseModel], path: KeyPath) -> Iterator[KeyPath]:
    """The keys that an unknown key may have been meant to be."""
    section = model_at(model, path[:-1])
    for key in get_close_matches(str(path[-1]), section.model_fields if section else (), n=1):
        yield (*path[:-1], key)
