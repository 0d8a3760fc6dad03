from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

FILE = Path(__file__).parents[2] / "dashboards" / "alertmanager" / "alertmanager.yaml"
SHIPPED: dict[str, Any] = yaml.safe_load(FILE.read_text())
HEALER = {one["name"]: one for one in SHIPPED["receivers"]}["healer"]["webhook_configs"][0]


def amtool(*words: str) -> str:
    done = subprocess.run(["amtool", *words], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_nothing_that_is_sent_to_healer_is_cut_redirected_or_kept_back() -> None:
    assert HEALER["max_alerts"] == 0
    assert HEALER["send_resolved"] is True
    assert HEALER["http_config"]["follow_redirects"] is False
    routes = [route for route in SHIPPED["route"]["routes"] if route["receiver"] == "healer"]
    assert [(route["group_by"], route["group_wait"]) for route in routes] == [(["..."], "0s")] * 2


def test_people_hear_after_ten_minutes_of_what_healer_may_heal() -> None:
    last = SHIPPED["route"]["routes"][-1]
    assert (last["receiver"], last["matchers"], last["group_wait"]) == ("people", ['heal="auto"'], "10m")


@pytest.mark.debian("prometheus-alertmanager")
def test_amtool_takes_it(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("a-token")
    file = tmp_path / "alertmanager.yaml"
    file.write_text(json.dumps(SHIPPED).replace("/etc/alertmanager/healer-token", str(token)))
    amtool("check-config", str(file))


@pytest.mark.debian("prometheus-alertmanager")
@pytest.mark.parametrize(
    ("labels", "receivers"),
    [
        (["alertname=Watchdog", "component=healer"], "healer"),
        (["alertname=ServerDown", "heal=auto", "stack=shop"], "healer,people"),
        (["alertname=HealerDown", "component=healer"], "people"),
        (["alertname=HealerDown", "component=healer", "heal=auto"], "people"),
        (["alertname=DiskFull"], "people"),
    ],
)
def test_each_alert_goes_to_whom_it_concerns(labels: list[str], receivers: str) -> None:
    amtool("config", "routes", "test", f"--config.file={FILE}", f"--verify.receivers={receivers}", *labels)
