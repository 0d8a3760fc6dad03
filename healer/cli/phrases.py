"""Moments, lengths of time and numbers of things, as a person reads them."""

from __future__ import annotations

from datetime import datetime, timedelta

from healer.clock import BootClock
from healer.durations import spelled


def moment(at: str | None) -> str:
    """`2026-01-31 12:00:00` of an ISO moment in UTC."""
    return at[:19].replace("T", " ") if at else "-"


def since(begin: str, end: str | None = None) -> str:
    """How long from one ISO moment to another, or to now: `2.6s`, `3m`, `1h5m`, `2d3h`."""
    until = datetime.fromisoformat(end) if end else BootClock().now()
    return roughly(until - datetime.fromisoformat(begin))


def roughly(duration: timedelta) -> str:
    """As exactly as a person wants it: tenths below ten seconds, two units above."""
    duration = max(duration, timedelta())
    if duration < timedelta(seconds=10):
        return f"{duration.total_seconds():.1f}s"
    for unit, above in (
        (timedelta(hours=1), timedelta(days=1)),
        (timedelta(minutes=1), timedelta(hours=1)),
        (timedelta(seconds=1), timedelta()),
    ):
        if duration >= above:
            return spelled(duration // unit * unit)
    return spelled(duration)


def count(number: int, thing: str, things: str = "") -> str:
    """`no incidents`, `1 incident`, `2 incidents`."""
    return f"{number or 'no'} {thing if number == 1 else things or thing + 's'}"
