"""The simulated engine does what the real Heat did: the same scenarios, against what was recorded of it."""

from __future__ import annotations

from typing import Any, cast

import pytest

from tests import trace
from tests.engines.simulated.stage import Stage
from tests.heat.play import Play
from tests.heat.scenarios import SCENARIOS

NOT_HERE = {"replacement_fails_with_rollback": "there is no rollback: what fails stays as it is"}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", [name for name in SCENARIOS if name not in NOT_HERE])
async def test_it_ends_as_in_heat_and_in_the_same_order_along_each_dependency(name: str, seed: int) -> None:
    recorded = trace.load(name)
    stage = Stage(seed=seed)
    await SCENARIOS[name](cast("Play", stage))
    heats = trace.essence(recorded)
    mine = trace.essence({"requires": recorded["requires"], "steps": stage.steps})
    assert len(mine) == len(heats)
    always: dict[str, set[str]] = {}
    for here, there in zip(mine, heats, strict=True):
        if there.get("do", "").startswith("preview"):
            _assert_same_preview(here, there, always)
        else:
            assert here == there


def _assert_same_preview(here: dict[str, Any], there: dict[str, Any], always: dict[str, set[str]]) -> None:
    """Heat calls replaced whatever reads an attribute, marked or not: only what moves with a mark is told by it."""
    replaced = set(there["answer"]["replaced"])
    before = always.setdefault(there["do"], replaced)
    assert set(here["answer"]["replaced"]) == replaced - before


def test_what_is_left_out_is_there() -> None:
    assert set(NOT_HERE) <= set(SCENARIOS)
