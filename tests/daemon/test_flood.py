"""Alarms by the thousand: none that was taken is lost or kept twice, and one failure is one heal."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import aiohttp
import pytest

from healer.demo.house import pid_of
from healer.ports import StoreError
from healer.stores.sqlite import Sqlite
from tests.daemon.houses import Hasty, until

ALERTS, IN_EACH, AT_ONCE = 10_000, 100, 20
CONFIG: dict[str, Any] = {"alarms": {"alertmanager": {}}}


def alert(key: str, **labels: str) -> dict[str, object]:
    return {
        "status": "firing",
        "labels": {"alertname": "Down", **labels},
        "startsAt": "2030-01-01T00:00:00Z",
        "fingerprint": key,
    }


KEYS = tuple(f"{number:016x}" for number in range(ALERTS))


async def flood(url: str, keys: Sequence[str], until_taken: int, then: Callable[[], None]) -> set[str]:
    """Keys of the alerts that were answered 202, where many send at once; `then` is done once so many were."""
    taken: set[str] = set()
    waiting = iter(range(0, len(keys), IN_EACH))

    async def send(session: aiohttp.ClientSession) -> None:
        for first in waiting:
            some = keys[first : first + IN_EACH]
            body = json.dumps({"alerts": [alert(key, stack=f"none-{key}") for key in some]})
            try:
                async with session.post(url, data=body) as answer:
                    if answer.status == 202:
                        taken.update(some)
            except aiohttp.ClientError:
                continue  # What was not answered may be there or not.
            if len(taken) >= until_taken:
                then()
                return

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(send(session) for _ in range(AT_ONCE)), return_exceptions=True)
    return taken


@pytest.mark.slow
def test_what_was_taken_before_the_daemon_was_killed_is_kept_and_kept_once() -> None:
    with Hasty(config=CONFIG) as house:
        until(house.healthy, "all to be healthy")
        killed = house.pid
        taken = asyncio.run(flood(door(house), KEYS, ALERTS // 2, lambda: os.kill(killed, signal.SIGKILL)))
        assert ALERTS // 2 <= len(taken) < ALERTS, "it was killed too late to mean anything"
        kept = stored(house)
        assert taken <= kept.keys(), "an alarm that was taken is lost"
        assert set(kept.values()) == {1}, "an alarm is kept twice"

        house.start()
        rest = set(KEYS) - taken

        def sent_again() -> bool:
            """As their senders do, who were not answered."""
            rest.difference_update(asyncio.run(flood(door(house), sorted(rest), len(rest), lambda: None)))
            return not rest

        until(sent_again, "all the others to be taken")
        settled = "the next daemon to think about those that this one did not"
        until(
            lambda: all(one["outcome"] for one in house.client.get("/v1/alarms", limit=1000)["alarms"]),
            settled,
        )
        os.kill(house.pid, signal.SIGKILL)
        assert stored(house) == dict.fromkeys(KEYS, 1)


def door(house: Hasty) -> str:
    return f"http://127.0.0.1:{house.client.get('/v1/status')['port']}/v1/alarms/alertmanager"


def stored(house: Hasty) -> Counter[str]:
    """How often each alarm is kept, once the daemon has let go of the state."""
    store = Sqlite(directory=house.folder / "state")
    until(lambda: _free(store), "the state to be free")
    try:
        return Counter(filed.alarm.key for filed in store.alarms(limit=2 * ALERTS))
    finally:
        store.close()


def _free(store: Sqlite) -> bool:
    try:
        store.acquire()
    except StoreError:  # the dead one has not let go of it yet
        return False
    return True


@pytest.mark.slow
def test_a_hundred_deliveries_of_one_alert_at_once_are_one_incident_and_one_heal() -> None:
    with Hasty(config=CONFIG, policy={"detect": {"probes": []}}) as house:
        before = until(house.resources, "the shop to stand")
        until(
            lambda: all(one["status"].endswith("_COMPLETE") for one in house.resources().values()), "the shop"
        )
        url = door(house)
        body = json.dumps({"alerts": [alert("one", stack="shop", resource="web")]})

        async def deliver() -> list[int]:
            async with aiohttp.ClientSession() as session:

                async def once() -> int:
                    async with session.post(url, data=body) as answer:
                        assert answer.status == 202
                        accepted: int = (await answer.json())["accepted"]
                        return accepted

                return await asyncio.gather(*(once() for _ in range(100)))

        os.killpg(pid_of(before["web"]["physical_id"]), signal.SIGKILL)
        assert sorted(asyncio.run(deliver())) == [0] * 99 + [1]

        def healed() -> bool:
            web = house.resources()["web"]
            return bool(web["physical_id"] not in {None, before["web"]["physical_id"]})

        until(healed, "web to be replaced")
        of_web = [one for one in house.client.get("/v1/incidents")["incidents"] if one["resource"] == "web"]
        assert len(of_web) == 1
        assert len(house.client.get("/v1/repairs")["repairs"]) <= 1
        story = house.client.get(f"/v1/incidents/{of_web[0]['id']}")["story"]
        assert [entry["kind"] for entry in story].count("repair.admitted") == 1
