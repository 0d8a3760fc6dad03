"""Tests of what is made of Heat's list of resources; the shapes are what a real one answered."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from healer.core.model import Incarnation, StackState
from healer.engines.heat.listing import Listing, StackName, instant, listing, status

BASE = "http://cloud.example/heat-api/v1/abc"
ROOT = StackName("shop", "root-id")
NESTED = StackName("shop-data-x1", "data-id")


def entry(name: str, owner: StackName, nested: StackName | None = None, **changes: Any) -> dict[str, Any]:
    links = [
        {"rel": "self", "href": f"{BASE}/stacks/{owner.name}/{owner.id}/resources/{name}"},
        {"rel": "stack", "href": f"{BASE}/stacks/{owner.name}/{owner.id}"},
    ]
    if nested is not None:
        links.append({"rel": "nested", "href": f"{BASE}/stacks/{nested.name}/{nested.id}"})
    return {
        "resource_name": name,
        "physical_resource_id": nested.id if nested else f"{name}-1",
        "resource_type": "Thing",
        "resource_status": "CREATE_COMPLETE",
        "resource_status_reason": "state changed",
        "creation_time": "2026-11-24T11:07:51Z",
        "updated_time": "2026-11-24T11:07:51Z",
        "required_by": [],
        "links": links,
    } | changes


def in_order(*entries: dict[str, Any], busy: tuple[dict[str, Any], ...] = ()) -> Listing:
    return listing(ROOT, entries, busy)


DATA = entry("data", ROOT, NESTED)
DB = entry("db", NESTED)
API = entry("api", ROOT)


def test_paths_are_made_from_the_links_in_whatever_order_they_come() -> None:
    found = in_order(DB, API, DATA)
    assert set(found.resources) == {"data", "data/db", "api"}
    assert found.resources["data/db"].incarnation == Incarnation("data-id", "db", "db-1")
    assert found.resources["data"].nested == NESTED
    assert found.stacks == {"root-id": ROOT, "data-id": NESTED}


def test_what_hangs_on_a_stack_that_is_not_listed_is_left_out() -> None:
    assert set(in_order(DB, API).resources) == {"api"}


def test_a_stack_or_a_group_is_known_for_one() -> None:
    group = entry("group", ROOT, resource_type="OS::Heat::ResourceGroup", physical_resource_id=None)
    found = in_order(DATA, API, group).resources
    assert (found["data"].is_stack, found["api"].is_stack, found["group"].is_stack) == (True, False, True)
    assert found["group"].physical_id == ""


def test_a_stack_name_with_odd_letters_survives_the_url() -> None:
    odd = StackName("shöp.a_b", "root-id")
    assert odd.path == "/stacks/sh%C3%B6p.a_b/root-id"
    href = f"{BASE}{odd.path}"
    found = listing(odd, [entry("api", odd, links=[{"rel": "stack", "href": href}])], [])
    assert found.resources["api"].stack == odd


@pytest.mark.parametrize(
    ("stack", "busy"), [("root-id", ("shop",)), ("data-id", ("shop-data-x1",)), ("other-id", ())]
)
def test_a_stack_that_is_in_progress_makes_it_busy_if_it_is_one_of_its_own(
    stack: str, busy: tuple[str, ...]
) -> None:
    assert in_order(DATA, DB, busy=({"id": stack},)).busy == busy


def test_a_resource_that_is_still_worked_on_makes_its_stack_busy() -> None:
    """After a failed update others may still be under way, though no stack says so."""
    found = in_order(DATA, entry("db", NESTED, resource_status="CREATE_IN_PROGRESS"))
    assert found.busy == ("shop-data-x1",)


def test_only_the_very_incarnation_is_found() -> None:
    found = in_order(DATA, DB, API)
    db = found.resources["data/db"].incarnation
    assert found.find(db) == found.resources["data/db"]
    for wrong in (replace(db, stack="root-id"), replace(db, name="api"), replace(db, physical_id="db-0")):
        assert found.find(wrong) is None
    never = entry("new", ROOT, physical_resource_id="")
    assert in_order(never).find(Incarnation("root-id", "new", "")) is None


@pytest.mark.parametrize(
    ("other", "alone"),
    [
        ({}, True),
        ({"physical_resource_id": "api-1"}, False),
        ({"resource_name": "api-1"}, False),
        ({"owner": NESTED, "physical_resource_id": "api-1"}, True),
        ({"owner": NESTED, "resource_name": "api-1"}, True),
    ],
)
def test_an_id_names_one_resource_unless_it_is_anothers_id_or_name_in_the_same_stack(
    other: dict[str, Any], alone: bool
) -> None:
    given = dict(other)
    second = entry("second", given.pop("owner", ROOT)) | given
    found = in_order(DATA, API, second)
    assert found.names_one(found.resources["api"]) is alone


def test_an_id_that_is_its_own_name_names_it() -> None:
    found = in_order(entry("key", ROOT, physical_resource_id="key"))
    assert found.names_one(found.resources["key"])


def test_an_id_with_a_slash_cannot_stand_in_a_url() -> None:
    found = in_order(entry("key", ROOT, physical_resource_id="a/b"))
    assert not found.names_one(found.resources["key"])


def test_heats_words_are_read() -> None:
    assert status("CHECK_FAILED") == ("CHECK", StackState.FAILED)
    assert status("UPDATE_IN_PROGRESS") == ("UPDATE", StackState.IN_PROGRESS)
    read = instant("2026-11-24T11:07:51Z")
    assert read is not None
    assert read.isoformat() == "2026-11-24T11:07:51+00:00"
    assert instant(None) is None
