"""The resource types that templates may use: their properties and attributes, and what a change of them does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from healer.core.model import Effect

if TYPE_CHECKING:
    from healer.declarative.references import EffectOf

PROCESS = "Local::Process"
FILE = "Local::File"
TEST_RESOURCE = "OS::Heat::TestResource"
VALUE = "OS::Heat::Value"
GROUP = "OS::Heat::ResourceGroup"


class Kind(StrEnum):
    """What a property may hold."""

    STRING = "text"
    NUMBER = "a number"
    BOOLEAN = "true or false"
    LIST = "a list"
    MAP = "a mapping"
    ANY = "anything"


@dataclass(frozen=True, slots=True)
class Property:
    kind: Kind = Kind.STRING
    effect: Effect = Effect.UPDATED
    """What a change of it does to the resource: UPDATED in place, or REPLACED."""
    required: bool = False
    default: Any = None
    replaced_if: str = ""
    """Name of a boolean property of the same resource that, where it is true, makes a change replace."""


@dataclass(frozen=True)
class ResourceType:
    properties: Mapping[str, Property]
    attributes: frozenset[str] = frozenset()
    fixed: frozenset[str] = frozenset()
    """Attributes that no update in place changes."""
    real: bool = True
    """It exists outside the engine's books, and a reality makes it."""
    always_replaced: bool = False
    """Every update replaces it, changed or not."""

    def effect(self, name: str, properties: Mapping[str, Any]) -> Effect:
        """What a new value of one property does; `properties` may still hold functions, which count as true."""
        rule = self.properties.get(name)
        if rule is None:
            return Effect.REPLACED
        if rule.replaced_if and properties.get(rule.replaced_if) not in (None, False, "false", "False"):
            return Effect.REPLACED
        return rule.effect


Types = Mapping[str, ResourceType]

_REPLACES = Effect.REPLACED

TYPES: Types = MappingProxyType(
    {
        PROCESS: ResourceType(
            {
                "command": Property(Kind.ANY, _REPLACES, required=True),
                "wires": Property(Kind.MAP, default={}),
            },
            attributes=frozenset({"port", "address", "wires"}),
            fixed=frozenset({"port", "address"}),
        ),
        FILE: ResourceType(
            {"content": Property(default=""), "kind": Property(effect=_REPLACES, default="")},
            attributes=frozenset({"path", "content"}),
            fixed=frozenset({"path"}),
        ),
        TEST_RESOURCE: ResourceType(
            {
                "value": Property(default="test_string", replaced_if="update_replace"),
                "update_replace": Property(Kind.BOOLEAN, default=False),
                "update_replace_value": Property(effect=_REPLACES),
                "fail": Property(Kind.BOOLEAN, default=False),
                "wait_secs": Property(Kind.NUMBER, default=0),
                "action_wait_secs": Property(Kind.MAP),
            },
            attributes=frozenset({"output"}),
            real=False,
        ),
        VALUE: ResourceType(
            {"value": Property(Kind.ANY, required=True), "type": Property()},
            attributes=frozenset({"value"}),
            real=False,
        ),
        GROUP: ResourceType(
            {
                "count": Property(Kind.NUMBER, default=1),
                "resource_def": Property(Kind.MAP, required=True),
            },
            real=False,
        ),
    }
)
"""Every type but nested templates: what Heat calls so, and the things of one machine."""


def is_template(kind: str) -> bool:
    """Whether a type is the name of a template file."""
    return kind.endswith((".yaml", ".yml", ".template"))


def is_stack(kind: str) -> bool:
    return kind == GROUP or is_template(kind)


def effect_of(types: Types) -> EffectOf:
    """What a new value of a property does, for whoever reads templates; an unknown type counts as replaced."""

    def effect(kind: str, properties: Mapping[str, Any], name: str) -> Effect:
        if is_template(kind):
            return Effect.UPDATED  # a parameter of the nested stack, which is updated whatever changes
        known = types.get(kind)
        return known.effect(name, properties) if known else Effect.REPLACED

    return effect


def coerce(value: Any, kind: Kind) -> Any:
    """The value as the property takes it; what looks like it counts, as in Heat. Raises ValueError, else."""
    if value is None or kind is Kind.ANY:
        return value
    fits = {
        Kind.STRING: isinstance(value, str | int | float),
        Kind.NUMBER: isinstance(value, int | float | str) and not isinstance(value, bool),
        Kind.BOOLEAN: isinstance(value, bool) or str(value).lower() in ("true", "false"),
        Kind.LIST: isinstance(value, list),
        Kind.MAP: isinstance(value, Mapping),
    }
    if not fits[kind]:
        raise ValueError(f"must be {kind}, and is {brief(value)}")
    if kind is Kind.STRING:
        return str(value)
    if kind is Kind.BOOLEAN:
        return str(value).lower() == "true"
    if kind is Kind.NUMBER and isinstance(value, str):
        try:
            return float(value) if "." in value else int(value)
        except ValueError:
            raise ValueError(f"must be {kind}, and is {brief(value)}") from None
    return value


def brief(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 40 else text[:39] + "…"
