"""A real Aodh in a process of its own, with what it finds around it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import uuid
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.aodh.around import PROJECT, Around, around

SERVE = Path(__file__).parent / "rig" / "serve.py"
START_S, STOP_S = 60.0, 10.0


@dataclass(frozen=True, slots=True)
class RealAodh:
    url: str
    around: Around
    process: asyncio.subprocess.Process

    async def create(self, kind: str, rule: dict[str, Any], **other: Any) -> str:
        """The id of a new alarm."""
        alarm = {"name": "cpu", "type": kind, f"{kind}_rule": rule, "severity": "critical"} | other
        return str((await self.call("POST", "/v2/alarms", alarm))["alarm_id"])

    async def show(self, alarm: str) -> dict[str, Any]:
        shown: dict[str, Any] = await self.call("GET", f"/v2/alarms/{alarm}")
        return shown

    async def publish(self, event_type: str, **traits: str) -> dict[str, Any]:
        """An event, as Ceilometer's agent publishes it."""
        event: dict[str, Any] = {
            "event_type": event_type,
            "message_id": str(uuid.uuid4()),
            "generated": "2026-11-22T08:00:01.000000",
            "traits": [[name, 1, value] for name, value in ({"project_id": PROJECT} | traits).items()],
            "raw": {},
            "message_signature": None,
        }
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([event]).encode() + b"\n")
        await self.process.stdin.drain()
        return event

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"X-Project-Id": PROJECT, "X-User-Id": "alice", "X-Roles": "admin,member,reader"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.request(method, self.url + path, json=body) as response,
        ):
            assert response.status < 300, await response.text()
            return await response.json(content_type=None)


@asynccontextmanager
async def real_aodh(python: Path, directory: Path) -> AsyncIterator[RealAodh]:
    """Its log is `aodh.log` in the directory."""
    environment = {key: text for key, text in os.environ.items() if not key.startswith(("OS_", "PYTHON"))}
    async with around() as there:
        with (directory / "aodh.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *(python, SERVE, directory, there.url), stdin=PIPE, stdout=PIPE, stderr=log, env=environment
            )
        try:
            assert process.stdout is not None
            async with asyncio.timeout(START_S):
                while not (line := await process.stdout.readline()).startswith(b"READY "):
                    tail = (directory / "aodh.log").read_text().splitlines()[-25:]
                    assert line, "the real Aodh did not start; the end of its log:\n" + "\n".join(tail)
            there.aodh = f"http://127.0.0.1:{int(line.split()[1])}"
            yield RealAodh(there.aodh, there, process)
        finally:
            if process.stdin is not None:
                process.stdin.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_S):
                    await process.wait()
            if process.returncode is None:
                process.kill()
                await process.wait()
