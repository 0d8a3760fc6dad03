"""The sockets that plug-ins fit into; each docstring is the contract that its contract suite tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from healer.core.change import AlarmOutcome, Change
from healer.core.incident import Incident
from healer.core.model import (
    NOTHING,
    Alarm,
    Health,
    Incarnation,
    Observation,
    Root,
    Snapshot,
    Symptom,
    Target,
)
from healer.core.repair import Recipe
from healer.core.silence import Silence
from healer.core.state import State
from healer.core.step import Failure


class HealerError(Exception):
    """Something went wrong that a person can understand."""


class ConfigError(HealerError):
    """The configuration cannot be used; the text names file, line, key and what was expected."""


class PluginError(HealerError):
    """A plug-in does not exist or does not load."""


class AlarmError(HealerError):
    """The body is not what this sender sends (HTTP 400)."""


class StoreError(HealerError):
    """What should be kept could not be kept; the caller must not claim that it was."""


class StaleWriterError(StoreError):
    """Another daemon has taken over this state: this one must stop writing."""


class EngineError(HealerError):
    """A call to the engine did not succeed; `failure` says what that means for the repair."""

    def __init__(self, failure: Failure, detail: str, retry_after: timedelta | None = None) -> None:
        super().__init__(detail)
        self.failure = failure
        self.detail = detail
        self.retry_after = retry_after


class Clock(Protocol):
    """The only place where time comes from."""

    def now(self) -> datetime:
        """Aware UTC; never steps, whatever happens to the wall clock."""
        ...

    def elapsed(self) -> float:
        """Seconds since some fixed moment, for latencies; monotonic."""
        ...


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


@runtime_checkable
class Checkable(Protocol):
    """A plug-in that can tell from this machine alone, with no call to any cloud, that its options cannot work."""

    def objections(self) -> Mapping[str, str]:
        """Option → what is wrong with it, and what was expected."""
        ...


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
class Rejected:
    """One alarm of a batch that could not be read; the others are kept."""

    index: int
    reason: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request of a sender, as it came."""

    source: str
    """The name under which the sender is configured: the `source` of its alarms."""
    body: bytes
    received_at: datetime
    headers: Mapping[str, str] = NOTHING
    """The letter case of a name does not matter."""
    query: Mapping[str, str] = NOTHING
    path: str = ""
    """Without the query."""
    method: str = "POST"
    peer: str = ""
    """IP address of whoever is connected."""


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What a sender wants to be called with before it sends anything."""

    path: str
    """At the sender; where that is, its configuration says, and never the body."""
    headers: Mapping[str, str]
    body: bytes
    expires_at: datetime | None = None
    method: str = "PUT"


@dataclass(frozen=True, slots=True)
class Batch:
    """One request's alarms, in the sender's order."""

    alarms: tuple[Alarm, ...]
    rejected: tuple[Rejected, ...] = ()
    truncated: int = 0
    """How many the sender says that it left out."""
    confirmation: Confirmation | None = None
    silences: tuple[Silence, ...] | None = None
    """All that is silenced at the sender now; None where that is not read."""

    def named(self, alertname: str) -> tuple[Alarm, ...]:
        """Those with this label `alertname`."""
        return tuple(alarm for alarm in self.alarms if alarm.labels.get("alertname") == alertname)

    def without(self, alertname: str) -> Batch:
        """The others; the very same batch where there is none of that name."""
        rest = tuple(alarm for alarm in self.alarms if alarm.labels.get("alertname") != alertname)
        return self if len(rest) == len(self.alarms) else replace(self, alarms=rest)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request is answered."""

    status: int
    body: Any = None
    """A JSON value; None is an empty body."""
    headers: Mapping[str, str] = NOTHING


class AlarmSource(Protocol):
    """A pure parser of one sender's bodies. AlarmError if the body as a whole is not this sender's."""

    paths: ClassVar[tuple[str, ...]]
    """Where it is served besides `/v1/alarms/<name>`, for a sender that cannot be told where to post."""

    def parse(self, delivery: Delivery) -> Batch: ...


@runtime_checkable
class Answering(Protocol):
    """A source whose sender wants an answer of its own once its alarms are stored."""

    def answer(self, batch: Batch, new: tuple[bool, ...]) -> Answer:
        """`new`: for each alarm of the batch, whether it came for the first time."""
        ...


@runtime_checkable
class Greeting(Protocol):
    """A source whose sender asks, with another method than POST, before it sends."""

    methods: ClassVar[tuple[str, ...]]

    def greet(self, delivery: Delivery) -> Answer: ...


class Authentication(Protocol):
    """How a sender shows who it is. EngineError UNREACHABLE where that cannot be told now."""

    needs_body: ClassVar[bool]
    """Whether it can judge only a request whose body has been read; else it is asked with an empty one."""

    async def admits(self, delivery: Delivery) -> bool: ...


@runtime_checkable
class Closing(Protocol):
    """A way to show who one is for which somebody is asked over a connection."""

    async def close(self) -> None:
        """Let go of it; called once, when the daemon stops and takes no alarm any more."""
        ...


class Pull(Protocol):
    """Reads a sender's alarms instead of waiting for them. EngineError UNREACHABLE where it cannot be read now."""

    every: ClassVar[timedelta]
    """How often it is read."""

    async def pull(self, source: str, now: datetime) -> Batch:
        """What stands there now, as alarms of `source`."""
        ...

    async def stored(self) -> None:
        """All that the last pull gave is stored: a queue may forget it."""
        ...

    async def close(self) -> None: ...


@runtime_checkable
class Silencing(Protocol):
    """A pull that can read what is silenced at its sender as well."""

    @property
    def silences(self) -> bool:
        """Whether it does: then each of its batches says so."""
        ...


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
