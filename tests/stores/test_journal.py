from __future__ import annotations

import json
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healer.core.change import (
    AlarmOutcome,
    AlarmsSettled,
    AttemptChanged,
    Change,
    PauseChanged,
)
from healer.core.incident import IncidentState, Outcome, Refusal, Refused
from healer.core.model import Incarnation, Symptom
from healer.core.step import Failure, Step
from healer.ports import Entry
from healer.stores._journal import entry_of
from tests.stores.samples import (
    PLAN,
    alarm,
    anything,
    at,
    attempt,
    closed,
    incident,
    pause,
    repair,
    stepped,
    told,
    ulid,
)

TARGET = {"cloud": "here", "project": "local", "stack": "shop", "stack_id": "0f5a", "path": "db"}
PLANNED = {
    "condemned": [
        {
            "path": "db",
            "type": "Local::Process",
            "physical_id": "boot:41:900",
            "prior": "CREATE_COMPLETE",
        }
    ],
    "touched": [{"path": "api", "type": "Local::Process", "effect": "updated", "via": "wires refers to db"}],
}


def entry(change: Change) -> Entry:
    made = entry_of(change, seq=7)
    assert made is not None
    assert made.seq == 7
    return made


def test_an_incident_tells_its_target_its_state_and_its_note() -> None:
    opened = entry(told(incident(1), "opened", 5, source="probe:http", symptom=Symptom.REFUSED))
    assert (opened.at, opened.kind, opened.incident, opened.repair) == (
        at(5),
        "incident.opened",
        ulid(1),
        None,
    )
    assert opened.body == {
        "target": TARGET,
        "type": "Local::Process",
        "physical_id": "boot:41:900",
        "policy": "tiers",
        "state": "open",
        "rung": 0,
        "note": {"source": "probe:http", "symptom": "refused"},
    }


def test_a_refusal_is_told_while_it_holds() -> None:
    held = incident(
        1, state=IncidentState.HELD, refusal=Refused(Refusal.COOLDOWN, "healed a minute ago", at(600))
    )
    assert entry(told(held, "held")).body["refusal"] == {
        "reason": "cooldown",
        "sentence": "healed a minute ago",
        "look_again": "2026-03-01T12:10:00+00:00",
    }
    assert "refusal" not in entry(told(closed(held, 9), "closed")).body


@pytest.mark.parametrize("kind", ["admitted", "would_heal"])
def test_the_plan_is_told_once_when_it_is_made(kind: str) -> None:
    planned = incident(1, plan=PLAN, repair=ulid(9))
    assert entry(told(planned, kind)).body["plan"] == PLANNED
    assert "plan" not in entry(told(planned, "remediated")).body
    assert entry(told(planned, kind)).repair == ulid(9)


def test_after_a_heal_the_incarnation_told_is_the_successor() -> None:
    healed = incident(1, successor=Incarnation("0f5a", "db", "boot:77:990"))
    assert entry(told(healed, "remediated")).body["physical_id"] == "boot:77:990"


def test_a_repair_tells_its_step_and_whom_it_serves() -> None:
    stumbled = entry(
        stepped(
            repair(3, step=Step.CONVERGE, attempt=5, plan=PLAN), "stumbled", 8, failure=Failure.UNREACHABLE
        )
    )
    assert (stumbled.kind, stumbled.incident, stumbled.repair) == ("repair.stumbled", None, ulid(3))
    assert stumbled.body == {
        "root": {key: value for key, value in TARGET.items() if key != "path"},
        "action": "replace",
        "step": "converge",
        "attempt": 5,
        "members": [ulid(1)],
        "note": {"failure": "unreachable"},
    }
    assert entry(stepped(repair(3, plan=PLAN), "admitted")).body["plan"] == PLANNED


@pytest.mark.parametrize("kind", ["inspecting", "not_admitted"])
def test_an_inspection_is_no_news(kind: str) -> None:
    assert entry_of(stepped(repair(1), kind)) is None


def test_an_attempt_is_no_news() -> None:
    assert entry_of(AttemptChanged(at(1), attempt(1))) is None
    assert entry_of(AttemptChanged(at(1), attempt(1), withdrawn=True)) is None


@pytest.mark.parametrize("outcome", AlarmOutcome)
def test_an_alarm_tells_what_became_of_it(outcome: AlarmOutcome) -> None:
    settled = entry(AlarmsSettled(at(2), (alarm(1).identity,), outcome, "shop/db", ulid(1)))
    assert (settled.kind, settled.incident) == (f"alarm.{outcome}", ulid(1))
    assert settled.body == {"identity": alarm(1).identity, "detail": "shop/db"}


def test_a_pause_tells_who_and_why_and_until_when() -> None:
    made = entry(PauseChanged(at(1), pause(1, until=at(60))))
    assert made.kind == "pause.set"
    assert made.body == {
        "id": ulid(1),
        "scope": "stack:shop",
        "who": "anna",
        "why": "a release",
        "until": "2026-03-01T12:01:00+00:00",
    }
    assert entry(PauseChanged(at(1), pause(1))).body["until"] is None
    lifted = entry(PauseChanged(at(1), pause(1), lifted_by="bert"))
    assert (lifted.kind, lifted.body["lifted_by"]) == ("pause.lifted", "bert")


def test_a_note_may_hold_whatever_the_core_speaks_of() -> None:
    note = {
        "outcome": Outcome.HEALED,
        "gates": (Refusal.COOLDOWN,),
        "names": frozenset({"b", "a"}),
        "when": at(1),
        "nested": {"n": 1, "yes": True, "none": None, "part": 0.5},
        "stack": PLAN.root,
    }
    assert entry(told(incident(1), "closed", 0, **note)).body["note"] == {
        "outcome": "healed",
        "gates": ["cooldown"],
        "names": ["a", "b"],
        "when": "2026-03-01T12:00:01+00:00",
        "nested": {"n": 1, "yes": True, "none": None, "part": 0.5},
        "stack": "shop",
    }


@given(st.one_of([anything(kind) for kind in get_args(Change)]))
def test_every_body_is_plain_json(change: Change) -> None:
    made = entry_of(change)
    if made is not None:
        assert json.loads(json.dumps(made.body)) == made.body
        assert replace(made, seq=3) == entry_of(change, seq=3)
