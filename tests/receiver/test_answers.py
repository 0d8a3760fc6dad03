from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from structlog.testing import capture_logs

from healer.ports import StoreError
from healer.receiver.answers import RefusedError, answer, decoded, plain_errors, read_body


class Word(StrEnum):
    HELD = "held"


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    name: str


async def answered(handler: Callable[[web.Request], Awaitable[web.StreamResponse]], body: bytes = b"") -> Any:
    app = web.Application(middlewares=[plain_errors], client_max_size=100)
    app.router.add_post("/{name}", handler)
    async with (
        TestServer(app) as server,
        aiohttp.ClientSession() as session,
        session.post(server.make_url("/some-secret"), data=body) as got,
    ):
        assert got.content_type == "application/json"
        return got.status, await got.json()


def raising(error: Exception) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handler(request: web.Request) -> web.StreamResponse:
        await request.read()
        raise error

    return handler


def test_an_answer_is_one_line_of_json_with_words_for_enums() -> None:
    response = answer({"state": Word.HELD, "list": (1, None)}, 201)
    assert (response.status, response.content_type) == (201, "application/json")
    assert response.body == b'{"state":"held","list":[1,null]}\n'


def test_text_that_no_encoding_can_write_is_spelt_out() -> None:
    """Some cloud's reason of a failure must not make a whole list unreadable."""
    body = answer({"why": "half \ud800 a pair", "state": Word.HELD}).body
    assert isinstance(body, bytes)
    assert json.loads(body) == {"why": "half \ud800 a pair", "state": "held"}


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (RefusedError(409, "odd", "it is odd", which=[1]), 409, {"reason": "odd", "which": [1]}),
        (web.HTTPConflict(), 409, {"reason": "conflict", "message": "Conflict"}),
        (StoreError("the disk is full"), 503, {"reason": "not_stored", "message": "the disk is full"}),
        (ConnectionResetError("gone"), 400, {"reason": "cut_off"}),
        (web.RequestPayloadError("odd"), 400, {"message": "the body is not what its head says: odd"}),
        (
            KeyError("a secret"),
            500,
            {"reason": "broken", "message": "healer made a mistake; its log tells more"},
        ),
    ],
)
async def test_whatever_a_handler_raises_is_told_in_one_form(
    error: Exception, status: int, told: dict[str, Any]
) -> None:
    with capture_logs() as logs:
        code, body = await answered(raising(error))
    assert code == status
    assert body["error"].items() >= told.items()
    assert [line["event"] for line in logs] == (["request.broke"] if status == 500 else [])


async def test_the_log_of_a_mistake_names_the_route_and_not_what_was_asked_for() -> None:
    with capture_logs() as logs:
        await answered(raising(ValueError()))
    assert logs[0]["route"] == "/{name}"
    assert "some-secret" not in str(logs)


async def test_a_body_is_read_whole_within_its_bounds() -> None:
    async def echo(request: web.Request) -> web.StreamResponse:
        return answer((await read_body(request)).decode())

    assert await answered(echo, b"x" * 100) == (200, "x" * 100)
    assert (await answered(echo, b"x" * 101))[0] == 413


def test_a_body_is_taken_as_exactly_what_it_should_be() -> None:
    assert decoded(b'{"name": "db"}', Strict) == Strict("db")
    for body in (b"", b"{}", b'{"name": 1}', b'{"name": "x", "more": 1}', b"\xff", b"[" * 100_000):
        with pytest.raises(RefusedError) as refused:
            decoded(body, Strict)
        assert (refused.value.status, refused.value.error["reason"]) == (400, "bad_body")


async def test_who_is_cancelled_stays_so() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        raise asyncio.CancelledError(request.path)

    app = web.Application(middlewares=[plain_errors])
    app.router.add_get("/", handler)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await session.get(server.make_url("/"))
