"""Have the engine replace what failed, and rewire everything that refers to it."""

from __future__ import annotations

from typing import ClassVar

from healer.core.repair import Recipe
from healer.core.step import Step
from healer.plugins import Plugin


class Replace(Plugin):
    """Mark by physical id, preview, one update of the root stack, proof."""

    recipe: ClassVar[Recipe] = Recipe(
        "replace",
        (Step.INSPECT, Step.MARK, Step.PREVIEW, Step.CONVERGE, Step.FOLLOW, Step.PROVE),
        replaces=True,
    )
