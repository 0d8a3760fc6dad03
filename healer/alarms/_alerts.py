"""An alert as all of Prometheus' family have it, and the one alarm that it is, whichever way it came."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Literal

import msgspec

from healer.alarms import _bodies
from healer.alarms._naming import Naming, clean, text
from healer.core.model import Alarm, AlarmStatus
from healer.ports import AlarmError, Batch, Rejected

EXPIRES_AFTER = timedelta(hours=25)
"""Longer than a `repeat_interval` of a day, which is the longest that is usual, and the `group_interval` after it."""

_USUAL_BYTES = 1024
"""Label sets up to this size are remembered with their sums, in all at most some 4 MiB."""


class Alert(msgspec.Struct):
    """What Alertmanager says of an alert, in a notification and where it is asked."""

    labels: dict[str, str]
    fingerprint: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    started_at: str = msgspec.field(name="startsAt")
    annotations: dict[str, str] | None = None


class Notified(Alert, kw_only=True):
    status: Literal["firing", "resolved"]


class _Envelope(msgspec.Struct):
    alerts: list[msgspec.Raw]
    truncated_alerts: msgspec.Raw = msgspec.field(name="truncatedAlerts", default=msgspec.Raw(b"0"))


MEANS = {"firing": AlarmStatus.FIRING, "resolved": AlarmStatus.CLEARED}


def notification(body: bytes, what: str, most: int, read: Callable[[Notified], Alarm]) -> Batch:
    """The webhook's body, alert by alert: one that cannot be read loses no other.

    Raises AlarmError where it is not the body of `what`, or has more than `most` alerts.
    """
    envelope = _bodies.decode(body, _Envelope, what)
    if len(envelope.alerts) > most:
        raise AlarmError(f"more than {most} alerts in one request")
    alarms: list[Alarm] = []
    rejected: list[Rejected] = []
    for index, raw in enumerate(envelope.alerts):
        try:
            alarms.append(read(msgspec.json.decode(raw, type=Notified)))
        except _bodies.UNREADABLE as error:
            rejected.append(Rejected(index, _bodies.reason(error)))
    cut_off = bytes(envelope.truncated_alerts)
    truncated = int(cut_off[:9]) if cut_off.isdigit() else 0
    return Batch(tuple(alarms), tuple(rejected), truncated)


def alarm(
    naming: Naming,
    labels: Mapping[str, str],
    annotations: Mapping[str, str] | None,
    *,
    source: str,
    key: str,
    status: AlarmStatus,
    started_at: datetime,
    received_at: datetime,
    expires_at: datetime | None,
) -> Alarm:
    labels = clean(labels)
    return Alarm(
        source=source,
        key=text(key),
        status=status,
        # A notification has nanoseconds where the answer to a question has milliseconds: it is the same alarm.
        started_at=started_at.replace(microsecond=started_at.microsecond // 1000 * 1000),
        received_at=received_at,
        selector=naming.selector(labels),
        labels=labels,
        annotations=clean(annotations or {}),
        severity=naming.severity_of(labels),
        expires_at=expires_at if status is AlarmStatus.FIRING else None,
    )


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


def fingerprint(labels: Mapping[str, str]) -> str:
    """As Alertmanager computes it (FNV-1a over the sorted labels): 16 hexadecimal digits."""
    packed = b"".join(b"%b\xff%b\xff" % (name.encode(), labels[name].encode()) for name in sorted(labels))
    return f"{(_known if len(packed) <= _USUAL_BYTES else _fnv)(packed):016x}"


def _fnv(data: bytes) -> int:
    digest, prime, mask = 0xCBF29CE484222325, 0x100000001B3, 0xFFFFFFFFFFFFFFFF
    for byte in data:
        digest = (digest ^ byte) * prime & mask
    return digest


# What fires is sent every minute, and this is the dearest part of reading it.
_known = lru_cache(maxsize=4096)(_fnv)
