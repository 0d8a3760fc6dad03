"""Processes and files are real here: each test starts some, and ends what it started."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from healer.engines.local import machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

PYTHON = [sys.executable, "-I", "-S"]
SLEEPS = "import time; print('ready', flush=True); time.sleep(600)"
TELLS = """
import json, os, signal, time
def tell(*_):
    print(json.dumps([os.environ[name] for name in ("PORT", "ADDRESS", "WIRES", "HEALER_TOKEN")]
        + [json.load(open(os.environ["WIRES"])), sorted(os.environ), os.getcwd(), os.isatty(0)]), flush=True)
signal.signal(signal.SIGHUP, tell)
tell()
while True: time.sleep(600)
"""
DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
while True: time.sleep(600)
"""
PARENT = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-I", "-S", "-c", {DEAF!r}])
print("child", child.pid, flush=True)
time.sleep(600)
"""


def wait(condition: Callable[[], object], within_s: float = 10) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        select.select([], [], [], 0.005)


class Started:
    """Starts processes in a directory, and reads what they print."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.all: list[machine.ProcessState] = []

    def __call__(
        self, program: str, *, wires: Mapping[str, Any] | None = None, token: str | None = None
    ) -> machine.ProcessState:
        name = token or f"{self.directory.name}-{len(self.all)}"
        state = machine.start_process([*PYTHON, "-c", program], wires or {}, str(self.directory), name)
        self.all.append(state)
        return state

    def printed(self, state: machine.ProcessState, lines: int = 1) -> list[str]:
        log = Path(state.wires_path.replace(".wires.json", ".log"))
        wait(lambda: log.read_text().count("\n") >= lines)
        return log.read_text().splitlines()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Started]:
    started = Started(tmp_path)
    yield started
    for state in started.all:
        machine.stop_process(state.physical_id, patience_s=0)


def test_a_process_is_told_where_to_listen_and_what_it_needs_and_nothing_of_its_starter(
    start: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OS_PASSWORD", "secret")
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/nobody")
    state = start(TELLS, wires={"db": "127.0.0.1:1", "pool": 3}, token="token-1")
    port, address, path, token, wires, names, place, terminal = json.loads(start.printed(state)[0])
    assert (int(port), address, path, token) == (state.port, state.address, state.wires_path, "token-1")
    assert wires == {"db": "127.0.0.1:1", "pool": 3}
    assert not {"OS_PASSWORD", "NOTIFY_SOCKET"} & set(names)
    assert (place, terminal) == (str(Path.cwd()), False)
    assert os.getsid(state.pid) == state.pid


def test_a_command_may_be_one_string(start: Started, tmp_path: Path) -> None:
    state = machine.start_process("sh -c 'echo \"$PORT\"; exec sleep 600'", {}, str(tmp_path), "string")
    start.all.append(state)
    assert start.printed(state) == [str(state.port)]


@pytest.mark.parametrize(
    ("command", "token", "error"),
    [
        ([], "token", ValueError),
        ("", "token", ValueError),
        (["sleep", "1"], "../escape", ValueError),
        (["sleep", "1"], ".hidden", ValueError),
        (["sleep", "1"], "", ValueError),
        (["./no-such-program"], "token", FileNotFoundError),
        (["/"], "token", PermissionError),
    ],
)
def test_what_cannot_be_started_says_so_and_leaves_no_process(
    command: Sequence[str] | str, token: str, error: type[Exception], tmp_path: Path
) -> None:
    with pytest.raises(error):
        machine.start_process(command, {}, str(tmp_path), token)
    assert machine.find_by_token(token) is None


def test_two_processes_never_share_a_port_or_an_id(start: Started) -> None:
    states = [start(SLEEPS) for _ in range(8)]
    assert len({state.port for state in states}) == 8
    assert len({state.physical_id for state in states}) == 8


def test_a_process_outlives_its_starter_and_is_found_by_its_token(start: Started, tmp_path: Path) -> None:
    program = (
        "import sys; from healer.engines.local import machine;"
        f"machine.start_process({[*PYTHON, '-c', SLEEPS]}, {{}}, {str(tmp_path)!r}, 'orphan');"
        "sys.stdout.write('started')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "started"
    found = machine.find_by_token("orphan")
    assert found is not None
    start.all.append(found)
    assert machine.process_alive(found.physical_id)
    assert Path(found.wires_path) == tmp_path / "orphan.wires.json"
    machine.stop_process(found.physical_id, patience_s=5)
    assert machine.find_by_token("orphan") is None


def test_what_a_process_forks_is_not_taken_for_it(start: Started) -> None:
    state = start(PARENT, token="forks")
    start.printed(state, 2)
    assert machine.find_by_token("forks") == state


def test_a_killed_process_is_dead_at_once_and_leaves_no_zombie(start: Started) -> None:
    state = start(SLEEPS)
    assert machine.process_alive(state.physical_id)
    os.kill(state.pid, signal.SIGKILL)
    wait(lambda: not machine.process_alive(state.physical_id))
    assert not Path(f"/proc/{state.pid}").exists()


def test_another_process_with_the_same_number_is_another_process(start: Started) -> None:
    state = start(SLEEPS)
    boot, pid, started = state.physical_id.split(":")
    for other in (f"{boot}:{pid}:{int(started) - 1}", f"another-boot:{pid}:{started}"):
        assert not machine.process_alive(other)
        machine.stop_process(other, patience_s=0)
        with pytest.raises(machine.GoneError):
            machine.rewire(other, state.wires_path, {"db": "stray"})
    assert machine.process_alive(state.physical_id)
    assert json.loads(Path(state.wires_path).read_text()) == {}


def test_rewiring_replaces_the_file_then_tells_the_process(start: Started) -> None:
    state = start(TELLS, wires={"db": "old"})
    start.printed(state)
    machine.rewire(state.physical_id, state.wires_path, {"db": "new"})
    assert [json.loads(line)[4] for line in start.printed(state, 2)] == [{"db": "old"}, {"db": "new"}]
    assert machine.process_alive(state.physical_id)


def test_a_process_that_does_not_know_sighup_survives_a_rewiring(start: Started) -> None:
    state = start(SLEEPS)
    start.printed(state)
    machine.rewire(state.physical_id, state.wires_path, {"db": "new"})
    assert json.loads(Path(state.wires_path).read_text()) == {"db": "new"}
    assert machine.process_alive(state.physical_id)


def test_a_dead_process_cannot_be_rewired(start: Started) -> None:
    state = start(SLEEPS, wires={"db": "old"})
    machine.stop_process(state.physical_id, patience_s=5)
    with pytest.raises(machine.GoneError):
        machine.rewire(state.physical_id, state.wires_path, {"db": "new"})


@pytest.mark.parametrize("program", [SLEEPS, DEAF], ids=["polite", "deaf"])
@pytest.mark.parametrize("hung", [False, True], ids=["running", "stopped by a signal"])
def test_whatever_state_a_process_is_in_it_can_be_stopped(start: Started, program: str, hung: bool) -> None:
    state = start(program)
    start.printed(state)
    if hung:
        os.kill(state.pid, signal.SIGSTOP)
    began = time.monotonic()
    machine.stop_process(state.physical_id, patience_s=0.3 if program == DEAF else 30)
    assert time.monotonic() - began < 10
    assert machine.stopped(state.physical_id)
    machine.stop_process(state.physical_id, patience_s=0.3)  # it may be gone


def test_what_a_process_has_started_goes_with_it_even_if_it_went_first(start: Started) -> None:
    state = start(PARENT)
    child = int(start.printed(state, 2)[0].split()[1])
    os.kill(state.pid, signal.SIGKILL)
    wait(lambda: not machine.process_alive(state.physical_id))
    assert not machine.stopped(state.physical_id)
    machine.stop_process(state.physical_id, patience_s=0.1)
    assert machine.stopped(state.physical_id)
    with contextlib.suppress(FileNotFoundError):  # or a zombie, until whoever adopted it has looked
        assert Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def test_stopping_can_be_asked_for_without_waiting(start: Started) -> None:
    state = start(DEAF)
    start.printed(state)
    machine.ask_to_stop(state.physical_id)
    assert not machine.stopped(state.physical_id)
    machine.kill_process(state.physical_id)
    wait(lambda: machine.stopped(state.physical_id))


def test_a_free_port_is_one_that_the_kernel_does_not_hand_out_by_itself() -> None:
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    port = machine.free_port()
    assert port >= 15000
    assert not first <= port <= last


def test_a_file_is_written_changed_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    assert machine.read_file(path) is None
    machine.write_file(path, "first\r\n\N{SNOWMAN}")
    assert machine.read_file(path) == "first\r\n\N{SNOWMAN}"
    machine.rewrite_file(path, "second")
    assert machine.read_file(path) == "second"
    machine.remove_file(path)
    assert machine.read_file(path) is None
    machine.remove_file(path)
    with pytest.raises(machine.GoneError):
        machine.rewrite_file(path, "third")
    assert list(path.parent.iterdir()) == []


def test_a_file_that_cannot_be_looked_at_is_not_a_missing_one(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="directory"):
        machine.read_file(tmp_path)


def test_the_module_needs_nothing_but_the_standard_library() -> None:
    program = (
        "import importlib.util, sys\n"
        f"spec = importlib.util.spec_from_file_location('machine', {machine.__file__!r})\n"
        "module = importlib.util.module_from_spec(spec)\n"
        "sys.modules['machine'] = module\n"
        "spec.loader.exec_module(module)\n"
        "strange = {name.partition('.')[0] for name in sys.modules} - sys.stdlib_module_names\n"
        "assert strange <= {'machine', '__main__'}, strange\n"
    )
    subprocess.run([*PYTHON, "-c", program], check=True)
