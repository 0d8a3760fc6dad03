"""A shop of three real processes on the embedded engine, for tests to break; and who of it really lives."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from healer.clock import BootClock
from healer.core.model import Root, Snapshot
from healer.engines.local import Local
from healer.ports import Operation, OperationState, Place
from tests.tier import TIER

TEMPLATES = Path(__file__).parents[1] / "templates"


class Clock(BootClock):
    """Real time, and it can be set forward."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead = timedelta(0)

    def now(self) -> datetime:
        return super().now() + self.ahead

    def elapsed(self) -> float:
        return super().elapsed() + self.ahead.total_seconds()


def template(folder: Path, name: str = "three_tier.yaml", **parameters: Any) -> Path:
    """A copy of a template of tests/templates in which every parameter has a default."""
    given = {"python": sys.executable, "tier": str(TIER), **parameters}
    for path in TEMPLATES.glob("*.yaml"):
        data = yaml.safe_load(path.read_text())
        data["heat_template_version"] = str(data["heat_template_version"])
        for parameter, value in given.items():
            if parameter in data.get("parameters", {}):
                data["parameters"][parameter]["default"] = value
        (folder / path.name).write_text(yaml.safe_dump(data, sort_keys=False))
    return folder / name


def local(
    state: Path, stacks: Mapping[str, Path], kind: type[Local] = Local, clock: Clock | None = None
) -> Local:
    engine = kind(stacks=dict(stacks))
    engine.bind(Place("here", state, clock or Clock()))
    return engine


@contextlib.asynccontextmanager
async def running(engine: Local) -> AsyncIterator[Root]:
    """The engine started, with its only stack, which is gone afterwards."""
    await engine.start()
    (root,) = await engine.roots()
    try:
        yield root
    finally:
        await delete(engine)
        assert not processes(root.id), "something of the stack outlives it"


async def delete(engine: Local) -> None:
    for root in await engine.roots():
        async with asyncio.timeout(20):
            while not await engine.delete(root):
                await asyncio.sleep(0.02)


def processes(stack_id: str) -> dict[int, str]:
    """Every living process that was started for this stack: pid → its token. What it forks is counted, too."""
    found = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit():
                environment = (entry / "environ").read_bytes().split(b"\0")
                token = next(
                    (item[13:].decode() for item in environment if item.startswith(b"HEALER_TOKEN=")), ""
                )
                if token.startswith(stack_id):
                    found[int(entry.name)] = token
    return found


def pid_of(snapshot: Snapshot, path: str) -> int:
    return int(snapshot.resources[path].incarnation.physical_id.split(":")[1])


async def kill(engine: Local, root: Root, path: str, number: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal behind the engine's back; SIGKILL has worked when this returns."""
    pid = pid_of(await engine.snapshot(root), path)
    os.kill(pid, number)
    while number is signal.SIGKILL and pid in processes(root.id):
        await asyncio.sleep(0.005)


async def converge(engine: Local, root: Root) -> Operation:
    """One update, to its end."""
    since = await engine.position(root)
    await engine.converge(root)
    return await follow(engine, root, since)


async def follow(engine: Local, root: Root, since: str) -> Operation:
    async with asyncio.timeout(20):
        while (found := await engine.operation(root, since)).state is OperationState.IN_PROGRESS:
            await asyncio.sleep(0.02)
    return found


async def heal(engine: Local, root: Root, *paths: str) -> Operation:
    snapshot = await engine.snapshot(root)
    for path in paths:
        await engine.mark(root, snapshot.resources[path].incarnation, "healer:test/1: it fails")
    return await converge(engine, root)


async def there(path: Path, within_s: float = 10) -> None:
    """Until this file exists."""
    async with asyncio.timeout(within_s):
        while not await asyncio.to_thread(path.exists):
            await asyncio.sleep(0.01)


async def answer(snapshot: Snapshot, path: str, within_s: float = 10) -> dict[str, Any]:
    """What a tier says of itself and of all below it, as soon as it says it."""
    where = snapshot.resources[path].attributes
    async with asyncio.timeout(within_s):
        while True:
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_connection(where["address"], int(where["port"]))
                writer.write(b"GET / HTTP/1.0\r\n\r\n")
                head, _, body = (await reader.read()).partition(b"\r\n\r\n")
                writer.close()
                if b" 200 " in head.splitlines()[0]:
                    return dict(yaml.safe_load(body))
            await asyncio.sleep(0.02)
