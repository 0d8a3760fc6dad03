"""What a new value of a property does, and where a resource is reached: Heat's schemas, and what is not in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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


_NAMES = {"name": "name", "hostname": "OS-EXT-SRV-ATTR:hostname"}
"""Attribute of ours → key of Nova's. The second one is told to administrators alone."""


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


def names(kind: str, said: Mapping[str, Any]) -> Mapping[str, str]:
    """By what else a server is known. Heat puts Nova's own answer around whatever it was asked for.

    Only what stays with the server, for it is not asked again: not a floating IP, nor the host on which it runs.
    """
    if kind != SERVER:
        return {}
    found = {name: text for name, key in _NAMES.items() if (text := said.get(key)) and isinstance(text, str)}
    further = [address for address in _fixed(said.get("addresses")) if address != said.get(_ADDRESSES[kind])]
    return found | ({"further_addresses": " ".join(dict.fromkeys(further))} if further else {})


def _fixed(networks: Any) -> Iterator[str]:
    """The addresses of its ports, by network; floating ones are listed among them."""
    for ports in networks.values() if isinstance(networks, Mapping) else ():
        for port in ports if isinstance(ports, list) else ():
            if not isinstance(port, Mapping):
                continue
            address = port.get("addr") if port.get("OS-EXT-IPS:type", "fixed") == "fixed" else None
            if isinstance(address, str):
                yield address
