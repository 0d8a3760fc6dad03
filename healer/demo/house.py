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
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from healer.client import Client, NoDaemonError
from healer.ports import HealerError

STARTS_WITHIN = 30.0
"""Seconds. It takes about two."""
DIES_WITHIN = 2.0
"""Seconds between a daemon's last answer and the kernel's word that it is dead."""
STOPS_WITHIN = 15.0


class DemoError(HealerError):
    """The demonstration could not go on; the text says why."""


class House:
    """A folder of its own, and a daemon in it; all that was started here is ended on leaving."""

    def __init__(self, *, observe: bool = False) -> None:
        """`observe`: the policy does everything but act."""
        self.folder = Path(tempfile.mkdtemp(prefix="healer-demo-"))
        self.client = Client(self.folder / "api.sock")
        self.log = self.folder / "daemon.log"
        self._observe = observe
        self._daemon: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self._furnish()
            self.start()
        except BaseException as error:
            self.__exit__(type(error), error, None)  # Python does not, where entering fails.
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # One Ctrl-C is enough: this ends by itself.
        try:
            self._stop()
            # They outlive the daemon, as they should; the demonstration takes them with it all the same.
            for pid in self.tiers():
                _end(pid)
            if not isinstance(error, DemoError):
                shutil.rmtree(self.folder, ignore_errors=True)
        finally:
            signal.signal(signal.SIGINT, before)

    def _furnish(self) -> None:
        values = {"python": sys.executable, "tier": str(self._tier)}
        for source in files(__package__).joinpath("stack").iterdir():
            if not source.is_file():
                continue
            text = source.read_text(encoding="utf-8")
            if source.name == "shop.yaml":
                text = string.Template(text).substitute(values)
            if source.name == "policy.yaml" and self._observe:
                text = text.replace("mode: auto", "mode: observe")
            (self.folder / source.name).write_text(text, encoding="utf-8")

    @property
    def _tier(self) -> Path:
        return self.folder / "tier.py"

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-m", "healer", "run", "--config", str(self.folder / "config.yaml")]

    def start(self) -> None:
        """Start the daemon, and wait until its API answers. One that is killed meanwhile is started again."""
        deadline = time.monotonic() + STARTS_WITHIN
        self._spawn()
        while not self._answers():
            if time.monotonic() > deadline:
                raise DemoError(f"the daemon has not answered for {STARTS_WITHIN:.0f} s; see {self.log}")
            if self.died:
                self._spawn()
            time.sleep(0.1)

    def _spawn(self) -> None:
        """DemoError where the last one ended by itself: it would again."""
        if self._daemon is not None and (self._daemon.poll() or 0) > 0:
            tail = self.log.read_text(errors="replace").splitlines()[-10:]
            raise DemoError("\n".join(["the daemon did not start:", *tail, f"All of it is in {self.log}"]))
        with self.log.open("ab") as log:
            self._daemon = subprocess.Popen(  # noqa: S603 - our own program
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def _answers(self) -> bool:
        try:
            self.client.get("/v1/status")
        except NoDaemonError:
            return False
        return True

    def revive(self) -> bool:
        """Where the daemon has died, start it again, as systemd would. False where it lives."""
        if self._daemon is not None:
            try:
                self._daemon.wait(DIES_WITHIN)
            except subprocess.TimeoutExpired:
                return False
        self.start()
        return True

    @property
    def pid(self) -> int:
        return self._daemon.pid if self._daemon else 0

    @property
    def died(self) -> bool:
        return self.exit_code is not None

    @property
    def exit_code(self) -> int | None:
        """Of the daemon; None while it lives."""
        return self._daemon.poll() if self._daemon else None

    def resources(self) -> dict[str, dict[str, Any]]:
        """The shop's resources by path; none while it is not read yet."""
        stacks = self.client.get("/v1/stacks")["stacks"]
        return {one["path"]: one for stack in stacks for one in stack["resources"]}

    def tiers(self) -> Iterator[int]:
        """Every process that the stack of this house has ever started and that lives, whoever lost sight of it."""
        program = os.fsencode(self._tier)
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue  # It has ended meanwhile.
            if program in words:
                yield int(entry.name)

    def _stop(self) -> None:
        if self._daemon is None:
            return
        self._daemon.terminate()
        try:
            self._daemon.wait(STOPS_WITHIN)
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
