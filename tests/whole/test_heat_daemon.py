"""The daemon on a real Heat: what it heals there, what it leaves alone, and what becomes of it when Heat dies."""

from __future__ import annotations

import signal
from urllib.parse import quote

import pytest

from healer.engines.local import machine
from tests.heat.proxy import Proxy
from tests.heat.stacks import Stack
from tests.whole.daemon import CLOUD, policy
from tests.whole.scene import Place, Scene, changed, kill

pytestmark = pytest.mark.timeout(240)

HEALTHZ = [{"http": {"url": "http://{address}:{port}/healthz"}, "interval": "500ms"}]
"""It does not look below: what fails is the cause, and nothing else."""


# ------------------------------------------------------------------------------------------------- what it heals


@pytest.mark.parametrize(
    ("template", "path", "place"),
    [
        pytest.param("three_tier", "web", ("", "web"), id="a leaf"),
        pytest.param("three_tier", "db", ("", "db"), id="a cause"),
        pytest.param("deep", "tiers/data/db", ("data", "db"), id="two stacks down"),
        pytest.param("group", "workers/1", ("workers", "1"), id="in a group"),
    ],
)
async def test_what_a_probe_finds_dead_is_replaced_and_nothing_else(
    scene: Scene, template: str, path: str, place: Place
) -> None:
    stack = await scene.make(template)
    before = await scene.ids(stack)
    async with scene.daemon(stack) as daemon:
        await daemon.start()
        kill((await daemon.healthy())[path])
        incident = await daemon.healed(path)
        await daemon.healthy()
    assert incident["source"] == "probe:http"
    after = await scene.ids(stack)
    assert changed(before, after) == {place}
    assert after[place] == incident["successor"]
    assert await scene.marked(stack) == []
    assert (await scene.happened(stack))[stack.name, "UPDATE_COMPLETE"] == 1
    await wired(scene, stack)


async def wired(scene: Scene, stack: Stack) -> None:
    """Whoever refers to another has been told where that one listens now."""
    resources = await scene.listed(stack)
    if ("", "web") in resources:
        assert await scene.told(stack, "web") == {"api": await scene.where(stack, "api")}
    if ("", "front") in resources:
        group = await scene.heat.owner(stack, "0", parent="workers")
        ports = [(await scene.where(group, str(n))).rpartition(":")[2] for n in range(3)]
        assert [str(port) for port in (await scene.told(stack, "front"))["workers"]] == ports
    else:
        owner = await scene.heat.owner(stack, "db", parent="data" if ("data", "db") in resources else "")
        assert await scene.told(stack, "api") == {"db": await scene.where(owner, "db")}


async def test_what_hangs_is_replaced_and_ended(scene: Scene) -> None:
    stack = await scene.make("three_tier")
    before = await scene.ids(stack)
    async with scene.daemon(stack, policy(detect={"probes": HEALTHZ})) as daemon:
        await daemon.start()
        kill((await daemon.healthy())["api"], signal.SIGSTOP)
        incident = await daemon.healed("api")
        await daemon.healthy()
        assert [one["resource"] for one in await daemon.incidents()] == ["api"]
    assert incident["symptom"] == "timed_out"
    assert changed(before, await scene.ids(stack)) == {("", "api")}
    assert not machine.process_alive(before["", "api"])
    await wired(scene, stack)


async def test_two_of_a_group_that_die_together_are_replaced_by_one_update(scene: Scene) -> None:
    stack = await scene.make("group")
    before = await scene.ids(stack)
    async with scene.daemon(stack, policy(detect={"settle_for": "2s"})) as daemon:
        await daemon.start()
        found = await daemon.healthy()
        for path in ("workers/0", "workers/2"):
            kill(found[path])
        incidents = [await daemon.healed(path) for path in ("workers/0", "workers/2")]
        await daemon.healthy()
    assert len({incident["repair"] for incident in incidents}) == 1
    assert changed(before, await scene.ids(stack)) == {("workers", "0"), ("workers", "2")}
    assert (await scene.happened(stack))[stack.name, "UPDATE_IN_PROGRESS"] == 1
    await wired(scene, stack)


@pytest.mark.slow
async def test_what_somebody_marks_is_replaced_where_the_engine_is_watched(scene: Scene) -> None:
    stack = await scene.make("deep")
    before = await scene.ids(stack)
    detect = {"watchers": ["engine"], "fail_after": 2, "startup_grace": "1s"}
    watching = {**policy(), "detect": detect, "verify": {"by": "engine"}}
    async with scene.daemon(stack, watching) as daemon:
        await daemon.start()
        await daemon.healthy("tiers/data/db")
        owner = await scene.heat.owner(stack, "db", parent="data")
        assert await scene.heat.mark(owner, before["data", "db"], reason="it smells") == 200
        incident = await daemon.healed("tiers/data/db")
    assert incident["source"] == "watcher:engine"
    assert "it smells" in incident["detail"]
    assert changed(before, await scene.ids(stack)) == {("data", "db")}
    assert await scene.marked(stack) == []


async def test_what_an_operator_asks_for_is_healed_though_it_is_well_and_the_policy_only_observes(
    scene: Scene,
) -> None:
    stack = await scene.make("three_tier")
    before = await scene.ids(stack)
    async with scene.daemon(stack, policy(mode="observe")) as daemon:
        await daemon.start()
        await daemon.healthy()
        request = {"stack": stack.name, "resource": "api", "why": "its disk is slow"}
        said = await daemon.post("/v1/heals", request)
        incident = await daemon.healed("api")
        await daemon.healthy()
    assert incident["id"] == said["incident"]["id"]
    assert incident["requested_by"]["why"] == "its disk is slow"
    assert "observe" in incident["requested_by"]["overrides"]
    assert changed(before, await scene.ids(stack)) == {("", "api")}
    await wired(scene, stack)


@pytest.mark.slow
async def test_a_replacement_that_cannot_be_made_is_made_by_the_next_remediation(scene: Scene) -> None:
    stack = await scene.make("three_tier")
    before = await scene.ids(stack)
    rungs = [{"action": "replace", "timeout": "60s"}, {"action": "replace", "timeout": "60s"}]
    async with scene.daemon(stack, policy(remediations=rungs)) as daemon:
        await daemon.start()
        found = await daemon.healthy()
        with scene.real.switched(fail_one_create=["db"]):
            kill(found["db"])
            incident = await daemon.healed("db")
        await daemon.healthy()
        kinds = [entry["kind"] for entry in await daemon.story(incident["id"])]
    assert {"incident.climbed", "incident.emptied"} <= set(kinds)
    assert changed(before, await scene.ids(stack)) == {("", "db")}
    happened = await scene.happened(stack)
    assert (happened["db", "CREATE_FAILED"], happened["db", "CREATE_COMPLETE"]) == (1, 2)
    assert await scene.marked(stack) == []
    await wired(scene, stack)


async def test_what_cannot_be_replaced_is_told_of_and_nothing_stays_marked(scene: Scene) -> None:
    stack = await scene.make("three_tier")
    async with scene.daemon(stack) as daemon:
        await daemon.start()
        found = await daemon.healthy()
        with scene.real.switched(fail_create=["db"]):
            kill(found["db"])
            incident = await daemon.incident("db", state="exhausted")
            assert "still fails" in await daemon.tail()
            # Whoever mends what was in the way, and updates the stack, ends it.
            updates = (await scene.happened(stack))[stack.name, "UPDATE_IN_PROGRESS"]
            assert updates == 1
            assert await scene.marked(stack) == []
        assert await scene.heat.update(stack) == 202
        assert await scene.heat.wait(stack) == "UPDATE_COMPLETE"
        ended = await daemon.incident("db", outcome="superseded")
        assert ended["id"] == incident["id"]
        await daemon.healthy()
    await wired(scene, stack)


async def test_a_heal_costs_heat_few_calls_and_no_more_than_it_must(scene: Scene) -> None:
    """Some thirty for three tiers; four for each reading of a stack, and what each look after the update costs."""
    stack = await scene.make("three_tier")
    between = Proxy(scene.real)
    url = await between.start()
    try:
        # A repair reads the stack by itself: it waits for no refresh.
        async with scene.daemon(stack, url=url, engine={"refresh": "10m"}) as daemon:
            await daemon.start()
            found = await daemon.healthy()
            between.asked.clear()
            kill(found["db"])
            await daemon.healed("db")
            asked = list(between.asked)
    finally:
        await between.stop()
    changing = [each for each in asked if not each.startswith("GET ")]
    db = found["db"]["physical_id"]
    assert changing == [
        f"PATCH {stack.path}/preview",
        f"PATCH {stack.path}/resources/{quote(db, safe='')}",
        f"PATCH {stack.path}/preview",
        f"PATCH {stack.path}",
    ]
    looks = sum("events" in each and "limit=10" in each for each in asked)
    assert len(asked) - 2 * looks <= 30


# ------------------------------------------------------------------------------------------- whose it is not


async def test_while_a_person_updates_the_stack_nothing_is_touched(scene: Scene) -> None:
    stack = await scene.make("three_tier")
    before = await scene.ids(stack)
    async with scene.daemon(stack) as daemon:
        await daemon.start()
        found = await daemon.healthy()
        with scene.real.switched(hold_create=["web"]):
            assert await scene.heat.mark(stack, before["", "web"], reason="a person's") == 200
            assert await scene.heat.update(stack) == 202
            await scene.heat.wait_for_resource(stack, "web", "CREATE_IN_PROGRESS")
            kill(found["db"])
            held = await daemon.incident("db", state="held", refusal="stack_busy")
            assert stack.name in held["refusal"]["sentence"]
            assert not await scene.marked(stack)
            during = await scene.happened(stack)
        incident = await daemon.healed("db")
        await daemon.healthy()
    assert during[stack.name, "UPDATE_IN_PROGRESS"] == 1
    after = await scene.happened(stack)
    assert after[stack.name, "UPDATE_IN_PROGRESS"] == 2
    assert changed(before, await scene.ids(stack)) == {("", "db"), ("", "web")}
    assert (await scene.ids(stack))["", "db"] == incident["successor"]
    await wired(scene, stack)


async def test_what_somebody_else_has_replaced_meanwhile_is_left_alone(scene: Scene) -> None:
    stack = await scene.make("three_tier")
    before = await scene.ids(stack)
    async with scene.daemon(stack) as daemon:
        await daemon.start()
        found = await daemon.healthy()
        await daemon.post("/v1/pauses", {"scope": f"stack:{stack.name}", "why": "I do it myself"})
        kill(found["db"])
        await daemon.incident("db", state="held", refusal="paused")
        assert await scene.heat.mark(stack, before["", "db"], reason="a person's") == 200
        assert await scene.heat.update(stack) == 202
        await daemon.incident("db", outcome="superseded")
        await daemon.delete(f"/v1/pauses/stack:{stack.name}")
        await daemon.healthy()
        assert not await daemon.incidents(still_open=True)
        assert len(await daemon.incidents("db")) == 1
    assert changed(before, await scene.ids(stack)) == {("", "db")}
    happened = await scene.happened(stack)
    assert happened["db", "CREATE_COMPLETE"] == 2
    assert happened[stack.name, "UPDATE_IN_PROGRESS"] == 1


async def test_a_check_of_the_stack_by_a_person_is_no_change_to_it(scene: Scene) -> None:
    """What they find dead by it is healed, though the stack is CHECK_FAILED now."""
    stack = await scene.make("three_tier")
    before = await scene.ids(stack)
    async with scene.daemon(stack) as daemon:
        await daemon.start()
        found = await daemon.healthy()
        await daemon.post("/v1/pauses", {"scope": "all", "why": "I look first"})
        kill(found["db"])
        await scene.check(stack)
        assert (await scene.heat.show(stack))["stack_status"] == "CHECK_FAILED"
        await daemon.delete("/v1/pauses/all")
        await daemon.healed("db")
        await daemon.healthy()
    assert changed(before, await scene.ids(stack)) == {("", "db")}
    await wired(scene, stack)


@pytest.mark.parametrize(
    ("switch", "status"), [("fail_create", "CHECK_FAILED"), ("fail_delete", "CHECK_COMPLETE")]
)
async def test_a_check_of_the_stack_hides_no_update_that_failed(
    scene: Scene, switch: str, status: str
) -> None:
    """A heal would finish it: that is up to whoever began it."""
    stack = await scene.make("three_tier")
    before = await scene.ids(stack)
    async with scene.daemon(stack) as daemon:
        await daemon.start()
        found = await daemon.healthy()
        await daemon.post("/v1/pauses", {"scope": "all", "why": "I change it"})
        with scene.real.switched(**{switch: ["web"]}):
            assert await scene.heat.mark(stack, before["", "web"]) == 200
            assert await scene.heat.update(stack) == 202
            assert await scene.heat.wait(stack) == "UPDATE_FAILED"
        await scene.check(stack)
        assert (await scene.heat.show(stack))["stack_status"] == status
        kill(found["db"])
        await daemon.delete("/v1/pauses/all")
        await daemon.incident("db", refusal="foreign_changes")
    assert (await scene.happened(stack))[stack.name, "UPDATE_IN_PROGRESS"] == 1
    assert (await scene.ids(stack))["", "db"] == before["", "db"]


# ---------------------------------------------------------------------------------------------- Heat itself dies


@pytest.mark.slow
async def test_a_heat_that_is_down_at_the_start_is_waited_for(scene: Scene) -> None:
    stack = await scene.make("three_tier")
    before = await scene.ids(stack)
    dead = next(one for one in await scene.heat.resources(stack) if one["resource_name"] == "db")
    await scene.kill_heat()
    try:
        async with scene.daemon(stack) as daemon:
            await daemon.start()
            (cloud,) = (await daemon.status())["clouds"]
            assert cloud["name"] == CLOUD
            assert cloud["why"]
            kill({"physical_id": dead["physical_resource_id"]})

            async def refused() -> bool:
                (cloud,) = (await daemon.status())["clouds"]
                return "Connection refused" in cloud["why"]

            await daemon.until(refused, "the daemon to say that Heat is down")
            assert await daemon.resources() == {}
            assert await daemon.incidents() == []
            await scene.start_heat()
            await daemon.healed("db")
            await daemon.healthy()
    finally:
        await scene.restart_heat()
    assert changed(before, await scene.ids(stack)) == {("", "db")}
    assert await scene.marked(stack) == []
    await wired(scene, stack)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("switch", "long"),
    [
        pytest.param("hold_create", False, id="before the new one is there"),
        pytest.param("hold_delete", False, id="before the old one is gone"),
        pytest.param("hold_create", True, id="and stays dead for long"),
    ],
)
async def test_a_heat_that_dies_in_the_middle_of_the_update_is_asked_for_it_once_more(
    scene: Scene, switch: str, *, long: bool
) -> None:
    """Heat never goes on by itself with what was in progress when it was killed."""
    stack = await scene.make("three_tier")
    before = await scene.ids(stack)
    rungs = [{"action": "replace", "timeout": "8s" if long else "15s"}, {"action": "notify"}]
    async with scene.daemon(stack, policy(remediations=rungs)) as daemon:
        await daemon.start()
        found = await daemon.healthy()
        try:
            with scene.real.switched(**{switch: ["db"]}):
                kill(found["db"])
                doing = "CREATE" if switch == "hold_create" else "DELETE"
                await daemon.at("follow", f"db {doing}_IN_PROGRESS")
                await scene.kill_heat()
            if long:  # Longer than the update may take: it is asked for while nobody answers.
                await daemon.at("converge")
        finally:
            await scene.restart_heat()
        assert (await scene.heat.show(stack))["stack_status"] == "UPDATE_IN_PROGRESS"
        incident = await daemon.healed("db")
        await daemon.healthy()
        kinds = [entry["kind"] for entry in await daemon.story(incident["id"])]
    assert kinds.count("repair.resuming") == 1
    assert (await scene.heat.show(stack))["stack_status"] == "UPDATE_COMPLETE"
    assert (await scene.happened(stack))[stack.name, "UPDATE_IN_PROGRESS"] == 2
    assert await scene.marked(stack) == []
    assert changed(before, await scene.ids(stack)) == {("", "db")}
    await wired(scene, stack)
