"""The tables of docs/metrics.md, made from the metrics themselves: `python -m tests.metrics` writes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from healer.core.change import AlarmOutcome
from healer.core.incident import IncidentState, Outcome, Refusal
from healer.core.model import AlarmStatus, Health
from healer.core.policy import Mode
from healer.core.step import Failure
from healer.telemetry import DUPLICATE, PASSED_OVER, REJECTED, SUCCEEDED
from healer.telemetry.metrics import Metrics
from healer.telemetry.phases import Phase

PAGE = Path(__file__).parents[1] / "docs" / "metrics.md"
BEGINS = "<!-- The tables below are made from the code; tests/metrics.py writes them. -->"
VALUES: dict[str, Iterable[str]] = {
    "healer_policies{mode}": Mode,
    "healer_stack_resources{state}": (*Health, "healing"),
    "healer_incidents_open{state}": [one for one in IncidentState if one is not IncidentState.CLOSED],
    "healer_heals_total{outcome}, healer_heal_duration_seconds{outcome}": Outcome,
    "healer_phase_duration_seconds{phase}": Phase,
    "healer_heals_suppressed_total{reason}, healer_incidents_held{reason}": Refusal,
    "healer_remediations_total{outcome}": (SUCCEEDED, *Failure),
    "healer_alarms_received_total{status}": AlarmStatus,
    "healer_alarms_received_total{outcome}": (*AlarmOutcome, DUPLICATE, REJECTED, PASSED_OVER),
    "healer_probes_total{result}": Health,
}
"""Labels whose values are words of healer's own."""


def tables() -> str:
    """Everything of the page below its marker."""
    return "\n".join([BEGINS, "", *_metrics(), "", *_values()]) + "\n"


def _metrics() -> Iterator[str]:
    yield from ("## Every metric", "", "| metric | type | labels | |", "|---|---|---|---|")
    for one in Metrics().described:
        yield f"| `{one.name}` | {one.kind} | {', '.join(one.labels)} | {one.text} |"


def _values() -> Iterator[str]:
    yield from ("## What labels say", "", "| label | values |", "|---|---|")
    for label, values in VALUES.items():
        names = ", ".join(f"`{name}`" for name in label.split(", "))
        yield f"| {names} | {', '.join(f'`{value}`' for value in values)} |"


if __name__ == "__main__":
    above, _, _ = PAGE.read_text().partition(BEGINS)
    PAGE.write_text(above + tables())
