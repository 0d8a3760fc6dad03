"""Every metric that there is: its name, its labels, and what it counts. docs/metrics.md is made of this."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

from healer import __version__

PHASE_S = (0.1, 0.5, 1, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
"""Buckets in seconds: from a decision that waits for nothing to an update of a large stack."""
HEAL_S = (5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600)
"""Buckets in seconds: from a restarted process to a stack of a thousand resources."""
DELIVERY_S = (0.1, 0.5, 1, 5, 10, 30, 60, 120, 300, 600, 1800)
"""From a sender that has one alarm in each message to one that groups them, with a rule that waits."""
LOOK_S = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30)
"""From a process of this machine to a time-out."""

Kind = Literal["counter", "gauge", "histogram", "info"]


@dataclass(frozen=True, slots=True)
class Described:
    """One metric as the documentation lists it."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    text: str


class Metrics:
    """Labels are enums or names from the configuration: never ids, and never a sender's text."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self.described: list[Described] = []
        gauge, counter, histogram = self._gauge, self._counter, self._histogram

        self._info(
            "healer_build",
            "Versions of the daemon and of its Python.",
            {"version": __version__, "python_version": platform.python_version()},
        )
        self.policies = gauge("healer_policies", "Policies loaded.", "mode")
        self.targets = gauge("healer_targets", "Resources that a policy owns.", "cloud", "resource_type")
        self.resources = gauge(
            "healer_stack_resources",
            "Resources that a policy owns, by what is known of them.",
            "cloud",
            "stack",
            "state",
        )
        self.cloud_up = gauge("healer_cloud_up", "Whether the cloud can be read.", "cloud")
        self.read_at = gauge(
            "healer_discovery_last_success_timestamp_seconds",
            "When all stacks of the cloud were last read.",
            "cloud",
        )
        self.open = gauge("healer_incidents_open", "Open incidents.", "cloud", "state")
        self.held = gauge(
            "healer_incidents_held", "Open incidents that are held, by what refuses now.", "cloud", "reason"
        )
        self.in_progress = gauge("healer_heals_in_progress", "Repairs under way.", "cloud")
        self.heals = counter("healer_heals", "Incidents that were closed.", "cloud", "policy", "outcome")
        self.duration = histogram(
            "healer_heal_duration_seconds",
            "From the first sign of a failure to its end.",
            HEAL_S,
            "policy",
            "outcome",
        )
        self.phases = histogram(
            "healer_phase_duration_seconds",
            "How long noticing, deciding, acting and verifying took, each time that one of them ended.",
            PHASE_S,
            "policy",
            "phase",
        )
        self.suppressed = counter("healer_heals_suppressed", "Times that a gate refused.", "policy", "reason")
        self.remediations = counter(
            "healer_remediations", "Remediations that ended.", "cloud", "action", "outcome"
        )
        self.surprises = counter(
            "healer_unneeded_replacements",
            "Resources that a heal replaced although its plan did not say so.",
            "cloud",
        )
        self.pauses = gauge("healer_pauses", "Pauses that hold now.")
        self.silences = gauge(
            "healer_silences",
            "Silences that hold now, and alarms that a sender withholds by itself, where it is asked.",
            "source",
        )
        self.refusing = gauge(
            "healer_store_refusing", "Whether the store refuses; while it does, nothing is carried out."
        )
        self.alarms = counter(
            "healer_alarms_received",
            "Alarms that came, each by what became of it.",
            "source",
            "status",
            "outcome",
        )
        self.delivery = histogram(
            "healer_alarm_delivery_lag_seconds",
            "From the start that a firing alarm names to its arrival.",
            DELIVERY_S,
            "source",
        )
        self.truncated = counter(
            "healer_alarms_truncated", "Alarms that a sender says it left out of what it sent.", "source"
        )
        self.watchdog = gauge(
            "healer_watchdog_last_received_timestamp_seconds",
            "When the alarm that always fires came last; until then healer's start, where `watchdog` is written down.",
            "source",
        )
        self.requests = counter(
            "healer_webhook_requests", "Requests to the alarm listener.", "source", "code"
        )
        self.probes = counter("healer_probes", "Looks taken.", "cloud", "probe_type", "result")
        self.probe_duration = histogram(
            "healer_probe_duration_seconds", "How long a look took.", LOOK_S, "probe_type"
        )
        self.waiting = gauge(
            "healer_probes_waiting", "Looks that are due, and held back by the limit on looks at once."
        )
        self.skipped = counter(
            "healer_probes_skipped", "Looks left out because the one before had not ended."
        )
        self.lag = gauge("healer_event_loop_lag_seconds", "How late the event loop runs.")

    async def render(self, accept: str) -> tuple[bytes, str]:
        """The text for Prometheus and its content type, made in a thread, for it takes long."""
        if "application/openmetrics-text" in accept:  # the only format that shows exemplars
            text = await asyncio.to_thread(openmetrics.generate_latest, self.registry)
            return text, openmetrics.CONTENT_TYPE_LATEST
        return await asyncio.to_thread(generate_latest, self.registry), CONTENT_TYPE_PLAIN_0_0_4

    def _info(self, name: str, text: str, values: Mapping[str, str]) -> None:
        self.described.append(Described(f"{name}_info", "info", tuple(values), text))
        Info(name, text, registry=self.registry).info(dict(values))

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        self.described.append(Described(name, "gauge", labels, text))
        return Gauge(name, text, labels, registry=self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        self.described.append(Described(f"{name}_total", "counter", labels, text))
        return Counter(name, text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: Sequence[float], *labels: str) -> Histogram:
        self.described.append(Described(name, "histogram", labels, text))
        return Histogram(name, text, labels, buckets=buckets, registry=self.registry)


def begin(metric: Counter | Histogram, *labels: Iterable[str]) -> None:
    """Show every combination from now on, or its first increase would be missed; what is counted already stays."""
    for values in product(*labels):
        metric.labels(*values)


def show(gauge: Gauge, values: Mapping[tuple[str, ...], float]) -> None:
    """Exactly these series: what is gone must not go on being shown."""
    gauge.clear()
    for labels, value in values.items():
        gauge.labels(*labels).set(value)
