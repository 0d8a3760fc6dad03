from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from healer.core.model import Health, Incarnation, Observation, Resource, Root, StackState, Symptom, Target
from healer.ports import Probe, Sight, Subject
from healer.probes.http import Http
from healer.probes.tcp import Tcp
from healer.scheduler import Assignment, Scheduler, subject_of
from tests.things import Thing, living_thing
from tests.virtual_time import VirtualLoop, virtually

ROOT = Root("here", "local", "r1", "shop")
START = datetime(2026, 3, 1, tzinfo=UTC)
WELL = Sight(Health.HEALTHY, Symptom.OK)
REFUSED = Sight(Health.UNHEALTHY, Symptom.REFUSED, "nobody listens")
SLOW = Sight(Health.UNHEALTHY, Symptom.TOO_SLOW, "it took long")


def loop() -> VirtualLoop:
    here = asyncio.get_running_loop()
    assert isinstance(here, VirtualLoop)
    return here


class LoopClock:
    """Goes with the loop, and on while the machine is suspended."""

    def __init__(self) -> None:
        self.suspended = timedelta()

    def now(self) -> datetime:
        return START + timedelta(seconds=asyncio.get_running_loop().time()) + self.suspended

    def elapsed(self) -> float:
        return asyncio.get_running_loop().time()


@dataclass(eq=False)
class Scripted:
    """A probe that takes as long, and sees what, it is told."""

    takes_s: float = 0.01
    sees: Sight | Exception = WELL
    during: Callable[[], object] = lambda: None
    began: list[tuple[float, Subject]] = field(default_factory=list)
    cancelled: int = 0
    out: int = 0
    most_out: int = 0

    async def probe(self, subject: Subject) -> Sight:
        self.began.append((asyncio.get_running_loop().time(), subject))
        self.out += 1
        self.most_out = max(self.most_out, self.out)
        try:
            await asyncio.sleep(self.takes_s / 2)
            self.during()
            await asyncio.sleep(self.takes_s / 2)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.out -= 1
        if isinstance(self.sees, Exception):
            raise self.sees
        return self.sees

    @property
    def times(self) -> list[float]:
        return [at for at, _ in self.began]


@dataclass
class World:
    scheduler: Scheduler
    clock: LoopClock
    batches: list[list[Observation]]
    gaps: list[float]
    tasks: list[asyncio.Task[None]]

    @property
    def seen(self) -> list[Observation]:
        return [observation for batch in self.batches for observation in batch]

    @property
    def words(self) -> list[tuple[Health, Symptom]]:
        return [(each.health, each.symptom) for each in self.seen]


def world(max_in_flight: int = 256) -> World:
    tasks: list[asyncio.Task[None]] = []

    def spawn(coro: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        tasks.append(asyncio.get_running_loop().create_task(coro, name=name))
        return tasks[-1]

    clock, batches, gaps = LoopClock(), list[list[Observation]](), list[float]()
    scheduler = Scheduler(clock, spawn, batches.append, gaps.append, max_in_flight=max_in_flight)
    scheduler.start()
    return World(scheduler, clock, batches, gaps, tasks)


def task(
    probe: Probe, path: str = "api", interval: float = 1, timeout: float = 0.5, physical_id: str = "id-1"
) -> Assignment:
    target = Target(ROOT, path)
    return Assignment(
        target=target,
        physical_id=physical_id,
        source="probe:scripted",
        probe=probe,
        interval=timedelta(seconds=interval),
        timeout=timedelta(seconds=timeout),
        subject=Subject(str(target), physical_id),
    )


def scenario(tell: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    """A test in virtual time, at whose end no task is left."""

    async def whole() -> None:
        await tell()
        assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]

    def test() -> None:
        virtually(whole())

    test.__name__, test.__doc__ = tell.__name__, tell.__doc__
    return test


def test_a_subject_has_what_every_resource_has_and_its_own_attributes() -> None:
    resource = Resource(
        "group/0/api",
        "Local::Process",
        Incarnation("n1", "api", "id-1"),
        "CREATE",
        StackState.COMPLETE,
        attributes={"address": "127.0.0.1", "port": "8080", "name": "shadowed"},
    )
    assert subject_of(Target(ROOT, "group/0/api"), resource) == Subject(
        name="shop/group/0/api",
        physical_id="id-1",
        values={
            "address": "127.0.0.1",
            "port": "8080",
            "name": "api",
            "path": "group/0/api",
            "physical_id": "id-1",
            "stack": "shop",
        },
    )


@scenario
async def test_looks_begin_on_the_grid_once_in_each_interval() -> None:
    here, probe = world(), Scripted()
    here.scheduler.assign([task(probe, interval=1)])
    await asyncio.sleep(10)
    assert len(probe.times) == 10
    assert all(abs(at * 20 - round(at * 20)) < 1e-3 for at in probe.times)
    assert all(abs(later - at - 1) < 1e-6 for at, later in zip(probe.times, probe.times[1:], strict=False))
    await here.scheduler.stop()


@scenario
async def test_an_interval_that_is_not_on_the_grid_becomes_the_next_longer_one_that_is() -> None:
    here, probe = world(), Scripted()
    here.scheduler.assign([task(probe, interval=0.12)])
    await asyncio.sleep(3)
    assert len(probe.times) == 20
    await here.scheduler.stop()


def phases() -> dict[str, float]:
    """Of many targets: when in the interval each is looked at."""
    found: dict[str, float] = {}

    async def whole() -> None:
        here, probes = world(), {f"web-{n}": Scripted() for n in range(400)}
        here.scheduler.assign(task(probe, path, interval=10) for path, probe in probes.items())
        await asyncio.sleep(10)
        found.update({path: round(probe.times[0] % 10, 2) for path, probe in probes.items()})
        await here.scheduler.stop()

    virtually(whole())
    return found


def test_looks_are_spread_over_the_interval_and_again_so_after_a_restart() -> None:
    first = phases()
    assert first == phases()
    in_each_second = [sum(int(phase) == second for phase in first.values()) for second in range(10)]
    assert min(in_each_second) > 20
    assert max(in_each_second) < 60


@scenario
async def test_a_look_that_takes_longer_than_its_interval_is_not_doubled() -> None:
    here, probe = world(), Scripted(takes_s=2.5)
    here.scheduler.assign([task(probe, interval=1, timeout=5)])
    await asyncio.sleep(12)
    assert probe.most_out == 1
    assert len(probe.times) == 4
    vitals = here.scheduler.vitals()
    assert (vitals.looks, vitals.skipped) == (4, 8)
    await here.scheduler.stop()


@scenario
async def test_no_more_looks_are_out_than_the_cap_allows_and_each_gets_its_turn() -> None:
    here, probe = world(max_in_flight=3), Scripted(takes_s=0.2)
    here.scheduler.assign([task(probe, f"web-{n}", interval=0.05) for n in range(10)])
    await asyncio.sleep(0.12)
    vitals = here.scheduler.vitals()
    assert (vitals.assigned, vitals.in_flight, vitals.waiting) == (10, 3, 7)
    await asyncio.sleep(2)
    assert probe.most_out == 3
    turns = Counter(subject.name for _, subject in probe.began)
    assert len(turns) == 10
    assert max(turns.values()) - min(turns.values()) <= 1
    await here.scheduler.stop()


@scenario
async def test_a_look_without_an_answer_within_its_timeout_is_unhealthy_as_of_when_it_began() -> None:
    here, probe = world(), Scripted(takes_s=60)
    here.scheduler.assign([task(probe, timeout=0.5)])
    await asyncio.sleep(2)
    first = here.seen[0]
    assert first == Observation(
        target=Target(ROOT, "api"),
        source="probe:scripted",
        health=Health.UNHEALTHY,
        symptom=Symptom.TIMED_OUT,
        at=START + timedelta(seconds=probe.times[0]),
        physical_id="id-1",
        detail="no answer within 500ms",
    )
    assert probe.cancelled >= 1
    await here.scheduler.stop()


@scenario
async def test_what_was_seen_on_one_tick_comes_in_one_batch() -> None:
    here = world()
    here.scheduler.assign([task(Scripted(0.001), f"web-{n}", interval=0.05) for n in range(10)])
    await asyncio.sleep(1.02)
    assert {len(batch) for batch in here.batches} == {10}
    assert 18 <= len(here.batches) <= 20
    await here.scheduler.stop()


@pytest.mark.parametrize(
    ("stall_s", "sees", "takes_s", "expected"),
    [
        (0.3, WELL, 60, Symptom.OBSERVER_LATE),
        (0.16, WELL, 60, Symptom.OBSERVER_LATE),
        (0.04, WELL, 60, Symptom.TIMED_OUT),
        (0.3, SLOW, 0.4, Symptom.OBSERVER_LATE),
        (0.02, SLOW, 0.8, Symptom.TOO_SLOW),
        (0.3, REFUSED, 0.4, Symptom.REFUSED),
        (0.3, WELL, 0.4, Symptom.OK),
    ],
)
def test_a_failure_that_is_one_of_time_is_not_believed_where_the_loop_was_late(
    stall_s: float, sees: Sight, takes_s: float, expected: Symptom
) -> None:
    async def whole() -> None:
        here = world()

        def stall_once() -> None:
            loop().stall(stall_s)

        probe = Scripted(takes_s, sees)
        here.scheduler.assign([task(probe, interval=2, timeout=1)])
        while not probe.began:
            await asyncio.sleep(0.01)
        loop().call_later(0.11, stall_once)
        await asyncio.sleep(1.5)
        first = here.seen[0]
        assert first.symptom is expected
        assert (first.health is Health.UNKNOWN) == (expected is Symptom.OBSERVER_LATE)
        assert here.scheduler.vitals().discounted == (expected is Symptom.OBSERVER_LATE)
        await here.scheduler.stop()

    virtually(whole())


@scenario
async def test_a_new_set_that_comes_while_the_tick_is_overdue_hides_no_lateness() -> None:
    here, assignment = world(), task(Scripted(takes_s=60), interval=2, timeout=1)

    def stall_and_assign() -> None:
        loop().stall(0.3)
        here.scheduler.assign([assignment, task(Scripted(), "new", interval=0.05)])

    here.scheduler.assign([assignment])
    while not here.scheduler.vitals().in_flight:
        await asyncio.sleep(0.01)
    loop().call_later(0.11, stall_and_assign)
    await asyncio.sleep(1.5)
    assert [each.symptom for each in here.seen if each.target.path == "api"] == [Symptom.OBSERVER_LATE]
    await here.scheduler.stop()


@scenario
async def test_lateness_before_a_look_began_is_not_held_against_it() -> None:
    here, probe = world(), Scripted(takes_s=60)
    here.scheduler.assign([task(probe, timeout=0.5)])
    loop().stall(0.4)
    await asyncio.sleep(2)
    assert here.words[0] == (Health.UNHEALTHY, Symptom.TIMED_OUT)
    await here.scheduler.stop()


@pytest.mark.parametrize("suspended", [False, True], ids=["stopped", "suspended"])
def test_after_a_gap_it_is_told_and_no_failure_of_that_time_is_believed(suspended: bool) -> None:
    """Connections that died while the machine slept say nothing of the things at their other ends."""

    async def whole() -> None:
        here = world()

        def gap() -> None:
            if suspended:
                here.clock.suspended = timedelta(hours=1)
            else:
                loop().stall(7)

        probe = Scripted(0.4, REFUSED, during=gap)
        here.scheduler.assign([task(probe, interval=20, timeout=10)])
        while not here.seen:
            await asyncio.sleep(0.05)
        probe.during = lambda: None
        [first] = here.seen
        assert (first.health, first.symptom) == (Health.UNKNOWN, Symptom.OBSERVER_LATE)
        assert first.detail == "healer itself did not run for a while: nobody listens"
        [told] = here.gaps
        assert told == pytest.approx(3600 if suspended else 7, abs=1)
        await asyncio.sleep(20)
        assert here.words[1] == (Health.UNHEALTHY, Symptom.REFUSED)
        assert len(here.gaps) == 1
        await here.scheduler.stop()

    virtually(whole())


@scenario
async def test_a_gap_that_ends_between_two_ticks_is_noticed_by_the_look_itself() -> None:
    here = world()

    def suspend() -> None:
        here.clock.suspended = timedelta(minutes=10)

    here.scheduler.assign([task(Scripted(0.02, REFUSED, during=suspend), interval=20, timeout=10)])
    while not here.seen:
        await asyncio.sleep(0.05)
    assert here.words == [(Health.UNKNOWN, Symptom.OBSERVER_LATE)]
    await here.scheduler.stop()


@scenario
async def test_nothing_is_a_gap_while_the_loop_turns() -> None:
    here = world()
    await asyncio.sleep(600)
    here.scheduler.assign([task(Scripted(), interval=60)])
    await asyncio.sleep(600)
    loop().stall(1.9)
    await asyncio.sleep(5)
    assert here.gaps == []
    await here.scheduler.stop()


@scenario
async def test_after_a_stall_each_is_looked_at_once_and_not_for_each_time_that_was_missed() -> None:
    here, probe = world(), Scripted()
    here.scheduler.assign([task(probe, f"web-{n}", interval=0.5) for n in range(5)])
    await asyncio.sleep(2)
    before = len(probe.began)
    loop().stall(30)
    await asyncio.sleep(0.1)
    assert len(probe.began) - before <= 10
    await here.scheduler.stop()


@pytest.mark.parametrize(
    "error", [RuntimeError("boom"), TimeoutError("its own"), OSError(5, "x"), KeyError()]
)
def test_a_probe_that_breaks_is_unknown_and_stops_no_other(error: Exception) -> None:
    async def whole() -> None:
        here = world()
        here.scheduler.assign([task(Scripted(sees=error), "broken"), task(Scripted(), "sound")])
        await asyncio.sleep(3)
        broken = [each for each in here.seen if each.target.path == "broken"]
        assert {(each.health, each.symptom) for each in broken} == {(Health.UNKNOWN, Symptom.PROBE_BROKEN)}
        assert type(error).__name__ in broken[0].detail
        assert len(broken) == len(here.seen) - len(broken) == 3
        await here.scheduler.stop()

    virtually(whole())


@scenario
async def test_what_is_assigned_no_more_is_cut_short_and_says_nothing() -> None:
    here, kept, dropped = world(), Scripted(), Scripted(takes_s=0.4)
    here.scheduler.assign([task(kept, "kept"), task(dropped, "dropped")])
    while not dropped.out:
        await asyncio.sleep(0.01)
    here.scheduler.assign([task(kept, "kept")])
    await asyncio.sleep(5)
    assert dropped.cancelled == 1
    assert len(dropped.began) == 1
    assert "dropped" not in {each.target.path for each in here.seen}
    assert here.scheduler.vitals().assigned == 1
    await here.scheduler.stop()


@scenario
async def test_what_is_assigned_again_keeps_its_rhythm_and_takes_the_new_values() -> None:
    here, probe = world(), Scripted()
    first = task(probe, interval=10)
    here.scheduler.assign([first])
    await asyncio.sleep(10)
    moved = replace(first, subject=Subject("shop/api", "id-1", {"address": "10.0.0.9"}))
    for _ in range(200):
        here.scheduler.assign([moved])
        await asyncio.sleep(0.1)
    assert [round(later - at, 6) for at, later in zip(probe.times, probe.times[1:], strict=False)] == [10, 10]
    assert [dict(subject.values) for _, subject in probe.began[1:]] == [{"address": "10.0.0.9"}] * 2
    await here.scheduler.stop()


@scenario
async def test_a_new_incarnation_is_looked_at_at_once_and_the_look_at_the_old_one_is_cut_short() -> None:
    here, probe = world(), Scripted(takes_s=5)
    here.scheduler.assign([task(probe, interval=60, timeout=10)])
    while not probe.out:
        await asyncio.sleep(0.05)
    at = asyncio.get_running_loop().time()
    here.scheduler.assign([task(probe, interval=60, timeout=10, physical_id="id-2")])
    await asyncio.sleep(6)
    assert probe.cancelled == 1
    assert 0 < probe.times[1] - at <= 0.1
    assert [(each.physical_id, each.health) for each in here.seen] == [("id-2", Health.HEALTHY)]
    await asyncio.sleep(60)
    assert round(probe.times[2] - probe.times[0], 6) % 60 == 0, "it returns to its phase"
    await here.scheduler.stop()


@scenario
async def test_a_new_interval_holds_from_now_on() -> None:
    here, probe = world(), Scripted()
    here.scheduler.assign([task(probe, interval=60)])
    await asyncio.sleep(1)
    here.scheduler.assign([task(probe, interval=0.5)])
    await asyncio.sleep(5)
    assert 10 <= len(probe.times) <= 11
    await here.scheduler.stop()


@scenario
async def test_a_look_that_is_dropped_before_its_first_step_is_forgotten() -> None:
    here, probe = world(), Scripted()
    assignment = task(probe, interval=0.05)
    here.scheduler.assign([assignment])
    while not here.tasks:
        await asyncio.sleep(0)
        loop().stall(0.01)
        if here.scheduler.vitals().in_flight:
            here.scheduler.assign([])
    await asyncio.sleep(1)
    assert probe.began == []
    assert here.scheduler.vitals().in_flight == 0
    await here.scheduler.stop()


@scenario
async def test_two_looks_of_one_source_at_one_target_are_a_mistake_that_changes_nothing() -> None:
    here, probe = world(), Scripted()
    here.scheduler.assign([task(probe)])
    with pytest.raises(ValueError, match="probe:scripted is assigned twice to shop/api"):
        here.scheduler.assign([task(probe, "web"), task(probe), task(probe)])
    await asyncio.sleep(3)
    assert {each.target.path for each in here.seen} == {"api"}
    await here.scheduler.stop()


@scenario
async def test_whoever_takes_what_was_seen_may_break_without_stopping_the_looks() -> None:
    here, probe, complaints = world(), Scripted(), list[Any]()
    loop().set_exception_handler(lambda _, context: complaints.append(context["exception"]))
    batches = here.batches

    class Breaking(list[Any]):
        def append(self, _: Any) -> None:
            raise RuntimeError("boom")

    def spawn(coro: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(coro, name=name)

    breaking = Scheduler(here.clock, spawn, Breaking().append, here.gaps.append)
    breaking.start()
    breaking.assign([task(probe)])
    await asyncio.sleep(3)
    assert len(probe.began) == 3
    assert [str(each) for each in complaints] == ["boom"] * 3
    assert batches == []
    await breaking.stop()
    await here.scheduler.stop()


@scenario
async def test_the_tasks_have_names_that_a_person_can_read() -> None:
    here = world()
    here.scheduler.assign([task(Scripted())])
    await asyncio.sleep(1)
    assert here.tasks[0].get_name() == "probe:scripted looks at shop/api"
    await here.scheduler.stop()


@scenario
async def test_stopping_cuts_looks_short_and_passes_on_what_was_seen() -> None:
    here, quick, slow = world(), Scripted(0.001), Scripted(60)
    here.scheduler.assign(
        [task(quick, "quick", interval=0.05), task(slow, "slow", interval=0.05, timeout=30)]
    )
    await asyncio.sleep(0.06)
    await here.scheduler.stop()
    assert (len(quick.began), slow.cancelled) == (1, 1)
    assert [each.target.path for each in here.seen] == ["quick"]
    here.scheduler.assign([task(quick)])
    with suppress(AssertionError):
        await asyncio.sleep(5)
    assert len(quick.began) == 1


@scenario
async def test_it_ticks_once_a_second_while_there_is_nothing_to_do() -> None:
    here, turns = world(), list[datetime]()
    for _ in range(50):
        await asyncio.sleep(0.1)
        turns.append(here.scheduler.vitals().last_tick_at)
    assert len(set(turns)) in {5, 6}
    assert here.clock.now() - turns[-1] <= timedelta(seconds=1.01)
    await here.scheduler.stop()


@scenario
async def test_the_worst_lateness_is_shown_for_a_while_and_then_forgotten() -> None:
    here = world()
    await asyncio.sleep(1)
    assert here.scheduler.vitals().lag_s == pytest.approx(0, abs=1e-6)
    loop().stall(2)
    assert here.scheduler.vitals().lag_s > 0.9, "it is seen even before the tick that is overdue"
    await asyncio.sleep(5)
    assert here.scheduler.vitals().lag_s > 0.9
    await asyncio.sleep(30)
    assert here.scheduler.vitals().lag_s == pytest.approx(0, abs=1e-6)
    await here.scheduler.stop()


# In real time, on real sockets.


async def until(true: Callable[[], object], within: float = 20) -> None:
    async with asyncio.timeout(within):
        while not true():
            await asyncio.sleep(0.01)


def tcp_at(thing: Thing) -> Assignment:
    return replace(task(Tcp(), interval=0.1, physical_id=thing.physical_id), subject=thing.subject)


async def test_a_real_process_is_seen_to_live_to_die_and_to_be_replaced() -> None:
    here = world()
    async with living_thing() as old, living_thing() as new:
        here.scheduler.assign([tcp_at(old)])
        await until(lambda: (Health.HEALTHY, Symptom.OK) in here.words)
        await old.kill()
        await until(lambda: (Health.UNHEALTHY, Symptom.REFUSED) in here.words)
        here.scheduler.assign([tcp_at(new)])
        await until(lambda: here.seen[-1].physical_id == new.physical_id)
        assert here.seen[-1].health is Health.HEALTHY
        await here.scheduler.stop()


async def test_a_daemon_that_stalls_invents_no_failure_of_things_that_are_well() -> None:
    async def respond(_: web.Request) -> web.Response:
        await asyncio.sleep(0.3)  # so that looks are out whenever the stall comes
        return web.Response(text="ok")

    app = web.Application()
    app.router.add_get("/", respond)
    async with TestServer(app) as server:
        here = world()
        probe = Http(url=f"http://127.0.0.1:{server.port}/")
        here.scheduler.assign([task(probe, f"web-{n}", interval=1, timeout=0.9) for n in range(40)])
        await until(lambda: len(here.seen) > 60)
        for _ in range(2):
            before = len(here.seen)
            time.sleep(1.5)  # noqa: ASYNC251 - this is the stall
            await until(lambda before=before: len(here.seen) > before + 60)  # type: ignore[misc]
        await here.scheduler.stop()
    assert not [each for each in here.seen if each.health is Health.UNHEALTHY]
    assert sum(each.health is Health.HEALTHY for each in here.seen) > 100
