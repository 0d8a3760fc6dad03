"""Stands between healer and a real Heat, to see what it is asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

if TYPE_CHECKING:
    from tests.real_heat import RealHeat

Forwarded = Callable[[web.Request], Awaitable[None]]


class Proxy:
    """Keeps what is asked, and lets a test come between."""

    def __init__(self, heat: RealHeat) -> None:
        self.asked: list[str] = []
        self.before: dict[str, Forwarded] = {}
        """Part of `METHOD path` → what is done, once, before it is passed on."""
        self._heat = heat.url.removesuffix("/v1/admin")

    async def start(self) -> str:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._pass_on)
        self._server = TestServer(app)
        await self._server.start_server()
        self._client = aiohttp.ClientSession()
        return str(self._server.make_url("/v1/admin"))

    async def stop(self) -> None:
        await self._client.close()
        await self._server.close()

    async def _pass_on(self, request: web.Request) -> web.Response:
        asked = f"{request.method} {request.raw_path.removeprefix('/v1/admin')}"
        self.asked.append(asked)
        for part in [part for part in self.before if part in asked]:
            await self.before.pop(part)(request)
        url = self._heat + request.raw_path
        headers = {"Content-Type": "application/json"}
        async with self._client.request(
            request.method, url, data=await request.read(), headers=headers, allow_redirects=False
        ) as answer:
            kept = {name: answer.headers[name] for name in ("Location",) if name in answer.headers}
            body = (await answer.read()).replace(self._heat.encode(), str(self._server.make_url("")).encode())
            return web.Response(
                status=answer.status, body=body, content_type=answer.content_type, headers=kept
            )
