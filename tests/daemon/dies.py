"""Runs the daemon as `healer run` does, and kills it at one chosen instant of one step.

    python dies.py CONFIG STEP before|in|after

before: the intent is stored, nothing was called yet. in: the first call of the step has been carried out, its answer
is lost. after: the step's outcome is stored, the next one's intent with it, and nothing of it was called yet.
For unmark, a stop file is laid once the marks are set: it is what makes a repair unwind.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from healer import stopfile
from healer.app import App
from healer.config.check import load
from healer.core.event import Event, Reported
from healer.core.kernel import Decision
from healer.core.step import Report, Step
from healer.core.turn import Perform
from healer.steps import Performer

CALLS = {
    Step.INSPECT: "snapshot",
    Step.MARK: "mark",
    Step.PREVIEW: "preview",
    Step.UNMARK: "unmark",
    Step.CONVERGE: "converge",
    Step.FOLLOW: "operation",
    Step.PROVE: "wires",
    Step.POWER: "power",
    Step.NOTIFY: "notify",
}
"""The call that a step is about."""


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(step: Step, when: str) -> None:
    """Lay the trap in the public methods that the step passes through."""
    perform, decided = Performer.perform, App.decided

    async def deadly_perform(self: Performer, command: Perform) -> Report:
        if command.repair.step is Step.PREVIEW and step is Step.UNMARK:
            (Path(sys.argv[1]).parent / "state" / stopfile.NAME).touch()
        if command.repair.step is not step:
            return await perform(self, command)
        if when == "before":
            die()
        if when == "in":
            for called in (*self.engines.values(), *self.notifiers.values()):
                trap(called, CALLS[step])
        return await perform(self, command)

    def deadly_decided(self: App, event: Event, decision: Decision) -> None:
        if isinstance(event, Reported) and when == "after" and out.pop(event.repair, None) is step:
            die()
        for command in decision.commands:
            out[command.repair.id] = command.repair.step
        decided(self, event, decision)

    out: dict[str, Step] = {}
    Performer.perform = deadly_perform  # type: ignore[method-assign]
    App.decided = deadly_decided  # type: ignore[method-assign]


def trap(called: Any, name: str) -> None:
    kind = type(called)
    method = getattr(kind, name, None)
    if method is None:
        return

    async def deadly(self: Any, *arguments: Any) -> Any:
        await method(self, *arguments)
        die()

    setattr(kind, name, deadly)


if __name__ == "__main__":
    arm(Step(sys.argv[2]), sys.argv[3])
    sys.exit(asyncio.run(App(load(sys.argv[1])).run()))
