"""How a mistake in a file becomes one sentence with its line: what is wrong, and what was expected."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from healer.config.keys import keys, model_at
from healer.core.model import NOTHING
from healer.documents import Document, KeyPath, Problem, did_you_mean

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError
    from pydantic_core import ErrorDetails

_KINDS = {
    "string_type": "text; put it in quotes",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "dict_type": "a mapping of keys to values",
    "mapping_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
    "model_attributes_type": "a mapping of keys to values",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "path_type": "the path of a file",
}
"""Pydantic's names of a wrong kind of value → what was expected."""


def problems(
    document: Document,
    model: type[BaseModel],
    error: ValidationError,
    at: KeyPath = (),
    *,
    not_yet: Mapping[str, str] = NOTHING,
    also: Iterable[str] = (),
) -> tuple[Problem, ...]:
    """One problem for each mistake of one model.

    `at` is where the model's mapping stands in the document. `not_yet` says why a key that is no field yet is not
    merely unknown: keys as in `keys.Key.path`, relative to the model. `also` are keys that stand beside the model's
    own and belong to somebody else.
    """
    found: dict[KeyPath, list[str]] = {}
    mistakes = error.errors(include_url=False)
    for mistake in mistakes:
        if mistake["type"] == "too_short" and any(
            _within(other["loc"], mistake["loc"]) for other in mistakes
        ):
            continue  # only the entries that are right were counted
        path = _place(document, at, mistake)
        sentences = found.setdefault(path, [])
        sentence = _sentence(model, mistake, path[len(at) :], not_yet, also)
        if sentence not in sentences:
            sentences.append(sentence)
    return tuple(document.problem(path, ", or ".join(sentences)) for path, sentences in found.items())


def shown(value: Any) -> str:
    """A value as it stands in YAML, cut to what fits into a sentence."""
    if value is None:
        return "empty"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "a list"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}…"


def pattern(path: KeyPath) -> str:
    """The place without its positions, as `keys.Key.path` has it: `remediations[].scope`."""
    text = ""
    for part in path:
        text += "[]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _within(inner: KeyPath, outer: KeyPath) -> bool:
    return len(inner) > len(outer) and inner[: len(outer)] == outer


def _place(document: Document, at: KeyPath, mistake: ErrorDetails) -> KeyPath:
    """Where the mistake stands. Pydantic adds names of its own for the choices of a union: those are cut off."""
    path = (*at, *mistake["loc"])
    if mistake["type"] == "missing":
        return path
    while path and path not in document.lines:
        path = path[:-1]
    return path


def _sentence(
    model: type[BaseModel],
    mistake: ErrorDetails,
    path: KeyPath,
    not_yet: Mapping[str, str],
    also: Iterable[str],
) -> str:
    kind, value, context = mistake["type"], mistake["input"], mistake.get("ctx", {})
    if kind == "extra_forbidden":
        return unknown(model, path, not_yet, also)
    if kind == "missing":
        return "is missing, and has no default"
    if kind == "value_error":
        return str(context["error"])  # of a validator, which is to say the whole of it
    if kind in _KINDS:
        return f"is {shown(value)}; expected {_KINDS[kind]}"
    if kind in {"literal_error", "enum"}:
        if reason := not_yet.get(f"{pattern(path)}={value}"):
            return f"is {shown(value)}, which is not yet supported: {reason}"
        return f"is {shown(value)}; expected {context['expected']}"
    if kind in {"greater_than_equal", "less_than_equal"}:
        bound = context.get("ge", context.get("le"))
        return f"is {shown(value)}; expected at {'least' if 'ge' in context else 'most'} {bound}"
    if kind == "too_short":
        return f"is too short; expected at least {context['min_length']}"
    text = mistake["msg"].replace("Input should be", "expected").replace("Input should", "it should")
    return f"is {shown(value)}; {text[:1].lower()}{text[1:]}"


def unknown(
    model: type[BaseModel],
    path: KeyPath,
    not_yet: Mapping[str, str] = NOTHING,
    also: Iterable[str] = (),
) -> str:
    """Why a key is refused that is none of the model's: not yet, misspelt, or in the wrong place."""
    if reason := not_yet.get(pattern(path)):
        return f"is not yet supported: {reason}"
    word = str(path[-1])
    section = model_at(model, path[:-1])
    here = (*(section.model_fields if section else ()), *(also if len(path) == 1 else ()))
    if get_close_matches(word, here, n=1):
        return f"is no key here; {did_you_mean(word, here)}"
    elsewhere = {key.path.rpartition(".")[2]: key.path for key in keys(model)}
    if word in elsewhere:
        return f"is no key here; it belongs to {elsewhere[word].rpartition('.')[0] or 'the top level'}"
    return f"is no key here; {did_you_mean(word, here)}"
