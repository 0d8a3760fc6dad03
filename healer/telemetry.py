"""Every change as one log line and one metric: the only place where either is made of what the core decided."""

from __future__ import annotations

import asyncio
import platform
from collections import Counter as Tally
from collections.abc import Mapping
from typing import Any, assert_never

import structlog
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    disable_created_metrics,
    generate_latest,
)

from healer import __version__
from healer.core.change import (
    AlarmSettled,
    AttemptChanged,
    Change,
    IncidentChanged,
    PauseChanged,
    RepairChanged,
)
from healer.core.event import Event, Listed
from healer.core.incident import IncidentState, Outcome, Refusal
from healer.core.kernel import Decision
from healer.core.policy import Mode, Owned
from healer.core.state import State
from healer.core.turn import Perform
from healer.ports import Clock

log = structlog.get_logger("healer")

_QUIET = {"inspecting", "not_admitted", "progressed"}
"""Kinds of a repair's change that are worth a row, and not a line in the log at level info."""

HEAL_BUCKETS = (5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600)
"""Seconds: from a restarted process to a stack of a thousand resources."""


class Telemetry:
    """Owns the registry. Labels are enums or names from the configuration, never ids and never a sender's text."""

    def __init__(self, clock: Clock) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._clock = clock
        reg = self.registry
        Info("healer_build", "Version of the daemon and of its Python.", registry=reg).info(
            {"version": __version__, "python_version": platform.python_version()}
        )
        self._policies = Gauge("healer_policies", "Policies loaded.", ["mode"], registry=reg)
        self._targets = Gauge(
            "healer_targets", "Resources that a policy owns.", ["cloud", "resource_type"], registry=reg
        )
        self._resources = Gauge(
            "healer_stack_resources",
            "Resources that a policy owns, by what is known of them.",
            ["cloud", "stack", "state"],
            registry=reg,
        )
        self._cloud_up = Gauge("healer_cloud_up", "Whether the cloud can be read.", ["cloud"], registry=reg)
        self._read_at = Gauge(
            "healer_discovery_last_success_timestamp_seconds",
            "When all stacks of the cloud were last read.",
            ["cloud"],
            registry=reg,
        )
        self._open = Gauge("healer_incidents_open", "Open incidents.", ["cloud", "state"], registry=reg)
        self._in_progress = Gauge("healer_heals_in_progress", "Repairs under way.", ["cloud"], registry=reg)
        self._paused = Gauge("healer_paused", "Pauses that are set.", registry=reg)
        self._heals = Counter(
            "healer_heals", "Incidents that were closed.", ["cloud", "policy", "outcome"], registry=reg
        )
        self._attempts = Counter(
            "healer_remediations", "Remediations that ended.", ["cloud", "action", "outcome"], registry=reg
        )
        self._duration = Histogram(
            "healer_heal_duration_seconds",
            "From the first sign of a failure to its end.",
            ["policy", "outcome"],
            buckets=HEAL_BUCKETS,
            registry=reg,
        )
        self._suppressed = Counter(
            "healer_heals_suppressed", "Times that a gate refused.", ["policy", "reason"], registry=reg
        )
        self._surprises = Counter(
            "healer_unneeded_replacements",
            "Resources that a heal replaced although its plan did not say so.",
            ["cloud"],
            registry=reg,
        )
        self._alarms = Counter(
            "healer_alarms_received",
            "Alarms taken in, by what became of them.",
            ["source", "outcome"],
            registry=reg,
        )
        self._requests = Counter(
            "healer_webhook_requests", "Requests to the alarm listener.", ["source", "code"], registry=reg
        )
        self._probes = Counter("healer_probes", "Looks taken.", ["probe_type", "result"], registry=reg)
        self._probe_duration = Histogram(
            "healer_probe_duration_seconds", "How long a look took.", ["probe_type"], registry=reg
        )
        self._lag = Gauge("healer_event_loop_lag_seconds", "How late the event loop runs.", registry=reg)

    def decided(self, event: Event, decision: Decision) -> None:
        if isinstance(event, Listed):
            self._read_at.labels(event.cloud).set(self._clock.now().timestamp())
        for change in decision.changes:
            self._note(change)
        for command in decision.commands:
            self._carried_out(command)

    def _note(self, change: Change) -> None:
        match change:
            case IncidentChanged():
                self._incident(change)
            case RepairChanged():
                self._repair(change)
            case AlarmSettled(_, identity, outcome, detail, incident):
                source = identity.partition("|")[0]
                self._alarms.labels(source, outcome).inc()
                log.info(f"alarm.{outcome}", source=source, detail=detail, incident=incident)
            case PauseChanged(_, pause, lifted_by):
                kind = "lifted" if lifted_by else "set"
                log.warning(f"pause.{kind}", scope=pause.scope, who=lifted_by or pause.who, why=pause.why)
            case AttemptChanged():
                pass
            case _:
                assert_never(change)

    def _incident(self, change: IncidentChanged) -> None:
        incident, note = change.incident, change.note
        log.info(
            f"incident.{change.kind}",
            incident=incident.id,
            target=str(incident.target),
            cloud=incident.target.root.cloud,
            policy=incident.policy or None,
            **_words(note),
        )
        policy = incident.policy or "none"
        if change.kind in {"held", "would_heal"} and incident.refusal:
            self._suppressed.labels(policy, incident.refusal.reason).inc()
        if incident.outcome is not None:
            self._heals.labels(incident.target.root.cloud, policy, incident.outcome).inc()
            seconds = (change.at - incident.opened_at).total_seconds()
            self._duration.labels(policy, incident.outcome).observe(seconds, {"incident": incident.id})

    def _repair(self, change: RepairChanged) -> None:
        repair, cloud = change.repair, change.repair.root.cloud
        line = log.debug if change.kind in _QUIET else log.info
        line(
            f"repair.{change.kind}",
            repair=repair.id,
            stack=str(repair.root),
            cloud=cloud,
            action=repair.recipe.action,
            **_words(change.note),
        )
        if change.kind == "surprised":
            self._surprises.labels(cloud).inc(len(change.note.get("what", ())))
        if not repair.is_open and repair.ending is not None and (repair.acted or not repair.recipe.heals):
            outcome = repair.ending.failure or "succeeded"
            self._attempts.labels(cloud, repair.recipe.action, outcome).inc()

    def _carried_out(self, command: Perform) -> None:
        repair = command.repair
        log.debug("step.begun", step=str(repair.step), repair=repair.id, resumed=command.resumed)

    def request(self, source: str, code: int) -> None:
        """One request to the alarm listener was answered."""
        self._requests.labels(source, str(code)).inc()

    def dropped(self, source: str, outcome: str, alarms: int) -> None:
        """So many alarms go no further: they were sent again, or cannot be read."""
        self._alarms.labels(source, outcome).inc(alarms)

    def probed(self, probe_type: str, result: str, seconds: float) -> None:
        self._probes.labels(probe_type, result).inc()
        self._probe_duration.labels(probe_type).observe(seconds)

    def lag(self, seconds: float) -> None:
        self._lag.set(seconds)

    async def render(self, state: State) -> bytes:
        """The text for Prometheus. Gauges are counted here, on the loop; the text is made off it, for it takes long."""
        self._count(state)
        return await asyncio.to_thread(generate_latest, self.registry)

    def _count(self, state: State) -> None:
        modes = Tally(policy.mode for policy in state.policies)
        _set(self._policies, {(mode,): modes[mode] for mode in Mode})
        targets: Tally[tuple[str, ...]] = Tally()
        resources: Tally[tuple[str, ...]] = Tally()
        failing = {incident.target: incident.state for incident in state.incidents.values()}
        for target, owner in state.owners.items():
            if not isinstance(owner, Owned):
                continue
            kind = state.snapshots[target.root].resources[target.path].type
            targets[target.root.cloud, kind] += 1
            resources[target.root.cloud, str(target.root), _standing(failing.get(target))] += 1
        _set(self._targets, targets)
        _set(self._resources, resources)
        clouds = {snapshot.root.cloud for snapshot in state.snapshots.values()} | set(state.unreachable)
        _set(self._cloud_up, {(cloud,): cloud not in state.unreachable for cloud in clouds})
        _set(
            self._open,
            Tally((i.target.root.cloud, i.state) for i in state.incidents.values() if i.state != "closed"),
        )
        _set(self._in_progress, Tally((repair.root.cloud,) for repair in state.repairs.values()))
        self._paused.set(len(state.pauses))


def _standing(state: IncidentState | None) -> str:
    match state:
        case None:
            return "healthy"
        case IncidentState.REMEDIATING | IncidentState.VERIFYING:
            return "healing"
        case _:
            return "unhealthy"


def _set(gauge: Gauge, values: Mapping[tuple[str, ...], float]) -> None:
    """Exactly these series: what is gone must not go on being shown."""
    gauge.clear()
    for labels, value in values.items():
        gauge.labels(*labels).set(value)


def _words(note: Mapping[str, Any]) -> dict[str, Any]:
    """Enums as their words; nothing that is not there."""
    reserved = {"event", "incident", "target", "cloud", "policy", "repair", "stack", "action"}
    return {
        f"{key}_" if key in reserved else key: str(value) if isinstance(value, Outcome | Refusal) else value
        for key, value in note.items()
        if value is not None
    }
