"""What a new value of a property does to a resource: Heat's own schema, and what it does not say of servers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from healer.core.model import Effect
from healer.declarative.references import EffectOf

Schema = Mapping[str, Any]
"""What `resource_types/{type}` answers."""

SERVER = "OS::Nova::Server"
ALWAYS_REPLACED = frozenset({"OS::Heat::UpdateWaitConditionHandle"})
"""Types that every update replaces, marked or not, changed or not."""

_IN_PLACE: Mapping[str, tuple[str, frozenset[Any]]] = {
    "user_data": ("user_data_update_policy", frozenset({"IGNORE"})),
    "flavor": ("flavor_update_policy", frozenset({None, "RESIZE"})),
}
"""Property of a server → the property that decides, and its values that leave the server what it is. All these
are update_allowed, and a server replaces itself all the same; None is where nothing is written."""
_ADDRESSES = {
    SERVER: "first_address",
    "OS::Neutron::FloatingIP": "floating_ip_address",
    "OS::Octavia::LoadBalancer": "vip_address",
}


def effect_of(schemas: Mapping[str, Schema | None]) -> EffectOf:
    """By type; None, or no entry, is a type that Heat tells nothing of: any change may replace it."""

    def effect(kind: str, properties: Mapping[str, Any], name: str) -> Effect:
        if kind == SERVER and name == "image":
            return Effect.REPLACED  # rebuilt: the same id, and whatever was on its disk is lost
        if kind == SERVER and name in _IN_PLACE:
            decides, in_place = _IN_PLACE[name]
            chosen = properties.get(decides)
            kept = (chosen is None or isinstance(chosen, str)) and chosen in in_place
            return Effect.UPDATED if kept else Effect.REPLACED
        known = (schemas.get(kind) or {}).get("properties", {}).get(name, {})
        return Effect.UPDATED if known.get("update_allowed") else Effect.REPLACED

    return effect


def placeholders(kind: str, schema: Schema | None) -> Mapping[str, str]:
    """Placeholder → attribute of this type that fills it; empty where it has none, and need not be asked."""
    known = (schema or {}).get("attributes", {})
    found = {name: name for name in ("address", "port") if name in known}
    return found | ({"address": _ADDRESSES[kind]} if kind in _ADDRESSES else {})
