"""Where state and story are kept, and what is written there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from healer.core.change import AlarmOutcome, Change
from healer.core.incident import Incident
from healer.core.model import Alarm, Health, Symptom, Target
from healer.core.state import State


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal, as it was written."""

    seq: int
    at: datetime
    kind: str
    incident: str | None
    repair: str | None
    body: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ObservationRun:
    """Looks of one source at one target that all said the same, folded into one row."""

    target: Target
    source: str
    health: Health
    symptom: Symptom
    first_at: datetime
    last_at: datetime
    count: int


@dataclass(frozen=True, slots=True)
class PolicyRevision:
    """The text that a policy had, by digest, so that an old story can still be read."""

    digest: str
    policy: str
    text: str


@dataclass(frozen=True, slots=True)
class Write:
    """What one caller wants kept, all or nothing."""

    changes: tuple[Change, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    runs: tuple[ObservationRun, ...] = ()
    revisions: tuple[PolicyRevision, ...] = ()


@dataclass(frozen=True, slots=True)
class FiledAlarm:
    """An alarm as it is kept, and what became of it; outcome None: not settled yet."""

    alarm: Alarm
    outcome: AlarmOutcome | None
    detail: str = ""
    incident: str | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which alarms are asked for. What says nothing asks for all."""

    sources: frozenset[str] = frozenset()
    outcomes: frozenset[AlarmOutcome | None] = frozenset()
    since: datetime | None = None
    """Received then or later."""

    def fits(self, filed: FiledAlarm) -> bool:
        return (
            (not self.sources or filed.alarm.source in self.sources)
            and (not self.outcomes or filed.outcome in self.outcomes)
            and (self.since is None or filed.alarm.received_at >= self.since)
        )


EVERY = Wanted()


class Store(Protocol):
    """Where state and story are kept.

    Every method may block, and is called from one thread at a time: the writer's. `acquire` comes first and
    gives the epoch that every later write carries; a write with an old epoch raises StaleWriterError and
    changes nothing. A failed write raises StoreError, keeps nothing, and the next may succeed.
    """

    def acquire(self) -> int:
        """Take the writer's place; raises StoreError where another process holds it, saying which (pid)."""
        ...

    def load(self) -> State:
        """All that is open, the attempts, and alarms not settled: what a kernel is restored from."""
        ...

    def commit(self, writes: Sequence[Write]) -> tuple[tuple[bool, ...], ...]:
        """Keep all of them in one durable transaction, and tell for each alarm of each write whether it is new.

        An alarm with a known identity is kept once. A change keeps its row and, where it is news, a journal entry.
        """
        ...

    def journal(self, after: int = 0, incident: str | None = None, limit: int = 1000) -> tuple[Entry, ...]:
        """Entries with a greater `seq`, oldest first; of one incident: also those of its repairs."""
        ...

    def incidents(self, *, open_only: bool = False, limit: int = 100) -> tuple[Incident, ...]:
        """Newest first."""
        ...

    def find_incidents(self, prefix: str) -> tuple[Incident, ...]:
        """Those whose id begins so (letter case does not matter), at most ten."""
        ...

    def alarms(self, limit: int = 100, wanted: Wanted = EVERY) -> tuple[FiledAlarm, ...]:
        """Newest first."""
        ...

    def check(self) -> None:
        """Raises StoreError where what was opened is not what is there any more (deleted, replaced)."""
        ...

    def prune(self, before: datetime) -> int:
        """Forget what ended before; open things are kept. How many journal entries went."""
        ...

    def close(self) -> None: ...
