"""Alarms on their way into the store: kept together, refused apart, and thought about once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest

from healer.accepting import Accepting
from healer.core.event import Alarmed, Event, Renewed
from healer.core.model import Alarm
from healer.ports import StaleWriterError, StoreError, Write
from tests.stores.samples import alarm

POISON = alarm(13)
FULL = StoreError("the disk is full")


class Gate:
    """A store's writer that keeps what it is given once its gate is open."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.begun = 0
        self.writes: list[tuple[Alarm, ...]] = []
        self.known: set[str] = set()
        self.broken: StoreError | None = None

    async def write(self, write: Write) -> tuple[bool, ...]:
        self.begun += 1
        await self.open.wait()
        if self.broken:
            raise self.broken
        if POISON in write.alarms:
            raise FULL
        self.writes.append(write.alarms)
        new = tuple(alarm.identity not in self.known for alarm in write.alarms)
        self.known |= {alarm.identity for alarm in write.alarms}
        return new


class House:
    def __init__(self) -> None:
        self.gate = Gate()
        self.fed: list[Event] = []
        self.tasks: set[asyncio.Task[None]] = set()
        self.accepting = Accepting(self.gate, self.fed.append, self.spawn, most_waiting=10)

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        del name
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def post(self, *posts: tuple[Alarm, ...]) -> list[asyncio.Task[tuple[bool, ...]]]:
        """Each as a sender of its own, all of them waiting."""
        tasks = [asyncio.get_running_loop().create_task(self.accepting.accept(alarms)) for alarms in posts]
        await asyncio.sleep(0)
        return tasks

    async def hold(self) -> asyncio.Task[tuple[bool, ...]]:
        """The store is at work, for as long as its gate is shut."""
        self.gate.open.clear()
        (first,) = await self.post((alarm(1),))
        while not self.gate.begun:
            await asyncio.sleep(0)
        return first


@pytest.fixture
async def house() -> AsyncIterator[House]:
    house = House()
    yield house
    house.gate.open.set()
    await asyncio.gather(*house.tasks, return_exceptions=True)


def alarms(*numbers: int) -> tuple[Alarm, ...]:
    return tuple(alarm(number) for number in numbers)


async def test_what_comes_while_the_store_is_at_work_is_one_write_and_one_event(house: House) -> None:
    first = await house.hold()
    rest = await house.post(alarms(2), alarms(3, 4), alarms(2, 5))
    house.gate.open.set()
    assert await first == (True,)
    assert await asyncio.gather(*rest) == [(True,), (True, True), (True, True)]
    assert house.gate.writes == [alarms(1), alarms(2, 3, 4, 2, 5)]
    assert house.fed == [Alarmed(alarms(1)), Alarmed(alarms(2, 3, 4, 2, 5))]


async def test_what_is_known_already_is_thought_about_as_that(house: House) -> None:
    await house.accepting.accept(alarms(1, 2))
    assert await house.accepting.accept(alarms(2, 3, 1)) == (False, True, False)
    assert house.fed == [Alarmed(alarms(1, 2)), Alarmed(alarms(3)), Renewed(alarms(2, 1))]


async def test_one_that_cannot_be_kept_takes_no_other_with_it(house: House) -> None:
    first = await house.hold()
    good, bad, also_good = await house.post(alarms(2), (alarm(3), POISON), alarms(4))
    house.gate.open.set()
    await first
    assert (await good, await also_good) == ((True,), (True,))
    with pytest.raises(StoreError, match="full"):
        await bad
    assert house.fed == [Alarmed(alarms(1)), Alarmed(alarms(2)), Alarmed(alarms(4))]


async def test_one_that_came_alone_is_tried_once(house: House) -> None:
    with pytest.raises(StoreError, match="full"):
        await house.accepting.accept((POISON,))
    assert (house.gate.begun, house.fed) == (1, [])


async def test_who_has_lost_the_store_tries_nothing_again(house: House) -> None:
    first = await house.hold()
    rest = await house.post(alarms(2), alarms(3))
    house.gate.broken = StaleWriterError("taken over")
    house.gate.open.set()
    for outcome in await asyncio.gather(first, *rest, return_exceptions=True):
        assert isinstance(outcome, StaleWriterError)
    assert (house.gate.begun, house.fed) == (2, [])


async def test_beyond_what_can_wait_more_is_refused_until_there_is_room(house: House) -> None:
    first = await house.hold()
    waiting = await house.post(alarms(*range(2, 11)))
    with pytest.raises(StoreError, match="overloaded: 10 alarms are waiting to be stored"):
        await house.accepting.accept(alarms(11))
    house.gate.open.set()
    await asyncio.gather(first, *waiting)
    assert await house.accepting.accept(alarms(11)) == (True,)


async def test_a_sender_who_leaves_takes_nothing_away(house: House) -> None:
    """Neither the alarms, nor the room that they take until they are kept."""
    first = await house.hold()
    (left,) = await house.post(alarms(*range(2, 11)))
    left.cancel()
    with pytest.raises(asyncio.CancelledError):
        await left
    with pytest.raises(StoreError, match="overloaded"):
        await house.accepting.accept(alarms(11))
    house.gate.open.set()
    await first
    await asyncio.gather(*house.tasks)
    assert house.fed[1:] == [Alarmed(alarms(*range(2, 11)))]


async def test_who_waits_while_the_daemon_ends_is_told_so(house: House) -> None:
    first = await house.hold()
    (waiting,) = await house.post(alarms(2))
    for task in house.tasks:
        task.cancel()
    for outcome in await asyncio.gather(first, waiting, return_exceptions=True):
        assert isinstance(outcome, StoreError)
