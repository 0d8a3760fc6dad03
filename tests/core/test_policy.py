"""A policy owns what all that its match says holds for."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from healer.core.policy import Contested, Detect, Match, Mode, Owned, Policy, Watch, owner
from tests.core.driven import shop, tier

TAGGED = replace(shop(), tags=frozenset({"heal", "blue"}))


@pytest.mark.parametrize(
    ("match", "owns"),
    [
        (Match(), True),
        (Match(type="Local::*"), True),
        (Match(type="OS::Nova::Server"), False),
        (Match(stack="sh*"), True),
        (Match(stack="SH*"), False),
        (Match(resource="d?"), True),
        (Match(resource="api"), False),
        (Match(cloud="here"), True),
        (Match(cloud="there"), False),
        (Match(tags=frozenset({"heal"})), True),
        (Match(tags=frozenset({"heal", "green"})), False),
    ],
)
def test_all_that_is_said_must_hold(match: Match, owns: bool) -> None:
    assert match.owns(TAGGED, TAGGED.resources["db"]) is owns


def test_a_nested_stack_itself_is_never_owned() -> None:
    assert not Match().owns(TAGGED, replace(tier("group", "g"), is_stack=True))


def test_one_owner_two_owners_and_none() -> None:
    a, b = Policy("a"), Policy("b", Match(resource="db"))
    db, api = TAGGED.resources["db"], TAGGED.resources["api"]
    assert owner((a, b), TAGGED, api) == Owned(a)
    assert owner((b, a), TAGGED, db) == Contested(("a", "b"))
    assert owner((b,), TAGGED, api) is None


def test_a_policy_that_says_nothing_observes() -> None:
    assert Policy("p").mode is Mode.OBSERVE


def test_a_time_of_grace_ends_with_one_more_look_of_those_who_look_most_rarely() -> None:
    looks = tuple(
        Watch(name, timedelta(seconds=each), timedelta(seconds=1)) for name, each in (("a", 2), ("b", 9))
    )
    assert Detect(looks, startup_grace=timedelta(seconds=20)).grace == timedelta(seconds=30)
    assert Detect(startup_grace=timedelta(seconds=20)).grace == timedelta(seconds=20)
    assert Detect(looks, startup_grace=timedelta(0)).grace == timedelta(0)
