"""What is read back from the tables, and what is forgotten; statements alone, in a transaction of the caller's."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, and_, delete, func, or_, select

from healer.core.incident import Incident
from healer.core.state import State
from healer.ports import Entry
from healer.stores import _filing
from healer.stores._filing import Known
from healer.stores._schema import (
    attempts,
    incidents,
    journal,
    members,
    observation_runs,
    pauses,
    repairs,
)


def load(connection: Connection) -> State:
    """All that is open, every attempt and pause, and the alarms that are not settled."""
    open_incidents = select(incidents.c.body).where(incidents.c.closed_at.is_(None))
    open_repairs = select(repairs.c.body).where(repairs.c.open)
    return State(
        incidents=_by_id(connection, open_incidents.order_by(incidents.c.opened_at, incidents.c.id)),
        repairs=_by_id(connection, open_repairs.order_by(repairs.c.opened_at, repairs.c.id)),
        attempts=_by_id(connection, select(attempts.c.body).order_by(attempts.c.began_at, attempts.c.id)),
        pauses=_by_id(connection, select(pauses.c.body).order_by(pauses.c.id)),
        alarms=_filing.unsettled(connection),
        taken_back=_filing.taken_back(connection),
    )


def _by_id(connection: Connection, bodies: Select[Any]) -> dict[str, Any]:
    return {body.id: body for body in connection.scalars(bodies)}


def read_journal(connection: Connection, after: int, incident: str | None, limit: int) -> tuple[Entry, ...]:
    wanted = select(journal).where(journal.c.seq > after).order_by(journal.c.seq).limit(limit)
    if incident is not None:
        repairs_of_it = select(members.c.repair).where(members.c.incident == incident)
        # A repair's own entries name no incident; those of another that it serves are another story.
        own = and_(journal.c.incident.is_(None), journal.c.repair.in_(repairs_of_it))
        wanted = wanted.where(or_(journal.c.incident == incident, own))
    return tuple(
        Entry(row.seq, row.at, row.kind, row.incident, row.repair, row.body)
        for row in connection.execute(wanted)
    )


def read_incidents(connection: Connection, limit: int, *, open_only: bool) -> tuple[Incident, ...]:
    newest = select(incidents.c.body).order_by(incidents.c.opened_at.desc(), incidents.c.id.desc())
    if open_only:
        newest = newest.where(incidents.c.closed_at.is_(None))
    return tuple(connection.scalars(newest.limit(limit)))


def find_incidents(connection: Connection, prefix: str, limit: int) -> tuple[Incident, ...]:
    begins = func.upper(incidents.c.id).startswith(prefix.upper(), autoescape=True)
    return tuple(
        connection.scalars(select(incidents.c.body).where(begins).order_by(incidents.c.id).limit(limit))
    )


def prune(connection: Connection, known: Known, before: datetime) -> int:
    """Incidents and repairs that ended before, and all that was told of nothing that is kept."""
    kept = select(incidents.c.id)
    serving = select(members.c.repair).where(members.c.incident.in_(kept))
    for outdated in (
        delete(incidents).where(incidents.c.closed_at < before),
        delete(repairs).where(repairs.c.closed_at < before, repairs.c.id.not_in(serving)),
        delete(attempts).where(
            func.coalesce(attempts.c.ended_at, attempts.c.began_at) < before,
            attempts.c.incident.not_in(kept),
        ),
        delete(pauses).where(pauses.c.until < before),
        delete(observation_runs).where(observation_runs.c.last_at < before),
    ):
        connection.execute(outdated)
    _filing.prune(connection, known, before)
    gone = connection.execute(
        delete(journal).where(
            journal.c.at < before,
            or_(journal.c.incident.is_(None), journal.c.incident.not_in(kept)),
            or_(journal.c.repair.is_(None), journal.c.repair.not_in(select(repairs.c.id))),
        )
    )
    return gone.rowcount
