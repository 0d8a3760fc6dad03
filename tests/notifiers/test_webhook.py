from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from aioresponses import aioresponses
from pydantic import ValidationError

from healer.core.step import Failure
from healer.notifiers.webhook import Webhook
from healer.ports import EngineError, Message

URL = "https://hooks.example.org/healer"
MESSAGE = Message("01J", "api was healed", "It took 3s.", {"stack": "shop", "naïve": "\U0001f600"})


def webhook(**options: Any) -> Webhook:
    return Webhook.model_validate({"url": URL} | options)


async def failure(notifier: Webhook) -> EngineError:
    with pytest.raises(EngineError) as caught:
        await notifier.notify(MESSAGE)
    return caught.value


def server(respond: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> TestServer:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", respond)
    return TestServer(app)


async def test_the_message_arrives_as_json_with_the_token(tmp_path: Path) -> None:
    got: list[tuple[str, Any, str]] = []

    async def respond(request: web.Request) -> web.Response:
        got.append((request.method, await request.json(), request.headers["Authorization"]))
        return web.Response(status=202)

    token_file = tmp_path / "token"
    await asyncio.to_thread(token_file.write_text, "s3cr3t\n")
    async with server(respond) as hook:
        notifier = webhook(url=str(hook.make_url("/in")), token_file=token_file)
        await notifier.notify(MESSAGE)
        await asyncio.to_thread(token_file.write_text, "renewed")
        await notifier.notify(MESSAGE)
    body = {
        "incident": "01J",
        "title": "api was healed",
        "text": "It took 3s.",
        "fields": {"stack": "shop", "naïve": "\U0001f600"},
    }
    assert got == [("POST", body, "Bearer s3cr3t"), ("POST", body, "Bearer renewed")]


async def answered(status: int, **headers: str) -> EngineError | None:
    async def respond(_: web.Request) -> web.Response:
        return web.Response(status=status, headers=headers)

    async with server(respond) as hook:
        try:
            await webhook(url=str(hook.make_url("/in"))).notify(MESSAGE)
        except EngineError as error:
            return error
    return None


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_any_2xx_means_that_it_was_taken(status: int) -> None:
    assert await answered(status) is None


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 403, 404, 410, 413, 422])
async def test_an_answer_that_will_not_change_is_a_rejection(status: int) -> None:
    error = await answered(status, Location="https://elsewhere.example.org/")
    assert error
    assert (error.failure, error.detail) == (Failure.REJECTED, f"answered {status}")


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
async def test_an_answer_that_may_change_is_worth_another_try(status: int) -> None:
    error = await answered(status)
    assert error
    assert (error.failure, error.detail) == (Failure.UNREACHABLE, f"answered {status}")
    assert error.retry_after is None


@pytest.mark.parametrize(
    ("said", "wait"),
    [
        ("7", timedelta(seconds=7)),
        ("9" * 500, timedelta(hours=1)),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
        ("-1", None),
        ("٣", None),
    ],
)
async def test_the_server_may_say_when_to_come_back(said: str, wait: timedelta | None) -> None:
    error = await answered(503, **{"Retry-After": said})
    assert error
    assert error.retry_after == wait


@pytest.mark.parametrize(
    "raised",
    [
        aiohttp.ServerDisconnectedError(),
        aiohttp.ClientPayloadError("half an answer"),
        aiohttp.ClientOSError(104, "Connection reset by peer"),
        TimeoutError(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_connection_that_breaks_proves_nothing_and_is_worth_another_try(raised: Exception) -> None:
    with aioresponses() as answers:
        answers.post(URL, exception=raised)
        assert (await failure(webhook())).failure is Failure.UNREACHABLE


async def test_no_redirect_is_followed() -> None:
    asked = []

    async def respond(request: web.Request) -> web.Response:
        asked.append(request.path)
        raise web.HTTPFound("/elsewhere")

    async with server(respond) as hook:
        assert (await failure(webhook(url=str(hook.make_url("/in"))))).failure is Failure.REJECTED
    assert asked == ["/in"]


async def test_a_server_that_does_not_answer_is_given_up_after_the_timeout() -> None:
    done = asyncio.Event()

    async def respond(_: web.Request) -> web.Response:
        await done.wait()
        return web.Response()

    async with server(respond) as hook:
        error = await failure(webhook(url=str(hook.make_url("/")), timeout="100ms"))
        done.set()
    assert (error.failure, error.detail) == (Failure.UNREACHABLE, "no answer within 100ms")


async def test_nobody_who_listens_is_unreachable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        error = await failure(webhook(url=f"http://127.0.0.1:{taken.getsockname()[1]}/"))
    assert error.failure is Failure.UNREACHABLE
    assert isinstance(error.__cause__, aiohttp.ClientConnectorError)


async def test_a_name_without_an_address_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nothing)
    error = await failure(webhook())
    assert error.failure is Failure.UNREACHABLE
    assert "hooks.example.org" in error.detail


@pytest.mark.parametrize("content", [None, b"", b" \n", b"two\nlines", b"\xff"])
async def test_a_token_that_cannot_be_read_sends_nothing(tmp_path: Path, content: bytes | None) -> None:
    token_file = tmp_path / "token"
    if content is not None:
        await asyncio.to_thread(token_file.write_bytes, content)
    with aioresponses():  # whatever is sent is a connection error
        error = await failure(webhook(token_file=token_file))
    assert error.failure is Failure.UNREACHABLE
    assert "token cannot be read" in error.detail


@pytest.mark.parametrize(
    "options", [{"url": "ftp://x"}, {"url": "hooks"}, {"timeout": "0s"}, {"timeout": 3}, {"token": "x"}]
)
def test_a_mistake_in_the_options_is_an_error_at_load(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        webhook(**options)
