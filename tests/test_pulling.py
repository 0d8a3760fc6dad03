from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import pytest
from structlog.testing import capture_logs

from healer.core.event import Awaited, Silenced
from healer.core.model import Alarm, AlarmStatus, Selector
from healer.core.silence import Silence
from healer.core.step import Failure
from healer.ports import Batch, EngineError, StoreError
from healer.pulling import BETWEEN_S, FIRST_WITHIN, Pulling, waker
from tests.virtual_time import virtually

NOW = datetime(2030, 1, 1, tzinfo=UTC)
ONE = Alarm("here", "k", AlarmStatus.FIRING, NOW, NOW, Selector())
SILENCE = Silence("s", Selector(stack="shop"), NOW, "anna", "at work on it")
SILENT = EngineError(Failure.UNREACHABLE, "no answer")


@dataclass
class Queue:
    """Gives what is in it, and forgets that only when told."""

    every: ClassVar[timedelta] = timedelta(seconds=60)
    reads: ClassVar[frozenset[str]] = frozenset({"here"})
    gives: list[Batch | Exception] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    async def pull(self, source: str, now: datetime) -> Batch:
        self.told.append(f"pull {source} {now:%H:%M}")
        given = self.gives.pop(0) if self.gives else Batch(())
        if isinstance(given, Exception):
            raise given
        return given

    async def stored(self) -> None:
        self.told.append("stored")

    async def close(self) -> None:
        self.told.append("closed")


@dataclass
class Shelf:
    full: bool = False
    kept: list[Alarm] = field(default_factory=list)
    counted: list[tuple[str, tuple[bool, ...]]] = field(default_factory=list)

    async def accept(self, alarms: tuple[Alarm, ...]) -> tuple[bool, ...]:
        if self.full:
            raise StoreError("the disk is full")
        self.kept += alarms
        return tuple(True for _ in alarms)

    def received(self, source: str, batch: Batch, new: tuple[bool, ...]) -> None:
        assert len(batch.alarms) == len(new)
        self.counted.append((source, new))


def reader(queue: Queue, shelf: Shelf) -> Pulling:
    return Pulling("here", queue, shelf.accept, lambda: NOW, shelf.received)


async def test_what_is_read_is_stored_before_its_sender_may_forget_it() -> None:
    queue, shelf = Queue([Batch((ONE,))]), Shelf()
    await reader(queue, shelf).read()
    assert shelf.kept == [ONE]
    assert shelf.counted == [("here", (True,))]
    assert queue.told == ["pull here 00:00", "stored"]


async def test_the_alarm_that_always_fires_is_no_alarm_here_either() -> None:
    sign = replace(ONE, key="w", labels={"alertname": "Watchdog"})
    queue, shelf = Queue([Batch((sign, ONE))]), Shelf()
    await replace(reader(queue, shelf), watchdog="Watchdog").read()
    assert shelf.kept == [ONE]


async def test_what_lacks_a_label_that_is_asked_for_is_passed_over_here_too_and_silences_are_not() -> None:
    wanted = replace(ONE, key="w", labels={"heal": "auto", "team": "a"})
    heard: list[Silenced] = []
    queue, shelf = Queue([Batch((ONE, wanted), silences=(SILENCE,))]), Shelf()
    await replace(reader(queue, shelf), only={"heal": "auto"}, silenced=heard.append).read()
    assert shelf.kept == [wanted]
    assert shelf.counted == [("here", (True,))]
    assert heard == [Silenced("here", (SILENCE,))]
    assert queue.told == ["pull here 00:00", "stored"]


async def test_what_could_not_be_stored_is_not_forgotten() -> None:
    queue, shelf = Queue([Batch((ONE,))]), Shelf(full=True)
    with capture_logs() as logs:
        await reader(queue, shelf).read()
    assert queue.told == ["pull here 00:00"]
    assert logs[0]["why"] == "what it gave could not be stored: the disk is full"


@pytest.mark.parametrize("error", [SILENT, KeyError("x")])
async def test_that_it_cannot_be_read_is_said_once_and_so_is_that_it_can_again(error: Exception) -> None:
    queue, shelf = Queue([error, error, Batch(()), Batch(())]), Shelf()
    one = reader(queue, shelf)
    with capture_logs() as logs:
        for _ in range(4):
            await one.read()
    told = [line["event"] for line in logs if line["event"] != "alarms.broke"]
    assert told == ["alarms.unreadable", "alarms.read"]
    assert shelf.counted == [("here", ()), ("here", ())]


def test_it_is_read_at_once_and_then_as_often_as_it_says_until_the_daemon_stops() -> None:
    async def scenario() -> None:
        queue = Queue()
        task = asyncio.get_running_loop().create_task(reader(queue, Shelf()).run())
        await asyncio.sleep(150)
        task.cancel()
        await asyncio.wait([task])
        assert queue.told == ["pull here 00:00", "stored"] * 3 + ["closed"]

    virtually(scenario())


@asynccontextmanager
async def running(queue: Queue) -> AsyncIterator[Pulling]:
    one = reader(queue, Shelf())
    task = asyncio.get_running_loop().create_task(one.run())
    try:
        yield one
    finally:
        task.cancel()
        await asyncio.wait([task])


def reads(queue: Queue) -> int:
    return sum(told.startswith("pull") for told in queue.told)


def test_who_is_asked_for_soon_is_read_at_once_and_a_minute_later() -> None:
    async def scenario() -> None:
        queue = Queue()
        async with running(queue) as one:
            await asyncio.sleep(20)
            waker([one])("somebody else")
            await asyncio.sleep(1)
            assert reads(queue) == 1
            waker([one])("here")
            await asyncio.sleep(0.001)
            assert reads(queue) == 2
            await asyncio.sleep(59)
            assert reads(queue) == 2
            await asyncio.sleep(2)
            assert reads(queue) == 3

    virtually(scenario())


def test_however_often_it_is_asked_for_there_is_a_pause_between_two_readings() -> None:
    """Alertmanager may cut off many groups in one second: it must not be asked for all it has a hundred times."""

    async def scenario() -> None:
        queue = Queue()
        async with running(queue) as one:
            for _ in range(int(60 / 0.05)):
                one.soon()
                await asyncio.sleep(0.05)
            assert 60 / BETWEEN_S <= reads(queue) <= 60 / BETWEEN_S + 1

    virtually(scenario())


def test_what_is_asked_for_during_a_reading_makes_another_after_it() -> None:
    """The one under way may have read before that alert came."""

    class Slow(Queue):
        async def pull(self, source: str, now: datetime) -> Batch:
            await asyncio.sleep(3)
            return await super().pull(source, now)

    async def scenario() -> None:
        queue = Slow()
        async with running(queue) as one:
            await asyncio.sleep(1)
            one.soon()
            await asyncio.sleep(2.5)
            assert reads(queue) == 1
            await asyncio.sleep(BETWEEN_S + 3)
            assert reads(queue) == 2

    virtually(scenario())


def test_one_that_is_read_oftener_than_that_stays_so() -> None:
    class Eager(Queue):
        every: ClassVar[timedelta] = timedelta(seconds=1)

    async def scenario() -> None:
        queue = Eager()
        async with running(queue):
            await asyncio.sleep(9.5)
        assert reads(queue) == 10

    virtually(scenario())


# What is silenced.


@dataclass
class Hushed(Queue):
    """As Alertmanager, where silences are read as well."""

    silences: bool = True


def listener(queue: Queue, shelf: Shelf | None = None) -> tuple[Pulling, list[Silenced]]:
    heard: list[Silenced] = []
    shelf = shelf or Shelf()
    return Pulling("here", queue, shelf.accept, lambda: NOW, shelf.received, silenced=heard.append), heard


def test_what_is_silenced_is_awaited_where_it_is_read_at_all() -> None:
    assert [*listener(Hushed())[0].awaited()] == [Awaited("here", NOW + FIRST_WITHIN)]
    assert [*listener(Hushed(silences=False))[0].awaited()] == []
    assert [*listener(Queue())[0].awaited()] == []


async def test_all_that_is_silenced_is_told_each_time_and_before_any_alarm_is_thought_of() -> None:
    class Full(Shelf):
        async def accept(self, alarms: tuple[Alarm, ...]) -> tuple[bool, ...]:
            assert heard == [Silenced("here", (SILENCE,))]
            return await super().accept(alarms)

    one, heard = listener(Hushed([Batch((ONE,), silences=(SILENCE,)), Batch((), silences=())]), Full())
    await one.read()
    await one.read()
    assert heard == [Silenced("here", (SILENCE,)), Silenced("here", ())]
    assert [*one.awaited()] == []


async def test_what_cannot_be_stored_is_silenced_all_the_same() -> None:
    one, heard = listener(Hushed([Batch((ONE,), silences=(SILENCE,))]), Shelf(full=True))
    await one.read()
    assert heard == [Silenced("here", (SILENCE,))]


@pytest.mark.parametrize("error", [SILENT, KeyError("x")])
async def test_a_first_reading_in_vain_is_not_waited_for_and_a_later_one_takes_nothing_back(
    error: Exception,
) -> None:
    one, heard = listener(Hushed([error, Batch((), silences=(SILENCE,)), error, error]))
    with capture_logs():
        await one.read()
        assert heard == [Silenced("here", ())]
        for _ in range(3):
            await one.read()
    assert heard == [Silenced("here", ()), Silenced("here", (SILENCE,))]


async def test_of_a_sender_whose_silences_are_not_read_nothing_is_said() -> None:
    for queue in (Hushed([SILENT, Batch((ONE,))], silences=False), Queue([SILENT, Batch((ONE,))])):
        one, heard = listener(queue)
        await one.read()
        await one.read()
        assert heard == []
