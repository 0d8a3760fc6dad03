"""From a configuration to the parts that it names."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from healer import assembly, plugins
from healer.clock import BootClock
from healer.config.check import load
from healer.config.load import Config
from healer.core.model import Incarnation, Resource, Root, StackState
from healer.core.step import Step
from healer.ports import Delivery

CONFIG = """\
version: 1
state: {directory: state}
clouds:
  here: {engine: local, stacks: {shop: shop.yaml}}
  there: {engine: local, stacks: {}}
policies: [policies.yaml]
alarms:
  alertmanager: {auth: {bearer: {token_files: [token]}}}
  grafana: {watchdog: Heartbeat}
  prometheus: {watchdog: "", only: {heal: auto}}
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
NOW = datetime(2030, 1, 1, tzinfo=UTC)
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


async def test_a_sender_is_admitted_by_the_token_in_its_file(config: Config) -> None:
    source = assembly.sources(config)["alertmanager"]
    [way] = source.authentication
    shown = Delivery("alertmanager", b"", NOW, {"Authorization": "Bearer s3cret"})
    assert await way.admits(shown)
    assert not await way.admits(replace(shown, headers={}))
    assert (source.watchdog, dict(source.only)) == ("Watchdog", {})


def test_a_sender_is_told_by_its_configuration_which_alarms_are_for_healer(config: Config) -> None:
    assert assembly.sources(config)["prometheus"].only == {"heal": "auto"}


def test_a_sender_whose_sign_of_life_is_written_down_counts_as_heard_at_the_start(config: Config) -> None:
    """A path that is deaf from the start would have no series, and no alert without one."""

    def heard(source: str) -> float | None:
        name = "healer_watchdog_last_received_timestamp_seconds"
        return told.metrics.registry.get_sample_value(name, {"source": source})

    clock = BootClock()
    before, told = clock.now(), assembly.telemetry(config, clock)
    assert [heard(source) for source in ("alertmanager", "prometheus")] == [None, None]
    assert heard("grafana") == pytest.approx(before.timestamp(), abs=5)
