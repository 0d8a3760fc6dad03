"""A real Zaqar in a process of its own, with the real Redis that keeps its messages."""

from __future__ import annotations

import asyncio
import shutil
from asyncio.subprocess import DEVNULL, STDOUT
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.rigs import START_S, ended, serving

SERVE = Path(__file__).parent / "rig" / "serve.py"
PROJECT = "8f23b7e6962941178a81f106a3e2fe86"
POSTER = "7b2f9c5e-2d0c-4d53-8c39-6a3a5a1f0a01"


def redis_server(venv: Path) -> Path | None:
    """The one of the environment, where there is a wheel of it, else the one of the machine."""
    own = venv / "bin" / "redis-server"
    found = shutil.which("redis-server")
    return own if own.is_file() else Path(found) if found else None


@dataclass(frozen=True, slots=True)
class RealZaqar:
    url: str
    directory: Path

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"X-Project-ID": PROJECT, "Client-ID": POSTER}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.request(method, self.url + path, json=body) as response,
        ):
            assert response.status < 300, await response.text()
            return await response.json(content_type=None)

    async def create(self, queue: str, **metadata: Any) -> None:
        await self.call("PUT", f"/v2/queues/{queue}", metadata)

    async def post(self, queue: str, *bodies: Any, ttl: int = 3600) -> None:
        for begin in range(0, len(bodies), 20):
            messages = [{"ttl": ttl, "body": body} for body in bodies[begin : begin + 20]]
            await self.call("POST", f"/v2/queues/{queue}/messages", {"messages": messages})

    async def held(self, queue: str) -> tuple[int, int]:
        """How many messages are there that nobody has claimed, and that somebody has, or had until lately."""
        counts = (await self.call("GET", f"/v2/queues/{queue}/stats"))["messages"]
        return counts["free"], counts["claimed"]

    async def later(self, seconds: int) -> None:
        """Puts its clock forward."""
        await self.call("PUT", f"/rig/ahead/{seconds}")

    def clouds_yaml(self) -> Path:
        """Of a cloud `mine` that has nothing but this Zaqar, and its project's id for a token."""
        file = self.directory / "clouds.yaml"
        login = f"{{auth_type: admin_token, auth: {{endpoint: '{self.url}', token: {PROJECT}}}}}"
        file.write_text(f"clouds: {{mine: {login}}}\n")
        return file


@asynccontextmanager
async def real_zaqar(venv: Path, redis: Path, directory: Path) -> AsyncIterator[RealZaqar]:
    """Their logs are in the directory. What is kept is kept in memory only."""
    socket = directory / "redis.sock"
    how = ("--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no", "--dir", directory)
    with (directory / "redis.log").open("wb") as told:
        store = await asyncio.create_subprocess_exec(redis, *how, stdin=DEVNULL, stdout=told, stderr=STDOUT)
    try:
        async with asyncio.timeout(START_S):
            while not socket.exists():
                assert store.returncode is None, (directory / "redis.log").read_text()
                await asyncio.sleep(0.02)
        async with serving("Zaqar", venv, directory / "zaqar.log", SERVE, directory, socket) as (port, _):
            yield RealZaqar(f"http://127.0.0.1:{port}", directory)
    finally:
        store.terminate()
        await ended(store)
