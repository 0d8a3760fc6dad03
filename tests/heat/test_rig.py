from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.heat.stacks import Stacks


async def test_a_stack_comes_and_goes(heat: Stacks) -> None:
    template = {
        "heat_template_version": "2018-08-31",
        "resources": {"db": {"type": "Local::Process", "properties": {"command": "sleep 1000"}}},
    }
    stack = await heat.create("rig", template)
    assert (await heat.resource(stack, "db", "port"))["attributes"]["port"] > 0
    await heat.delete(stack)
