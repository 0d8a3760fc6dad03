"""The daemon is killed in the middle of a heal on a real Heat: the next one heals it, once, and leaves no mark."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from healer.core.step import Step
from tests.whole.scene import Scene, changed, kill

DIES = Path(__file__).parents[1] / "daemon" / "dies.py"
PATH = "tiers/data/db"
PLACE = ("data", "db")

pytestmark = pytest.mark.timeout(240)


@pytest.mark.parametrize(
    ("step", "when", "left"),
    [
        pytest.param(Step.MARK, "in", (1, 0), id="marked, and nobody knows"),
        pytest.param(Step.CONVERGE, "in", (1, 1), id="updating, and nobody knows"),
        pytest.param(Step.FOLLOW, "before", (1, 1), id="updating, and nobody looks"),
    ],
)
async def test_what_was_being_healed_is_healed_once_by_the_next_daemon(
    scene: Scene, step: Step, when: str, left: tuple[int, int]
) -> None:
    """`left`: how many marks were set, and updates begun, when it died."""
    stack = await scene.make("deep")
    before = await scene.ids(stack)
    async with scene.daemon(stack) as daemon:
        await daemon.start((str(DIES),), str(step), when)
        kill((await daemon.healthy())[PATH])
        assert await daemon.died() == -signal.SIGKILL
        happened = await scene.happened(stack)
        assert (happened["db", "CHECK_FAILED"], happened[stack.name, "UPDATE_IN_PROGRESS"]) == left
        await daemon.start()
        incident = await daemon.healed(PATH)
        await daemon.healthy()
    after = await scene.ids(stack)
    assert changed(before, after) == {PLACE}
    assert after[PLACE] == incident["successor"]
    assert await scene.marked(stack) == []
    happened = await scene.happened(stack)
    assert happened["db", "CHECK_FAILED"] == 1
    assert happened["db", "CREATE_COMPLETE"] == 2
    assert happened[stack.name, "UPDATE_IN_PROGRESS"] == happened[stack.name, "UPDATE_COMPLETE"] == 1
    owner = await scene.heat.owner(stack, "db", parent="data")
    assert await scene.told(stack, "api") == {"db": await scene.where(owner, "db")}
