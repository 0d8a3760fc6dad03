"""Keeps everything in memory, as the state file would: for the simulation, and for what need not outlive a process."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import islice
from typing import assert_never

from pydantic import ConfigDict, PrivateAttr

from healer.core.change import (
    AlarmSettled,
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
from healer.ports import Entry, FiledAlarm, StoreError, Write
from healer.stores._journal import entry_of


class Memory(Plugin):
    """The contract of a store, less that it is durable. What nothing reads back (runs, revisions) is not kept.

    A crash is simulated by dropping the kernel, and building another from what this object still holds.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{}]})

    _held: bool = PrivateAttr(default=False)
    _epoch: int = PrivateAttr(default=0)
    _incidents: dict[str, Incident] = PrivateAttr(default_factory=dict)
    _repairs: dict[str, Repair] = PrivateAttr(default_factory=dict)
    _under_repair: dict[Root, str] = PrivateAttr(default_factory=dict)
    _attempts: dict[str, Attempt] = PrivateAttr(default_factory=dict)
    _pauses: dict[str, Pause] = PrivateAttr(default_factory=dict)
    _alarms: dict[str, FiledAlarm] = PrivateAttr(default_factory=dict)
    _last_sent: dict[str, datetime] = PrivateAttr(default_factory=dict)
    _changes: dict[int, Change] = PrivateAttr(default_factory=dict)
    _seq: int = PrivateAttr(default=0)

    def acquire(self) -> int:
        self._held = True
        self._epoch += 1
        return self._epoch

    def check(self) -> None:
        """Nothing can come between a process and its memory."""

    def load(self) -> State:
        self._refuse_unless_held()
        return State(
            incidents={i.id: i for i in sorted(self._incidents.values(), key=_age) if i.closed_at is None},
            repairs={r.id: r for r in sorted(self._repairs.values(), key=_age) if r.is_open},
            attempts=dict(self._attempts),
            pauses=dict(self._pauses),
            alarms={identity: filed.alarm for identity, filed in self._alarms.items() if not filed.outcome},
        )

    def commit(self, writes: Sequence[Write]) -> tuple[tuple[bool, ...], ...]:
        self._refuse_unless_held()
        under_repair = self._lock(change for write in writes for change in write.changes)
        new = tuple(tuple(self._file(alarm) for alarm in write.alarms) for write in writes)
        for write in writes:
            for change in write.changes:
                self._keep(change)
                self._seq += 1
                self._changes[self._seq] = change
        self._under_repair = under_repair
        return new

    def _lock(self, changes: Iterable[Change]) -> dict[Root, str]:
        """Which repair is open on which root after these changes. Raises StoreError where there would be two."""
        locked = dict(self._under_repair)
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

    def _file(self, alarm: Alarm) -> bool:
        self._last_sent[alarm.identity] = alarm.received_at
        if alarm.identity in self._alarms:
            return False
        self._alarms[alarm.identity] = FiledAlarm(alarm, None)
        return True

    def _keep(self, change: Change) -> None:
        match change:
            case IncidentChanged(incident=incident):
                self._incidents[incident.id] = incident
            case RepairChanged(repair=repair):
                self._repairs[repair.id] = repair
            case AttemptChanged(attempt=attempt, withdrawn=False):
                self._attempts[attempt.id] = attempt
            case AttemptChanged(attempt=attempt):
                self._attempts.pop(attempt.id, None)
            case PauseChanged(pause=pause, lifted_by=None):
                self._pauses[pause.id] = pause
            case PauseChanged(pause=pause):
                self._pauses.pop(pause.id, None)
            case AlarmSettled(_, identity, outcome, detail, incident_id):
                if identity in self._alarms:
                    alarm = self._alarms[identity].alarm
                    self._alarms[identity] = FiledAlarm(alarm, outcome, detail, incident_id)
            case _:
                assert_never(change)

    def journal(self, after: int = 0, incident: str | None = None, limit: int = 1000) -> tuple[Entry, ...]:
        self._refuse_unless_held()
        repairs = {repair.id for repair in self._repairs.values() if incident in repair.members}
        entries = (entry_of(change, seq) for seq, change in self._changes.items() if seq > after)
        told = (
            entry
            for entry in entries
            if entry is not None
            and (incident in {None, entry.incident} or (entry.incident is None and entry.repair in repairs))
        )
        return tuple(islice(told, limit))

    def incidents(self, *, open_only: bool = False, limit: int = 100) -> tuple[Incident, ...]:
        self._refuse_unless_held()
        found = (i for i in self._incidents.values() if i.closed_at is None or not open_only)
        return tuple(sorted(found, key=_age, reverse=True)[:limit])

    def find_incidents(self, prefix: str) -> tuple[Incident, ...]:
        self._refuse_unless_held()
        wanted = prefix.upper()
        return tuple(self._incidents[key] for key in sorted(self._incidents) if key.startswith(wanted))[:10]

    def alarms(self, limit: int = 100) -> tuple[FiledAlarm, ...]:
        self._refuse_unless_held()
        return tuple(islice(reversed(self._alarms.values()), limit))

    def prune(self, before: datetime) -> int:
        self._refuse_unless_held()
        self._incidents = {k: i for k, i in self._incidents.items() if not _ended(i, before)}
        kept = self._incidents.keys()
        self._repairs = {
            k: r for k, r in self._repairs.items() if not _ended(r, before) or kept & set(r.members)
        }
        self._attempts = {
            k: a
            for k, a in self._attempts.items()
            if a.incident in kept or (a.ended_at or a.began_at) >= before
        }
        self._pauses = {k: p for k, p in self._pauses.items() if p.until is None or p.until >= before}
        for identity, filed in list(self._alarms.items()):
            settled = filed.outcome is not None and filed.incident not in kept
            if settled and self._last_sent[identity] < before:
                del self._alarms[identity], self._last_sent[identity]
        outdated = [seq for seq, change in self._changes.items() if self._is_outdated(change, before)]
        return sum(entry_of(self._changes.pop(seq)) is not None for seq in outdated)

    def _is_outdated(self, change: Change, before: datetime) -> bool:
        entry = entry_of(change)
        return change.at < before and (
            entry is None or (entry.incident not in self._incidents and entry.repair not in self._repairs)
        )

    def close(self) -> None:
        """What was kept stays: to be acquired again is all that a new daemon needs."""
        self._held = False

    def _refuse_unless_held(self) -> None:
        if not self._held:
            raise StoreError("the store is not open")


def _age(one: Incident | Repair) -> tuple[datetime, str]:
    return one.opened_at, one.id


def _ended(one: Incident | Repair, before: datetime) -> bool:
    return one.closed_at is not None and one.closed_at < before
