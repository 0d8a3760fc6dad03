"""What the kernel knows, asked by those who read it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from healer.core.change import Attempt
from healer.core.model import Root, Target
from healer.core.state import State
from tests.core.driven import POLICY, SHOP, START, Driven

DB, API = Target(SHOP, "db"), Target(SHOP, "api")
OTHER = Target(Root("there", "p", "other"), "db")


def attempt(name: str, target: Target, minutes: int, *, succeeded: bool = True) -> Attempt:
    began = START + timedelta(minutes=minutes)
    return Attempt(name, target, "replace", "i", began, f"{name}-id", began, succeeded)


STATE = State(
    attempts={
        a.id: a for a in (attempt("a", DB, 0), attempt("b", DB, 9, succeeded=False), attempt("c", OTHER, 20))
    },
    policies=(POLICY,),
)


def test_attempts_are_found_by_target_stack_and_time() -> None:
    assert [a.id for a in STATE.attempts_on(DB, START - timedelta(minutes=1))] == ["a", "b"]
    assert [a.id for a in STATE.attempts_on(DB, START)] == ["b"], (
        "it is over when its time is over, not later"
    )
    assert [a.id for a in STATE.attempts_on(DB, START + timedelta(minutes=1))] == ["b"]
    last, in_stack = STATE.last_attempt([DB, API]), STATE.last_attempt_in(SHOP)
    assert last == in_stack == STATE.attempts["b"]
    assert STATE.last_attempt([API]) is None
    assert STATE.last_attempt_in(replace(SHOP, id="none")) is None


def test_only_what_was_really_replaced_is_known_as_replaced() -> None:
    assert STATE.replaced() == {"a-id": DB, "c-id": OTHER}


def test_a_policy_is_found_by_its_name() -> None:
    assert STATE.policy("tiers") is POLICY
    assert STATE.policy("none") is None


def test_incidents_are_found_by_target_and_by_stack_in_the_order_of_their_opening() -> None:
    driven = Driven()
    driven.look(False, "web")
    driven.look(False, "db")
    assert [i.target.path for i in driven.state.incidents_of(SHOP)] == ["web", "db"]
    assert driven.state.incident_of(API) is None
    assert driven.state.repair_of(SHOP) is None
