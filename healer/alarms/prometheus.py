"""Prometheus itself, with healer as one of its Alertmanagers: every alert that fires, sent again and again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, ClassVar

import msgspec
from pydantic import ConfigDict, Field

from healer.alarms._alerts import alarm, each, moment
from healer.alarms._naming import Naming
from healer.core.model import Alarm, AlarmStatus
from healer.durations import PositiveDuration
from healer.plugins import Plugin
from healer.ports import Answer, Batch, Delivery

_NEVER = datetime.min.replace(tzinfo=UTC)
"""Go's zero time: it was not set."""


class _Posted(msgspec.Struct):
    labels: dict[str, str]
    annotations: dict[str, str] | None = None
    starts_at: str | None = msgspec.field(name="startsAt", default=None)
    ends_at: str | None = msgspec.field(name="endsAt", default=None)


class Prometheus(Plugin):
    """Whatever can send to an Alertmanager (its API v2) can send here: Thanos, vmalert, Loki and Mimir too."""

    model_config = ConfigDict(json_schema_extra={"examples": [{}]})

    paths: ClassVar[tuple[str, ...]] = ("/alertmanager/api/v2/alerts",)

    labels: Naming = Naming()
    """Which labels of an alert name the resource; several may be given, and the first that is there counts."""
    resolve_timeout: PositiveDuration = timedelta(minutes=5)
    """How long an alert counts that comes without an end. Prometheus always gives one, four times the delay after
    which it sends again. The default is Alertmanager's."""
    max_alerts: Annotated[int, Field(ge=1)] = 10_000
    """In one request. Prometheus sends 64 at once, or 256 where it is newer."""

    def parse(self, delivery: Delivery) -> Batch:
        what = "a post to Alertmanager's API v2"
        return Batch(
            *each(delivery.body, _Posted, what, self.max_alerts, lambda alert: self._alarm(alert, delivery))
        )

    def answer(self, batch: Batch, new: tuple[bool, ...]) -> Answer:  # noqa: ARG002 - Prometheus does not ask
        """Alertmanager's own: 200 and nothing, unless there is something to say."""
        if not batch.rejected:
            return Answer(200)
        return Answer(
            200, {"rejected": [{"index": one.index, "reason": one.reason} for one in batch.rejected]}
        )

    def _alarm(self, alert: _Posted, delivery: Delivery) -> Alarm:
        labels = alert.labels
        if not all(labels.values()):  # an empty one is none at all
            labels = {name: value for name, value in labels.items() if value}
        if not labels:
            raise ValueError("it has no labels")
        now = delivery.received_at
        starts_at, ends_at = _set(alert.starts_at), _set(alert.ends_at)
        if starts_at and ends_at and starts_at > ends_at:
            raise ValueError("it ends before it starts")
        is_over = ends_at is not None and ends_at <= now
        return alarm(
            self.labels,
            labels,
            alert.annotations,
            source=delivery.source,
            key=None,
            status=AlarmStatus.CLEARED if is_over else AlarmStatus.FIRING,
            # Without a start, as for Alertmanager: what is over is known again by its end.
            started_at=starts_at or (ends_at if ends_at and is_over else now),
            received_at=now,
            expires_at=ends_at or now + self.resolve_timeout,
        )


def _set(words: str | None) -> datetime | None:
    read = moment(words) if words is not None else _NEVER
    return read if read != _NEVER else None
