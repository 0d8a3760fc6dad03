"""Alertmanager's webhook (body version 4, as of 0.25 and later): each alert of a notification is one alarm."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, ClassVar, Literal

import msgspec
from pydantic import ConfigDict, Field

from healer.alarms import _bodies
from healer.alarms._naming import Naming, clean, text
from healer.core.model import Alarm, AlarmStatus
from healer.plugins import Plugin
from healer.ports import AlarmError, Batch, Delivery, Rejected

_STATUS = {"firing": AlarmStatus.FIRING, "resolved": AlarmStatus.CLEARED}


class _Envelope(msgspec.Struct):
    alerts: list[msgspec.Raw]
    truncated_alerts: msgspec.Raw = msgspec.field(name="truncatedAlerts", default=msgspec.Raw(b"0"))


class _Alert(msgspec.Struct):
    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    fingerprint: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    started_at: Annotated[datetime, msgspec.Meta(tz=True)] = msgspec.field(name="startsAt")
    annotations: dict[str, str] | None = None


class Alertmanager(Plugin):
    model_config = ConfigDict(json_schema_extra={"examples": [{}]})

    paths: ClassVar[tuple[str, ...]] = ()

    labels: Naming = Naming()
    """Which labels of an alert name the resource; several may be given, and the first that is there counts."""
    max_alerts: Annotated[int, Field(ge=1)] = 10_000
    """In one request; more is no notification but an attack."""

    def parse(self, delivery: Delivery) -> Batch:
        envelope = _bodies.decode(delivery.body, _Envelope, "an Alertmanager webhook")
        if len(envelope.alerts) > self.max_alerts:
            raise AlarmError(f"more than {self.max_alerts} alerts in one request")
        alarms: list[Alarm] = []
        rejected: list[Rejected] = []
        for index, raw in enumerate(envelope.alerts):
            try:
                alarms.append(self._alarm(msgspec.json.decode(raw, type=_Alert), delivery))
            except _bodies.UNREADABLE as error:
                rejected.append(Rejected(index, _bodies.reason(error)))
        cut_off = bytes(envelope.truncated_alerts)
        truncated = int(cut_off[:9]) if cut_off.isdigit() else 0
        return Batch(tuple(alarms), tuple(rejected), truncated)

    def _alarm(self, alert: _Alert, delivery: Delivery) -> Alarm:
        labels = clean(alert.labels)
        return Alarm(
            source=delivery.source,
            key=text(alert.fingerprint),
            status=_STATUS[alert.status],
            started_at=alert.started_at.astimezone(UTC),
            received_at=delivery.received_at,
            selector=self.labels.selector(labels),
            labels=labels,
            annotations=clean(alert.annotations or {}),
            severity=self.labels.severity_of(labels),
        )
