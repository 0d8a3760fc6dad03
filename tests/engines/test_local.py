"""The embedded engine on this machine: real processes, real files, and what the port promises of them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from blockbuster import blockbuster_ctx

from healer.core.model import Health, Incarnation, Root, StackState, Symptom
from healer.core.step import Failure
from healer.engines.local import Local
from healer.ports import Engine, EngineError, OperationState
from tests.engines.shop import (
    Clock,
    answer,
    converge,
    delete,
    heal,
    kill,
    local,
    pid_of,
    processes,
    running,
    template,
    there,
)


@pytest.fixture(autouse=True)
def nothing_blocks_the_loop() -> Iterator[None]:
    with blockbuster_ctx(scanned_modules="healer"):
        yield


@pytest.fixture
def engine(tmp_path: Path) -> Local:
    return local(tmp_path / "state", {"shop": template(tmp_path)})


@pytest.fixture
async def root(engine: Local) -> AsyncIterator[Root]:
    async with running(engine) as found:
        yield found


def test_it_is_an_engine(engine: Local) -> None:
    fits: Engine = engine
    assert fits.rebuildable == {"Local::Process"}


async def test_a_stack_is_created_at_start_and_each_process_finds_the_one_below(
    engine: Local, root: Root
) -> None:
    snapshot = await engine.snapshot(root)
    assert (root.cloud, root.project, root.name) == ("here", "local", "shop")
    assert (snapshot.action, snapshot.state) == ("CREATE", StackState.COMPLETE)
    assert snapshot.resources["api"].requires == ("db",)
    assert snapshot.resources["db"].fixed == {"port", "address"}
    assert {resource.condition for resource in snapshot.resources.values()} == {Health.HEALTHY}
    seen = await answer(snapshot, "web")
    assert seen["below"]["api"]["below"]["db"]["pid"] == pid_of(snapshot, "db")
    assert set(processes(root.id)) == {pid_of(snapshot, path) for path in ("db", "api", "web")}


async def test_a_killed_process_is_replaced_and_what_needs_it_is_rewired_in_place(
    engine: Local, root: Root
) -> None:
    before = await engine.snapshot(root)
    await kill(engine, root, "db")
    broken = (await engine.snapshot(root)).resources["db"]
    assert (broken.condition, broken.condition_symptom) == (Health.UNHEALTHY, Symptom.GONE)
    assert (await heal(engine, root, "db")).state is OperationState.COMPLETE
    after = await engine.snapshot(root)
    assert pid_of(after, "db") != pid_of(before, "db")
    assert after.resources["db"].attributes["port"] != before.resources["db"].attributes["port"]
    assert [pid_of(after, path) for path in ("api", "web")] == [
        pid_of(before, path) for path in ("api", "web")
    ]
    assert after.resources["web"].action == "CREATE"
    seen = await answer(after, "web")
    assert seen["below"]["api"]["below"]["db"]["pid"] == pid_of(after, "db")
    wires = await engine.wires(root, ["api", "web", "nobody"])
    there = "{address}:{port}".format(**after.resources["db"].attributes)
    assert json.loads(wires["api"]["wires"]) == {"db": there}
    assert set(wires) == {"api", "web"}


async def test_a_process_that_hangs_is_there_and_its_successor_takes_its_place(
    engine: Local, root: Root
) -> None:
    await kill(engine, root, "db", signal.SIGSTOP)
    snapshot = await engine.snapshot(root)
    assert snapshot.resources["db"].condition is Health.HEALTHY
    assert (await heal(engine, root, "db")).state is OperationState.COMPLETE
    assert pid_of(snapshot, "db") not in processes(root.id)


async def test_a_deleted_file_is_written_anew_elsewhere_and_those_that_name_it_follow(tmp_path: Path) -> None:
    engine = local(tmp_path / "state", {"shop": template(tmp_path, "files.yaml")})
    async with running(engine) as root:
        before = await engine.snapshot(root)
        os.unlink(before.resources["settings"].attributes["path"])  # noqa: PTH108
        lost = (await engine.snapshot(root)).resources["settings"]
        assert (lost.condition, lost.condition_symptom) == (Health.UNHEALTHY, Symptom.GONE)
        await heal(engine, root, "settings")
        after = await engine.snapshot(root)
        new = after.resources["settings"]
        assert new.attributes["path"] != before.resources["settings"].attributes["path"]
        wires = await engine.wires(root, ["index", "reader", "settings"])
        assert wires["index"]["content"] == new.incarnation.physical_id
        assert json.loads(wires["reader"]["wires"]) == {"settings": new.attributes["path"]}
        assert wires["settings"] == {"content": "first", "kind": "settings"}
        os.unlink(new.attributes["path"])  # noqa: PTH108
        assert "content" not in (await engine.wires(root, ["settings"]))["settings"]


async def test_members_of_groups_and_nested_stacks_are_healed_from_the_root(tmp_path: Path) -> None:
    for name, path, dependent in [("group.yaml", "workers/1", "front"), ("nested.yaml", "data/db", "api")]:
        engine = local(tmp_path / f"state-{name}", {"shop": template(tmp_path, name)})
        async with running(engine) as root:
            before = await engine.snapshot(root)
            await kill(engine, root, path)
            owner = before.resources[path].incarnation.stack
            assert owner != root.id
            assert await engine.preview(root, owner) == set()
            await engine.mark(root, before.resources[path].incarnation, "healer:test/1: it fails")
            assert await engine.preview(root, owner) == {path.rpartition("/")[2]}
            assert await engine.preview(root, root.id) == set()
            assert (await converge(engine, root)).state is OperationState.COMPLETE
            after = await engine.snapshot(root)
            wires = (await engine.wires(root, [dependent]))[dependent]["wires"]
            assert after.resources[path].attributes["port"] in wires
            assert before.resources[path].attributes["port"] not in wires
            assert pid_of(after, dependent) == pid_of(before, dependent)


# --------------------------------------------------------------------------------------------- what is refused


async def test_a_mark_is_refused_for_what_has_been_replaced_since(engine: Local, root: Root) -> None:
    old = (await engine.snapshot(root)).resources["db"].incarnation
    await heal(engine, root, "db")
    for wrong in (
        old,
        Incarnation(old.stack, "api", old.physical_id),
        Incarnation("x", "db", old.physical_id),
    ):
        for call in (engine.mark(root, wrong, "healer:x"), engine.unmark(root, wrong)):
            with pytest.raises(EngineError) as caught:
                await call
            assert caught.value.failure is Failure.STALE
    assert not any(resource.marked for resource in (await engine.snapshot(root)).resources.values())


async def test_a_mark_that_is_taken_back_leaves_nothing_to_do(engine: Local, root: Root) -> None:
    before = await engine.snapshot(root)
    incarnation = before.resources["db"].incarnation
    for _ in range(2):
        await engine.mark(root, incarnation, "healer:test/1: why")
    marked = (await engine.snapshot(root)).resources["db"]
    assert marked.marked
    assert marked.reason == "healer:test/1: why"
    for _ in range(2):
        await engine.unmark(root, incarnation)
    assert (await converge(engine, root)).state is OperationState.COMPLETE
    after = await engine.snapshot(root)
    assert {p: r.incarnation for p, r in after.resources.items()} == {
        p: r.incarnation for p, r in before.resources.items()
    }


async def test_while_an_update_is_in_progress_there_is_neither_a_mark_nor_another_update(
    tmp_path: Path,
) -> None:
    engine = local(
        tmp_path / "state", {"shop": template(tmp_path, "stubborn.yaml")}, clock=(clock := Clock())
    )
    (tmp_path / "stubborn.yaml").write_text(
        "heat_template_version: 2018-08-31\n"
        "resources: {db: {type: Local::Process, properties: {command: "
        f"[{sys.executable}, -S, -c, 'import signal, time; signal.signal(15, signal.SIG_IGN); "
        'open("{ready}", "w"); time.sleep(600)\']}}}\n'.replace("{ready}", str(tmp_path / "ready"))
    )
    async with running(engine) as root:
        await there(tmp_path / "ready")
        snapshot = await engine.snapshot(root)
        await engine.mark(root, snapshot.resources["db"].incarnation, "healer:x")
        since = await engine.position(root)
        await engine.converge(root)
        assert (await engine.operation(root, since)).state is OperationState.IN_PROGRESS
        current = await engine.snapshot(root)
        assert current.busy == ("shop",)
        assert current.resources["db"].incarnation != snapshot.resources["db"].incarnation
        for call in (
            engine.converge(root),
            engine.mark(root, current.resources["db"].incarnation, "healer:x"),
            engine.unmark(root, current.resources["db"].incarnation),
        ):
            with pytest.raises(EngineError) as caught:
                await call
            assert caught.value.failure is Failure.BUSY
        # It ignores SIGTERM, so it is killed once it has had its time.
        clock.ahead += timedelta(seconds=6)
        async with asyncio.timeout(10):
            while (await engine.operation(root, since)).state is OperationState.IN_PROGRESS:
                await asyncio.sleep(0.02)
        assert pid_of(snapshot, "db") not in processes(root.id)
        clock.ahead += timedelta(seconds=6)
        await kill(engine, root, "db")


async def test_an_operation_is_never_one_that_began_before(engine: Local, root: Root) -> None:
    since = await engine.position(root)
    assert (await engine.operation(root, since)).state is OperationState.NOT_BEGUN
    await engine.converge(root)
    assert (await engine.operation(root, since)).state is not OperationState.NOT_BEGUN
    with pytest.raises(EngineError) as caught:
        await engine.operation(root, "somewhere")
    assert caught.value.failure is Failure.REJECTED


async def test_what_is_not_there_is_gone_and_power_is_rejected(engine: Local, root: Root) -> None:
    for call, failure in [
        (engine.snapshot(Root("here", "local", "other")), Failure.GONE),
        (engine.preview(root, "other"), Failure.GONE),
        (engine.power(root, Incarnation(root.id, "db", "x")), Failure.REJECTED),
    ]:
        with pytest.raises(EngineError) as caught:
            await call
        assert caught.value.failure is failure


async def test_a_command_that_cannot_be_run_fails_the_stack_and_a_later_update_tries_again(
    tmp_path: Path,
) -> None:
    python = tmp_path / "python"
    engine = local(tmp_path / "state", {"shop": template(tmp_path, python=str(python))})
    async with running(engine) as root:
        snapshot = await engine.snapshot(root)
        assert (snapshot.action, snapshot.state) == ("CREATE", StackState.FAILED)
        assert "No such file or directory" in snapshot.resources["db"].reason
        python.symlink_to(sys.executable)
        assert (await converge(engine, root)).state is OperationState.COMPLETE
        assert len(processes(root.id)) == 3


# ------------------------------------------------------------------------------------------ what outlives the daemon


async def test_after_a_restart_the_same_processes_run_whatever_the_template_says_now(
    tmp_path: Path, engine: Local, root: Root
) -> None:
    before = await engine.snapshot(root)
    (tmp_path / "three_tier.yaml").write_text("not: [a template")
    await engine.close()
    again = local(tmp_path / "state", engine.stacks)
    await again.start()
    assert await again.roots() == (root,)
    after = await again.snapshot(root)
    assert {p: r.incarnation for p, r in after.resources.items()} == {
        p: r.incarnation for p, r in before.resources.items()
    }
    dropped = local(tmp_path / "state", {})
    await dropped.start()
    assert await dropped.roots() == (root,)


async def test_a_template_that_is_wrong_is_told_and_keeps_no_other_stack_from_being_created(
    tmp_path: Path,
) -> None:
    (tmp_path / "bad.yaml").write_text("heat_template_version: 2018-08-31\nresources: {a: {type: Nothing}}\n")
    engine = local(tmp_path / "state", {"bad": tmp_path / "bad.yaml", "shop": template(tmp_path)})
    with pytest.raises(EngineError, match="unknown type 'Nothing'") as caught:
        await engine.start()
    assert caught.value.failure is Failure.REJECTED
    assert [root.name for root in await engine.roots()] == ["shop"]
    await delete(engine)


async def test_books_that_cannot_be_understood_are_an_error_and_are_left_alone(
    tmp_path: Path, engine: Local, root: Root
) -> None:
    (book,) = (tmp_path / "state").rglob("book.json")
    text = book.read_text()
    for broken in ("{", text.replace('"schema":1', '"schema":99'), text.replace('"COMPLETE"', '"BROKEN"')):
        book.write_text(broken)
        again = local(tmp_path / "state", engine.stacks)
        with pytest.raises(EngineError) as caught:
            await again.start()
        assert caught.value.failure is Failure.UNREACHABLE
        assert str(book) in str(caught.value)
        with pytest.raises(EngineError):
            await again.roots()
        assert book.read_text() == broken
    book.write_text(text)
    assert len(processes(root.id)) == 3


async def test_what_could_not_be_written_did_not_happen(tmp_path: Path, engine: Local, root: Root) -> None:
    (book,) = (tmp_path / "state").rglob("book.json")
    kept = book.rename(book.with_name("kept.json"))
    book.mkdir()  # nothing can take its place
    incarnation = (await engine.snapshot(root)).resources["db"].incarnation
    for call in (engine.mark(root, incarnation, "healer:x"), engine.converge(root), engine.roots()):
        with pytest.raises(EngineError) as caught:
            await call
        assert caught.value.failure is Failure.UNREACHABLE
    book.rmdir()
    kept.rename(book)
    snapshot = await engine.snapshot(root)
    assert (snapshot.action, snapshot.state) == ("CREATE", StackState.COMPLETE)
    assert not snapshot.resources["db"].marked
    assert snapshot.resources["db"].incarnation == incarnation


async def test_many_may_ask_at_once_while_an_update_goes_on(engine: Local, root: Root) -> None:
    await kill(engine, root, "db")
    snapshot = await engine.snapshot(root)
    await engine.mark(root, snapshot.resources["db"].incarnation, "healer:x")
    since = await engine.position(root)
    await engine.converge(root)
    found = await asyncio.gather(
        *(engine.snapshot(root) for _ in range(10)), *(engine.operation(root, since) for _ in range(10))
    )
    assert len(found) == 20
    async with asyncio.timeout(10):
        while (await engine.operation(root, since)).state is not OperationState.COMPLETE:
            await asyncio.sleep(0.01)
    assert len(processes(root.id)) == 3


async def test_a_deleted_stack_leaves_nothing_and_is_created_anew_at_the_next_start(
    tmp_path: Path, engine: Local
) -> None:
    await engine.start()
    (root,) = await engine.roots()
    await delete(engine)
    assert not processes(root.id)
    assert not list((tmp_path / "state").rglob("*.json"))
    with pytest.raises(EngineError):
        await engine.snapshot(root)
    async with running(local(tmp_path / "state", engine.stacks)) as new:
        assert new.id != root.id


# -------------------------------------------------------------------------------------------------------- kill -9


async def crash(state: Path, path: Path, at: int, when: str) -> bool:
    """Whether it died before it was through."""
    program = [sys.executable, "-m", "tests.engines.crasher", str(state), str(path), str(at), when]
    process = await asyncio.create_subprocess_exec(*program, cwd=Path(__file__).parents[2])
    async with asyncio.timeout(30):
        code = await process.wait()
    assert code in (0, -signal.SIGKILL)
    return code != 0


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.timeout(180)
async def test_killed_at_any_call_it_goes_on_from_there_and_nothing_is_doubled_or_forgotten(
    tmp_path: Path, when: str
) -> None:
    path = template(tmp_path)
    for at in range(1, 100):
        state = tmp_path / f"state-{at}"
        died = await crash(state, path, at, when)
        engine = local(state, {"shop": path})
        async with running(engine) as root:
            async with asyncio.timeout(20):
                while (snapshot := await engine.snapshot(root)).busy:
                    await asyncio.sleep(0.01)
            assert snapshot.state is StackState.COMPLETE
            there_are = {pid_of(snapshot, each) for each in ("db", "api", "web")}
            if snapshot.resources["db"].condition is Health.UNHEALTHY:
                there_are.discard(pid_of(snapshot, "db"))  # it died before it had marked what it broke
            assert set(processes(root.id)) == there_are, f"{when} call {at}"
            await heal(engine, root, "db")
            seen = await answer(await engine.snapshot(root), "web")
            assert seen["below"]["api"]["below"]["db"]["pid"] == pid_of(await engine.snapshot(root), "db")
            assert len(processes(root.id)) == 3
        if not died:
            assert at > 12, "it was killed at fewer calls than there are"
            return
    raise AssertionError("it never came to its end")
