from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import pytest
from hypothesis import given
from structlog.testing import capture_logs

from healer.core.change import (
    AlarmOutcome,
    AlarmsSettled,
    AttemptChanged,
    Change,
    PauseChanged,
)
from healer.core.incident import Outcome, Refusal
from healer.core.step import Failure, Step
from healer.telemetry import lines
from tests.stores.samples import START, alarm, anything, attempt, incident, pause, repair, stepped, told, ulid


def written(change: Change) -> list[Mapping[str, Any]]:
    with capture_logs() as logs:
        lines.write(change)
    return list(logs)


def test_an_incident_is_told_by_what_a_person_searches_for() -> None:
    assert written(told(incident(1), "held", reason=Refusal.COOLDOWN, sentence="too soon")) == [
        {
            "event": "incident.held",
            "log_level": "info",
            "incident": ulid(1),
            "target": "shop/db",
            "cloud": "here",
            "policy": "tiers",
            "reason": "cooldown",
            "sentence": "too soon",
        }
    ]


def test_a_repair_is_told_by_its_stack_and_action() -> None:
    assert written(stepped(repair(2), "ended", failure=Failure.EXPIRED, acted=True, detail=None)) == [
        {
            "event": "repair.ended",
            "log_level": "info",
            "repair": ulid(2),
            "stack": "shop",
            "cloud": "here",
            "action": "replace",
            "failure": "expired",
            "acted": True,
        }
    ]


def test_an_alarm_is_told_by_its_source_and_what_became_of_it() -> None:
    settled = AlarmsSettled(START, (alarm(1).identity,), AlarmOutcome.UNMATCHED, "no stack is called so")
    assert written(settled) == [
        {
            "event": "alarm.unmatched",
            "log_level": "info",
            "source": "alertmanager",
            "status": "firing",
            "detail": "no stack is called so",
            "incident": None,
        }
    ]


@pytest.mark.parametrize(("lifted_by", "kind", "who"), [(None, "set", "anna"), ("bert", "lifted", "bert")])
def test_a_pause_is_told_with_who_did_it(lifted_by: str | None, kind: str, who: str) -> None:
    (line,) = written(PauseChanged(START, pause(1), lifted_by))
    assert (line["event"], line["who"], line["log_level"]) == (f"pause.{kind}", who, "warning")
    assert (line["scope"], line["why"]) == ("stack:shop", "a release")


@pytest.mark.parametrize(
    ("change", "level"),
    [
        (stepped(repair(1), "inspecting"), "debug"),
        (stepped(repair(1), "not_admitted"), "debug"),
        (stepped(repair(1), "progressed"), "debug"),
        (stepped(repair(1), "stumbled"), "info"),
        (told(incident(1), "opened"), "info"),
        (told(incident(1), "exhausted"), "warning"),
        (stepped(repair(1), "surprised"), "error"),
    ],
)
def test_what_needs_a_person_stands_out_and_what_is_routine_is_quiet(change: Change, level: str) -> None:
    assert [line["log_level"] for line in written(change)] == [level]


def test_what_is_noted_never_hides_what_the_line_is_about() -> None:
    note: dict[str, Any] = {
        "event": "x",
        "target": "y",
        "action": Step.MARK,
        "level": "critical",
        "incident": 1,
    }
    (line,) = written(told(incident(1), "opened", **note))
    assert (line["event"], line["target"], line["incident"]) == ("incident.opened", "shop/db", ulid(1))
    assert (line["event_"], line["target_"], line["action_"], line["level_"]) == (
        "x",
        "y",
        "mark",
        "critical",
    )


def test_words_are_words_wherever_they_are_noted() -> None:
    """On a terminal an enum would be shown as Python writes it, in a list or a mapping as well."""
    note: dict[str, Any] = {
        "word": Outcome.HEALED,
        "list": (Refusal.PAUSED,),
        "map": {Step.MARK: [Failure.BUSY]},
        "at": START,
    }
    (line,) = written(told(incident(1), "opened", **note))
    assert repr([line["word"], line["list"], line["map"], line["at"]]) == (
        "['healed', ['paused'], {'mark': ['busy']}, '2026-03-01T12:00:00.000+00:00']"
    )


@pytest.mark.parametrize("kind", get_args(Change))
def test_every_change_is_one_line_but_for_an_attempt_which_its_repair_tells(kind: type[Any]) -> None:
    @given(anything(kind))
    def try_it(change: Change) -> None:
        lines = 0 if isinstance(change, AttemptChanged) else 1
        if isinstance(change, AlarmsSettled):  # one for each source and status
            lines = len({(one.partition("|")[0], one.rpartition("|")[2]) for one in change.identities})
        assert len(written(change)) == lines

    try_it()


def test_an_attempt_has_no_line() -> None:
    assert written(AttemptChanged(START, attempt(1))) == []
