"""A real Aodh in a process of its own, with what it finds around it."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.aodh.around import PROJECT, Around, around
from tests.rigs import serving

SERVE = Path(__file__).parent / "rig" / "serve.py"


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
async def real_aodh(venv: Path, directory: Path) -> AsyncIterator[RealAodh]:
    """Its log is `aodh.log` in the directory."""
    async with (
        around() as there,
        serving("Aodh", venv, directory / "aodh.log", SERVE, directory, there.url) as (port, process),
    ):
        there.aodh = f"http://127.0.0.1:{port}"
        yield RealAodh(there.aodh, there, process)
