"""What a real Aodh sends to healer's listener, and what healer reads of the same alarms in its API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
import pytest_asyncio

from healer.alarms.aodh import Aodh as Source
from healer.authentication.keystone import Keystone
from healer.clock import BootClock
from healer.core.change import AlarmOutcome
from healer.core.model import Alarm, AlarmStatus, Selector
from healer.core.step import Failure
from healer.ports import Batch, EngineError
from healer.pulling import Pulling
from healer.pulls import _aodh
from healer.pulls.aodh import Aodh as Pull
from healer.receiver.alarms import Source as Door
from tests.aodh.around import GRANULARITY, PROJECT
from tests.aodh.real_aodh import RealAodh, real_aodh
from tests.authentication.senders import PROJECT as TRUSTED_PROJECT
from tests.authentication.senders import SECRET, FakeKeystone
from tests.receiver.desk import NOW as DESK_NOW
from tests.receiver.desk import Desk, opened
from tests.rigs import environment

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(120),
    pytest.mark.real_heat,  # it is installed with it
]

T = TypeVar("T")
WITHIN_S = 30.0
NOW = BootClock().now
SCOPE = "stack=shop&resource=db"


@pytest.fixture(scope="module")
def venv() -> Path:
    """The environment of the real Heat, which has Aodh too."""
    return environment("Aodh")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def aodh(venv: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RealAodh]:
    async with real_aodh(venv, tmp_path_factory.mktemp("aodh")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def desk() -> AsyncIterator[Desk]:
    async with opened(sources={"aodh": Door(Source())}, now=NOW) as desk:
        yield desk


async def until(said: str, ask: Callable[[], Awaitable[T | None]]) -> T:
    """What is answered at last that is not empty."""
    deadline = asyncio.get_running_loop().time() + WITHIN_S
    while not (found := await ask()):
        assert asyncio.get_running_loop().time() < deadline, said
        await asyncio.sleep(0.05)
    return found


async def sent(desk: Desk, alarm: str, state: AlarmStatus) -> list[Alarm]:
    """What has come by itself of this alarm and this state."""

    async def came() -> list[Alarm]:
        filed = [one.alarm for one in await desk.filed()]
        these = [one for one in filed if one.key == alarm and one.status is state]
        return sorted(these, key=lambda one: one.started_at)

    return await until(f"Aodh has not sent that it is {state}", came)


async def pulled(aodh: RealAodh, **options: Any) -> Batch:
    pull = Pull.model_validate({"url": aodh.url, "project": PROJECT} | options)
    try:
        return await pull.pull("aodh", NOW())
    finally:
        await pull.close()


async def read(aodh: RealAodh, alarm: str) -> Alarm:
    [one] = [one for one in (await pulled(aodh)).alarms if one.key == alarm]
    return one


def actions(desk: Desk, query: str = "", scheme: str = "http") -> dict[str, list[str]]:
    url = f"{desk.url.replace('http', scheme, 1)}/v1/alarms/aodh" + (f"?{query}" if query else "")
    return {f"{state}_actions": [url] for state in ("alarm", "ok", "insufficient_data")}


def measured(resource: str) -> dict[str, Any]:
    """A rule: more than 50."""
    return {
        "metric": "cpu_util",
        "resource_id": resource,
        "resource_type": "instance",
        "aggregation_method": "mean",
        "comparison_operator": "gt",
        "threshold": 50.0,
        "granularity": GRANULARITY,
        "evaluation_periods": 1,
    }


def same(read: Alarm, sent: Alarm) -> None:
    """But for what only a notification says, or only the API."""
    assert (read.source, read.key, read.status) == (sent.source, sent.key, sent.status)
    assert (read.selector, read.severity) == (sent.selector, sent.severity)
    assert read.labels == {**sent.labels, "project_id": PROJECT}
    assert read.annotations["summary"] == sent.annotations["summary"]


async def test_a_threshold_s_alarm_is_read_as_it_was_sent_in_each_of_its_states(
    aodh: RealAodh, desk: Desk
) -> None:
    aodh.around.measures["m-1"] = 3.5
    began = NOW()
    key = await aodh.create("gnocchi_resources_threshold", measured("m-1"), **actions(desk, SCOPE))
    created_at = (await aodh.show(key))["state_timestamp"]
    [over] = await sent(desk, key, AlarmStatus.CLEARED)
    assert over.selector == Selector(stack="shop", resource="db")
    assert over.labels == {"alertname": "cpu", "alarm_type": "threshold"}
    assert over.annotations["previous"] == "insufficient data"
    same(first := await read(aodh, key), over)
    aodh.around.measures["m-1"] = 92.5
    [firing] = await sent(desk, key, AlarmStatus.FIRING)
    assert "most recent: 92.5" in firing.annotations["summary"]
    same(second := await read(aodh, key), firing)
    # It is told a little before it is written down, or after, and long after the alarm was created.
    assert began < first.started_at < second.started_at
    assert abs(second.started_at - firing.started_at) < timedelta(seconds=5)
    assert second == replace(
        await read(aodh, key), received_at=second.received_at, expires_at=second.expires_at
    )
    # Which is why the history is asked: this does not say when the state changed.
    assert (await aodh.show(key))["state_timestamp"] == created_at
    del aodh.around.measures["m-1"]
    [unknown] = await sent(desk, key, AlarmStatus.UNKNOWN)
    same(await read(aodh, key), unknown)


async def test_what_is_sent_without_a_scope_is_found_by_what_is_read(aodh: RealAodh, desk: Desk) -> None:
    aodh.around.measures["db-1"] = 99.0
    key = await aodh.create("gnocchi_resources_threshold", measured("db-1"), **actions(desk))
    [firing] = await sent(desk, key, AlarmStatus.FIRING)
    assert firing.selector == Selector()
    # The desk's clock is years ahead.
    found = replace(await read(aodh, key), expires_at=None)
    assert found.selector == Selector(physical_id="db-1")
    assert await desk.runner.accept((found,)) == (True,)
    assert {one.alarm.identity: one.outcome for one in await desk.filed()} == {
        firing.identity: AlarmOutcome.UNMATCHED,
        found.identity: AlarmOutcome.MATCHED,
    }
    # Read again a minute later it is nothing new; nor after it was sent: one alarm, one incident.
    assert await desk.runner.accept((await read(aodh, key),)) == (False,)
    again = replace(
        firing, selector=Selector(stack="shop", resource="db"), started_at=DESK_NOW + timedelta(hours=1)
    )
    await desk.runner.accept((again,))
    await desk.thought()
    [incident] = desk.runner.kernel.state.incidents.values()
    assert incident.alarms == {f"alarm:aodh:{key}": True}


async def test_what_was_sent_to_nobody_begins_and_ends_by_what_is_read(aodh: RealAodh, desk: Desk) -> None:
    """Aodh sends once. Where healer should have listened, nobody did."""
    nowhere = {f"{state}_actions": ["http://127.0.0.1:9/v1/alarms/aodh"] for state in ("alarm", "ok")}
    aodh.around.measures["web-1"] = 99.0
    key = await aodh.create("gnocchi_resources_threshold", measured("web-1"), **nowhere)
    # The desk's clock is years ahead.
    pull = Pull(url=aodh.url, project=PROJECT, expires_after=None)
    counted: list[tuple[bool, ...]] = []
    reads = Pulling("aodh", pull, desk.runner.accept, NOW, lambda _source, _batch, new: counted.append(new))

    async def became(state: str) -> bool:
        """Written down after the state itself is."""
        history = await aodh.call("GET", f"/v2/alarms/{key}/history?limit=1")
        return bool(json.loads(history[0]["detail"])["state"] == state)

    await until("Aodh has not seen it", lambda: became("alarm"))
    await reads.read()
    await desk.thought()
    mine = [one for one in desk.runner.kernel.state.incidents.values() if one.target.path == "web"]
    assert [one.alarms for one in mine] == [{f"alarm:aodh:{key}": True}]
    aodh.around.measures["web-1"] = 3.5
    await until("Aodh has not seen its end", lambda: became("ok"))
    await reads.read()
    await reads.read()
    await desk.thought()
    assert not [one for one in desk.runner.kernel.state.incidents.values() if one.target.path == "web"]
    assert [sum(new) for new in counted][1:] == [1, 0]
    assert {one.outcome for one in await desk.filed() if one.alarm.key == key} == {AlarmOutcome.MATCHED}
    await pull.close()


async def test_an_event_names_the_server_and_when_it_was(aodh: RealAodh, desk: Desk) -> None:
    equal = {"op": "eq", "type": "string"}
    query = [{"field": "traits.state", "value": "error", **equal}]
    wanted = {"event_type": "compute.instance.update", "query": query}
    named = {
        **wanted,
        "query": [*query, {"field": "traits.instance_id", "value": "db-1", **equal}],
    }
    keys = [await aodh.create("event", rule, **actions(desk)) for rule in (wanted, named)]
    event = await aodh.publish("compute.instance.update", instance_id="db-1", state="error")
    [any_server], [one_server] = [await sent(desk, key, AlarmStatus.FIRING) for key in keys]
    for firing in (any_server, one_server):
        assert firing.selector == Selector(physical_id="db-1")
        assert firing.started_at.isoformat() == "2026-11-22T08:00:01+00:00"
        assert firing.annotations["message_id"] == event["message_id"]
        assert firing.expires_at is not None
    # What its rule asks for is all that the API knows of an event.
    assert (await read(aodh, keys[0])).selector == Selector()
    found = await read(aodh, keys[1])
    assert (found.selector, found.labels["event_type"]) == (one_server.selector, "compute.instance.update")
    assert found.expires_at is not None
    assert abs(found.started_at + timedelta(hours=1) - found.expires_at) < timedelta(milliseconds=1)
    assert abs(found.started_at - NOW()) < timedelta(seconds=WITHIN_S)


async def test_a_composite_alarm_is_about_what_its_rules_measure(aodh: RealAodh, desk: Desk) -> None:
    aodh.around.measures["m-2"] = 92.5
    rule = {"type": "gnocchi_resources_threshold"} | measured("m-2")
    both = {"or": [rule, rule | {"metric": "memory"}]}
    key = await aodh.create("composite", both, **actions(desk))
    [firing] = await sent(desk, key, AlarmStatus.FIRING)
    assert firing.selector == Selector(physical_id="m-2")
    assert firing.labels["alarm_type"] == "composite"
    same(await read(aodh, key), firing)


async def test_a_load_balancer_s_members_are_known_by_their_addresses(aodh: RealAodh, desk: Desk) -> None:
    member = {
        "id": "957a1ace-1bd2-449b-8455-820b6e4b63f3",
        "address": "10.0.0.7",
        "protocol_port": 80,
        "operating_status": "ERROR",
        "admin_state_up": True,
        "created_at": "2026-01-01T00:00:00",
    }
    rule = {"pool_id": "p-1", "stack_id": "s-1", "autoscaling_group_id": "asg"}
    key = await aodh.create("loadbalancer_member_health", rule, **actions(desk))
    [over] = await sent(desk, key, AlarmStatus.CLEARED)
    assert over.selector == Selector(stack="s-1", resource="asg")
    same(await read(aodh, key), over)
    aodh.around.members["p-1"] = [member | {"address": "10.0.0.6"}, member]
    firing = await sent(desk, key, AlarmStatus.FIRING)
    assert [one.selector for one in firing] == [
        Selector(stack="s-1", address="10.0.0.6:80"),
        Selector(stack="s-1", address="10.0.0.7:80"),
    ]
    # Of all that fail, Aodh keeps the last.
    found = await read(aodh, key)
    assert (found.selector, found.labels["pool_id"]) == (firing[1].selector, "p-1")


async def test_trust_http_shows_a_token_that_keystone_verifies(aodh: RealAodh, tmp_path: Path) -> None:
    keystone = FakeKeystone()
    await keystone.start()
    try:
        clouds = tmp_path / "clouds.yaml"
        await asyncio.to_thread(clouds.write_text, keystone.clouds_yaml())
        keystone.tokens[SECRET]["expires_at"] = (NOW() + timedelta(hours=1)).isoformat()
        way = Keystone(cloud="mine", clouds_yaml=clouds, projects=frozenset({TRUSTED_PROJECT}))
        async with opened(sources={"aodh": Door(Source(), (way,))}, now=NOW) as desk:
            aodh.around.trusted, aodh.around.measures["m-3"] = SECRET, 92.5
            rule = measured("m-3")
            key = await aodh.create("gnocchi_resources_threshold", rule, **actions(desk, SCOPE, "trust+http"))
            [firing] = await sent(desk, key, AlarmStatus.FIRING)
            assert keystone.asked == [SECRET] * len(keystone.asked) != []
            same(await read(aodh, key), firing)
    finally:
        await keystone.stop()
        await way.close()


async def test_only_alarms_that_are_enabled_and_sent_to_healer_are_read(
    aodh: RealAodh, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = {"event_type": "nothing.of.the.kind"}
    there = await aodh.create("event", rule, **actions(desk, SCOPE))
    off = await aodh.create("event", rule, enabled=False, **actions(desk, SCOPE))
    elsewhere = await aodh.create("event", rule, alarm_actions=["http://127.0.0.1:9/v1/alarms/other"])
    monkeypatch.setattr(_aodh, "PAGE", 2)
    usual = [one.key for one in (await pulled(aodh)).alarms]
    everything = [one.key for one in (await pulled(aodh, all=True)).alarms]
    assert there in usual
    assert elsewhere in everything
    assert not {off, elsewhere} & set(usual)
    assert off not in everything
    assert len(set(everything)) == len(everything) > 3
    assert (await pulled(aodh, project="another", all=True)).alarms == ()
    others = (await pulled(aodh, project="another", all=True, all_projects=True)).alarms
    assert [one.key for one in others] == everything


async def test_it_is_read_through_keystone_with_a_new_token_where_the_old_one_counts_no_more(
    aodh: RealAodh, desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aodh.around.measures["m-4"] = 92.5
    key = await aodh.create("gnocchi_resources_threshold", measured("m-4"), **actions(desk, SCOPE))
    await sent(desk, key, AlarmStatus.FIRING)
    clouds = tmp_path / "clouds.yaml"
    await asyncio.to_thread(clouds.write_text, aodh.around.clouds_yaml())
    pull = Pull(cloud="mine", clouds_yaml=clouds)
    try:
        for _ in range(2):
            alarms = {one.key: one for one in (await pull.pull("aodh", NOW())).alarms}
            assert alarms[key].identity == (await read(aodh, key)).identity
            aodh.around.tokens.clear()
        monkeypatch.setattr(aodh.around, "aodh", aodh.around.url + "/nowhere")
        with pytest.raises(EngineError, match="cloud mine: GET /v2/alarms: 404") as caught:
            await pull.pull("aodh", NOW())
        assert caught.value.failure is Failure.REJECTED
    finally:
        await pull.close()
