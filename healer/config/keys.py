"""Every key that a section takes, with its default and its words: what suggestions, docs and examples rest on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict

from healer.documents import KeyPath


class Section(BaseModel):
    """One mapping of a file. A key that is no field is refused; the line below a field is its description."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


@dataclass(frozen=True, slots=True)
class Key:
    path: str
    """`guardrails.attempts.max`; `[]` stands for any entry of a list, `<name>` for any key of a mapping."""
    required: bool
    default: Any
    """As it would be written in YAML; None where there is none."""
    description: str


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[Key]:
    """The keys of a model and of all models within it, in the order in which they are declared."""
    shown = defaults(model)
    for name, field in model.model_fields.items():
        path = f"{prefix}{name}"
        yield Key(path, field.is_required(), shown.get(name), field.description or "")
        inner, step = nested(field.annotation)
        if inner is not None:
            yield from keys(inner, f"{path}{step}.")


def defaults(model: type[BaseModel]) -> dict[str, Any]:
    """The default of every key that has one, as it would be written in YAML."""
    given = {
        name: field.get_default(call_default_factory=True, validated_data={})
        for name, field in model.model_fields.items()
        if not field.is_required()
    }
    return model.model_construct(**given).model_dump(mode="json", include=set(given))


def model_at(model: type[BaseModel], path: KeyPath) -> type[BaseModel] | None:
    """The model of the mapping that stands at a place of a file; None where no model does."""
    here: type[BaseModel] | None = model
    named = False
    for part in path:
        if here is None:
            return None
        if named:  # any name may stand here
            named = False
        elif not isinstance(part, int):
            field = here.model_fields.get(part)
            here, step = nested(field.annotation) if field else (None, "")
            named = step == ".<name>"
    return None if named else here


def nested(annotation: Any) -> tuple[type[BaseModel] | None, str]:
    """The model that a field holds, if any, and how one gets there: straight, `[]` or `.<name>`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, ""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated or origin in {Union, UnionType}:
        found = [nested(argument) for argument in arguments]
        return next((each for each in found if each[0] is not None), (None, ""))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return nested(arguments[1])[0], ".<name>"
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return nested(arguments[0])[0], "[]"
    return None, ""
