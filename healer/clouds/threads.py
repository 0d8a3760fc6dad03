"""A few threads of its own for a client that blocks."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import Any, TypeVar

_Result = TypeVar("_Result")
_Call = tuple[Callable[[], Any], "Future[Any]"]


class Threads:
    """Not the loop's executor: a client that hangs must hold up neither the rest of the daemon nor its end.

    They are daemons, and begin when they are needed.
    """

    def __init__(self, name: str, at_once: int) -> None:
        self._name = name
        self._most = at_once
        self._at_once = asyncio.Semaphore(at_once)
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._threads: list[Thread] = []

    async def run(self, work: Callable[[], _Result], within_s: float) -> _Result:
        """What `work` returns or raises; TimeoutError after so many seconds, and then all of them are let go."""
        async with self._at_once:
            if len(self._threads) < self._most:
                thread = Thread(target=_work, args=(self._calls,), name=self._name, daemon=True)
                self._threads.append(thread)
                thread.start()
            outcome: Future[_Result] = Future()
            self._calls.put((work, outcome))
            try:
                async with asyncio.timeout(within_s):
                    return await asyncio.wrap_future(outcome)
            except TimeoutError:
                self.let_go()
                raise

    def let_go(self) -> None:
        """Each ends once it is through with what it does. Whatever comes later gets new ones."""
        for _ in self._threads:
            self._calls.put(None)
        self._calls, self._threads = queue.SimpleQueue(), []


def _work(calls: queue.SimpleQueue[_Call | None]) -> None:
    while (call := calls.get()) is not None:
        work, outcome = call
        if outcome.set_running_or_notify_cancel():
            try:
                outcome.set_result(work())
            except BaseException as error:  # noqa: BLE001 - whoever waits for it gets it
                outcome.set_exception(error)
