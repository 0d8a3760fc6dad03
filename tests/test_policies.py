"""The policies that are shipped: each can be used as it is, and none of them acts before somebody says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from healer.config.check import load
from healer.config.policies import LoadedPolicy
from healer.core.policy import Mode

pytestmark = pytest.mark.usefixtures("known_clouds")

POLICIES = sorted((Path(__file__).parents[1] / "policies").glob("*.yaml"))
AROUND = """\
version: 1
clouds: {mine: {engine: heat, cloud: mycloud}, here: {engine: local, stacks: {}}}
policies: [%s]
"""


def loaded(folder: Path, *files: Path) -> tuple[LoadedPolicy, ...]:
    file = folder / "config.yaml"
    file.write_text(AROUND % ", ".join(str(file) for file in files))
    return load(file).policies


@pytest.mark.parametrize("file", POLICIES, ids=lambda file: file.stem)
def test_a_shipped_policy_is_right_and_only_observes(tmp_path: Path, file: Path) -> None:
    (policy,) = loaded(tmp_path, file)
    assert policy.policy.name == file.stem
    assert policy.policy.mode is Mode.OBSERVE
    assert policy.policy.remediations[-1].action == "notify"


def test_the_shipped_policies_can_be_used_together(tmp_path: Path) -> None:
    assert len(loaded(tmp_path, *POLICIES)) == len(POLICIES) >= 3
