from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from healer.calendar import Calendar
from healer.clock import BootClock


def spawn(coro: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    return asyncio.get_running_loop().create_task(coro, name=name)


@pytest.fixture
async def calendar() -> AsyncIterator[Calendar]:
    calendar = Calendar(spawn)
    calendar.start()
    yield calendar
    await calendar.stop()


def soon(seconds: int = 1) -> time:
    """A time of day that is about to come."""
    return (BootClock().now() + timedelta(seconds=seconds)).time()


async def test_a_job_runs_at_its_time_of_day_as_a_task_with_its_name(calendar: Calendar) -> None:
    done: asyncio.Future[tuple[datetime, str]] = asyncio.get_running_loop().create_future()

    async def job() -> None:
        task = asyncio.current_task()
        assert task
        done.set_result((BootClock().now(), task.get_name()))

    at = soon()
    calendar.daily("prune the journal", at, job)
    ran_at, name = await asyncio.wait_for(done, 10)
    due = datetime.combine(ran_at, at, tzinfo=UTC).replace(microsecond=0)
    assert timedelta() <= ran_at - due < timedelta(seconds=5)
    assert name == "prune the journal"


async def test_a_job_that_is_not_due_does_not_run(calendar: Calendar) -> None:
    ran, other = asyncio.Event(), asyncio.Event()

    async def early() -> None:
        ran.set()

    async def late() -> None:
        other.set()

    calendar.daily("late", soon(7200), late)
    calendar.daily("early", soon(), early)
    await asyncio.wait_for(ran.wait(), 10)
    assert not other.is_set()


async def test_a_job_that_still_runs_ends_with_the_calendar() -> None:
    calendar, begun, cancelled = Calendar(spawn), asyncio.Event(), asyncio.Event()

    async def job() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    with capture_logs() as lines:
        calendar.start()
        calendar.daily("endless", soon(), job)
        await asyncio.wait_for(begun.wait(), 10)
        await calendar.stop()
    assert cancelled.is_set()
    assert lines == []


async def test_a_job_that_fails_is_logged_and_harms_no_other(calendar: Calendar) -> None:
    done = asyncio.Event()

    async def failing() -> None:
        raise RuntimeError("boom")

    async def sound() -> None:
        done.set()

    with capture_logs() as lines:
        calendar.daily("failing", soon(1), failing)
        calendar.daily("sound", soon(2), sound)
        await asyncio.wait_for(done.wait(), 10)
    assert [(line["event"], line["job"], line["log_level"]) for line in lines] == [
        ("healer.calendar.failed", "failing", "error")
    ]
