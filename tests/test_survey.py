from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from structlog.testing import capture_logs

from healer.core.event import Event, Listed, Observed, Snapped, Unreachable
from healer.core.model import Health, Observation, Root, Snapshot, StackState, Symptom, Target
from healer.core.step import Failure
from healer.ports import EngineError, Watcher
from healer.survey import Survey
from tests.stores.samples import BANK, SHOP, START
from tests.test_steps import Books
from tests.virtual_time import virtually

SILENT = EngineError(Failure.UNREACHABLE, "no answer within 60 s")
GONE = EngineError(Failure.GONE, "there is no such stack")


@dataclass
class Cloud(Books):
    """Two stacks, of which some cannot be read."""

    lists: list[Root] = field(default_factory=lambda: [SHOP, BANK])
    gone: set[str] = field(default_factory=set)
    takes_s: float = 0

    async def roots(self) -> tuple[Root, ...]:
        self.note("roots")
        return tuple(self.lists)

    async def snapshot(self, root: Root) -> Snapshot:
        self.note("snapshot", root.name)
        await asyncio.sleep(self.takes_s)
        if root.name in self.gone:
            raise GONE
        return reading(root)


def reading(root: Root) -> Snapshot:
    return Snapshot(root, START, "CREATE", StackState.COMPLETE, {})


class Sees:
    def __init__(self, source: str) -> None:
        self.source = source

    def watch(self, snapshot: Snapshot) -> Sequence[Observation]:
        target = Target(snapshot.root, "db")
        return [Observation(target, self.source, Health.HEALTHY, Symptom.OK, snapshot.taken_at)]


class Breaks:
    def watch(self, snapshot: Snapshot) -> Sequence[Observation]:
        raise KeyError(str(snapshot.root))


def survey(cloud: Cloud, **watchers: Watcher) -> tuple[Survey, list[Event]]:
    fed: list[Event] = []
    return Survey("here", cloud, timedelta(seconds=30), watchers, fed.append), fed


def lines(logs: Sequence[Any]) -> list[tuple[str, str]]:
    return [(line["event"], line["log_level"]) for line in logs]


async def test_every_stack_is_read_first_and_the_listing_last_for_it_says_that_this_is_all() -> None:
    one, fed = survey(Cloud())
    await one.read()
    assert fed == [Snapped(reading(SHOP)), Snapped(reading(BANK)), Listed("here", frozenset({SHOP, BANK}))]


async def test_what_the_watchers_see_in_a_reading_comes_with_it() -> None:
    one, fed = survey(Cloud(lists=[SHOP]), a=Sees("watcher:a"), b=Sees("watcher:b"))
    await one.read()
    _, observed, _ = fed
    assert isinstance(observed, Observed)
    assert [seen.source for seen in observed.observations] == ["watcher:a", "watcher:b"]


async def test_an_engine_is_started_once_and_tried_again_until_it_starts() -> None:
    cloud = Cloud(refuses={"start": [SILENT, None]})
    one, fed = survey(cloud)
    for _ in range(3):
        await one.read()
    assert cloud.asked.count("start") == 2
    assert fed[0] == Unreachable("here", "no answer within 60 s")
    assert [event for event in fed if isinstance(event, Listed)] == [fed[3], fed[6]]


@pytest.mark.parametrize("method", ["roots", "snapshot"])
async def test_half_a_reading_is_none(method: str) -> None:
    """A stack that is not in a listing is gone: what was not read must never look so."""
    cloud = Cloud(refuses={method: [None, SILENT] if method == "snapshot" else [SILENT]})
    one, fed = survey(cloud)
    await one.read()
    assert fed[-1] == Unreachable("here", "no answer within 60 s")
    assert not any(isinstance(event, Listed) for event in fed)


async def test_a_stack_that_went_away_in_between_is_simply_not_listed() -> None:
    one, fed = survey(Cloud(gone={"shop"}))
    await one.read()
    assert fed == [Snapped(reading(BANK)), Listed("here", frozenset({BANK}))]


async def test_what_breaks_in_one_cloud_is_that_clouds_alone() -> None:
    one, fed = survey(Cloud(lists=[SHOP]), broken=Breaks())
    with capture_logs() as logs:
        await one.read()
    assert fed[-1] == Unreachable("here", "reading it broke: KeyError: 'shop'")
    assert lines(logs) == [("cloud.broke", "error"), ("cloud.unreachable", "warning")]


async def test_it_is_said_once_that_a_cloud_cannot_be_read_and_once_that_it_can() -> None:
    other = EngineError(Failure.FORBIDDEN, "you may not")
    one, _ = survey(Cloud(refuses={"roots": [None, None, SILENT, SILENT, other, None, None]}))
    with capture_logs() as logs:
        for _ in range(7):
            await one.read()
    assert lines(logs) == [
        ("cloud.read", "info"),
        ("cloud.unreachable", "warning"),
        ("cloud.unreachable", "warning"),
        ("cloud.read", "info"),
    ]
    assert [line.get("why") for line in logs] == [None, "no answer within 60 s", "you may not", None]


def test_readings_never_overlap_and_between_two_is_the_time_that_was_asked_for() -> None:
    async def scenario() -> list[float]:
        loop = asyncio.get_running_loop()
        began: list[float] = []

        class Timed(Cloud):
            async def roots(self) -> tuple[Root, ...]:
                began.append(loop.time())
                return await super().roots()

        one, _ = survey(Timed(takes_s=20))
        with suppress(TimeoutError):
            async with asyncio.timeout(200):
                await one.run()
        return [later - earlier for earlier, later in pairwise(began)]

    assert virtually(scenario()) == [70.0, 70.0]
