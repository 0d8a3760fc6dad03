"""A real Alertmanager before healer's own listener: what it sends, what it withholds, and what can be read at it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from healer.alarms.alertmanager import Alertmanager as Webhook
from healer.clock import BootClock
from healer.core.model import Alarm, AlarmStatus
from healer.ports import Batch
from healer.pulling import Pulling, waker
from healer.pulls.alertmanager import Alertmanager as Pull
from healer.receiver.alarms import Source
from tests.debian.programs import Alertmanager, Launcher, ungrouped
from tests.receiver.desk import Desk, opened, said

pytestmark = [pytest.mark.slow, pytest.mark.debian("prometheus-alertmanager")]
WITHIN_S = 40.0
now = BootClock().now


def down(resource: str, **more: Any) -> dict[str, Any]:
    return {"labels": {"alertname": "Down", "stack": "shop", "resource": resource}, **more}


async def until(condition: Callable[[], Awaitable[Any]], what: str) -> Any:
    deadline = asyncio.get_running_loop().time() + WITHIN_S
    while not (found := await condition()):
        assert asyncio.get_running_loop().time() < deadline, f"in vain waited for {what}"
        await asyncio.sleep(0.1)
    return found


async def came(desk: Desk, *wanted: tuple[str, AlarmStatus]) -> list[Alarm]:
    """All that is stored, once these are."""

    async def there() -> list[Alarm] | None:
        kept = [filed.alarm for filed in await desk.filed()]
        said = {(alarm.selector.resource, alarm.status) for alarm in kept}
        return kept if set(wanted) <= said else None

    found: list[Alarm] = await until(there, f"{wanted}")
    return found


@pytest.fixture
def url() -> str:
    return "/v1/alarms/alertmanager"


async def test_what_fires_is_over_or_comes_again_is_one_alarm_each(
    alertmanager: Launcher[Alertmanager], url: str
) -> None:
    async with opened(sources={"alertmanager": Source(Webhook())}) as desk:
        sender = await alertmanager(ungrouped(desk.url + url, group_interval="1s", repeat_interval="1s"))
        await sender.post(down("db"), down("web"))
        firing, cleared = AlarmStatus.FIRING, AlarmStatus.CLEARED
        await came(desk, ("db", firing), ("web", firing))
        again = 'healer_alarms_received_total{outcome="duplicate",source="alertmanager",status="firing"}'

        async def repeated() -> bool:
            lines = (await desk.metrics()).splitlines()
            return any(line.startswith(again) and not line.endswith(" 0.0") for line in lines)

        await until(repeated, "a repeat")
        at = now()
        await sender.post(down("db", startsAt=(at - timedelta(minutes=1)).isoformat(), endsAt=at.isoformat()))
        kept = await came(desk, ("db", cleared))
        assert len([alarm for alarm in kept if alarm.selector.resource == "web"]) == 1


async def test_what_it_cut_off_is_counted_and_read_at_it_at_once(
    alertmanager: Launcher[Alertmanager], url: str
) -> None:
    pullings: list[Pulling] = []
    read = asyncio.Event()
    async with opened(sources={"alertmanager": Source(Webhook())}, cut_off=waker(pullings)) as desk:

        def received(source: str, batch: Batch, new: tuple[bool, ...]) -> None:
            desk.telemetry.received(source, batch, new)
            read.set()

        documents = ungrouped(desk.url + url, group_interval="1s")
        documents["config.yml"]["route"]["group_by"] = ["alertname"]
        documents["config.yml"]["route"]["group_wait"] = "2s"
        documents["config.yml"]["receivers"][0]["webhook_configs"][0]["max_alerts"] = 1
        sender = await alertmanager(documents)
        pullings.append(Pulling("alertmanager", Pull(url=sender.url), desk.runner.accept, now, received))
        reading = asyncio.get_running_loop().create_task(pullings[0].run())
        try:
            async with asyncio.timeout(WITHIN_S):
                await read.wait()
            # The next one by itself is a minute away, and `came` has less patience.
            await sender.post(down("db"), down("web"), down("api"))
            firing = AlarmStatus.FIRING
            kept = await came(desk, ("db", firing), ("web", firing), ("api", firing))
            assert len(kept) == 3, "the one that came both ways is one"
            assert 'healer_alarms_truncated_total{source="alertmanager"} 2.0' in await desk.metrics()
        finally:
            reading.cancel()
            await asyncio.wait([reading])


async def test_what_is_silenced_is_neither_sent_nor_read(
    alertmanager: Launcher[Alertmanager], url: str
) -> None:
    async with opened(sources={"alertmanager": Source(Webhook())}) as desk:
        sender = await alertmanager(ungrouped(desk.url + url))
        at = now()
        silence = {
            "matchers": [{"name": "resource", "value": "db", "isRegex": False}],
            "startsAt": at.isoformat(),
            "endsAt": (at + timedelta(hours=1)).isoformat(),
            "createdBy": "anna",
            "comment": "at work on it",
        }
        async with sender.session.post(f"{sender.url}/api/v2/silences", json=silence) as answer:
            assert answer.ok
        await sender.post(down("db"), down("web"))
        kept = await came(desk, ("web", AlarmStatus.FIRING))
        assert [alarm.selector.resource for alarm in kept] == ["web"]
        batch = await Pull(url=sender.url).pull("alertmanager", now())
        assert [alarm.selector.resource for alarm in batch.alarms] == ["web"]


async def test_what_fired_while_nobody_listened_comes_once_somebody_does(
    alertmanager: Launcher[Alertmanager], url: str
) -> None:
    async with opened(sources={"alertmanager": Source(Webhook())}) as desk:
        unwell = desk.unwell
        unwell["ready"] = "it is starting"
        sender = await alertmanager(ungrouped(desk.url + url))
        await sender.post(down("db"))

        async def refused() -> bool:
            return 'healer_webhook_requests_total{code="503",source="alertmanager"}' in await desk.metrics()

        await until(refused, "a try that was answered 503")
        assert await desk.filed() == ()
        unwell.clear()
        [alarm] = await came(desk, ("db", AlarmStatus.FIRING))
        assert alarm.selector.stack == "shop"


async def test_what_fired_while_the_listener_was_gone_comes_once_it_is_back(
    alertmanager: Launcher[Alertmanager], url: str
) -> None:
    async with opened(sources={"alertmanager": Source(Webhook())}) as gone:
        port = gone.port
    with pytest.raises(ConnectionRefusedError):
        await said(port, b"")
    sender = await alertmanager(ungrouped(f"http://127.0.0.1:{port}{url}"))
    await sender.post(down("db"))
    failed = 'alertmanager_notification_requests_failed_total{integration="webhook"'

    async def refused() -> bool:
        async with sender.session.get(f"{sender.url}/metrics") as answer:
            lines = (await answer.text()).splitlines()
        return any(line.startswith(failed) and not line.endswith(" 0") for line in lines)

    await until(refused, "a try that nobody answered")
    async with opened(sources={"alertmanager": Source(Webhook())}, port=port) as back:
        [alarm] = await came(back, ("db", AlarmStatus.FIRING))
        assert alarm.selector.stack == "shop"


async def test_both_of_a_pair_deliver_and_it_is_one_alarm(
    alertmanager: Launcher[Alertmanager], url: str
) -> None:
    """Two that do not know each other always deliver twice; a pair does when its network fails."""
    async with opened(sources={"alertmanager": Source(Webhook())}) as desk:
        pair = [await alertmanager(ungrouped(desk.url + url)) for _ in range(2)]
        started = now().isoformat()
        for sender in pair:
            # By its id, for this shop was made in a time to come.
            await sender.post({"labels": {"alertname": "Down", "server_id": "db-1"}, "startsAt": started})

        async def twice() -> bool:
            return (
                'healer_webhook_requests_total{code="202",source="alertmanager"} 2.0' in await desk.metrics()
            )

        await until(twice, "two deliveries")
        assert len(await desk.filed()) == 1
        assert len(desk.runner.kernel.state.incidents) == 1
