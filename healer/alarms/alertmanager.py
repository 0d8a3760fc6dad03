"""Alertmanager's webhook (body version 4, as of 0.25 and later): each alert of a notification is one alarm."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from healer.core.model import Alarm, AlarmStatus, Selector
from healer.plugins import Plugin
from healer.ports import AlarmError, Batch, Rejected

SOURCE = "alertmanager"
_REASON_LENGTH = 200
_STATUS = {"firing": AlarmStatus.FIRING, "resolved": AlarmStatus.CLEARED}
_CUT_OFF = "the sender cut off {} alerts, which will never arrive: set `max_alerts: 0` in its webhook_config"
_ESCAPE = re.compile(r"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|u[dD][89a-fA-F]..|.)", re.DOTALL)


class _Envelope(msgspec.Struct):
    alerts: list[msgspec.Raw]
    truncated_alerts: msgspec.Raw = msgspec.field(name="truncatedAlerts", default=msgspec.Raw(b"0"))


class _Alert(msgspec.Struct):
    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    fingerprint: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    started_at: Annotated[datetime, msgspec.Meta(tz=True)] = msgspec.field(name="startsAt")
    annotations: dict[str, str] | None = None


def _names(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


LabelNames = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_names)]
"""One label, or several of which the first that an alert has is taken."""


class _Labels(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    cloud: LabelNames = ("cloud",)
    stack: LabelNames = ("stack",)
    resource: LabelNames = ("resource",)
    physical_id: LabelNames = ("physical_id", "server_id", "instance_id")


class Alertmanager(Plugin):
    model_config = ConfigDict(json_schema_extra={"examples": [{}]})

    labels: _Labels = _Labels()
    """Which labels of an alert name the resource; several may be given, and the first that is there counts."""
    max_alerts: Annotated[int, Field(ge=1)] = 10_000
    """In one request; more is no notification but an attack."""

    def parse(self, body: bytes, received_at: datetime) -> Batch:
        envelope = _envelope(body)
        if len(envelope.alerts) > self.max_alerts:
            raise AlarmError(f"more than {self.max_alerts} alerts in one request")
        alarms: list[Alarm] = []
        rejected: list[Rejected] = []
        for index, raw in enumerate(envelope.alerts):
            try:
                alarms.append(self._alarm(msgspec.json.decode(raw, type=_Alert), received_at))
            except (ValueError, OverflowError, RecursionError) as error:  # msgspec's own are ValueErrors
                rejected.append(Rejected(index, str(error)[:_REASON_LENGTH]))
        cut_off = bytes(envelope.truncated_alerts)
        if cut_off.isdigit() and cut_off.strip(b"0"):
            rejected.append(Rejected(len(envelope.alerts), _CUT_OFF.format(cut_off[:9].decode())))
        return Batch(tuple(alarms), tuple(rejected))

    def _alarm(self, alert: _Alert, received_at: datetime) -> Alarm:
        labels, names = _clean(alert.labels), self.labels
        return Alarm(
            source=SOURCE,
            key=_text(alert.fingerprint),
            status=_STATUS[alert.status],
            started_at=alert.started_at.astimezone(UTC),
            received_at=received_at,
            selector=Selector(
                cloud=_first(labels, names.cloud),
                stack=_first(labels, names.stack),
                resource=_first(labels, names.resource),
                physical_id=_first(labels, names.physical_id),
            ),
            labels=labels,
            annotations=_clean(alert.annotations or {}),
        )


def _envelope(body: bytes) -> _Envelope:
    text = body.decode("utf-8-sig", errors="replace")
    try:
        try:
            return msgspec.json.decode(text, type=_Envelope)
        except msgspec.DecodeError:  # one half of a surrogate pair in one string would lose all the alerts
            return msgspec.json.decode(_ESCAPE.sub(_whole, text), type=_Envelope)
    except (ValueError, RecursionError) as error:
        raise AlarmError(f"not the body of an Alertmanager webhook: {error}") from error


def _whole(escape: re.Match[str]) -> str:
    return "\\ufffd" if len(escape[0]) == 6 else escape[0]


def _first(labels: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    return next((labels[name] for name in names if labels.get(name)), None)


def _clean(labels: Mapping[str, str]) -> dict[str, str]:
    return {_text(name): _text(value) for name, value in labels.items()}


def _text(value: str) -> str:
    """PostgreSQL takes no NUL in a text."""
    return value.replace("\x00", "\ufffd")
