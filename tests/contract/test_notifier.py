"""What every notifier keeps to: ports.Notifier, without a network and with any text."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from structlog.testing import capture_logs

from healer.core.step import Failure
from healer.ports import EngineError, Message
from tests.plugged import build, every, fits

MESSAGES = [
    Message("01J", "api was healed", "It took 3s.", {"stack": "shop"}),
    Message("", "", ""),
    Message(
        "01J", "naïve \U0001f600 \x00 \x1b[31m", "line\r\nline" * 1000, {"": "", "event": "x", "title": "y"}
    ),
    Message("01J", "half \ud800", "half \udc00", {"\ud800": "\udc00"}),
]


@pytest.fixture(autouse=True)
def without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", nothing)


@every("notifiers")
def test_it_fits_its_socket(name: str) -> None:
    notifier = build("notifiers", name)
    fits(notifier, "notify")
    assert asyncio.iscoroutinefunction(notifier.notify)


@every("notifiers")
@pytest.mark.parametrize("message", MESSAGES, ids=["plain", "empty", "odd", "broken"])
async def test_without_a_network_it_tells_or_is_to_be_tried_again(name: str, message: Message) -> None:
    notifier = build("notifiers", name)
    failure, detail = Failure.UNREACHABLE, "none"
    with capture_logs():
        try:
            async with asyncio.timeout(10):
                await notifier.notify(message)
        except EngineError as error:
            failure, detail = error.failure, error.detail
    assert failure is Failure.UNREACHABLE
    assert detail


@every("notifiers")
async def test_it_leaves_nothing_behind(name: str) -> None:
    notifier = build("notifiers", name)
    before = asyncio.all_tasks()
    with capture_logs():
        for _ in range(5):
            try:
                await notifier.notify(MESSAGES[0])
            except EngineError:
                continue
    async with asyncio.timeout(5):
        while asyncio.all_tasks() - before:
            await asyncio.sleep(0.005)
