"""Where the demonstration lives: a folder with the configuration, and the daemon that it starts."""

from __future__ import annotations

import os
import shutil
import signal
import string
import subprocess
import sys
import tempfile
import time
from importlib.resources import files
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from healer.client import Client, NoDaemonError
from healer.ports import HealerError

STARTS_WITHIN = 30.0
"""Seconds. It takes about two."""


class DemoError(HealerError):
    """The demonstration could not go on; the text says why."""


class House:
    """A folder of its own, and a daemon in it; all that was started here is ended on leaving."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="healer-demo-"))
        self.client = Client(self.folder / "api.sock")
        self.log = self.folder / "daemon.log"
        self._daemon: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        values = {"python": sys.executable, "tier": str(self.folder / "tier.py")}
        for source in files(__package__).joinpath("stack").iterdir():
            if source.is_file():
                text = source.read_text(encoding="utf-8")
                if source.name == "shop.yaml":
                    text = string.Template(text).substitute(values)
                (self.folder / source.name).write_text(text, encoding="utf-8")
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        processes = self._processes()
        self._stop()
        # They outlive the daemon, as they should; the demonstration takes them with it all the same.
        for pid in processes:
            _end(pid)
        if kind is None or issubclass(kind, KeyboardInterrupt):
            shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-m", "healer", "run", "--config", str(self.folder / "config.yaml")]

    def start(self) -> None:
        """Start the daemon, as systemd would, and wait until its API answers."""
        with self.log.open("ab") as log:
            self._daemon = subprocess.Popen(  # noqa: S603 - our own program
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + STARTS_WITHIN
        while True:
            try:
                self.client.get("/v1/status")
            except NoDaemonError:
                if self._daemon.poll() is not None or time.monotonic() > deadline:
                    tail = self.log.read_text(errors="replace").splitlines()[-10:]
                    raise DemoError("the daemon did not start:\n" + "\n".join(tail)) from None
                time.sleep(0.1)
            else:
                return

    @property
    def pid(self) -> int:
        return self._daemon.pid if self._daemon else 0

    @property
    def died(self) -> bool:
        return self._daemon is not None and self._daemon.poll() is not None

    def resources(self) -> dict[str, dict[str, Any]]:
        """The shop's resources by path; none while it is not read yet."""
        stacks = self.client.get("/v1/stacks")["stacks"]
        return {one["path"]: one for stack in stacks for one in stack["resources"]}

    def _processes(self) -> list[int]:
        try:
            return [pid_of(one["physical_id"]) for one in self.resources().values() if one["physical_id"]]
        except HealerError:
            return []

    def _stop(self) -> None:
        if self._daemon is None:
            return
        self._daemon.terminate()
        try:
            self._daemon.wait(15)
        except subprocess.TimeoutExpired:
            self._daemon.kill()
            self._daemon.wait()


def pid_of(physical_id: str) -> int:
    """A process's physical id is `boot id:pid:start time`."""
    return int(physical_id.split(":")[1])


def _end(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)  # Also where it is stopped, which would not hear SIGTERM.
    except ProcessLookupError:
        return
