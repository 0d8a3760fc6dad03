"""A real Prometheus that takes healer for its Alertmanager."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from healer.alarms.prometheus import Prometheus as Direct
from healer.clock import BootClock
from healer.core.model import AlarmStatus
from healer.receiver.alarms import Source
from tests.debian.programs import Launcher, Prometheus, watching
from tests.receiver.desk import opened

WITHIN_S = 30.0
# What fires before Prometheus has found its Alertmanagers, which takes it 5 s, is sent a minute later.
PATIENT = {"expr": "vector(1)", "for": "7s"}
RULES: list[dict[str, Any]] = [
    {**PATIENT, "alert": "Down", "labels": {"server_id": "db-1"}, "annotations": {"summary": "it is down"}},
    {**PATIENT, "alert": "Watchdog"},
]


@pytest.mark.slow
@pytest.mark.debian("prometheus")
async def test_what_it_sees_is_an_alarm_with_an_end(
    prometheus: Launcher[Prometheus],
) -> None:
    sources = {"prometheus": Source(Direct(), watchdog="Watchdog")}
    async with opened(sources=sources, now=BootClock().now) as desk:
        documents = watching({}, RULES, desk.url)
        documents["config.yml"]["alerting"]["alertmanagers"][0]["path_prefix"] = "/alertmanager"
        sees = await prometheus(documents)
        deadline = asyncio.get_running_loop().time() + WITHIN_S
        while not (kept := await desk.filed()):
            assert asyncio.get_running_loop().time() < deadline, "Prometheus has sent nothing"
            await asyncio.sleep(0.1)
        [filed] = kept
        alarm = filed.alarm
        assert (alarm.status, alarm.labels["alertname"]) == (AlarmStatus.FIRING, "Down")
        assert alarm.expires_at is not None
        assert timedelta(minutes=1) < alarm.expires_at - alarm.started_at < timedelta(minutes=10)
        assert "healer_watchdog_last_received_timestamp_seconds" in await desk.metrics()
        # It counts what an Alertmanager does not take.
        assert not await sees.query("sum(prometheus_notifications_errors_total) > 0")
