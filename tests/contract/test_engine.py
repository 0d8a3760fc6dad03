"""What every engine keeps to: ports.Engine, with the same templates on each. What is expected is what Heat does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from healer.core.model import Effect, Reference, Root, Snapshot, StackState
from healer.core.step import Failure
from healer.ports import EngineError, Event, Operation, OperationState
from tests.contract.harness import (
    WITHIN_S,
    Harness,
    harnesses,
    opened,
    until_ended,
    until_happened,
    until_idle,
)

MARKED = "CHECK_FAILED"
CREATED = ("CREATE_IN_PROGRESS", "CREATE_COMPLETE")
UPDATED = ("UPDATE_IN_PROGRESS", "UPDATE_COMPLETE")
DELETED = ("DELETE_IN_PROGRESS", "DELETE_COMPLETE")


@pytest.fixture(params=harnesses())
async def harness(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Harness]:
    async with opened(request.param, request, tmp_path) as found:
        yield found


@dataclass(frozen=True)
class Healed:
    """One update after marks: what was there before it and after it, and what happened from the first mark on."""

    before: Snapshot
    after: Snapshot
    operation: Operation
    events: Sequence[Event]

    def replaced(self) -> set[str]:
        """Paths where another thing stands now."""
        return {path for path in self.before.resources if self.id_before(path) != self.id_after(path)}

    def happened(self) -> set[str]:
        """Paths of all that anything was done to, but for the stacks."""
        stacks = {path for path, resource in self.after.resources.items() if resource.is_stack}
        return {event.path.rstrip("/") for event in self.events} - stacks - {""}

    def along(self, *paths: str) -> list[str]:
        """What happened to these, in order: `db CREATE_COMPLETE`. What came to nothing is cleared away whenever."""
        ids = {self.id_before(path) for path in paths} | {self.id_after(path) for path in paths}
        return [
            f"{event.path} {event.status}"
            for event in self.events
            if event.path in paths and (not event.status.startswith("DELETE_") or event.physical_id in ids)
        ]

    def id_before(self, path: str) -> str:
        return self.before.resources[path].incarnation.physical_id

    def id_after(self, path: str) -> str:
        return self.after.resources[path].incarnation.physical_id


async def mark(harness: Harness, root: Root, *paths: str) -> Snapshot:
    snapshot = await harness.engine.snapshot(root)
    for path in paths:
        await harness.engine.mark(root, snapshot.resources[path].incarnation, f"healer:test/1: {path}")
    return snapshot


async def converge(harness: Harness, root: Root) -> Operation:
    position = await harness.engine.position(root)
    await harness.engine.converge(root)
    return await until_ended(harness, root, position)


async def heal(harness: Harness, root: Root, *paths: str) -> Healed:
    known = len(await harness.history(root))
    before = await mark(harness, root, *paths)
    operation = await converge(harness, root)
    after = await harness.engine.snapshot(root)
    return Healed(before, after, operation, (await harness.history(root))[known:])


async def refused(call: object) -> EngineError:
    with pytest.raises(EngineError) as caught:
        await call  # type: ignore[misc]
    assert caught.value.detail
    return caught.value


def each(path: str, *statuses: str) -> list[str]:
    return [f"{path} {status}" for status in statuses]


def replaced(path: str, *between: str) -> list[str]:
    """A marked resource: the new one comes, whatever follows from that, and the old one goes."""
    return [*each(path, MARKED, *CREATED), *between, *each(path, *DELETED)]


# ------------------------------------------------------------------------------------------------------ healing


@dataclass(frozen=True)
class Case:
    """Marked is broken too. Whatever is neither replaced nor updated is not touched at all."""

    template: str
    marked: tuple[str, ...]
    replaced: set[str]
    updated: set[str]
    orders: tuple[tuple[tuple[str, ...], list[str]], ...]
    """Both ends of a dependency edge, or one resource → what happens to them, in order."""


HEALS = {
    "leaf": Case("three_tier.yaml", ("web",), {"web"}, set(), ((("web",), replaced("web")),)),
    "two_tiers": Case(
        "three_tier.yaml",
        ("db",),
        {"db"},
        {"api"},
        ((("db", "api"), replaced("db", *each("api", *UPDATED))),),
    ),
    "dependent_that_cannot_change": Case(
        "cascade.yaml",
        ("db",),
        {"db", "api"},
        {"web"},
        (
            # It is tried in place first, and completes with the word that it requires replacement.
            (("db", "api"), replaced("db", *each("api", *UPDATED, *CREATED, *DELETED))),
            (
                ("api", "web"),
                [*each("api", *UPDATED, *CREATED), *each("web", *UPDATED), *each("api", *DELETED)],
            ),
        ),
    ),
    "nested_two_deep": Case(
        "deep.yaml",
        ("tiers/data/db",),
        {"tiers/data/db"},
        {"tiers/note", "api"},
        (
            (("tiers/data/db",), replaced("tiers/data/db")),
            # Here the old one is gone before its dependents are told: it is in a stack that completes first.
            (("tiers/data/db", "tiers/note"), [*replaced("tiers/data/db"), *each("tiers/note", *UPDATED)]),
            (("tiers/data/db", "api"), [*replaced("tiers/data/db"), *each("api", *UPDATED)]),
        ),
    ),
    "group_member": Case(
        "group.yaml",
        ("workers/1",),
        {"workers/1"},
        {"front"},
        ((("workers/1", "front"), [*replaced("workers/1"), *each("front", *UPDATED)]),),
    ),
    "siblings": Case(
        "files.yaml",
        ("index", "reader"),
        {"index", "reader"},
        set(),
        ((("index",), replaced("index")), (("reader",), replaced("reader"))),
    ),
    "with_its_own_dependent": Case(
        "three_tier.yaml",
        ("db", "api"),
        {"db", "api"},
        {"web"},
        (
            (
                ("db", "api"),
                [
                    *(*each("db", MARKED), *each("api", MARKED)),
                    *(*each("db", *CREATED), *each("api", *CREATED)),
                    *(*each("api", *DELETED), *each("db", *DELETED)),
                ],
            ),
            (("api", "web"), replaced("api", *each("web", *UPDATED))),
        ),
    ),
    "with_its_dependents_dependent": Case(
        "three_tier.yaml",
        ("db", "web"),
        {"db", "web"},
        {"api"},
        ((("db", "api"), replaced("db", *each("api", *UPDATED))), (("web",), replaced("web"))),
    ),
    "deleted_behind_its_back": Case(
        "files.yaml",
        ("settings",),
        {"settings"},
        {"index", "reader"},
        (
            (("settings", "index"), replaced("settings", *each("index", *UPDATED))),
            (("settings", "reader"), replaced("settings", *each("reader", *UPDATED))),
        ),
    ),
}


@pytest.mark.parametrize("case", HEALS.values(), ids=HEALS.keys())
async def test_what_is_marked_is_replaced_and_its_dependents_follow(harness: Harness, case: Case) -> None:
    root = await harness.create(case.template)
    for path in case.marked:
        await harness.break_behind(root, path)
    healed = await heal(harness, root, *case.marked)
    assert healed.operation.state is OperationState.COMPLETE
    assert healed.after.state is StackState.COMPLETE
    assert {r.state for r in healed.after.resources.values()} == {StackState.COMPLETE}
    assert healed.replaced() == case.replaced
    assert healed.happened() == case.replaced | case.updated
    for paths, expected in case.orders:
        assert healed.along(*paths) == expected
    whole = [event.status for event in healed.events if not event.path]
    assert whole == list(UPDATED)
    assert healed.events[-1].path == ""
    for path in case.replaced:
        assert await harness.exists(healed.id_after(path))
        assert not await harness.exists(healed.id_before(path))


async def test_the_wires_of_dependents_show_what_they_refer_to_now(harness: Harness) -> None:
    root = await harness.create("three_tier.yaml")
    before = await harness.engine.snapshot(root)
    old = await harness.engine.wires(root, ["api", "web"])
    healed = await heal(harness, root, "db")
    new = await harness.engine.wires(root, ["api", "web"])
    port_before = before.resources["db"].attributes["port"]
    port_after = healed.after.resources["db"].attributes["port"]
    assert port_before != port_after
    assert f'"127.0.0.1:{port_before}"' in old["api"]["wires"]
    assert f'"127.0.0.1:{port_after}"' in new["api"]["wires"]
    assert new["web"]["wires"] == old["web"]["wires"]


async def test_the_wires_across_stacks_show_what_they_refer_to_now(harness: Harness) -> None:
    root = await harness.create("deep.yaml")
    healed = await heal(harness, root, "tiers/data/db")
    wires = await harness.engine.wires(root, ["tiers/note", "api", "nowhere"])
    where = f"127.0.0.1:{healed.after.resources['tiers/data/db'].attributes['port']}"
    assert wires["tiers/note"]["content"] == where
    assert where in wires["api"]["wires"]
    assert "nowhere" not in wires


async def test_the_replacement_of_a_replacement_is_one_more(harness: Harness) -> None:
    root = await harness.create("three_tier.yaml")
    first = await heal(harness, root, "web")
    second = await heal(harness, root, "web")
    assert second.id_before("web") == first.id_after("web")
    assert second.replaced() == {"web"}


# ------------------------------------------------------------------------------------------------- what goes wrong


async def test_a_replacement_that_fails_leaves_the_old_one_wired_and_the_next_update_tries_again(
    harness: Harness,
) -> None:
    root = await harness.create("three_tier.yaml")
    known = len(await harness.history(root))
    before = await mark(harness, root, "db")
    old = before.resources["db"].incarnation.physical_id
    wired = await harness.engine.wires(root, ["api"])
    async with harness.fails("db"):
        failed = await converge(harness, root)
    assert failed.state is OperationState.FAILED
    assert failed.detail
    between = await harness.engine.snapshot(root)
    assert between.state is StackState.FAILED
    assert (between.resources["db"].action, between.resources["db"].state) == ("CREATE", StackState.FAILED)
    assert between.resources["api"].incarnation == before.resources["api"].incarnation
    assert await harness.engine.wires(root, ["api"]) == wired
    assert await harness.exists(old)

    again = await converge(harness, root)
    assert again.state is OperationState.COMPLETE
    after = await harness.engine.snapshot(root)
    healed = Healed(before, after, again, (await harness.history(root))[known:])
    assert healed.replaced() == {"db"}
    assert (
        after.resources["db"].attributes["port"]
        in (await harness.engine.wires(root, ["api"]))["api"]["wires"]
    )
    assert healed.along("db", "api") == [
        *each("db", MARKED, "CREATE_IN_PROGRESS", "CREATE_FAILED", *CREATED),
        *each("api", *UPDATED),
        *each("db", *DELETED),
    ]
    assert not await harness.exists(old)


async def test_a_dependent_that_is_gone_too_and_not_marked_fails_the_update(harness: Harness) -> None:
    root = await harness.create("three_tier.yaml")
    for path in ("db", "api"):
        await harness.break_behind(root, path)
    failed = await heal(harness, root, "db")
    assert failed.operation.state is OperationState.FAILED
    assert failed.along("db", "api") == [
        *each("db", MARKED, *CREATED),
        *each("api", "UPDATE_IN_PROGRESS", "UPDATE_FAILED"),
    ]
    known = len(await harness.history(root))
    assert (await converge(harness, root)).state is OperationState.COMPLETE
    after = await harness.engine.snapshot(root)
    healed = Healed(failed.after, after, failed.operation, (await harness.history(root))[known:])
    assert healed.replaced() == {"api"}
    assert healed.along("api", "web") == [
        *each("api", *CREATED),
        *each("web", *UPDATED),
        *each("api", *DELETED),
    ]


async def test_a_mark_set_too_late_is_left_and_the_next_update_heals_it(harness: Harness) -> None:
    root = await harness.create("three_tier.yaml")
    known = len(await harness.history(root))
    before = await mark(harness, root, "db")
    position = await harness.engine.position(root)
    async with harness.holds("db", delete=True):
        await harness.engine.converge(root)
        await until_happened(harness, root, "api", "UPDATE_COMPLETE", known)
        await until_happened(harness, root, "db", "DELETE_IN_PROGRESS", known)
        await harness.mark_unasked(root, before.resources["api"].incarnation)
    assert (await until_ended(harness, root, position)).state is OperationState.COMPLETE
    left = await harness.engine.snapshot(root)
    assert left.state is StackState.COMPLETE
    assert left.resources["api"].marked
    assert left.resources["api"].incarnation == before.resources["api"].incarnation
    assert (await converge(harness, root)).state is OperationState.COMPLETE
    after = await harness.engine.snapshot(root)
    assert not after.resources["api"].marked
    assert after.resources["api"].incarnation != before.resources["api"].incarnation


# ------------------------------------------------------------------------------------------- whose, and which one


async def test_nothing_is_marked_unmarked_or_converged_while_the_stack_is_busy(harness: Harness) -> None:
    root = await harness.create("three_tier.yaml")
    snapshot = await mark(harness, root, "db")
    position = await harness.engine.position(root)
    known = len(await harness.history(root))
    async with harness.holds("db"):
        await harness.engine.converge(root)
        await until_happened(harness, root, "db", "CREATE_IN_PROGRESS", known)
        for path in ("db", "web"):
            incarnation = snapshot.resources[path].incarnation
            busy = await refused(harness.engine.mark(root, incarnation, "healer:test/1: it"))
            assert busy.failure is Failure.BUSY
            assert (await refused(harness.engine.unmark(root, incarnation))).failure is Failure.BUSY
        assert (await refused(harness.engine.converge(root))).failure is Failure.BUSY
        during = await harness.engine.snapshot(root)
        assert during.busy == (root.name,)
        assert during.state is StackState.IN_PROGRESS
        operation = await harness.engine.operation(root, position)
        assert operation.state is OperationState.IN_PROGRESS
        assert operation.detail
    assert (await until_ended(harness, root, position)).state is OperationState.COMPLETE
    after = await harness.engine.snapshot(root)
    assert after.busy == ()
    assert not any(resource.marked for resource in after.resources.values())


async def test_an_update_that_is_in_progress_is_asked_for_once_more_by_whoever_began_it(
    harness: Harness,
) -> None:
    root = await harness.create("three_tier.yaml")
    before = await mark(harness, root, "db")
    position = await harness.engine.position(root)
    known = len(await harness.history(root))
    async with harness.holds("db"):
        await harness.engine.converge(root)
        await until_happened(harness, root, "db", "CREATE_IN_PROGRESS", known)
        for _ in range(2):
            await harness.engine.converge(root, own_since=position)
        since = await harness.engine.operation(root, position)
        assert since.state is OperationState.IN_PROGRESS
        assert (await refused(harness.engine.converge(root))).failure is Failure.BUSY
    assert (await until_ended(harness, root, position)).state is OperationState.COMPLETE
    events = (await harness.history(root))[known:]
    assert sum((event.path, event.status) == ("", "UPDATE_IN_PROGRESS") for event in events) <= 3
    assert sum((event.path, event.status) == ("db", "CREATE_COMPLETE") for event in events) == 1
    after = await harness.engine.snapshot(root)
    assert after.resources["db"].incarnation != before.resources["db"].incarnation
    assert {path: each.incarnation for path, each in after.resources.items() if path != "db"} == {
        path: each.incarnation for path, each in before.resources.items() if path != "db"
    }


async def test_a_busy_nested_stack_makes_the_root_busy(harness: Harness) -> None:
    root = await harness.create("deep.yaml")
    snapshot = await mark(harness, root, "tiers/data/db")
    known = len(await harness.history(root))
    position = await harness.engine.position(root)
    async with harness.holds("db"):
        await harness.engine.converge(root)
        await until_happened(harness, root, "tiers/data/db", "CREATE_IN_PROGRESS", known)
        during = await harness.engine.snapshot(root)
        assert root.name in during.busy
        assert len(during.busy) == 3
        apart = snapshot.resources["apart"].incarnation
        assert (await refused(harness.engine.mark(root, apart, "healer:test/1: it"))).failure is Failure.BUSY
    assert (await until_ended(harness, root, position)).state is OperationState.COMPLETE


async def test_what_is_no_longer_current_is_never_marked(harness: Harness) -> None:
    root = await harness.create("three_tier.yaml")
    healed = await heal(harness, root, "db")
    old = healed.before.resources["db"].incarnation
    web = healed.after.resources["web"].incarnation
    for stale in (
        old,
        replace(old, physical_id=web.physical_id),  # current, and of another resource
        replace(web, stack="00000000-0000-4000-8000-000000000000"),
        replace(old, physical_id=""),
        replace(old, physical_id="db"),  # its name is no physical id
        replace(old, name="nobody"),
    ):
        assert (await refused(harness.engine.mark(root, stale, "healer:test/1: it"))).failure is Failure.STALE
        assert (await refused(harness.engine.unmark(root, stale))).failure is Failure.STALE
    after = await harness.engine.snapshot(root)
    assert not any(resource.marked for resource in after.resources.values())
    assert after.resources == healed.after.resources


async def test_a_mark_can_be_set_twice_and_taken_back_twice(harness: Harness) -> None:
    root = await harness.create("three_tier.yaml")
    before = await mark(harness, root, "db")
    await mark(harness, root, "db")
    marked = (await harness.engine.snapshot(root)).resources
    assert [path for path, resource in marked.items() if resource.marked] == ["db"]
    assert marked["db"].reason.startswith("healer:test/1: db")
    assert marked["db"].incarnation == before.resources["db"].incarnation
    for _ in range(2):
        await harness.engine.unmark(root, before.resources["db"].incarnation)
    unmarked = (await harness.engine.snapshot(root)).resources
    assert (unmarked["db"].action, unmarked["db"].state) == ("CHECK", StackState.COMPLETE)
    known = len(await harness.history(root))
    assert (await converge(harness, root)).state is OperationState.COMPLETE
    assert {event.path for event in (await harness.history(root))[known:]} == {""}
    after = await harness.engine.snapshot(root)
    assert {path: r.incarnation for path, r in after.resources.items()} == {
        path: r.incarnation for path, r in before.resources.items()
    }


async def test_taking_a_mark_back_where_there_is_none_does_nothing(harness: Harness) -> None:
    root = await harness.create("three_tier.yaml")
    before = await harness.engine.snapshot(root)
    known = len(await harness.history(root))
    await harness.engine.unmark(root, before.resources["db"].incarnation)
    assert (await harness.engine.snapshot(root)).resources == before.resources
    assert len(await harness.history(root)) == known


@pytest.mark.parametrize("template", ["three_tier.yaml", "deep.yaml", "group.yaml"])
async def test_an_update_with_nothing_marked_touches_nothing(harness: Harness, template: str) -> None:
    root = await harness.create(template)
    healed = await heal(harness, root)
    assert healed.operation.state is OperationState.COMPLETE
    assert healed.replaced() == set()
    assert healed.happened() == set()


# ------------------------------------------------------------------------------------------------- updates


async def test_of_two_updates_at_once_one_is_carried_out(harness: Harness) -> None:
    root = await harness.create("three_tier.yaml")
    before = await mark(harness, root, "db")
    position = await harness.engine.position(root)
    known = len(await harness.history(root))
    answers = await asyncio.gather(
        harness.engine.converge(root), harness.engine.converge(root), return_exceptions=True
    )
    # Whether the second sees the first depends on how far that one has come.
    refusals = [answer for answer in answers if answer is not None]
    assert all(isinstance(each, EngineError) and each.failure is Failure.BUSY for each in refusals)
    assert len(refusals) < 2
    assert (await until_ended(harness, root, position)).state is OperationState.COMPLETE
    after = await harness.engine.snapshot(root)
    events = (await harness.history(root))[known:]
    assert [event.status for event in events if event.path == "db"] == [*CREATED, *DELETED]
    assert after.resources["db"].incarnation != before.resources["db"].incarnation


async def test_an_operation_is_never_an_older_one(harness: Harness) -> None:
    root = await harness.create("three_tier.yaml")
    created = await harness.engine.position(root)
    assert created
    assert (await harness.engine.operation(root, created)).state is OperationState.NOT_BEGUN
    await heal(harness, root, "web")
    healed = await harness.engine.position(root)
    assert (await harness.engine.operation(root, healed)).state is OperationState.NOT_BEGUN
    await mark(harness, root, "db")
    marked = await harness.engine.position(root)
    assert (await harness.engine.operation(root, marked)).state is OperationState.NOT_BEGUN
    async with harness.fails("db"):
        assert (await converge(harness, root)).state is OperationState.FAILED
    # Each position goes on telling of the first update after it, whatever came later.
    assert (await harness.engine.operation(root, created)).state is OperationState.COMPLETE
    assert (await harness.engine.operation(root, marked)).state is OperationState.FAILED
    assert (await harness.engine.operation(root, await harness.engine.position(root))).state is (
        OperationState.NOT_BEGUN
    )


async def test_an_update_that_was_under_way_is_not_the_one_that_is_waited_for(harness: Harness) -> None:
    root = await harness.create("three_tier.yaml")
    await mark(harness, root, "db")
    before = await harness.engine.position(root)
    known = len(await harness.history(root))
    async with harness.holds("db"):
        await harness.engine.converge(root)
        await until_happened(harness, root, "db", "CREATE_IN_PROGRESS", known)
        during = await harness.engine.position(root)
        assert (await harness.engine.operation(root, during)).state is OperationState.NOT_BEGUN
    assert (await until_ended(harness, root, before)).state is OperationState.COMPLETE
    assert (await harness.engine.operation(root, during)).state is OperationState.NOT_BEGUN


@pytest.mark.parametrize(
    ("template", "path"),
    [("three_tier.yaml", "web"), ("deep.yaml", "tiers/data/db"), ("group.yaml", "workers/1")],
)
async def test_a_preview_at_the_owning_stack_names_what_is_marked_and_changes_nothing(
    harness: Harness, template: str, path: str
) -> None:
    root = await harness.create(template)
    before = await harness.engine.snapshot(root)
    incarnation = before.resources[path].incarnation
    assert incarnation.name not in await harness.engine.preview(root, incarnation.stack)
    assert (await harness.engine.snapshot(root)).resources == before.resources
    await mark(harness, root, path)
    marked = await harness.engine.snapshot(root)
    assert incarnation.name in await harness.engine.preview(root, incarnation.stack)
    assert (await harness.engine.snapshot(root)).resources == marked.resources
    await until_idle(harness, root)
    assert (await harness.engine.operation(root, await harness.engine.position(root))).state is (
        OperationState.NOT_BEGUN
    )


# ------------------------------------------------------------------------------------------------------- reading


async def test_a_stack_is_listed_until_it_is_deleted_and_then_it_is_gone(harness: Harness) -> None:
    root = await harness.create("files.yaml")
    other = await harness.create("three_tier.yaml")
    assert {root, other} <= set(await harness.engine.roots())
    (listed,) = [each for each in await harness.engine.roots() if each == root]
    assert listed.name == root.name
    snapshot = await harness.engine.snapshot(root)
    position = await harness.engine.position(root)
    await harness.delete(root)
    assert root not in await harness.engine.roots()
    incarnation = snapshot.resources["index"].incarnation
    for call in (
        harness.engine.snapshot(root),
        harness.engine.mark(root, incarnation, "healer:test/1: it"),
        harness.engine.unmark(root, incarnation),
        harness.engine.preview(root, incarnation.stack),
        harness.engine.position(root),
        harness.engine.converge(root),
        harness.engine.operation(root, position),
        harness.engine.wires(root, ["index"]),
    ):
        assert (await refused(call)).failure is Failure.GONE
    assert (await harness.engine.snapshot(other)).state is StackState.COMPLETE


async def test_a_snapshot_holds_all_levels(harness: Harness) -> None:
    root = await harness.create("deep.yaml")
    snapshot = await harness.engine.snapshot(root)
    assert snapshot.root == root
    assert (snapshot.action, snapshot.state, snapshot.busy) == ("CREATE", StackState.COMPLETE, ())
    assert snapshot.rebuildable == harness.engine.rebuildable
    resources = snapshot.resources
    assert set(resources) == {
        *("tiers", "tiers/data", "tiers/data/db", "tiers/data/seed"),
        *("tiers/note", "api", "apart"),
    }
    assert {path for path, each in resources.items() if each.is_stack} == {"tiers", "tiers/data"}
    assert all(resources[path].path == path for path in resources)
    assert resources["tiers/data/db"].type == "Local::Process"
    assert resources["tiers/data/db"].attributes["address"] == "127.0.0.1"
    assert int(resources["tiers/data/db"].attributes["port"]) > 0
    assert resources["tiers/data/db"].incarnation.name == "db"
    # A resource that is a stack has that stack's id: there what is in it is marked.
    assert resources["tiers/data/db"].incarnation.stack == resources["tiers/data"].incarnation.physical_id
    assert resources["api"].incarnation.stack == root.id
    assert resources["apart"].created_at is not None
    assert {path: set(each.requires) for path, each in resources.items()} == {
        "tiers": set(),
        "tiers/data": set(),
        "tiers/data/db": set(),
        "tiers/data/seed": set(),
        "tiers/note": {"tiers/data"},
        "api": {"tiers"},
        "apart": set(),
    }
    assert set(snapshot.references) == {
        Reference(source, name, "tiers/data/db", attribute, Effect.UPDATED)
        for source, name in (("api", "wires"), ("tiers/note", "content"))
        for attribute in ("address", "port")
    }
    assert snapshot.find(resources["apart"].incarnation.physical_id) == (resources["apart"],)


async def test_a_snapshot_shows_a_group_and_what_a_change_of_its_members_does(harness: Harness) -> None:
    root = await harness.create("group.yaml")
    snapshot = await harness.engine.snapshot(root)
    workers = [f"workers/{number}" for number in range(3)]
    assert set(snapshot.resources) == {"workers", *workers, "front"}
    assert snapshot.resources["workers"].is_stack
    assert set(snapshot.resources["front"].requires) == {"workers"}
    assert set(snapshot.references) == {
        Reference("front", "wires", worker, "port", Effect.UPDATED) for worker in workers
    }


async def test_a_property_that_cannot_change_in_place_replaces(harness: Harness) -> None:
    root = await harness.create("cascade.yaml")
    snapshot = await harness.engine.snapshot(root)
    effects = {(each.source, each.property, each.target): each.effect for each in snapshot.references}
    assert effects == {("api", "command", "db"): Effect.REPLACED, ("web", "wires", "api"): Effect.UPDATED}


async def test_many_readings_at_once_agree(harness: Harness) -> None:
    root = await harness.create("three_tier.yaml")
    async with asyncio.timeout(WITHIN_S):
        snapshots = await asyncio.gather(*(harness.engine.snapshot(root) for _ in range(5)))
    assert all(each.resources == snapshots[0].resources for each in snapshots)
