"""Lengths of time as people write them, always with a unit: `500ms`, `30s`, `5m`, `1h30m`, `90d`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema

_UNITS = {
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
    "ms": timedelta(milliseconds=1),
}
PATTERN = r"^([0-9]+(ms|s|m|h|d))+$"
_PART = re.compile(r"([0-9]+)(ms|s|m|h|d)")
_LONGEST = timedelta(days=3650)
_EXPECTED = "expected a number with its unit, like 500ms, 30s, 5m, 1h or 90d"


def parse(text: str) -> timedelta:
    """Raises ValueError with what was expected. Nothing is longer than ten years, and nothing is negative."""
    if not re.fullmatch(PATTERN, text, re.ASCII) or len(text) > 40:
        raise ValueError(f"{text[:40]!r} is no duration; {_EXPECTED}")
    parts = _PART.findall(text)
    units = [unit for _, unit in parts]
    if units != sorted(set(units), key=list(_UNITS).index):
        raise ValueError(f"{text!r} is no duration: each unit once, the larger ones first, like 1h30m")
    try:
        duration = sum((int(number) * _UNITS[unit] for number, unit in parts), timedelta())
    except OverflowError:
        duration = timedelta.max
    if duration > _LONGEST:
        raise ValueError(f"{text!r} is longer than 3650d")
    return duration


def spelled(duration: timedelta) -> str:
    """The shortest way to write it: `1h30m`, `0s`. What is below a millisecond is left out."""
    text, rest = "", duration
    for unit, size in _UNITS.items():
        number, rest = divmod(rest, size)
        text += f"{number}{unit}" if number else ""
    return text or "0s"


def _read(value: Any) -> timedelta:
    if isinstance(value, timedelta):
        return value
    if isinstance(value, str):
        return parse(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f"{value} is a number without a unit; write {value}s if seconds are meant")  # noqa: TRY004 - pydantic reports ValueError alone
    raise ValueError(_EXPECTED)


def _above_zero(duration: timedelta) -> timedelta:
    if duration <= timedelta():
        raise ValueError("must be longer than 0s")
    return duration


Duration = Annotated[
    timedelta,
    BeforeValidator(_read),
    PlainSerializer(spelled, return_type=str),
    WithJsonSchema({"type": "string", "pattern": PATTERN}),
]
"""A pydantic field that takes `30s` and holds a timedelta; zero is allowed."""

PositiveDuration = Annotated[Duration, AfterValidator(_above_zero)]
