"""How long each phase of a heal took, told from the changes alone: noticing, deciding, acting, verifying."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from enum import StrEnum

from healer.core.change import IncidentChanged
from healer.core.incident import IncidentState
from healer.core.model import Health, Observation, Root, Snapshot, Target


class Phase(StrEnum):
    NOTICING = "noticing"
    """From the first unhealthy look to the incident; an alarm has its delivery lag instead."""
    DECIDING = "deciding"
    """Until a remediation was admitted; what was never admitted is not timed."""
    ACTING = "acting"
    VERIFYING = "verifying"


_PHASE_OF: Mapping[IncidentState, Phase] = {
    IncidentState.OPEN: Phase.DECIDING,
    IncidentState.HELD: Phase.DECIDING,
    IncidentState.WOULD_HEAL: Phase.DECIDING,
    IncidentState.REMEDIATING: Phase.ACTING,
    IncidentState.VERIFYING: Phase.VERIFYING,
}
"""In the other states nobody waits for healer."""


class Phases:
    """Remembers since when each incident is in its phase. A phase that a restart cut in two is not timed."""

    def __init__(self) -> None:
        self._failing: dict[Target, datetime] = {}
        self._standing: dict[str, tuple[Phase, datetime]] = {}

    def looked(self, seen: Observation) -> None:
        """The first unhealthy look since a healthy one is where noticing begins; unknown says nothing."""
        if seen.health is Health.UNHEALTHY:
            self._failing.setdefault(seen.target, seen.at)
        elif seen.health is Health.HEALTHY:
            self._failing.pop(seen.target, None)

    def read(self, snapshot: Snapshot) -> None:
        """What does not stand there any more will not be looked at either, and has nothing left to end."""
        gone = [t for t in self._failing if t.root == snapshot.root and t.path not in snapshot.resources]
        for target in gone:
            del self._failing[target]

    def listed(self, cloud: str, roots: Collection[Root]) -> None:
        """All the stacks that the cloud has."""
        gone = [t for t in self._failing if t.root.cloud == cloud and t.root not in roots]
        for target in gone:
            del self._failing[target]

    def changed(self, change: IncidentChanged) -> tuple[Phase, float] | None:
        """The phase that this change ended, and its seconds; None where it ended none."""
        incident, kind, at = change.incident, change.kind, change.at
        if kind == "opened":
            self._standing[incident.id] = (Phase.DECIDING, at)
            first = self._failing.get(incident.target)
            return None if first is None else _lasted(Phase.NOTICING, first, at)
        phase = _PHASE_OF.get(incident.state)
        was = self._standing.get(incident.id)
        if was is not None and was[0] is phase:
            return None
        if phase is None:
            self._standing.pop(incident.id, None)
        elif was is not None or phase is not Phase.DECIDING:
            self._standing[incident.id] = (phase, at)
        if incident.state is IncidentState.CLOSED:
            self._failing.pop(incident.target, None)
        if was is None or (was[0] is Phase.DECIDING and phase is not Phase.ACTING):
            return None
        return _lasted(*was, at)


def _lasted(phase: Phase, since: datetime, until: datetime) -> tuple[Phase, float]:
    return phase, max(0.0, (until - since).total_seconds())
