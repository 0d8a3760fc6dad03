"""The words that need no daemon: `check`, and `release-all`, which must not have one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.typist import Type
from tests.daemon.houses import Hasty

GOOD = """\
version: 1
state: {directory: state}
clouds: {here: {engine: local, stacks: {papers: papers.yaml}}}
policies: [policy.yaml]
"""
POLICY = """\
version: 1
policy: all
match: {type: Local::File}
guardrails: {blast_radius: {may_replace: [Local::File]}}
detect: {watchers: [engine]}
"""
PAPERS = """\
heat_template_version: 2018-08-31
resources:
  note: {type: Local::File, properties: {content: hello}}
"""
FIVE_MISTAKES = """\
version: 2
stat: {directory: state}
clouds: {here: {engine: locl}}
listen: {port: 95950}
journal: {keep: 90}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "papers.yaml").write_text(PAPERS)
    file = tmp_path / "config.yaml"
    file.write_text(GOOD)
    return file


def test_a_configuration_that_can_be_used_is_said_to_be(types: Type, config: Path) -> None:
    assert types("check", "--config", str(config)) == (0, f"{config} can be used: 1 cloud, 1 policy.\n", "")
    assert json.loads(types("check", "--config", str(config), "--json").out) == {
        "problems": [],
        "warnings": [],
    }


def test_every_mistake_is_named_at_once_with_its_line_and_key(types: Type, config: Path) -> None:
    config.write_text(FIVE_MISTAKES)
    code, out, err = types("check", "--config", str(config))
    assert code == 2
    mistakes = [line.split(": ") for line in out.splitlines() if not line.endswith("(warning)")]
    places = [f"{place.rpartition(':')[2]} {key}" for place, key, *_ in mistakes]
    assert places == ["1 version", "2 stat", "3 clouds.here.engine", "4 listen.port", "5 journal.keep"]
    assert "did you mean 'state'?" in out
    assert err == "5 mistakes; the daemon would not start.\n"
    problems = json.loads(types("check", "--config", str(config), "--json").out)["problems"]
    assert [problem["line"] for problem in problems] == [1, 2, 3, 4, 5]


def test_a_file_that_is_not_there_is_named(types: Type, tmp_path: Path) -> None:
    for word in ("check", "release-all", "run"):
        code, out, err = types(word, "--config", str(tmp_path / "nowhere.yaml"))
        assert code == 2
        assert f"{tmp_path}/nowhere.yaml: No such file or directory" in out + err


def test_nothing_is_released_where_nothing_is_marked_and_nothing_is_created_for_that(
    types: Type, config: Path
) -> None:
    assert types("release-all", "--config", str(config)) == (0, "no marks taken back.\n", "")
    assert json.loads(types("release-all", "--config", str(config), "--json").out) == {
        "released": [],
        "failed": [],
    }


def test_no_mark_is_taken_back_behind_the_daemons_back(types: Type, house: Hasty) -> None:
    code, out, err = types("release-all", "--config", str(house.folder / "config.yaml"))
    assert (code, out) == (2, "")
    assert f"is in use by another healer, process {house.pid}: stop that one" in err
