"""Alarms that were kept together are one row, and what became of them one for all that ended alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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
    last, filing = 0, 0
    while together := _next(alarms, last):
        last, filing = together[-1].seq, filing + 1
        row = {
            "seq": filing,
            "alarms": len(together),
            "last_sent_at": max(one.last_sent_at for one in together),
            "body": f"[{','.join(one.body for one in together)}]",
        }
        op.bulk_insert(filings, [row])
        places: dict[tuple[str, str, str | None], list[int]] = {}
        for place, one in enumerate(together):
            if one.outcome:
                places.setdefault((one.outcome, one.detail, one.incident), []).append(place)
        op.bulk_insert(
            settlements,
            [
                {"filing": filing, "alarms": len(within), "places": str(within)}
                | dict(zip(("outcome", "detail", "incident"), became, strict=True))
                for became, within in places.items()
            ],
        )


def _next(alarms: sa.TableClause, after: int) -> Sequence[sa.Row[Any]]:
    """So many at a time: a year of them need not lie in memory."""
    rows = sa.select(alarms).where(alarms.c.seq > after).order_by(alarms.c.seq).limit(_TOGETHER)
    return op.get_bind().execute(rows).all()
