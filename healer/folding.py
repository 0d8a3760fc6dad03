"""Folds looks that say the same into runs, so that what was seen can be kept without a row for each look."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from healer.core.model import Observation, Target
from healer.ports import ObservationRun


class Folding:
    """Collects between two flushes; what goes on longer is one row all the same, for its beginning is remembered."""

    def __init__(self) -> None:
        self._runs: dict[tuple[Target, str], ObservationRun] = {}
        self._ended: list[ObservationRun] = []
        self._changed: set[tuple[Target, str]] = set()

    def add(self, observations: Iterable[Observation]) -> None:
        for seen in observations:
            key = (seen.target, seen.source)
            run = self._runs.get(key)
            if run is not None and (run.health, run.symptom) == (seen.health, seen.symptom):
                self._runs[key] = replace(run, last_at=seen.at, count=run.count + 1)
            else:
                if run is not None and key in self._changed:
                    self._ended.append(run)
                self._runs[key] = ObservationRun(
                    seen.target, seen.source, seen.health, seen.symptom, seen.at, seen.at, 1
                )
            self._changed.add(key)

    def flush(self) -> tuple[ObservationRun, ...]:
        """What is new since the last time: runs that ended, and how far the others have come."""
        new = (*self._ended, *(self._runs[key] for key in self._changed))
        self._ended.clear()
        self._changed.clear()
        return new
