"""What healer reads of a queue of a real Zaqar, and what a subscription of it sends to healer's listener."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from healer.clock import BootClock
from healer.core.model import AlarmStatus, Selector
from healer.ports import EngineError
from healer.pulls.zaqar import Zaqar as Pull
from tests.heat import install
from tests.zaqar.real_zaqar import PROJECT, RealZaqar, real_zaqar, redis_server

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

WITHIN_S = 20.0
NOW = BootClock().now
AODH = {
    "body": {
        "alarm_name": "web_server_3_cpu_dead",
        "alarm_id": "e8ff32f7-72d2-4b8a-9a3f-7ac1c0a6a31c",
        "severity": "critical",
        "previous": "ok",
        "current": "alarm",
        "reason": "Transition to alarm due to 1 samples outside threshold, most recent: 92.5",
        "reason_data": {"type": "threshold", "disposition": "outside", "count": 1, "most_recent": 92.5},
    }
}
"""As Aodh's notifier `zaqar://` posts it."""
PLAIN = {"stack": "shop", "resource": "db", "status": "firing", "id": "disk"}


@pytest.fixture(scope="module")
def venv() -> Path:
    there = install.venv_directory()
    if not install.installed(there) or redis_server(there) is None:
        missing = "the real Zaqar is not installed; this installs it: python3 tests/heat/install.py"
        if os.environ.get("HEALER_REQUIRE_HEAT") == "1":
            raise RuntimeError(missing)
        pytest.skip(missing)
    return there


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def zaqar(venv: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RealZaqar]:
    redis = redis_server(venv)
    assert redis is not None
    async with real_zaqar(venv, redis, tmp_path_factory.mktemp("zaqar")) as running:
        yield running


def reader(zaqar: RealZaqar, queue: str, **options: Any) -> Pull:
    return Pull.model_validate({"url": zaqar.url, "project": PROJECT, "queue": queue} | options)


async def test_what_is_stored_is_deleted_and_not_before(zaqar: RealZaqar) -> None:
    await zaqar.post("plain", AODH, PLAIN)
    pull = reader(zaqar, "plain", about={"stack": "shop"})
    before = NOW()
    aodh, plain = (await pull.pull("zaqar", NOW())).alarms
    assert await zaqar.held("plain") == (0, 2)
    assert (aodh.key, aodh.status, aodh.severity) == (
        AODH["body"]["alarm_id"],
        AlarmStatus.FIRING,
        "critical",
    )
    assert aodh.selector == Selector(stack="shop")
    assert before - timedelta(seconds=3) <= aodh.started_at <= aodh.received_at
    assert (plain.key, plain.selector) == ("disk", Selector(stack="shop", resource="db"))
    await pull.stored()
    assert await zaqar.held("plain") == (0, 0)
    assert not (await pull.pull("zaqar", NOW())).alarms


async def test_a_cloud_of_clouds_yaml(zaqar: RealZaqar) -> None:
    await zaqar.post("cloud", PLAIN)
    options = {"cloud": "mine", "clouds_yaml": zaqar.clouds_yaml(), "queue": "cloud"}
    pull = Pull.model_validate(options)
    try:
        assert [alarm.key for alarm in (await pull.pull("zaqar", NOW())).alarms] == ["disk"]
        await pull.stored()
        assert await zaqar.held("cloud") == (0, 0)
        nowhere = Pull.model_validate(options | {"queue": "nowhere"})
        with pytest.raises(EngineError, match=r"has no queue 'nowhere' yet.*cloud"):
            await nowhere.pull("zaqar", NOW())
        await nowhere.close()
    finally:
        await pull.close()
