"""Identity leaves out what is only a label."""

from __future__ import annotations

from dataclasses import replace

import pytest

from healer.core.model import NOTHING, Alarm, AlarmStatus, Root, Selector, StackState, Symptom, Target
from tests.core.driven import SHOP, START, shop, tier


def test_a_root_is_the_same_by_whatever_name() -> None:
    assert Root("c", "p", "1", "old") == Root("c", "p", "1", "new")
    assert {Root("c", "p", "1", "old"): 1}[Root("c", "p", "1")] == 1


def test_a_target_is_shown_by_its_stacks_name_or_id() -> None:
    assert str(Target(SHOP, "group/0")) == "shop/group/0"
    assert str(Root("c", "p", "1")) == "1"


def test_a_mark_is_a_failed_check_and_nothing_else() -> None:
    db = tier("db", "db-1")
    assert replace(db, action="CHECK", state=StackState.FAILED).marked
    assert not replace(db, action="CHECK").marked
    assert not replace(db, action="UPDATE", state=StackState.FAILED).marked


def test_a_physical_id_need_not_be_unique() -> None:
    twice = shop(volume=tier("volume", "db-1"))
    assert {resource.path for resource in twice.find("db-1")} == {"db", "volume"}
    assert twice.find("nobody") == ()


@pytest.mark.parametrize("symptom", Symptom)
def test_only_what_is_gone_or_given_up_by_the_engine_explains_itself(symptom: Symptom) -> None:
    assert symptom.explains_itself is (symptom in {Symptom.GONE, Symptom.ENGINE_FAILED})


def test_one_delivery_of_an_alarm_differs_from_the_next_by_key_start_and_status() -> None:
    alarm = Alarm("am", "key", AlarmStatus.FIRING, START, START, Selector())
    assert alarm.identity == replace(alarm, labels={"a": "b"}).identity
    assert len({alarm.identity, replace(alarm, status=AlarmStatus.CLEARED).identity}) == 2


def test_nothing_is_an_empty_mapping_that_can_be_a_default() -> None:
    assert not NOTHING
    assert hash(NOTHING) == hash(NOTHING)
    assert dict(NOTHING) == {}
    assert repr(NOTHING) == "{}"
    with pytest.raises(KeyError):
        NOTHING["anything"]
