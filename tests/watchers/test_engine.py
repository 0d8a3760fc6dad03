from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from healer.core.model import (
    Health,
    Incarnation,
    Observation,
    Resource,
    Root,
    Snapshot,
    StackState,
    Symptom,
    Target,
)
from healer.watchers.engine import EngineWatcher

ROOT = Root("here", "local", "r1", "shop")
NOW = datetime(2026, 3, 1, tzinfo=UTC)
API = Resource("api", "Local::Process", Incarnation("r1", "api", "boot:7:1"), "CREATE", StackState.COMPLETE)
COMPLETE, FAILED, IN_PROGRESS = StackState.COMPLETE, StackState.FAILED, StackState.IN_PROGRESS


def watch(*resources: Resource) -> list[Observation]:
    listed = {resource.path: resource for resource in resources}
    return list(EngineWatcher().watch(Snapshot(ROOT, NOW, "CREATE", COMPLETE, listed)))


def seen(**changes: object) -> tuple[Health, Symptom, str]:
    [observation] = watch(replace(API, **changes))  # type: ignore[arg-type] # the names are the test's words
    return observation.health, observation.symptom, observation.detail


def test_an_observation_names_the_target_the_incarnation_and_when_it_was_read() -> None:
    [observation] = watch(API)
    assert observation == Observation(
        target=Target(ROOT, "api"),
        source="watcher:engine",
        health=Health.HEALTHY,
        symptom=Symptom.OK,
        at=NOW,
        physical_id="boot:7:1",
        detail="it is CREATE_COMPLETE",
        judged=False,
    )


@pytest.mark.parametrize("condition", [Health.HEALTHY, Health.UNKNOWN])
@pytest.mark.parametrize("action", ["CREATE", "UPDATE", "CHECK", "RESUME"])
def test_what_is_complete_and_not_known_to_be_dead_is_healthy(condition: Health, action: str) -> None:
    assert seen(action=action, condition=condition)[:2] == (Health.HEALTHY, Symptom.OK)


def test_what_the_engine_failed_at_is_unhealthy_with_its_reason() -> None:
    assert seen(action="CREATE", state=FAILED, reason="ResourceInError: no valid host") == (
        Health.UNHEALTHY,
        Symptom.ENGINE_FAILED,
        "it is CREATE_FAILED: ResourceInError: no valid host",
    )
    assert seen(state=FAILED)[2] == "it is CREATE_FAILED: no reason given"


def test_a_mark_set_by_a_person_or_another_program_is_unhealthy_and_not_yet_judged() -> None:
    [observation] = watch(replace(API, action="CHECK", state=FAILED, reason="marked by Aodh"))
    assert (observation.health, observation.symptom) == (Health.UNHEALTHY, Symptom.ENGINE_FAILED)
    assert not observation.judged


@pytest.mark.parametrize("installation", ["default", "other"])
def test_a_mark_set_by_a_healer_is_no_second_witness(installation: str) -> None:
    health, _, detail = seen(action="CHECK", state=FAILED, reason=f"healer:{installation}/01J: it refused")
    assert health is Health.UNKNOWN
    assert detail == f"it is marked by a healer: healer:{installation}/01J: it refused"


def test_a_failure_whose_reason_only_looks_like_a_mark_is_a_failure() -> None:
    assert seen(action="UPDATE", state=FAILED, reason="healer: not found")[0] is Health.UNHEALTHY


def test_what_the_engine_knows_to_be_dead_is_unhealthy_whatever_its_books_say() -> None:
    gone = {"condition": Health.UNHEALTHY, "condition_symptom": Symptom.GONE}
    dead = (Health.UNHEALTHY, Symptom.GONE, "the engine finds it gone")
    assert seen(**gone) == dead
    assert seen(action="CREATE", state=FAILED, reason="x", **gone) == dead
    assert seen(action="CHECK", state=FAILED, reason="healer:a/b: c", **gone) == dead
    assert seen(condition=Health.UNHEALTHY)[1] is Symptom.ENGINE_FAILED


@pytest.mark.parametrize("condition", list(Health))
def test_what_is_being_changed_is_unknown_whatever_else_is_known(condition: Health) -> None:
    health, _, detail = seen(action="UPDATE", state=IN_PROGRESS, condition=condition)
    assert (health, detail) == (Health.UNKNOWN, "it is UPDATE_IN_PROGRESS")


@pytest.mark.parametrize("action", ["INIT", "DELETE", "SUSPEND"])
def test_what_is_not_meant_to_be_at_work_is_unknown(action: str) -> None:
    assert seen(action=action)[0] is Health.UNKNOWN


def test_nested_stacks_and_groups_are_no_targets_and_their_members_are() -> None:
    group = Resource(
        "group", "OS::Heat::ResourceGroup", Incarnation("r1", "group", "n1"), "CREATE", FAILED, is_stack=True
    )
    member = replace(API, path="group/0", incarnation=Incarnation("n1", "0", "boot:8:1"))
    assert [str(each.target) for each in watch(group, member)] == ["shop/group/0"]


def test_a_resource_that_never_had_a_physical_id_names_none() -> None:
    [observation] = watch(replace(API, incarnation=Incarnation("r1", "api", ""), state=FAILED))
    assert observation.physical_id is None
    assert observation.health is Health.UNHEALTHY
