"""The probes of the daemon in virtual time: what they look at, and what they see."""

from __future__ import annotations

from datetime import datetime, timedelta

from healer.core.inventory import Watched, watched
from healer.core.model import Health, Observation, Symptom
from healer.core.state import State
from healer.engines.simulated import Simulated
from healer.ports import EngineError, Sight

PROBE = "probe:simulated"
"""The source of looks at the things themselves, as a probe takes them over the network."""


class Looks:
    """Which probes look at what: worked out anew only where something stands there that did not before."""

    def __init__(self) -> None:
        self._known: tuple[object, ...] = ()
        self._watched: dict[timedelta, list[Watched]] = {}

    def take(
        self, interval: timedelta, state: State, engine: Simulated, now: datetime
    ) -> tuple[Observation, ...]:
        """One look of each probe that is due this often."""
        known = (state.policies, *(snapshot.resources for snapshot in state.snapshots.values()))
        if len(known) != len(self._known) or any(a is not b for a, b in zip(known, self._known, strict=True)):
            self._known, self._watched = known, {}
            for one in watched(state.policies, state.snapshots):
                if one.watch.source == PROBE:
                    self._watched.setdefault(one.watch.interval, []).append(one)
        return tuple(_look(one, engine, now) for one in self._watched.get(interval, ()))


def _look(one: Watched, engine: Simulated, now: datetime) -> Observation:
    physical_id = one.resource.incarnation.physical_id
    try:
        sight = engine.cloud.world(one.target.root).sight(physical_id, now)
    except EngineError:
        sight = Sight(Health.UNKNOWN, Symptom.UNRESOLVED, "there is no such stack")
    return Observation(one.target, PROBE, sight.health, sight.symptom, now, physical_id, sight.detail)
