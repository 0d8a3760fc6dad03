"""Alarms as they are kept: those of one commit together in few rows, and which of all are known, in memory.

A row of its own for each alarm, with an index over them, costs more than all the rest of taking an alarm in.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, or_, select, update

from healer.core.alarming import LATE, lately_taken_back
from healer.core.change import AlarmOutcome, AlarmsSettled
from healer.core.model import Alarm
from healer.ports import FiledAlarm, Write
from healer.stores._schema import filings, incidents, settlements

KEPT_EVERY = timedelta(days=1)
"""So often a row says that one of its alarms is still sent; what forgets them goes by weeks."""
TOGETHER = 500
"""Alarms in one row, at most: some 500 kB, which whoever lists the newest has to read."""

_FILE = insert(filings)
_SETTLE = insert(settlements)
_SENT_AGAIN = (
    update(filings).where(filings.c.seq == bindparam("which")).values(last_sent_at=bindparam("sent_at"))
)


@dataclass(slots=True)
class Known:
    """What the tables hold of alarms. Only good beside them: after a commit that failed it is to be read anew."""

    filed: dict[str, int] = field(default_factory=dict)
    """Identity → the row that holds it."""
    unsettled: dict[str, int] = field(default_factory=dict)
    """Identity → its place in that row."""
    last_sent: dict[int, datetime] = field(default_factory=dict)
    """Row → when one of its alarms was last sent."""
    kept_sent: dict[int, datetime] = field(default_factory=dict)
    """Row → what it says of that, which may be less than KEPT_EVERY behind."""
    last_seq: int = 0


def known(connection: Connection) -> Known:
    found = Known(last_seq=connection.scalar(select(func.max(filings.c.seq))) or 0)
    for seq, last_sent_at, alarms in connection.execute(
        select(filings.c.seq, filings.c.last_sent_at, filings.c.body)
    ):
        found.filed |= {alarm.identity: seq for alarm in alarms}
        found.kept_sent[seq] = last_sent_at
    for seq, place, alarm in _unsettled(connection):
        found.unsettled[alarm.identity] = place
        found.filed[alarm.identity] = seq  # of two rows that hold the same, the one in which it waits
    return found


def file(connection: Connection, known: Known, writes: Sequence[Write]) -> tuple[tuple[bool, ...], ...]:
    """Keep what is new of them, and say of each whether it was."""
    new: list[tuple[bool, ...]] = []
    fresh: list[Alarm] = []
    again: set[int] = set()
    seq = known.last_seq + 1
    for write in writes:
        flags: list[bool] = []
        for alarm in write.alarms:
            identity = alarm.identity
            row = known.filed.get(identity)
            flags.append(row is None)
            if row is None:
                known.filed[identity] = seq + len(fresh) // TOGETHER
                known.unsettled[identity] = len(fresh) % TOGETHER
                fresh.append(alarm)
            else:
                known.last_sent[row] = max(alarm.received_at, known.last_sent.get(row, alarm.received_at))
                again.add(row)
        new.append(tuple(flags))
    rows: list[dict[str, Any]] = [
        {"seq": seq + number, "alarms": len(alarms), "last_sent_at": _latest(alarms), "body": alarms}
        for number, alarms in enumerate(fresh[at : at + TOGETHER] for at in range(0, len(fresh), TOGETHER))
    ]
    if rows:
        connection.execute(_FILE, rows)
        known.last_seq += len(rows)
        known.kept_sent.update((row["seq"], row["last_sent_at"]) for row in rows)
    _keep_sent(connection, known, again, KEPT_EVERY)
    return tuple(new)


def _keep_sent(connection: Connection, known: Known, rows: Iterable[int], behind: timedelta) -> None:
    """Say of these rows when they were last sent, where they are so far behind."""
    late = [row for row in rows if known.last_sent[row] - known.kept_sent[row] >= behind]
    if late:
        connection.execute(_SENT_AGAIN, [{"which": row, "sent_at": known.last_sent[row]} for row in late])
        known.kept_sent |= {row: known.last_sent[row] for row in late}


def settle(connection: Connection, known: Known, changes: Iterable[AlarmsSettled]) -> None:
    """What became of them; the last word counts. One that is not kept is passed over."""
    rows: list[dict[str, Any]] = []
    for change in changes:
        places: dict[int, list[int]] = defaultdict(list)
        for identity in change.identities:
            if (place := known.unsettled.pop(identity, None)) is not None:
                places[known.filed[identity]].append(place)
            elif (seq := known.filed.get(identity)) is not None:
                rows.append(_settlement(seq, [_place(connection, seq, identity)], change, alarms=0))
        rows += [_settlement(seq, within, change, len(within)) for seq, within in places.items()]
    if rows:
        connection.execute(_SETTLE, rows)


def _settlement(seq: int, places: list[int], change: AlarmsSettled, alarms: int) -> dict[str, Any]:
    """`alarms`: how many of them were not settled until now."""
    return {
        "filing": seq,
        "alarms": alarms,
        "places": places,
        "outcome": change.outcome.value,
        "detail": change.detail,
        "incident": change.incident,
    }


def _place(connection: Connection, seq: int, identity: str) -> int:
    alarms = connection.scalar(select(filings.c.body).where(filings.c.seq == seq))
    return [alarm.identity for alarm in alarms or ()].index(identity)


def taken_back(connection: Connection) -> dict[str, Alarm]:
    """By voice: who said, in the last minutes of what is kept, that it is over."""
    latest = connection.scalar(select(func.max(filings.c.last_sent_at)))
    if latest is None:
        return {}
    rows = select(filings.c.body).where(filings.c.last_sent_at > latest - LATE).order_by(filings.c.seq)
    return lately_taken_back(chain.from_iterable(connection.scalars(rows)), latest)


def unsettled(connection: Connection) -> dict[str, Alarm]:
    """By identity, in the order in which they came."""
    return {alarm.identity: alarm for _, _, alarm in _unsettled(connection)}


def newest(connection: Connection, since: datetime | None = None) -> Iterator[FiledAlarm]:
    """All of them, or at least those received since; newest first; read as far as they are asked for."""
    rows = select(filings).order_by(filings.c.seq.desc())
    for row in connection.execute(rows if since is None else rows.where(filings.c.last_sent_at >= since)):
        became = select(settlements).where(settlements.c.filing == row.seq).order_by(settlements.c.id)
        words = {place: one for one in connection.execute(became) for place in one.places}
        for place, alarm in reversed(list(enumerate(row.body))):
            one = words.get(place)
            yield (
                FiledAlarm(alarm, AlarmOutcome(one.outcome), one.detail, one.incident)
                if one
                else FiledAlarm(alarm, None)
            )


def prune(connection: Connection, known: Known, before: datetime) -> None:
    """Rows of which nothing was sent since, is unsettled, or belongs to an incident that is kept."""
    # What is still sent must not be forgotten, or it would heal twice.
    _keep_sent(connection, known, known.last_sent, timedelta(microseconds=1))
    known.last_sent.clear()
    of_kept = select(settlements.c.filing).where(settlements.c.incident.in_(select(incidents.c.id)))
    outdated = delete(filings).where(
        filings.c.last_sent_at < before,
        filings.c.seq.not_in(of_kept),
        filings.c.seq.not_in(select(_open.c.seq)),
    )
    gone = set(connection.scalars(outdated.returning(filings.c.seq)))
    if gone:
        known.filed = {identity: seq for identity, seq in known.filed.items() if seq not in gone}
        known.kept_sent = {seq: at for seq, at in known.kept_sent.items() if seq not in gone}


_settled_of = (
    select(settlements.c.filing, func.sum(settlements.c.alarms).label("settled"))
    .group_by(settlements.c.filing)
    .subquery()
)
_open = (
    select(filings.c.seq)
    .outerjoin(_settled_of, _settled_of.c.filing == filings.c.seq)
    .where(or_(_settled_of.c.settled.is_(None), _settled_of.c.settled < filings.c.alarms))
    .subquery()
)
"""Rows of which not every alarm is settled."""


def _unsettled(connection: Connection) -> Iterator[tuple[int, int, Alarm]]:
    """Row, place in it, and alarm, oldest first."""
    settled: dict[int, set[int]] = defaultdict(set)
    some = select(settlements.c.filing, settlements.c.places)
    for seq, places in connection.execute(some.where(settlements.c.filing.in_(select(_open.c.seq)))):
        settled[seq].update(places)
    rows = select(filings.c.seq, filings.c.body).where(filings.c.seq.in_(select(_open.c.seq)))
    for seq, alarms in connection.execute(rows.order_by(filings.c.seq)):
        for place, alarm in enumerate(alarms):
            if place not in settled[seq]:
                yield seq, place, alarm


def _latest(alarms: Sequence[Alarm]) -> datetime:
    return max(alarm.received_at for alarm in alarms)
