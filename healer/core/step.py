"""The recorded steps that a repair is made of, and what each may report back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from healer.core.model import NOTHING, Snapshot


class Step(StrEnum):
    """One recorded step. Its intent is committed first; after a crash it is looked at before it is done again."""

    INSPECT = "inspect"
    MARK = "mark"
    PREVIEW = "preview"
    UNMARK = "unmark"
    CONVERGE = "converge"
    FOLLOW = "follow"
    PROVE = "prove"
    POWER = "power"
    NOTIFY = "notify"


class Failure(StrEnum):
    """Why a step did not succeed; the same word in log, metric, API and test."""

    STOPPED = "stopped"
    """The stop file, or a pause, came between."""
    CANCELLED = "cancelled"
    """What had asked for it was taken back, or came back by itself, before anything was done."""
    STALE = "stale"
    """What should have been touched has been replaced since."""
    GONE = "gone"
    """The stack or the resource does not exist any more."""
    BUSY = "busy"
    """Somebody else's operation is in progress."""
    FORBIDDEN = "forbidden"
    UNREACHABLE = "unreachable"
    """No answer, or one that proves nothing: what happened is unknown, look again."""
    REJECTED = "rejected"
    """The engine refuses this call, today and tomorrow."""
    MOVED = "moved"
    """The preview shows that more than the marked would be replaced."""
    NOT_BEGUN = "not_begun"
    """The call was accepted and no update of ours began."""
    UPDATE_FAILED = "update_failed"
    UNPROVEN = "unproven"
    """The update ended, and reality does not agree."""
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Nature:
    """What the kernel must know of a step, whoever performs it."""

    mutates: bool
    """The stop file, pauses and the lock are looked at right before it."""
    repeatable: bool
    """Doing it twice is the same as doing it once, so that a lost answer is cured by doing it again."""
    undone_by: Step | None
    failures: frozenset[Failure]
    """All that it may end in; a test holds the performers to it."""


_UNSURE = {Failure.UNREACHABLE, Failure.FORBIDDEN, Failure.GONE, Failure.EXPIRED}
_REFUSABLE = _UNSURE | {Failure.STOPPED, Failure.CANCELLED, Failure.STALE, Failure.BUSY, Failure.REJECTED}

NATURE: Mapping[Step, Nature] = {
    Step.INSPECT: Nature(False, True, None, frozenset(_UNSURE | {Failure.REJECTED})),
    Step.MARK: Nature(True, True, Step.UNMARK, frozenset(_REFUSABLE)),
    Step.PREVIEW: Nature(False, True, None, frozenset(_UNSURE | {Failure.MOVED, Failure.REJECTED})),
    Step.UNMARK: Nature(
        True, True, None, frozenset(_REFUSABLE - {Failure.STOPPED, Failure.CANCELLED, Failure.EXPIRED})
    ),
    Step.CONVERGE: Nature(True, True, None, frozenset(_REFUSABLE - {Failure.STALE} | {Failure.NOT_BEGUN})),
    Step.FOLLOW: Nature(False, True, None, frozenset(_UNSURE | {Failure.UPDATE_FAILED})),
    Step.PROVE: Nature(False, True, None, frozenset(_UNSURE | {Failure.UNPROVEN})),
    Step.POWER: Nature(True, False, None, frozenset(_REFUSABLE)),
    Step.NOTIFY: Nature(
        False, True, None, frozenset({Failure.UNREACHABLE, Failure.REJECTED, Failure.EXPIRED})
    ),
}


# What a step that succeeded found out. Each is a fact, not a judgement: the kernel judges.


@dataclass(frozen=True, slots=True)
class Inspected:
    """A fresh reading of the root stack, and what a preview of each owning stack says before any mark."""

    snapshot: Snapshot
    baseline: Mapping[str, frozenset[str]] = NOTHING
    """Owning stack id → logical names that a preview calls replaced although nothing is marked yet."""


@dataclass(frozen=True, slots=True)
class Marked:
    """All targets of the repair are marked."""

    position: str
    """The engine's position in the root's history after the last mark: only an update that began later counts."""


@dataclass(frozen=True, slots=True)
class Previewed:
    replaced: Mapping[str, frozenset[str]]
    """Owning stack id → logical names that a preview calls replaced now that the marks are set."""


@dataclass(frozen=True, slots=True)
class Read:
    """What there is after the update: a complete reading, and what the dependents really refer to."""

    snapshot: Snapshot
    wires: Mapping[str, Mapping[str, str]]
    """Path of a dependent → property → its present value as text."""


@dataclass(frozen=True, slots=True)
class Finished:
    """Done, and there is nothing more to say."""


Facts = Inspected | Marked | Previewed | Read | Finished


@dataclass(frozen=True, slots=True)
class Done:
    facts: Facts = Finished()


@dataclass(frozen=True, slots=True)
class Pending:
    """Not yet: look again. Progress is for people, in whatever unit the engine counts."""

    again_after: timedelta
    detail: str = ""
    done: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class Failed:
    failure: Failure
    detail: str = ""
    retry_after: timedelta | None = None
    """When the engine itself said when to come back."""


Report = Done | Pending | Failed
