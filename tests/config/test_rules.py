"""Where exactly settings begin to defeat each other; what the reports say of it is in data/bad-policy-*.yaml."""

from __future__ import annotations

from pathlib import Path

import pytest

from healer.config.check import check

POLICY = """\
version: 1
policy: p
match: {type: OS::Nova::Server}
detect: {probes: [{tcp: {}, interval: INTERVAL, timeout: 1s}], startup_grace: GRACE, recover_after: 2}
remediations: [{action: reboot, timeout: BOOT}, {action: replace, timeout: 20m}, {action: notify, timeout: 2h}]
guardrails: {attempts: {max: 2, within: SPAN}, cooldown: 10m}
verify: {within: WITHIN, stable_for: STABLE}
"""
FITTING = {
    "INTERVAL": "10s", "GRACE": "10m", "BOOT": "15m", "SPAN": "24h", "WITHIN": "15m", "STABLE": "3m",
}  # fmt: skip


def fits(folder: Path, alarms: str = "{}", policy: str = POLICY, **values: str) -> bool:
    for name, value in {**FITTING, **values}.items():
        policy = policy.replace(name, value)
    (folder / "policy.yaml").write_text(policy)
    file = folder / "config.yaml"
    file.write_text(
        f"version: 1\nclouds: {{mine: {{engine: heat, cloud: c}}}}\nalarms: {alarms}\npolicies: [policy.yaml]\n"
    )
    return check(file).exit_code == 0


@pytest.mark.parametrize(
    ("longest_bad", "shortest_good"),
    [
        ({"WITHIN": "13m"}, {"WITHIN": "13m1ms"}),
        ({"STABLE": "5m"}, {"STABLE": "4m59s"}),
        ({"GRACE": "12m"}, {"GRACE": "11m59s"}),
        ({"BOOT": "10m"}, {"BOOT": "10m1ms"}),
        ({"SPAN": "1h30m"}, {"SPAN": "1h30m1ms"}),  # 2 x (20m + 15m + 10m); telling somebody is no attempt
        ({"INTERVAL": "6m"}, {"INTERVAL": "5m59s"}),  # 2 looks and 3m of being good within 15m
        ({"INTERVAL": "999ms"}, {"INTERVAL": "1s"}),
    ],
)
def test_the_bound_is_where_it_is_said_to_be(
    tmp_path: Path, longest_bad: dict[str, str], shortest_good: dict[str, str]
) -> None:
    assert fits(tmp_path)
    assert not fits(tmp_path, **longest_bad)
    assert fits(tmp_path, **shortest_good)


def test_an_alarm_source_is_enough_to_notice_by(tmp_path: Path) -> None:
    blind = "version: 1\npolicy: p\nmatch: {type: OS::Nova::Server}\n"
    assert not fits(tmp_path, policy=blind)
    assert fits(tmp_path, policy=blind, alarms="{alertmanager: {}}")


def test_a_policy_that_only_tells_makes_no_attempts(tmp_path: Path) -> None:
    telling = (
        "version: 1\npolicy: p\nmatch: {stack: a}\ndetect: {watchers: [engine]}\n"
        "remediations: [{action: notify}]\nguardrails: {attempts: {max: 1, within: 1s}}\n"
    )
    assert fits(tmp_path, policy=telling)


def test_a_type_that_a_glob_owns_is_not_missed_in_may_replace(tmp_path: Path) -> None:
    policy = (
        "version: 1\npolicy: p\nmatch: {type: TYPE}\ndetect: {watchers: [engine]}\n"
        "guardrails: {blast_radius: {may_replace: [OS::Nova::Server]}}\n"
    )
    assert fits(tmp_path, policy=policy, TYPE='"OS::Nova::*"')
    assert fits(tmp_path, policy=policy, TYPE="OS::Nova::Server")
    assert not fits(tmp_path, policy=policy, TYPE="OS::Nova::ServerGroup")


def test_a_key_that_is_wrong_already_is_not_called_defeated_as_well(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(
        "version: 1\npolicy: p\nmatch: {stack: a}\n"
        "detect: {watchers: [engine], stratup_grace: 1s}\nverify: {within: 5m}\n"
    )
    file = tmp_path / "config.yaml"
    file.write_text("version: 1\nclouds: {mine: {engine: heat, cloud: c}}\npolicies: [policy.yaml]\n")
    (said,) = check(file).lines()
    assert said.endswith("detect.stratup_grace: is no key here; did you mean 'startup_grace'?")
