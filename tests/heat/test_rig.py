from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from openstack.config import OpenStackConfig
from openstack.connection import Connection

from healer.engines.local import machine
from tests import trace
from tests.heat.play import TEMPLATES
from tests.heat.record import record
from tests.heat.scenarios import SCENARIOS
from tests.real_heat import RealHeat
from tests.tier import TIER

if TYPE_CHECKING:
    from pathlib import Path

    from tests.heat.stacks import Stack, Stacks

PARAMETERS = {"python": sys.executable, "tier": str(TIER)}


@pytest.fixture
async def shop(heat: Stacks) -> Stack:
    """db <- api <- web."""
    return await heat.create("shop", (TEMPLATES / "three_tier.yaml").read_text(), parameters=PARAMETERS)


async def answer(url: str, within_s: float = 5) -> Any:
    """What web answers, once it does: a process is created before it listens."""
    async with asyncio.timeout(within_s), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(url) as found:
                    if found.status == 200:
                        return await found.json()
            except aiohttp.ClientConnectionError:
                pass  # not yet
            await asyncio.sleep(0.01)


async def ids(heat: Stacks, stack: Stack) -> dict[str, str]:
    return {each["resource_name"]: each["physical_resource_id"] for each in await heat.resources(stack)}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["dead", "hung"])
async def test_a_tier_is_replaced_and_only_the_one_above_it_is_rewired(
    heat: Stacks, shop: Stack, number: signal.Signals
) -> None:
    url = (await heat.show(shop))["outputs"][0]["output_value"]
    first = await answer(url)
    before = await ids(heat, shop)
    os.kill(first["below"]["api"]["below"]["db"]["pid"], number)
    assert await heat.mark(shop, before["db"], reason="dead") == 200
    assert await heat.update(shop) == 202
    assert await heat.wait(shop) == "UPDATE_COMPLETE"
    after = await ids(heat, shop)
    assert after == before | {"db": after["db"]} != before
    assert not machine.process_alive(before["db"])
    second = await answer(url)
    # api was told in place, web was not told at all, and the answer comes through all three.
    assert second["pid"] == first["pid"]
    assert second["wires"] == first["wires"]
    api = second["below"]["api"]
    assert api["pid"] == first["below"]["api"]["pid"]
    assert api["wires"] != first["below"]["api"]["wires"]
    assert api["below"]["db"]["pid"] == int(after["db"].split(":")[1])


async def test_a_stack_outlives_the_engine(real_heat: RealHeat, heat: Stacks, shop: Stack) -> None:
    before = await ids(heat, shop)
    await asyncio.to_thread(real_heat.restart)
    assert await ids(heat, shop) == before
    assert all(machine.process_alive(each) for each in before.values())
    await heat.delete(shop)
    assert not any(machine.process_alive(each) for each in before.values())


async def test_a_check_finds_what_is_dead(heat: Stacks, shop: Stack) -> None:
    physical_id = (await ids(heat, shop))["web"]
    machine.stop_process(physical_id, patience_s=5)
    status, _ = await heat.request("POST", f"{shop.path}/actions", json={"check": None})
    assert status == 200
    assert await heat.wait(shop) == "CHECK_FAILED"
    found = {each["resource_name"]: each["resource_status"] for each in await heat.resources(shop)}
    assert found == {"db": "CHECK_COMPLETE", "api": "CHECK_COMPLETE", "web": "CHECK_FAILED"}


async def test_a_file_is_changed_in_place_unless_it_is_gone(heat: Stacks) -> None:
    stack = await heat.create("files", (TEMPLATES / "files.yaml").read_text(), parameters=PARAMETERS)
    before = await ids(heat, stack)
    path = (await heat.resource(stack, "settings"))["attributes"]["path"]
    assert machine.read_file(path) == "first"
    assert await heat.update(stack, {"parameters": {"content": "second"}}) == 202
    assert await heat.wait(stack) == "UPDATE_COMPLETE"
    assert await ids(heat, stack) == before
    assert machine.read_file(path) == "second"
    machine.remove_file(path)
    assert await heat.update(stack, {"parameters": {"content": "third"}}) == 202
    assert await heat.wait(stack) == "UPDATE_FAILED"
    assert "is gone" in (await heat.resource(stack, "settings"))["resource_status_reason"]


# openstacksdk 4.22 warns of what it does itself.
@pytest.mark.filterwarnings("ignore::openstack.warnings.RemovedInSDK50Warning")
@pytest.mark.filterwarnings("ignore::openstack.warnings.RemovedInSDK60Warning")
def test_openstacksdk_finds_it_by_clouds_yaml(real_heat: RealHeat) -> None:
    found = OpenStackConfig(config_files=[str(real_heat.clouds_yaml)], load_envvars=False)
    with Connection(config=found.get_one(real_heat.cloud)) as connection:
        answer = connection.orchestration.get("/stacks")
    assert (answer.status_code, answer.url) == (200, f"{real_heat.url}/stacks")


def test_a_heat_that_does_not_start_says_why(real_heat: RealHeat, tmp_path: Path) -> None:
    broken = RealHeat(tmp_path / "broken")
    (broken.directory / "heat.conf").write_text("[database\n")
    with pytest.raises(RuntimeError, match=r"did not start; the end of its log:[\s\S]*heat\.conf"):
        broken.start()
    assert broken.directory != real_heat.directory


@pytest.mark.parametrize("name", SCENARIOS)
async def test_heat_does_what_was_recorded(name: str, real_heat: RealHeat, tmp_path: Path) -> None:
    assert trace.essence(await record(real_heat, name, tmp_path)) == trace.essence(trace.load(name))


def test_every_trace_is_recorded_by_a_scenario() -> None:
    assert {path.stem for path in trace.TRACES.glob("*.json")} == set(SCENARIOS)


def test_a_trace_is_written_so_that_it_reads_back() -> None:
    for name in SCENARIOS:
        assert json.loads(trace.written(trace.load(name))) == trace.load(name)


def test_the_essence_of_a_trace_is_in_what_depends_on_what() -> None:
    recorded = trace.load("two_tiers")
    events = recorded["steps"][-1]["events"]
    rewired = next(at for at, event in enumerate(events) if event["path"] == "api")
    deleted = next(at for at, event in enumerate(events) if event["status"] == "DELETE_IN_PROGRESS")
    assert rewired < deleted
    events.insert(rewired, events.pop(deleted))  # the old db goes before api is told
    assert trace.essence(recorded) != trace.essence(trace.load("two_tiers"))
    group = trace.load("group_member")
    created = group["steps"][1]["events"]
    first = next(at for at, event in enumerate(created) if event["path"] in {"workers/0", "workers/2"})
    created.insert(first + 1, created.pop(first))  # two members, which have nothing to do with each other
    assert trace.essence(group) == trace.essence(trace.load("group_member"))


def test_scenarios_are_played_on_the_templates_that_every_engine_is_given() -> None:
    assert {trace.load(name)["template"] for name in SCENARIOS} <= {path.name for path in TEMPLATES.iterdir()}
