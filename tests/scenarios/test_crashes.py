"""The daemon dies before, in and after each step, in virtual time: what broke is healed once, nothing stays marked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from healer.core.incident import IncidentState
from healer.core.step import Step
from healer.simulation.surroundings import Point
from tests.scenarios.scene import POLICY, REBOOT_FIRST, Scene

HEALS = (Step.INSPECT, Step.MARK, Step.PREVIEW, Step.CONVERGE, Step.FOLLOW, Step.PROVE)
UNWINDS, RESTARTS, TELLS = Step.UNMARK, Step.POWER, Step.NOTIFY


def died(scene: Scene, point: Point, step: Step) -> None:
    """Wait for the death that was arranged, and start another daemon."""
    scene.dying.append((point, step))
    assert scene.agenda.run_until(lambda: bool(scene.deaths), 300), f"it never died\n{scene.story()}"
    scene.restart()


def test_every_step_is_crashed_in() -> None:
    assert {*HEALS, UNWINDS, RESTARTS, TELLS} == set(Step)


@pytest.mark.parametrize("point", Point)
@pytest.mark.parametrize("step", HEALS)
def test_a_replacement_is_finished_by_the_next_daemon(step: Step, point: Point) -> None:
    scene = Scene()
    scene.kill("db")
    died(scene, point, step)
    scene.until_healed("db")
    scene.run(120)
    scene.assert_at_peace(new={"db"})
    assert scene.closed("db") == ["healed"]


@pytest.mark.parametrize("point", Point)
def test_marks_are_taken_back_by_the_next_daemon(point: Point) -> None:
    scene = Scene()
    scene.kill("db")
    scene.until_step(Step.PREVIEW)
    scene.around.stop_file = "STOP is there"
    died(scene, point, UNWINDS)
    scene.run(60)
    assert scene.marked() == []
    assert not scene.is_new("db")


@pytest.mark.parametrize("point", Point)
def test_a_restart_is_not_repeated_and_what_it_does_not_mend_is_replaced(point: Point) -> None:
    scene = Scene(REBOOT_FIRST)
    scene.hang("db", rotten=True)
    died(scene, point, RESTARTS)
    scene.until_healed("db", within=1200)
    scene.run(120)
    scene.assert_at_peace(new={"db"})


@pytest.mark.parametrize("point", [point for point in Point if point is not Point.CALLING])
def test_somebody_is_told_by_the_next_daemon(point: Point) -> None:
    scene = Scene(replace(POLICY, remediations=POLICY.remediations[1:]))
    scene.kill("db")
    died(scene, point, TELLS)
    scene.until(IncidentState.EXHAUSTED, "db")
    assert not scene.is_new("db")
    assert scene.marked() == []
