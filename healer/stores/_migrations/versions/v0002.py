"""Alarms that were kept together are one row, and what became of them one for all that ended alike."""

from __future__ import annotations

from itertools import groupby, islice

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_MOMENT = sa.DateTime(timezone=True)
_TOGETHER = 500


def upgrade() -> None:
    filings = op.create_table(
        "filings",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("alarms", sa.Integer, nullable=False),
        sa.Column("last_sent_at", _MOMENT, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    settlements = op.create_table(
        "settlements",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column(
            "filing",
            sa.Integer,
            sa.ForeignKey("filings.seq", ondelete="CASCADE"),
            nullable=False,
            index=True,
        ),
        sa.Column("alarms", sa.Integer, nullable=False),
        sa.Column("places", sa.Text, nullable=False),
        sa.Column("outcome", sa.String, nullable=False),
        sa.Column("detail", sa.String, nullable=False),
        sa.Column("incident", sa.String, index=True),
    )
    _move(filings, settlements)
    op.drop_table("alarms")


def _move(filings: sa.Table, settlements: sa.Table) -> None:
    alarms = sa.table(
        "alarms",
        sa.column("seq"),
        sa.column("last_sent_at", _MOMENT),
        sa.column("outcome"),
        sa.column("detail"),
        sa.column("incident"),
        sa.column("body"),
    )
    kept = iter(op.get_bind().execute(sa.select(alarms).order_by(alarms.c.seq)).all())
    seq = 0
    while together := list(islice(kept, _TOGETHER)):
        seq += 1
        op.bulk_insert(
            filings,
            [
                {
                    "seq": seq,
                    "alarms": len(together),
                    "last_sent_at": max(row.last_sent_at for row in together),
                    "body": f"[{','.join(row.body for row in together)}]",
                }
            ],
        )
        settled = [
            ((row.outcome, row.detail, row.incident or ""), place)
            for place, row in enumerate(together)
            if row.outcome
        ]
        for (outcome, detail, incident), alike in groupby(sorted(settled), key=lambda one: one[0]):
            places = [place for _, place in alike]
            row = {"outcome": outcome, "detail": detail, "incident": incident or None}
            op.bulk_insert(settlements, [row | {"filing": seq, "alarms": len(places), "places": str(places)}])
