"""The tables: what is, and what was. The same for every database that SQLAlchemy speaks to.

A change here is a new file in `_migrations/versions`; so is a change of a kept value that its defaults do not cover,
for the bodies are the core's own values as JSON: a field that is new has its default, one that went is passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from pydantic import TypeAdapter
from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)
from sqlalchemy.types import TypeDecorator

from healer.core.change import Attempt, Pause
from healer.core.incident import Incident
from healer.core.model import Alarm
from healer.core.repair import Repair


class Moment(TypeDecorator[datetime]):
    """An aware time; comes back in UTC, also from a database that knows no zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        return value and value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        return value and (value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC))


class Body(TypeDecorator[Any]):
    """A value of the core as JSON text, by its own annotations. Raises ValueError for text that is no such value."""

    impl = Text
    cache_ok = True

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.kind = kind
        self._adapter: TypeAdapter[Any] = TypeAdapter(kind)

    def process_bind_param(self, value: Any, _dialect: Dialect) -> str:
        # The core's empty mapping is a class of its own; that it is one, pydantic would warn of.
        return self._adapter.dump_json(value, fallback=dict, warnings=False).decode()

    def process_result_value(self, value: str | None, _dialect: Dialect) -> Any:
        return self._adapter.validate_json(value or "")


class Plain(TypeDecorator[Any]):
    """Like `Body`, and far cheaper: for what is kept by the thousand and holds nothing but plain values."""

    impl = Text
    cache_ok = True

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.kind = kind
        self._encode = msgspec.json.Encoder(enc_hook=_plain).encode
        self._decode = msgspec.json.Decoder(kind).decode

    def process_bind_param(self, value: Any, _dialect: Dialect) -> str:
        return self._encode(value).decode()

    def process_result_value(self, value: str | None, _dialect: Dialect) -> Any:
        return None if value is None else self._decode(value)


def _plain(value: object) -> dict[Any, Any]:
    """The core's empty mapping is a class of its own."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no plain value")


NAMES = {"ix": "ix_%(table_name)s_%(column_0_N_name)s", "fk": "fk_%(table_name)s_%(referred_table_name)s"}
"""How what has no name of its own is called: the same in every database, so that a migration can find it."""

metadata = MetaData(naming_convention=NAMES)

meta = Table(
    "meta",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("epoch", Integer, nullable=False),
)
"""One row. Whoever takes the writer's place counts the epoch on, so that whoever had it is known to be late."""

incidents = Table(
    "incidents",
    metadata,
    Column("id", String, primary_key=True),
    Column("state", String, nullable=False),
    Column("cloud", String, nullable=False),
    Column("project", String, nullable=False),
    Column("root", String, nullable=False),
    Column("path", String, nullable=False),
    Column("policy", String, nullable=False),
    Column("opened_at", Moment, nullable=False, index=True),
    Column("closed_at", Moment, index=True),
    Column("body", Body(Incident), nullable=False),
)

repairs = Table(
    "repairs",
    metadata,
    Column("id", String, primary_key=True),
    Column("cloud", String, nullable=False),
    Column("project", String, nullable=False),
    Column("root", String, nullable=False),
    Column("open", Boolean, nullable=False),
    Column("opened_at", Moment, nullable=False),
    Column("closed_at", Moment, index=True),
    Column("body", Body(Repair), nullable=False),
)
Index(
    "one_open_repair_per_root",
    repairs.c.cloud,
    repairs.c.project,
    repairs.c.root,
    unique=True,
    sqlite_where=repairs.c.open,
    postgresql_where=repairs.c.open,
)

members = Table(
    "members",
    metadata,
    Column("repair", String, ForeignKey("repairs.id", ondelete="CASCADE"), primary_key=True),
    Column("incident", String, primary_key=True, index=True),
)
"""Which incidents a repair serves."""

attempts = Table(
    "attempts",
    metadata,
    Column("id", String, primary_key=True),
    Column("incident", String, nullable=False),
    Column("began_at", Moment, nullable=False),
    Column("ended_at", Moment),
    Column("body", Body(Attempt), nullable=False),
)

pauses = Table(
    "pauses",
    metadata,
    Column("id", String, primary_key=True),
    Column("until", Moment),
    Column("body", Body(Pause), nullable=False),
)

filings = Table(
    "filings",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("alarms", Integer, nullable=False),
    Column("last_sent_at", Moment, nullable=False),
    Column("body", Plain(tuple[Alarm, ...]), nullable=False),
)
"""Alarms that were kept together. `last_sent_at`: of the latest of them, or of its last repetition."""

settlements = Table(
    "settlements",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("filing", Integer, ForeignKey("filings.seq", ondelete="CASCADE"), nullable=False, index=True),
    Column("alarms", Integer, nullable=False),
    Column("places", Plain(list[int]), nullable=False),
    Column("outcome", String, nullable=False),
    Column("detail", String, nullable=False),
    Column("incident", String, index=True),
)
"""What became of alarms of one filing, alike for all of them. `places`: which, counted from 0."""

journal = Table(
    "journal",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("at", Moment, nullable=False),
    Column("incident", String, index=True),
    Column("repair", String, index=True),
    Column("kind", String, nullable=False),
    Column("body", Body(dict[str, Any]), nullable=False),
    Column("schema", Integer, nullable=False),
    # A number is never given twice, whatever was pruned: readers ask for what came after one.
    sqlite_autoincrement=True,
)

policy_revisions = Table(
    "policy_revisions",
    metadata,
    Column("digest", String, primary_key=True),
    Column("policy", String, primary_key=True),
    Column("text", Text, nullable=False),
)

observation_runs = Table(
    "observation_runs",
    metadata,
    Column("cloud", String, primary_key=True),
    Column("project", String, primary_key=True),
    Column("root", String, primary_key=True),
    Column("path", String, primary_key=True),
    Column("source", String, primary_key=True),
    Column("first_at", Moment, primary_key=True),
    Column("last_at", Moment, nullable=False),
    Column("health", String, nullable=False),
    Column("symptom", String, nullable=False),
    Column("count", Integer, nullable=False),
)
"""Looks of one source at one target that all said the same: one row, which grows."""
