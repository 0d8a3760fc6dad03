"""Tell somebody, and leave the incident open."""

from __future__ import annotations

from typing import ClassVar

from healer.core.repair import Recipe
from healer.core.step import Step
from healer.plugins import Plugin


class Notify(Plugin):
    """Through the remediation's notifier, or through every one that is configured."""

    recipe: ClassVar[Recipe] = Recipe("notify", (Step.NOTIFY,), heals=False)
