from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest

from healer.core.model import Health, Symptom
from healer.look import Lateness, Worst, believed, look
from healer.ports import Sight, Subject

SECOND = timedelta(seconds=1)


@dataclass
class Doing:
    does: Callable[[], Awaitable[Sight]]

    async def probe(self, _: Subject) -> Sight:
        return await self.does()


async def looking(does: Callable[[], Awaitable[Sight]], within: timedelta = SECOND) -> Sight:
    return await look(Doing(does), Subject("shop/api", "id-1"), within)


async def test_a_look_is_what_the_probe_saw() -> None:
    async def see() -> Sight:
        return Sight(Health.HEALTHY, Symptom.OK, "fine")

    assert await looking(see) == Sight(Health.HEALTHY, Symptom.OK, "fine")


async def test_a_probe_that_does_not_end_is_ended_and_its_subject_did_not_answer() -> None:
    async def never() -> Sight:
        await asyncio.Event().wait()
        raise AssertionError

    sight = await looking(never, timedelta(milliseconds=20))
    assert sight == Sight(Health.UNHEALTHY, Symptom.TIMED_OUT, "no answer within 20ms")


async def test_a_time_out_of_the_probe_s_own_is_a_probe_that_breaks() -> None:
    async def raises() -> Sight:
        raise TimeoutError("of its own")

    sight = await looking(raises)
    assert sight == Sight(Health.UNKNOWN, Symptom.PROBE_BROKEN, "the probe broke: TimeoutError: of its own")


async def test_a_look_that_is_cancelled_is_cancelled_and_no_answer() -> None:
    begun = asyncio.Event()

    async def never() -> Sight:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with asyncio.TaskGroup() as group:
        out = group.create_task(looking(never, 60 * SECOND))
        await begun.wait()
        out.cancel()
    assert out.cancelled()


TIMED_OUT = Sight(Health.UNHEALTHY, Symptom.TIMED_OUT, "no answer")
TOO_SLOW = Sight(Health.UNHEALTHY, Symptom.TOO_SLOW, "slow")
REFUSED = Sight(Health.UNHEALTHY, Symptom.REFUSED, "refused")
WELL = Sight(Health.HEALTHY, Symptom.OK, "well")
UNKNOWN = Sight(Health.UNKNOWN, Symptom.UNRESOLVED, "who knows")


@pytest.mark.parametrize(
    ("sight", "lateness", "is_believed"),
    [
        (TIMED_OUT, Lateness(late_s=0.5, took_s=5), True),
        (TIMED_OUT, Lateness(late_s=0.51, took_s=5), False),
        (
            TIMED_OUT,
            Lateness(late_s=0.51, took_s=60),
            False,
        ),  # its timeout counts, not what the stall made of it
        (TOO_SLOW, Lateness(late_s=0.1, took_s=2), True),
        (TOO_SLOW, Lateness(late_s=0.1, took_s=0.5), False),
        (REFUSED, Lateness(late_s=4, took_s=5), True),
        (REFUSED, Lateness(missed_time=True), False),
        (TIMED_OUT, Lateness(missed_time=True), False),
        (WELL, Lateness(late_s=4, took_s=5, missed_time=True), True),
        (UNKNOWN, Lateness(late_s=4, took_s=5, missed_time=True), True),
    ],
)
def test_a_failure_is_believed_unless_it_may_be_the_observer_s_own(
    sight: Sight, lateness: Lateness, is_believed: bool
) -> None:
    said = believed(sight, 5 * SECOND, lateness)
    if is_believed:
        assert said == sight
    else:
        assert (said.health, said.symptom) == (Health.UNKNOWN, Symptom.OBSERVER_LATE)
        assert said.detail.startswith("healer itself ")
        assert said.detail.endswith(f": {sight.detail}")


def test_the_worst_outlives_a_window_and_not_two() -> None:
    worst = Worst(since_s=0)
    assert worst.value == 0
    worst.note(0.5, at_s=9)
    worst.note(0.1, at_s=12)
    assert worst.value == 0.5
    worst.note(0.2, at_s=23)
    assert worst.value == 0.2
