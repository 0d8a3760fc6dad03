"""An orchestrator: what it is told, what it can be asked, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import ClassVar, Protocol

from healer.core.model import Incarnation, Root, Snapshot
from healer.ports.clock import Clock


@dataclass(frozen=True, slots=True)
class Place:
    """Where an engine works: what the daemon tells it once, before anything else."""

    cloud: str
    """Its name in the configuration; the `cloud` of its roots."""
    state_directory: Path
    """The daemon's; an engine that keeps books has a folder of its own there."""
    clock: Clock
    creates: bool = True
    """Whether a stack that is declared, and never was, is created: not by who only takes marks back."""


class OperationState(StrEnum):
    NOT_BEGUN = "not_begun"
    IN_PROGRESS = "in_progress"
    COMPLETE = "complete"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Operation:
    """The update of a root stack that began after a given position, as it stands now."""

    state: OperationState
    detail: str = ""
    """What is being done now, or why it failed, for a person."""
    done: int = 0
    """Resources that the update is through with, where the engine can tell."""
    total: int = 0


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of an engine's history of a root stack, oldest first."""

    path: str
    """Path of the resource; empty for the root stack itself."""
    status: str
    """`CREATE_IN_PROGRESS`, `UPDATE_COMPLETE`, …"""
    physical_id: str
    reason: str = ""


class Engine(Protocol):
    """An orchestrator: it holds the declaration, and can replace one resource and rewire the rest.

    Every method raises EngineError and nothing else; a call that timed out raises UNREACHABLE, for it may have
    been carried out. No method retries and none sleeps longer than one call takes: the runner does that.
    """

    rebuildable: ClassVar[frozenset[str]]
    """Types that can be rebuilt from the declaration without loss."""
    poll: ClassVar[timedelta]
    """How often an operation under way is asked after."""

    def bind(self, place: Place) -> None:
        """Called once, first, and off any loop; only remembers."""
        ...

    async def start(self) -> None:
        """Make ready (connect, adopt what was left). Raises UNREACHABLE where the engine cannot be reached."""
        ...

    async def close(self) -> None:
        """Let go of connections. What the engine runs goes on."""
        ...

    async def roots(self) -> tuple[Root, ...]:
        """Every root stack of this cloud that is not being deleted: a complete listing, or an error."""
        ...

    async def snapshot(self, root: Root) -> Snapshot:
        """A complete reading of the stack and all that is nested in it. GONE if there is no such stack."""
        ...

    async def mark(self, root: Root, incarnation: Incarnation, reason: str) -> None:
        """Mark unhealthy, by physical id at the owning stack. Twice is the same as once.

        STALE if that physical id is not current there, BUSY if the stack or the resource is in progress.
        """
        ...

    async def unmark(self, root: Root, incarnation: Incarnation) -> None:
        """Take the mark back. Nothing happens where there is none. STALE, BUSY as for `mark`."""
        ...

    async def preview(self, root: Root, stack: str) -> frozenset[str]:
        """Logical names in one owning stack that an update would replace; changes nothing."""
        ...

    async def position(self, root: Root) -> str:
        """Where the root's history ends now; opaque, never empty."""
        ...

    async def converge(self, root: Root, own_since: str | None = None) -> None:
        """Ask for one update of the root with what is declared already ("update existing").

        Returning proves nothing: `operation` tells whether an update began. BUSY where one is in progress. Not so
        with `own_since`, a position: the update that began after it is the caller's own, and its engine may have
        died in the middle of it. It is asked for once more; nothing is done where somebody has done that already.
        """
        ...

    async def operation(self, root: Root, since: str) -> Operation:
        """How the first update that began after `since` stands. Never an older one."""
        ...

    async def wires(self, root: Root, paths: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
        """What these resources really refer to: path → property → value as text (JSON where it is not a string)."""
        ...

    async def power(self, root: Root, incarnation: Incarnation) -> None:
        """Restart the thing and keep its identity. REJECTED where the engine cannot."""
        ...
