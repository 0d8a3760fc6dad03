"""What a heal would touch is worked out before anything is marked, and held against what really happened."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import pytest

from healer.core.model import Effect, Reference, Resource, Snapshot, StackState
from healer.core.planner import Plan, Touched, plan, prove, upstream
from tests.core.driven import SHOP, shop, tier
from tests.core.driven import replaced as replaced_in


def stack(*references: Reference, **resources: Resource) -> Snapshot:
    return replace(shop(**resources), references=references)


def refers(
    source: str, target: str, attribute: str | None = None, effect: Effect = Effect.UPDATED, by: str = "wires"
) -> Reference:
    return Reference(source, by, target, attribute, effect)


def fates(planned: Plan) -> dict[str, Effect]:
    return {touched.path: touched.effect for touched in planned.touched}


def with_port(snapshot: Snapshot, path: str, port: str) -> Snapshot:
    """The same, where this resource listens on another port."""
    changed = replace(snapshot.resources[path], attributes=MappingProxyType({"port": port}))
    return replace(snapshot, resources={**snapshot.resources, path: changed})


def test_a_leaf_touches_nothing_else() -> None:
    planned = plan(shop(), ["web"])
    assert [c.path for c in planned.condemned] == ["web"]
    assert not planned.touched
    assert not planned.references
    assert planned.before == {"db": "db-1", "api": "api-1", "web": "web-1"}


def test_whoever_refers_to_what_is_replaced_is_changed_by_the_property_that_refers() -> None:
    planned = plan(
        stack(refers("api", "db"), refers("web", "db", effect=Effect.REPLACED, by="command")), ["db"]
    )
    assert fates(planned) == {"api": Effect.UPDATED, "web": Effect.REPLACED}
    assert planned.collateral == (Touched("web", "Local::Process", Effect.REPLACED, "command refers to db"),)
    assert planned.replaced == {"db", "web"}
    assert planned.wired == ("api", "web")


def test_what_only_waits_for_it_is_left_alone() -> None:
    assert not plan(stack(refers("api", "db", by="")), ["db"]).touched


def test_an_id_stays_when_its_resource_is_changed_in_place_and_an_attribute_may_not() -> None:
    by_id = stack(refers("api", "db"), refers("web", "api"))
    assert fates(plan(by_id, ["db"])) == {"api": Effect.UPDATED}
    by_attribute = stack(refers("api", "db"), refers("web", "api", "value"))
    assert fates(plan(by_attribute, ["db"])) == {"api": Effect.UPDATED, "web": Effect.UPDATED}


def test_an_attribute_that_only_a_replacement_changes_ends_the_chain() -> None:
    fixed = replace(tier("api", "api-1", "db"), fixed=frozenset({"port"}))
    assert fates(plan(stack(refers("api", "db"), refers("web", "api", "port"), api=fixed), ["db"])) == {
        "api": Effect.UPDATED
    }


def test_of_two_ways_the_worse_one_counts_whatever_their_order() -> None:
    gently, hard = refers("api", "db"), refers("api", "db", effect=Effect.REPLACED, by="command")
    for references in ((gently, hard), (hard, gently)):
        planned = plan(stack(*references, refers("web", "api")), ["db"])
        assert fates(planned) == {"api": Effect.REPLACED, "web": Effect.UPDATED}


def test_what_is_condemned_itself_is_nobody_s_dependent() -> None:
    planned = plan(stack(refers("api", "db"), refers("web", "api")), ["db", "api"])
    assert fates(planned) == {"web": Effect.UPDATED}
    assert [reference.source for reference in planned.references] == ["web"]


def test_what_every_update_replaces_counts_always_and_a_stack_itself_never() -> None:
    handle = replace(tier("handle", "h-1"), type="OS::Heat::UpdateWaitConditionHandle", always_replaced=True)
    broken = replace(tier("cache", "c-1"), action="UPDATE", state=StackState.FAILED)
    group = replace(tier("group", "g-1"), state=StackState.FAILED, is_stack=True)
    planned = plan(stack(refers("web", "cache"), handle=handle, cache=broken, group=group), ["db"])
    assert fates(planned) == {"handle": Effect.REPLACED, "cache": Effect.REPLACED, "web": Effect.UPDATED}
    assert "UPDATE_FAILED already" in {t.path: t.via for t in planned.touched}["cache"]


def test_what_is_declared_and_not_there_is_touched_by_nothing() -> None:
    """Rows go one by one while a stack is deleted, and its template still names them all."""
    snapshot = shop()
    there = {path: resource for path, resource in snapshot.resources.items() if path != "api"}
    planned = plan(replace(snapshot, resources=there), ["db"])
    assert planned.touched == ()
    assert planned.references == ()


def test_what_is_failed_needs_no_mark() -> None:
    failed = replace(tier("db", "db-1"), action="CREATE", state=StackState.FAILED)
    (condemned,) = plan(shop(db=failed), ["db"]).condemned
    assert (condemned.needs_mark, condemned.prior) == (False, "CREATE_FAILED")
    (condemned,) = plan(shop(), ["db"]).condemned
    assert (condemned.needs_mark, condemned.prior) == (True, "CREATE_COMPLETE")


def test_a_resource_requires_what_its_requirements_require() -> None:
    assert upstream(shop(), "web") == {"api", "db"}
    assert upstream(shop(), "db") == frozenset()
    assert upstream(shop(), "nobody") == frozenset()


def test_what_a_nested_stack_requires_its_members_require_and_whoever_requires_it_requires_them() -> None:
    nested = shop(
        group=replace(tier("group", "g-1", "db"), is_stack=True),
        **{"group/0": replace(tier("0", "zero-1"), path="group/0")},
        web=tier("web", "web-1", "group"),
    )
    assert upstream(nested, "group/0") == {"db"}
    assert upstream(nested, "web") == {"group", "group/0", "db"}


def test_a_circle_of_requirements_is_no_endless_walk() -> None:
    assert upstream(shop(db=tier("db", "db-1", "web")), "web") == {"api", "db"}


# The proof.

PLANNED = plan(with_port(stack(refers("api", "db", "port")), "db", "8001"), ["db"])
AFTER = with_port(replaced_in(stack(refers("api", "db", "port")), "db"), "db", "8002")
WIRED = {"api": {"wires": '{"db": "127.0.0.1:8002"}'}}


def test_a_replacement_that_everybody_was_told_of_is_proven() -> None:
    proof = prove(PLANNED, AFTER, WIRED)
    assert not proof.failures
    assert not proof.surprises
    assert not proof.still_marked


def failing(snapshot: Snapshot, **changes: object) -> Snapshot:
    changed = replace(snapshot.resources["api"], **changes)  # type: ignore[arg-type]
    return replace(snapshot, resources={**snapshot.resources, "api": changed})


@pytest.mark.parametrize(
    ("after", "wires", "said"),
    [
        (replace(AFTER, state=StackState.FAILED, action="UPDATE"), WIRED, "the stack is UPDATE_FAILED"),
        (replace(AFTER, busy=("shop-nested",)), WIRED, "shop-nested still in progress"),
        (shop(), WIRED, "db was not replaced"),
        (replace(AFTER, resources={"api": AFTER.resources["api"]}), WIRED, "db is not in the stack any more"),
        (failing(AFTER, state=StackState.FAILED, reason="no room"), WIRED, "api is CREATE_FAILED: no room"),
        (failing(AFTER, state=StackState.IN_PROGRESS), WIRED, "api is CREATE_IN_PROGRESS"),
        (AFTER, {"api": {"wires": '{"db": "127.0.0.1:8001"}'}}, "api still refers to the old db in wires"),
    ],
)
def test_what_reality_does_not_agree_with_is_said(
    after: Snapshot, wires: dict[str, dict[str, str]], said: str
) -> None:
    assert said in prove(PLANNED, after, wires).failures


def test_a_reference_by_id_must_name_the_new_one() -> None:
    planned = plan(stack(refers("api", "db")), ["db"])
    after = replaced_in(stack(refers("api", "db")), "db")
    assert not prove(planned, after, {"api": {"wires": "db-2"}}).failures
    assert prove(planned, after, {"api": {"wires": "db-1"}}).failures == (
        "api still refers to the old db in wires",
    )


@pytest.mark.parametrize(
    ("old", "new", "text", "stale"),
    [
        ("10.0.0.11", "10.0.0.1", "http://10.0.0.11:80", True),
        ("10.0.0.11", "10.0.0.1", "http://10.0.0.1:80", False),
        ("10.0.0.1", "10.0.0.11", "http://10.0.0.11:80", False),
        ("10.0.0.1", "10.0.0.11", "http://10.0.0.1:80", True),
        ("10.0.0.1", "10.0.0.2", "http://10.0.0.1:80, http://10.0.0.2:80", False),
        ("10.0.0.1", "10.0.0.1", "http://10.0.0.1:80", False),
        ("10.0.0.1", "", "http://10.0.0.1:80", True),
    ],
)
def test_an_address_that_begins_like_the_other_is_not_taken_for_it(
    old: str, new: str, text: str, stale: bool
) -> None:
    before = with_port(stack(refers("api", "db", "port")), "db", old)
    after = with_port(replaced_in(before, "db"), "db", new)
    assert bool(prove(plan(before, ["db"]), after, {"api": {"wires": text}}).failures) is stale


def test_what_is_not_there_needs_no_mark() -> None:
    never_made = shop(db=replace(tier("db", ""), action="INIT"))
    assert [one.needs_mark for one in plan(never_made, ["db"]).condemned] == [False]


def test_a_wire_that_cannot_be_read_or_an_attribute_that_nobody_knows_proves_nothing_against_it() -> None:
    assert not prove(PLANNED, AFTER, {}).failures
    unknown = plan(stack(refers("api", "db", "port")), ["db"])
    assert not prove(unknown, AFTER, {"api": {"wires": "8001"}}).failures


def test_a_wire_to_what_was_replaced_beside_the_condemned_is_looked_at_by_its_id() -> None:
    chain = stack(refers("api", "db", effect=Effect.REPLACED), refers("web", "api", "port"))
    planned = plan(chain, ["db"])
    after = replaced_in(chain, "db", "api")
    assert not prove(planned, after, {"web": {"wires": "127.0.0.1:8001"}}).failures


def test_a_mark_that_the_update_passed_by_is_told_apart() -> None:
    marked = replace(tier("db", "db-1"), action="CHECK", state=StackState.FAILED)
    assert prove(PLANNED, shop(db=marked), WIRED).still_marked
    assert not prove(PLANNED, shop(), WIRED).still_marked


def test_what_was_replaced_without_being_planned_is_a_surprise() -> None:
    assert prove(PLANNED, replaced_in(AFTER, "web"), WIRED).surprises == (
        "web was replaced and the plan did not say so",
    )


def test_what_a_plan_is_about_is_its_root() -> None:
    assert PLANNED.root == SHOP
