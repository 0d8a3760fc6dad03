from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from healer.core.incident import IncidentState
from healer.core.model import Health, Observation, Symptom
from healer.telemetry.phases import Phase, Phases
from tests.core.driven import shop
from tests.stores.samples import at, closed, incident, told

TARGET = incident(1).target
ELSEWHERE = replace(TARGET.root, id="another")


def look(health: Health, seconds: float) -> Observation:
    return Observation(TARGET, "probe:http:1", health, Symptom.REFUSED, at(seconds))


def told_in(phases: Phases, *states: tuple[IncidentState, float]) -> list[tuple[Phase, float] | None]:
    return [phases.changed(told(replace(incident(1), state=state), "moved", when)) for state, when in states]


def test_noticing_begins_with_the_first_unhealthy_look_since_a_healthy_one() -> None:
    phases = Phases()
    for health, when in (
        (Health.UNHEALTHY, 1),
        (Health.HEALTHY, 2),
        (Health.UNHEALTHY, 3),
        (Health.UNKNOWN, 4),
        (Health.UNHEALTHY, 5),
    ):
        phases.looked(look(health, when))
    assert phases.changed(told(incident(1), "opened", 9)) == (Phase.NOTICING, 6)


def test_what_no_look_found_was_not_noticed_by_one() -> None:
    assert Phases().changed(told(incident(1), "opened", 9)) is None


def test_each_phase_is_timed_when_the_next_begins() -> None:
    phases = Phases()
    phases.changed(told(incident(1), "opened", 10))
    assert told_in(
        phases,
        (IncidentState.HELD, 12),
        (IncidentState.REMEDIATING, 15),
        (IncidentState.REMEDIATING, 16),
        (IncidentState.VERIFYING, 40),
    ) == [None, (Phase.DECIDING, 5), None, (Phase.ACTING, 25)]
    assert phases.changed(told(closed(incident(1), 47), "closed", 47)) == (Phase.VERIFYING, 7)


def test_the_next_rung_is_decided_anew() -> None:
    phases = Phases()
    phases.changed(told(incident(1), "opened", 0))
    states = (
        IncidentState.REMEDIATING,
        IncidentState.VERIFYING,
        IncidentState.OPEN,
        IncidentState.REMEDIATING,
    )
    ended = told_in(phases, *zip(states, (1, 11, 14, 16), strict=True))
    assert ended == [(Phase.DECIDING, 1), (Phase.ACTING, 10), (Phase.VERIFYING, 3), (Phase.DECIDING, 2)]


def test_what_came_back_by_itself_or_waits_for_a_person_was_not_decided() -> None:
    phases = Phases()
    phases.changed(told(incident(1), "opened", 0))
    assert phases.changed(told(closed(incident(1), 9), "closed", 9)) is None
    phases.changed(told(incident(1), "opened", 10))
    assert told_in(phases, (IncidentState.EXHAUSTED, 20), (IncidentState.CLOSED, 30)) == [None, None]


def test_a_phase_that_a_restart_cut_is_not_timed_and_the_next_one_is() -> None:
    assert told_in(Phases(), (IncidentState.VERIFYING, 50), (IncidentState.CLOSED, 53)) == [
        None,
        (Phase.VERIFYING, 3),
    ]
    assert told_in(Phases(), (IncidentState.HELD, 50), (IncidentState.REMEDIATING, 53)) == [None, None]


def test_the_end_of_an_incident_ends_what_was_noticed_of_it() -> None:
    phases = Phases()
    phases.looked(look(Health.UNHEALTHY, 1))
    phases.changed(told(incident(1), "opened", 3))
    phases.changed(told(closed(incident(1), 9), "closed", 9))
    assert phases.changed(told(incident(2), "opened", 20)) is None


def test_what_was_seen_of_what_has_gone_is_forgotten() -> None:
    """A daemon that runs for a year beside stacks that come and go must not remember each of their failures."""
    here = replace(shop(), root=TARGET.root)
    here = replace(here, resources={**here.resources, TARGET.path: here.resources["db"]})
    others = {path: one for path, one in here.resources.items() if path != TARGET.path}
    cases: list[tuple[Callable[[Phases], None], bool]] = [
        (lambda phases: phases.read(here), True),
        (lambda phases: phases.read(replace(here, resources=others)), False),
        (lambda phases: phases.read(replace(here, root=ELSEWHERE, resources={})), True),
        (lambda phases: phases.listed("here", {TARGET.root}), True),
        (lambda phases: phases.listed("there", {ELSEWHERE}), True),
        (lambda phases: phases.listed("here", {ELSEWHERE}), False),
    ]
    for tell, lasts in cases:
        phases = Phases()
        phases.looked(look(Health.UNHEALTHY, 1))
        tell(phases)
        noticed = phases.changed(told(incident(1), "opened", 3))
        assert (noticed == (Phase.NOTICING, 2)) is lasts
