"""The parts of an OpenStack that tests run for real: where they are installed, and each in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.heat import install

START_S, STOP_S = 60.0, 10.0


def environment(of: str = "Heat") -> Path:
    """Skip, or with HEALER_REQUIRE_HEAT=1 fail, unless the environment is there that all of them share."""
    there = install.venv_directory()
    if not install.installed(there):
        missing = f"the real {of} is not installed; this installs it: python3 tests/heat/install.py"
        if os.environ.get("HEALER_REQUIRE_HEAT") == "1":
            raise RuntimeError(missing)
        pytest.skip(missing)
    return there


@asynccontextmanager
async def serving(
    name: str, venv: Path, log: Path, *command: Path | str
) -> AsyncIterator[tuple[int, Process]]:
    """A script of a rig, and the port that it tells once it is ready; it ends with its standard input."""
    own = {key: text for key, text in os.environ.items() if not key.startswith(("OS_", "PYTHON"))}
    with log.open("wb") as told:
        process = await asyncio.create_subprocess_exec(
            *(venv / "bin" / "python", *command), stdin=PIPE, stdout=PIPE, stderr=told, env=own
        )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(START_S):
            while not (line := await process.stdout.readline()).startswith(b"READY "):
                assert line, f"the real {name} did not start; the end of its log:\n{_tail(log)}"
        yield int(line.split()[1]), process
    finally:
        await ended(process)


def _tail(log: Path) -> str:
    return "\n".join(log.read_text().splitlines()[-25:])


async def ended(process: Process) -> None:
    """It has time to end by itself."""
    if process.stdin is not None:
        process.stdin.close()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(STOP_S):
            await process.wait()
    if process.returncode is None:
        process.kill()
        await process.wait()
