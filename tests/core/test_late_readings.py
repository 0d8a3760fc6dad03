"""Two may read one stack at once, and the slower one must not bring back what is gone."""

from __future__ import annotations

from dataclasses import replace

from healer.core.event import Snapped
from healer.core.incident import IncidentState
from healer.core.step import Step
from tests.core.driven import Driven


def test_a_reading_that_began_before_the_replacement_does_not_undo_its_proof() -> None:
    """The survey reads on its own; its reading may come in after the proof, and show the dead one still in place."""
    driven = Driven()
    driven.look(True, "db")
    driven.look(False, "db")
    driven.pass_time(1)
    driven.carry_out(Step.PROVE)
    slow = replace(driven.there, taken_at=driven.now)
    driven.pass_time(1)
    driven.there = replace(driven.there, taken_at=driven.now)
    driven.carry_out()
    driven.happen(Snapped(slow))
    incident = driven.incident("db")
    assert incident is not None
    assert incident.state is IncidentState.VERIFYING
    assert driven.state.snapshots[slow.root].resources["db"].incarnation == incident.successor
