"""The simulated engine where it misbehaves, and what becomes of its things; that it keeps to the port and to Heat's
traces is tested beside it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from healer.core.model import Health, Incarnation, Root, Snapshot, StackState, Symptom
from healer.core.step import Failure
from healer.engines.simulated import Simulated
from healer.engines.simulated.clock import VirtualClock
from healer.engines.simulated.trouble import SEEN, STRIKES, Call, Misbehaviour
from healer.engines.simulated.world import Ailment, Verb
from healer.ports import EngineError, Operation, OperationState, Place
from tests import trace
from tests.contract.harness_simulated import declaration

TEMPLATES = Path(__file__).parents[1] / "templates"


class Shop:
    """The stack of three tiers, complete, db <- api <- web."""

    def __init__(self, *, seed: int = 0, tells: bool = True, template: str = "three_tier.yaml") -> None:
        self.clock = VirtualClock()
        self.engine = Simulated(seed=seed, tells=tells)
        self.engine.bind(Place("simulated", Path(), self.clock))
        self.root: Root = self.engine.cloud.create("shop", declaration(template))
        self.clock.pass_time(120)

    async def snapshot(self) -> Snapshot:
        return await self.engine.snapshot(self.root)

    def standing(self, path: str) -> Incarnation:
        return self.engine.cloud.resource_of(self.root, path)

    async def mark(self, path: str) -> None:
        await self.engine.mark(self.root, self.standing(path), "healer:test/1: it")

    async def is_marked(self, path: str) -> bool:
        return (await self.snapshot()).resources[path].marked

    async def update(self, seconds: float = 120) -> Operation:
        """Ask for one, and see how it stands so much later."""
        since = await self.engine.position(self.root)
        await self.engine.converge(self.root)
        self.clock.pass_time(seconds)
        return await self.engine.operation(self.root, since)

    def sees(self, path: str) -> Symptom:
        physical_id = self.standing(path).physical_id
        return self.engine.cloud.world(self.root).sight(physical_id, self.clock.now()).symptom


async def failure(call: object) -> Failure:
    with pytest.raises(EngineError) as caught:
        await call  # type: ignore[misc]
    return caught.value.failure


# ----------------------------------------------------------------------------------------------------- the engine


async def test_every_misbehaviour_has_been_seen_of_a_real_heat_and_can_come() -> None:
    assert set(SEEN) == set(STRIKES) == set(Misbehaviour)
    for misbehaviour, (name, says) in SEEN.items():
        assert says, misbehaviour
        assert not name or trace.load(name)["shows"], misbehaviour
        assert STRIKES[misbehaviour], misbehaviour


async def test_equal_seeds_give_equal_histories() -> None:
    async def history(seed: int) -> list[object]:
        shop = Shop(seed=seed)
        shop.engine.cloud.trouble.come(0.3)
        told: list[object] = []
        for _ in range(40):
            try:
                await shop.mark("db")
                told.append(await shop.update(5))
            except EngineError as error:
                told.append(error.failure)
        return [*told, *shop.engine.cloud.events(shop.root)]

    assert await history(1) == await history(1)
    assert await history(1) != await history(2)


async def test_templates_are_read_at_the_start_and_a_wrong_one_creates_nothing(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("heat_template_version: 2018-08-31\nresources: {a: {type: Local::Proces}}\n")
    right = TEMPLATES / "files.yaml"
    place = Place("simulated", tmp_path, VirtualClock())
    engine = Simulated(stacks={"right": right, "wrong": wrong})
    engine.bind(place)
    assert await failure(engine.start()) is Failure.REJECTED
    assert await engine.roots() == ()


async def test_what_is_gone_is_told_or_is_not() -> None:
    for tells, condition in ((True, Health.UNHEALTHY), (False, Health.UNKNOWN)):
        shop = Shop(tells=tells)
        shop.engine.cloud.world(shop.root).kill(shop.standing("db").physical_id)
        assert (await shop.snapshot()).resources["db"].condition is condition


async def test_a_call_that_times_out_is_not_carried_out() -> None:
    shop = Shop()
    shop.engine.cloud.trouble.ask(Misbehaviour.TIMED_OUT, Call.MARK)
    assert await failure(shop.mark("db")) is Failure.UNREACHABLE
    assert not await shop.is_marked("db")


async def test_a_call_whose_answer_is_lost_is_carried_out() -> None:
    shop = Shop()
    shop.engine.cloud.trouble.ask(Misbehaviour.ANSWER_LOST, Call.MARK)
    assert await failure(shop.mark("db")) is Failure.UNREACHABLE
    assert await shop.is_marked("db")


async def test_an_update_may_be_forbidden_to_one_who_may_mark() -> None:
    shop = Shop()
    shop.engine.cloud.trouble.ask(Misbehaviour.FORBIDDEN, Call.CONVERGE)
    await shop.mark("db")
    assert await failure(shop.engine.converge(shop.root)) is Failure.FORBIDDEN
    assert await shop.is_marked("db")


async def test_a_lost_mark_is_answered_as_if_it_stood() -> None:
    shop = Shop()
    shop.engine.cloud.trouble.ask(Misbehaviour.LOST_MARK)
    await shop.mark("db")
    assert not await shop.is_marked("db")


async def test_an_update_that_passes_a_mark_by_leaves_it_and_the_next_one_takes_it() -> None:
    shop = Shop()
    before = shop.standing("db")
    shop.engine.cloud.trouble.ask(Misbehaviour.LATE_MARK)
    await shop.mark("db")
    assert (await shop.update()).state is OperationState.COMPLETE
    assert await shop.is_marked("db")
    assert shop.standing("db") == before
    assert (await shop.update()).state is OperationState.COMPLETE
    assert shop.standing("db") != before


async def test_a_lost_update_does_not_begin() -> None:
    shop = Shop()
    shop.engine.cloud.trouble.ask(Misbehaviour.LOST_UPDATE)
    await shop.mark("db")
    assert (await shop.update()).state is OperationState.NOT_BEGUN


async def test_an_update_that_lies_is_complete_and_has_replaced_nothing() -> None:
    shop = Shop()
    before = shop.standing("db")
    shop.engine.cloud.trouble.ask(Misbehaviour.LYING_COMPLETE)
    await shop.mark("db")
    assert (await shop.update()).state is OperationState.COMPLETE
    assert shop.standing("db") == before
    assert not await shop.is_marked("db")


@pytest.mark.parametrize("seed", range(8))
async def test_a_hanging_update_is_in_progress_for_ever_and_the_next_one_ends_it(seed: int) -> None:
    shop = Shop(seed=seed)
    before = shop.standing("db")
    shop.engine.cloud.trouble.ask(Misbehaviour.HANGING_UPDATE)
    await shop.mark("db")
    marked = await shop.engine.position(shop.root)
    assert (await shop.update(24 * 3600)).state is OperationState.IN_PROGRESS
    assert await failure(shop.engine.converge(shop.root)) is Failure.BUSY
    await shop.engine.converge(shop.root, marked)
    shop.clock.pass_time(120)
    assert (await shop.engine.operation(shop.root, marked)).state is OperationState.COMPLETE
    assert shop.standing("db") != before
    assert {r.state for r in (await shop.snapshot()).resources.values()} == {StackState.COMPLETE}
    assert len(shop.engine.cloud.world(shop.root).items) == 3


async def test_its_own_update_is_asked_for_once_more_and_not_twice() -> None:
    shop = Shop()
    await shop.mark("db")
    marked = await shop.engine.position(shop.root)
    await shop.engine.converge(shop.root)
    begun = await shop.engine.position(shop.root)
    await shop.engine.converge(shop.root, marked)
    again = await shop.engine.position(shop.root)
    assert int(again) > int(begun)
    await shop.engine.converge(shop.root, marked)
    assert await shop.engine.position(shop.root) == again


async def test_a_failing_replacement_fails_the_update_so_many_times() -> None:
    shop = Shop()
    shop.engine.cloud.trouble.ask(Misbehaviour.FAILING_CREATE)
    await shop.mark("db")
    assert (await shop.update()).state is OperationState.FAILED
    ended = [(await shop.update()).state for _ in range(3)]
    assert ended[-1] is OperationState.COMPLETE


async def test_a_spoilt_replacement_has_an_id_and_does_not_exist() -> None:
    shop = Shop()
    shop.engine.cloud.trouble.ask(Misbehaviour.SPOILT_CREATE)
    await shop.mark("web")
    assert (await shop.update()).state is OperationState.FAILED
    spoilt = shop.standing("web").physical_id
    assert spoilt
    assert spoilt not in shop.engine.cloud.world(shop.root).items
    assert (await shop.update()).state is OperationState.COMPLETE


async def test_a_dependent_that_cannot_be_told_fails_the_update() -> None:
    shop = Shop()
    shop.engine.cloud.world(shop.root).fails[Verb.UPDATE, "api"] = 1
    await shop.mark("db")
    assert (await shop.update()).state is OperationState.FAILED
    assert (await shop.snapshot()).resources["api"].state is StackState.FAILED
    assert (await shop.update()).state is OperationState.COMPLETE


async def test_which_of_the_unmarked_cannot_be_told_is_drawn() -> None:
    ended = set()
    for seed in range(8):
        shop = Shop(seed=seed)
        shop.engine.cloud.trouble.ask(Misbehaviour.FAILING_UPDATE)
        await shop.mark("db")
        ended.add((await shop.update()).state)
    assert ended == {OperationState.COMPLETE, OperationState.FAILED}  # web need not be told


async def test_what_cannot_be_deleted_is_left_over_until_the_next_update() -> None:
    shop = Shop()
    stray = shop.standing("db").physical_id
    shop.engine.cloud.trouble.ask(Misbehaviour.UNDELETABLE)
    await shop.mark("db")
    assert (await shop.update()).state is OperationState.FAILED
    assert stray in shop.engine.cloud.world(shop.root).items
    assert (await shop.update()).state is OperationState.COMPLETE
    assert stray not in shop.engine.cloud.world(shop.root).items


async def test_somebody_elses_update_is_superseded_by_ours_and_ends_with_it() -> None:
    shop = Shop()
    shop.engine.cloud.trouble.ask(Misbehaviour.FOREIGN_UPDATE, Call.CONVERGE)
    await shop.mark("db")
    assert (await shop.update()).state is OperationState.COMPLETE
    begun = [
        e for e in shop.engine.cloud.events(shop.root) if (e.path, e.status) == ("", "UPDATE_IN_PROGRESS")
    ]
    assert len(begun) == 2


async def test_of_two_updates_at_once_the_others_is_carried_out() -> None:
    shop = Shop()
    before = shop.standing("db")
    shop.engine.cloud.trouble.ask(Misbehaviour.CROSSED_UPDATE)
    await shop.mark("db")
    assert (await shop.update()).state is OperationState.COMPLETE
    assert shop.standing("db") != before


async def test_somebody_elses_update_makes_the_stack_busy_and_may_fail() -> None:
    for misbehaviour, state in (
        (Misbehaviour.FOREIGN_UPDATE, StackState.COMPLETE),
        (Misbehaviour.FOREIGN_FAILURE, StackState.FAILED),
    ):
        shop = Shop()
        shop.engine.cloud.interfere(shop.root, misbehaviour)
        assert (await shop.snapshot()).busy == ("shop",)
        assert await failure(shop.mark("db")) is Failure.BUSY
        shop.clock.pass_time(120)
        assert (await shop.snapshot()).state is state


async def test_somebody_marks_unmarks_replaces_and_deletes() -> None:
    shop = Shop()
    shop.engine.cloud.interfere(shop.root, Misbehaviour.FOREIGN_MARK)
    (condemned,) = shop.engine.cloud.given_up_by_others(shop.root)
    (marked,) = [r for r in (await shop.snapshot()).resources.values() if r.marked]
    assert marked.incarnation.physical_id == condemned
    assert not marked.reason.startswith("healer:")
    shop.engine.cloud.interfere(shop.root, Misbehaviour.FOREIGN_UNMARK)
    assert not any(r.marked for r in (await shop.snapshot()).resources.values())
    shop.engine.cloud.interfere(shop.root, Misbehaviour.FOREIGN_REPLACEMENT)
    shop.clock.pass_time(120)
    assert len(shop.engine.cloud.world(shop.root).items) == 3
    shop.engine.cloud.interfere(shop.root, Misbehaviour.FOREIGN_DELETION)
    shop.clock.pass_time(120)
    assert await failure(shop.snapshot()) is Failure.GONE


async def test_after_the_storm_nothing_goes_wrong_any_more() -> None:
    shop = Shop()
    shop.engine.cloud.trouble.ask(Misbehaviour.LOST_MARK)
    shop.engine.cloud.trouble.come(0)
    await shop.mark("db")
    assert await shop.is_marked("db")


# ------------------------------------------------------------------------------------------------------ the things


async def test_a_thing_answers_once_it_is_up_and_as_long_as_all_that_it_was_told_of_answers() -> None:
    shop = Shop()
    assert [shop.sees(path) for path in ("db", "api", "web")] == [Symptom.OK] * 3
    shop.engine.cloud.world(shop.root).kill(shop.standing("db").physical_id)
    assert [shop.sees(path) for path in ("db", "api", "web")] == [
        Symptom.REFUSED,
        Symptom.BAD_STATUS,
        Symptom.BAD_STATUS,
    ]
    await shop.mark("db")
    await shop.update()
    assert [shop.sees(path) for path in ("db", "api", "web")] == [Symptom.OK] * 3


async def test_a_reboot_keeps_the_id_and_cures_what_a_reboot_cures() -> None:
    for ailment, after in ((Ailment.HUNG, Symptom.OK), (Ailment.ROTTEN, Symptom.TIMED_OUT)):
        shop = Shop()
        before, world = shop.standing("web"), shop.engine.cloud.world(shop.root)
        world.sicken(before.physical_id, ailment)
        assert shop.sees("web") is Symptom.TIMED_OUT
        await shop.engine.power(shop.root, before)
        assert shop.sees("web") is Symptom.REFUSED  # it boots
        shop.clock.pass_time(30)
        assert shop.sees("web") is after
        assert shop.standing("web") == before


async def test_what_does_not_exist_cannot_be_rebooted_nor_what_stands_there_no_more() -> None:
    shop = Shop()
    before = shop.standing("web")
    shop.engine.cloud.world(shop.root).kill(before.physical_id)
    assert await failure(shop.engine.power(shop.root, before)) is Failure.REJECTED
    await shop.mark("web")
    await shop.update()
    assert await failure(shop.engine.power(shop.root, before)) is Failure.STALE


async def test_an_ailment_may_pass_by_itself() -> None:
    shop = Shop()
    until = shop.clock.now() + timedelta(seconds=10)
    shop.engine.cloud.world(shop.root).sicken(shop.standing("web").physical_id, Ailment.ROTTEN, until)
    assert shop.sees("web") is Symptom.TIMED_OUT
    shop.clock.pass_time(10)
    assert shop.sees("web") is Symptom.OK


async def test_what_is_cursed_is_rotten_for_so_many_incarnations() -> None:
    shop = Shop()
    shop.engine.cloud.world(shop.root).cursed["web"] = 1
    for after in (Symptom.TIMED_OUT, Symptom.OK):
        await shop.mark("web")
        await shop.update()
        assert shop.sees("web") is after
