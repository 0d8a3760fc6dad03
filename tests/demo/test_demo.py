"""The demonstration ends by itself, tells what it has healed, and leaves nothing behind, however it ends."""

from __future__ import annotations

import ast
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

import healer

ENDS_WITHIN_S = 50.0
"""The demonstration itself must be over within 60 s of its install."""
SOURCE = Path(healer.__path__[0])
PLAYS: Mapping[str, tuple[str, ...]] = {
    "kill": (),
    "hang": ("--break", "hang"),
    "sick": ("--break", "sick"),
    "observe": ("--observe",),
}


@dataclass(frozen=True)
class Played:
    code: int
    out: str
    err: str
    folder: Path
    """Where it made its own."""

    def left(self) -> list[str]:
        return remains(self.folder)


def remains(folder: Path) -> list[str]:
    """What is left of it: files, and processes that were started from there."""
    name = os.fsencode(folder)
    left = [path.name for path in folder.iterdir()]
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and name in (entry / "cmdline").read_bytes():
                left.append(f"process {entry.name}")
        except OSError:
            continue  # It has ended meanwhile.
    return left


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "healer", "demo", *arguments]


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(folder)}


@pytest.fixture(scope="module")
def scratch() -> Iterator[Path]:
    """With a short name, for sockets will lie in it."""
    with tempfile.TemporaryDirectory(prefix="hd-") as name:
        yield Path(name)


@pytest.fixture(scope="module")
def played(scratch: Path) -> dict[str, Played]:
    """All of them at once: each waits most of the time."""
    processes = {}
    for name, arguments in PLAYS.items():
        (scratch / name).mkdir()
        processes[name] = subprocess.Popen(
            command(*arguments),
            env=environment(scratch / name),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    over = {}
    for name, process in processes.items():
        out, err = process.communicate(timeout=ENDS_WITHIN_S)
        over[name] = Played(process.returncode, out, err, scratch / name)
    return over


def in_order(text: str, *patterns: str) -> None:
    """Each is found after the one before."""
    at = 0
    for pattern in patterns:
        found = re.compile(pattern, re.MULTILINE).search(text, at)
        assert found, f"{pattern!r} does not follow in:\n{text[at:]}"
        at = found.end()


@pytest.mark.parametrize(
    ("fault", "broken", "sign", "others"),
    [
        ("kill", "db", r"(refused|connection_lost)", "api and web"),
        ("hang", "db", "timed_out", "api and web"),
        ("sick", "web", "bad_status", "db and api"),
    ],
)
def test_each_fault_is_noticed_and_healed_step_by_step(
    played: dict[str, Played], fault: str, broken: str, sign: str, others: str
) -> None:
    one = played[fault]
    assert (one.code, one.err) == (0, "")
    chain = r"^web answers through all three: web \(pid \d+\) <- api \(pid \d+\) <- db \(pid \d+\)$"
    when = r"^ *\d+\.\d\ds [ +.\ds]{8}  "
    in_order(
        one.out,
        "^The daemon runs",
        "^  db +pid",
        "^  api +pid",
        "^  web +pid",
        chain,
        "^Now ",
        f"fails, {sign}",
    )
    in_order(
        one.out,
        f"{when}shop/{broken} fails, {sign}: ",
        f"{when}shop/{broken} passes every guardrail; policy shop says: replace$",
        f"{when}repair of shop begins: {broken} is replaced",
        f"{when}  mark: ",
        f"{when}  preview: ",
        f"{when}  converge: ",
        f"{when}  follow: ",
        f"{when}  prove: ",
        f"{when}  proven: ",
        rf"{when}shop/{broken} is pid \d+ now",
        f"{when}shop/{broken} is healed: verified by check$",
        rf"^  {broken} +pid \d+, port \d+: replaced, was pid \d+, port \d+$",
        chain,
        rf"\A|^Healed shop/{broken} in \d+\.\d s: replaced and verified; {others} kept running\.$",
    )
    assert one.out.splitlines()[-1].startswith(f"Healed shop/{broken} in ")
    assert one.out.splitlines()[-1].endswith(f" s: replaced and verified; {others} kept running.")
    if broken == "db":
        assert re.search(
            r"^  api +pid (\d+), port \d+: the same, and told where db is now$", one.out, re.MULTILINE
        )


def test_under_a_policy_that_observes_nothing_is_touched_and_that_is_no_success(
    played: dict[str, Played],
) -> None:
    one = played["observe"]
    assert (one.code, one.err) == (1, "")
    in_order(
        one.out, "^Now ", "policy shop only observes; auto would replace it: db is replaced; api is updated"
    )
    assert one.out.splitlines()[-1].startswith("Not healed: nothing was touched")
    assert "mark:" not in one.out
    assert "web does not answer." in one.out


@pytest.mark.parametrize("name", PLAYS)
def test_nothing_of_it_is_left(played: dict[str, Played], name: str) -> None:
    assert played[name].left() == []


class Terminal:
    """A person's, with a demonstration in it."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self.shown = ""
        self.code: int | None = None
        pid, self._descriptor = pty.fork()
        if pid == 0:
            signal.signal(
                signal.SIGINT, signal.SIG_DFL
            )  # whoever runs the tests in the background ignores it
            os.execve(sys.executable, command(*arguments), environment(folder))  # noqa: S606 - no shell is wanted
        self._pid = pid

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Reads on until this is shown."""
        deadline = time.monotonic() + ENDS_WITHIN_S
        while not (found := re.search(pattern, self.shown)):
            assert time.monotonic() < deadline, f"{pattern!r} was not shown:\n{self.shown}"
            assert self._read(), f"it ended without {pattern!r}:\n{self.shown}"
        return found

    def press(self, key: bytes) -> None:
        os.write(self._descriptor, key)

    def send(self, number: int) -> None:
        os.kill(self._pid, number)

    def end(self) -> int:
        """Waits until it is over; the exit code."""
        deadline = time.monotonic() + ENDS_WITHIN_S
        while self._read():
            assert time.monotonic() < deadline, f"it goes on:\n{self.shown}"
        _, status = os.waitpid(self._pid, 0)
        os.close(self._descriptor)
        return os.waitstatus_to_exitcode(status)

    def _read(self) -> bool:
        """False once nobody can write any more."""
        ready, _, _ = select.select([self._descriptor], [], [], 0.2)
        if not ready:
            return True
        try:
            said = os.read(self._descriptor, 65536)
        except OSError:
            return False
        self.shown += said.decode().replace("\r\n", "\n")
        return bool(said)


CTRL_C = b"\x03"


@pytest.fixture
def folder(scratch: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    made = scratch / f"t{abs(hash(request.node.name)) % 1000}"
    made.mkdir()
    yield made
    shutil.rmtree(made)


@pytest.mark.slow
def test_it_goes_on_until_ctrl_c_through_a_daemon_that_is_killed_and_whatever_else_is(folder: Path) -> None:
    terminal = Terminal(folder, "--keep")
    daemon = int(terminal.wait_for(r"The daemon runs \(pid (\d+)\)")[1])
    terminal.wait_for("Now db is killed")
    os.kill(daemon, signal.SIGKILL)
    terminal.wait_for(
        rf"The daemon \(pid {daemon}\) was killed; as systemd would, it is\s+started again: pid\s+\d+\."
    )
    terminal.wait_for(r"Healed shop/db in \d+\.\d s")
    api = int(terminal.wait_for(r"kill -9 (\d+)   # api")[1])
    os.kill(api, signal.SIGKILL)
    terminal.wait_for("shop/api is healed")
    terminal.press(CTRL_C)
    assert terminal.end() == 0
    assert remains(folder) == []


INTERRUPTIONS: Mapping[str, tuple[str, signal.Signals, int]] = {
    "while it starts": ("The daemon runs", signal.SIGINT, 130),
    "while it heals": ("repair of shop begins", signal.SIGINT, 130),
    "by the service manager": ("Now db is killed", signal.SIGTERM, 143),
    "by a terminal that goes away": ("Now db is killed", signal.SIGHUP, 129),
}


@pytest.mark.slow
def test_however_it_is_interrupted_it_ends_with_all_that_it_started(folder: Path) -> None:
    """All at once: each waits most of the time."""
    terminals = {}
    for number, name in enumerate(INTERRUPTIONS):
        (folder / str(number)).mkdir()
        terminals[name] = Terminal(folder / str(number))
    for name, (moment, signalled, _) in INTERRUPTIONS.items():
        terminals[name].wait_for(moment)
        if signalled is signal.SIGINT:
            terminals[name].press(CTRL_C)
        else:
            terminals[name].send(signalled)
    codes = {name: terminal.end() for name, terminal in terminals.items()}
    assert codes == {name: code for name, (_, _, code) in INTERRUPTIONS.items()}
    assert [remains(terminal.folder) for terminal in terminals.values()] == [[]] * len(terminals)


def test_nothing_but_the_command_line_knows_of_it() -> None:
    """Deleting it would change nothing in healer but a word."""
    who = {
        path.relative_to(SOURCE).parts[0]
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.ImportFrom) and (node.module or "").startswith("healer.demo"))
        or (isinstance(node, ast.Import) and any(name.name.startswith("healer.demo") for name in node.names))
    }
    assert who == {"cli", "demo"}
