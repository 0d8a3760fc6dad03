"""Keeps state and story in one SQLite file: the default, for one daemon on one machine with a local disk."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path

from pydantic import ConfigDict, PrivateAttr
from sqlalchemy import Connection, Engine, select, update

from healer.core.incident import Incident
from healer.core.state import State
from healer.plugins import Plugin
from healer.ports import EVERY, Entry, FiledAlarm, StaleWriterError, StoreError, Wanted, Write
from healer.stores import _file, _filing, _queries, _rows
from healer.stores._filing import Known
from healer.stores._schema import meta

_LATEST = select(meta.c.epoch)


@dataclass(frozen=True, slots=True)
class _Held:
    engine: Engine
    epoch: int
    identity: tuple[int, int]
    """Device and inode of the file that is open."""
    letting_go: ExitStack
    """Closes the file, then gives the lock back."""


class Sqlite(Plugin):
    model_config = ConfigDict(json_schema_extra={"examples": [{"directory": "/var/lib/healer"}]})

    directory: Path
    """The state directory, on a local disk. It holds `state.sqlite`, what SQLite keeps beside it, and `healer.lock`."""

    _held: _Held | None = PrivateAttr(default=None)
    _known: Known | None = PrivateAttr(default=None)

    @property
    def path(self) -> Path:
        return self.directory / "state.sqlite"

    def acquire(self) -> int:
        with _file.in_words(self.path), ExitStack() as undo:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            undo.callback(os.close, _file.lock(self.directory))
            _file.prepare(self.path)
            engine = _file.connect(self.path)
            undo.callback(engine.dispose)
            with engine.execution_options(begin="IMMEDIATE").begin() as connection:
                step = update(meta).values(epoch=meta.c.epoch + 1).returning(meta.c.epoch)
                epoch: int = connection.execute(step).scalar_one()
            self._held = _Held(engine, epoch, _identity(self.path), undo.pop_all())
        return epoch

    def check(self) -> None:
        """See that the file that is open is still the one in the directory: else SQLite writes where nobody reads.

        Raises StoreError where it was deleted or replaced.
        """
        held = self._open()
        try:
            identity = _identity(self.path)
        except OSError as error:
            raise StoreError(f"{self.path} was taken away ({error.strerror}): restart healer") from error
        if identity != held.identity:
            raise StoreError(f"{self.path} was replaced by another file: restart healer")

    def load(self) -> State:
        with self._reading() as connection:
            return _queries.load(connection)

    def commit(self, writes: Sequence[Write]) -> tuple[tuple[bool, ...], ...]:
        with self._writing() as (connection, known):
            return _rows.write(connection, known, writes)

    def journal(self, after: int = 0, incident: str | None = None, limit: int = 1000) -> tuple[Entry, ...]:
        with self._reading() as connection:
            return _queries.read_journal(connection, after, incident, limit)

    def incidents(self, *, open_only: bool = False, limit: int = 100) -> tuple[Incident, ...]:
        with self._reading() as connection:
            return _queries.read_incidents(connection, limit, open_only=open_only)

    def find_incidents(self, prefix: str) -> tuple[Incident, ...]:
        with self._reading() as connection:
            return _queries.find_incidents(connection, prefix, limit=10)

    def alarms(self, limit: int = 100, wanted: Wanted = EVERY) -> tuple[FiledAlarm, ...]:
        with self._reading() as connection:
            return tuple(islice(filter(wanted.fits, _filing.newest(connection, wanted.since)), limit))

    def prune(self, before: datetime) -> int:
        with self._writing() as (connection, known):
            return _queries.prune(connection, known, before)

    def close(self) -> None:
        """Twice is the same as once."""
        held, self._held, self._known = self._held, None, None
        if held is not None:
            held.letting_go.close()

    def _open(self) -> _Held:
        if self._held is None:
            raise StoreError(f"{self.path} is not open")
        return self._held

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with _file.in_words(self.path), self._open().engine.begin() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[tuple[Connection, Known]]:
        """A transaction that is committed only where this writer is still the latest, and the file still the one."""
        held = self._open()
        immediate = held.engine.execution_options(begin="IMMEDIATE")
        with _file.in_words(self.path), immediate.begin() as connection:
            latest = connection.scalar(_LATEST)
            if latest != held.epoch:
                raise StaleWriterError(
                    f"{self.path}: another healer has taken over (epoch {latest}; this one has {held.epoch})"
                )
            # What is in memory is only as good as the commit: one that fails leaves nothing to go by.
            known, self._known = self._known or _filing.known(connection), None
            yield connection, known
            self.check()
        self._known = known


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold a state directory without opening what is in it. Raises StoreError where a daemon holds it, with its pid."""
    with _file.in_words(directory):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = _file.lock(directory)
    try:
        yield
    finally:
        os.close(lock)


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino
