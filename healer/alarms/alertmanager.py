"""Alertmanager's webhook (body version 4, as of 0.25 and later): each alert of a notification is one alarm."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import msgspec
from pydantic import ConfigDict, Field

from healer.alarms import _bodies
from healer.alarms._alerts import EXPIRES_AFTER, Alert, alarm, moment
from healer.alarms._naming import Naming
from healer.core.model import Alarm, AlarmStatus
from healer.durations import PositiveDuration
from healer.plugins import Plugin
from healer.ports import AlarmError, Batch, Delivery, Rejected

_STATUS = {"firing": AlarmStatus.FIRING, "resolved": AlarmStatus.CLEARED}


class _Envelope(msgspec.Struct):
    alerts: list[msgspec.Raw]
    truncated_alerts: msgspec.Raw = msgspec.field(name="truncatedAlerts", default=msgspec.Raw(b"0"))


class _Notified(Alert, kw_only=True):
    status: Literal["firing", "resolved"]


class Alertmanager(Plugin):
    model_config = ConfigDict(json_schema_extra={"examples": [{}]})

    paths: ClassVar[tuple[str, ...]] = ()

    labels: Naming = Naming()
    """Which labels of an alert name the resource; several may be given, and the first that is there counts."""
    expires_after: PositiveDuration | None = EXPIRES_AFTER
    """How long a firing alert counts that is not sent again. None: until it is resolved, which never comes where
    `send_resolved` is false, or Alertmanager has lost what it knew. It must be longer than `repeat_interval` and
    `group_interval` together: the default outlasts one of a day."""
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
                alarms.append(self._alarm(msgspec.json.decode(raw, type=_Notified), delivery))
            except _bodies.UNREADABLE as error:
                rejected.append(Rejected(index, _bodies.reason(error)))
        cut_off = bytes(envelope.truncated_alerts)
        truncated = int(cut_off[:9]) if cut_off.isdigit() else 0
        return Batch(tuple(alarms), tuple(rejected), truncated)

    def _alarm(self, alert: _Notified, delivery: Delivery) -> Alarm:
        return alarm(
            self.labels,
            alert.labels,
            alert.annotations,
            source=delivery.source,
            key=alert.fingerprint,
            status=_STATUS[alert.status],
            started_at=moment(alert.started_at),
            received_at=delivery.received_at,
            expires_at=delivery.received_at + self.expires_after if self.expires_after else None,
        )
