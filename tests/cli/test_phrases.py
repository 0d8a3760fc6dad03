"""Moments, lengths of time and numbers as a person reads them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from healer.cli.phrases import count, moment, roughly, since


@pytest.mark.parametrize(
    ("duration", "said"),
    [
        (timedelta(), "0.0s"),
        (timedelta(seconds=-5), "0.0s"),
        (timedelta(seconds=2.649), "2.6s"),
        (timedelta(seconds=10.9), "10s"),
        (timedelta(minutes=3, seconds=7), "3m7s"),
        (timedelta(hours=1, minutes=5, seconds=59), "1h5m"),
        (timedelta(days=2, hours=3, minutes=59), "2d3h"),
    ],
)
def test_a_length_of_time_is_as_exact_as_one_wants_it(duration: timedelta, said: str) -> None:
    assert roughly(duration) == said


def test_how_long_it_was_between_two_moments_and_is_until_now() -> None:
    assert since("2026-01-31T12:00:00.000Z", "2026-01-31T12:00:02.600Z") == "2.6s"
    assert since("2020-01-01T00:00:00.000Z")[-1] == "h"


def test_a_moment_is_a_date_and_a_time() -> None:
    assert moment("2026-01-31T12:00:00.250Z") == "2026-01-31 12:00:00"
    assert moment(None) == "-"


def test_things_are_counted_in_words() -> None:
    assert [count(number, "policy", "policies") for number in range(3)] == [
        "no policies",
        "1 policy",
        "2 policies",
    ]
    assert count(2, "mark") == "2 marks"
