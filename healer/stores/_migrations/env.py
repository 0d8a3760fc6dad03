"""What Alembic runs: the connection, and so the transaction, is the caller's."""

from __future__ import annotations

from alembic import context

from healer.stores._schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite changes a table by making it anew
)
context.run_migrations()
