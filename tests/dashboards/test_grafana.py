from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from healer.telemetry.phases import Phase
from tests.dashboards.expressions import faults, filled, known

FILE = Path(__file__).parents[2] / "dashboards" / "grafana.json"
BOARD: dict[str, Any] = json.loads(FILE.read_text())
PANELS: list[dict[str, Any]] = BOARD["panels"]
SHOWING = [panel for panel in PANELS if panel["type"] != "row"]
TARGETS = [(panel["title"], target) for panel in SHOWING for target in panel["targets"]]
VARIABLES = {one["name"]: one for one in BOARD["templating"]["list"]}
WIDTH = 24


@pytest.mark.parametrize(("title", "target"), TARGETS)
def test_a_panel_asks_only_for_what_the_code_has(title: str, target: dict[str, Any]) -> None:
    shown = re.findall(r"\{\{\s*(\w+)\s*\}\}", target["legendFormat"])
    assert list(faults(target["expr"], known(), shown)) == [], title


def test_a_variable_lists_values_of_a_label_that_exists_and_each_that_is_used_is_there() -> None:
    for one in VARIABLES.values():
        if one["type"] == "query":
            found = re.fullmatch(r"label_values\((.+), (\w+)\)", one["query"])
            assert found
            assert list(faults(found[1], known(), [found[2]])) == []
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(PANELS)))
    assert used - {"__range", "__rate_interval"} == set(VARIABLES)


def test_every_phase_has_its_panel() -> None:
    asked = set(re.findall(r'phase="(\w+)"', " ".join(target["expr"] for _, target in TARGETS)))
    assert asked == set(Phase)


def test_the_questions_are_its_rows() -> None:
    assert [panel["title"] for panel in PANELS if panel["type"] == "row"] == [
        "Now",
        "What is unhealthy",
        "What is being healed",
        "What is held, and why",
        "How long it took",
        "Is anything deaf",
    ]


def test_it_has_the_shape_that_grafana_imports() -> None:
    assert "id" not in BOARD  # One database's number: an import would overwrite another dashboard.
    assert BOARD["schemaVersion"] >= 39
    assert {"uid", "title", "time", "refresh", "templating"} <= set(BOARD)
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    for panel in SHOWING:
        assert panel["type"] in {"stat", "table", "timeseries"}
        assert panel["title"]
        assert panel["description"]
        assert set(panel["fieldConfig"]) == {"defaults", "overrides"}
        refs = [target["refId"] for target in panel["targets"]]
        assert len(set(refs)) == len(refs)
        for one in (panel, *panel["targets"]):
            assert one["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


def test_grafana_s_own_model_reads_all_of_it() -> None:
    """What it does not know it leaves out, so that a misspelt option does not come back."""
    register_default_plugins()
    read = json.loads(JSONEncoder().encode(Dashboard.from_json(BOARD)))
    assert list(lost(BOARD, read)) == []
    misspelt = BOARD | {"panels": [PANELS[0] | {"titel": "a word"}], "refresch": "30s"}
    read = json.loads(JSONEncoder().encode(Dashboard.from_json(misspelt)))
    assert list(lost(misspelt, read)) == ["panels.0.titel", "refresch"]


def lost(written: Any, read: Any, at: str = "") -> Iterator[str]:
    """Where what was read is not what was written; defaults may have come to it."""
    if isinstance(written, dict) and isinstance(read, dict):
        for key, inner in written.items():
            yield from lost(inner, read.get(key, ...), f"{at}.{key}")
    elif isinstance(written, list) and isinstance(read, list) and len(written) == len(read):
        for number, (one, other) in enumerate(zip(written, read, strict=True)):
            yield from lost(one, other, f"{at}.{number}")
    elif written != read:
        yield at[1:]


def test_no_panel_lies_over_another_or_outside() -> None:
    cells = {
        panel["title"]: {
            (x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])
        }
        for panel in PANELS
        for at in [panel["gridPos"]]
    }
    assert len(cells) == len(PANELS)
    assert all(0 <= x < WIDTH and y >= 0 for taken in cells.values() for x, y in taken)
    assert [(a, b) for a, b in combinations(cells, 2) if cells[a] & cells[b]] == []


@pytest.mark.debian("prometheus")
def test_promtool_takes_every_expression(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{n}", "expr": filled(target["expr"])} for n, (_, target) in enumerate(TARGETS)
    ]
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "board", "rules": rules}]}))
    done = subprocess.run(
        ["promtool", "check", "rules", str(file)], capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == 0, done.stdout + done.stderr
