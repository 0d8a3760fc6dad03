"""Restart the thing itself and keep its identity, where the engine can."""

from __future__ import annotations

from typing import ClassVar

from healer.core.repair import Recipe
from healer.core.step import Step
from healer.plugins import Plugin


class Reboot(Plugin):
    """One power cycle; the physical id stays. An engine that cannot do it rejects it, and the next rung is taken."""

    recipe: ClassVar[Recipe] = Recipe("reboot", (Step.INSPECT, Step.POWER))
