"""Sends posts over kept connections, and reads what a process has cost."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
CONNECTIONS = 64
QUIET_FOR = 1.0
"""Seconds in which a process that has nothing left to do uses next to no CPU."""
QUIET = 0.03
"""Of one core."""
QUIET_WITHIN = 120.0


def cpu_s(pid: int) -> float:
    """Seconds of CPU, user and system, of all threads of this process, those that have ended too."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def settled(pid: int, done: Callable[[], bool]) -> float:
    """The process' CPU, in seconds, once all is done and it is quiet. TimeoutError where it never is."""
    deadline = time.monotonic() + QUIET_WITHIN
    before = cpu_s(pid)
    while time.monotonic() < deadline:
        time.sleep(QUIET_FOR)
        now = cpu_s(pid)
        if now - before <= QUIET * QUIET_FOR and done():
            return now
        before = now
    raise TimeoutError(f"process {pid} is still at work after {QUIET_WITHIN:.0f} s")


def send(port: int, path: str, bodies: Sequence[bytes]) -> None:
    """Post all of them, 64 at once; RuntimeError where one is not taken."""
    asyncio.run(_send(port, path, bodies))


async def _send(port: int, path: str, bodies: Sequence[bytes]) -> None:
    waiting = iter(bodies)
    async with asyncio.TaskGroup() as group:
        for _ in range(min(CONNECTIONS, len(bodies))):
            group.create_task(_post(port, path, waiting))


async def _post(port: int, path: str, waiting: Iterator[bytes]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for body in waiting:
            head = (
                f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\n\r\n"
            )
            writer.write(head.encode() + body)
            answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            _, _, after = answer.partition("content-length:")
            rest = await reader.readexactly(int(after.split("\r\n", 1)[0])) if after else b""
            if not answer.startswith("http/1.1 2"):
                raise RuntimeError(f"{path}: {answer.splitlines()[0]} {rest!r}")
    finally:
        writer.close()
        await writer.wait_closed()
