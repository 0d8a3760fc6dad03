"""The life of an incident is a table: every pair of state and event is decided, and every state has an exit."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import product
from typing import get_args

import pytest

from healer.core.incident import (
    TRANSITIONS,
    WAITING,
    Admitted,
    Climbed,
    Closed,
    Declined,
    Demanded,
    Exhausted,
    Incident,
    IncidentEvent,
    IncidentState,
    InvalidTransitionError,
    Outcome,
    Planned,
    Refusal,
    Refused,
    Remediated,
    Request,
    advance,
    diagram,
)
from healer.core.model import Incarnation, Symptom, Target
from tests.core.driven import SHOP, START

OLD, NEW = Incarnation(SHOP.id, "db", "db-1"), Incarnation(SHOP.id, "db", "db-2")
INCIDENT = Incident(
    "i", Target(SHOP, "db"), OLD, "Local::Process", "tiers", "probe:http", Symptom.REFUSED, "refused", START
)
LATER = START + timedelta(seconds=30)
REFUSED = Refused(Refusal.COOLDOWN, "healed already", LATER)
EVENTS: tuple[IncidentEvent, ...] = (
    Admitted("r", None),
    Declined(REFUSED),
    Planned(None, REFUSED),
    Remediated(NEW, LATER),
    Climbed(START),
    Exhausted(),
    Demanded(Request("alice", "now", START), START),
    Closed(Outcome.HEALED, LATER),
)


def test_there_is_an_example_of_every_event() -> None:
    assert {type(event) for event in EVENTS} == set(get_args(IncidentEvent))


@pytest.mark.parametrize(("state", "event"), list(product(IncidentState, EVENTS)), ids=str)
def test_every_pair_is_decided_and_what_is_not_in_the_table_is_a_bug(
    state: IncidentState, event: IncidentEvent
) -> None:
    incident = replace(INCIDENT, state=state)
    to = TRANSITIONS.get((state, type(event)))
    if to is None:
        with pytest.raises(InvalidTransitionError, match=f"is {state} and cannot be {type(event).__name__}"):
            advance(incident, event)
    else:
        assert advance(incident, event).state is to


def test_every_state_but_the_last_can_be_closed_and_nothing_follows_that() -> None:
    assert all((state, Closed) in TRANSITIONS for state in IncidentState if state is not IncidentState.CLOSED)
    assert not [state for state, _ in TRANSITIONS if state is IncidentState.CLOSED]


def test_every_state_can_be_reached() -> None:
    reached, before = {IncidentState.OPEN}, set[IncidentState]()
    while reached != before:
        before = set(reached)
        reached |= {to for (state, _), to in TRANSITIONS.items() if state in reached}
    assert reached == set(IncidentState)


def test_a_refusal_says_when_it_is_looked_at_again_and_an_admission_forgets_it() -> None:
    held = advance(INCIDENT, Declined(REFUSED))
    assert (held.refusal, held.wake_at) == (REFUSED, LATER)
    admitted = advance(held, Admitted("r", None))
    assert (admitted.refusal, admitted.wake_at, admitted.repair) == (None, None, "r")


def test_what_is_verified_is_the_successor_and_by_a_deadline() -> None:
    verifying = advance(replace(INCIDENT, state=IncidentState.REMEDIATING), Remediated(NEW, LATER))
    assert (verifying.current, verifying.deadline, verifying.wake_at) == (NEW, LATER, LATER)
    assert INCIDENT.current == OLD


def test_the_next_rung_is_about_what_stands_there_now() -> None:
    verifying = advance(replace(INCIDENT, state=IncidentState.REMEDIATING), Remediated(NEW, LATER))
    climbed = advance(verifying, Climbed(START))
    assert (climbed.rung, climbed.incarnation, climbed.successor, climbed.deadline) == (1, NEW, None, None)
    exhausted = advance(verifying, Exhausted())
    assert (exhausted.incarnation, exhausted.wake_at, exhausted.deadline) == (NEW, None, None)


def test_a_demand_begins_the_ladder_anew() -> None:
    exhausted = replace(INCIDENT, state=IncidentState.EXHAUSTED, rung=2)
    demanded = advance(exhausted, Demanded(Request("alice", "now", START), START))
    assert (demanded.rung, demanded.request and demanded.request.who, demanded.wake_at) == (0, "alice", START)


def test_a_closed_one_has_an_outcome_a_time_and_no_wake_up() -> None:
    closed = advance(replace(INCIDENT, wake_at=LATER), Closed(Outcome.GONE, LATER))
    assert (closed.outcome, closed.closed_at, closed.wake_at) == (Outcome.GONE, LATER, None)


def test_the_diagram_has_an_arrow_for_every_entry_of_the_table() -> None:
    drawn = diagram().splitlines()
    assert drawn[0] == "stateDiagram-v2"
    for (state, event), to in TRANSITIONS.items():
        assert any(line.strip().startswith(f"{state} --> {to}:") and event.__name__ in line for line in drawn)


def test_what_waits_has_not_begun() -> None:
    assert set(WAITING) == {IncidentState.OPEN, IncidentState.HELD, IncidentState.WOULD_HEAL}
