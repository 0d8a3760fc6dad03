"""A real Prometheus that takes healer for its Alertmanager."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from healer.alarms.prometheus import Prometheus as Direct
from healer.clock import BootClock
from healer.core.model import Alarm, AlarmStatus
from healer.ports import FiledAlarm
from healer.receiver.alarms import Source
from tests.debian.programs import Launcher, Prometheus, launcher, until, watching
from tests.receiver.desk import Desk, opened

WITHIN_S = 30.0
# What fires before Prometheus has found its Alertmanagers, which takes it 5 s, is sent only after the delay of repeats.
PATIENT = {"expr": "vector(1)", "for": "7s"}
DOWN = {**PATIENT, "alert": "Down", "labels": {"server_id": "db-1"}, "annotations": {"summary": "it is down"}}
WATCHDOG = {**PATIENT, "alert": "Watchdog"}


class Hasty(Prometheus):
    """Sends what fires again every 5 s instead of every minute."""

    options = (*Prometheus.options, "--rules.alert.resend-delay=5s")


@pytest.fixture
async def prometheus(tmp_path: Path) -> AsyncIterator[Launcher[Hasty]]:
    async with launcher(Hasty, tmp_path) as launch:
        yield launch


def seeing(desk: Desk, *rules: Mapping[str, Any]) -> dict[str, Any]:
    documents: dict[str, Any] = dict(watching({}, rules, desk.url))
    documents["config.yml"]["alerting"]["alertmanagers"][0]["path_prefix"] = "/alertmanager"
    return documents


@pytest.mark.slow
@pytest.mark.debian("prometheus")
async def test_what_it_sees_is_an_alarm_with_an_end_that_is_put_off_until_it_is_over(
    prometheus: Launcher[Hasty],
) -> None:
    sources = {"prometheus": Source(Direct(), watchdog="Watchdog")}
    async with opened(sources=sources, now=BootClock().now) as desk:
        sees = await prometheus(seeing(desk, DOWN, WATCHDOG))

        async def there() -> Sequence[FiledAlarm] | None:
            return await desk.filed() or None

        [filed] = await until(there, "what Prometheus sends", WITHIN_S)
        alarm = filed.alarm
        assert (alarm.status, alarm.labels["alertname"]) == (AlarmStatus.FIRING, "Down")
        assert alarm.expires_at is not None
        assert timedelta(seconds=15) < alarm.expires_at - alarm.received_at < timedelta(seconds=25)
        assert "healer_watchdog_last_received_timestamp_seconds" in await desk.metrics()

        again = 'healer_alarms_received_total{outcome="duplicate",source="prometheus",status="firing"}'

        async def repeated() -> bool:
            lines = (await desk.metrics()).splitlines()
            return any(line.startswith(again) and not line.endswith(" 0.0") for line in lines)

        await until(repeated, "a repeat", WITHIN_S)
        assert [one.alarm.identity for one in await desk.filed()] == [alarm.identity]

        await sees.reload(seeing(desk, DOWN | {"expr": "vector(1) > 1"}, WATCHDOG))

        async def over() -> list[Alarm] | None:
            kept = [one.alarm for one in await desk.filed()]
            return [one for one in kept if one.status is AlarmStatus.CLEARED] or None

        [cleared] = await until(over, "the end of it", WITHIN_S)
        assert (cleared.key, cleared.started_at) == (alarm.key, alarm.started_at)
        assert len(await desk.filed()) == 2
        # It counts what an Alertmanager does not take.
        assert not await sees.query("sum(prometheus_notifications_errors_total) > 0")
