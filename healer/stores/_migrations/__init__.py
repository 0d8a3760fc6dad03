"""Brings the state from any earlier version up to this one, in one transaction."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection


def newest() -> str:
    """The version that this code writes."""
    (head,) = ScriptDirectory.from_config(_config()).get_heads()
    return head


def create(connection: Connection) -> None:
    """From nothing at all to every table, in the connection's transaction."""
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def upgrade(connection: Connection) -> None:
    """What is missing, in the connection's transaction.

    Raises ValueError where there is nothing of healer's, or what a later healer has written.
    """
    version = MigrationContext.configure(connection).get_current_revision()
    if version is None:
        raise ValueError("it holds no state of healer's")
    if version != newest():
        _refuse_unknown(version)
        create(connection)


def _refuse_unknown(version: str) -> None:
    try:
        ScriptDirectory.from_config(_config()).get_revision(version)
    except CommandError as error:
        raise ValueError(
            f"it was written by a later healer (version {version} of the state; this one knows up to {newest()}): "
            "install that one again, or give this one a state directory of its own"
        ) from error


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "healer.stores:_migrations")
    return config
