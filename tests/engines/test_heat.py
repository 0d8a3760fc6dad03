"""Heat, a real one: what no other engine has, and what it does that a healer must survive."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from blockbuster import blockbuster_ctx

from healer.clock import BootClock
from healer.core.model import Effect, Incarnation, Root, StackState
from healer.core.step import Failure
from healer.engines.heat import Heat
from healer.ports import Engine, EngineError, Operation, OperationState, Place
from tests.heat.proxy import Proxy
from tests.heat.stacks import Stack, Stacks
from tests.real_heat import RealHeat

VERSION = "2018-08-31"


@pytest.fixture(autouse=True)
def nothing_blocks_the_loop() -> Iterator[None]:
    with blockbuster_ctx(scanned_modules=["healer.engines.heat", "healer.clouds"]):
        yield


def file(content: Any = "x", **more: Any) -> dict[str, Any]:
    return {"type": "Local::File", "properties": {"content": content, **more}}


def template(**resources: Any) -> dict[str, Any]:
    return {"heat_template_version": VERSION, "resources": resources}


CHAIN = template(one=file("1"), two=file({"get_resource": "one"}))


@contextlib.asynccontextmanager
async def engine_at(clouds_yaml: Path, cloud: str = "heat-rig", **options: Any) -> AsyncIterator[Heat]:
    engine = Heat.model_validate({"cloud": cloud, "clouds_yaml": clouds_yaml, **options})
    engine.bind(Place("mine", clouds_yaml.parent, BootClock()))
    try:
        yield engine
    finally:
        await engine.close()


@pytest.fixture
async def engine(real_heat: RealHeat) -> AsyncIterator[Heat]:
    async with engine_at(real_heat.clouds_yaml) as found:
        yield found


@pytest.fixture
async def proxy(real_heat: RealHeat, tmp_path: Path) -> AsyncIterator[tuple[Proxy, Heat]]:
    between = Proxy(real_heat)
    url = await between.start()
    clouds_yaml = tmp_path / "clouds.yaml"
    clouds_yaml.write_text(
        f"clouds: {{heat-rig: {{auth_type: admin_token, auth: {{endpoint: '{url}', token: x}}}}}}"
    )
    async with engine_at(clouds_yaml) as found:
        yield between, found
    await between.stop()


def root_of(stack: Stack) -> Root:
    return Root("mine", "admin", stack.id, stack.name)


async def refused(call: Awaitable[object]) -> EngineError:
    with pytest.raises(EngineError) as caught:
        await call
    return caught.value


async def until_ended(engine: Engine, root: Root, since: str) -> Operation:
    async with asyncio.timeout(60):
        while (found := await engine.operation(root, since)).state in (
            OperationState.NOT_BEGUN,
            OperationState.IN_PROGRESS,
        ):
            await asyncio.sleep(0.02)
    return found


async def incarnation(engine: Engine, root: Root, path: str) -> Incarnation:
    return (await engine.snapshot(root)).resources[path].incarnation


async def marked(engine: Engine, root: Root) -> list[str]:
    return sorted(path for path, each in (await engine.snapshot(root)).resources.items() if each.marked)


# ------------------------------------------------------------------------------------------------ the connection


async def test_it_is_an_engine(engine: Heat) -> None:
    fits: Engine = engine
    assert fits.rebuildable == {"OS::Nova::Server"}
    await engine.start()


async def test_an_unreachable_heat_is_said_to_be(tmp_path: Path) -> None:
    clouds_yaml = tmp_path / "clouds.yaml"
    clouds_yaml.write_text(
        "clouds: {heat-rig: {auth_type: admin_token, auth: {endpoint: 'http://127.0.0.1:9/v1/a', token: x}}}"
    )
    async with engine_at(clouds_yaml) as engine:
        for call in (engine.start(), engine.roots(), engine.snapshot(Root("mine", "p", "id", "name"))):
            caught = await refused(call)
            assert caught.failure is Failure.UNREACHABLE
            assert caught.detail == "cloud heat-rig cannot be reached at 127.0.0.1:9: Connection refused"


async def test_something_else_that_answers_in_heats_place_is_not_believed(tmp_path: Path) -> None:
    async def login(_: web.Request) -> web.Response:
        return web.Response(text="<html>please log in</html>", content_type="text/html")

    async def json(_: web.Request) -> web.Response:
        return web.json_response({"hello": "world"})

    for answer in (login, json):
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        server = TestServer(app)
        await server.start_server()
        clouds_yaml, url = tmp_path / "clouds.yaml", server.make_url("/v1/admin")
        clouds_yaml.write_text(
            f"clouds: {{heat-rig: {{auth_type: admin_token, auth: {{endpoint: '{url}', token: x}}}}}}"
        )
        root = Root("mine", "p", "id", "name")
        async with engine_at(clouds_yaml) as engine:
            for call in (
                engine.start(),
                engine.roots(),
                engine.snapshot(root),
                engine.preview(root, root.id),
            ):
                assert (await refused(call)).failure is Failure.UNREACHABLE
        await server.close()


async def test_a_wrong_cloud_is_said_to_be(real_heat: RealHeat) -> None:
    async with engine_at(real_heat.clouds_yaml, cloud="heat-rag") as engine:
        caught = await refused(engine.start())
    assert caught.failure is Failure.REJECTED
    assert "no cloud named 'heat-rag'; there are: heat-rig" in caught.detail


async def test_a_restarted_engine_of_the_cloud_is_found_again(
    real_heat: RealHeat, heat: Stacks, engine: Heat
) -> None:
    root = root_of(await heat.create("restarted", CHAIN))
    before = await engine.snapshot(root)
    await asyncio.to_thread(real_heat.kill)
    assert (await refused(engine.snapshot(root))).failure is Failure.UNREACHABLE
    await asyncio.to_thread(real_heat.start)
    assert (await engine.snapshot(root)).resources == before.resources


# ------------------------------------------------------------------------------------------------------- listing


async def test_only_stacks_that_are_asked_for_are_listed(real_heat: RealHeat, heat: Stacks) -> None:
    stacks = [await heat.create(name, CHAIN) for name in ("shop-one", "shop-two", "other")]
    async with engine_at(real_heat.clouds_yaml, stacks=["shop-*"]) as engine:
        roots = await engine.roots()
    assert {root.name: root for root in roots} == {each.name: root_of(each) for each in stacks[:2]}


async def test_a_root_whose_name_is_not_known_is_looked_up(heat: Stacks, engine: Heat) -> None:
    root = root_of(await heat.create("nameless", CHAIN))
    unnamed = replace(root, name="")
    assert (await engine.snapshot(unnamed)).resources == (await engine.snapshot(root)).resources
    await engine.mark(unnamed, await incarnation(engine, root, "one"), "healer:test/1: it")
    assert await marked(engine, root) == ["one"]


async def test_a_stack_says_what_it_is(heat: Stacks, engine: Heat) -> None:
    _, made = await heat.request(
        "POST", "/stacks", json={"stack_name": "tagged", "template": CHAIN, "tags": "heal,web"}
    )
    stack = Stack("tagged", made["stack"]["id"])
    await heat.wait(stack)
    snapshot = await engine.snapshot(root_of(stack))
    await heat.request("DELETE", stack.path)
    assert snapshot.tags == {"heal", "web"}
    assert snapshot.created_at is not None
    assert abs((snapshot.taken_at - snapshot.created_at).total_seconds()) < 60
    assert snapshot.updated_at is None


async def test_a_server_is_known_by_its_name_and_all_addresses_of_its_own(
    proxy: tuple[Proxy, Heat], heat: Stacks
) -> None:
    """There is no Nova: a template stands in for the type, and gives as outputs what Nova tells."""
    between, engine = proxy
    ports = [{"addr": address} for address in ("10.0.0.13", "fd00::13")]
    told: dict[str, Any] = dict.fromkeys(
        ("networks", "instance_name", "accessIPv4", "accessIPv6", "console_urls"), "-"
    )
    told |= dict.fromkeys(("tags", "os_collect_config"), "-")
    told |= {"name": "shop-web-x5k3", "first_address": "10.0.0.13", "addresses": {"inner": ports}}
    server = template(disk=file()) | {
        "parameters": {"flavor": {"type": "string"}},
        "outputs": {name: {"value": value} for name, value in told.items()},
    }
    stack = await heat.create(
        "served",
        template(web={"type": "OS::Nova::Server", "properties": {"flavor": "small"}}),
        files={"server.yaml": json.dumps(server)},
        environment={"resource_registry": {"OS::Nova::Server": "server.yaml"}},
    )
    known = {"address": "10.0.0.13", "name": "shop-web-x5k3", "further_addresses": "fd00::13"}
    assert (await engine.snapshot(root_of(stack))).resources["web"].attributes == known
    between.asked.clear()
    assert (await engine.snapshot(root_of(stack))).resources["web"].attributes == known
    assert not [asked for asked in between.asked if "with_attr" in asked], "it is asked again and again"


async def test_a_reading_of_what_has_not_changed_takes_four_requests(
    proxy: tuple[Proxy, Heat], heat: Stacks
) -> None:
    between, engine = proxy
    thing = {"type": "Local::Process", "properties": {"command": "sleep 1000"}}
    group = {"type": "OS::Heat::ResourceGroup", "properties": {"count": 3, "resource_def": thing}}
    root = root_of(await heat.create("cheap", template(group=group, one=thing)))
    first = await engine.snapshot(root)
    between.asked.clear()
    second = await engine.snapshot(root)
    assert len(between.asked) == 4
    assert second.resources == first.resources
    assert second.references == first.references
    between.asked.clear()
    await engine.mark(root, first.resources["one"].incarnation, "healer:test/1: it")
    assert len(between.asked) == 3
    between.asked.clear()
    assert (await engine.snapshot(root)).resources["one"].marked
    assert len(between.asked) == 5  # what was done to one may have changed what it says of itself


async def test_a_new_template_is_read(heat: Stacks, engine: Heat) -> None:
    stack = await heat.create("anew", CHAIN)
    root = root_of(stack)
    assert {each.source for each in (await engine.snapshot(root)).references} == {"two"}
    new = template(
        one=file("1"), two=file({"get_resource": "one"}), three=file({"get_attr": ["two", "path"]})
    )
    assert (await heat.request("PUT", stack.path, json={"template": new}))[0] == 202
    await heat.wait(stack)
    assert {each.source for each in (await engine.snapshot(root)).references} == {"two", "three"}


async def test_an_autoscaling_group_that_grew_is_read(heat: Stacks, engine: Heat) -> None:
    def grown(size: int) -> dict[str, Any]:
        sizes = {"min_size": 1, "max_size": 5, "desired_capacity": size}
        member = file({"get_resource": "net"})
        return template(
            net=file("net"),
            asg={"type": "OS::Heat::AutoScalingGroup", "properties": {**sizes, "resource": member}},
            front=file({"list_join": [",", {"get_attr": ["asg", "refs"]}]}),
        )

    stack = await heat.create("grown", grown(2))
    root = root_of(stack)
    for size in (2, 3):
        await heat.request("PUT", stack.path, json={"template": grown(size)})
        await heat.wait(stack)
        snapshot = await engine.snapshot(root)
        members = {path for path in snapshot.resources if path.startswith("asg/")}
        assert len(members) == size
        assert {each.source for each in snapshot.references if each.target == "net"} == members
        assert {each.target for each in snapshot.references if each.source == "front"} == members
    path = min(path for path in (await engine.snapshot(root)).resources if path.startswith("asg/"))
    old = await incarnation(engine, root, path)
    await engine.mark(root, old, "healer:test/1: it")
    position = await engine.position(root)
    await engine.converge(root)
    assert (await until_ended(engine, root, position)).state is OperationState.COMPLETE
    after = await engine.snapshot(root)
    assert after.resources[path].incarnation.physical_id != old.physical_id
    assert old.physical_id not in (await engine.wires(root, ["front"]))["front"]["content"]


async def test_what_every_update_replaces_is_known_for_it(heat: Stacks, engine: Heat) -> None:
    handle = {"type": "OS::Heat::UpdateWaitConditionHandle"}
    hidden = {"type": "OS::Heat::ResourceGroup", "properties": {"count": 0, "resource_def": file()}}
    root = root_of(await heat.create("handle", template(handle=handle, none=hidden)))
    resources = (await engine.snapshot(root)).resources
    assert resources["handle"].always_replaced
    assert resources["none"].is_stack


async def test_requirements_that_only_heat_knows_of_are_there(heat: Stacks, engine: Heat) -> None:
    root = root_of(await heat.create("needs", template(one=file(), two=dict(file(), depends_on="one"))))
    snapshot = await engine.snapshot(root)
    assert snapshot.resources["two"].requires == ("one",)
    (reference,) = snapshot.references
    assert (reference.property, reference.effect) == ("", Effect.UNCHANGED)


# ------------------------------------------------------------------------------------------------------- marking


def fixed(physical_id: str) -> dict[str, Any]:
    """A resource whose physical id is what the template says."""
    return {"type": "OS::Heat::RandomString", "external_id": physical_id}


@pytest.mark.parametrize("path", ["a", "b", "c", "d"])
async def test_a_physical_id_that_means_more_than_one_is_never_taken_for_another(
    heat: Stacks, engine: Heat, path: str
) -> None:
    """a and b share an id, c's is the name of b, d's cannot stand in a URL."""
    ids = {"a": "same", "b": "same", "c": "b", "d": "with/slash"}
    root = root_of(await heat.create("ids", template(**{name: fixed(each) for name, each in ids.items()})))
    target = await incarnation(engine, root, path)
    assert target.physical_id == ids[path]
    for _ in range(2):
        await engine.mark(root, target, "healer:test/1: it")
        assert await marked(engine, root) == [path]
    await engine.unmark(root, target)
    assert await marked(engine, root) == []


async def test_a_stack_or_a_group_is_never_marked(heat: Stacks, engine: Heat) -> None:
    group = {"type": "OS::Heat::ResourceGroup", "properties": {"count": 1, "resource_def": file()}}
    root = root_of(await heat.create("whole", template(group=group)))
    caught = await refused(engine.mark(root, await incarnation(engine, root, "group"), "healer:test/1: it"))
    assert caught.failure is Failure.REJECTED
    assert await marked(engine, root) == []


async def test_what_is_replaced_between_the_look_and_the_mark_is_left_alone(
    proxy: tuple[Proxy, Heat], heat: Stacks
) -> None:
    between, engine = proxy
    stack = await heat.create("race", CHAIN)
    root = root_of(stack)
    old = await incarnation(engine, root, "one")

    async def replaced(_: web.Request) -> None:
        assert await heat.mark(stack, old.physical_id) == 200
        await heat.update(stack)
        await heat.wait(stack)

    between.before["PATCH /stacks/race/"] = replaced
    assert (await refused(engine.mark(root, old, "healer:test/1: it"))).failure is Failure.STALE
    assert await marked(engine, root) == []


async def test_what_is_replaced_before_a_mark_by_name_is_unmarked_again(
    proxy: tuple[Proxy, Heat], heat: Stacks
) -> None:
    """twin has one's id, so that one can only be marked by name; and then that is another."""
    between, engine = proxy
    stack = await heat.create("race-by-name", template(one=file()))
    root = root_of(stack)
    one = await incarnation(engine, root, "one")
    both = template(one=file(), twin=fixed(one.physical_id))
    assert (await heat.request("PUT", stack.path, json={"template": both}))[0] == 202
    await heat.wait(stack)
    assert await incarnation(engine, root, "one") == one

    async def replaced(_: web.Request) -> None:
        assert await heat.mark(stack, "one") == 200
        await heat.update(stack)
        await heat.wait(stack)

    between.before["PATCH /stacks/race-by-name/"] = replaced
    assert (await refused(engine.mark(root, one, "healer:test/1: it"))).failure is Failure.STALE
    assert between.before == {}
    assert await marked(engine, root) == []
    assert await incarnation(engine, root, "one") != one


async def test_a_nested_stack_that_somebody_updates_alone_is_left_alone(
    real_heat: RealHeat, heat: Stacks, engine: Heat
) -> None:
    """The root says that it is complete all the while."""
    group = {"type": "OS::Heat::ResourceGroup", "properties": {"count": 2, "resource_def": file()}}
    root = root_of(await heat.create("alone", template(group=group, apart=file())))
    before = await engine.snapshot(root)
    nested = await heat.owner(Stack(root.name, root.id), "0", parent="group")
    with real_heat.switched(hold_create=["0"]):
        await heat.mark(nested, before.resources["group/0"].incarnation.physical_id)
        await heat.update(nested)
        await heat.wait_for_resource(nested, "0", "CREATE_IN_PROGRESS")
        during = await engine.snapshot(root)
        assert (during.state, during.busy) == (StackState.COMPLETE, (nested.name,))
        for path in ("group/1", "apart"):
            caught = await refused(engine.mark(root, before.resources[path].incarnation, "healer:test/1: it"))
            assert (caught.failure, nested.name in caught.detail) == (Failure.BUSY, True)
        assert (await refused(engine.converge(root))).failure is Failure.BUSY
    await heat.wait(nested)
    await engine.mark(root, before.resources["apart"].incarnation, "healer:test/1: it")


# ------------------------------------------------------------------------------------------------------- updates


async def test_a_failure_that_is_rolled_back_is_only_told_when_it_is(
    real_heat: RealHeat, heat: Stacks, engine: Heat
) -> None:
    root = root_of(await heat.create("rolls-back", CHAIN, disable_rollback=False))
    await engine.mark(root, await incarnation(engine, root, "one"), "healer:test/1: it")
    position = await engine.position(root)
    with real_heat.switched(fail_create=["one"]):
        await engine.converge(root)
        found = await until_ended(engine, root, position)
    assert found.state is OperationState.FAILED
    assert "one may not be created" in found.detail
    assert "rolled back" in found.detail
    assert (await engine.snapshot(root)).action == "ROLLBACK"


async def test_a_suspended_stack_is_not_converged(heat: Stacks, engine: Heat) -> None:
    stack = await heat.create("asleep", CHAIN)
    await heat.request("POST", f"{stack.path}/actions", json={"suspend": None})
    await heat.wait(stack)
    caught = await refused(engine.converge(root_of(stack)))
    assert caught.failure is Failure.REJECTED
    assert "suspended" in caught.detail


async def test_another_update_that_takes_ours_over_ends_ours(
    real_heat: RealHeat, heat: Stacks, engine: Heat
) -> None:
    stack = await heat.create("taken-over", CHAIN)
    root = root_of(stack)
    await engine.mark(root, await incarnation(engine, root, "one"), "healer:test/1: it")
    position = await engine.position(root)
    with real_heat.switched(hold_create=["one"]):
        await engine.converge(root)
        await heat.wait_for_resource(stack, "one", "CREATE_IN_PROGRESS")
        assert await heat.update(stack) == 202
        assert (await engine.operation(root, position)).state is OperationState.IN_PROGRESS
    assert (await until_ended(engine, root, position)).state is OperationState.COMPLETE


async def test_a_check_that_somebody_asks_for_ends_our_update(
    real_heat: RealHeat, heat: Stacks, engine: Heat
) -> None:
    stack = await heat.create("checked", CHAIN)
    root = root_of(stack)
    await engine.mark(root, await incarnation(engine, root, "one"), "healer:test/1: it")
    position = await engine.position(root)
    with real_heat.switched(hold_create=["one"]):
        await engine.converge(root)
        await heat.wait_for_resource(stack, "one", "CREATE_IN_PROGRESS")
        status, _ = await heat.request("POST", f"{stack.path}/actions", json={"check": None})
        assert status == 200
        found = await until_ended(engine, root, position)
    assert found.state is OperationState.FAILED
    await heat.wait(stack)


async def test_history_that_was_cleared_away_is_not_missed(
    real_heat: RealHeat, heat: Stacks, engine: Heat
) -> None:
    """Heat keeps about a thousand events of a stack."""
    stack = await heat.create("forgetful", CHAIN)
    root = root_of(stack)
    position = await engine.position(root)
    await asyncio.to_thread(_clear_events, real_heat, stack)
    nothing = await engine.position(root)
    assert nothing
    assert (await engine.operation(root, nothing)).state is OperationState.NOT_BEGUN
    assert (await engine.operation(root, position)).state is OperationState.NOT_BEGUN
    assert await engine.wires(root, ["two"]) == {"two": {}}
    await engine.mark(root, await incarnation(engine, root, "one"), "healer:test/1: it")
    await engine.converge(root)
    assert (await until_ended(engine, root, position)).state is OperationState.COMPLETE
    assert (await until_ended(engine, root, nothing)).state is OperationState.COMPLETE
    one = (await incarnation(engine, root, "one")).physical_id
    assert await engine.wires(root, ["two"]) == {"two": {"content": one}}


def _clear_events(real_heat: RealHeat, stack: Stack) -> None:
    with contextlib.closing(sqlite3.connect(real_heat.directory / "heat.sqlite", timeout=30)) as database:
        database.execute("DELETE FROM event WHERE stack_id = ?", (stack.id,))
        database.commit()


async def test_wires_are_those_properties_alone_that_refer_to_others(heat: Stacks, engine: Heat) -> None:
    """Others may be secret, and what is read here is written into the journal."""
    stack = await heat.create(
        "discreet", template(one=file("sesame"), two=file({"get_resource": "one"}, kind="a"))
    )
    root = root_of(stack)
    one = (await incarnation(engine, root, "one")).physical_id
    assert await engine.wires(root, ["one", "two"]) == {"two": {"content": one}}


async def test_a_resource_cannot_be_restarted(heat: Stacks, engine: Heat) -> None:
    root = root_of(await heat.create("restart", CHAIN))
    caught = await refused(engine.power(root, await incarnation(engine, root, "one")))
    assert caught.failure is Failure.REJECTED


async def test_options_that_are_not_there_are_refused(tmp_path: Path) -> None:
    wrong: Mapping[str, Any] = {"cloud": "mine", "clouds_yml": tmp_path}
    with pytest.raises(ValueError, match="clouds_yml"):
        Heat.model_validate(wrong)
    with pytest.raises(ValueError, match="request_timeout"):
        Heat.model_validate({"cloud": "mine", "request_timeout": 90})
