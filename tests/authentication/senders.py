"""The right sender of each way to show who one is, and a Keystone that answers as a real one does."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from base64 import b64encode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer
from multidict import CIMultiDict, MultiDict
from yarl import URL

from healer.ports import Authentication, Delivery
from tests.plugged import example

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
SECRET = "only-the-sender-knows-this-word"
OTHER = "somebody-else-knows-this-word"
BODY = b'{"alerts": [{"status": "firing"}]}'
PATH = "/v1/alarms/ours"
PROJECT = "8f23b7e6962941178a81f106a3e2fe86"


def delivery(
    headers: Mapping[str, str] | None = None,
    *,
    url: str = PATH,
    body: bytes = BODY,
    at: datetime = NOW,
    peer: str = "127.0.0.1",
) -> Delivery:
    """As the receiver makes it of a request."""
    asked = URL(url)
    return Delivery(
        source="ours",
        body=body,
        received_at=at,
        headers=CIMultiDict(headers or {}),
        query=MultiDict(asked.query),
        path=asked.path,
        peer=peer,
    )


def options(name: str, folder: Path, secret: str = SECRET) -> dict[str, Any]:
    """The example of a plug-in, with files that are there and hold the secret."""
    (folder / "secret").write_text(secret + "\n")
    given = example("authentication", name)
    for option in given:
        if option.endswith("_files"):
            given[option] = [str(folder / "secret")]
        elif option.endswith("_file"):
            given[option] = str(folder / "secret")
    return given


def _signed(plugin: Any) -> Delivery:
    at = str(int(NOW.timestamp()))
    signature = hmac.new(SECRET.encode(), at.encode() + b":" + BODY, hashlib.sha256).hexdigest()
    return delivery({plugin.header: signature, plugin.timestamp_header: at})


def _certified(plugin: Any) -> Delivery:
    (subject,), proxy = plugin.subjects, plugin.proxies[0]
    shown = {plugin.subject_header: subject, plugin.verified_header: plugin.verified}
    return delivery(shown, peer=str(proxy.network_address))


RIGHT: Mapping[str, Callable[[Any], Delivery]] = {
    "basic": lambda plugin: delivery(
        {"Authorization": "Basic " + b64encode(f"{plugin.user}:{SECRET}".encode()).decode()}
    ),
    "bearer": lambda _: delivery({"Authorization": f"Bearer {SECRET}"}),
    "header": lambda plugin: delivery({plugin.name: SECRET}),
    "keystone": lambda _: delivery({"X-Auth-Token": SECRET}),
    "proxy_certificate": _certified,
    "signature": _signed,
    "signed_url": lambda plugin: delivery(url=plugin.sign(PATH + "?stack=shop&resource=web")),
}
"""By plug-in: what the right sender sends."""


async def admitted(plugin: Authentication, came: Delivery) -> bool:
    """As the receiver asks: without the body, where that is not needed."""
    if plugin.needs_body:
        return await plugin.admits(came)
    without = Delivery(
        came.source, b"", came.received_at, came.headers, came.query, came.path, came.method, came.peer
    )
    return await plugin.admits(without)


class FakeKeystone:
    """Knows some tokens; its answers are those of Keystone 30.0.0."""

    MAY_ASK = "of-a-user-with-the-role-service"

    def __init__(self) -> None:
        self.tokens: dict[str, Any] = {SECRET: token()}
        self.asked: list[str] = []
        self.answer: Callable[[], web.StreamResponse] | None = None
        """What it answers instead, to whatever it is asked."""
        self.hold: asyncio.Event | None = None
        """What it waits for before it answers."""
        self._server: TestServer

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/v3/auth/tokens", self._handle)
        self._server = TestServer(app)
        await self._server.start_server()

    async def stop(self) -> None:
        await self._server.close()

    def connections(self) -> int:
        """Open now."""
        assert self._server.runner is not None
        assert self._server.runner.server is not None
        return len(self._server.runner.server.connections)

    def clouds_yaml(self, shown: str = MAY_ASK) -> str:
        """Of a user who has got a token already."""
        auth = f"{{endpoint: '{self._server.make_url('/v3')}', token: {shown}}}"
        return f"clouds: {{mine: {{auth_type: admin_token, auth: {auth}}}}}"

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        subject = request.headers["X-Subject-Token"]
        self.asked.append(subject)
        assert request.query_string == "nocatalog=1"
        if self.hold is not None:
            await self.hold.wait()
        if self.answer is not None:
            return self.answer()
        if request.headers["X-Auth-Token"] != self.MAY_ASK:
            forbidden = "You are not authorized to perform the requested action: identity:validate_token."
            return _error(403, "Forbidden", forbidden)
        if request.headers.get("Openstack-Identity-Access-Rules") != "1.0":
            return _error(404, "Not Found", "Failed to validate token")
        if subject not in self.tokens:
            return _error(404, "Not Found", "Could not recognize Fernet token")
        return web.json_response({"token": self.tokens[subject]})


def token(project: str | None = PROJECT, roles: tuple[str, ...] = ("reader", "member")) -> dict[str, Any]:
    """As Keystone 30.0.0 describes one that Aodh got by a trust; without a project it has no roles either."""
    described: dict[str, Any] = {
        "methods": ["password"],
        "user": {"domain": {"id": "default", "name": "Default"}, "id": "19225f45", "name": "alice"},
        "audit_ids": ["AFA_H_n1RGy6QLZp9eRjoA"],
        "expires_at": "2026-11-23T09:00:00.000000Z",
        "issued_at": "2026-11-22T08:00:00.000000Z",
        "OS-TRUST:trust": {
            "id": "8d29c083ce8a4517a2308f6bb6945f24",
            "trustor_user": {"id": "19225f45"},
            "trustee_user": {"id": "76ca6b1a"},
            "impersonation": True,
        },
    }
    if project is not None:
        described["project"] = {
            "domain": {"id": "default", "name": "Default"},
            "id": project,
            "name": "demo",
        }
        described["roles"] = [{"id": f"id-of-{role}", "name": role} for role in roles]
    return described


def _error(status: int, title: str, message: str) -> web.Response:
    return web.json_response(
        {"error": {"code": status, "message": message, "title": title}}, status=status, reason=title
    )
