"""Grafana's webhook (unified alerting): each alert is one alarm, and what Grafana does not know is no failure."""

from __future__ import annotations

from collections.abc import Mapping
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
_OF_IGNORANCE = frozenset({"DatasourceNoData", "DatasourceError"})
"""Under these names a rule says that it could not be evaluated; its own name is then in the label `rulename`."""
_REASON = "grafana_state_reason"
"""The annotation that says why, where it is not what was measured: one word, or several by comma."""
_NOT_MEASURED = frozenset({"NoData", "Error"})


class _Envelope(msgspec.Struct):
    alerts: list[msgspec.Raw]
    truncated_alerts: msgspec.Raw = msgspec.field(name="truncatedAlerts", default=msgspec.Raw(b"0"))


class _Notified(Alert, kw_only=True):
    status: Literal["firing", "resolved"]


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
        envelope = _bodies.decode(delivery.body, _Envelope, "a Grafana webhook")
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
        unknown = _is_unknown(alert.status, alert.labels, alert.annotations or {})
        return alarm(
            self.labels,
            alert.labels,
            alert.annotations,
            source=delivery.source,
            key=alert.fingerprint,
            status=AlarmStatus.UNKNOWN if unknown else _STATUS[alert.status],
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
