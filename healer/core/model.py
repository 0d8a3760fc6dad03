"""The values that all of healer speaks in: identities, what was seen, and what stands in a stack."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class _Nothing(Mapping[str, Any]):
    """A mapping that is empty for ever; hashable, as a dataclass wants of its defaults."""

    __slots__ = ()

    def __getitem__(self, key: str) -> Any:
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "{}"


NOTHING: Mapping[str, Any] = _Nothing()


class Health(StrEnum):
    """What one look at one target says. Unknown is neither of the others, and heals nothing."""

    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    UNKNOWN = "unknown"


class Symptom(StrEnum):
    """Why an observation says what it says; the same word in log, metric, API and test."""

    OK = "ok"
    REFUSED = "refused"
    TIMED_OUT = "timed_out"
    CONNECTION_LOST = "connection_lost"
    BAD_STATUS = "bad_status"
    BAD_BODY = "bad_body"
    TOO_SLOW = "too_slow"
    GONE = "gone"
    """The thing itself does not exist any more: no failing requirement explains that."""
    ENGINE_FAILED = "engine_failed"
    ALARM = "alarm"
    CLEARED = "cleared"
    REQUESTED = "requested"
    OBSERVER_LATE = "observer_late"
    """The observer itself was late: what it saw is no evidence."""
    UNRESOLVED = "unresolved"
    PROBE_BROKEN = "probe_broken"

    @property
    def explains_itself(self) -> bool:
        """No failing requirement can be the cause: the thing does not exist, or the engine has given it up."""
        return self in {Symptom.GONE, Symptom.ENGINE_FAILED}


@dataclass(frozen=True, slots=True, order=True)
class Root:
    """A root stack: what is locked, converged and followed as one."""

    cloud: str
    project: str
    id: str
    name: str = field(compare=False, default="")

    def __str__(self) -> str:
        return self.name or self.id


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """A place in a stack that should be alive, whoever fills it: `group/0/server` of a root stack."""

    root: Root
    path: str

    def __str__(self) -> str:
        return f"{self.root}/{self.path}"


@dataclass(frozen=True, slots=True, order=True)
class Incarnation:
    """What fills a target at one time. The physical id is the fencing token: a mark names it, never the name alone."""

    stack: str
    """Id of the owning (perhaps nested) stack, where a mark is set."""
    name: str
    """Logical name within the owning stack."""
    physical_id: str


@dataclass(frozen=True, slots=True)
class Observation:
    """One look at one target, from whatever source, in one form."""

    target: Target
    source: str
    """Who looked: `probe:http`, `watcher:engine`, `alarm:alertmanager:<key>`, `operator:<name>`."""
    health: Health
    symptom: Symptom
    at: datetime
    physical_id: str | None = None
    """The incarnation that was looked at; None where the source cannot tell."""
    detail: str = ""
    """One sentence for a person."""
    judged: bool = False
    """Somebody else has already applied patience: one is enough."""


class Effect(StrEnum):
    """What happens to a resource when a value that it refers to changes."""

    UNCHANGED = "unchanged"
    """It only waits for the other (`depends_on`); nothing of it changes."""
    UPDATED = "updated"
    """It is changed in place and keeps its physical id."""
    REPLACED = "replaced"
    """It is replaced: the property cannot change in place, or nobody can tell."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A property of one resource that is filled from another; both named by path within the root stack."""

    source: str
    """Path of the resource that refers."""
    property: str
    """Top-level property of `source`; empty for `depends_on`."""
    target: str
    """Path of the resource that is referred to."""
    attribute: str | None
    """Attribute that is read; None is the resource itself (`get_resource`)."""
    effect: Effect


class StackState(StrEnum):
    """The second half of a Heat status, for stacks and resources alike."""

    IN_PROGRESS = "IN_PROGRESS"
    COMPLETE = "COMPLETE"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource as the engine lists it now."""

    path: str
    type: str
    incarnation: Incarnation
    action: str
    """First half of the status: CREATE, UPDATE, CHECK, DELETE, INIT."""
    state: StackState
    reason: str = ""
    """The status reason; a mark of ours begins with `healer:`."""
    requires: tuple[str, ...] = ()
    """Paths of what it directly requires, within the root stack."""
    attributes: Mapping[str, str] = NOTHING
    """What placeholders and references may read: `address`, `port`, …"""
    fixed: frozenset[str] = frozenset()
    """Attributes that only a replacement can change, never an update in place."""
    created_at: datetime | None = None
    is_stack: bool = False
    """A nested stack or a group: never marked, its members are."""
    condition: Health = Health.UNKNOWN
    """What the engine itself says of it beyond its books (the embedded engine knows whether a process lives)."""
    condition_symptom: Symptom = Symptom.OK
    always_replaced: bool = False
    """Every update replaces it, marked or not (OS::Heat::UpdateWaitConditionHandle)."""

    @property
    def status(self) -> str:
        """As Heat writes it, `CREATE_COMPLETE`."""
        return f"{self.action}_{self.state}"

    @property
    def is_failed(self) -> bool:
        """Whether the engine finds it failed, by its books or by what it knows of the thing."""
        return self.state is StackState.FAILED or self.condition is Health.UNHEALTHY

    @property
    def marked(self) -> bool:
        return self.action == "CHECK" and self.state is StackState.FAILED


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A root stack with everything nested in it, as one complete, successful reading."""

    root: Root
    taken_at: datetime
    action: str
    state: StackState
    resources: Mapping[str, Resource]
    """By path, all levels."""
    references: tuple[Reference, ...] = ()
    busy: tuple[str, ...] = ()
    """Names of the stacks in it (root or nested) that are IN_PROGRESS, whoever did it."""
    tags: frozenset[str] = frozenset()
    created_at: datetime | None = None
    updated_at: datetime | None = None
    rebuildable: frozenset[str] = frozenset()
    """Types that the engine can rebuild without loss: the default of `may_replace`."""
    changed_to: StackState | None = None
    """What the last change came to, where `state` is that of what changes nothing (a check of the stack)."""
    memo: dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    """What was worked out of it once and is asked for again; no part of it."""

    @property
    def status(self) -> str:
        """As Heat writes it, `UPDATE_COMPLETE`."""
        return f"{self.action}_{self.state}"

    @property
    def half_done(self) -> bool:
        """Whether the last change failed, so that the next update would finish it."""
        return (self.changed_to or self.state) is StackState.FAILED

    def find(self, physical_id: str) -> tuple[Resource, ...]:
        """Every resource with this physical id: it need not be unique within a stack."""
        return tuple(r for r in self.resources.values() if r.incarnation.physical_id == physical_id)


@dataclass(frozen=True, slots=True)
class Selector:
    """How an alarm or a person names a resource; what is None was not said."""

    cloud: str | None = None
    stack: str | None = None
    """Name or id of a root stack."""
    resource: str | None = None
    """Path, or a logical name that is unique in the stack."""
    physical_id: str | None = None
    address: str | None = None
    """Where it is reached: `host:port`, an IP address or a host name, as the sender has it."""
    host: str | None = None
    """A compute host: everything that runs on it is meant."""


class AlarmStatus(StrEnum):
    FIRING = "firing"
    CLEARED = "cleared"
    UNKNOWN = "unknown"
    """The sender does not know (any more): neither a failure nor a recovery."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm as its sender meant it, in one form for every sender."""

    source: str
    """The name under which the sender is configured, e.g. `alertmanager`."""
    key: str
    """The sender's name for one alarm over time (Alertmanager: the fingerprint)."""
    status: AlarmStatus
    started_at: datetime
    received_at: datetime
    selector: Selector
    labels: Mapping[str, str] = NOTHING
    annotations: Mapping[str, str] = NOTHING
    severity: str = ""
    """In the sender's own words."""
    expires_at: datetime | None = None
    """When a firing one that is not sent again stops to count; None: it counts until it is taken back."""

    @property
    def is_over(self) -> bool:
        return self.status is AlarmStatus.CLEARED

    @property
    def voice(self) -> str:
        """The `source` of all that is observed by it: the same whenever it fires, and when it is over."""
        return f"alarm:{self.source}:{self.key}"

    @property
    def identity(self) -> str:
        """The same twice means that the same delivery came twice: (source, key, start, status)."""
        return f"{self.source}|{self.key}|{self.started_at.isoformat()}|{self.status}"
