"""A cause comes first, and so does the moment that what has just been made takes until it answers."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from healer.core.causes import cause_of
from healer.core.event import Observed
from healer.core.model import Health, Observation, Symptom, Target
from tests.core.driven import POLICY, PROBE, SHOP, START, Driven, shop, tier
from tests.core.test_guardrails import failing, refusal

API = Target(SHOP, "api")
FIRST = replace(POLICY, detect=replace(POLICY.detect, fail_after=1))


def with_a_new_db(driven: Driven) -> Driven:
    driven.read(shop(db=replace(tier("db", "db-2"), created_at=driven.now)))
    return driven


def test_where_nothing_is_the_matter_with_what_it_requires_there_is_no_cause() -> None:
    driven = Driven()
    driven.look(True, "db", "api", "web")
    assert cause_of(driven.state, API, driven.now) == ""
    assert cause_of(driven.state, Target(replace(SHOP, id="other"), "api"), driven.now) == ""


def test_what_requires_something_that_was_made_a_moment_ago_waits_until_that_is_seen_healthy() -> None:
    driven = failing(with_a_new_db(Driven(FIRST)), "api")
    assert refusal(driven, "api") == (
        "upstream_failing",
        "it requires db, which may still be starting",
    )
    driven.look(True, "db", times=1)
    driven.look(False, "api", times=1)
    driven.pass_time(5)
    assert driven.out


def test_nobody_waits_for_longer_than_its_time_of_grace() -> None:
    driven = failing(with_a_new_db(Driven(FIRST)), "api")
    driven.now += FIRST.detect.grace
    driven.look(False, "api", times=1)
    driven.pass_time(5)
    assert driven.out


def test_nobody_waits_for_what_nobody_looks_at() -> None:
    blind = replace(FIRST, detect=replace(FIRST.detect, watches=()))
    driven = with_a_new_db(Driven(blind))
    seen = Observation(
        API, "alarm:am:1", Health.UNHEALTHY, Symptom.ALARM, START + timedelta(seconds=1), judged=True
    )
    driven.happen(Observed((seen,)))
    driven.pass_time(1)
    assert driven.out
    assert PROBE not in driven.state.tracks[API]


def test_what_is_required_and_is_not_there_is_not_starting() -> None:
    driven = Driven(FIRST)
    there = {path: resource for path, resource in shop().resources.items() if path != "db"}
    driven.read(replace(shop(), resources=there))
    assert failing(driven, "api").out


def test_all_causes_are_named() -> None:
    driven = Driven()
    driven.look(False, "db", "api")
    said = "it requires api, db, which fail: that comes first"
    assert cause_of(driven.state, Target(SHOP, "web"), driven.now) == said
