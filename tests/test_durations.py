"""Lengths of time are written with their unit, and nothing else is taken for one."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from healer.durations import Duration, PositiveDuration, parse, spelled


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("500ms", timedelta(milliseconds=500)),
        ("0s", timedelta()),
        ("30s", timedelta(seconds=30)),
        ("90m", timedelta(minutes=90)),
        ("1h30m", timedelta(minutes=90)),
        ("1d2h3m4s5ms", timedelta(1, 4, milliseconds=5, minutes=3, hours=2)),
        ("3650d", timedelta(days=3650)),
    ],
)
def test_a_number_with_its_unit_is_a_duration(text: str, duration: timedelta) -> None:
    assert parse(text) == duration


@pytest.mark.parametrize(
    "text",
    ["", "5", "m", "-5s", "5 s", " 5s", "5s ", "1.5h", "5S", "5min", "\u0665s", "30s1m", "1m1m", "3651d",
     "9" * 30 + "d", "1s\n"],
)  # fmt: skip
def test_what_is_none_is_told_what_was_expected(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected|longer than 3650d|larger ones first"):
        parse(text)


@given(st.timedeltas(timedelta(), timedelta(days=3650)))
def test_what_is_spelled_is_read_back_to_the_millisecond(duration: timedelta) -> None:
    assert parse(spelled(duration)) == duration - duration % timedelta(milliseconds=1)


@given(st.text(alphabet="0123456789dhms ", max_size=12))
def test_any_text_is_either_a_duration_or_a_mistake(text: str) -> None:
    try:
        duration = parse(text)
    except ValueError:
        return
    assert timedelta() <= duration <= timedelta(days=3650)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (30, "30 is a number without a unit; write 30s if seconds are meant"),
        (1.5, "1.5 is a number without a unit"),
        (True, "expected a number with its unit"),
        (None, "expected a number with its unit"),
        (["5m"], "expected a number with its unit"),
    ],
)
def test_a_field_takes_no_bare_number_and_no_other_kind_of_value(value: object, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        TypeAdapter(Duration).validate_python(value)


def test_a_positive_one_is_not_zero() -> None:
    assert TypeAdapter(PositiveDuration).validate_python("1ms") == timedelta(milliseconds=1)
    with pytest.raises(ValidationError, match="longer than 0s"):
        TypeAdapter(PositiveDuration).validate_python("0m")
