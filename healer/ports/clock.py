"""The one place where time comes from."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """The only place where time comes from."""

    def now(self) -> datetime:
        """Aware UTC; never steps, whatever happens to the wall clock."""
        ...

    def elapsed(self) -> float:
        """Seconds since some fixed moment, for latencies; monotonic."""
        ...
