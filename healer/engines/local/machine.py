"""Real things of this machine, processes and files: how they come to be, are found again, changed and ended.

Only the standard library, and nothing of healer: a plug-in of a real Heat loads this very file by its path,
so that what a process or a file is cannot differ between the embedded engine and the Heat that judges it.
All functions return at once but `stop_process`, which waits.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import random
import re
import shlex
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ADDRESS = "127.0.0.1"
"""Where every process is to listen."""

KILL_WAIT_S = 10.0
"""Seconds that SIGKILL is given; only a process stuck inside the kernel needs longer."""

# What a process may know of its starter. The rest, a cloud's password or NOTIFY_SOCKET, stays behind.
_INHERITED = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TZ", "TMPDIR")


class GoneError(Exception):
    """What was to be changed in place is no longer there."""


@dataclass(frozen=True, slots=True)
class ProcessState:
    """A process as it was started; whether it still lives is another question."""

    physical_id: str
    """`boot id:pid:start time`, the start time in clock ticks since boot: never used twice."""
    pid: int
    port: int
    address: str
    wires_path: str


@dataclass(frozen=True, slots=True)
class _Stat:
    pid: int
    state: str
    parent: int
    session: int
    started: int


def start_process(
    command: Sequence[str] | str, wires: Mapping[str, Any], directory: str, token: str
) -> ProcessState:
    """Start `command` in a session of its own, with a free port; it outlives whoever started it.

    A string is split as a shell would, but no shell runs; relative paths count from where the starter runs.
    The process is told PORT and ADDRESS (where to listen), WIRES (a JSON file, there before it starts) and
    HEALER_TOKEN (by which `find_by_token` finds it). What it prints goes to `<token>.log` beside its wires.
    Returning means that it was started, not that it answers. Raises OSError where it cannot be started, and
    ValueError where the command is empty or the token is not fit for a file name.
    """
    arguments = shlex.split(command) if isinstance(command, str) else [str(word) for word in command]
    if not arguments:
        raise ValueError("the command is empty")
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", token):
        raise ValueError(f"not a token that can name a file: {token!r}")
    place = Path(directory).absolute()
    wires_path = place / f"{token}.wires.json"
    write_file(wires_path, json.dumps(dict(wires), sort_keys=True))
    port = free_port()
    environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    environment |= {"PORT": str(port), "ADDRESS": ADDRESS, "WIRES": str(wires_path), "HEALER_TOKEN": token}
    log = str(place / f"{token}.log")
    pid = os.posix_spawnp(
        arguments[0],
        arguments,
        environment,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        # As if started from a fresh shell: neither what the starter ignores nor what it blocks is passed on.
        setsigmask=(),
        setsigdef=signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP},
    )
    stat = _stat(pid)
    if stat is None:  # only where the starter ignores SIGCHLD, and the process ended at once
        raise ChildProcessError(f"{arguments[0]} ended as soon as it was started")
    return ProcessState(_physical_id(stat), pid, port, ADDRESS, os.fspath(wires_path))


def find_by_token(token: str) -> ProcessState | None:
    """The living process that was started with this token, if there is one.

    An intent that was recorded, and whose outcome was not, looks here first: what is found is adopted, and
    nothing is started twice.
    """
    for stat in _processes():
        environment = _environment(stat.pid)
        # What it forks has the same environment, but leads no session.
        if environment.get("HEALER_TOKEN") == token and stat.session == stat.pid:
            told = environment["PORT"], environment["ADDRESS"], environment["WIRES"]
            return ProcessState(_physical_id(stat), stat.pid, int(told[0]), told[1], told[2])
    return None


def process_alive(physical_id: str) -> bool:
    """Whether this very process runs; one that hangs, or is stopped by a signal, does."""
    pid, started = _identity(physical_id)
    stat = _stat(pid)
    if stat is None or stat.started != started:
        return False
    if stat.state not in "ZX":
        return True
    if stat.parent == os.getpid():
        with contextlib.suppress(ChildProcessError):  # another thread has reaped it
            os.waitpid(pid, os.WNOHANG)
    return False


def rewire(physical_id: str, wires_path: str, wires: Mapping[str, Any]) -> None:
    """Give a living process new wires: the file is replaced in one go, then it gets SIGHUP.

    A process that does not catch SIGHUP gets none, for it would die of it: either it never reads its wires
    again, or it is so young that it has yet to read them. Raises GoneError where the process is dead.
    """
    if not process_alive(physical_id):
        raise GoneError(f"process {physical_id} is gone")
    write_file(wires_path, json.dumps(dict(wires), sort_keys=True))
    pid, _ = _identity(physical_id)
    if _catches(pid, signal.SIGHUP):
        _signal(pid, signal.SIGHUP)


def ask_to_stop(physical_id: str) -> None:
    """SIGTERM to the process and what it has started; `stopped` tells when they are gone, as they may be."""
    _signal_all(physical_id, signal.SIGTERM)
    # One that is stopped wakes with the SIGTERM already pending, so that it serves nobody in between.
    _signal_all(physical_id, signal.SIGCONT)


def kill_process(physical_id: str) -> None:
    """SIGKILL to the process and what it has started; `stopped` tells when they are gone, as they may be."""
    _signal_all(physical_id, signal.SIGKILL)


def stopped(physical_id: str) -> bool:
    """Whether the process is gone, and all that it has started in its session."""
    return not process_alive(physical_id) and not _offspring(physical_id)


def stop_process(physical_id: str, patience_s: float) -> None:
    """Ask the process to stop, kill it after `patience_s` seconds, and return when it is gone, as it may be.

    Raises TimeoutError where even SIGKILL has not ended it within KILL_WAIT_S.
    """
    ask_to_stop(physical_id)
    asked = time.monotonic()
    while not stopped(physical_id):
        waited = time.monotonic() - asked
        if waited > patience_s + KILL_WAIT_S:
            raise TimeoutError(f"process {physical_id} did not end within {KILL_WAIT_S:.0f} s of SIGKILL")
        if waited >= patience_s:
            kill_process(physical_id)
        time.sleep(0.01)


def free_port() -> int:
    """A TCP port that nobody has now, below those that the kernel hands out by itself.

    Between this look and the bind that it is for, neither an outgoing connection nor a server that asks for
    port 0 can take it; another caller of this would have to draw the same number among thousands.
    """
    low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    first, end = (15000, low) if low > 16000 else (15000, 65536)
    for _ in range(end - first):
        port = random.SystemRandom().randrange(first, end)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((ADDRESS, port))
            return port
    raise OSError(f"no free port on {ADDRESS}")


def write_file(path: str | os.PathLike[str], content: str) -> None:
    """Create or replace a file in one go: a reader sees the old content or the new, never a part."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    new = target.with_name(f".{target.name}.{random.SystemRandom().getrandbits(64):016x}")
    try:
        with new.open("wb") as file:
            file.write(content.encode())
            file.flush()
            os.fsync(file.fileno())
        new.replace(target)
    finally:
        new.unlink(missing_ok=True)


def rewrite_file(path: str | os.PathLike[str], content: str) -> None:
    """Replace what a file holds, in one go. Raises GoneError where there is no such file."""
    if read_file(path) is None:
        raise GoneError(f"file {os.fspath(path)} is gone")
    write_file(path, content)


def read_file(path: str | os.PathLike[str]) -> str | None:
    """What the file holds; None where there is none. Any other failure is an OSError, not an absence."""
    try:
        return Path(path).read_bytes().decode(errors="replace")
    except FileNotFoundError:
        return None


def remove_file(path: str | os.PathLike[str]) -> None:
    """Remove the file; it may be gone already."""
    Path(path).unlink(missing_ok=True)


@functools.cache
def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _physical_id(stat: _Stat) -> str:
    return f"{_boot_id()}:{stat.pid}:{stat.started}"


def _identity(physical_id: str) -> tuple[int, int]:
    """Pid and start time; (0, 0), which nothing has, for a process of an earlier boot."""
    boot_id, pid, started = physical_id.split(":")
    return (int(pid), int(started)) if boot_id == _boot_id() else (0, 0)


def _proc(pid: int, name: str) -> str | None:
    """What the kernel says of a process; None where it has ended, or is not ours to look at."""
    try:
        return os.fsdecode(Path(f"/proc/{pid}/{name}").read_bytes())
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None


def _stat(pid: int) -> _Stat | None:
    text = _proc(pid, "stat")
    if text is None:
        return None
    fields = text.rpartition(")")[2].split()  # the name before it may hold blanks and brackets
    return _Stat(pid, fields[0], int(fields[1]), int(fields[3]), int(fields[19]))


def _processes() -> Iterator[_Stat]:
    """Every process that runs now; a zombie does not."""
    for entry in Path("/proc").iterdir():
        stat = _stat(int(entry.name)) if entry.name.isdigit() else None
        if stat is not None and stat.state not in "ZX":
            yield stat


def _environment(pid: int) -> dict[str, str]:
    return dict(item.split("=", 1) for item in (_proc(pid, "environ") or "").split("\0") if "=" in item)


def _catches(pid: int, number: signal.Signals) -> bool:
    caught = re.search(r"^SigCgt:\s*([0-9a-f]+)$", _proc(pid, "status") or "", re.MULTILINE)
    return caught is not None and bool(int(caught[1], 16) >> (number - 1) & 1)


def _offspring(physical_id: str) -> list[int]:
    """Pids of what the process has started in its session, itself left out, and is still there."""
    leader, started = _identity(physical_id)
    at_its_number = _stat(leader)
    if not leader or (at_its_number is not None and at_its_number.started != started):
        return []  # a session keeps its leader's number from being used again: nothing of it is left
    session = [stat.pid for stat in _processes() if stat.session == leader and stat.started >= started]
    return [pid for pid in session if pid != leader and "HEALER_TOKEN" in _environment(pid)]


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # gone meanwhile: that was wanted, or it will show
        os.kill(pid, number)


def _signal_all(physical_id: str, number: signal.Signals) -> None:
    if process_alive(physical_id):
        _signal(_identity(physical_id)[0], number)
    for pid in _offspring(physical_id):
        _signal(pid, number)
