"""Tests of what keeps a silent cloud from being asked again and again."""

from __future__ import annotations

import pytest

from healer.clouds.breaker import Breaker


class Seconds:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Seconds:
    return Seconds()


@pytest.fixture
def breaker(time: Seconds) -> Breaker:
    return Breaker(trips_after=3, first_s=10, longest_s=30, elapsed=time)


def fail(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        assert breaker.refused_for() == 0
        breaker.answered(False)


def test_calls_without_an_answer_are_refused_once_there_were_too_many_in_a_row(breaker: Breaker) -> None:
    fail(breaker, 3)
    assert 7.5 <= breaker.refused_for() <= 12.5


def test_an_answer_in_between_begins_the_count_anew(breaker: Breaker) -> None:
    fail(breaker, 2)
    breaker.answered(True)
    fail(breaker, 2)
    assert breaker.refused_for() == 0


def test_after_the_wait_one_call_finds_out_and_the_others_wait_for_it(
    breaker: Breaker, time: Seconds
) -> None:
    fail(breaker, 3)
    time.now += 13
    assert breaker.refused_for() == 0
    assert breaker.refused_for() > 0
    breaker.answered(True)
    assert breaker.refused_for() == 0


def test_the_wait_doubles_up_to_the_longest_and_an_answer_makes_it_short_again(
    breaker: Breaker, time: Seconds
) -> None:
    fail(breaker, 3)
    for least, most in ((15, 25), (22.5, 37.5), (22.5, 37.5)):
        time.now += 40
        fail(breaker, 1)
        assert least <= breaker.refused_for() <= most
    time.now += 40
    assert breaker.refused_for() == 0
    breaker.answered(True)
    fail(breaker, 3)
    assert breaker.refused_for() <= 12.5


def test_a_caller_that_never_says_what_came_of_it_does_not_shut_the_others_out(
    breaker: Breaker, time: Seconds
) -> None:
    fail(breaker, 3)
    time.now += 13
    assert breaker.refused_for() == 0
    time.now += 41
    assert breaker.refused_for() == 0
