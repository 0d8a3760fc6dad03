"""Virtual time: it stands still until somebody says that it has passed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

START = datetime(2030, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class VirtualClock:
    at: datetime = START

    def now(self) -> datetime:
        return self.at

    def elapsed(self) -> float:
        return (self.at - START).total_seconds()

    def pass_time(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)

    def pass_until(self, moment: datetime) -> None:
        """Until then, unless that is over already."""
        self.at = max(self.at, moment)
