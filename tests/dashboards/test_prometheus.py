from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.dashboards.expressions import faults, known

FOLDER = Path(__file__).parents[2] / "dashboards" / "prometheus"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((FOLDER / "rules.yaml").read_text())["groups"] for rule in group["rules"]
]
TESTS: list[dict[str, Any]] = yaml.safe_load((FOLDER / "rules.test.yaml").read_text())["tests"]
ALERTS = [rule for rule in RULES if "alert" in rule]
PAGE = (FOLDER.parents[1] / "docs" / "monitoring.md").read_text()
RECORDED = {
    rule["record"]: frozenset(re.findall(r"\w+", found[1]))
    for rule in RULES
    if "record" in rule and (found := re.search(r"by \(([^)]*)\)", rule["expr"]))
}


def promtool(*words: str) -> None:
    done = subprocess.run(
        ["promtool", *words], cwd=FOLDER, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule.get("record"))
def test_a_rule_asks_only_for_what_the_code_has(rule: dict[str, Any]) -> None:
    texts = " ".join(rule.get("annotations", {}).values())
    assert list(faults(rule["expr"], known(), re.findall(r"\$labels\.(\w+)", texts))) == []


def test_the_tests_of_the_rules_feed_only_what_the_code_has() -> None:
    names = known() | RECORDED
    series = [one["series"] for test in TESTS for one in test["input_series"]]
    series += [one["expr"] for test in TESTS for one in test.get("promql_expr_test", ())]
    assert [fault for one in series for fault in faults(one, names)] == []


def test_no_alert_about_healer_comes_back_to_it_as_one_about_a_stack() -> None:
    for rule in ALERTS:
        assert rule["labels"]["component"] == "healer"
        assert not {"heal", "stack", "resource", "physical_id"} & set(rule["labels"])
        assert not re.search(r"by \([^)]*\b(stack|resource)\b", rule["expr"])


def test_the_page_says_what_to_do_at_every_alert() -> None:
    said = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    assert said == [rule["alert"] for rule in ALERTS]


def test_every_alert_is_seen_to_fire_and_but_for_the_heartbeat_not_to() -> None:
    tried = [one for test in TESTS for one in test.get("alert_rule_test", ())]
    names = {rule["alert"] for rule in ALERTS}
    assert {one["alertname"] for one in tried if one["exp_alerts"]} == names
    assert {one["alertname"] for one in tried if not one["exp_alerts"]} == names - {"Watchdog"}


@pytest.mark.debian("prometheus")
def test_promtool_takes_the_configuration_and_its_rules() -> None:
    promtool("check", "config", "prometheus.yaml")


@pytest.mark.debian("prometheus")
def test_the_rules_say_what_their_tests_expect() -> None:
    promtool("test", "rules", "rules.test.yaml")
