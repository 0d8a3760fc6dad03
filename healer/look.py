"""One look at one thing: with a deadline, and not believed where the observer itself was late."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from healer.core.model import Health, Symptom
from healer.durations import spelled
from healer.ports import Probe, Sight, Subject

LATE_SHARE = 0.1
"""Of the time that a look took: if the loop was late by more, the observer's own slowness may be what it saw."""
LAG_WINDOW_S = 10


@dataclass(frozen=True, slots=True)
class Lateness:
    """How far the observer itself was late while it looked."""

    late_s: float = 0
    """The loop's worst lateness in seconds, known to the grid of the looks."""
    took_s: float = 0
    """The look, in seconds."""
    missed_time: bool = False
    """The machine was suspended, or the process did not run."""


async def look(probe: Probe, subject: Subject, within: timedelta) -> Sight:
    """What the probe saw within that time. Nothing is raised but a cancellation."""
    limit = asyncio.timeout(within.total_seconds())
    try:
        async with limit:
            return await probe.probe(subject)
    except Exception as error:  # noqa: BLE001 - a probe that breaks stops no other, and its subject is not to blame
        if limit.expired():
            detail = f"no answer within {spelled(within)}"
            return Sight(Health.UNHEALTHY, Symptom.TIMED_OUT, detail)
        detail = f"the probe broke: {type(error).__name__}: {error}"
        return Sight(Health.UNKNOWN, Symptom.PROBE_BROKEN, detail)


def believed(sight: Sight, timeout: timedelta, lateness: Lateness) -> Sight:
    """The sight, or unknown where the failure may be the observer's own."""
    if sight.health is not Health.UNHEALTHY:
        return sight
    if lateness.missed_time:
        why = "did not run for a while"
    elif sight.symptom in {Symptom.TIMED_OUT, Symptom.TOO_SLOW} and (
        lateness.late_s > LATE_SHARE * min(lateness.took_s, timeout.total_seconds())
    ):
        why = f"was late by {lateness.late_s * 1000:.0f} ms"
    else:
        return sight
    return Sight(Health.UNKNOWN, Symptom.OBSERVER_LATE, f"healer itself {why}: {sight.detail}")


@dataclass(slots=True)
class Worst:
    """A maximum over the last one to two windows: it neither forgets with each reading nor remembers for ever."""

    since_s: float
    _now: float = 0
    _before: float = 0

    @property
    def value(self) -> float:
        return max(self._now, self._before)

    def note(self, value: float, at_s: float) -> None:
        if at_s - self.since_s >= LAG_WINDOW_S:
            self._before, self._now, self.since_s = self._now, 0, at_s
        self._now = max(self._now, value)
