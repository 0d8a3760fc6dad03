"""What may happen: everything that comes in through the kernel's one door."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from healer.core.change import Pause
from healer.core.model import Alarm, Observation, Root, Snapshot, Target
from healer.core.policy import Policy
from healer.core.repair import Recipe
from healer.core.silence import Silence
from healer.core.step import Report


@dataclass(frozen=True, slots=True)
class Started:
    """The daemon is up: every step that was out is looked at, and what waits is considered anew."""


@dataclass(frozen=True, slots=True)
class PoliciesLoaded:
    policies: tuple[Policy, ...]
    recipes: Mapping[str, Recipe]
    """By action name."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A complete, successful listing of a cloud's root stacks."""

    cloud: str
    roots: frozenset[Root]


@dataclass(frozen=True, slots=True)
class Snapped:
    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class Unreachable:
    """A cloud could not be read: nothing there is healed until it can."""

    cloud: str
    why: str


@dataclass(frozen=True, slots=True)
class Observed:
    observations: tuple[Observation, ...]


@dataclass(frozen=True, slots=True)
class Alarmed:
    """Alarms that are stored already."""

    alarms: tuple[Alarm, ...]


@dataclass(frozen=True, slots=True)
class Renewed:
    """Alarms that are known already, and came once more."""

    alarms: tuple[Alarm, ...]


@dataclass(frozen=True, slots=True)
class Requested:
    """An operator asks for a heal: an observation that skips what only protects against false alarms."""

    target: Target
    who: str
    why: str


@dataclass(frozen=True, slots=True)
class Paused:
    pause: Pause


@dataclass(frozen=True, slots=True)
class Unpaused:
    pause: str
    """Id of the pause."""
    who: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """The stop file is there, or is not any more. Before each call it is looked for anew; this says it beforehand."""

    why: str | None
    """Why nothing may be touched; None: it may again."""


@dataclass(frozen=True, slots=True)
class Awaited:
    """What is silenced at a sender is being read for the first time. Nothing is begun until it is known, or so long."""

    source: str
    """The name under which the sender is configured."""
    until: datetime


@dataclass(frozen=True, slots=True)
class Silenced:
    """All that is silenced at a sender now, instead of all that it has said of that before."""

    source: str
    silences: tuple[Silence, ...]


@dataclass(frozen=True, slots=True)
class Released:
    """A person lets go of an incident that waits or is exhausted."""

    incident: str
    who: str


@dataclass(frozen=True, slots=True)
class Reported:
    """What came of a step."""

    repair: str
    attempt: int
    report: Report


@dataclass(frozen=True, slots=True)
class Resumed:
    """Time was lost (a suspended machine, a blocked loop): every track is unknown until it is looked at again."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Woken:
    """The time that was asked for has come."""


Event = (
    Started
    | PoliciesLoaded
    | Listed
    | Snapped
    | Unreachable
    | Observed
    | Alarmed
    | Renewed
    | Requested
    | Paused
    | Unpaused
    | Stopped
    | Awaited
    | Silenced
    | Released
    | Reported
    | Resumed
    | Woken
)
