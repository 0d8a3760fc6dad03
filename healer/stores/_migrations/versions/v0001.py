"""The first version: incidents, repairs, attempts, pauses, alarms, and the journal of what became of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    meta = op.create_table(
        "meta",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("epoch", sa.Integer, nullable=False),
    )
    op.bulk_insert(meta, [{"id": 1, "epoch": 0}])
    _create_what_is()
    _create_what_was()


def _create_what_is() -> None:
    op.create_table(
        "incidents",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("cloud", sa.String, nullable=False),
        sa.Column("project", sa.String, nullable=False),
        sa.Column("root", sa.String, nullable=False),
        sa.Column("path", sa.String, nullable=False),
        sa.Column("policy", sa.String, nullable=False),
        sa.Column("opened_at", _MOMENT, nullable=False, index=True),
        sa.Column("closed_at", _MOMENT, index=True),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_table(
        "repairs",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("cloud", sa.String, nullable=False),
        sa.Column("project", sa.String, nullable=False),
        sa.Column("root", sa.String, nullable=False),
        sa.Column("open", sa.Boolean, nullable=False),
        sa.Column("opened_at", _MOMENT, nullable=False),
        sa.Column("closed_at", _MOMENT, index=True),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_index(
        "one_open_repair_per_root",
        "repairs",
        ["cloud", "project", "root"],
        unique=True,
        sqlite_where=sa.column("open"),
        postgresql_where=sa.column("open"),
    )
    op.create_table(
        "members",
        sa.Column("repair", sa.String, sa.ForeignKey("repairs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("incident", sa.String, primary_key=True, index=True),
    )
    op.create_table(
        "attempts",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("incident", sa.String, nullable=False),
        sa.Column("began_at", _MOMENT, nullable=False),
        sa.Column("ended_at", _MOMENT),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_table(
        "pauses",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("until", _MOMENT),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_table(
        "alarms",
        sa.Column("seq", sa.Integer, primary_key=True),
        sa.Column("identity", sa.String, nullable=False, unique=True),
        sa.Column("source", sa.String, nullable=False),
        sa.Column("key", sa.String, nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("received_at", _MOMENT, nullable=False),
        sa.Column("last_sent_at", _MOMENT, nullable=False),
        sa.Column("outcome", sa.String),
        sa.Column("detail", sa.String, nullable=False, server_default=""),
        sa.Column("incident", sa.String),
        sa.Column("body", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    unsettled = sa.column("outcome").is_(None)
    op.create_index(
        "ix_alarms_unsettled", "alarms", ["seq"], sqlite_where=unsettled, postgresql_where=unsettled
    )


def _create_what_was() -> None:
    op.create_table(
        "journal",
        sa.Column("seq", sa.Integer, primary_key=True),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("incident", sa.String, index=True),
        sa.Column("repair", sa.String, index=True),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("schema", sa.Integer, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "policy_revisions",
        sa.Column("digest", sa.String, primary_key=True),
        sa.Column("policy", sa.String, primary_key=True),
        sa.Column("text", sa.Text, nullable=False),
    )
    op.create_table(
        "observation_runs",
        sa.Column("cloud", sa.String, primary_key=True),
        sa.Column("project", sa.String, primary_key=True),
        sa.Column("root", sa.String, primary_key=True),
        sa.Column("path", sa.String, primary_key=True),
        sa.Column("source", sa.String, primary_key=True),
        sa.Column("first_at", _MOMENT, primary_key=True),
        sa.Column("last_at", _MOMENT, nullable=False),
        sa.Column("health", sa.String, nullable=False),
        sa.Column("symptom", sa.String, nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
    )
