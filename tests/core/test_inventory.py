"""Nobody guesses which resource is meant; what was replaced is known to be late."""

from __future__ import annotations

from dataclasses import replace

import pytest

from healer.core.inventory import Ambiguous, By, Found, Resolution, Stale, Unmatched, resolve, watched
from healer.core.model import Root, Selector, Target
from healer.core.policy import Match
from tests.core.driven import POLICY, SHOP, shop, tier

OTHER = Root("there", "p", "other-id", "other")
HERE = shop(
    group=replace(tier("group", "group-1"), is_stack=True),
    **{
        "group/0": replace(tier("0", "zero-1"), path="group/0"),
        "group/1": replace(tier("1", "db-9"), path="group/1"),
    },
)
THERE = replace(shop(), root=OTHER)
SNAPSHOTS = {SHOP: HERE, OTHER: THERE}
REPLACED = {"db-0": Target(SHOP, "db")}


def meant(**said: str) -> Resolution:
    return resolve(SNAPSHOTS, Selector(**said), REPLACED)


@pytest.mark.parametrize(
    ("said", "path"),
    [
        ({"stack": "shop", "resource": "db"}, "db"),
        ({"stack": "shop-id", "resource": "db"}, "db"),
        ({"cloud": "here", "resource": "db"}, "db"),
        ({"stack": "shop", "resource": "group/0"}, "group/0"),
        ({"stack": "shop", "resource": "0"}, "group/0"),
        ({"stack": "shop", "physical_id": "db-9"}, "group/1"),
        ({"physical_id": "zero-1"}, "group/0"),
        ({"stack": "shop", "resource": "group/0", "physical_id": "zero-1"}, "group/0"),
    ],
)
def test_a_resource_is_found_by_stack_and_name_or_by_physical_id(said: dict[str, str], path: str) -> None:
    found = meant(**said)
    assert isinstance(found, Found)
    assert found.targets == (Target(SHOP, path),)


def test_what_was_never_made_is_meant_by_its_name_and_by_no_id() -> None:
    """An engine may list a resource that has no physical id yet; an alarm without one must not mean it."""
    snapshot = shop(new=replace(tier("new", ""), path="new"))
    assert resolve({SHOP: snapshot}, Selector(resource="new"), {}) == Found((Target(SHOP, "new"),), By.NAME)
    assert isinstance(resolve({SHOP: snapshot}, Selector(physical_id=""), {}), Unmatched)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"stack": "shop"}, "it names no resource"),
        ({"stack": "shop", "resource": "cache"}, "no resource here has its name"),
        ({"physical_id": "nobody"}, "no resource here has its physical id"),
        ({"stack": "shop", "resource": "group"}, "no resource here"),
        ({"stack": "nowhere", "resource": "db"}, "no stack 'nowhere' here"),
        ({"cloud": "nowhere", "resource": "db"}, "no stack here"),
        ({"resource": "db", "physical_id": "zero-1"}, "zero-1 is shop/group/0, and not 'db'"),
        (
            {"physical_id": "nobody", "address": "10.9.9.9"},
            "no resource here has its physical id or its address",
        ),
        ({"address": "10.0.0.5:1"}, "no resource here"),
        ({"address": ""}, "no resource here"),
        ({"host": "compute-9"}, "no resource here has its host"),
    ],
)
def test_what_matches_nothing_is_told_why(said: dict[str, str], why: str) -> None:
    found = meant(**said)
    assert isinstance(found, Unmatched)
    assert why in found.why


def test_a_name_in_two_stacks_is_ambiguous() -> None:
    assert meant(resource="db") == Ambiguous((Target(SHOP, "db"), Target(OTHER, "db")))


PLACED = shop(
    db=replace(tier("db", "db-1"), attributes={"address": "10.0.0.5", "port": "5432", "host": "compute-1"}),
    api=replace(
        tier("api", "api-1"), attributes={"address": "10.0.0.6", "name": "api.lan", "host": "compute-1"}
    ),
    web=replace(
        tier("web", "web-1"),
        attributes={"address": "fd00::7", "host": "compute-2", "further_addresses": "10.0.0.7 10.1.0.7"},
    ),
)


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("10.0.0.5", "db"),
        ("10.0.0.5:5432", "db"),
        ("10.0.0.6", "api"),
        ("10.0.0.6:9100", "api"),
        ("api.lan:443", "api"),
        ("fd00::7", "web"),
        ("[fd00::7]:9100", "web"),
        ("10.0.0.7", "web"),
        ("10.1.0.7:9100", "web"),
    ],
)
def test_a_resource_is_found_by_where_it_is_reached(address: str, path: str) -> None:
    found = resolve({SHOP: PLACED}, Selector(address=address), {})
    assert found == Found((Target(SHOP, path),), By.ADDRESS)


def test_two_at_one_address_are_ambiguous() -> None:
    both = shop(
        db=replace(tier("db", "db-1"), attributes={"address": "10.0.0.5"}),
        api=replace(tier("api", "api-1"), attributes={"address": "10.0.0.5"}),
    )
    found = resolve({SHOP: both}, Selector(address="10.0.0.5:9100"), {})
    assert found == Ambiguous((Target(SHOP, "api"), Target(SHOP, "db")))


def test_a_host_means_everything_that_runs_on_it() -> None:
    found = resolve({SHOP: PLACED}, Selector(host="compute-1"), {})
    assert isinstance(found, Found)
    assert found.by is By.HOST
    assert {target.path for target in found.targets} == {"db", "api"}


def test_the_surest_of_what_is_said_counts() -> None:
    """An id that nobody here has says nothing; one that has been healed away says that it is late."""
    by_name = resolve({SHOP: PLACED}, Selector(physical_id="nobody", resource="web", address="10.0.0.5"), {})
    assert by_name == Found((Target(SHOP, "web"),), By.NAME)
    by_address = resolve({SHOP: PLACED}, Selector(resource="nothing", address="10.0.0.5"), {})
    assert by_address == Found((Target(SHOP, "db"),), By.ADDRESS)
    late = resolve({SHOP: PLACED}, Selector(physical_id="db-0", resource="db"), REPLACED)
    assert late == Stale(Target(SHOP, "db"))


def test_an_incarnation_that_was_healed_away_is_stale() -> None:
    assert meant(physical_id="db-0", stack="shop", resource="db") == Stale(Target(SHOP, "db"))


def test_what_was_healed_and_kept_its_id_is_still_meant_by_it() -> None:
    """A server that was rebooted is the same server: its next alarm is no late one."""
    found = resolve(SNAPSHOTS, Selector(physical_id="db-9"), {"db-9": Target(SHOP, "group/1")})
    assert isinstance(found, Found)


def test_an_incarnation_of_a_stack_that_cannot_be_found_is_stale_and_not_unknown() -> None:
    assert resolve({}, Selector(physical_id="db-0"), REPLACED) == Stale(Target(SHOP, "db"))


def test_everything_that_one_policy_owns_is_looked_at_and_what_two_own_is_not() -> None:
    both = (POLICY, replace(POLICY, name="webs", match=Match(resource="web")))
    found = watched(both, {SHOP: HERE})
    assert {one.target.path for one in found} == {"db", "api", "group/0", "group/1"}
    assert all(one.policy is POLICY and one.watch in POLICY.detect.watches for one in found)
    assert watched((), SNAPSHOTS) == ()
