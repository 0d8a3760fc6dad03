"""A daemon may be killed at any instant, and the disk may fill up: what was acknowledged is there, and no more."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from healer.stores.sqlite import Sqlite
from tests.stores.samples import ulid

ROOT = Path(__file__).parents[2]


@contextmanager
def committing(directory: Path, first: int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.stores.committing", str(directory), str(first)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def lines(process: subprocess.Popen[str]) -> Iterator[str]:
    assert process.stdout
    return iter(process.stdout.readline, "")


def kill_after(directory: Path, first: int, count: int) -> int:
    """The number of the last commit that was acknowledged by a process killed soon after `count` of them."""
    last = first - 1
    with committing(directory, first) as process:
        for line in lines(process):
            if line.strip() != "open":
                last = int(line)
            if last - first + 1 == count:
                process.kill()  # and go on reading: what it still said counts
    return last


def test_killed_at_any_moment_it_has_lost_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    """Nor has it kept half of a commit: incident, alarm and repair come together or not at all."""
    chance = random.Random(3)
    kept = 0
    for _ in range(4):
        acknowledged = kill_after(tmp_path, kept + 1, chance.randint(1, 120))
        store = Sqlite(directory=tmp_path)
        store.acquire()
        state = store.load()
        kept = len(state.incidents)
        # At most the one that was under way when it died may be there beyond what was acknowledged.
        assert acknowledged <= kept <= acknowledged + 1
        assert set(state.incidents) == {ulid(number) for number in range(1, kept + 1)}
        assert len(state.alarms) == kept
        assert set(state.repairs) == {ulid(kept)}
        assert len(store.journal(limit=10 * kept)) == 3 * kept
        store.close()


@pytest.mark.parametrize("sign", ["healer.lock", "state.sqlite-new", "state.sqlite"])
def test_killed_while_it_makes_its_state_file_it_can_be_started_again(tmp_path: Path, sign: str) -> None:
    with committing(tmp_path, 1) as process:
        # What is only there for a moment may be missed; then it is killed a moment later.
        while not any((tmp_path / name).exists() for name in (sign, "state.sqlite")):
            assert process.poll() is None, "it ended by itself"
            time.sleep(0.001)
    store = Sqlite(directory=tmp_path)
    assert store.acquire() >= 1
    assert len(store.load().incidents) <= 1
    store.close()
    assert not list(tmp_path.glob("*-new*"))


FILLED = """
import resource, sys
from pathlib import Path
from healer.ports import StoreError
from healer.stores.sqlite import Sqlite
from tests.stores.committing import one

directory, way = Path(sys.argv[1]), sys.argv[2]
store = Sqlite(directory=directory)
store.acquire()
store.commit([one(1)])

reserve = directory / "reserve"
if way == "space":
    with reserve.open("wb") as filling:
        try:
            while filling.write(bytes(65536)):
                filling.flush()
        except OSError:
            pass
else:
    size = (directory / "state.sqlite-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100_000, resource.RLIM_INFINITY))

kept = 1
for number in range(2, 10_000):
    try:
        store.commit([one(number)])
    except StoreError as error:
        print(error, flush=True)
        break
    kept = number
else:
    sys.exit("it never filled up")
assert len(store.load().incidents) == kept, "what can still be read must still be read"

if way == "space":
    reserve.unlink()
else:
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert store.commit([one(kept + 1)]) == ((True,),)
assert len(store.load().incidents) == kept + 1
store.close()
again = Sqlite(directory=directory)
again.acquire()
assert len(again.load().incidents) == kept + 1
assert len(again.load().alarms) == kept + 1
again.close()
print("all is well", flush=True)
"""

# In a mount namespace of its own, so that nothing is left behind.
IN_A_SMALL_DISK = 'mount -t tmpfs -o size=1m none "$0" && exec "$@"'


def small_disk(directory: Path) -> list[str] | None:
    """A command that runs another one with a disk of 1 MB mounted there; None where this machine does not allow it."""
    for unshare in (["unshare", "--mount"], ["unshare", "--mount", "--map-root-user"]):
        command = [*unshare, "sh", "-c", IN_A_SMALL_DISK, str(directory)]
        try:
            tried = subprocess.run([*command, "true"], capture_output=True, check=False)
        except FileNotFoundError:
            return None
        if tried.returncode == 0:
            return command
    return None


def fill(prefix: list[str], directory: Path, way: str) -> list[str]:
    command = [*prefix, sys.executable, "-c", FILLED, str(directory), way]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_commit_for_which_there_is_no_room_is_refused_and_the_next_works(tmp_path: Path) -> None:
    """What a quota or a limit on the size of files does, to any user."""
    refusal, end = fill([], tmp_path, "limit")
    assert refusal == f"{tmp_path}/state.sqlite: disk I/O error"
    assert end == "all is well"


def test_on_a_full_disk_a_commit_is_refused_and_the_next_works(tmp_path: Path) -> None:
    prefix = small_disk(tmp_path)
    if prefix is None:
        pytest.skip("a small disk cannot be mounted here (unshare --mount)")
    refusal, end = fill(prefix, tmp_path, "space")
    assert refusal == f"{tmp_path}/state.sqlite: database or disk is full"
    assert end == "all is well"
