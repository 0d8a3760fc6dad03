"""The whole loop, none of it played: Prometheus sees, Alertmanager tells, healer heals a stack of a real Heat."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from prometheus_client.parser import text_string_to_metric_families

from tests.debian.programs import Alertmanager, Launcher, Prometheus, ungrouped, watching
from tests.heat.stacks import Stack
from tests.whole.daemon import ANSWERS, CLOUD, Daemon, policy
from tests.whole.scene import Scene, changed, kill

TIERS = ("db", "api", "web")
TOKEN = "a-token-of-thirty-two-characters"
RULE: Mapping[str, Any] = {
    "alert": "TierDown",
    "expr": "tier_answers == 0",
    # Once it answers again, the alert goes on firing for a while: whoever heals at every word of it heals twice.
    "keep_firing_for": "15s",
    "annotations": {"summary": "{{ $labels.resource }} of {{ $labels.stack }} does not answer"},
}


class Exporter:
    """Says of each tier whether it answers, wherever Heat says that it listens now."""

    def __init__(self, scene: Scene, stack: Stack) -> None:
        self._scene = scene
        self._stack = stack

    async def metrics(self, _request: web.Request) -> web.Response:
        lines = [
            f'tier_answers{{cloud="{CLOUD}",stack="{self._stack.name}",resource="{tier}"}} '
            f"{int(await self._answers(tier))}\n"
            for tier in TIERS
        ]
        return web.Response(text="".join(lines))

    async def _answers(self, tier: str) -> bool:
        url = f"http://{await self._scene.where(self._stack, tier)}/"
        try:
            async with aiohttp.ClientSession() as session, session.get(url) as answer:
                return answer.status == web.HTTPOk.status_code
        except aiohttp.ClientConnectionError:
            return False


@pytest.fixture
async def shop(scene: Scene) -> Stack:
    """db <- api <- web."""
    return await scene.make("three_tier")


@pytest.fixture
async def exporter(scene: Scene, shop: Stack) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/metrics", Exporter(scene, shop).metrics)
    async with TestServer(app) as server:
        yield f"{server.host}:{server.port}"


@dataclass
class Senders:
    """Prometheus and Alertmanager, set up as one should, and hasty."""

    exporter: str
    prometheus: Launcher[Prometheus]
    alertmanager: Launcher[Alertmanager]

    async def start(self, url: str) -> Prometheus:
        tells = await self.alertmanager(
            ungrouped(url, token=TOKEN, group_interval="1s", repeat_interval="1s")
        )
        return await self.prometheus(watching({"tiers": self.exporter}, [RULE], tells.url, interval="1s"))


@pytest.fixture
def senders(exporter: str, prometheus: Launcher[Prometheus], alertmanager: Launcher[Alertmanager]) -> Senders:
    return Senders(exporter, prometheus, alertmanager)


@pytest.mark.slow
@pytest.mark.real_heat
@pytest.mark.debian("prometheus", "prometheus-alertmanager")
async def test_what_prometheus_sees_is_healed_once_however_long_the_alert_goes_on(
    scene: Scene, shop: Stack, senders: Senders
) -> None:
    token = scene.folder / "token"
    token.write_text(TOKEN)
    # The probe is there to verify. It would notice by itself only after a quarter of an hour.
    patient = policy(detect={"probes": [{"http": ANSWERS, "interval": "1s"}], "fail_after": 900})
    before = await scene.ids(shop)
    shown = {"auth": {"bearer": {"token_files": [str(token)]}}}
    async with scene.daemon(shop, patient, alarms={"alertmanager": shown}) as daemon:
        await daemon.start()
        found = await daemon.healthy()
        url = f"http://127.0.0.1:{await daemon.port()}/v1/alarms/alertmanager"
        sees = await senders.start(url)
        await daemon.until(lambda: sees.query("sum(tier_answers) == 3"), "Prometheus to see all tiers answer")

        kill(found["db"])
        incident = await daemon.incident("db", outcome="healed")
        told = await duplicates(daemon)
        await daemon.until(lambda: told_more_often(daemon, told + 2), "Alertmanager to repeat itself")
        assert await sees.query('ALERTS{alertstate="firing",resource="db"}'), (
            "it was over before it could heal twice"
        )
        await daemon.until(lambda: all_cleared(daemon), "the alerts to be resolved")
        outcomes = {one["resource"]: one["outcome"] for one in await daemon.incidents()}
        assert len(await daemon.incidents()) == len(TIERS)
        assert not await daemon.incidents(still_open=True)

    assert incident["source"].startswith("alarm:alertmanager:")
    # What failed only because db did was never touched, though there was an alarm of it as well.
    assert outcomes == {"db": "healed", "api": "cancelled", "web": "cancelled"}
    after = await scene.ids(shop)
    assert changed(before, after) == {("", "db")}
    assert after["", "db"] == incident["successor"]
    assert await scene.told(shop, "api") == {"db": await scene.where(shop, "db")}
    happened = await scene.happened(shop)
    assert happened["db", "CHECK_FAILED"] == 1
    assert happened[shop.name, "UPDATE_COMPLETE"] == 1
    assert [happened[tier, "CREATE_COMPLETE"] for tier in TIERS] == [2, 1, 1]


async def told_more_often(daemon: Daemon, times: float) -> bool:
    return await duplicates(daemon) >= times


async def all_cleared(daemon: Daemon) -> bool:
    cleared = [each for each in (await daemon.get("/v1/alarms"))["alarms"] if each["status"] == "cleared"]
    return len(cleared) == len(TIERS)


async def duplicates(daemon: Daemon) -> float:
    families = {family.name: family for family in text_string_to_metric_families(await daemon.metrics())}
    received = families["healer_alarms_received"].samples
    return sum(each.value for each in received if each.labels["outcome"] == "duplicate")
