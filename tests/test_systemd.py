from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from healer import systemd

CREDENTIALS = struct.Struct("iII")


@pytest.fixture(params=["path", "abstract"])
def manager(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    """The service manager's end: it asks the kernel who sends, for only the main process may."""
    path = str(tmp_path / "notify")
    name = f"@{path}" if request.param == "abstract" else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        listening.bind(name.replace("@", "\0"))
        listening.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        yield listening


def heard(manager: socket.socket) -> tuple[str, int]:
    """What was said, and the pid of who said it, by the kernel's word."""
    data, extra, *_ = manager.recvmsg(4096, socket.CMSG_SPACE(CREDENTIALS.size))
    ((_, _, credentials),) = extra
    pid: int = CREDENTIALS.unpack(credentials)[0]
    return data.decode(), pid


def test_what_is_said_comes_in_one_message_from_this_very_process(manager: socket.socket) -> None:
    assert systemd.notify("READY=1", "STATUS=watching 3 stacks")
    assert heard(manager) == ("READY=1\nSTATUS=watching 3 stacks", os.getpid())


def test_another_process_is_another_pid(manager: socket.socket) -> None:
    """So that the test above can fail."""
    code = "import os; from healer import systemd; systemd.notify('WATCHDOG=1'); print(os.getpid())"
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=root, check=True, timeout=30)
    assert heard(manager) == ("WATCHDOG=1", int(done.stdout))


@pytest.mark.parametrize("named", [None, ""])
def test_without_a_service_manager_nothing_is_said(
    monkeypatch: pytest.MonkeyPatch, named: str | None
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if named is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", named)
    assert not systemd.notify("READY=1")


def test_a_service_manager_that_does_not_listen_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is itself restarted now and then; a daemon that died of it would be restarted for nothing."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    with capture_logs() as logs:
        assert not systemd.notify("WATCHDOG=1")
    assert [(line["event"], line["unheard"]) for line in logs] == [("systemd.deaf", ("WATCHDOG=1",))]


def test_one_that_listens_and_does_not_read_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as full:
        full.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        with capture_logs() as logs:
            while systemd.notify("WATCHDOG=1", "X" * 10_000):
                pass
    assert [line["event"] for line in logs] == ["systemd.deaf"]


@pytest.mark.parametrize(
    ("microseconds", "pid", "interval"),
    [
        ("30000000", "", timedelta(seconds=10)),
        ("30000000", "own", timedelta(seconds=10)),
        ("30000000", "1", None),
        ("", "", None),
        (None, "", None),
        ("soon", "", None),
    ],
)
def test_the_watchdog_is_fed_three_times_as_often_as_it_bites(
    monkeypatch: pytest.MonkeyPatch, microseconds: str | None, pid: str, interval: timedelta | None
) -> None:
    for name, value in {"WATCHDOG_USEC": microseconds, "WATCHDOG_PID": pid or None}.items():
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, str(os.getpid()) if value == "own" else value)
    assert systemd.watchdog_interval() == interval
