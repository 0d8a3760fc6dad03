"""Every change as one log line and one metric: the only place where either is made of what the core decided."""

from __future__ import annotations

import asyncio
from collections import Counter as Tally
from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import product

import structlog

from healer.core.change import AlarmOutcome, AlarmsSettled, Change, IncidentChanged, RepairChanged
from healer.core.detector import Standing, Track, standing
from healer.core.event import Event, Listed, PoliciesLoaded, Snapped
from healer.core.incident import IncidentState, Outcome, Refusal
from healer.core.kernel import Decision
from healer.core.model import NOTHING, AlarmStatus, Health, Observation
from healer.core.policy import Mode, Owned
from healer.core.state import State
from healer.core.step import Failure
from healer.ports import Batch, Clock
from healer.telemetry import lines
from healer.telemetry.metrics import Metrics, begin, show
from healer.telemetry.phases import Phase, Phases

log = structlog.get_logger("healer")

SUCCEEDED = "succeeded"
"""The outcome of a remediation that did not fail."""
DUPLICATE, REJECTED, PASSED_OVER = "duplicate", "rejected", "passed_over"
"""Outcomes of alarms that the kernel never sees, beside its own `AlarmOutcome`."""
UNREADABLE = "unknown"
"""Status of an alarm that was rejected."""
_OPEN = tuple(state for state in IncidentState if state is not IncidentState.CLOSED)


class Telemetry:
    def __init__(
        self,
        clock: Clock,
        clouds: Iterable[str] = (),
        sources: Iterable[str] = (),
        expected: Iterable[str] = (),
    ) -> None:
        """`clouds` and `sources`: the names that the configuration gives to clouds and alarm sources.

        `expected`: those sources that should send an alarm that always fires. They count as heard at the start, so
        that one that is never heard is as late as one that has gone silent then.
        """
        self.metrics = Metrics()
        self._clock = clock
        self._phases = Phases()
        self._clouds = tuple(clouds)
        self._rendering = asyncio.Lock()
        self._skipped_before = 0
        known = tuple(sources)
        begin(self.metrics.surprises, self._clouds)
        begin(self.metrics.delivery, known)
        begin(self.metrics.truncated, known)
        begin(self.metrics.alarms, known, AlarmStatus, (*AlarmOutcome, DUPLICATE, PASSED_OVER))
        begin(self.metrics.alarms, known, [UNREADABLE], [REJECTED])
        for source in expected:
            self.watchdog(source, clock.now())

    def decided(self, event: Event, decision: Decision) -> None:
        """Told of what is stored, by the runner."""
        metrics = self.metrics
        match event:
            case Listed(cloud, roots):
                self._phases.listed(cloud, roots)
                metrics.read_at.labels(cloud).set(self._clock.now().timestamp())
            case Snapped(snapshot):
                self._phases.read(snapshot)
            case PoliciesLoaded(policies, recipes):
                names = [policy.name for policy in policies]
                begin(metrics.heals, self._clouds, names, Outcome)
                begin(metrics.suppressed, names, Refusal)
                begin(metrics.phases, names, Phase)
                begin(metrics.remediations, self._clouds, recipes, (SUCCEEDED, *Failure))
            case _:
                pass  # The others tell by what they change.
        for change in decision.changes:
            lines.write(change)
            self._count_change(change)
        for command in decision.commands:
            repair = command.repair
            log.debug("step.begun", step=str(repair.step), repair=repair.id, resumed=command.resumed)

    def _count_change(self, change: Change) -> None:
        match change:
            case IncidentChanged():
                self._count_incident(change)
            case RepairChanged():
                self._count_repair(change)
            case AlarmsSettled(_, identities, outcome):
                for (source, status), number in lines.tally(identities).items():
                    self.metrics.alarms.labels(source, status, outcome).inc(number)
            case _:
                pass  # Attempts and pauses are counted where they stand, in the state.

    def _count_incident(self, change: IncidentChanged) -> None:
        incident = change.incident
        policy = incident.policy or "none"
        if ended := self._phases.changed(change):
            phase, lasted = ended
            self.metrics.phases.labels(policy, phase).observe(lasted, {"incident": incident.id})
        if change.kind in {"held", "would_heal"} and incident.refusal:
            self.metrics.suppressed.labels(policy, incident.refusal.reason).inc()
        if incident.outcome is not None:
            self.metrics.heals.labels(incident.target.root.cloud, policy, incident.outcome).inc()
            seconds = (change.at - incident.opened_at).total_seconds()
            self.metrics.duration.labels(policy, incident.outcome).observe(seconds, {"incident": incident.id})

    def _count_repair(self, change: RepairChanged) -> None:
        repair, cloud = change.repair, change.repair.root.cloud
        if change.kind == "surprised":
            self.metrics.surprises.labels(cloud).inc(len(change.note.get("what", ())))
        if not repair.is_open and repair.ending is not None and (repair.acted or not repair.recipe.heals):
            outcome = repair.ending.failure or SUCCEEDED
            self.metrics.remediations.labels(cloud, repair.recipe.action, outcome).inc()

    def request(self, source: str, code: int) -> None:
        """One request to the alarm listener was answered."""
        self.metrics.requests.labels(source, str(code)).inc()

    def watchdog(self, source: str, at: datetime) -> None:
        """The alarm that always fires has come."""
        self.metrics.watchdog.labels(source).set(at.timestamp())

    def received(self, source: str, batch: Batch, new: tuple[bool, ...]) -> None:
        """One request's alarms are stored; what becomes of the new ones is counted when the kernel has settled it."""
        if batch.rejected:
            self.metrics.alarms.labels(source, UNREADABLE, REJECTED).inc(len(batch.rejected))
        if batch.truncated:
            self.metrics.truncated.labels(source).inc(batch.truncated)
        if batch.passed_over:
            for status, number in Tally(alarm.status for alarm in batch.passed_over).items():
                self.metrics.alarms.labels(source, status, PASSED_OVER).inc(number)
        if not all(new):
            repeated = Tally(a.status for a, is_new in zip(batch.alarms, new, strict=True) if not is_new)
            for status, number in repeated.items():
                self.metrics.alarms.labels(source, status, DUPLICATE).inc(number)
        delivered = self.metrics.delivery.labels(source)
        for alarm, is_new in zip(batch.alarms, new, strict=True):
            if is_new and alarm.status is AlarmStatus.FIRING:
                delivered.observe(max(0.0, (alarm.received_at - alarm.started_at).total_seconds()))

    def looked(self, seen: Observation, seconds: float) -> None:
        """One look of a probe, which took so long."""
        self._phases.looked(seen)
        kind = seen.source.split(":")[1]
        self.metrics.probes.labels(seen.target.root.cloud, kind, seen.health).inc()
        self.metrics.probe_duration.labels(kind).observe(seconds)

    def scheduled(self, lag_s: float, waiting: int, skipped: int) -> None:
        """How the scheduler fares; `skipped` counts since the start."""
        self.metrics.lag.set(lag_s)
        self.metrics.waiting.set(waiting)
        self.metrics.skipped.inc(skipped - self._skipped_before)
        self._skipped_before = skipped

    async def render(self, state: State, accept: str = "", *, refusing: bool = False) -> tuple[bytes, str]:
        """The text for Prometheus and its content type: what the header `Accept` asks for."""
        async with self._rendering:  # What one scrape shows must not be cleared for the next.
            self._count_state(state)
            self.metrics.refusing.set(refusing)
            return await self.metrics.render(accept)

    def _count_state(self, state: State) -> None:
        metrics, now = self.metrics, self._clock.now()
        modes = Tally(policy.mode for policy in state.policies)
        show(metrics.policies, {(mode,): modes[mode] for mode in Mode})
        targets: Tally[tuple[str, ...]] = Tally()
        resources: Tally[tuple[str, ...]] = Tally()
        failing = {incident.target: incident.state for incident in state.incidents.values()}
        for target, owner in state.owners.items():
            if isinstance(owner, Owned):
                root = target.root
                targets[root.cloud, state.snapshots[root].resources[target.path].type] += 1
                known = _known(failing.get(target), state.tracks.get(target, NOTHING))
                resources[root.cloud, str(root), known] += 1
        show(metrics.targets, targets)
        show(metrics.resources, resources)
        clouds = {*self._clouds, *(root.cloud for root in state.snapshots), *state.unreachable}
        show(metrics.cloud_up, {(cloud,): cloud not in state.unreachable for cloud in clouds})
        incidents: Tally[tuple[str, ...]] = Tally(dict.fromkeys(product(self._clouds, _OPEN), 0))
        incidents.update((i.target.root.cloud, i.state) for i in state.incidents.values())
        repairs: Tally[tuple[str, ...]] = Tally(dict.fromkeys(product(self._clouds), 0))
        repairs.update((repair.root.cloud,) for repair in state.repairs.values())
        held: Tally[tuple[str, ...]] = Tally(dict.fromkeys(product(self._clouds, Refusal), 0))
        held.update(
            (i.target.root.cloud, i.refusal.reason)
            for i in state.incidents.values()
            if i.state is IncidentState.HELD and i.refusal
        )
        show(metrics.open, incidents)
        show(metrics.held, held)
        show(metrics.in_progress, repairs)
        metrics.pauses.set(sum(one.until is None or now < one.until for one in state.pauses.values()))
        silenced: dict[tuple[str, ...], int] = {
            (source,): len(silences.lasting(now)) for source, silences in state.silences.items()
        }
        show(metrics.silences, silenced)


def _known(state: IncidentState | None, tracks: Mapping[str, Track]) -> str:
    match state:
        case IncidentState.REMEDIATING | IncidentState.VERIFYING:
            return "healing"
        case None if standing(tracks) is Standing.CALM:
            return Health.HEALTHY if any(track.good for track in tracks.values()) else Health.UNKNOWN
        case _:
            return Health.UNHEALTHY
