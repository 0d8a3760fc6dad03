from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from structlog.testing import capture_logs

from healer.confirming import caller, confirm
from healer.ports import Confirmation

WANTED = Confirmation("/v2/queues/q/confirm", {"URL-Signature": "f00"}, b'{"confirmed": true}')


class Sender:
    def __init__(self) -> None:
        self.came: list[tuple[str, str, str | None, bytes]] = []
        self.status = 204
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        signature = request.headers.get("URL-Signature")
        self.came.append((request.method, request.path, signature, await request.read()))
        return web.Response(status=self.status, headers={"Location": "/elsewhere"})


@pytest.fixture
async def sender() -> AsyncIterator[Sender]:
    there = Sender()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", there.take)
    async with TestServer(app, host="127.0.0.1") as server:
        there.url = str(server.make_url("/messaging"))
        yield there


async def test_the_sender_is_called_back_at_the_address_that_is_configured(sender: Sender) -> None:
    with capture_logs() as logs:
        await confirm("zaqar", sender.url, WANTED)
    assert sender.came == [("PUT", "/messaging/v2/queues/q/confirm", "f00", WANTED.body)]
    assert [line["event"] for line in logs] == ["alarms.confirmed"]


@pytest.mark.parametrize("status", [302, 404, 500])
async def test_whatever_it_answers_is_told_and_no_redirect_is_followed(sender: Sender, status: int) -> None:
    sender.status = status
    with capture_logs() as logs:
        await confirm("zaqar", sender.url, WANTED)
    assert len(sender.came) == 1
    assert [(line["event"], line["why"]) for line in logs] == [
        ("alarms.unconfirmed", f"it was answered {status}")
    ]


@pytest.mark.parametrize(
    ("at", "why"), [(None, "confirm_at"), ("http://127.0.0.1:9", "no answer: ClientConnectorError")]
)
async def test_where_it_cannot_be_called_is_told(at: str | None, why: str) -> None:
    with capture_logs() as logs:
        await confirm("zaqar", at, WANTED)
    assert [line["event"] for line in logs] == ["alarms.unconfirmed"]
    assert why in logs[0]["why"]


async def test_the_receiver_does_not_wait_for_it(sender: Sender) -> None:
    tasks: list[asyncio.Task[None]] = []

    def spawn(coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        tasks.append(asyncio.get_running_loop().create_task(coroutine, name=name))
        return tasks[-1]

    caller({"zaqar": sender.url}, spawn)("zaqar", WANTED)
    assert sender.came == []
    await asyncio.wait(tasks)
    assert len(sender.came) == 1
