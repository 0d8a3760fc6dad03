"""What each write becomes in the tables; statements alone, in a transaction of the caller's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any, assert_never

from sqlalchemy import Column, Connection, Delete, Table, bindparam, delete, insert
from sqlalchemy.dialects import postgresql, sqlite

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
from healer.core.model import Target
from healer.core.repair import Repair
from healer.ports import ObservationRun, Write
from healer.stores import _filing
from healer.stores._filing import Known
from healer.stores._journal import SCHEMA, entry_of
from healer.stores._schema import (
    attempts,
    incidents,
    journal,
    members,
    observation_runs,
    pauses,
    policy_revisions,
    repairs,
)

Row = dict[str, Any]

_INSERT: dict[str, Callable[[Table], Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
"""`ON CONFLICT` is no part of SQL, and alike in both."""


@cache
def upsert(table: Table, dialect: str, *, overwrite: bool = True) -> Any:
    """Insert; where the primary key is there already, overwrite the rest of the row, or leave it as it is."""
    statement = _INSERT[dialect](table)
    if not overwrite:
        return statement.on_conflict_do_nothing()
    rest = {column.name: statement.excluded[column.name] for column in table.c if not column.primary_key}
    return statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=rest)


@cache
def forget(column: Column[str]) -> Delete:
    """Delete the rows that have this value, `which`, there."""
    return delete(column.table).where(column == bindparam("which"))


TELL = insert(journal)


def write(connection: Connection, known: Known, writes: Sequence[Write]) -> tuple[tuple[bool, ...], ...]:
    """Keep all of them, and say of each alarm of each write whether it was new."""
    dialect = connection.dialect.name
    new = _filing.file(connection, known, writes)
    _keep(connection, known, [change for one in writes for change in one.changes])
    runs = [_run(run) for one in writes for run in one.runs]
    _execute(connection, upsert(observation_runs, dialect), runs)
    revisions = [
        {"digest": revision.digest, "policy": revision.policy, "text": revision.text}
        for one in writes
        for revision in one.revisions
    ]
    _execute(connection, upsert(policy_revisions, dialect, overwrite=False), revisions)
    return new


def _execute(connection: Connection, statement: Any, rows: Sequence[Row]) -> None:
    if rows:
        connection.execute(statement, rows)


def _keep(connection: Connection, known: Known, changes: Sequence[Change]) -> None:
    """The last word on each row, in the order in which they come up: a repair comes before its root's next one."""
    of_incidents: dict[str, Incident] = {}
    of_repairs: dict[str, Repair] = {}
    of_attempts: dict[str, Row | None] = {}
    of_pauses: dict[str, Row | None] = {}
    settled: list[AlarmsSettled] = []
    for change in changes:
        match change:
            case IncidentChanged(incident=incident):
                of_incidents[incident.id] = incident
            case RepairChanged(repair=repair):
                of_repairs[repair.id] = repair
            case AttemptChanged(_, attempt, withdrawn):
                of_attempts[attempt.id] = None if withdrawn else _attempt(attempt)
            case PauseChanged(_, pause, lifted_by):
                of_pauses[pause.id] = _pause(pause) if lifted_by is None else None
            case AlarmsSettled():
                settled.append(change)
            case _:
                assert_never(change)
    dialect = connection.dialect.name
    _execute(connection, upsert(incidents, dialect), [_incident(one) for one in of_incidents.values()])
    _keep_repairs(connection, of_repairs.values())
    _keep_or_forget(connection, attempts, of_attempts)
    _keep_or_forget(connection, pauses, of_pauses)
    _filing.settle(connection, known, settled)
    _execute(connection, TELL, [row for change in changes for row in _told(change)])


def _keep_repairs(connection: Connection, changed: Iterable[Repair]) -> None:
    _execute(connection, upsert(repairs, connection.dialect.name), [_repair(repair) for repair in changed])
    # Who is not admitted is no member any more.
    _execute(connection, forget(members.c.repair), [{"which": repair.id} for repair in changed])
    serving = [
        {"repair": repair.id, "incident": member} for repair in changed for member in set(repair.members)
    ]
    _execute(connection, insert(members), serving)


def _keep_or_forget(connection: Connection, table: Table, rows: dict[str, Row | None]) -> None:
    _execute(connection, upsert(table, connection.dialect.name), [row for row in rows.values() if row])
    _execute(connection, forget(table.c.id), [{"which": key} for key, row in rows.items() if row is None])


def _incident(incident: Incident) -> Row:
    return {
        "id": incident.id,
        "state": incident.state.value,
        **_target(incident.target),
        "policy": incident.policy,
        "opened_at": incident.opened_at,
        "closed_at": incident.closed_at,
        "body": incident,
    }


def _repair(repair: Repair) -> Row:
    return {
        "id": repair.id,
        "cloud": repair.root.cloud,
        "project": repair.root.project,
        "root": repair.root.id,
        "open": repair.is_open,
        "opened_at": repair.opened_at,
        "closed_at": repair.closed_at,
        "body": repair,
    }


def _attempt(attempt: Attempt) -> Row:
    return {
        "id": attempt.id,
        "incident": attempt.incident,
        "began_at": attempt.began_at,
        "ended_at": attempt.ended_at,
        "body": attempt,
    }


def _pause(pause: Pause) -> Row:
    return {"id": pause.id, "until": pause.until, "body": pause}


def _target(target: Target) -> Row:
    root = target.root
    return {"cloud": root.cloud, "project": root.project, "root": root.id, "path": target.path}


def _run(run: ObservationRun) -> Row:
    return {
        **_target(run.target),
        "source": run.source,
        "first_at": run.first_at,
        "last_at": run.last_at,
        "health": run.health.value,
        "symptom": run.symptom.value,
        "count": run.count,
    }


def _told(change: Change) -> Iterable[Row]:
    entry = entry_of(change)
    if entry is not None:
        yield {
            "at": entry.at,
            "incident": entry.incident,
            "repair": entry.repair,
            "kind": entry.kind,
            "body": entry.body,
            "schema": SCHEMA,
        }
