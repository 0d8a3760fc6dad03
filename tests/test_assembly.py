"""From a configuration to the parts that it names."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from healer import assembly, plugins
from healer.clock import BootClock
from healer.config.check import load
from healer.config.load import Config
from healer.core.inventory import watched
from healer.core.model import Incarnation, Resource, Root, Snapshot, StackState, Target
from healer.core.step import Step
from healer.ports import ConfigError

CONFIG = """\
version: 1
state: {directory: state}
clouds:
  here: {engine: local, stacks: {shop: shop.yaml}}
  there: {engine: local, stacks: {}}
policies: [policies.yaml]
alarms: {alertmanager: {token_file: token}}
notifiers: {ops: {notifier: log}}
"""
POLICIES = """\
version: 1
policy: databases
match: {resource: db}
detect:
  watchers: [engine]
  probes:
    - {http: {url: "http://{address}:{port}/"}, interval: 10s, timeout: 2s}
    - {tcp: {}, interval: 5s}
---
version: 1
policy: others
match: {resource: web}
detect: {watchers: [engine]}
"""
SHOP = """\
heat_template_version: 2018-08-31
resources:
  db: {type: Local::Process, properties: {command: [sleep, 60]}}
  web: {type: Local::Process, properties: {command: [sleep, 60]}}
"""
ROOT = Root("here", "local", "shop-id", "shop")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    for name, text in {
        "config.yaml": CONFIG,
        "policies.yaml": POLICIES,
        "shop.yaml": SHOP,
        "token": "s3cret",
    }.items():
        (tmp_path / name).write_text(text)
    return load(tmp_path / "config.yaml")


def resource(path: str) -> Resource:
    return Resource(
        path,
        "Local::Process",
        Incarnation("shop-id", path, f"{path}-1"),
        "CREATE",
        StackState.COMPLETE,
        attributes={"address": "127.0.0.1", "port": "8080"},
    )


async def test_each_cloud_has_an_engine_that_is_told_where_it_works(config: Config, tmp_path: Path) -> None:
    engines = assembly.engines(config, BootClock(), creates=False)
    assert list(engines) == ["here", "there"]
    assert not (tmp_path / "state").exists(), "an engine was started"
    await engines["here"].start()
    assert await engines["here"].roots() == ()


def test_every_action_that_there_is_has_its_recipe() -> None:
    recipes = assembly.recipes()
    assert sorted(recipes) == list(plugins.names("actions"))
    assert all(recipe.action == name for name, recipe in recipes.items())
    assert recipes["notify"].steps == (Step.NOTIFY,)


def test_of_a_token_only_its_digest_is_kept(config: Config) -> None:
    assert assembly.sources(config)["alertmanager"].token == hashlib.sha256(b"s3cret").digest()


def test_a_token_that_went_away_since_it_was_checked_is_an_error_in_words(
    config: Config, tmp_path: Path
) -> None:
    (tmp_path / "token").unlink()
    with pytest.raises(ConfigError, match=r"token cannot be read: No such file"):
        assembly.sources(config)


def test_each_notifier_and_watcher_is_known_by_its_name(config: Config) -> None:
    assert list(assembly.notifiers(config)) == ["ops"]
    assert list(assembly.watchers(config)) == ["watcher:engine"]


def test_each_probe_is_pointed_at_what_its_policy_owns_and_a_watcher_needs_none(config: Config) -> None:
    snapshot = Snapshot(
        ROOT,
        BootClock().now(),
        "CREATE",
        StackState.COMPLETE,
        {path: resource(path) for path in ("db", "web")},
    )
    policies = [loaded.policy for loaded in config.policies]
    found = assembly.assignments(config, watched(policies, {ROOT: snapshot}))
    assert {(one.source, one.interval.total_seconds(), one.timeout.total_seconds()) for one in found} == {
        ("probe:http", 10, 2),
        ("probe:tcp", 5, 5),
    }
    for one in found:
        assert (one.target, one.physical_id) == (Target(ROOT, "db"), "db-1")
        assert one.subject.values["port"] == "8080"
    assert {type(one.probe).__name__.lower() for one in found} == {"http", "tcp"}
