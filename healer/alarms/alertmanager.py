"""Alertmanager's webhook (body version 4, as of 0.25 and later): each alert of a notification is one alarm."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

from healer.alarms._alerts import EXPIRES_AFTER, MEANS, Notified, alarm, moment, notification
from healer.alarms._naming import Naming
from healer.core.model import Alarm
from healer.durations import PositiveDuration
from healer.plugins import Plugin
from healer.ports import Batch, Delivery


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
        return notification(
            delivery.body,
            "an Alertmanager webhook",
            self.max_alerts,
            lambda alert: self._alarm(alert, delivery),
        )

    def _alarm(self, alert: Notified, delivery: Delivery) -> Alarm:
        return alarm(
            self.labels,
            alert.labels,
            alert.annotations,
            source=delivery.source,
            key=alert.fingerprint,
            status=MEANS[alert.status],
            started_at=moment(alert.started_at),
            received_at=delivery.received_at,
            expires_at=delivery.received_at + self.expires_after if self.expires_after else None,
        )
