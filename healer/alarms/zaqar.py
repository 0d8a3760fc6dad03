"""Zaqar's webhook subscriptions: messages of a queue, and the question whether they may be sent."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, ClassVar

import msgspec
from pydantic import ConfigDict

from healer.alarms import _bodies, _loose
from healer.alarms._naming import Naming, first
from healer.alarms.aodh import Aodh
from healer.core.model import NOTHING, Alarm
from healer.plugins import Plugin
from healer.ports import AlarmError, Batch, Confirmation, Delivery, Rejected

_CLIENT = str(uuid.UUID("c53c1d57-4a39-5b3f-8a0e-31c9c5b1b1d4"))
"""Zaqar insists on a Client-ID, and uses it to keep a client from its own messages: one that posts none."""
_CONFIRM = {
    "URL-Signature": re.compile(r"[0-9a-f]{64}"),
    "URL-Methods": re.compile("PUT"),
    "URL-Paths": re.compile(
        r"/v[12](\.[0-9])?/queues/[\w.-]{1,64}/subscriptions/[\w-]{1,64}/confirm", re.ASCII
    ),
    "URL-Expires": re.compile(r"[0-9]{4}-[0-9T:. +-]{6,40}Z?", re.ASCII),
    "X-Project-ID": re.compile(r"[\w-]{0,64}", re.ASCII),
}
"""The headers of a confirmation. A body that is not Zaqar's must not make healer call anything else."""
_DEEPEST_TEMPLATE = 8
_STATUS_NAMES = ("status", "state")
_KEY_NAMES = ("alarm_id", "fingerprint", "key", "id")
_START_NAMES = ("started_at", "startsAt", "generated", "timestamp")


class Zaqar(Plugin):
    model_config = ConfigDict(json_schema_extra={"examples": [{"queues": ["healer"]}]})

    paths: ClassVar[tuple[str, ...]] = ()

    labels: Naming = Naming()
    """Which labels of a message name the resource."""
    queues: tuple[str, ...] = ()
    """Queues whose subscriptions are confirmed; none named: every queue's."""

    def parse(self, delivery: Delivery) -> Batch:
        """Raises AlarmError for a confirmation that is asked for too late, or for anything but a subscription."""
        body = _bodies.decode(delivery.body, dict[str, Any], "a Zaqar subscription")
        if body.get("Message_Type") == "SubscriptionConfirmation":
            return Batch((), confirmation=self._confirmation(body, delivery.received_at))
        if body.get("Message_Type") == "UnsubscribeConfirmation":
            return Batch(())  # it offers to be confirmed again, which nobody here wishes
        outer, message = next(_messages(body, _DEEPEST_TEMPLATE), (NOTHING, None))
        if message is None:
            raise AlarmError(
                'not a Zaqar notification: where post_data is set, it must hold "$zaqar_message$"'
            )
        said = _unwrapped(message.get("body"))
        alarms: list[Alarm] = []
        rejected: list[Rejected] = []
        for index, each in enumerate(said if isinstance(said, list) else [said]):
            try:
                alarms += self._alarms(_unwrapped(each), outer, delivery)
            except (AlarmError, *_bodies.UNREADABLE) as error:
                rejected.append(Rejected(index, _bodies.reason(error)))
        return Batch(tuple(alarms), tuple(rejected))

    def _alarms(self, body: Any, outer: Mapping[str, str], delivery: Delivery) -> tuple[Alarm, ...]:
        """What the template says around the message is as good as what the URL says."""
        scope = {**_loose.scope(outer), **_loose.scope(delivery.query)}
        if isinstance(body, dict) and "alarm_id" in body and "current" in body:
            sent = replace(delivery, body=msgspec.json.encode(body), query=scope)
            return Aodh(labels=self.labels).parse(sent).alarms
        inner = body.get("labels") if isinstance(body, dict) else None
        labels = {**outer, **_loose.labels(body), **_loose.labels(inner), **scope}
        labels = labels if inner is None else {name: labels[name] for name in labels if name != "labels"}
        status = _loose.status(first(labels, _STATUS_NAMES) or "firing")
        started = first(labels, _START_NAMES)
        return (
            Alarm(
                source=delivery.source,
                key=first(labels, _KEY_NAMES) or _digest(labels),
                status=status,
                started_at=_loose.moment(started) if started else delivery.received_at,
                received_at=delivery.received_at,
                selector=self.labels.selector(labels),
                labels=labels,
                severity=self.labels.severity_of(labels),
            ),
        )

    def _confirmation(self, body: Mapping[str, Any], now: datetime) -> Confirmation:
        said = {name: str(body.get(name) or "") for name in _CONFIRM}
        for name, shape in _CONFIRM.items():
            if not shape.fullmatch(said[name]):
                raise AlarmError(f"no {name} of the confirmation of a subscription: {said[name][:100]!r}")
        path = said["URL-Paths"]
        if self.queues and path.split("/")[3] not in self.queues:
            raise AlarmError(f"a subscription to a queue that is not among {', '.join(self.queues)}")
        try:
            expires_at = _loose.moment(said["URL-Expires"])
        except _bodies.UNREADABLE as error:
            raise AlarmError(f"no time in URL-Expires: {_bodies.reason(error)}") from error
        if expires_at <= now:
            raise AlarmError(f"this confirmation has expired at {expires_at.isoformat()}")
        headers = {name: value for name, value in said.items() if value}
        headers |= {"Client-ID": _CLIENT, "Content-Type": "application/json"}
        return Confirmation(path, headers, b'{"confirmed": true}', expires_at)


def _messages(value: Any, depth: int, outer: Mapping[str, str] = NOTHING) -> Iterator[tuple[Any, ...]]:
    """A message in a template, and the words that stand around it."""
    if isinstance(value, dict) and value.get("Message_Type") == "Notification":
        yield outer, value
    elif depth and isinstance(value, dict):
        words = {name: said for name, said in value.items() if isinstance(said, str | int | float)}
        for inner in value.values():
            yield from _messages(inner, depth - 1, {**outer, **_loose.labels(words)})
    elif depth and isinstance(value, list):
        for inner in value:
            yield from _messages(inner, depth - 1, outer)


def _unwrapped(body: Any) -> Any:
    """Aodh puts its alarm into the body of a body; a text may hold JSON."""
    for _ in range(_DEEPEST_TEMPLATE):
        if isinstance(body, str):
            try:
                inner = msgspec.json.decode(body)
            except _bodies.UNREADABLE:
                return {"message": body}
        elif isinstance(body, dict) and body.keys() == {"body"}:
            inner = body["body"]
        else:
            return body
        body = inner
    return body


def _digest(labels: Mapping[str, str]) -> str:
    """Names an alarm that its sender does not: by all that it says but how it stands, and since when."""
    lasting = {name: labels[name] for name in labels if name not in (*_STATUS_NAMES, *_START_NAMES)}
    digest = hashlib.sha256(msgspec.json.encode(lasting, order="deterministic"))
    return digest.hexdigest()[:32]
