from __future__ import annotations

import re
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Dialect, create_engine
from sqlalchemy.dialects import registry
from sqlalchemy.schema import CreateIndex, CreateTable

from healer.core.change import Attempt, Pause
from healer.core.incident import Incident
from healer.core.model import Alarm
from healer.core.repair import Repair
from healer.stores import _file
from healer.stores._rows import upsert
from healer.stores._schema import (
    Body,
    Moment,
    attempts,
    incidents,
    metadata,
    observation_runs,
    pauses,
    policy_revisions,
    repairs,
)
from tests.stores.samples import MOMENTS, anything, spelled

BODIES = (Incident, Repair, Attempt, Pause, Alarm)
DIALECTS = tuple(registry.load(name)() for name in ("sqlite", "postgresql"))


@given(st.one_of([anything(kind) for kind in BODIES]))
def test_what_is_kept_comes_back_as_it_was(value: Any) -> None:
    """Every field, whatever it holds: also fields that are added later."""
    body = Body(type(value))
    again = body.process_result_value(body.process_bind_param(value, DIALECTS[0]), DIALECTS[0])
    assert again == value
    assert spelled(again) == spelled(value)


@given(MOMENTS)
def test_a_time_comes_back_in_utc_whether_or_not_the_database_knows_zones(moment: datetime) -> None:
    column = Moment()
    bound = column.process_bind_param(moment, DIALECTS[0])
    assert bound is not None
    for read in (bound, bound.replace(tzinfo=None), moment):
        again = column.process_result_value(read, DIALECTS[0])
        assert again == moment
        assert again.tzinfo is UTC


def test_a_time_without_a_zone_is_refused() -> None:
    naive = datetime(2026, 1, 1)  # noqa: DTZ001 - that is the point
    with pytest.raises(ValueError, match="has no time zone"):
        Moment().process_bind_param(naive, DIALECTS[0])
    assert Moment().process_bind_param(None, DIALECTS[0]) is None
    assert Moment().process_result_value(None, DIALECTS[0]) is None


def test_a_field_of_a_later_version_has_its_default_and_one_of_an_earlier_is_passed_over() -> None:
    body = Body(Pause)
    text = '{"id": "1", "scope": "all", "who": "a", "why": "b", "at": "2026-01-01T00:00:00Z", "gone": 1}'
    assert body.process_result_value(text, DIALECTS[0]) == Pause(
        "1", "all", "a", "b", datetime(2026, 1, 1, tzinfo=UTC)
    )


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_every_table_and_statement_can_be_said_in_each_database(dialect: Dialect) -> None:
    for table in metadata.sorted_tables:
        assert str(CreateTable(table).compile(dialect=dialect))
        for index in table.indexes:
            assert str(CreateIndex(index).compile(dialect=dialect))
    for table in (incidents, repairs, attempts, pauses, observation_runs):
        assert "DO UPDATE SET" in str(upsert(table, dialect.name).compile(dialect=dialect))
    kept = upsert(policy_revisions, dialect.name, overwrite=False)
    assert "DO NOTHING" in str(kept.compile(dialect=dialect))


def layout(path: Path) -> dict[str, list[str]]:
    """Every table and index as the database itself writes it down: the words, whatever their order and quotes."""
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    connection.close()
    return {
        name: sorted(re.findall(r"[\w']+", sql))
        for name, sql in rows
        if not name.startswith(("alembic", "sqlite_"))
    }


def test_the_migrations_lead_to_the_very_tables_that_the_code_speaks_of(tmp_path: Path) -> None:
    migrated, described = tmp_path / "migrated", tmp_path / "described"
    _file.prepare(migrated)
    engine = create_engine(f"sqlite:///{described}")
    metadata.create_all(engine)
    engine.dispose()
    engine = create_engine(f"sqlite:///{migrated}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert not compare_metadata(context, metadata)
    engine.dispose()
    assert layout(migrated) == layout(described)
