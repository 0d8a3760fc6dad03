"""What is done to a stack, one function for each trace in tests/traces; its docstring says what the trace shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.heat.play import Play


async def leaf(play: Play) -> None:
    """Nothing depends on web: it alone is replaced, the new one before the old one goes."""
    await play.begin("three_tier.yaml")
    await play.break_thing("web")
    await play.mark("web")
    await play.update()
    await play.see()


async def two_tiers(play: Play) -> None:
    """db is replaced, api rewired in place; web, whose wire does not change, is untouched."""
    await play.begin("three_tier.yaml")
    await play.break_thing("db")
    await play.mark("db")
    await play.update()
    await play.see()


async def cascade(play: Play) -> None:
    """api cannot take the new value in place, so it is replaced too, and web is rewired."""
    await play.begin("cascade.yaml")
    await play.break_thing("db")
    await play.mark("db")
    await play.update()
    await play.see()


async def nested_member(play: Play) -> None:
    """Marked in the nested stack, converged at the root: api, outside, is rewired."""
    await play.begin("nested.yaml")
    await play.break_thing("data/db")
    await play.mark("data/db")
    await play.update()
    await play.see()


async def group_member(play: Play) -> None:
    """One worker of three is replaced under its index, and front is told."""
    await play.begin("group.yaml")
    await play.break_thing("workers/1")
    await play.mark("workers/1")
    await play.update()
    await play.see()


async def two_at_once(play: Play) -> None:
    """Two marks, one update."""
    await play.begin("three_tier.yaml")
    for path in ("db", "web"):
        await play.break_thing(path)
    for path in ("db", "web"):
        await play.mark(path)
    await play.update()
    await play.see()


async def file_deleted(play: Play) -> None:
    """A file that was deleted is written anew elsewhere, and those that name it follow."""
    await play.begin("files.yaml")
    await play.break_thing("settings")
    await play.mark("settings")
    await play.update()
    await play.see()


async def replacement_fails(play: Play) -> None:
    """The old one stays marked and its dependents stay wired to it; the next update tries again."""
    await play.begin("three_tier.yaml")
    await play.break_thing("db")
    await play.mark("db")
    play.take_python()
    await play.update()
    await play.see()
    play.give_python()
    await play.update()
    await play.see()


async def replacement_fails_with_rollback(play: Play) -> None:
    """The rollback makes yet another replacement, and what it replaces is left behind until the next update."""
    await play.begin("three_tier.yaml", rollback=True)
    await play.mark("db")
    async with play.switched("fail_one_create", "db", until="db CREATE_FAILED"):
        await play.update()
    await play.wait_for("", "ROLLBACK_COMPLETE")  # UPDATE_FAILED is only on the way
    await play.see()
    await play.update()
    await play.see()


async def old_one_cannot_be_deleted(play: Play) -> None:
    """UPDATE_FAILED, though the new one is there and wired; the old one is not listed, and the next update tries."""
    await play.begin("three_tier.yaml")
    await play.mark("db")
    async with play.switched("fail_delete", "db", until="db DELETE_FAILED"):
        await play.update()
    await play.see()
    await play.update()
    await play.see()


async def dependent_gone_too(play: Play) -> None:
    """api is dead as well, but not marked: its rewiring fails, and only the next update replaces it."""
    await play.begin("three_tier.yaml")
    await play.break_thing("db")
    await play.break_thing("api")
    await play.mark("db")
    await play.update()
    await play.see()
    await play.update()
    await play.see()


async def marked_too_late(play: Play) -> None:
    """api is marked when the update has passed it: it stays CHECK_FAILED under UPDATE_COMPLETE."""
    await play.begin("three_tier.yaml")
    await play.mark("db")
    async with play.switched("hold_delete", "db", until="db DELETE_IN_PROGRESS"):
        await play.update()
        await play.wait_for("api", "UPDATE_COMPLETE")
        await play.wait_for("db", "DELETE_IN_PROGRESS")
        await play.mark("api")
    await play.see()
    await play.update()
    await play.see()


async def marked_while_acted_on(play: Play) -> None:
    """A resource that is being replaced cannot be marked."""
    await play.begin("three_tier.yaml")
    await play.mark("db")
    old = await play.physical_id("db")
    async with play.switched("hold_create", "db", until="db CREATE_IN_PROGRESS"):
        await play.update()
        await play.wait_for_successor("db")
        await play.mark("db")
        await play.mark("db", physical_id=old)
    await play.see()
    await play.mark("db", physical_id=old)


async def unmarked(play: Play) -> None:
    """A mark that is taken back leaves nothing to do; taken back twice, too."""
    await play.begin("three_tier.yaml")
    await play.mark("db")
    await play.mark("db")
    await play.mark("db", unhealthy=False)
    await play.mark("db", unhealthy=False)
    await play.update()
    await play.see()


async def previewed(play: Play) -> None:
    """A preview takes for changed whatever reads an attribute, marked or not; a mark moves the marked one alone."""
    await play.begin("cascade.yaml")
    await play.preview()
    await play.mark("db")
    await play.preview()
    await play.update()
    await play.see()


async def previewed_nested(play: Play) -> None:
    """A preview names what is marked at its owning stack; the root's shows the stack as updated, as it always is."""
    await play.begin("nested.yaml")
    await play.preview()
    await play.preview("data")
    await play.mark("data/db")
    await play.preview()
    await play.preview("data")
    await play.mark("data/db", unhealthy=False)
    await play.preview("data")
    await play.see()


async def two_updates_at_once(play: Play) -> None:
    """Both are answered 202, and one is done."""
    await play.begin("three_tier.yaml")
    await play.break_thing("db")
    await play.mark("db")
    await play.updates_at_once(2)
    await play.see()


async def update_during_update(play: Play) -> None:
    """The second is answered 202 and takes over; what the first has begun is adopted."""
    await play.begin("three_tier.yaml")
    await play.break_thing("db")
    await play.mark("db")
    async with play.switched("hold_create", "db", until="db CREATE_IN_PROGRESS"):
        await play.update()
        await play.wait_for_successor("db")
        await play.update()
    await play.see()


async def engine_killed(play: Play) -> None:
    """The stack stays in progress for ever, and its resource cannot be marked; an update recovers both."""
    await play.begin("three_tier.yaml")
    await play.break_thing("db")
    await play.mark("db")
    async with play.switched("hold_create", "db", until="db CREATE_IN_PROGRESS"):
        await play.update()
        await play.wait_for_successor("db")
        await play.kill_engine()
    shown = await play.heat.show(play.stack)
    await play.look(shown["stack_status"])
    await play.mark("db")
    await play.update()
    await play.see()


SCENARIOS: dict[str, Callable[[Play], Awaitable[None]]] = {
    play.__name__: play
    for play in (
        leaf,
        two_tiers,
        cascade,
        nested_member,
        group_member,
        two_at_once,
        file_deleted,
        replacement_fails,
        replacement_fails_with_rollback,
        old_one_cannot_be_deleted,
        dependent_gone_too,
        marked_too_late,
        marked_while_acted_on,
        unmarked,
        previewed,
        previewed_nested,
        two_updates_at_once,
        update_during_update,
        engine_killed,
    )
}
