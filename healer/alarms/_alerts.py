"""An alert as all of Prometheus' family have it, and the one alarm that it is, whichever way it came."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Annotated, Literal, TypeVar

import msgspec

from healer.alarms import _bodies
from healer.alarms._naming import Naming, clean, text
from healer.core.model import Alarm, AlarmStatus
from healer.ports import AlarmError, Batch, Rejected

T = TypeVar("T")

EXPIRES_AFTER = timedelta(hours=25)
"""Longer than a `repeat_interval` of a day, which is the longest that is usual, and the `group_interval` after it."""


class Alert(msgspec.Struct):
    """What Alertmanager says of an alert, in a notification and where it is asked."""

    labels: dict[str, str]
    fingerprint: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    started_at: str = msgspec.field(name="startsAt")
    annotations: dict[str, str] | None = None


class Notified(Alert, kw_only=True):
    status: Literal["firing", "resolved"]


class _Envelope(msgspec.Struct):
    alerts: msgspec.Raw
    truncated_alerts: msgspec.Raw = msgspec.field(name="truncatedAlerts", default=msgspec.Raw(b"0"))


MEANS = {"firing": AlarmStatus.FIRING, "resolved": AlarmStatus.CLEARED}


def notification(body: bytes, what: str, most: int, read: Callable[[Notified], Alarm]) -> Batch:
    """The webhook's body, alert by alert: one that cannot be read loses no other.

    Raises AlarmError where it is not the body of `what`, or has more than `most` alerts.
    """
    envelope = _bodies.decode(body, _Envelope, what)
    alarms, rejected = each(bytes(envelope.alerts), Notified, what, most, read)
    cut_off = bytes(envelope.truncated_alerts)
    truncated = int(cut_off[:9]) if cut_off.isdigit() else 0
    return Batch(alarms, rejected, truncated)


def each(
    body: bytes, kind: type[T], what: str, most: int, read: Callable[[T], Alarm]
) -> tuple[tuple[Alarm, ...], tuple[Rejected, ...]]:
    """A list of alerts, one by one: one that cannot be read loses no other.

    Raises AlarmError where it is no list, or has more than `most` alerts; `what` it was to be.
    """
    alerts: list[T] | list[msgspec.Raw]
    try:
        alerts = _bodies.decoder(list[kind]).decode(body)  # type: ignore[valid-type]
    except _bodies.UNREADABLE:  # one of them at least; which, is worth the time only now
        alerts = _bodies.decode(body, list[msgspec.Raw], what)
    if len(alerts) > most:
        raise AlarmError(f"more than {most} alerts in one request")
    alarms: list[Alarm] = []
    rejected: list[Rejected] = []
    for index, alert in enumerate(alerts):
        try:
            alarms.append(
                read(msgspec.json.decode(alert, type=kind) if isinstance(alert, msgspec.Raw) else alert)
            )
        except _bodies.UNREADABLE as error:
            rejected.append(Rejected(index, _bodies.reason(error)))
    return tuple(alarms), tuple(rejected)


def alarm(
    naming: Naming,
    labels: Mapping[str, str],
    annotations: Mapping[str, str] | None,
    *,
    source: str,
    key: str | None,
    status: AlarmStatus,
    started_at: datetime,
    received_at: datetime,
    expires_at: datetime | None,
) -> Alarm:
    """`key`: None where its labels alone tell it from others."""
    labels = clean(labels)
    return Alarm(
        source=source,
        key=_key(labels) if key is None else text(key),
        status=status,
        started_at=_to_milliseconds(started_at),
        received_at=received_at,
        selector=naming.selector(labels),
        labels=labels,
        annotations=clean(annotations or {}),
        severity=naming.severity_of(labels),
        expires_at=expires_at if status is AlarmStatus.FIRING else None,
    )


def _key(labels: Mapping[str, str]) -> str:
    """Of equal labels the same, in whichever order they come: 16 hexadecimal digits."""
    names = sorted(labels)
    # No label holds NUL, so that no two sets of them are joined to the same text.
    joined = "\x00".join([*names, *map(labels.__getitem__, names)])
    return blake2b(joined.encode(), digest_size=8).hexdigest()


def _to_milliseconds(at: datetime) -> datetime:
    """A notification has nanoseconds where the answer to a question has milliseconds: it is the same alarm."""
    finer = at.microsecond % 1000
    return at.replace(microsecond=at.microsecond - finer) if finer else at


def moment(words: str) -> datetime:
    """RFC 3339 with its zone, as UTC; what is below a microsecond is cut off, not rounded.

    Raises ValueError, or OverflowError where there is no such time in UTC.
    """
    try:
        read = datetime.fromisoformat(words)
    except ValueError as error:
        raise ValueError(f"no time of RFC 3339: {words!r}") from error
    if read.tzinfo is None:
        raise ValueError(f"{words!r} has no timezone, and may be any of 24 hours")
    return read.astimezone(UTC)
