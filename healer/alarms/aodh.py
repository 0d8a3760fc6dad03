"""Aodh's alarm actions (`http`, `https`, `trust+http`, `trust+https`): one request says the state of one alarm.

Most bodies hold neither a time nor a resource. The URL of the action says what the alarm is about
(`…/v1/alarms/aodh?stack=shop&resource=api`), and an alarm changed its state when that is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from pydantic import ConfigDict

from healer.alarms import _bodies
from healer.alarms._naming import Naming, clean, text
from healer.core.model import Alarm, AlarmStatus, Selector
from healer.durations import PositiveDuration
from healer.plugins import Plugin
from healer.ports import Batch, Delivery

_STATUS = {
    "alarm": AlarmStatus.FIRING,
    "ok": AlarmStatus.CLEARED,
    "insufficient data": AlarmStatus.UNKNOWN,
}
_WITHOUT_A_START = datetime(1970, 1, 1, tzinfo=UTC)
"""Of a repeat: nobody knows when it began. It is the same each time that it comes, and older than any heal."""
EVENT_EXPIRES_AFTER = timedelta(hours=1)
"""Nobody ever says that an event is over; what it has done shows within an hour."""
_ONE = ("resource", "physical_id", "address", "host")
_QUERY = ("cloud", "stack", *_ONE)
"""What a URL may say; the fields of a selector."""

_Meant = tuple[Selector, Mapping[str, Any]]
"""One thing that an alarm is about, and what it says of that one alone."""


class _Body(msgspec.Struct):
    alarm_id: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    current: Literal["alarm", "ok", "insufficient data"]
    previous: str | None = None
    alarm_name: str | None = None
    severity: str | None = None
    reason: str | None = None
    reason_data: msgspec.Raw = msgspec.Raw(b"null")


class Aodh(Plugin):
    model_config = ConfigDict(json_schema_extra={"examples": [{}]})

    paths: ClassVar[tuple[str, ...]] = ()

    labels: Naming = Naming()
    """Which traits of an event name the resource, where the URL of the action does not."""
    event_expires_after: PositiveDuration | None = EVENT_EXPIRES_AFTER
    """How long an event counts: Aodh never says that one is over. None counts it until a person sets its alarm back,
    and that is sent to nobody."""

    def parse(self, delivery: Delivery) -> Batch:
        """One alarm; of a load balancer, where the URL names no resource, one for each member that fails."""
        body = _bodies.decode(delivery.body, _Body, "an Aodh alarm action")
        why = _why(body.reason_data)
        event = _members(why.get("event"))
        started_at = _started_at(body, event, delivery.received_at)
        expires_at = None
        if why.get("type") == "event" and body.current == "alarm" and self.event_expires_after:
            expires_at = delivery.received_at + self.event_expires_after
        said = {
            **_traits(event),
            "alertname": body.alarm_name,
            "alarm_type": why.get("type"),
            "event_type": event.get("event_type"),
        }
        annotations = {
            "summary": body.reason,
            "previous": body.previous,
            "message_id": event.get("message_id"),
        }
        return Batch(
            tuple(
                Alarm(
                    source=delivery.source,
                    key=text(body.alarm_id),
                    status=_STATUS[body.current],
                    # Members share the id of their alarm, and its end: they differ by their start alone.
                    started_at=started_at + timedelta(microseconds=index),
                    received_at=delivery.received_at,
                    selector=selector,
                    labels=_texts({**said, **labels}),
                    annotations=_texts(annotations),
                    severity=text(body.severity or ""),
                    expires_at=expires_at,
                )
                for index, (selector, labels) in enumerate(self._meant(delivery.query, why, event))
            )
        )

    def _meant(
        self, query: Mapping[str, str], why: Mapping[str, Any], event: Mapping[str, Any]
    ) -> list[_Meant]:
        """What the URL says goes before what the body says: a person wrote it for this alarm."""
        url = {name: text(value) for name in _QUERY if (value := query.get(name))}
        if any(name in url for name in _ONE):
            return [(Selector(**url), {})]
        return [(replace(selector, **url), labels) for selector, labels in self._of_body(why, event)]

    def _of_body(self, why: Mapping[str, Any], event: Mapping[str, Any]) -> list[_Meant]:
        match why.get("type"):
            case "event":
                return [(self.labels.selector(_texts(_traits(event))), {})]
            case "loadbalancer_member_health":
                return _of_balancer(why)
            case "composite" | "threshold":
                return [(Selector(physical_id=_of_rules(why)), {})]
            case _:
                return [(Selector(), {})]


def _of_balancer(why: Mapping[str, Any]) -> list[_Meant]:
    """A member's id is that of its place in the pool; the server is found by its address."""
    pool = {name: why.get(name) for name in ("pool_id", "stack_id", "asg_id")}
    stack, group = (_texts(pool).get(name) for name in ("stack_id", "asg_id"))
    listed = why.get("unhealthy_members")
    members = [_members(each) for each in listed] if isinstance(listed, list) else []
    found: list[_Meant] = []
    for member in members:
        told = _texts({name: member.get(name) for name in ("address", "protocol_port", "operating_status")})
        if address := told.get("address"):
            host = f"[{address}]" if ":" in address else address
            port = told.get("protocol_port")
            selector = Selector(stack=stack, address=f"{host}:{port}" if port else address)
            found.append((selector, {**pool, **told, "member_id": member.get("id")}))
    return found or [(Selector(stack=stack, resource=group), pool)]


def _of_rules(why: Mapping[str, Any]) -> str | None:
    """The resource of an alarm's rules, where all that made it change its state measure the same one.

    Only a composite alarm tells them; of any other, who reads it in Aodh's API knows its rule.
    """
    ids = [_members(rule).get("resource_id") for rule in _members(why.get("causative_rules")).values()]
    first = ids[0] if ids else None
    return text(first) if isinstance(first, str) and all(each == first for each in ids) else None


def _started_at(body: _Body, event: Mapping[str, Any], received_at: datetime) -> datetime:
    """An event says when it was; else a change of state is as old as its telling, and a repeat is of no known age."""
    generated = _time(event.get("generated"))
    if generated is not None:
        return min(generated, received_at)
    return _WITHOUT_A_START if body.previous == body.current else received_at


def _time(value: Any) -> datetime | None:
    """OpenStack's services write UTC and leave it unsaid."""
    try:
        at = datetime.fromisoformat(value)
        return at.replace(tzinfo=at.tzinfo or UTC).astimezone(UTC)
    except (TypeError, *_bodies.UNREADABLE):
        return None


def _traits(event: Mapping[str, Any]) -> dict[str, Any]:
    """By name, of `[name, type, value]` each."""
    listed = event.get("traits")
    triples = [each for each in listed if isinstance(each, list)] if isinstance(listed, list) else []
    return {each[0]: each[2] for each in triples if len(each) > 2 and isinstance(each[0], str)}


def _why(raw: msgspec.Raw) -> Mapping[str, Any]:
    """What no reader holds (a number of 10,000 digits, say) is left out, and loses no alarm."""
    try:
        return _members(msgspec.json.decode(raw))
    except _bodies.UNREADABLE:
        return {}


def _members(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    """Those of them that are one plain value, as a store can hold it."""
    plain = {name: value for name, value in values.items() if isinstance(value, str | int | float)}
    return clean({name: value if isinstance(value, str) else str(value) for name, value in plain.items()})
