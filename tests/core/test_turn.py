"""A turn collects what one event changes and commands; what is closed leaves the state."""

from __future__ import annotations

from healer.core.change import IncidentChanged
from healer.core.ids import Ids
from healer.core.incident import Closed, IncidentState, Outcome, Refusal
from healer.core.state import State
from healer.core.turn import Turn
from tests.core.driven import SHOP, START
from tests.core.test_incident import INCIDENT


def turn() -> Turn:
    return Turn(State(incidents={"i": INCIDENT}), Ids(b"n"), START, {})


def test_what_is_closed_leaves_the_state_and_is_told() -> None:
    here = turn()
    here.advance(INCIDENT, Closed(Outcome.GONE, START), "closed", {"outcome": Outcome.GONE})
    assert here.state.incidents == {}
    (change,) = here.changes
    assert isinstance(change, IncidentChanged)
    assert (change.kind, change.incident.state) == ("closed", IncidentState.CLOSED)


def test_a_next_look_that_only_moves_is_no_news() -> None:
    here = turn()
    here.wake_incident(INCIDENT, START)
    assert here.state.incidents["i"].wake_at == START
    assert here.changes == []


def test_reasons_to_look_again_add_up() -> None:
    here = turn()
    here.reconsider(SHOP, Refusal.PAUSED)
    here.reconsider(SHOP, Refusal.STACK_BUSY)
    assert here.to_consider == {SHOP: {Refusal.PAUSED, Refusal.STACK_BUSY}}


def test_closing_where_the_stack_is_not_known_frees_nobody() -> None:
    here = turn()
    here.close(INCIDENT, Outcome.GONE)
    assert here.to_consider == {SHOP: {Refusal.UPSTREAM_FAILING}}


def test_an_attempt_that_is_not_there_cannot_be_withdrawn() -> None:
    here = turn()
    here.withdraw_attempt("nobody")
    assert here.changes == []
