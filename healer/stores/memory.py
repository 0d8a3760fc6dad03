"""Keeps everything in memory, as the state file would: for the simulation, and for what need not outlive a process."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import assert_never

from pydantic import ConfigDict, PrivateAttr

from healer.core.alarming import lately_taken_back
from healer.core.change import (
    AlarmsSettled,
    Attempt,
    AttemptChanged,
    Change,
    IncidentChanged,
    Pause,
    PauseChanged,
    RepairChanged,
)
from healer.core.incident import Incident
from healer.core.model import Alarm, Root
from healer.core.repair import Repair
from healer.core.state import State
from healer.plugins import Plugin
from healer.ports import EVERY, Entry, FiledAlarm, StoreError, Wanted, Write
from healer.stores._journal import entry_of


@dataclass(slots=True)
class _Kept:
    epoch: int = 0
    incidents: dict[str, Incident] = field(default_factory=dict)
    repairs: dict[str, Repair] = field(default_factory=dict)
    under_repair: dict[Root, str] = field(default_factory=dict)
    attempts: dict[str, Attempt] = field(default_factory=dict)
    pauses: dict[str, Pause] = field(default_factory=dict)
    alarms: dict[str, FiledAlarm] = field(default_factory=dict)
    last_sent: dict[str, datetime] = field(default_factory=dict)
    changes: dict[int, Change] = field(default_factory=dict)
    """By their number in the journal. The entry is made when somebody reads it, which the simulation hardly does."""
    last_seq: int = 0

    def lock(self, changes: Iterable[Change]) -> dict[Root, str]:
        """Which repair is open on which root after these changes. Raises StoreError where there would be two."""
        locked = dict(self.under_repair)
        for change in changes:
            if not isinstance(change, RepairChanged):
                continue
            repair = change.repair
            if not repair.is_open:
                if locked.get(repair.root) == repair.id:
                    del locked[repair.root]
            elif locked.setdefault(repair.root, repair.id) != repair.id:
                raise StoreError(f"{repair.root} is under repair already: {locked[repair.root]}")
        return locked

    def file(self, alarm: Alarm) -> bool:
        identity = alarm.identity
        self.last_sent[identity] = alarm.received_at
        if identity in self.alarms:
            return False
        self.alarms[identity] = FiledAlarm(alarm, None)
        return True

    def keep(self, change: Change) -> None:
        self.last_seq += 1
        self.changes[self.last_seq] = change
        match change:
            case IncidentChanged():
                self.incidents[change.incident.id] = change.incident
            case RepairChanged():
                self.repairs[change.repair.id] = change.repair
            case AttemptChanged():
                if change.withdrawn:
                    self.attempts.pop(change.attempt.id, None)
                else:
                    self.attempts[change.attempt.id] = change.attempt
            case PauseChanged():
                if change.lifted_by is None:
                    self.pauses[change.pause.id] = change.pause
                else:
                    self.pauses.pop(change.pause.id, None)
            case AlarmsSettled(_, identities, outcome, detail, incident):
                for identity in identities:
                    if identity in self.alarms:
                        alarm = self.alarms[identity].alarm
                        self.alarms[identity] = FiledAlarm(alarm, outcome, detail, incident)
            case _:
                assert_never(change)

    def prune(self, before: datetime) -> int:
        self.incidents = {k: i for k, i in self.incidents.items() if not _ended(i, before)}
        kept = self.incidents.keys()
        self.repairs = {
            k: r for k, r in self.repairs.items() if not _ended(r, before) or kept & set(r.members)
        }
        self.attempts = {
            k: a
            for k, a in self.attempts.items()
            if a.incident in kept or (a.ended_at or a.began_at) >= before
        }
        self.pauses = {k: p for k, p in self.pauses.items() if p.until is None or p.until >= before}
        for identity, filed in list(self.alarms.items()):
            settled = filed.outcome is not None and filed.incident not in kept
            if settled and self.last_sent[identity] < before:
                del self.alarms[identity], self.last_sent[identity]
        outdated = [seq for seq, change in self.changes.items() if self._is_outdated(change, before)]
        return sum(entry_of(self.changes.pop(seq)) is not None for seq in outdated)

    def _is_outdated(self, change: Change, before: datetime) -> bool:
        entry = entry_of(change)
        return change.at < before and (
            entry is None or (entry.incident not in self.incidents and entry.repair not in self.repairs)
        )


_NEVER = datetime.min.replace(tzinfo=UTC)


class Memory(Plugin):
    """The contract of a store, less that it is durable. What nothing reads back (runs, revisions) is not kept.

    A crash is simulated by dropping the kernel, and building another from what this object still holds.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{}]})

    _all: _Kept = PrivateAttr(default_factory=_Kept)
    _is_open: bool = PrivateAttr(default=False)

    def acquire(self) -> int:
        self._is_open = True
        self._all.epoch += 1
        return self._all.epoch

    def check(self) -> None:
        """Nothing can come between a process and its memory."""

    def load(self) -> State:
        kept = self._open()
        return State(
            incidents={i.id: i for i in sorted(kept.incidents.values(), key=_age) if i.closed_at is None},
            repairs={r.id: r for r in sorted(kept.repairs.values(), key=_age) if r.is_open},
            attempts=dict(kept.attempts),
            pauses=dict(kept.pauses),
            alarms={identity: filed.alarm for identity, filed in kept.alarms.items() if not filed.outcome},
            taken_back=lately_taken_back(
                (filed.alarm for filed in kept.alarms.values()), max(kept.last_sent.values(), default=_NEVER)
            ),
        )

    def commit(self, writes: Sequence[Write]) -> tuple[tuple[bool, ...], ...]:
        kept = self._open()
        kept.under_repair = kept.lock(change for write in writes for change in write.changes)
        new = tuple(tuple(kept.file(alarm) for alarm in write.alarms) for write in writes)
        for write in writes:
            for change in write.changes:
                kept.keep(change)
        return new

    def journal(self, after: int = 0, incident: str | None = None, limit: int = 1000) -> tuple[Entry, ...]:
        kept = self._open()
        repairs = {repair.id for repair in kept.repairs.values() if incident in repair.members}
        entries = (entry_of(change, seq) for seq, change in kept.changes.items() if seq > after)
        told = (
            entry
            for entry in entries
            if entry is not None
            and (incident in {None, entry.incident} or (entry.incident is None and entry.repair in repairs))
        )
        return tuple(islice(told, limit))

    def incidents(self, *, open_only: bool = False, limit: int = 100) -> tuple[Incident, ...]:
        found = (i for i in self._open().incidents.values() if i.closed_at is None or not open_only)
        return tuple(sorted(found, key=_age, reverse=True)[:limit])

    def find_incidents(self, prefix: str) -> tuple[Incident, ...]:
        kept, wanted = self._open().incidents, prefix.upper()
        return tuple(kept[key] for key in sorted(kept) if key.startswith(wanted))[:10]

    def alarms(self, limit: int = 100, wanted: Wanted = EVERY) -> tuple[FiledAlarm, ...]:
        return tuple(islice(filter(wanted.fits, reversed(self._open().alarms.values())), limit))

    def prune(self, before: datetime) -> int:
        return self._open().prune(before)

    def close(self) -> None:
        """What was kept stays: to be acquired again is all that a new daemon needs."""
        self._is_open = False

    def _open(self) -> _Kept:
        if not self._is_open:
            raise StoreError("the store is not open")
        return self._all


def _age(one: Incident | Repair) -> tuple[datetime, str]:
    return one.opened_at, one.id


def _ended(one: Incident | Repair, before: datetime) -> bool:
    return one.closed_at is not None and one.closed_at < before
