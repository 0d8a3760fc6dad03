from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from healer.clock import BootClock

BEGAN = 1_767_225_600.0
"""1 January 2026, by the wall clock."""


class Clocks:
    """The machine's: each is set by the test."""

    def __init__(self) -> None:
        self.shows = {time.CLOCK_REALTIME: BEGAN, time.CLOCK_BOOTTIME: 5000.0, time.CLOCK_MONOTONIC: 5000.0}

    def read(self, clock: int) -> float:
        return self.shows[clock]

    def pass_time(self, seconds: float) -> None:
        for clock in self.shows:
            self.shows[clock] += seconds


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    machine = Clocks()
    monkeypatch.setattr(time, "clock_gettime", machine.read)
    return machine


def test_it_begins_with_the_wall_clock_and_is_aware_utc() -> None:
    now = BootClock().now()
    assert now.tzinfo is UTC
    assert abs(now - datetime.fromtimestamp(time.clock_gettime(time.CLOCK_REALTIME), UTC)) < timedelta(
        seconds=5
    )


@pytest.mark.parametrize("step", [-3600.0, 3600.0, 86400.0 * 365])
def test_a_wall_clock_that_is_set_moves_nothing(clocks: Clocks, step: float) -> None:
    """Set back it would stop every timer; set forward it would end every grace and cooldown at once."""
    clock = BootClock()
    clocks.pass_time(10)
    clocks.shows[time.CLOCK_REALTIME] += step
    assert clock.now() == datetime(2026, 1, 1, 0, 0, 10, tzinfo=UTC)


def test_the_time_that_the_machine_was_suspended_counts(clocks: Clocks) -> None:
    """What was seen before is old afterwards, and must not look fresh."""
    clock = BootClock()
    clocks.shows[time.CLOCK_BOOTTIME] += 7200
    assert clock.now() == datetime(2026, 1, 1, 2, tzinfo=UTC)


def test_it_never_goes_back() -> None:
    clock = BootClock()
    seen = [clock.now() for _ in range(10_000)]
    assert seen == sorted(seen)


def test_what_passed_is_in_seconds() -> None:
    clock = BootClock()
    began, elapsed = clock.now(), clock.elapsed()
    while clock.now() - began < timedelta(milliseconds=20):
        pass
    assert 0.01 < clock.elapsed() - elapsed < 5
