"""Senders of alarms: what they send, how they show who they are, and how their alarms are read at them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, ClassVar, Protocol, runtime_checkable

from healer.core.model import NOTHING, Alarm
from healer.core.silence import Silence


@dataclass(frozen=True, slots=True)
class Rejected:
    """One alarm of a batch that could not be read; the others are kept."""

    index: int
    reason: str


ALARMS_PATH = "/v1/alarms/"
"""What comes before a source's name in the URL that its sender is given."""


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
    passed_over: tuple[Alarm, ...] = ()
    """Those that lack a label which the configuration asks for (`only`): they are counted, and nothing else."""

    def named(self, alertname: str) -> tuple[Alarm, ...]:
        """Those with this label `alertname`."""
        return tuple(alarm for alarm in self.alarms if alarm.labels.get("alertname") == alertname)

    def without(self, alertname: str) -> Batch:
        """The others; the very same batch where there is none of that name."""
        rest = tuple(alarm for alarm in self.alarms if alarm.labels.get("alertname") != alertname)
        return self if len(rest) == len(self.alarms) else replace(self, alarms=rest)

    def only(self, labels: Mapping[str, str]) -> Batch:
        """Without those that do not carry all of these, which are passed over; the very same batch where all do."""
        wanted = labels.items()
        others = tuple(alarm for alarm in self.alarms if not wanted <= alarm.labels.items())
        if not others:
            return self
        rest = tuple(alarm for alarm in self.alarms if wanted <= alarm.labels.items())
        return replace(self, alarms=rest, passed_over=self.passed_over + others)


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
    reads: ClassVar[frozenset[str]]
    """Plug-ins of the sources beside which it may stand: there its alarms have the names that the sent ones have."""

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
