from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client import Gauge
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain

from healer.telemetry.metrics import Metrics, begin, show
from tests.metrics import BEGINS, PAGE, VALUES, tables
from tests.telemetry.test_telemetry import busy

ABOVE = PAGE.read_text().partition(BEGINS)[0]
WATCHED = [row.replace("\\|", "|") for row in re.findall(r"^\| `(.+?)`.*\|.*\|$", ABOVE, re.MULTILINE)]
"""The expressions of the page."""


def shown(metrics: Metrics) -> set[str]:
    return {one.name for one in metrics.described}


def test_the_tables_of_the_page_are_what_the_code_says() -> None:
    """If this fails, `python -m tests.metrics` writes them anew."""
    _, marker, below = PAGE.read_text().partition(BEGINS)
    assert marker + below == tables()


def test_every_metric_that_the_page_speaks_of_exists() -> None:
    named = set(re.findall(r"\bhealer_[a-z_]+", PAGE.read_text()))
    assert {name.removesuffix("_bucket") for name in named} == shown(Metrics())


def test_every_label_whose_words_are_listed_exists() -> None:
    labels = {f"{one.name}{{{label}}}" for one in Metrics().described for label in one.labels}
    assert {name for names in VALUES for name in names.split(", ")} <= labels


def test_labels_are_never_ids_and_never_what_a_sender_wrote() -> None:
    labels = {label for one in Metrics().described for label in one.labels}
    assert labels == {
        "action",
        "cloud",
        "code",
        "mode",
        "outcome",
        "phase",
        "policy",
        "probe_type",
        "python_version",
        "reason",
        "resource_type",
        "result",
        "source",
        "stack",
        "state",
        "status",
        "version",
    }


async def test_what_is_described_is_what_is_shown() -> None:
    text, _ = await (await busy()).metrics.render("")
    told = {}
    for family in plain(text.decode()):
        kind = {"unknown": "gauge"}.get(family.type, family.type)
        name = f"{family.name}_total" if kind == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        told[name] = ("info" if name.endswith("_info") else kind, labels, family.documentation)
    assert told == {
        one.name: (one.kind, set(one.labels), one.text) for one in (await busy()).metrics.described
    }


async def test_openmetrics_shows_which_incident_took_so_long() -> None:
    text, _ = await (await busy()).metrics.render("application/openmetrics-text;version=1.0.0")
    exemplars = [
        sample.exemplar.labels
        for family in openmetrics(text.decode())  # type: ignore[no-untyped-call]
        for sample in family.samples
        if sample.exemplar and sample.name == "healer_heal_duration_seconds_bucket"
    ]
    assert exemplars
    assert all(set(labels) == {"incident"} for labels in exemplars)


def test_what_is_counted_already_stays_when_combinations_are_shown_again() -> None:
    metrics = Metrics()
    begin(metrics.heals, ["here"], ["a", "b"], ["healed"])
    metrics.heals.labels("here", "a", "healed").inc()
    begin(metrics.heals, ["here"], ["a", "b"], ["healed"])
    get = metrics.registry.get_sample_value
    labels = {"cloud": "here", "policy": "a", "outcome": "healed"}
    assert get("healer_heals_total", labels) == 1
    assert get("healer_heals_total", labels | {"policy": "b"}) == 0


def test_what_is_gone_is_not_shown_any_more() -> None:
    metrics = Metrics()
    gauge: Gauge = metrics.targets
    show(gauge, {("here", "A"): 1, ("here", "B"): 2})
    show(gauge, {("here", "B"): 3})
    samples = {tuple(s.labels.values()): s.value for family in gauge.collect() for s in family.samples}
    assert samples == {("here", "B"): 3}


@pytest.mark.debian("prometheus")
async def test_promtool_finds_no_fault_with_what_is_shown() -> None:
    text, _ = await (await busy()).metrics.render("")
    done = subprocess.run(  # noqa: ASYNC221 - nothing else runs here
        [promtool(), "check", "metrics"], input=text, capture_output=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.debian("prometheus")
def test_promtool_takes_every_expression_of_the_page(tmp_path: Path) -> None:
    assert len(WATCHED) >= 10
    rules = [{"alert": f"A{number}", "expr": expression} for number, expression in enumerate(WATCHED)]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "page", "rules": rules}]}))
    done = subprocess.run(
        [promtool(), "check", "rules", file], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def promtool() -> str:
    found = shutil.which("promtool")
    assert found, "the package prometheus has promtool"
    return found
