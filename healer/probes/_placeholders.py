"""Placeholders such as `{address}` in a probe's options: a fixed table, and never str.format."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, ValidationInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

ALWAYS = frozenset({"name", "path", "physical_id", "stack"})
"""What every resource has; `address`, `port` and the like are attributes, and depend on its type."""

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


class MissingValueError(Exception):
    """A placeholder has no value here and now; the text says which, and which there are."""


def placeholders(text: str) -> tuple[str, ...]:
    """The names in it, in their order. Raises ValueError for braces that hold no name, or do not match."""
    names = tuple(_PLACEHOLDER.findall(text))
    for name in names:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{{{name}}} is no placeholder; expected a name in braces, like {{address}}")
    if set("{}") & set(_PLACEHOLDER.sub("", text)):
        raise ValueError("has a brace without its other half; expected placeholders like {address}")
    return names


def fill(text: str, values: Mapping[str, str], write: Callable[[str], str] = str) -> str:
    """The text with every placeholder replaced; `write` spells a value for the place where it goes.

    Raises MissingValueError where a value is missing or empty.
    """

    def value(found: re.Match[str]) -> str:
        if not (known := values.get(found[1])):
            filled = (name for name in values if values[name])
            raise MissingValueError(_unknown(found[1], filled, "has no value"))
        return write(known)

    return _PLACEHOLDER.sub(value, text)


def _checked(text: str, info: ValidationInfo) -> str:
    """Where the attributes are known, as `context={"placeholders": …}`, no other name passes."""
    names = placeholders(text)
    attributes = (info.context or {}).get("placeholders")
    if attributes is not None:
        known = ALWAYS | set(attributes)
        for name in names:
            if name not in known:
                raise ValueError(_unknown(name, known, "does not exist"))
    return text


def _unknown(name: str, known: Iterable[str], what: str) -> str:
    known = sorted(known)
    close = get_close_matches(name, known, n=1)
    hint = f"; did you mean {{{close[0]}}}?" if close else ""
    there_are = ", ".join(f"{{{each}}}" for each in known) or "none"
    return f"{{{name}}} {what}{hint} (there are: {there_are})"


Template = Annotated[str, AfterValidator(_checked)]
"""A pydantic field whose text may hold placeholders."""
