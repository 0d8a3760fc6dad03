"""What people silence in a real Alertmanager, and what it inhibits: a daemon leaves it alone until that is over."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from healer.cli import main
from healer.clock import BootClock
from tests.daemon.houses import Empty, Inside, inside, kill
from tests.debian.programs import Alertmanager, Launcher, ungrouped, until

pytestmark = [pytest.mark.slow, pytest.mark.debian("prometheus-alertmanager")]
now = BootClock().now
DOWN = {"alertname": "Down", "stack": "shop", "resource": "db"}
NODE_DOWN = {"alertname": "NodeDown", "room": "1"}
Furnish = Callable[[Alertmanager], Awaitable[Empty]]


@pytest.fixture(autouse=True)
def log() -> Iterator[list[Any]]:
    with capture_logs() as lines:
        yield lines


@pytest.fixture
def furnish() -> Iterator[Furnish]:
    with ExitStack() as entered:

        async def made(sender: Alertmanager) -> Empty:
            alarms = {"alertmanager": {"pull": {"alertmanager": {"url": sender.url}}}}
            return await asyncio.to_thread(lambda: entered.enter_context(Empty(config={"alarms": alarms})))

        yield made


async def silence(sender: Alertmanager, seconds: float, **labels: str) -> tuple[str, datetime]:
    """Its id and its end."""
    at = now()
    body = {
        "matchers": [
            {"name": name, "value": value, "isRegex": "|" in value} for name, value in labels.items()
        ],
        "startsAt": at.isoformat(),
        "endsAt": (at + timedelta(seconds=seconds)).isoformat(),
        "createdBy": "anna",
        "comment": "a new disk",
    }
    async with sender.session.post(f"{sender.url}/api/v2/silences", json=body) as answer:
        said = await answer.json()
        assert answer.ok, said
    return said["silenceID"], at + timedelta(seconds=seconds)


async def read_at_once(daemon: Inside) -> None:
    """A notification that was cut off makes it read; it would do so by itself within a minute."""
    body = {"version": "4", "status": "firing", "alerts": [], "truncatedAlerts": 1}
    status, said = await daemon.http("POST", "/v1/alarms/alertmanager", data=json.dumps(body))
    assert status in {200, 202}, said


async def test_a_silence_of_a_thing_holds_what_a_probe_has_seen_until_it_ends_by_itself(
    alertmanager: Launcher[Alertmanager], furnish: Furnish, capsys: pytest.CaptureFixture[str]
) -> None:
    sender = await alertmanager(ungrouped("http://127.0.0.1:9"))
    house = await furnish(sender)
    async with inside(house) as daemon:
        before = await daemon.healthy()
        name, end = await silence(sender, 14, stack="shop", resource="db|cache")
        await read_at_once(daemon)

        async def heard() -> bool:
            return bool((await daemon.get("/v1/status"))["silences"])

        await until(heard, "the silence to be read")
        kill(before["db"])
        held = await daemon.incident("db", "silenced")
        assert held["refusal"]["sentence"] == (
            f"silence {name} of alertmanager, by anna until {end:%d %b %H:%M:%S} UTC: a new disk"
        )
        assert await daemon.ask(main, ["status", "--socket", str(house.folder / "api.sock")]) == 0
        printed = " ".join(capsys.readouterr().out.split())
        assert f"silenced {held['refusal']['sentence']}" in printed
        closed = await daemon.incident("db", outcome="healed")
        assert closed["id"] == held["id"]
        begun = next(one for one in await daemon.story(closed["id"]) if one["kind"] == "incident.admitted")
        late = datetime.fromisoformat(begun["at"]) - end
        assert timedelta(seconds=-1) < late < timedelta(seconds=3), "reading the stack took most of it"
        assert (await daemon.get("/v1/status"))["silences"] == []


async def test_one_that_is_there_at_the_start_and_is_deleted(
    alertmanager: Launcher[Alertmanager], furnish: Furnish
) -> None:
    sender = await alertmanager(ungrouped("http://127.0.0.1:9"))
    name, _ = await silence(sender, 3600, stack="shop")
    house = await furnish(sender)
    async with inside(house) as daemon:
        before = await daemon.healthy()
        kill(before["db"])
        held = await daemon.incident("db", "silenced")
        assert name in held["refusal"]["sentence"]
        async with sender.session.delete(f"{sender.url}/api/v2/silence/{name}") as answer:
            assert answer.ok
        await read_at_once(daemon)
        closed = await daemon.incident("db", outcome="healed")
        assert closed["id"] == held["id"]


async def test_an_alert_that_is_inhibited_holds_what_it_names_until_it_is_not(
    alertmanager: Launcher[Alertmanager], furnish: Furnish
) -> None:
    documents = ungrouped("http://127.0.0.1:9")
    documents["config.yml"]["inhibit_rules"] = [  # type: ignore[index]
        {"source_matchers": ["alertname=NodeDown"], "target_matchers": ["alertname=Down"]}
    ]
    sender = await alertmanager(documents)
    await sender.post({"labels": NODE_DOWN}, {"labels": DOWN})
    house = await furnish(sender)
    async with inside(house) as daemon:
        before = await daemon.healthy()

        async def heard() -> bool:
            return bool((await daemon.get("/v1/status"))["silences"])

        await until(heard, "the inhibition to be read")
        kill(before["db"])
        held = await daemon.incident("db", "silenced")
        assert held["refusal"]["sentence"] == "alertmanager withholds alarm Down, inhibited by NodeDown"
        over = {"startsAt": (now() - timedelta(minutes=1)).isoformat(), "endsAt": now().isoformat()}
        await sender.post({"labels": NODE_DOWN} | over, {"labels": DOWN} | over)
        await read_at_once(daemon)
        closed = await daemon.incident("db", outcome="healed")
        assert closed["id"] == held["id"]
