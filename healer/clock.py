"""Time as the daemon sees it: anchored once, and never stepping."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta


class BootClock:
    """Aware UTC, read once from the wall clock and carried on by the boot-time clock.

    A wall clock that is set back would otherwise stop every timer, and one that is set forward would end every
    grace and cooldown at once. The boot-time clock also counts while the machine is suspended.
    """

    def __init__(self) -> None:
        self._boot = time.clock_gettime(time.CLOCK_BOOTTIME)
        self._anchor = datetime.fromtimestamp(time.clock_gettime(time.CLOCK_REALTIME), UTC)

    def now(self) -> datetime:
        return self._anchor + timedelta(seconds=time.clock_gettime(time.CLOCK_BOOTTIME) - self._boot)

    def elapsed(self) -> float:
        """Seconds, from an arbitrary moment; monotonic."""
        return time.monotonic()
