"""Updates beyond what was recorded of a real Heat: groups, nested stacks, resources that wait and fail, crashes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from healer.core.model import Effect, Health, Incarnation, Root, StackState, Symptom
from healer.declarative.books import Action, Book, listed, stacks, standings
from healer.declarative.declaration import Declaration
from healer.declarative.reading import Reading, Told, find, mark, operation
from healer.declarative.reality import Made, Thing
from healer.declarative.resource_types import TYPES
from healer.ports import OperationState
from tests.declarative.world import Stage, World

ROOT = Root("here", "local", "root", "shop")


def declared(resources: Mapping[str, Any], **files: Mapping[str, Any]) -> Declaration:
    head = {"heat_template_version": "2018-08-31"}
    nested = {f"{name}.yaml": {**head, **body} for name, body in files.items()}
    return Declaration({**head, "resources": resources}, nested)


def file(**properties: Any) -> dict[str, Any]:
    return {"type": "Local::File", "properties": properties}


def thing(**properties: Any) -> dict[str, Any]:
    return {"type": "OS::Heat::TestResource", "properties": properties}


def refer(name: str) -> dict[str, str]:
    return {"get_resource": name}


def staged(resources: Mapping[str, Any], **files: Mapping[str, Any]) -> Stage:
    stage = Stage()
    stage.start(declared(resources, **files))
    stage.run()
    return stage


def break_and_mark(stage: Stage, path: str) -> None:
    standing = next(standing for standing in listed(stage.book) if standing.path == path)
    stage.world.things.pop(standing.row.physical_id, None)
    incarnation = Incarnation(standing.stack.id, standing.row.name, standing.row.physical_id)
    assert mark(stage.book, incarnation, "healer:x", stage.now) is Told.DONE


def update(stage: Stage) -> None:
    stage.convergence.update(stage.book, stage.now)
    stage.run()


def happened(stage: Stage) -> list[str]:
    return [f"{entry.event.path} {entry.event.status}" for entry in stage.book.events]


def snapshot(stage: Stage) -> Any:
    reading = Reading(stage.world, TYPES)
    return reading.snapshot(stage.book, ROOT, frozenset({"Local::File"}), stage.now)


# ----------------------------------------------------------------------------------- what depends on what changes


def test_what_only_waits_for_another_or_reads_what_does_not_change_is_untouched() -> None:
    stage = staged({
        "a": file(content="x"),
        "waits": {**file(), "depends_on": "a"},
        "reads": file(content={"get_attr": ["a", "content"]}),
    })  # fmt: skip
    before = {path: stage.row(path).physical_id for path in ("waits", "reads")}
    break_and_mark(stage, "a")
    update(stage)
    assert {path: stage.row(path).physical_id for path in before} == before
    assert {stage.row(path).status for path in before} == {"CREATE_COMPLETE"}
    assert stage.row("a").status == "CREATE_COMPLETE"
    # Having waited, it is removed before what it waits for, whatever has been replaced since.
    break_and_mark(stage, "a")
    break_and_mark(stage, "waits")
    update(stage)
    gone = [entry for entry in happened(stage) if entry.endswith("DELETE_COMPLETE")][-2:]
    assert gone == ["waits DELETE_COMPLETE", "a DELETE_COMPLETE"]


def test_a_dependent_that_would_fail_its_replacement_keeps_what_it_has_and_is_tried_again() -> None:
    stage = staged({"a": file(), "b": file(kind=refer("a"))})
    old = stage.row("b").physical_id
    break_and_mark(stage, "a")
    stage.world.switches["fail_create"] = {"b"}
    update(stage)
    assert stage.book.root.status == "UPDATE_FAILED"
    assert "Resource CREATE failed: b: b may not be created" in stage.book.root.reason
    # Here, and only here, Heat goes on to list the old one, for it has not failed.
    assert (stage.row("b").physical_id, stage.row("b").status) == (old, "UPDATE_COMPLETE")
    stage.world.switches.clear()
    update(stage)
    assert stage.book.root.status == "UPDATE_COMPLETE"
    assert stage.row("b").physical_id != old
    assert stage.row("b").properties["kind"] == stage.row("a").physical_id
    assert len(stage.world.things) == 2


def test_what_was_never_created_can_be_marked_and_is_created_by_the_next_update() -> None:
    stage = Stage()
    stage.world.switches["fail_create"] = {"a"}
    stage.start(declared({"a": file(), "b": file(content=refer("a"))}))
    stage.run()
    assert stage.book.root.status == "CREATE_FAILED"
    assert (stage.row("b").status, stage.row("b").physical_id) == ("INIT_COMPLETE", "")
    incarnation = Incarnation("root", "b", "")
    assert mark(stage.book, incarnation, "healer:x", stage.now) is Told.DONE
    assert stage.row("b").status == "CHECK_FAILED"
    stage.world.switches.clear()
    update(stage)
    assert stage.book.root.status == "UPDATE_COMPLETE"
    assert {stage.row(path).status for path in ("a", "b")} == {"CREATE_COMPLETE"}
    assert len(stage.world.things) == 2


def test_what_has_failed_and_is_not_broken_is_taken_as_it_is() -> None:
    stage = staged({"a": file(), "b": file(content=refer("a"))})
    break_and_mark(stage, "a")
    stage.world.switches["fail_delete"] = {"a"}
    update(stage)
    row = stage.row("b")
    row.action, row.state = Action.UPDATE, StackState.FAILED  # as a crash of Heat leaves it
    stage.world.switches.clear()
    update(stage)
    assert stage.row("b").status == "UPDATE_COMPLETE"
    assert "neither update nor replace" in stage.row("b").reason


def test_what_is_going_on_elsewhere_when_the_stack_fails_goes_on_and_nothing_follows_it() -> None:
    stage = Stage()
    stage.world.switches |= {"fail_create": {"bad"}, "hold_create": {"slow"}}
    stage.start(declared({"bad": file(), "slow": file(), "after": file(content=refer("slow"))}))
    stage.run()
    assert stage.book.root.status == "CREATE_FAILED"
    assert stage.row("slow").status == "CREATE_IN_PROGRESS"
    stage.world.switches["hold_create"].clear()
    stage.run()
    assert stage.row("slow").status == "CREATE_COMPLETE"
    assert stage.row("after").status == "INIT_COMPLETE"


def test_an_update_that_takes_over_waits_for_what_the_first_one_has_begun() -> None:
    stage = staged({"a": file(), "b": file(content=refer("a"))})
    stage.world.switches["hold_create"] = {"a"}
    break_and_mark(stage, "a")
    update(stage)
    update(stage)
    assert stage.row("b").status == "CREATE_COMPLETE"
    stage.world.switches.clear()
    stage.run()
    assert stage.book.root.status == "UPDATE_COMPLETE"
    assert stage.row("b").status == "UPDATE_COMPLETE"
    assert [call for call, _ in stage.world.calls] == ["create", "create", "create", "update", "delete"]


def test_what_fails_for_an_update_that_was_taken_over_is_tried_again_by_the_one_that_took_over() -> None:
    stage = staged({"a": file(), "b": file(content=refer("a"))})
    stage.world.switches["hold_create"] = {"a"}
    break_and_mark(stage, "a")
    update(stage)
    stage.convergence.update(stage.book, stage.now)
    stage.world.switches = {"break_create": {"a"}}
    stage.run()
    assert "a CREATE_FAILED" in happened(stage)
    assert " UPDATE_FAILED" not in happened(stage)
    assert stage.book.root.status == "UPDATE_COMPLETE"
    assert stage.row("b").properties["content"] == stage.row("a").physical_id
    assert len(stage.world.things) == 2


# --------------------------------------------------------------------------------------- nested stacks and groups


def group(count: int, **properties: Any) -> dict[str, Any]:
    made_from = {"type": "Local::File", "properties": properties}
    return {"type": "OS::Heat::ResourceGroup", "properties": {"count": count, "resource_def": made_from}}


def test_members_of_a_group_know_their_index_and_others_read_them_in_all_ways() -> None:
    reads = {
        "refs": {"get_attr": ["g", "refs"]},
        "second": {"get_attr": ["g", "refs", 1]},
        "map": {"get_attr": ["g", "refs_map"]},
        "each": {"get_attr": ["g", "content"]},
        "named": {"get_attr": ["g", "attributes", "content"]},
        "one": {"get_attr": ["g", "resource.1.content"]},
        "parted": {"get_attr": ["g", "resource.1", "content"]},
        "itself": {"get_attr": ["g", "resource.1"]},
    }
    stage = staged({
        "g": group(2, content="member %index%"),
        "v": {"type": "OS::Heat::Value", "properties": {"value": reads}},
    })  # fmt: skip
    ids = [stage.row(f"g/{index}").physical_id for index in "01"]
    assert stage.row("v").attributes["value"] == {
        "refs": ids,
        "second": ids[1],
        "map": {"0": ids[0], "1": ids[1]},
        "each": ["member 0", "member 1"],
        "named": {"0": "member 0", "1": "member 1"},
        "one": "member 1",
        "parted": "member 1",
        "itself": ids[1],
    }


def test_what_a_groups_members_are_made_with_changes_them_as_it_would_any_resource() -> None:
    stage = staged({"a": file(), "g": group(2, content=refer("a"), kind="fixed")})
    before = [stage.row(f"g/{index}").physical_id for index in "01"]
    break_and_mark(stage, "a")
    update(stage)
    assert [stage.row(f"g/{index}").physical_id for index in "01"] == before
    assert {stage.row(f"g/{index}").properties["content"] for index in "01"} == {stage.row("a").physical_id}
    found = snapshot(stage)
    assert {(r.source, r.property, r.target, r.effect) for r in found.references} == {
        (f"g/{index}", "content", "a", Effect.UPDATED) for index in "01"
    }
    assert found.resources["g"].requires == ("a",)


def test_a_nested_template_is_given_its_parameters_and_gives_its_outputs() -> None:
    inner = {
        "parameters": {"below": {"type": "string"}, "list": {"type": "comma_delimited_list", "default": "x, y"}},
        "resources": {"f": file(content={"list_join": ["+", {"get_param": "list"}]}, kind={"get_param": "below"})},
        "outputs": {
            "OS::stack_id": {"value": refer("f")},
            "path": {"value": {"get_attr": ["f", "path"]}},
            "name": {"value": {"get_param": "OS::stack_name"}},
        },
    }  # fmt: skip
    stage = staged(
        {
            "a": file(),
            "n": {"type": "inner.yaml", "properties": {"below": refer("a")}},
            "out": file(content={"get_attr": ["n", "path"]}, kind="x"),
            "id": file(content=refer("n")),
            "deep": file(content={"get_attr": ["n", "resource.f.content"]}),
            "called": file(content={"get_attr": ["n", "name"]}),
        },
        inner=inner,
    )
    old = stage.row("n/f")
    assert old.properties == {"content": "x+y", "kind": stage.row("a").physical_id}
    assert stage.row("out").properties["content"] == old.attributes["path"]
    assert stage.row("id").properties["content"] == old.physical_id
    assert stage.row("deep").properties["content"] == "x+y"
    assert stage.row("called").properties["content"].startswith("shop-n-")
    break_and_mark(stage, "a")  # its id is the `kind` of n/f, which cannot change in place
    update(stage)
    assert stage.book.root.status == "UPDATE_COMPLETE"
    new = stage.row("n/f")
    assert new.physical_id != old.physical_id
    assert stage.row("out").properties["content"] == new.attributes["path"]
    assert stage.row("id").properties["content"] == new.physical_id
    assert len(stage.world.things) == 6


def test_a_nested_stack_that_fails_fails_what_it_is_nested_in_and_both_are_tried_again() -> None:
    inner = {"resources": {"f": file()}}
    stage = Stage()
    stage.world.switches["fail_create"] = {"f"}
    stage.start(declared({"n": {"type": "inner.yaml"}, "after": {**file(), "depends_on": "n"}}, inner=inner))
    stage.run()
    assert stage.book.root.status == "CREATE_FAILED"
    assert "n/f: f may not be created" in stage.book.root.reason
    assert stage.row("n").status == "CREATE_FAILED"
    stage.world.switches.clear()
    update(stage)
    assert stage.book.root.status == "UPDATE_COMPLETE"
    assert stage.row("n").status == "UPDATE_COMPLETE"
    assert len(stage.world.things) == 2


def test_a_marked_nested_stack_is_replaced_with_all_that_is_in_it() -> None:
    inner = {"resources": {"f": file(), "g": file()}}
    stage = staged({"n": {"type": "inner.yaml"}}, inner=inner)
    before = {stage.row(path).physical_id for path in ("n", "n/f", "n/g")}
    break_and_mark(stage, "n")
    update(stage)
    assert not before & {stage.row(path).physical_id for path in ("n", "n/f", "n/g")}
    assert len(stage.world.things) == 2
    assert len(list(stacks(stage.book))) == 2


def test_a_delete_takes_everything_dependents_first() -> None:
    inner = {"parameters": {"p": {"type": "string"}}, "resources": {"f": file(content={"get_param": "p"})}}
    stage = staged(
        {"a": file(), "n": {"type": "inner.yaml", "properties": {"p": refer("a")}}, "z": {**file(), "depends_on": "n"}},
        inner=inner,
    )  # fmt: skip
    stage.convergence.delete(stage.book, stage.now)
    stage.run()
    assert stage.book.root.status == "DELETE_COMPLETE"
    assert not stage.world.things
    assert not list(standings(stage.book))
    ends = [entry for entry in happened(stage) if entry.endswith("DELETE_COMPLETE")]
    assert ends == [f"{path} DELETE_COMPLETE" for path in ("z", "n/f", "n/", "n", "a", "")]


# ------------------------------------------------------------------------------- resources that wait, and that fail


def test_a_test_resource_waits_and_fails_as_it_is_told() -> None:
    stage = Stage()
    stage.start(declared({"a": thing(wait_secs=5), "b": thing(action_wait_secs={"create": 2}, fail=True)}))
    stage.run()
    assert {stage.row(path).status for path in "ab"} == {"CREATE_IN_PROGRESS"}
    stage.now += timedelta(seconds=3)
    stage.run()
    assert stage.row("b").status == "CREATE_FAILED"
    assert stage.row("b").reason == "Test Resource failed b"
    assert stage.row("b").physical_id == ""
    assert stage.row("a").status == "CREATE_IN_PROGRESS"
    stage.now += timedelta(seconds=3)
    stage.run()
    assert stage.row("a").status == "CREATE_COMPLETE"
    assert stage.row("a").attributes == {"output": "test_string"}


@pytest.mark.parametrize("update_replace", [False, True])
def test_a_test_resource_is_replaced_by_a_new_value_only_where_it_is_told_to_be(update_replace: bool) -> None:
    stage = staged({"a": file(), "t": thing(value=refer("a"), update_replace=update_replace)})
    before = stage.row("t").physical_id
    break_and_mark(stage, "a")
    assert snapshot(stage).references[0].effect is (Effect.REPLACED if update_replace else Effect.UPDATED)
    update(stage)
    assert (stage.row("t").physical_id != before) is update_replace
    assert stage.row("t").attributes["output"] == stage.row("a").physical_id


# --------------------------------------------------------------------------------------------- what can be read


def test_a_snapshot_says_who_is_busy_and_what_of_it_is_gone() -> None:
    stage = staged(
        {"a": file(), "n": {"type": "inner.yaml"}}, inner={"resources": {"f": file(), "t": thing()}}
    )
    del stage.world.things[stage.row("n/f").physical_id]
    found = snapshot(stage)
    assert found.resources["a"].condition is Health.HEALTHY
    lost = found.resources["n/f"]
    assert (lost.condition, lost.condition_symptom) == (Health.UNHEALTHY, Symptom.GONE)
    assert found.resources["n/t"].condition is Health.UNKNOWN
    assert found.resources["n"].is_stack
    assert found.resources["n/f"].incarnation.stack == stage.row("n").physical_id
    assert found.resources["a"].fixed == {"path"}
    assert not found.busy
    stage.convergence.update(stage.book, stage.now)
    stage.world.switches["hold_create"] = {"f"}
    break_and_mark(stage, "n/f")
    stage.run()
    child = find(stage.book, stage.row("n").physical_id)
    assert child is not None
    assert snapshot(stage).busy == ("shop", child.name)


def test_an_operation_is_the_first_update_that_began_after_a_position_never_an_older_one() -> None:
    stage = staged({"a": file()})
    assert operation(stage.book, 0).state is OperationState.COMPLETE
    since = stage.book.position
    assert operation(stage.book, since).state is OperationState.NOT_BEGUN
    stage.world.switches["hold_create"] = {"a"}
    break_and_mark(stage, "a")
    update(stage)
    running = operation(stage.book, since)
    assert (running.state, running.detail) == (OperationState.IN_PROGRESS, "create a")
    assert running.done < running.total
    assert operation(stage.book, stage.book.position).state is OperationState.NOT_BEGUN
    stage.world.switches |= {"hold_create": set(), "fail_delete": {"a"}}
    stage.run()
    failed = operation(stage.book, since)
    assert failed.state is OperationState.FAILED
    assert "a may not be deleted" in failed.detail
    later = stage.book.position
    stage.world.switches.clear()
    update(stage)
    assert operation(stage.book, since).state is OperationState.FAILED
    assert operation(stage.book, later).state is OperationState.COMPLETE


# ------------------------------------------------------------------------------------------------------- crashes


class CrashError(Exception):
    pass


class Fragile(World):
    """Dies before or after the n-th call that makes, changes or unmakes something."""

    def __init__(self) -> None:
        super().__init__()
        self.deaths: dict[int, bool] = {}
        """Count of the call → whether it is carried out all the same."""
        self._count = 0

    def _die(self, *, done: bool) -> None:
        if self.deaths.get(self._count) is done:
            del self.deaths[self._count]
            raise CrashError

    def create(self, thing: Thing) -> Made:
        self._count += 1
        self._die(done=False)
        made = super().create(thing)
        self._die(done=True)
        return made

    def update(self, thing: Thing, changed: frozenset[str]) -> None:
        self._count += 1
        self._die(done=False)
        super().update(thing, changed)
        self._die(done=True)

    def delete(self, thing: Thing) -> None:
        self._count += 1
        self._die(done=False)
        super().delete(thing)
        self._die(done=True)

    def deleted(self, thing: Thing) -> bool:
        self._count += 1
        self._die(done=False)
        through = super().deleted(thing)
        self._die(done=True)
        return through


names = st.sampled_from("abcde")


@st.composite
def templates(draw: st.DrawFn) -> Declaration:
    """Up to five files that refer to earlier ones: in place, by replacement, or by waiting; some in a group."""
    resources: dict[str, Any] = {}
    for name in "abcde"[: draw(st.integers(1, 5))]:
        earlier = st.sampled_from(list(resources) or [""])
        properties = {
            key: refer(other)
            for key in draw(st.sets(st.sampled_from(["content", "kind"])))
            if (other := draw(earlier))
        }
        if draw(st.integers(0, 3)) == 0:
            resources[name] = group(2, **properties)
        else:
            waits = draw(st.just("") | earlier)
            resources[name] = file(**properties) | ({"depends_on": waits} if waits else {})
    return declared(resources)


@dataclass(frozen=True)
class Round:
    """What breaks and is marked before one update, and what cannot be made during it."""

    broken: set[str]
    failing: set[str]
    pieces: int
    """How far it gets before somebody else's update takes over."""


rounds = st.lists(
    st.builds(Round, st.sets(names, max_size=2), st.sets(names, max_size=1), st.integers(0, 9)),
    min_size=1,
    max_size=3,
)
crashes = st.dictionaries(st.integers(1, 40), st.booleans(), max_size=4)


@settings(deadline=None, max_examples=200)
@given(templates(), rounds, crashes)
def test_whatever_breaks_and_whenever_it_crashes_there_is_exactly_one_of_each_wired_to_what_there_is(
    template: Declaration, history: list[Round], deaths: dict[int, bool]
) -> None:
    world = Fragile()
    world.deaths = dict(deaths)
    stage = Stage(world)
    stage.start(template)
    _survive(stage)
    _assert_as_declared(stage)
    for each in history:
        before = set()
        for standing in list(listed(stage.book)):
            if standing.row.type == "Local::File" and standing.path[0] in each.broken:
                before.add(standing.row.physical_id)
                break_and_mark(stage, standing.path)
        world.switches["fail_create"] = each.failing
        world.switches["hold_create"] = each.broken
        stage.convergence.update(stage.book, stage.now)
        _survive(stage, each.pieces)
        stage.convergence.update(stage.book, stage.now)
        _survive(stage)
        world.switches.clear()
        stage.convergence.update(stage.book, stage.now)
        _survive(stage)
        _assert_as_declared(stage)
        assert not before & {standing.row.physical_id for standing in listed(stage.book)}


def _survive(stage: Stage, pieces: int = 500) -> None:
    """Carry on, to the end or for so many pieces; a crash goes back to what was stored after the last one."""
    disk = msgspec.json.encode(stage.book)
    for _ in range(pieces):
        try:
            moved = stage.convergence.advance(stage.book, stage.now)
        except CrashError:
            stage.book = msgspec.json.decode(disk, type=Book)
            continue
        disk = msgspec.json.encode(stage.book)
        if not moved:
            break


def _assert_as_declared(stage: Stage) -> None:
    assert stage.book.root.state is StackState.COMPLETE
    real = [s for s in listed(stage.book) if s.row.type == "Local::File"]
    assert {s.row.physical_id for s in real} == set(stage.world.things), "strays, or something is missing"
    for standing in real:
        wanted = stage.convergence.values.properties(stage.book, standing.stack, standing.row.name)
        is_now = stage.world.things[standing.row.physical_id]
        assert {key: is_now[key] for key in wanted} == wanted, (
            f"{standing.path} is wired to what is not there"
        )
