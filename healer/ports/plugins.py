"""The smaller plug-ins: what looks, what heals and what tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

from healer.core.model import NOTHING, Health, Observation, Snapshot, Symptom
from healer.core.repair import Recipe


@runtime_checkable
class Checkable(Protocol):
    """A plug-in that can tell from this machine alone, with no call to any cloud, that its options cannot work."""

    def objections(self) -> Mapping[str, str]:
        """Option → what is wrong with it, and what was expected."""
        ...


@dataclass(frozen=True, slots=True)
class Subject:
    """What a probe is pointed at: one incarnation and the values for its placeholders."""

    name: str
    """For people: `shop/api`."""
    physical_id: str
    values: Mapping[str, str] = NOTHING
    """The fixed table of placeholders: address, port, name, stack, physical_id, …"""


@dataclass(frozen=True, slots=True)
class Sight:
    """What one probe saw."""

    health: Health
    symptom: Symptom
    detail: str = ""


class Action(Protocol):
    """What a remediation does, as a recipe of recorded steps. Pure data."""

    recipe: ClassVar[Recipe]


class Probe(Protocol):
    """One active check of one thing. Holds no state; may be called many times at once.

    Never raises for what it sees: a thing that does not answer is UNHEALTHY with a symptom, what could not be
    looked at is UNKNOWN. The caller enforces the timeout by cancelling, and judges a late loop.
    """

    async def probe(self, subject: Subject) -> Sight: ...


class Watcher(Protocol):
    """One look at many targets at once, out of a snapshot that was read anyway. Pure; no I/O."""

    def watch(self, snapshot: Snapshot) -> Sequence[Observation]: ...


@dataclass(frozen=True, slots=True)
class Message:
    """What a notifier tells a person or a machine."""

    incident: str
    title: str
    """One line."""
    text: str
    fields: Mapping[str, str] = NOTHING


class Notifier(Protocol):
    """Tells somebody. Raises EngineError UNREACHABLE (try again) or REJECTED (do not)."""

    async def notify(self, message: Message) -> None: ...
