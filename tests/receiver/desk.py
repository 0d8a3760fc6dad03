"""The listeners as the daemon opens them, before a real kernel and a store in memory, in one loop with the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from healer.alarms.alertmanager import Alertmanager
from healer.config.settings import ListenSection
from healer.core.event import Listed, PoliciesLoaded, Snapped, Started, Woken
from healer.core.kernel import Kernel
from healer.core.step import Report
from healer.core.turn import Perform
from healer.ports import Delivery, FiledAlarm, Store
from healer.receiver import alarms, servers
from healer.receiver.alarms import Intake, Source
from healer.runner import Observer, Runner
from healer.stores.memory import Memory
from healer.telemetry import Telemetry
from healer.writer import Writer
from tests.core.driven import POLICY, REPLACE, SHOP, shop

TOKEN = "sesame-and-lilies"
BODY_LIMIT = ListenSection().body_limit
NOW = datetime(2030, 5, 6, 8, 2, tzinfo=UTC)
"""After the shop was created, which the alarms of a test are about."""


class Word:
    """The simplest way to show who one is."""

    needs_body: ClassVar[bool] = False

    def __init__(self, word: str) -> None:
        self._word = word

    async def admits(self, delivery: Delivery) -> bool:
        return delivery.headers.get("Authorization") == f"Bearer {self._word}"


class LoopClock:
    """Begins at a fixed moment, so that a test can name it."""

    def __init__(self) -> None:
        self._began = asyncio.get_running_loop().time()

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.elapsed())

    def elapsed(self) -> float:
        return asyncio.get_running_loop().time() - self._began


class Idle:
    async def perform(self, command: Perform) -> Report:
        await asyncio.Event().wait()
        raise AssertionError(command)


def spawn(coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    return asyncio.get_running_loop().create_task(coroutine, name=name)


@dataclass
class Desk:
    runner: Runner
    writer: Writer
    telemetry: Telemetry
    intake: Intake
    port: int = 0
    unwell: dict[str, str] = field(default_factory=dict)
    """Why it is not alive, not ready."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def thought(self) -> None:
        """Waits until all that was accepted so far has been decided."""
        await self.runner.decide(Woken())

    async def filed(self) -> tuple[FiledAlarm, ...]:
        await self.thought()
        return await self.writer.read(lambda store: store.alarms())

    async def metrics(self) -> str:
        await self.thought()
        text, _ = await self.telemetry.render(self.runner.kernel.state)
        return text.decode()


@asynccontextmanager
async def core(
    *observers: Observer, store: Store | None = None
) -> AsyncIterator[tuple[Runner, Writer, Telemetry]]:
    """The shop is read, and all well in it. No step that is performed ever ends by itself."""
    writer = Writer(store or Memory())
    await writer.read(lambda store: store.acquire())
    clock = LoopClock()
    kernel = Kernel(await writer.read(lambda store: store.load()), b"n")
    telemetry = Telemetry(clock, ["here"], ["alertmanager"])
    runner = Runner(kernel, writer, Idle(), clock=clock, spawn=spawn, observers=[telemetry, *observers])
    runner.start()
    for event in (
        PoliciesLoaded((POLICY,), {"replace": REPLACE}),
        Started(),
        Snapped(shop()),
        Listed("here", frozenset({SHOP})),
    ):
        await runner.decide(event)
    try:
        yield runner, writer, telemetry
    finally:
        await runner.stop(0.05)
        await writer.close()


@asynccontextmanager
async def opened(
    idle: float = servers.IDLE,
    most: int = servers.MOST_OPEN,
    store: Store | None = None,
    body_limit: int = BODY_LIMIT,
    port: int = 0,
    **other: Any,
) -> AsyncIterator[Desk]:
    """`other` replaces fields of the intake. Source `alertmanager` wants the token, source `open` none."""
    async with core(store=store) as (runner, writer, telemetry):
        clock = LoopClock()
        parser, unwell = Alertmanager(), dict[str, str]()
        intake = Intake(
            sources={"alertmanager": Source(parser, (Word(TOKEN),)), "open": Source(parser)},
            accept=runner.accept,
            now=clock.now,
            metrics=lambda accept: telemetry.render(runner.kernel.state, accept),
            alive=lambda: unwell.get("alive"),
            ready=lambda: unwell.get("ready") or runner.unstored,
            telemetry=telemetry,
        )
        desk = Desk(runner, writer, telemetry, replace(intake, **other), unwell=unwell)
        server = await servers.on_tcp(
            alarms.application(desk.intake, body_limit), "127.0.0.1", port, idle, most
        )
        desk.port = server.port
        try:
            yield desk
        finally:
            await server.close()


async def said(port: int, request: bytes, within: float = 5) -> bytes:
    """All that is answered to these bytes, until the other side closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        async with asyncio.timeout(within):
            return await reader.read()
    finally:
        writer.close()
