"""What an alarm's rule says of its resource, in the words of the notification that Aodh sends."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from healer.pulls._aodh import Held

_PATTERN = re.compile(r"[*?\[]")
_ADDRESS = re.compile(r"'address': '([0-9A-Fa-f.:]{2,45})'")
_PORT = re.compile(r"'protocol_port': ([0-9]{1,5})\b", re.ASCII)


def notification(one: Held) -> bytes:
    """The body that Aodh would have sent of its state, as far as it is known."""
    return msgspec.json.encode(
        {
            "alarm_id": one.alarm_id,
            "alarm_name": one.name,
            "severity": one.severity,
            "current": one.state,
            "reason": one.state_reason,
            "reason_data": _why(one),
        }
    )


def _why(one: Held) -> Mapping[str, Any]:
    match one.type:
        case "event":
            return {"type": "event", "event": _event(one.event_rule or {})}
        case "loadbalancer_member_health":
            rule = one.loadbalancer_member_health_rule or {}
            ids = {"pool_id": rule.get("pool_id"), "stack_id": rule.get("stack_id")}
            members = {"asg_id": rule.get("autoscaling_group_id"), "unhealthy_members": _members(one)}
            return {"type": one.type, **ids, **members}
        case "composite":
            return {"type": "composite", "causative_rules": _numbered(_leaves(one.composite_rule))}
        case _:
            rule = one.gnocchi_resources_threshold_rule or {
                "resource_id": _searched(one.gnocchi_aggregation_by_resources_threshold_rule or {})
            }
            return {"type": "threshold", "causative_rules": _numbered([rule])}


def _event(rule: Mapping[str, Any]) -> Mapping[str, Any]:
    """What every event must say that this rule lets through."""
    query = rule.get("query")
    asked = [each for each in query if isinstance(each, dict)] if isinstance(query, list) else []
    traits = [
        [field.removeprefix("traits."), 1, each.get("value")]
        for each in asked
        if each.get("op", "eq") == "eq"
        and isinstance(field := each.get("field"), str)
        and field.startswith("traits.")
    ]
    kind = rule.get("event_type")
    return {"event_type": None if _PATTERN.search(str(kind)) else kind, "traits": traits}


def _members(one: Held) -> list[Mapping[str, str]]:
    """Aodh keeps of its members only what it says of the last one that failed, as Python writes it."""
    said = one.state_reason or ""
    if one.state != "alarm" or (address := _ADDRESS.search(said)) is None:
        return []
    port = _PORT.search(said)
    return [{"address": address[1]} | ({"protocol_port": port[1]} if port else {})]


def _leaves(rule: Any, words: Sequence[str] = ("and", "or")) -> Iterator[Any]:
    """What stands below these words. Raises RecursionError for what is nested too deep."""
    inner = next((rule[word] for word in words if word in rule), None) if isinstance(rule, dict) else None
    if not isinstance(inner, list):
        yield rule
        return
    for each in inner:
        yield from _leaves(each, words)


def _numbered(rules: Iterable[Any]) -> Mapping[str, Any]:
    return {f"rule{number}": rule for number, rule in enumerate(rules, 1)}


def _searched(rule: Mapping[str, Any]) -> Any:
    """The one resource that Gnocchi is asked for, where its query says so in the first place."""
    query = rule.get("query")
    search = msgspec.json.decode(query) if isinstance(query, str) else query
    for each in _leaves(search, ["and"]):
        wanted = each.get("=") if isinstance(each, dict) else None
        if isinstance(wanted, dict) and (named := wanted.get("id")):
            return named
    return None
