"""What Aodh finds around it: Keystone, Gnocchi and Octavia, as far as it asks them, at a socket of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from healer.clock import BootClock
from tests.authentication.senders import token

PROJECT = "5f2f7d1c3fd24d2a8d1e4f1a3b6c7d8e"
GRANULARITY = 60
TRUST = "8d29c083ce8a4517a2308f6bb6945f24"


@dataclass(slots=True)
class Around:
    measures: dict[str, float] = field(default_factory=dict)
    """By resource: what was measured last. Of any other, Gnocchi knows nothing."""
    members: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """By pool."""
    trusted: str = ""
    """The token that Keystone gives for the trust."""
    aodh: str = ""
    """URL of the API, which stands here behind what asks Keystone first: without a token, nobody gets there."""
    url: str = ""
    tokens: set[str] = field(default_factory=set)
    """Those that were given and count."""
    refuses: bool = False
    """Whether what it gives does not count."""
    asked: list[str] = field(default_factory=list)
    given: int = 0

    def clouds_yaml(self) -> str:
        """Of a user of the project."""
        auth = {
            "auth_url": f"{self.url}/v3",
            "username": "healer",
            "password": "not-used",
            "project_id": PROJECT,
            "user_domain_id": "default",
        }
        told = ", ".join(f"{name}: {value!r}" for name, value in auth.items())
        return f"clouds: {{mine: {{auth: {{{told}}}, region_name: RegionOne}}}}"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.path}")
        match request.path.strip("/").split("/"):
            case ["v3"]:
                links = [{"rel": "self", "href": f"{self.url}/v3/"}]
                return web.json_response({"version": {"id": "v3.14", "status": "stable", "links": links}})
            case ["v3", "auth", "tokens"] if request.method == "POST":
                return await self._give(request)
            case ["v3", "OS-TRUST", "trusts"]:
                return web.json_response({"trust": {"id": TRUST}}, status=201)
            case ["v1", "capabilities"]:
                return web.json_response({"aggregation_methods": ["mean", "max", "min"]})
            case ["v1", "resource", _, resource, "metric", _, "measures"]:
                return self._measured(resource)
            case [*_, "pools", pool, "members"]:
                return web.json_response({"members": self.members.get(pool, [])})
            case ["alarming", *_]:
                return await self._behind(request)
            case _:
                return web.json_response({"error": {"code": 404, "message": request.path}}, status=404)

    async def _give(self, request: web.Request) -> web.Response:
        body = await request.json()
        trust = body["auth"].get("scope", {}).get("OS-TRUST:trust", {}).get("id")
        self.given += 1
        given = self.trusted if trust == TRUST else f"token-{self.given}"
        if not self.refuses:
            self.tokens.add(given)
        described = token(PROJECT)
        now = BootClock().now()
        times = {"issued_at": now, "expires_at": now + timedelta(hours=1)}
        described |= {name: f"{at:%Y-%m-%dT%H:%M:%S.%fZ}" for name, at in times.items()}
        services = {"identity": "/v3", "metric": "", "load-balancer": "", "alarming": "/alarming"}
        described["catalog"] = [
            {
                "type": kind,
                "id": kind,
                "name": kind,
                "endpoints": [
                    {
                        "id": kind,
                        "interface": "public",
                        "region": "RegionOne",
                        "region_id": "RegionOne",
                        "url": self.url + path,
                    }
                ],
            }
            for kind, path in services.items()
        ]
        return web.json_response({"token": described}, status=201, headers={"X-Subject-Token": given})

    def _measured(self, resource: str) -> web.Response:
        if resource not in self.measures:
            return web.json_response({"code": 404, "description": "no such resource"}, status=404)
        at = BootClock().now().replace(second=0, microsecond=0).isoformat()
        return web.json_response([[at, GRANULARITY, self.measures[resource]]])

    async def _behind(self, request: web.Request) -> web.StreamResponse:
        """As keystonemiddleware does: who has no token that counts is not let through, and the others are named."""
        if request.headers.get("X-Auth-Token") not in self.tokens:
            return web.json_response({"error": {"code": 401, "title": "Unauthorized"}}, status=401)
        headers = {"X-Project-Id": PROJECT, "X-Roles": "reader,member"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.request(
                request.method,
                self.aodh + request.path.removeprefix("/alarming"),
                params=request.query,
                data=await request.read(),
                headers={"Content-Type": request.content_type},
            ) as answered,
        ):
            return web.Response(
                status=answered.status, body=await answered.read(), content_type=answered.content_type
            )


@asynccontextmanager
async def around() -> AsyncIterator[Around]:
    there, app = Around(), web.Application()
    app.router.add_route("*", "/{path:.*}", there.answer)
    async with TestServer(app) as server:
        there.url = str(server.make_url("")).rstrip("/")
        yield there
