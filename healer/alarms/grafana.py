"""Grafana's webhook (unified alerting): each alert is one alarm, and what Grafana does not know is no failure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

from healer.alarms._alerts import EXPIRES_AFTER, MEANS, Notified, alarm, moment, notification
from healer.alarms._naming import Naming
from healer.core.model import Alarm, AlarmStatus
from healer.durations import PositiveDuration
from healer.plugins import Plugin
from healer.ports import Batch, Delivery

_OF_IGNORANCE = frozenset({"DatasourceNoData", "DatasourceError"})
"""Under these names a rule says that it could not be evaluated; its own name is then in the label `rulename`."""
_REASON = "grafana_state_reason"
"""The annotation that says why, where it is not what was measured: one word, or several by comma."""
_NOT_MEASURED = frozenset({"NoData", "Error"})


class Grafana(Plugin):
    model_config = ConfigDict(json_schema_extra={"examples": [{}]})

    paths: ClassVar[tuple[str, ...]] = ()

    labels: Naming = Naming()
    """Which labels of an alert name the resource; several may be given, and the first that is there counts."""
    expires_after: PositiveDuration | None = EXPIRES_AFTER
    """How long a firing alert counts that is not sent again; longer than the notification policy's repeat interval (4 h
    where it is not set) and group interval together. None: until it is resolved, which never comes where the contact
    point has resolve messages disabled."""
    max_alerts: Annotated[int, Field(ge=1)] = 10_000
    """In one request; more is no notification but an attack."""

    def parse(self, delivery: Delivery) -> Batch:
        return notification(
            delivery.body, "a Grafana webhook", self.max_alerts, lambda alert: self._alarm(alert, delivery)
        )

    def _alarm(self, alert: Notified, delivery: Delivery) -> Alarm:
        unknown = _is_unknown(alert.status, alert.labels, alert.annotations or {})
        return alarm(
            self.labels,
            alert.labels,
            alert.annotations,
            source=delivery.source,
            key=alert.fingerprint,
            status=AlarmStatus.UNKNOWN if unknown else MEANS[alert.status],
            started_at=moment(alert.started_at),
            received_at=delivery.received_at,
            expires_at=delivery.received_at + self.expires_after if self.expires_after else None,
        )


def _is_unknown(status: str, labels: Mapping[str, str], annotations: Mapping[str, str]) -> bool:
    """A recovery that was measured has no reason beside it: with one, the looking has ended and not the failure.

    So has `DatasourceNoData` when it is resolved: how the thing is, the rule's own alert says from then on.
    """
    reason = annotations.get(_REASON, "").replace(" ", "")
    ignorant = labels.get("alertname") in _OF_IGNORANCE or not _NOT_MEASURED.isdisjoint(reason.split(","))
    return ignorant or (status == "resolved" and bool(reason))
