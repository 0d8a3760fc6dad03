"""Looks add up to a failure only as often, and as long, as the policy says, and to a recovery likewise."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from healer.core.detector import (
    Standing,
    Track,
    confirmed,
    forget,
    in_grace,
    is_alarm,
    observe,
    stable_since,
    standing,
)
from healer.core.model import Health, Observation, Symptom, Target
from healer.core.policy import Detect
from tests.core.driven import PROBE, SHOP, START

DETECT = Detect(fail_after=3, recover_after=2)
SECOND = timedelta(seconds=1)
GOOD, BAD, BLIND = Health.HEALTHY, Health.UNHEALTHY, Health.UNKNOWN
SYMPTOMS = {GOOD: Symptom.OK, BAD: Symptom.REFUSED, BLIND: Symptom.OBSERVER_LATE}


def look(health: Health, second: int = 0, *, judged: bool = False) -> Observation:
    return Observation(
        Target(SHOP, "db"),
        PROBE,
        health,
        SYMPTOMS[health],
        START + second * SECOND,
        detail=f"look {second}",
        judged=judged,
    )


def looks(*seen: Health, track: Track | None = None, detect: Detect = DETECT) -> Track:
    track = track or Track()
    for second, health in enumerate(seen):
        track = observe(track, look(health, second), detect)
    return track


@pytest.mark.parametrize(
    ("seen", "fails"),
    [
        ((BAD, BAD), False),
        ((BAD, BAD, BAD), True),
        ((BAD, BAD, GOOD, BAD), False),
        ((BAD, BLIND, BAD, BLIND, BAD), True),
        ((BLIND,) * 10, False),
        ((BAD, BAD, BAD, GOOD), True),
        ((BAD, BAD, BAD, GOOD, GOOD), False),
        ((BAD, BAD, BAD, GOOD, BLIND, GOOD), False),
        ((BAD, BAD, BAD, GOOD, BAD, GOOD), True),
    ],
)
def test_only_consecutive_looks_count_and_unknown_is_neither(seen: tuple[Health, ...], fails: bool) -> None:
    assert looks(*seen).failing is fails


def test_what_somebody_else_has_judged_counts_at_once_both_ways() -> None:
    track = observe(Track(), look(BAD, judged=True), DETECT)
    assert track.failing
    assert not observe(track, look(GOOD, 1, judged=True), DETECT).failing


def test_what_somebody_else_has_judged_is_confirmed_whoever_it_was() -> None:
    track = observe(Track(), look(BAD, judged=True), DETECT)
    assert confirmed({"watcher:fleet": track}, DETECT.fail_after)
    assert observe(track, look(BAD, 1, judged=True), DETECT) is track


def test_a_failure_must_last_as_long_as_the_policy_says() -> None:
    patient = replace(DETECT, unhealthy_for=timedelta(seconds=5))
    assert not looks(*[BAD] * 5, detect=patient).failing
    assert looks(*[BAD] * 6, detect=patient).failing


def test_a_look_that_says_nothing_new_gives_back_the_very_same_track() -> None:
    healthy, failing = looks(GOOD, GOOD, GOOD), looks(*[BAD] * 5)
    assert observe(healthy, look(GOOD, 9), DETECT) is healthy
    assert observe(healthy, look(BLIND, 9), DETECT) is healthy
    assert observe(failing, look(BAD, 9), DETECT) is failing


def test_another_symptom_of_the_same_failure_is_news() -> None:
    failing = looks(*[BAD] * 3)
    other = observe(failing, replace(look(BAD, 9), symptom=Symptom.TIMED_OUT), DETECT)
    assert (failing.symptom, other.symptom) == (Symptom.REFUSED, Symptom.TIMED_OUT)


def test_the_symptom_stays_until_the_recovery_is_believed() -> None:
    failing = looks(*[BAD] * 3)
    assert looks(GOOD, track=failing).symptom is Symptom.REFUSED
    assert looks(GOOD, GOOD, track=failing).symptom is Symptom.OK


def test_after_a_heal_the_failure_stands_and_only_looks_begun_since_count() -> None:
    track = forget(looks(*[BAD] * 3), START + 10 * SECOND)
    assert track.failing
    assert observe(track, look(GOOD, 9), DETECT) is track
    assert observe(track, look(GOOD, 10), DETECT).good == 1


def test_all_sources_together() -> None:
    calm, suspect, failing = looks(GOOD), looks(BAD), looks(*[BAD] * 3)
    assert standing({}) is Standing.CALM
    assert standing({"a": calm}) is Standing.CALM
    assert standing({"a": calm, "b": suspect}) is Standing.SUSPECT
    assert standing({"a": suspect, "b": failing}) is Standing.FAILING


def test_a_target_is_stable_since_the_last_source_found_it_healthy() -> None:
    early, late = looks(GOOD, GOOD), looks(BAD, GOOD, GOOD)
    assert stable_since({"a": early, "b": late}) == START + SECOND
    assert stable_since({"a": early, "b": Track()}) == START
    assert stable_since({"a": early, "b": looks(BAD)}) is None
    assert stable_since({"a": Track()}) is None


def test_grace_lasts_until_its_end_or_the_first_healthy_look() -> None:
    grace = timedelta(seconds=10)
    assert in_grace({}, START, grace, START + 9 * SECOND)
    assert not in_grace({}, START, grace, START + 10 * SECOND)
    assert not in_grace({"a": looks(GOOD, BAD)}, START, grace, START + SECOND)
    assert not in_grace({}, None, grace, START)


def test_a_grace_is_over_for_those_who_have_found_it_healthy_and_for_an_alarm_if_anybody_has() -> None:
    grace, made = 10 * SECOND, looks(GOOD)
    failing = looks(BAD, BAD, BAD)
    assert in_grace({"watcher:engine": made, PROBE: failing}, START, grace, START + SECOND)
    assert not in_grace({PROBE: looks(GOOD, BAD, BAD, BAD)}, START, grace, START + SECOND)
    alarm = observe(Track(), look(BAD, judged=True), DETECT)
    assert not in_grace({PROBE: made, "alarm:am:1": alarm}, START, grace, START + SECOND)
    assert in_grace({"alarm:am:1": alarm}, START, grace, START + SECOND)


def test_one_source_that_has_seen_enough_confirms_a_failure_and_an_alarm_is_enough() -> None:
    failing = looks(*[BAD] * 3)
    assert confirmed({PROBE: failing}, 3)
    assert not confirmed({PROBE: forget(failing, START)}, 3)
    assert not confirmed({PROBE: looks(BAD, BAD)}, 3)
    alarm = observe(Track(), look(BAD, judged=True), DETECT)
    assert confirmed({"alarm:am:1": alarm}, 3)
    assert is_alarm("alarm:am:1")
    assert not is_alarm(PROBE)
