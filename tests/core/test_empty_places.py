"""A place in the stack without anything in it: its replacement is being made, or could not be."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from healer.core.change import IncidentChanged
from healer.core.incident import IncidentState, Outcome
from healer.core.model import Snapshot, StackState
from healer.core.policy import Remediation
from healer.core.step import Failed, Failure, Step
from tests.core.driven import POLICY, SHOP, Driven, replaced, shop, tier

TWICE = replace(
    POLICY,
    remediations=(Remediation("replace", timedelta(minutes=5)), *POLICY.remediations),
)


def empty(state: StackState) -> Snapshot:
    """As Heat lists it while it creates a replacement, or has failed to: its row stands in the old one's place."""
    row = replace(tier("db", ""), action="CREATE", state=state, reason="no room")
    busy = ("shop",) if state is StackState.IN_PROGRESS else ()
    return replace(shop(db=row), action="UPDATE", state=state, busy=busy)


def outcomes(driven: Driven) -> list[Outcome]:
    closed = [c.incident.outcome for c in driven.changes if isinstance(c, IncidentChanged)]
    return [outcome for outcome in closed if outcome]


def test_what_somebody_else_replaces_is_superseded_once_its_successor_is_there() -> None:
    driven = Driven()
    driven.look(False, "db")
    driven.read(empty(StackState.IN_PROGRESS))
    driven.pass_time(1)
    assert driven.out  # It is looked at, and found busy.
    driven.carry_out()
    assert driven.held("db") == "stack_busy"
    driven.read(replaced(shop(), "db"))
    assert outcomes(driven) == [Outcome.SUPERSEDED]


def test_a_replacement_of_somebody_else_s_that_failed_leaves_the_failure_open() -> None:
    driven = Driven()
    driven.look(False, "db")
    driven.read(empty(StackState.FAILED))
    driven.pass_time(1)
    driven.carry_out()
    assert driven.held("db") == "foreign_changes"
    driven.begin()
    incident = driven.incident("db")
    assert incident is not None
    assert incident.current.physical_id == ""
    assert outcomes(driven) == []


def test_a_replacement_of_ours_that_failed_is_made_again_by_the_next_rung() -> None:
    driven = Driven(TWICE)
    driven.look(False, "db")
    driven.pass_time(1)
    driven.carry_out(until=Step.FOLLOW)
    driven.report(Failed(Failure.UPDATE_FAILED, "no room"))
    driven.carry_out(until=Step.INSPECT)
    driven.read(empty(StackState.FAILED))
    driven.carry_out(until=Step.MARK)
    (command,) = driven.out
    assert command.repair.plan is not None
    assert [(c.path, c.prior, c.needs_mark) for c in command.repair.plan.condemned] == [
        ("db", "CREATE_FAILED", False)
    ]
    (db,) = command.incidents
    assert (db.rung, db.state) == (1, IncidentState.REMEDIATING)
    driven.there = shop(db=tier("db", "db-2"))
    driven.carry_out()
    assert db.id in driven.state.incidents
    assert driven.state.incidents[db.id].successor is not None
    driven.look(True, "db", times=4)
    driven.pass_time(1)
    assert outcomes(driven) == [Outcome.HEALED]
    assert driven.state.repair_of(SHOP) is None
