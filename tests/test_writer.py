from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from pydantic import PrivateAttr

from healer.core.model import Alarm
from healer.ports import StaleWriterError, Store, StoreError, Write
from healer.stores.memory import Memory
from healer.stores.sqlite import Sqlite
from healer.writer import HOPELESS, Writer
from tests.stores.samples import alarm, incident, repair, stepped, told, ulid

T = TypeVar("T")


class Gated(Memory):
    """A store whose commits wait at a gate, fail where a key is poison, and are remembered."""

    poison: frozenset[str] = frozenset()
    _gate: threading.Event = PrivateAttr(default_factory=threading.Event)
    _reached: threading.Event = PrivateAttr(default_factory=threading.Event)
    _sizes: list[int] = PrivateAttr(default_factory=list)
    _threads: set[str] = PrivateAttr(default_factory=set)
    _broken: Exception | None = PrivateAttr(default=None)

    def open_gate(self) -> None:
        self._gate.set()

    def shut_gate(self) -> None:
        self._gate.clear()
        self._reached.clear()

    async def reached(self) -> None:
        """A commit stands before the gate."""
        assert await asyncio.to_thread(self._reached.wait, 10)

    def break_with(self, error: Exception | None) -> None:
        self._broken = error

    @property
    def sizes(self) -> list[int]:
        return self._sizes

    @property
    def threads(self) -> set[str]:
        return self._threads

    def commit(self, writes: Sequence[Write]) -> tuple[tuple[bool, ...], ...]:
        self._threads.add(threading.current_thread().name)
        self._reached.set()
        assert self._gate.wait(10)
        self._sizes.append(len(writes))
        if self._broken:
            raise self._broken
        if any(one.key in self.poison for write in writes for one in write.alarms):
            raise StoreError("poison")
        return super().commit(writes)


def writers() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "writer"}


async def started(store: Store) -> Writer:
    writer = Writer(store)
    await writer.read(lambda opened: opened.acquire())
    return writer


@pytest.fixture
async def gated() -> AsyncIterator[tuple[Gated, Writer]]:
    store = Gated(poison=frozenset({alarm(13).key, alarm(14).key, alarm(15).key}))
    writer = await started(store)
    yield store, writer
    store.open_gate()
    await writer.close()


def brought(*numbers: int) -> Write:
    return Write(alarms=tuple(alarm(number) for number in numbers))


def spawn(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    return asyncio.get_running_loop().create_task(work)


async def ask(writer: Writer, *writes: Write) -> list[asyncio.Task[tuple[bool, ...]]]:
    """All of them asked for, none waited for."""
    asked = [spawn(writer.write(write)) for write in writes]
    await asyncio.sleep(0)
    return asked


async def hold_one(store: Gated, writer: Writer) -> asyncio.Task[tuple[bool, ...]]:
    """A first commit that stands before the gate, so that what is asked for next comes together."""
    (first,) = await ask(writer, brought(1))
    await store.reached()
    return first


async def test_what_is_asked_for_meanwhile_is_one_commit(gated: tuple[Gated, Writer]) -> None:
    store, writer = gated
    first = await hold_one(store, writer)
    others = await ask(writer, brought(2, 3), brought(3), Write((told(incident(1)),)))
    assert not first.done()
    store.open_gate()
    assert await asyncio.gather(first, *others) == [(True,), (True, True), (False,), ()]
    assert store.sizes == [1, 3]
    assert store.threads == {"writer"}


async def test_a_query_sees_what_was_asked_for_before_and_is_answered_on_the_same_thread(
    gated: tuple[Gated, Writer],
) -> None:
    store, writer = gated
    first = await hold_one(store, writer)
    (other,) = await ask(writer, brought(2))
    query = spawn(writer.read(lambda opened: (len(opened.alarms()), threading.current_thread().name)))
    await asyncio.sleep(0)
    store.open_gate()
    assert await query == (2, "writer")
    await asyncio.gather(first, other)


async def test_a_query_raises_where_it_was_asked(gated: tuple[Gated, Writer]) -> None:
    _, writer = gated

    def divide(_: Store) -> float:
        return 1 / 0

    with pytest.raises(ZeroDivisionError):
        await writer.read(divide)
    assert await writer.read(lambda store: store.journal()) == ()


async def test_one_that_cannot_be_kept_does_not_take_the_others_with_it(gated: tuple[Gated, Writer]) -> None:
    store, writer = gated
    first = await hold_one(store, writer)
    others = await ask(writer, brought(2), brought(13, 3), brought(4))
    store.open_gate()
    outcomes = await asyncio.gather(first, *others, return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == ["(True,)", "(True,)", "poison", "(True,)"]
    assert store.sizes == [1, 3, 1, 1, 1]
    kept = await writer.read(lambda opened: [filed.alarm for filed in opened.alarms()])
    assert kept == [alarm(4), alarm(2), alarm(1)]


async def test_where_each_of_several_fails_the_store_is_not_asked_for_every_one(
    gated: tuple[Gated, Writer],
) -> None:
    """A locked state file takes seconds to refuse; a thousand callers must not wait for each other's seconds."""
    store, writer = gated
    first = await hold_one(store, writer)
    others = await ask(writer, *(brought(number) for number in range(2, 9)))
    store.break_with(StoreError("database or disk is full"))
    store.open_gate()
    outcomes = await asyncio.gather(first, *others, return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == ["database or disk is full"] * 8
    assert store.sizes == [1, 7, *([1] * HOPELESS)]
    store.break_with(None)
    assert await writer.write(brought(2)) == (True,)


async def test_an_overtaken_writer_tries_nothing_again(gated: tuple[Gated, Writer]) -> None:
    store, writer = gated
    first = await hold_one(store, writer)
    others = await ask(writer, brought(2), brought(3))
    store.break_with(StaleWriterError("another healer has taken over"))
    store.open_gate()
    for outcome in await asyncio.gather(first, *others, return_exceptions=True):
        assert isinstance(outcome, StaleWriterError)
    assert store.sizes == [1, 2]


async def test_a_store_that_breaks_fails_the_write_and_not_the_writer(gated: tuple[Gated, Writer]) -> None:
    store, writer = gated
    store.open_gate()
    store.break_with(KeyError("seq"))
    with pytest.raises(StoreError, match="the store broke: KeyError: 'seq'") as caught:
        await writer.write(brought(1))
    assert isinstance(caught.value.__cause__, KeyError)
    store.break_with(None)
    assert await writer.write(brought(1)) == (True,)


async def test_a_caller_who_leaves_leaves_no_complaint_about_its_failure(gated: tuple[Gated, Writer]) -> None:
    store, writer = gated
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    (left,) = await ask(writer, brought(1))
    await store.reached()
    left.cancel()
    store.break_with(StoreError("database or disk is full"))
    store.open_gate()
    await writer.read(lambda opened: opened.alarms())
    del left
    await asyncio.sleep(0)
    assert not complaints


async def test_a_query_that_nobody_waits_for_harms_no_other(gated: tuple[Gated, Writer]) -> None:
    store, writer = gated
    first = await hold_one(store, writer)
    left = spawn(writer.read(lambda opened: opened.alarms()))
    await asyncio.sleep(0)
    left.cancel()
    store.open_gate()
    assert await first == (True,)
    assert len(await writer.read(lambda opened: opened.alarms())) == 1


async def test_closing_keeps_what_is_waiting_and_then_refuses() -> None:
    before, store = writers(), Gated()
    writer = await started(store)
    first = await hold_one(store, writer)
    (other,) = await ask(writer, brought(2))
    closing = spawn(writer.close())
    await asyncio.sleep(0)
    for refused in (writer.write(brought(3)), writer.read(lambda opened: opened.alarms())):
        with pytest.raises(StoreError, match="the writer is closed"):
            await refused
    assert not closing.done()
    store.open_gate()
    await closing
    await writer.close()
    assert (await first, await other) == ((True,), (True,))
    with pytest.raises(StoreError, match="not open"):
        store.load()
    store.acquire()
    assert len(store.alarms()) == 2
    assert not writers() - before


async def test_an_error_while_closing_is_told_and_the_thread_ends() -> None:
    class Reluctant(Memory):
        def close(self) -> None:
            raise StoreError("it cannot be closed")

    before = writers()
    writer = await started(Reluctant())
    with pytest.raises(StoreError, match="it cannot be closed"):
        await writer.close()
    assert not writers() - before


def test_a_loop_that_is_gone_is_no_reason_to_fail(gated_store: Gated) -> None:
    """A process that ends without closing anything: its thread goes quietly, and what it keeps is kept."""

    async def leave() -> None:
        writer = await started(gated_store)
        await hold_one(gated_store, writer)

    asyncio.run(leave())
    gated_store.open_gate()
    wait_until(lambda: bool(gated_store.alarms()))


@pytest.fixture
def gated_store() -> Gated:
    return Gated()


def wait_until(condition: Callable[[], bool]) -> None:
    done = threading.Event()
    for _ in range(1000):
        if condition():
            return
        done.wait(0.01)
    pytest.fail("it did not come to that within ten seconds")


# --- with a real file


@pytest.fixture
async def filed(tmp_path: Path) -> AsyncIterator[Writer]:
    writer = await started(Sqlite(directory=tmp_path))
    yield writer
    await writer.close()


async def test_hundreds_of_callers_are_served_by_a_few_commits(filed: Writer) -> None:
    new = await asyncio.gather(*(filed.write(brought(number)) for number in range(300)))
    assert new == [(True,)] * 300
    again = await asyncio.gather(*(filed.write(brought(number)) for number in range(300)))
    assert again == [(False,)] * 300
    assert len(await filed.read(lambda store: store.alarms(limit=1000))) == 300


async def test_in_a_real_file_too_only_what_cannot_be_kept_is_refused(filed: Writer) -> None:
    broken: Alarm = replace(alarm(7), annotations={"summary": "half \udc00 a character"})
    await filed.write(Write((stepped(repair(1)),)))
    outcomes = await asyncio.gather(
        filed.write(brought(1)),
        filed.write(Write(alarms=(broken,))),
        filed.write(Write((stepped(repair(2)),), (alarm(8),))),  # a second open repair of one root
        filed.write(brought(2)),
        return_exceptions=True,
    )
    kept = [not isinstance(outcome, BaseException) for outcome in outcomes]
    assert kept == [True, False, False, True]
    state = await filed.read(lambda store: store.load())
    assert [one.key for one in state.alarms.values()] == [alarm(1).key, alarm(2).key]
    assert set(state.repairs) == {ulid(1)}
