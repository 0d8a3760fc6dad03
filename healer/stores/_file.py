"""The state file as a file: whose it is, that it is whole and of this version, and how it is opened."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError
from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import SQLAlchemyError, StatementError
from sqlalchemy.pool import QueuePool

from healer.ports import StoreError
from healer.stores import _migrations

PATIENCE_MS = 2000
"""How long a transaction waits for another program that has the state file open (a person's `sqlite3`, a backup)."""

_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


@contextmanager
def in_words(path: Path) -> Iterator[None]:
    """Turn whatever goes wrong with the file into a StoreError that names it."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error, OSError, ValueError) as error:
        raise StoreError(f"{path}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    cause = error.orig if isinstance(error, StatementError) and error.orig is not None else error
    if isinstance(cause, sqlite3.Error) and getattr(cause, "sqlite_errorcode", 0) & 0xFF in _DAMAGED:
        return damaged(str(cause))
    if isinstance(cause, ValidationError):
        first = cause.errors()[0]
        return f"what is kept there cannot be read: {first['msg']} at {'.'.join(map(str, first['loc']))}"
    return str(cause)


def damaged(how: str) -> str:
    return f"it is damaged ({how}) and was left as it is: restore it from a backup, or move it away to begin anew"


def lock(directory: Path) -> int:
    """Take the directory for this process, as long as the descriptor is open.

    Raises StoreError that names the process which has it.
    """
    path = directory / "healer.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
    except BlockingIOError:
        holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise StoreError(
            f"{directory} is in use by another healer, process {holder}: stop that one, or give this one a state "
            "directory of its own"
        ) from None
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def prepare(path: Path) -> None:
    """See that the file is whole and of this version; where there is none, make it.

    Raises ValueError where it is damaged, is not healer's, or is of a later version; it is then left as it is.
    """
    if not path.exists():
        _make(path)
    elif not path.stat().st_size:
        raise ValueError(damaged("it is empty"))
    else:
        with _preparing(path) as engine:
            with engine.begin() as connection:
                found = connection.exec_driver_sql("PRAGMA quick_check(3)").scalars().all()
            if found != ["ok"]:
                lines = (line for row in found for line in row.splitlines() if not line.startswith("***"))
                raise ValueError(damaged("; ".join(lines)))
            with engine.begin() as connection:
                _migrations.upgrade(connection)


def _make(path: Path) -> None:
    """Under another name first: what has the right name is whole, so that an empty file is known for a damaged one."""
    log = path.with_name(f"{path.name}-wal")
    if log.exists():
        raise ValueError(
            f"it is missing, and {log.name} beside it shows that there was one: put it back,"
            f" or move {log.name} away to begin anew"
        )
    new = path.with_name(f"{path.name}-new")
    for leftover in path.parent.glob(f"{new.name}*"):
        leftover.unlink()
    os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    with _preparing(new) as engine, engine.begin() as connection:
        _migrations.create(connection)
    new.rename(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


@contextmanager
def _preparing(path: Path) -> Iterator[Engine]:
    # SQLite changes a table by making it anew and dropping the old one, which must not cascade.
    engine = connect(path, foreign_keys=False)
    try:
        yield engine.execution_options(begin="IMMEDIATE")
    finally:
        engine.dispose()


def connect(path: Path, *, foreign_keys: bool = True) -> Engine:
    """One connection, every commit of which is on the disk when it returns.

    With the execution option `begin` a transaction begins in that mode: IMMEDIATE takes the write lock at once.
    """
    engine = create_engine(
        URL.create("sqlite", database=str(path)), poolclass=QueuePool, pool_size=1, max_overflow=0
    )

    @event.listens_for(engine, "connect")
    def _set_up(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # or Python begins transactions where it thinks fit
        connection.execute(f"PRAGMA busy_timeout={PATIENCE_MS}").close()
        (mode,) = connection.execute("PRAGMA journal_mode=wal").fetchone()
        if mode != "wal":
            raise ValueError(f"it cannot be kept safe there (SQLite's journal would be {mode!r}, not 'wal')")
        # With NORMAL, a power cut takes back what was acknowledged. It holds for one connection alone.
        connection.execute("PRAGMA synchronous=full").close()
        connection.execute(f"PRAGMA foreign_keys={foreign_keys:d}").close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(f"BEGIN {connection.get_execution_options().get('begin', 'DEFERRED')}")

    return engine
