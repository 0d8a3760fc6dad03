"""The real Heat as a pytest plug-in: `real_heat`, one for the whole session, and `heat`, stacks in it."""

from __future__ import annotations

import contextlib
import json
import os
import string
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from healer.engines.local import machine
from tests.heat import install
from tests.heat.stacks import Stacks
from tests.rigs import environment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

RIG = Path(__file__).parent / "heat" / "rig"
CLOUD = "heat-rig"
START_S = 120.0
"""Seconds until READY; 3.5 on an idle machine, ten times that on a very busy one."""
STOP_S = 10.0
TIMEOUT_S = 180
"""Of a test that uses the real Heat and says nothing else: the first one pays for its start."""


class RealHeat:
    """One Heat process, its port and its directory. Its functions block: a coroutine needs a thread."""

    cloud = CLOUD
    """Its name in `clouds_yaml`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = machine.free_port()
        self.url = f"http://127.0.0.1:{self.port}/v1/admin"
        self.clouds_yaml = directory / "clouds.yaml"
        self.reality = directory / "reality"
        """Where the files of its Local::Process and Local::File lie."""
        self.log = directory / "heat.log"
        self._venv = install.venv_directory()
        self._process: subprocess.Popen[bytes] | None = None
        self.reality.mkdir(parents=True)
        values = {"port": self.port, "state": directory, "rig": RIG, "venv": self._venv}
        for template in (RIG / "conf").iterdir():
            (directory / template.name).write_text(string.Template(template.read_text()).substitute(values))

    @property
    def pid(self) -> int:
        assert self._process is not None, "Heat is not running"
        return self._process.pid

    def start(self) -> None:
        """Start it, on the database that it had before, and wait until it takes requests."""
        python, configuration = self._venv / "bin" / "python", self.directory / "heat.conf"
        environment = {key: text for key, text in os.environ.items() if not key.startswith(("OS_", "PYTHON"))}
        environment["HEALER_RIG_REALITY"] = str(self.reality)
        with self.log.open("ab") as log:
            begins = log.tell()
            self._process = subprocess.Popen(
                [python, RIG / "serve.py", "--port", str(self.port), "--config-file", configuration],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_S
        while b"READY in" not in self._said(begins):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                tail = self._said(begins).decode(errors="replace").splitlines()[-25:]
                raise RuntimeError("the real Heat did not start; the end of its log:\n" + "\n".join(tail))
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop it as an administrator would; SIGKILL where that takes too long."""
        if self._process is not None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_S)
        self.kill()

    def kill(self) -> None:
        """SIGKILL, whatever it is doing. What its stacks run goes on."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """Stop it, or find it killed, and start it on the same port, database and reality."""
        self.stop()
        self.start()

    @contextlib.contextmanager
    def switched(self, **names: Sequence[str]) -> Iterator[None]:
        """Turn switches of the plug-in on for as long as the block runs, by logical names.

        `fail_create`, `fail_delete`: it fails. `hold_create`, `hold_delete`: it waits until the block ends.
        """
        control = self.reality / "control.json"
        before = json.loads(machine.read_file(control) or "{}")
        machine.write_file(
            control, json.dumps(before | {switch: list(each) for switch, each in names.items()})
        )
        try:
            yield
        finally:
            machine.write_file(control, json.dumps(before))

    def clear(self) -> None:
        """End the processes that its stacks have left behind."""
        for wires in self.reality.glob("*.wires.json"):
            left = machine.find_by_token(wires.name.removesuffix(".wires.json"))
            if left is not None:
                machine.stop_process(left.physical_id, patience_s=0)

    def _said(self, begins: int) -> bytes:
        with self.log.open("rb") as log:
            log.seek(begins)
            return log.read()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "real_heat" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.real_heat)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(TIMEOUT_S))


@pytest.fixture(scope="session")
def real_heat(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealHeat]:
    """A Heat that runs, one for the session. A test that kills it starts it again."""
    environment()
    heat = RealHeat(tmp_path_factory.mktemp("heat"))
    try:
        heat.start()
        yield heat
    finally:
        heat.stop()
        heat.clear()


@pytest.fixture
async def heat(real_heat: RealHeat) -> AsyncIterator[Stacks]:
    """Stacks in the real Heat; what the test leaves there is deleted after it."""
    async with Stacks(real_heat.url) as stacks:
        yield stacks
