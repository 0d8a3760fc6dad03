from __future__ import annotations

import itertools
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from sqlalchemy import Connection, Engine, event

from healer.core.change import Attempt, AttemptChanged, Pause, PauseChanged
from healer.core.incident import Incident
from healer.core.model import NOTHING, Alarm, Health, Symptom, Target
from healer.core.repair import Repair
from healer.core.state import State
from healer.ports import ObservationRun, PolicyRevision, StaleWriterError, StoreError, Write
from healer.stores import _file, _migrations
from healer.stores.sqlite import Sqlite, locked
from tests.stores.samples import (
    SHOP,
    alarm,
    anything,
    at,
    closed,
    incident,
    repair,
    spelled,
    stepped,
    told,
    ulid,
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Sqlite]:
    store = Sqlite(directory=tmp_path)
    store.acquire()
    yield store
    store.close()


def refusal(directory: Path) -> str:
    with pytest.raises(StoreError) as caught:
        Sqlite(directory=directory).acquire()
    return str(caught.value)


def made(directory: Path) -> Path:
    """The state file of a daemon that ran and ended, with an incident in it."""
    store = Sqlite(directory=directory)
    store.acquire()
    store.commit([Write((told(incident(number)),)) for number in range(200)])
    store.close()
    return store.path


def rows(store: Sqlite, question: str) -> list[Any]:
    connection = sqlite3.connect(f"file:{store.path}?mode=ro", uri=True)
    try:
        return connection.execute(question).fetchall()
    finally:
        connection.close()


# --- how it is written


def test_every_commit_is_on_the_disk_when_it_returns(store: Sqlite) -> None:
    """With synchronous=NORMAL a power cut takes back acknowledged commits, and it is a setting of each connection."""
    seen: list[tuple[Any, ...]] = []

    def look(connection: Connection) -> None:
        pragmas = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        seen.append(tuple(connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in pragmas))

    event.listen(Engine, "commit", look)
    try:
        store.commit([Write(alarms=(alarm(1),))])
        store.prune(at(0))
    finally:
        event.remove(Engine, "commit", look)
    assert seen == [("wal", 2, 1, _file.PATIENCE_MS)] * 2


def test_many_writes_are_one_transaction(store: Sqlite) -> None:
    begun: list[str] = []

    def note(_connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        begun.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        store.commit([Write((told(incident(number)),), (alarm(number),)) for number in range(100)])
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert [statement for statement in begun if statement.startswith("BEGIN")] == ["BEGIN IMMEDIATE"]
    assert len(begun) < 10


def test_what_is_kept_is_for_its_owner_alone(tmp_path: Path) -> None:
    """It holds alarms with whatever their senders put into them."""
    before = os.umask(0)
    try:
        store = Sqlite(directory=tmp_path / "deep" / "state")
        store.acquire()
        store.commit([Write(alarms=(alarm(1),))])
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in store.directory.iterdir()}
        assert stat.S_IMODE(store.directory.stat().st_mode) == 0o700
        assert set(modes.values()) == {0o600}, modes
        store.close()
    finally:
        os.umask(before)


def test_a_place_where_the_log_cannot_be_kept_is_refused() -> None:
    engine = _file.connect(Path(":memory:"))
    with pytest.raises(ValueError, match="it cannot be kept safe there"):
        engine.connect()
    engine.dispose()


def test_runs_and_revisions_can_be_read_by_later_versions(store: Sqlite) -> None:
    run = ObservationRun(Target(SHOP, "db"), "probe:http", Health.HEALTHY, Symptom.OK, at(0), at(10), 3)
    grown = replace(run, last_at=at(20), count=7)
    next_one = replace(run, first_at=at(30), last_at=at(30), health=Health.UNHEALTHY, count=1)
    store.commit([Write(runs=(run,), revisions=(PolicyRevision("9f86", "tiers", "mode: auto\n"),))])
    store.commit([Write(runs=(grown, next_one), revisions=(PolicyRevision("9f86", "tiers", "changed"),))])
    assert rows(store, "SELECT path, source, health, count FROM observation_runs ORDER BY first_at") == [
        ("db", "probe:http", "healthy", 7),
        ("db", "probe:http", "unhealthy", 1),
    ]
    assert rows(store, "SELECT digest, policy, text FROM policy_revisions") == [
        ("9f86", "tiers", "mode: auto\n")
    ]
    assert rows(store, "SELECT DISTINCT schema FROM journal") == []
    store.prune(at(25))
    assert rows(store, "SELECT count FROM observation_runs") == [(1,)]


def test_with_a_repair_its_members_are_forgotten(store: Sqlite) -> None:
    ended = replace(repair(1), closed_at=at(9))
    store.commit([Write((told(closed(incident(1), 9), "closed", 9), stepped(ended, "ended", 9)))])
    assert rows(store, "SELECT * FROM members") == [(ulid(1), ulid(1))]
    store.prune(at(1000))
    assert rows(store, "SELECT * FROM members") == []


NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sqlite]:
    store = Sqlite(directory=tmp_path_factory.mktemp("any"))
    store.acquire()
    yield store
    store.close()


@given(one=anything(Incident), two=anything(Repair), three=anything(Attempt), four=anything(Pause))
def test_whatever_the_kernel_may_hold_is_given_back_to_the_next_one(
    kept: Sqlite, one: Incident, two: Repair, three: Attempt, four: Pause
) -> None:
    name = ulid(next(NUMBERS))
    one, two = replace(one, id=name, closed_at=None), replace(two, id=name, closed_at=None)
    two = replace(two, root=replace(two.root, id=name))
    three, four = replace(three, id=name), replace(four, id=name)
    changes = (told(one), stepped(two), AttemptChanged(at(0), three), PauseChanged(at(0), four))
    kept.commit([Write(changes)])
    state = kept.load()
    loaded = (state.incidents[name], state.repairs[name], state.attempts[name], state.pauses[name])
    assert [spelled(value) for value in loaded] == [spelled(value) for value in (one, two, three, four)]
    ended = (told(closed(one, 1)), stepped(replace(two, closed_at=at(1))))
    forget = (AttemptChanged(at(1), three, withdrawn=True), PauseChanged(at(1), four, lifted_by="anna"))
    kept.commit([Write((*ended, *forget))])
    left = kept.load()
    assert left == State()


@given(anything(Alarm))
def test_whatever_a_sender_may_send_is_given_back(kept: Sqlite, sent: Alarm) -> None:
    sent = replace(sent, key=ulid(next(NUMBERS)))
    kept.commit([Write(alarms=(sent,))])
    assert spelled(kept.load().alarms[sent.identity]) == spelled(sent)


# --- whose it is


def test_a_second_daemon_is_refused_and_told_which_process_has_the_state(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from healer.stores.sqlite import Sqlite;"
        "Sqlite(directory=Path(sys.argv[1])).acquire(); print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as first:
        assert first.stdin
        assert first.stdout
        assert first.stdout.readline() == "open\n"
        assert refusal(tmp_path) == (
            f"{tmp_path} is in use by another healer, process {first.pid}: stop that one, or give this one a state "
            "directory of its own"
        )
        first.stdin.close()
        first.wait()
    store = Sqlite(directory=tmp_path)
    assert store.acquire() == 2
    assert (tmp_path / "healer.lock").read_text() == f"{os.getpid()}\n"
    store.close()


def test_a_store_that_was_refused_holds_nothing_back(store: Sqlite, tmp_path: Path) -> None:
    refusal(tmp_path)
    store.commit([Write(alarms=(alarm(1),))])
    store.close()
    made(tmp_path)


def test_a_writer_that_was_overtaken_changes_nothing_any_more(store: Sqlite, tmp_path: Path) -> None:
    """The lock is a file, and a person may remove it: then the epoch is what keeps two daemons apart."""
    store.commit([Write((told(incident(1)),))])
    (tmp_path / "healer.lock").unlink()
    later = Sqlite(directory=tmp_path)
    assert later.acquire() == 2
    for attempted in (
        lambda: store.commit([Write((told(incident(2)),), (alarm(1),))]),
        lambda: store.prune(at(9999)),
    ):
        with pytest.raises(
            StaleWriterError, match=r"another healer has taken over \(epoch 2; this one has 1\)"
        ):
            attempted()
    assert later.load().incidents == {ulid(1): incident(1)}
    assert later.commit([Write(alarms=(alarm(1),))]) == ((True,),)
    later.close()


def test_a_state_directory_can_be_held_without_opening_what_is_in_it(tmp_path: Path) -> None:
    with locked(tmp_path / "state"):
        assert f"in use by another healer, process {os.getpid()}" in refusal(tmp_path / "state")
    made(tmp_path / "state")


def test_a_state_directory_that_a_daemon_holds_cannot_be_held_by_another(
    store: Sqlite, tmp_path: Path
) -> None:
    with pytest.raises(StoreError, match=f"process {os.getpid()}"), locked(tmp_path):
        pytest.fail("it is held twice")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="Not a directory"), locked(tmp_path / "file" / "state"):
        pytest.fail("it cannot be there")
    store.check()


# --- what it lies in


def test_a_state_file_that_was_deleted_is_missed(store: Sqlite) -> None:
    """SQLite would go on writing into a file that nobody can read any more."""
    store.check()
    store.path.unlink()
    with pytest.raises(StoreError, match=r"state.sqlite was taken away .*: restart healer"):
        store.check()
    with pytest.raises(StoreError, match="was taken away"):
        store.commit([Write(alarms=(alarm(1),))])
    assert not store.load().alarms


def test_a_state_file_that_was_replaced_is_noticed(store: Sqlite, tmp_path: Path) -> None:
    shutil.copy(store.path, tmp_path / "copy")
    (tmp_path / "copy").replace(store.path)
    with pytest.raises(StoreError, match="was replaced by another file: restart healer"):
        store.check()
    with pytest.raises(StoreError, match="was replaced"):
        store.commit([Write(alarms=(alarm(1),))])


def damage_header(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"not a database at all")


def damage_middle(path: Path) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2 // 4096 * 4096)
        file.write(os.urandom(4096))


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2 // 4096 * 4096)


def empty(path: Path) -> None:
    os.truncate(path, 0)


@pytest.mark.parametrize("damage", [damage_header, damage_middle, truncate, empty])
def test_a_damaged_state_file_is_refused_and_left_as_it_is(tmp_path: Path, damage: Any) -> None:
    path = made(tmp_path)
    damage(path)
    before = path.read_bytes()
    said = refusal(tmp_path)
    assert said.startswith(f"{path}: it is damaged (")
    assert said.endswith("was left as it is: restore it from a backup, or move it away to begin anew")
    assert path.read_bytes() == before


def test_whichever_page_is_damaged_it_is_found_at_the_start(tmp_path: Path) -> None:
    """A damaged page in the middle still answers simple questions: they would be answered wrongly."""
    path = made(tmp_path)
    whole = path.read_bytes()
    for page in range(12):
        path.write_bytes(whole[: page * 4096] + bytes(4096) + whole[(page + 1) * 4096 :])
        said = refusal(tmp_path)
        assert "it is damaged (" in said
        assert "\n" not in said
    path.write_bytes(whole)
    made(tmp_path)


def test_damage_that_shows_later_is_told_as_such(tmp_path: Path) -> None:
    path = made(tmp_path)
    store = Sqlite(directory=tmp_path)
    store.acquire()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE incidents SET body = '{\"id\": 7}' WHERE id = ?", (ulid(3),))
    connection.commit()
    connection.close()
    with pytest.raises(StoreError, match=rf"^{path}: what is kept there cannot be read: .* at "):
        store.load()
    store.close()


def test_a_state_file_of_a_later_healer_is_refused_in_words(tmp_path: Path) -> None:
    path = made(tmp_path)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = '9001'")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    assert refusal(tmp_path).startswith(
        f"{path}: it was written by a later healer (version 9001 of the state; this "
    )
    assert path.read_bytes() == before


def test_a_migration_that_fails_has_changed_nothing(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    engine = _file.connect(path)

    def fail_at_the_end() -> None:
        with engine.begin() as connection:
            _migrations.create(connection)
            assert connection.exec_driver_sql("SELECT epoch FROM meta").scalar() == 0
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_at_the_end()
    with engine.begin() as connection:
        assert not connection.exec_driver_sql("SELECT name FROM sqlite_master").all()
    engine.dispose()


def test_a_database_that_is_not_healers_is_refused(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "state.sqlite")
    connection.execute("CREATE TABLE songs (title)")
    connection.close()
    assert refusal(tmp_path) == f"{tmp_path}/state.sqlite: it holds no state of healer's"


def test_a_state_file_that_went_missing_is_not_made_anew_beside_its_log(tmp_path: Path) -> None:
    """The log of another file would be played into the new one."""
    (tmp_path / "state.sqlite-wal").write_bytes(b"what was committed last")
    assert "it is missing, and state.sqlite-wal beside it shows that there was one" in refusal(tmp_path)
    assert not (tmp_path / "state.sqlite").exists()


def test_what_was_left_of_an_interrupted_first_start_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / "state.sqlite-new").write_bytes(b"half")
    (tmp_path / "state.sqlite-new-wal").write_bytes(b"half")
    made(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["healer.lock", "state.sqlite"]


def test_a_directory_that_cannot_be_made_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "Not a directory" in refusal(tmp_path / "file" / "state")


def test_another_program_that_holds_the_state_file_is_waited_for_then_named(store: Sqlite) -> None:
    """A commit that was refused has kept nothing, and the next one works."""
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="database is locked"):
        store.commit([Write(alarms=(alarm(1),))])
    assert not store.load().alarms
    other.execute("ROLLBACK")
    other.close()
    assert store.commit([Write(alarms=(alarm(1),))]) == ((True,),)


def test_what_cannot_be_written_as_text_is_refused_and_the_next_works(store: Sqlite) -> None:
    broken = replace(alarm(1), labels={"alertname": "half \ud800 a character"})
    with pytest.raises(StoreError, match="surrogates not allowed"):
        store.commit([Write(alarms=(broken, alarm(2)))])
    assert not store.load().alarms
    assert store.commit([Write(alarms=(alarm(2),))]) == ((True,),)


def test_an_alarm_of_which_hardly_anything_is_said_is_kept(store: Sqlite) -> None:
    bare = replace(alarm(1), labels=NOTHING, annotations=NOTHING)
    store.commit([Write(alarms=(bare,))])
    assert list(store.load().alarms.values()) == [bare]
