from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, ClassVar

import pytest

from healer.core.incident import Incident
from healer.core.model import Effect, Incarnation, Reference, Resource, Root, Snapshot, StackState, Target
from healer.core.planner import Condemned, Plan
from healer.core.repair import Recipe
from healer.core.step import (
    NATURE,
    Done,
    Failed,
    Failure,
    Finished,
    Inspected,
    Marked,
    Pending,
    Previewed,
    Read,
    Report,
    Step,
)
from healer.core.turn import Perform
from healer.ports import Engine, EngineError, Message, Operation, OperationState, Place
from healer.steps import BEGINS_WITHIN, Performer
from tests.stores.samples import SHOP, at, incident, repair, ulid

NESTED = "5e57"
DB = Incarnation(SHOP.id, "db", "db-1")
API = Incarnation(NESTED, "server", "api-1")
OURS = f"healer:test/{ulid(1)}:"
RECIPE = Recipe("replace", (Step.INSPECT, Step.MARK, Step.CONVERGE), replaces=True)
PLAN = Plan(
    root=SHOP,
    condemned=(
        Condemned("api/server", "T", API, "CREATE_COMPLETE", needs_mark=True),
        Condemned("db", "T", DB, "CREATE_COMPLETE", needs_mark=True),
        Condemned("web", "T", Incarnation(SHOP.id, "web", "web-1"), "CREATE_FAILED", needs_mark=False),
    ),
)
MUTATING = {Step.MARK: "mark", Step.UNMARK: "unmark", Step.CONVERGE: "converge", Step.POWER: "power"}
CALLS = {
    Step.INSPECT: ("snapshot", "preview"),
    Step.MARK: ("mark", "position"),
    Step.PREVIEW: ("preview",),
    Step.UNMARK: ("snapshot", "unmark"),
    Step.CONVERGE: ("converge", "operation"),
    Step.FOLLOW: ("operation",),
    Step.PROVE: ("snapshot", "wires"),
    Step.POWER: ("power",),
    Step.NOTIFY: ("notify",),
}
"""What each step asks of the world."""


@dataclass
class Books:
    """An engine and a notifier that write down what they are asked, and refuse what they are told to."""

    calls: list[tuple[Any, ...]] = field(default_factory=list)
    refuses: dict[str, list[EngineError | None]] = field(default_factory=dict)
    """Method → what each further call of it raises; the last for ever."""
    stands: OperationState = OperationState.IN_PROGRESS
    busy: tuple[str, ...] = ()
    resources: tuple[Resource, ...] = ()

    rebuildable: ClassVar[frozenset[str]] = frozenset()
    poll: ClassVar[timedelta] = timedelta(seconds=3)

    def note(self, method: str, *said: Any) -> None:
        self.calls.append((method, *said))
        fates = self.refuses.get(method)
        if fates and (fate := fates.pop(0) if len(fates) > 1 else fates[0]):
            raise fate

    @property
    def asked(self) -> list[str]:
        return [method for method, *_ in self.calls]

    def bind(self, place: Place) -> None:
        self.note("bind", place)

    async def start(self) -> None:
        self.note("start")

    async def close(self) -> None:
        self.note("close")

    async def roots(self) -> tuple[Root, ...]:
        self.note("roots")
        return (SHOP,)

    async def snapshot(self, root: Root) -> Snapshot:
        self.note("snapshot", root)
        found = {resource.path: resource for resource in self.resources}
        return Snapshot(root, at(0), "UPDATE", StackState.COMPLETE, found, busy=self.busy)

    async def mark(self, root: Root, incarnation: Incarnation, reason: str) -> None:
        self.note("mark", root, incarnation, reason)

    async def unmark(self, root: Root, incarnation: Incarnation) -> None:
        self.note("unmark", root, incarnation)

    async def preview(self, root: Root, stack: str) -> frozenset[str]:
        self.note("preview", root, stack)
        return frozenset({f"moved in {stack}"})

    async def position(self, root: Root) -> str:
        self.note("position", root)
        return "here"

    async def converge(self, root: Root, own_since: str | None = None) -> None:
        self.note("converge", root, own_since)

    async def operation(self, root: Root, since: str) -> Operation:
        self.note("operation", root, since)
        return Operation(self.stands, "api is being created", 1, 2)

    async def wires(self, root: Root, paths: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
        self.note("wires", root, *paths)
        return {path: {"wires": "10.0.0.7"} for path in paths}

    async def power(self, root: Root, incarnation: Incarnation) -> None:
        self.note("power", root, incarnation)

    async def notify(self, message: Message) -> None:
        self.note("notify", message.incident)


def resource(path: str, incarnation: Incarnation, reason: str = "") -> Resource:
    action, state = ("CHECK", StackState.FAILED) if reason else ("CREATE", StackState.COMPLETE)
    return Resource(path, "T", incarnation, action, state, reason)


def books(**said: Any) -> Books:
    marked = (resource("db", DB, f"{OURS} it fails"), resource("api/server", API, f"{OURS} it fails"))
    return Books(resources=marked, **said)


def performer(world: Books, stopped: Sequence[str | None] = (None,)) -> Performer:
    """`stopped`: what each further look at the stop file finds; the last for ever."""
    looks = list(stopped)

    def look() -> str | None:
        world.calls.append(("stopped?",))
        return looks.pop(0) if len(looks) > 1 else looks[0]

    engine: Engine = world
    return Performer({"here": engine}, {"pager": world}, "test", look)


def failing(path: str, number: int, detail: str = "connection refused") -> Incident:
    return replace(
        incident(number, detail=detail),
        target=Target(SHOP, path),
        incarnation={"db": DB, "api/server": API}[path],
    )


BOTH = (failing("api/server", 2), failing("db", 1))


def command(
    step: Step, *, resumed: bool = False, notifier: str = "", resumed_updates: int = 0, **changed: Any
) -> Perform:
    changed = {
        "recipe": RECIPE,
        "plan": PLAN,
        "position": "there",
        "resumed": resumed_updates,
        **changed,
    }
    return Perform(repair(1, step=step, **changed), BOTH, resumed, notifier)


async def perform(world: Books, asked: Perform, stopped: Sequence[str | None] = (None,)) -> Report:
    return await performer(world, stopped).perform(asked)


def failed(report: Report) -> Failed:
    assert isinstance(report, Failed)
    return report


def test_the_steps_of_this_file_are_all_that_there_are() -> None:
    assert CALLS.keys() == set(Step)
    assert MUTATING.keys() == {step for step in Step if NATURE[step].mutates}


@pytest.mark.parametrize("step", Step)
async def test_a_step_asks_what_it_is_about_and_succeeds(step: Step) -> None:
    world = books(stands=OperationState.COMPLETE)
    assert isinstance(await perform(world, command(step)), Done)
    assert tuple(dict.fromkeys(call for call in world.asked if call != "stopped?")) == CALLS[step]


@pytest.mark.parametrize("failure", Failure)
@pytest.mark.parametrize(("step", "method"), [(step, call) for step in Step for call in CALLS[step]])
async def test_whatever_is_refused_a_step_ends_only_as_the_kernel_expects(
    step: Step, method: str, failure: Failure
) -> None:
    """The kernel has no answer to any other, and would end the daemon."""
    error = EngineError(failure, "no", timedelta(seconds=7))
    report = await perform(books(refuses={method: [error]}), command(step))
    if step is Step.UNMARK and method == "unmark" and failure is Failure.STALE:
        assert report == Done()
        return
    found = failed(report)
    expected = failure if failure in NATURE[step].failures else Failure.UNREACHABLE
    assert (found.failure, found.retry_after) == (expected, timedelta(seconds=7))
    assert "no" in found.detail


@pytest.mark.parametrize("step", sorted(MUTATING.keys() - {Step.UNMARK}))
async def test_the_stop_file_is_looked_for_right_before_every_call_that_changes_anything(step: Step) -> None:
    world = books()
    await perform(world, command(step))
    before = [world.asked[i - 1] for i, call in enumerate(world.asked) if call == MUTATING[step]]
    assert before == ["stopped?"] * len(before)
    assert len(before) == (1 if step is Step.CONVERGE else 2)


@pytest.mark.parametrize("step", [Step.MARK, Step.CONVERGE])
async def test_what_the_kernel_objects_to_is_looked_at_and_not_performed(step: Step) -> None:
    objection = Failed(Failure.STOPPED, "alice paused all")
    world = books(stands=OperationState.NOT_BEGUN)
    asked = replace(command(step, resumed=True), objection=objection)
    assert await perform(world, asked) == objection
    assert MUTATING[step] not in world.asked


async def test_what_the_kernel_objects_to_and_is_done_already_is_done() -> None:
    world = books(stands=OperationState.COMPLETE)
    asked = replace(command(Step.CONVERGE, resumed=True), objection=Failed(Failure.STOPPED, "paused"))
    assert await perform(world, asked) == Done()


@pytest.mark.parametrize("done", [0, 1])
@pytest.mark.parametrize("step", [Step.MARK, Step.POWER])
async def test_a_stop_between_two_calls_keeps_the_second_from_being_made(step: Step, done: int) -> None:
    world = books()
    report = failed(await perform(world, command(step), [None] * done + ["STOP is there"]))
    assert (report.failure, report.detail) == (Failure.STOPPED, "STOP is there")
    assert world.asked.count(MUTATING[step]) == done


async def test_a_stopped_converge_is_not_asked_for_even_when_resumed() -> None:
    world = books(stands=OperationState.NOT_BEGUN)
    report = failed(await perform(world, command(Step.CONVERGE, resumed=True), ["STOP is there"]))
    assert report.failure is Failure.STOPPED
    assert "converge" not in world.asked


async def test_marks_are_taken_back_although_it_is_stopped() -> None:
    world = books()
    assert await perform(world, command(Step.UNMARK), ["STOP is there"]) == Done()
    assert world.asked == ["snapshot", "unmark", "unmark"]


@pytest.mark.parametrize("step", sorted(set(Step) - MUTATING.keys()))
async def test_what_changes_nothing_goes_on_while_it_is_stopped(step: Step) -> None:
    report = await perform(books(stands=OperationState.COMPLETE), command(step), ["STOP is there"])
    assert isinstance(report, Done)


@pytest.mark.parametrize(
    "state", [OperationState.IN_PROGRESS, OperationState.COMPLETE, OperationState.FAILED]
)
async def test_an_update_that_was_begun_before_the_crash_is_not_asked_for_again(
    state: OperationState,
) -> None:
    world = books(stands=state)
    assert await perform(world, command(Step.CONVERGE, resumed=True)) == Done()
    assert world.calls == [("operation", SHOP, "there")]


async def test_an_update_that_the_crash_prevented_is_asked_for() -> None:
    world = books(stands=OperationState.NOT_BEGUN)
    report = failed(await perform(world, command(Step.CONVERGE, resumed=True)))
    assert world.asked == ["operation", "stopped?", "converge", "operation"]
    assert (report.failure, report.retry_after) == (Failure.NOT_BEGUN, BEGINS_WITHIN)


@pytest.mark.parametrize(("resumed", "own"), [(0, None), (1, "there")])
async def test_only_an_update_that_is_asked_for_again_may_run_into_one_of_ours(
    resumed: int, own: str | None
) -> None:
    world = books()
    assert await perform(world, command(Step.CONVERGE, resumed_updates=resumed)) == Done()
    assert world.calls[world.calls.index(("converge", SHOP, own)) - 1] == ("stopped?",)


async def test_an_update_of_ours_that_has_ended_meanwhile_is_not_asked_for_again() -> None:
    world = books(stands=OperationState.COMPLETE)
    assert await perform(world, command(Step.CONVERGE, resumed_updates=1)) == Done()
    assert "converge" not in world.asked


async def test_what_may_have_been_restarted_before_the_crash_is_not_restarted_again() -> None:
    world = books()
    assert await perform(world, command(Step.POWER, resumed=True)) == Done()
    assert world.calls == []


@pytest.mark.parametrize("step", sorted(step for step in Step if NATURE[step].repeatable))
async def test_what_can_be_done_twice_is_simply_done_again_after_a_crash(step: Step) -> None:
    world = books(stands=OperationState.NOT_BEGUN)
    await perform(world, command(step, resumed=True))
    assert set(CALLS[step]) <= set(world.asked)


async def test_an_inspection_previews_each_owning_stack_of_what_fails() -> None:
    world = books()
    report = await perform(world, command(Step.INSPECT))
    assert isinstance(report, Done)
    assert isinstance(report.facts, Inspected)
    assert report.facts.baseline == {
        SHOP.id: {f"moved in {SHOP.id}"},
        NESTED: {f"moved in {NESTED}"},
    }
    assert report.facts.snapshot.resources.keys() == {"db", "api/server"}


@pytest.mark.parametrize("why", ["busy", "it replaces nothing"])
async def test_nothing_is_previewed_where_nothing_will_be_replaced_now(why: str) -> None:
    world = books(busy=("shop",) if why == "busy" else ())
    recipe = RECIPE if why == "busy" else replace(RECIPE, replaces=False)
    assert isinstance(await perform(world, command(Step.INSPECT, recipe=recipe)), Done)
    assert world.asked == ["snapshot"]


async def test_each_mark_names_who_set_it_for_which_repair_and_why() -> None:
    world = books()
    assert await perform(world, command(Step.MARK)) == Done(Marked("here"))
    assert [call for call in world.calls if call[0] != "stopped?"] == [
        ("mark", SHOP, API, f"{OURS} connection refused"),
        ("mark", SHOP, DB, f"{OURS} connection refused"),
        ("position", SHOP),
    ]


async def test_a_mark_holds_one_line_of_whatever_a_sender_wrote() -> None:
    world = books()
    asked = replace(command(Step.MARK), incidents=(failing("db", 1, "down\n\n" + "since x " * 100),))
    await perform(world, asked)
    reasons = [call[3] for call in world.calls if call[0] == "mark"]
    assert reasons[0] == f"{OURS} it fails"
    assert reasons[1].startswith(f"{OURS} down since x since")
    assert "\n" not in reasons[1]
    assert len(reasons[1]) == len(f"{OURS} ") + 200


async def test_the_preview_after_the_marks_is_of_each_stack_that_owns_one() -> None:
    report = await perform(books(), command(Step.PREVIEW))
    assert isinstance(report, Done)
    assert isinstance(report.facts, Previewed)
    assert report.facts.replaced.keys() == {SHOP.id, NESTED}


async def test_only_our_own_marks_of_this_very_repair_are_taken_back() -> None:
    others = (f"healer:test/{ulid(7)}: it fails", f"healer:other/{ulid(1)}: it fails", "it looks ill to me")
    for reason in others:
        world = Books(resources=(resource("db", DB, reason), resource("api/server", API)))
        assert await perform(world, command(Step.UNMARK)) == Done()
        assert world.asked == ["snapshot"]


async def test_one_that_was_just_replaced_keeps_no_other_from_being_unmarked() -> None:
    world = books(refuses={"unmark": [EngineError(Failure.STALE, "no"), None]})
    assert await perform(world, command(Step.UNMARK)) == Done()
    assert [call[2] for call in world.calls if call[0] == "unmark"] == [API, DB]


async def test_what_could_not_be_unmarked_is_tried_again() -> None:
    world = books(refuses={"unmark": [None, EngineError(Failure.BUSY, "an update is in progress")]})
    assert failed(await perform(world, command(Step.UNMARK))).failure is Failure.BUSY


@pytest.mark.parametrize(
    ("state", "report"),
    [
        (OperationState.COMPLETE, Done()),
        (OperationState.FAILED, Failed(Failure.UPDATE_FAILED, "api is being created")),
        (OperationState.IN_PROGRESS, Pending(Books.poll, "api is being created", 1, 2)),
        (OperationState.NOT_BEGUN, Pending(Books.poll, "api is being created", 1, 2)),
    ],
)
async def test_an_update_is_followed_as_the_engine_tells_it(state: OperationState, report: Report) -> None:
    world = books(stands=state)
    assert await perform(world, command(Step.FOLLOW)) == report
    assert world.calls == [("operation", SHOP, "there")]


async def test_a_proof_reads_the_wires_of_the_dependents_that_are_still_there() -> None:
    wired = [Reference(source, "wires", "db", "address", Effect.UPDATED) for source in ("api/server", "gone")]
    world = books()
    report = await perform(world, command(Step.PROVE, plan=replace(PLAN, references=tuple(wired))))
    assert isinstance(report, Done)
    assert isinstance(report.facts, Read)
    assert report.facts.wires == {"api/server": {"wires": "10.0.0.7"}}


async def test_each_incarnation_is_restarted_as_it_is_now() -> None:
    successor = Incarnation(SHOP.id, "db", "db-2")
    incidents = (BOTH[0], replace(BOTH[1], successor=successor))
    world = books()
    assert await perform(world, replace(command(Step.POWER), incidents=incidents)) == Done(Finished())
    assert [call[2] for call in world.calls if call[0] == "power"] == [API, successor]


async def test_a_cloud_that_the_configuration_has_no_more_is_unreachable() -> None:
    foreign = replace(SHOP, cloud="there")
    for step in set(Step) - {Step.NOTIFY}:
        assert failed(await perform(books(), command(step, root=foreign))).failure is Failure.UNREACHABLE


def crowd(**notifiers: Books) -> tuple[Performer, dict[str, Books]]:
    return Performer({}, notifiers, "test", lambda: None), notifiers


DOWN = EngineError(Failure.UNREACHABLE, "nobody listens")
NEVER = EngineError(Failure.REJECTED, "answered 410")


async def test_one_who_cannot_be_reached_keeps_no_other_from_being_told_and_alone_is_tried_again() -> None:
    telling, told = crowd(chat=Books(refuses={"notify": [DOWN, DOWN, None]}), pager=Books())
    first = failed(await telling.perform(command(Step.NOTIFY)))
    assert (first.failure, first.detail) == (Failure.UNREACHABLE, "chat: nobody listens")
    assert await telling.perform(command(Step.NOTIFY, resumed=True)) == Done()
    assert [call[1] for call in told["pager"].calls] == [one.id for one in BOTH]
    assert len(told["chat"].calls) == 4


async def test_one_who_refuses_for_good_is_not_tried_again_and_the_others_are_told() -> None:
    telling, told = crowd(chat=Books(refuses={"notify": [NEVER]}), pager=Books())
    report = failed(await telling.perform(command(Step.NOTIFY)))
    assert (report.failure, report.detail) == (Failure.REJECTED, "chat: answered 410")
    assert len(told["pager"].calls) == 2


async def test_one_who_can_be_tried_again_is_even_if_another_refuses_for_good() -> None:
    telling, _ = crowd(chat=Books(refuses={"notify": [NEVER]}), pager=Books(refuses={"notify": [DOWN]}))
    assert failed(await telling.perform(command(Step.NOTIFY))).failure is Failure.UNREACHABLE


async def test_a_remediation_may_name_whom_to_tell() -> None:
    telling, told = crowd(chat=Books(), pager=Books())
    assert await telling.perform(command(Step.NOTIFY, notifier="pager")) == Done()
    assert (len(told["chat"].calls), len(told["pager"].calls)) == (0, 2)


async def test_a_second_notification_tells_everybody_again() -> None:
    telling, told = crowd(pager=Books())
    for _ in range(2):
        assert await telling.perform(command(Step.NOTIFY)) == Done()
    assert len(told["pager"].calls) == 4


@pytest.mark.parametrize("notifier", ["", "pager"])
async def test_it_is_said_when_there_is_nobody_to_tell(notifier: str) -> None:
    telling, _ = crowd()
    report = failed(await telling.perform(command(Step.NOTIFY, notifier=notifier)))
    assert report.failure is Failure.REJECTED
    assert "configur" in report.detail


async def test_a_message_names_what_fails_since_when_and_where_to_read_on() -> None:
    said: list[Message] = []

    class Pager:
        async def notify(self, message: Message) -> None:
            said.append(message)

    telling = Performer({}, {"pager": Pager()}, "test", lambda: None)
    await telling.perform(replace(command(Step.NOTIFY), incidents=(failing("db", 1),)))
    assert said == [
        Message(
            incident=ulid(1),
            title="shop/db still fails: connection refused",
            text=f"shop/db has been failing since 2026-03-01 12:00:01 UTC (refused). See: healer show {ulid(1)}",
            fields={
                "cloud": "here",
                "stack": "shop",
                "resource": "db",
                "type": "Local::Process",
                "policy": "tiers",
                "symptom": "refused",
            },
        )
    ]


@pytest.mark.parametrize("step", [Step.MARK, Step.UNMARK, Step.PREVIEW])
async def test_a_repair_without_a_plan_touches_nothing(step: Step) -> None:
    world = books()
    assert isinstance(await perform(world, command(step, plan=None)), Done)
    assert not {"mark", "unmark", "preview"} & set(world.asked)
