"""What outlives a daemon: the cloud, the store, who is told and who watches; and where it may die."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from random import Random
from typing import Protocol

from healer.core.event import Event
from healer.core.kernel import Decision
from healer.core.model import Incarnation, Root, Selector, Target
from healer.core.policy import Policy
from healer.core.silence import Silence
from healer.core.step import Failure, Step
from healer.engines.simulated import Simulated
from healer.engines.simulated.trouble import Call
from healer.ports import EngineError, Message
from healer.simulation.agenda import Agenda, pause
from healer.stores.memory import Memory


class Point(StrEnum):
    """Where the daemon may die, in the life of a step."""

    DECIDED = "decided"
    """The kernel has decided for it, and nothing of that is stored."""
    COMMITTED = "committed"
    """It is stored, and nothing of it is done."""
    CALLING = "calling"
    """Before each of its calls to the engine: in the middle of it."""
    DONE = "done"
    """It is done, and the kernel is not told."""


class Witness(Protocol):
    """Sees everything, and may object."""

    def decided(self, event: Event, decision: Decision) -> None:
        """After it was stored, and before anything of it is carried out."""
        ...

    def called(self, call: Call, root: Root | None, which: Incarnation | None) -> None: ...


@dataclass(slots=True)
class Postbox:
    """A notifier that keeps what it was given."""

    messages: list[Message] = field(default_factory=list)
    closed: bool = False

    async def notify(self, message: Message) -> None:
        await pause(0.1)
        if self.closed:
            raise EngineError(Failure.UNREACHABLE, "nobody takes it")
        self.messages.append(message)


@dataclass(slots=True)
class Surroundings:
    """What outlives a daemon."""

    agenda: Agenda
    engine: Simulated
    random: Random
    policies: tuple[Policy, ...]
    witness: Witness
    dies: Callable[[Point, Step | None], bool] = lambda _point, _step: False
    """Whether it dies at this point; the step is None where none is concerned."""
    store: Memory = field(default_factory=Memory)
    postbox: Postbox = field(default_factory=Postbox)
    stop_file: str | None = None
    """Why nothing may be touched."""
    silences: tuple[Silence, ...] = ()
    """What is silenced where alarms come from: each daemon reads it anew."""
    refresh: float = 15.0
    """Seconds between two readings of the cloud."""

    def silenced_since(self, target: Target) -> datetime | None:
        """None where it is not; whoever silences something here names stack and resource."""
        means, now = Selector(stack=target.root.id, resource=target.path), self.agenda.clock.at
        return next((one.since for one in self.silences if one.means == means and one.lasts(now)), None)
