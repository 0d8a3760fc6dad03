"""What is done by the calendar, such as pruning the journal each night. Looks are not: they follow the scheduler.

APScheduler goes by the wall clock, which is right here alone: a clock that is set back an hour delays what is due
by as much, and one that is set forward skips nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, time
from typing import Any

import structlog
from apscheduler.executors.debug import DebugExecutor
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger

log = structlog.get_logger("healer")

Spawn = Callable[[Coroutine[Any, Any, None], str], "asyncio.Task[None]"]


class Calendar:
    """Made within the running loop. A job that fails is logged, and tried again when it is due the next time."""

    def __init__(self, spawn: Spawn) -> None:
        self._spawn = spawn
        self._running: set[asyncio.Task[None]] = set()
        # The executor that calls at once, in the loop: what it calls only spawns a task, through the one spawn.
        self._jobs = AsyncIOScheduler(
            timezone=UTC,
            executors={"default": DebugExecutor()},
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
        )

    def start(self) -> None:
        self._jobs.start()

    async def stop(self) -> None:
        """What is under way is cancelled: a job must bear that, as it must bear a crash."""
        self._jobs.shutdown(wait=False)
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)

    def daily(self, name: str, at: time, job: Callable[[], Awaitable[None]]) -> None:
        """Each day at that time, in UTC."""
        trigger = CronTrigger(hour=at.hour, minute=at.minute, second=at.second, timezone=UTC)
        self._jobs.add_job(self._begin, trigger, args=(name, job), id=name, name=name)

    def _begin(self, name: str, job: Callable[[], Awaitable[None]]) -> None:
        task = self._spawn(_run(name, job), name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)


async def _run(name: str, job: Callable[[], Awaitable[None]]) -> None:
    try:
        await job()
    except Exception:
        log.exception("healer.calendar.failed", job=name)
