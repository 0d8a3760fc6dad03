"""Two real Alertmanagers that know each other before healer's own listener: who sends, and that it is one alarm."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from healer.alarms.alertmanager import Alertmanager as Webhook
from healer.clock import BootClock
from healer.core.model import Alarm
from healer.receiver.alarms import Source
from tests.debian.programs import Alertmanager, launcher, ungrouped
from tests.receiver.desk import Desk, opened

pytestmark = [pytest.mark.slow, pytest.mark.debian("prometheus-alertmanager")]
PEER_TIMEOUT_S = 2.0
"""How long the second waits for the word of the first that it has sent. Alertmanager's own is 15 s."""
WITHIN_S = 30.0
SOURCES = {"alertmanager": Source(Webhook())}
SENT = re.compile(r'^alertmanager_notifications_total\{integration="webhook"\} (\d+)', re.MULTILINE)
TAKEN = re.compile(r'^healer_webhook_requests_total\{code="202",source="alertmanager"\} (\d+)', re.MULTILINE)
now = BootClock().now


def free_port() -> int:
    """Of TCP and UDP both, which members of a cluster need."""
    for _ in range(20):
        with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            port: int = tcp.getsockname()[1]
            try:
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    pytest.fail("no port is free")


def member(port: int, *peers: int) -> type[Alertmanager]:
    """One of a cluster that settles, and sees who is gone, in less than a second."""

    class Member(Alertmanager):
        options = (
            "--storage.path=data",
            f"--cluster.listen-address=127.0.0.1:{port}",
            *(f"--cluster.peer=127.0.0.1:{peer}" for peer in peers),
            f"--cluster.peer-timeout={PEER_TIMEOUT_S}s",
            "--cluster.gossip-interval=20ms",
            "--cluster.probe-interval=200ms",
            "--cluster.probe-timeout=100ms",
        )

    return Member


Start = Callable[[str], Awaitable[list[Alertmanager]]]


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Start]:
    """Starts two that send to this URL; they are given back in the order in which they send."""
    async with AsyncExitStack() as running:

        async def started(url: str) -> list[Alertmanager]:
            ports = [free_port() for _ in range(2)]
            members = []
            for number, port in enumerate(ports):
                folder = tmp_path / str(number)
                folder.mkdir()
                launch = await running.enter_async_context(launcher(member(port, *ports[:number]), folder))
                members.append(await launch(ungrouped(url)))
            first, second = members

            async def settled() -> bool:
                said = [(await one.get("/api/v2/status"))["cluster"] for one in members]
                return all(one["status"] == "ready" and len(one["peers"]) == 2 for one in said)

            await until(settled, "the two to know each other")
            names = [(await one.get("/api/v2/status"))["cluster"]["name"] for one in members]
            return [first, second] if names[0] < names[1] else [second, first]

        yield started


async def until(condition: Callable[[], Awaitable[Any]], what: str) -> Any:
    deadline = asyncio.get_running_loop().time() + WITHIN_S
    while not (found := await condition()):
        assert asyncio.get_running_loop().time() < deadline, f"in vain waited for {what}"
        await asyncio.sleep(0.05)
    return found


def counted(text: str, what: re.Pattern[str]) -> int:
    found = what.search(text)
    return int(found[1]) if found else 0


async def sent(one: Alertmanager, times: int) -> None:
    """It says of itself that it has, a moment after it was answered."""

    async def look() -> bool:
        async with one.session.get(f"{one.url}/metrics") as answer:
            return counted(await answer.text(), SENT) == times

    await until(look, f"{times} sent by {one.url}")


async def taken(desk: Desk, times: int) -> None:
    async def look() -> bool:
        return counted(await desk.metrics(), TAKEN) >= times

    await until(look, f"{times} deliveries")


async def no_more_than(desk: Desk, times: int, for_s: float) -> None:
    """Looks on for as long as another delivery could take."""
    deadline = asyncio.get_running_loop().time() + for_s
    while asyncio.get_running_loop().time() < deadline:
        assert counted(await desk.metrics(), TAKEN) == times
        await asyncio.sleep(0.1)


async def fire(server: str, *members: Alertmanager) -> None:
    """As a Prometheus does that tells all of a cluster. By its id, for this shop was made in a time to come."""
    alert = {"labels": {"alertname": "Down", "server_id": server}, "startsAt": now().isoformat()}
    for one in members:
        await one.post(alert)


async def test_one_of_a_pair_sends_and_when_it_dies_the_other_does(pair: Start) -> None:
    async with opened(sources=SOURCES) as desk:
        first, second = await pair(f"{desk.url}/v1/alarms/alertmanager")
        await fire("db-1", first, second)
        await taken(desk, 1)
        await no_more_than(desk, 1, PEER_TIMEOUT_S + 1)
        await sent(first, 1)
        await sent(second, 0)

        first.process.send_signal(signal.SIGKILL)
        await first.process.wait()
        await fire("web-1", second)
        await taken(desk, 2)
        await sent(second, 1)
        kept = {filed.alarm.selector.physical_id for filed in await desk.filed()}
        assert kept == {"db-1", "web-1"}
        assert len(desk.runner.kernel.state.incidents) == 2


async def test_one_that_hangs_is_stood_in_for_and_what_it_sends_later_is_known(pair: Start) -> None:
    async with opened(sources=SOURCES) as desk:
        first, second = await pair(f"{desk.url}/v1/alarms/alertmanager")
        first.process.send_signal(signal.SIGSTOP)
        try:
            await fire("db-1", second)
            await taken(desk, 1)
            await sent(second, 1)
        finally:
            first.process.send_signal(signal.SIGCONT)
        # Its Prometheus tells it again: whether it sends that or has heard that it was sent, it is one alarm.
        [filed] = await desk.filed()
        await first.post(
            {
                "labels": {"alertname": "Down", "server_id": "db-1"},
                "startsAt": filed.alarm.started_at.isoformat(),
            }
        )
        await fire("web-1", first, second)

        async def both() -> bool:
            return {one.alarm.selector.physical_id for one in await desk.filed()} == {"db-1", "web-1"}

        await until(both, "the next alarm")
        assert len(await desk.filed()) == 2
        assert len(desk.runner.kernel.state.incidents) == 2


async def test_where_both_send_it_is_one_alarm_and_one_incident(pair: Start) -> None:
    """As they do where the one that sends is not answered in time, or does not reach the other."""
    waiting, go = asyncio.Semaphore(0), asyncio.Event()

    async def slowly(alarms: tuple[Alarm, ...]) -> tuple[bool, ...]:
        waiting.release()
        await go.wait()
        return await desk.runner.accept(alarms)

    async with opened(sources=SOURCES, accept=slowly) as desk:
        members = await pair(f"{desk.url}/v1/alarms/alertmanager")
        await fire("db-1", *members)
        async with asyncio.timeout(WITHIN_S):
            for _ in members:
                await waiting.acquire()
        assert await desk.filed() == ()
        go.set()
        await taken(desk, 2)
        for one in members:
            await sent(one, 1)
        assert len(await desk.filed()) == 1
        assert len(desk.runner.kernel.state.incidents) == 1
