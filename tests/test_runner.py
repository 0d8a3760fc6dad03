from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, get_args

import pytest
from structlog.testing import capture_logs

from healer.core.change import Change
from healer.core.event import (
    Alarmed,
    Event,
    Listed,
    Observed,
    PoliciesLoaded,
    Released,
    Renewed,
    Reported,
    Resumed,
    Silenced,
    Snapped,
    Started,
    Unreachable,
    Woken,
)
from healer.core.kernel import Decision, Kernel
from healer.core.model import Alarm, Health, Observation, Symptom, Target
from healer.core.state import State
from healer.core.step import Done, Failed, Failure, Inspected, Report, Step
from healer.core.turn import Perform
from healer.ports import StaleWriterError, StoreError, Write
from healer.runner import MOST_TOGETHER, SOONEST, STORE_RETRY, Performs, Runner
from healer.stores.memory import Memory
from healer.writer import Writer
from tests.core.driven import POLICY, PROBE, REPLACE, SHOP, shop
from tests.stores.samples import alarm, repair, stepped
from tests.virtual_time import virtually

START = datetime(2026, 3, 1, tzinfo=UTC)
T = TypeVar("T")
FULL = StoreError("the disk is full")
TAKEN = StaleWriterError("another healer has taken over")


class LoopClock:
    def now(self) -> datetime:
        return START + timedelta(seconds=self.elapsed())

    def elapsed(self) -> float:
        return asyncio.get_running_loop().time()


class Scripted(Kernel):
    """Decides what it is told to, by who released what; and nothing of anything else."""

    def __init__(self) -> None:
        super().__init__(State(), b"")
        self.script: dict[str, Decision | Exception] = {}
        self.handled: list[Event] = []
        self.wake_at: datetime | None = None

    def handle(self, event: Event, now: datetime) -> Decision:  # noqa: ARG002 - its script is all that counts
        self.handled.append(event)
        decision = self.script.get(event.incident) if isinstance(event, Released) else None
        if isinstance(decision, Exception):
            raise decision
        return decision or Decision((), (), self.wake_at)


@dataclass
class World:
    """A runner among fakes that all write into one log what happens, in its order."""

    kernel: Scripted = field(default_factory=Scripted)
    log: list[Any] = field(default_factory=list)
    refuses: list[StoreError | None] = field(default_factory=list)
    """What each further write meets; nothing once it is used up."""
    known: set[str] = field(default_factory=set)
    """Keys of alarms that are stored already."""
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    reports: dict[Step, Report | Exception | asyncio.Event] = field(default_factory=dict)
    ended: list[BaseException | None] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.gate.set()
        self.runner = Runner(self.kernel, self, self, clock=LoopClock(), spawn=self.spawn, observers=[self])

    def spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self.names.append(name)
        task.add_done_callback(lambda t: self.ended.append(None if t.cancelled() else t.exception()))
        return task

    async def write(self, write: Write) -> tuple[bool, ...]:
        await self.gate.wait()
        fate = self.refuses.pop(0) if self.refuses else None
        if fate:
            self.log.append(("refused", fate))
            raise fate
        self.log.append(("stored", len(write.changes), [one.key for one in write.alarms]))
        return tuple(one.key not in self.known for one in write.alarms)

    async def perform(self, command: Perform) -> Report:
        step = command.repair.step
        self.log.append(("performed", step, command.repair.id))
        report = self.reports.get(step, Done())
        if isinstance(report, asyncio.Event):
            await report.wait()
            self.log.append(("finished", step))
            return Done()
        if isinstance(report, Exception):
            raise report
        return report

    def decided(self, event: Event, decision: Decision) -> None:  # noqa: ARG002 - an observer's
        if isinstance(event, Released):
            self.log.append(("told", event.incident))

    def will(self, name: str, *steps: Step, changes: int = 1, wake_at: datetime | None = None) -> Released:
        """The event that leads to so many changes, and to these steps being performed."""
        commands = tuple(
            Perform(repair(1, id=f"repair of {name}", step=step, attempt=4), ()) for step in steps
        )
        self.kernel.script[name] = Decision((CHANGE,) * changes, commands, wake_at)
        return Released(name, "anna")

    def kinds(self) -> list[str]:
        return [kind for kind, *_ in self.log]


CHANGE: Change = stepped(repair(1))


def in_a_world(scenario: Callable[[World], Coroutine[Any, Any, T]]) -> T:
    """In virtual time, and with the runner started."""

    async def run() -> T:
        world = World()
        world.runner.start()
        try:
            return await scenario(world)
        finally:
            await world.runner.stop(0.5)

    return virtually(run())


def test_nothing_is_carried_out_told_or_answered_before_it_is_stored() -> None:
    async def scenario(world: World) -> None:
        world.gate.clear()
        asked = world.spawn(wait_for(world.runner.decide(world.will("a", Step.MARK))), "asker")
        await asyncio.sleep(5)
        assert world.log == []
        assert not asked.done()
        world.gate.set()
        await asked
        await asyncio.sleep(0.1)
        assert world.kinds() == ["stored", "told", "performed"]

    in_a_world(scenario)


async def wait_for(what: Coroutine[Any, Any, Any]) -> None:
    await what


def test_all_that_is_queued_is_decided_in_order_and_stored_in_one_commit() -> None:
    async def scenario(world: World) -> None:
        world.gate.clear()
        world.runner.feed(world.will("first"))
        await asyncio.sleep(1)
        for name in "abcdef":
            world.runner.feed(world.will(name, Step.MARK, changes=2))
        world.gate.set()
        await asyncio.sleep(1)
        assert world.log[:3] == [("stored", 1, []), ("told", "first"), ("stored", 12, [])]
        assert [one[1] for one in world.log if one[0] == "told"] == ["first", *"abcdef"]
        assert [one[2] for one in world.log if one[0] == "performed"] == [f"repair of {x}" for x in "abcdef"]

    in_a_world(scenario)


def test_what_changes_nothing_costs_no_commit() -> None:
    async def scenario(world: World) -> None:
        decision = await world.runner.decide(Observed(()))
        assert decision == Decision((), (), None)
        assert world.log == []

    in_a_world(scenario)


def test_under_a_flood_of_events_everybody_else_has_a_turn() -> None:
    async def scenario(world: World) -> None:
        for _ in range(MOST_TOGETHER * 3):
            world.runner.feed(Observed(()))
        turns = 0
        while len(world.kernel.handled) < MOST_TOGETHER * 3:
            await asyncio.sleep(0)
            turns += 1
            assert len(world.kernel.handled) <= turns * MOST_TOGETHER
        assert turns >= 3

    in_a_world(scenario)


def test_a_store_that_refuses_stops_what_follows_and_recovers_by_itself() -> None:
    async def scenario(world: World) -> None:
        world.refuses = [FULL] * 3
        asked = world.spawn(wait_for(world.runner.decide(world.will("a", Step.MARK))), "asker")
        await asyncio.sleep(STORE_RETRY * 1.5)
        assert world.runner.unstored == "the disk is full"
        world.runner.feed(world.will("b", Step.CONVERGE))
        with pytest.raises(StoreError, match="the disk is full"):
            await world.runner.accept((alarm(1),))
        assert world.kinds() == ["refused", "refused"]
        await asked
        await asyncio.sleep(0.1)
        assert world.runner.unstored is None
        assert world.kinds() == ["refused"] * 3 + [
            "stored",
            "told",
            "performed",
            "stored",
            "told",
            "performed",
        ]
        assert await world.runner.accept((alarm(1),)) == (True,)

    with capture_logs() as logs:
        in_a_world(scenario)
    told = [line for line in logs if line["event"].startswith("store.")]
    assert told == [
        {"event": "store.refused", "why": "the disk is full", "log_level": "error"},
        {"event": "store.recovered", "refused_for_s": 3.0, "let_go": 0, "log_level": "warning"},
    ]


TOLD_AGAIN: tuple[Event, ...] = (
    Observed(()),
    Snapped(shop()),
    Listed("here", frozenset()),
    Unreachable("here", "no answer"),
)
TOLD_ONCE: tuple[Event, ...] = (
    Alarmed((alarm(1),)),
    Renewed((alarm(1),)),
    Reported("r", 1, Done()),
    Resumed(9.0),
    Woken(),
    Started(),
    Released("x", "anna"),
    # Read each minute: what is silenced must be known before anything is begun, and so little fills no memory.
    Silenced("alertmanager", ()),
)


def test_while_the_store_refuses_the_queue_does_not_fill_the_memory_and_loses_nothing_that_is_told_once() -> (
    None
):
    async def scenario(world: World) -> None:
        world.refuses = [FULL] * 5
        world.runner.feed(world.will("a"))
        await asyncio.sleep(0.5)
        for _ in range(100):
            for event in TOLD_AGAIN:
                world.runner.feed(event)
        for event in TOLD_ONCE:
            world.runner.feed(event)
        await asyncio.sleep(STORE_RETRY * 6)
        assert world.kernel.handled[1:] == list(TOLD_ONCE)
        for event in TOLD_AGAIN:
            world.runner.feed(event)
        await asyncio.sleep(0.1)
        assert world.kernel.handled[-4:] == list(TOLD_AGAIN)

    in_a_world(scenario)


def test_every_event_that_is_fed_is_known_to_be_told_again_or_not() -> None:
    waited_for = {"Requested", "Paused", "Unpaused", "Stopped", "PoliciesLoaded", "Awaited"}
    known = {type(event).__name__ for event in (*TOLD_AGAIN, *TOLD_ONCE)}
    assert {kind.__name__ for kind in get_args(Event)} == known | waited_for


@pytest.mark.parametrize("error", [TAKEN, RuntimeError("a bug")])
def test_a_heart_that_stops_breaks_its_task_and_tells_everybody_who_waits(error: Exception) -> None:
    """Half a daemon would accept alarms and never heal: the whole must end, be started again, and look."""

    async def scenario(world: World) -> None:
        events = [world.will("a", Step.MARK), world.will("b")]
        if isinstance(error, StoreError):
            world.refuses = [error]
        else:
            world.kernel.script["b"] = error
        asked = [world.runner.decide(event) for event in events]
        for outcome in await asyncio.gather(*asked, return_exceptions=True):
            assert isinstance(outcome, StoreError)
            assert str(error) in str(outcome)
        assert error in world.ended
        with pytest.raises(StoreError, match=str(error)):
            await world.runner.decide(Started())
        with pytest.raises(StoreError, match=str(error)):
            await world.runner.accept((alarm(1),))
        assert world.runner.unstored == f"healer cannot go on: {error}"
        assert "performed" not in world.kinds()

    in_a_world(scenario)


def test_a_store_that_another_has_taken_over_ends_the_daemon_also_where_nothing_is_decided() -> None:
    async def scenario(world: World) -> None:
        world.refuses = [TAKEN]
        with pytest.raises(StaleWriterError):
            await world.runner.accept((alarm(1),))
        await asyncio.sleep(1)
        assert TAKEN in world.ended

    in_a_world(scenario)


def test_alarms_are_stored_first_and_thought_about_as_new_ones_or_known_ones() -> None:
    async def scenario(world: World) -> None:
        world.known = {alarm(2).key}
        world.gate.clear()
        asked = world.spawn(wait_for(world.runner.accept((alarm(1), alarm(2)))), "sender")
        await asyncio.sleep(1)
        assert world.kernel.handled == []
        assert not asked.done()
        world.gate.set()
        await asked
        await asyncio.sleep(0.1)
        assert world.kernel.handled == [Alarmed((alarm(1),)), Renewed((alarm(2),))]
        assert await world.runner.accept((alarm(2),)) == (False,)
        await asyncio.sleep(0.1)
        assert world.kernel.handled[2:] == [Renewed((alarm(2),))]

    in_a_world(scenario)


def test_alarms_that_are_not_stored_are_not_thought_about() -> None:
    async def scenario(world: World) -> None:
        world.refuses = [FULL]
        with pytest.raises(StoreError, match="full"):
            await world.runner.accept((alarm(1),))
        await asyncio.sleep(0.1)
        assert world.kernel.handled == []
        assert world.runner.unstored is None

    in_a_world(scenario)


def test_what_came_of_a_step_goes_back_in_under_the_attempt_that_it_was() -> None:
    async def scenario(world: World) -> None:
        world.reports[Step.FOLLOW] = Failed(Failure.UPDATE_FAILED, "no")
        world.runner.feed(world.will("a", Step.FOLLOW))
        await asyncio.sleep(0.1)
        assert world.kernel.handled[1:] == [Reported("repair of a", 4, Failed(Failure.UPDATE_FAILED, "no"))]
        assert world.names == ["decider", "follow of repair repair of a on shop"]

    in_a_world(scenario)


def test_a_step_that_breaks_is_looked_at_again_and_ends_nothing() -> None:
    async def scenario(world: World) -> None:
        world.reports[Step.CONVERGE] = KeyError("stack")
        world.runner.feed(world.will("a", Step.CONVERGE))
        await asyncio.sleep(0.1)
        (report,) = [event.report for event in world.kernel.handled if isinstance(event, Reported)]
        assert report == Failed(Failure.UNREACHABLE, "the step broke: KeyError: 'stack'")
        assert world.ended == [None]

    with capture_logs() as logs:
        in_a_world(scenario)
    assert [line["event"] for line in logs] == ["step.broke"]


def test_the_kernel_is_woken_when_it_asked_to_be_and_the_last_word_counts() -> None:
    async def scenario(world: World) -> None:
        began = LoopClock().now()
        await world.runner.decide(world.will("a", wake_at=began + timedelta(seconds=10)))
        await world.runner.decide(world.will("b", wake_at=began + timedelta(seconds=20)))
        await asyncio.sleep(19)
        assert Woken() not in world.kernel.handled
        await asyncio.sleep(1.1)
        assert world.kernel.handled.count(Woken()) == 1
        await asyncio.sleep(100)
        assert world.kernel.handled.count(Woken()) == 1

    in_a_world(scenario)


def test_a_kernel_that_wants_to_be_woken_at_once_and_again_leaves_time_for_others() -> None:
    async def scenario(world: World) -> None:
        world.kernel.wake_at = START
        world.runner.feed(Observed(()))
        await asyncio.sleep(1)
        assert 1 < world.kernel.handled.count(Woken()) <= 1 / SOONEST + 1
        world.kernel.wake_at = None

    in_a_world(scenario)


def test_at_the_end_what_is_out_may_end_and_its_outcome_is_stored_but_nothing_new_begins() -> None:
    async def scenario(world: World) -> None:
        slow = asyncio.Event()
        world.reports[Step.MARK] = slow
        await world.runner.decide(world.will("a", Step.MARK))
        asyncio.get_running_loop().call_later(3, slow.set)
        asyncio.get_running_loop().call_later(2, world.runner.feed, world.will("b", Step.CONVERGE))
        began = LoopClock().elapsed()
        await world.runner.stop(10)
        assert LoopClock().elapsed() - began == pytest.approx(3, abs=0.1)
        assert [one[1] for one in world.log if one[0] in {"performed", "finished"}] == [Step.MARK, Step.MARK]
        assert world.log.count(("stored", 1, [])) == 2
        assert Reported("repair of a", 4, Done()) in world.kernel.handled
        assert world.ended == [None, None]

    with capture_logs() as logs:
        in_a_world(scenario)
    assert {"event": "step.parked", "step": "converge", "repair": "repair of b", "log_level": "info"} in logs


def test_at_the_end_what_does_not_end_is_parked_without_a_word() -> None:
    async def scenario(world: World) -> None:
        world.reports[Step.CONVERGE] = asyncio.Event()
        await world.runner.decide(world.will("a", Step.CONVERGE))
        began = LoopClock().elapsed()
        await world.runner.stop(10)
        assert LoopClock().elapsed() - began == pytest.approx(10, abs=0.1)
        assert not any(isinstance(event, Reported) for event in world.kernel.handled)
        assert world.ended == [None, None]

    in_a_world(scenario)


def test_at_the_end_all_that_was_handed_in_is_decided() -> None:
    async def scenario(world: World) -> None:
        for name in "abc":
            world.runner.feed(world.will(name, wake_at=START))
        await world.runner.stop(10)
        assert [event.incident for event in world.kernel.handled if isinstance(event, Released)] == [*"abc"]
        await asyncio.sleep(10)
        assert Woken() not in world.kernel.handled
        with pytest.raises(StoreError, match="stopping"):
            await world.runner.decide(Started())

    in_a_world(scenario)


def test_at_the_end_a_store_that_refuses_is_not_waited_for_for_ever() -> None:
    async def scenario(world: World) -> None:
        world.refuses = [FULL] * 1000
        asked = asyncio.gather(world.runner.decide(world.will("a", Step.MARK)))
        await asyncio.sleep(3)
        began = LoopClock().elapsed()
        await world.runner.stop(10)
        assert LoopClock().elapsed() - began < 11
        with pytest.raises(StoreError):
            await asked
        assert "performed" not in world.kinds()

    in_a_world(scenario)


def test_whoever_gives_up_waiting_keeps_nobody_else_from_being_served() -> None:
    async def scenario(world: World) -> None:
        world.gate.clear()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await world.runner.decide(world.will("a", Step.MARK))
        world.gate.set()
        await world.runner.decide(world.will("b"))
        assert [one[1] for one in world.log if one[0] == "told"] == ["a", "b"]

    in_a_world(scenario)


# With the real kernel, writer and a store, in real time.


class WallClock(LoopClock):
    """Moves when the test says so: what the kernel waits for must not be waited for."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def now(self) -> datetime:
        return super().now() + self.ahead


class Doer:
    """Performs by one word, or never ends."""

    def __init__(self, *ends: Report) -> None:
        self.begun: list[Perform] = []
        self._ends = list(ends)
        self.hangs = asyncio.Event()

    async def perform(self, command: Perform) -> Report:
        self.begun.append(command)
        if self._ends:
            return self._ends.pop(0)
        self.hangs.set()
        await asyncio.Event().wait()
        raise AssertionError


def spawn(coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    return asyncio.get_running_loop().create_task(coroutine, name=name)


async def begun(store: Memory, performer: Performs, clock: WallClock) -> tuple[Runner, Writer]:
    """A daemon's heart, as it is after a start: from what is stored alone."""
    writer = Writer(store)
    await writer.read(lambda opened: opened.acquire())
    state = await writer.read(lambda opened: opened.load())
    runner = Runner(Kernel(state, b"n"), writer, performer, clock=clock, spawn=spawn)
    runner.start()
    await runner.decide(PoliciesLoaded((POLICY,), {"replace": REPLACE}))
    await runner.decide(Started())
    await runner.decide(Snapped(shop()))
    await runner.decide(Listed("here", frozenset({SHOP})))
    return runner, writer


def looks(health: Health, clock: WallClock, *paths: str) -> Observed:
    symptom = Symptom.OK if health is Health.HEALTHY else Symptom.REFUSED
    return Observed(
        tuple(Observation(Target(SHOP, path), PROBE, health, symptom, clock.now()) for path in paths)
    )


async def fail(runner: Runner, clock: WallClock, path: str) -> None:
    for health in (Health.HEALTHY, Health.UNHEALTHY, Health.UNHEALTHY):
        clock.ahead += timedelta(seconds=1)
        await runner.decide(looks(health, clock, path))
    clock.ahead += timedelta(seconds=1)
    await runner.decide(Woken())


async def test_a_step_that_was_out_when_the_daemon_died_is_looked_at_first_by_the_next_one() -> None:
    store, clock = Memory(), WallClock()
    doer = Doer(Done(Inspected(shop(), {SHOP.id: frozenset()})))
    runner, writer = await begun(store, doer, clock)
    await fail(runner, clock, "db")
    await doer.hangs.wait()
    await runner.stop(0)
    await writer.close()
    assert [(command.repair.step, command.resumed) for command in doer.begun] == [
        (Step.INSPECT, False),
        (Step.MARK, False),
    ]

    again = Doer()
    runner, writer = await begun(store, again, clock)
    await again.hangs.wait()
    (command,) = again.begun
    assert command.resumed
    assert command.repair == replace(doer.begun[-1].repair, tries=1)
    await runner.stop(0)
    await writer.close()


async def test_alarms_that_were_accepted_when_the_daemon_died_are_thought_about_by_the_next_one() -> None:
    store, clock = Memory(), WallClock()
    runner, writer = await begun(store, Doer(), clock)
    spare: Sequence[Alarm] = [alarm(1), alarm(2)]
    kept = await writer.write(Write(alarms=tuple(spare)))
    assert kept == (True, True)
    await runner.stop(0)
    await writer.close()
    runner, writer = await begun(store, Doer(), clock)
    outcomes = await writer.read(lambda opened: [one.outcome for one in opened.alarms()])
    assert None not in outcomes
    await runner.stop(0)
    await writer.close()


async def test_a_thousand_queued_failures_are_few_commits() -> None:
    """A switch that dies is seen by all probes at once: with a commit for each, the last would wait for a thousand."""
    commits: list[int] = []

    class Counted(Memory):
        def commit(self, writes: Sequence[Write]) -> tuple[tuple[bool, ...], ...]:
            commits.append(sum(len(write.changes) for write in writes))
            return super().commit(writes)

    clock = WallClock()
    runner, writer = await begun(Counted(), Doer(), clock)
    commits.clear()
    clock.ahead += timedelta(seconds=1)
    for _ in range(2):
        for path in ("db", "api", "web"):
            runner.feed(looks(Health.UNHEALTHY, clock, path))
    for _ in range(1000):
        runner.feed(looks(Health.UNHEALTHY, clock, "db"))
    await runner.decide(Woken())
    assert len(commits) <= 2
    assert commits[0] >= 3
    await runner.stop(0)
    await writer.close()
