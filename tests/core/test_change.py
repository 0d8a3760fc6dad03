"""Every change is a value with its moment, and the union that the store matches on lists them all."""

from __future__ import annotations

from dataclasses import fields
from typing import get_args

from healer.core import change


def test_every_change_knows_when_it_was() -> None:
    for kind in get_args(change.Change):
        assert fields(kind)[0].name == "at"
        assert kind.__dataclass_params__.frozen


def test_an_outcome_of_an_alarm_is_one_word() -> None:
    assert all(outcome.isidentifier() and outcome.islower() for outcome in change.AlarmOutcome)
