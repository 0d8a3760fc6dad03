"""Group commit: one thread keeps what many callers want kept, and one fsync serves all who came meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from healer.ports import StaleWriterError, Store, StoreError, Write

T = TypeVar("T")

HOPELESS = 3
"""Failures in a row, of writes tried one by one, after which it is the store that fails and not the write."""


@dataclass(frozen=True, slots=True)
class _Asked:
    write: Write
    kept: asyncio.Future[tuple[bool, ...]]


@dataclass(frozen=True, slots=True)
class _Query:
    ask: Callable[[Store], Any]
    answered: asyncio.Future[Any]


_Outcome = tuple[asyncio.Future[Any], Any]
"""What became of one question; an exception is raised where it was asked."""


class Writer:
    """The only one that calls the store, from its first `acquire` to its `close`: all on one thread of its own."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._closed = False
        self._queue: SimpleQueue[_Asked | _Query | None] = SimpleQueue()
        # Daemonic: what was not acknowledged may be lost, and must not keep a failing process from ending.
        self._thread = Thread(target=self._work, name="writer", daemon=True)
        self._thread.start()

    async def write(self, write: Write) -> tuple[bool, ...]:
        """Keep it, and say of each of its alarms whether it was new, once all is durable.

        Raises StoreError where it was not kept: the store failed, or the writer is closed. Whoever is cancelled here
        must expect that it is kept all the same.
        """
        self._refuse_when_closed()
        kept: asyncio.Future[tuple[bool, ...]] = asyncio.get_running_loop().create_future()
        asked = _Asked(write, kept)
        kept.add_done_callback(_retrieved)
        self._queue.put(asked)
        return await asyncio.shield(kept)

    async def read(self, ask: Callable[[Store], T]) -> T:
        """Call the store between two commits; it sees every write that was asked for before. Raises what it raises."""
        self._refuse_when_closed()
        return await self._read(ask)

    async def close(self) -> None:
        """Keep what is still waiting, then close the store. Twice is the same as once."""
        if self._closed:
            return
        self._closed = True
        try:
            await self._read(lambda store: store.close())
        finally:
            self._queue.put(None)
            await asyncio.to_thread(self._thread.join)

    async def _read(self, ask: Callable[[Store], T]) -> T:
        answered: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._queue.put(_Query(ask, answered))
        return await answered

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise StoreError("the writer is closed: healer is ending")

    # --- from here on: the writer's own thread

    def _work(self) -> None:
        while True:
            taken = self._take()
            asked = [item for item in taken if isinstance(item, _Asked)]
            if asked:
                _tell(self._keep(asked))
            for query in taken:
                if isinstance(query, _Query):
                    _tell([(query.answered, self._answer(query))])
            if taken[-1] is None:
                return

    def _take(self) -> Sequence[_Asked | _Query | None]:
        """All that is waiting, at least one; None comes last of all."""
        taken = [self._queue.get()]
        while True:
            try:
                taken.append(self._queue.get_nowait())
            except Empty:
                return taken

    def _keep(self, asked: Sequence[_Asked]) -> list[_Outcome]:
        result = self._commit([one.write for one in asked])
        if not isinstance(result, StoreError):
            return [(one.kept, new) for one, new in zip(asked, result, strict=True)]
        if len(asked) == 1 or isinstance(result, StaleWriterError):
            return [(one.kept, result) for one in asked]
        return self._keep_one_by_one(asked)

    def _keep_one_by_one(self, asked: Sequence[_Asked]) -> list[_Outcome]:
        """One of them may be what cannot be kept: the others must not suffer for it."""
        outcomes: list[_Outcome] = []
        failures: list[StoreError] = []
        for one in asked:
            if len(failures) == HOPELESS:
                outcomes.append((one.kept, failures[-1]))
                continue
            result = self._commit([one.write])
            if isinstance(result, StoreError):
                failures.append(result)
                outcomes.append((one.kept, result))
            else:
                failures.clear()
                outcomes.append((one.kept, result[0]))
        return outcomes

    def _commit(self, writes: Sequence[Write]) -> tuple[tuple[bool, ...], ...] | StoreError:
        try:
            return self._store.commit(writes)
        except StoreError as error:
            return error
        except Exception as error:  # noqa: BLE001 - a plug-in's boundary: the thread must outlive it
            broken = StoreError(f"the store broke: {type(error).__name__}: {error}")
            broken.__cause__ = error
            return broken

    def _answer(self, query: _Query) -> Any:
        try:
            return query.ask(self._store)
        except Exception as error:  # noqa: BLE001 - it is raised where it was asked
            return error


def _retrieved(kept: asyncio.Future[tuple[bool, ...]]) -> None:
    kept.exception()  # where nobody waits for it any more, asyncio need not complain


def _tell(outcomes: list[_Outcome]) -> None:
    """Wake the callers: one call into their loop, however many they are."""
    loop = outcomes[0][0].get_loop()
    if not loop.is_closed():
        loop.call_soon_threadsafe(_resolve, outcomes)


def _resolve(outcomes: list[_Outcome]) -> None:
    for future, result in outcomes:
        if future.done():
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)
