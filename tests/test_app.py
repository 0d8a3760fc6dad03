"""The whole daemon in this process, on the embedded engine with real processes, asked over its sockets alone."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from structlog.testing import capture_logs

from healer.app import App
from healer.cli import main
from healer.client import NoDaemonError
from healer.clock import BootClock
from healer.config.check import load
from tests.authentication.senders import PROJECT, SECRET, FakeKeystone
from tests.daemon.houses import Empty, Inside, inside, kill

Furnish = Callable[..., Awaitable[Empty]]


@pytest.fixture(autouse=True)
def log() -> Iterator[list[Any]]:
    """What the daemon logs, as values; printing is what `healer run` adds."""
    with capture_logs() as lines:
        yield lines


@pytest.fixture
def furnish() -> Iterator[Furnish]:
    """Makes houses, off the loop, and leaves nothing of them behind."""
    with ExitStack() as entered:
        houses: list[Empty] = []

        async def made(**changes: Any) -> Empty:
            houses.append(await asyncio.to_thread(lambda: entered.enter_context(Empty(**changes))))
            return houses[-1]

        yield made
    assert not [pid for house in houses for pid in house.tiers()], "a process was left behind"


async def test_what_dies_is_healed_and_its_story_and_what_was_seen_are_kept(furnish: Furnish) -> None:
    house = await furnish()
    async with inside(house, housekeeping=0.1) as daemon:
        before = await daemon.healthy()
        kill(before["db"])
        closed = await daemon.incident("db", outcome="healed")
        after = await daemon.healthy()
        kinds = [entry["kind"] for entry in await daemon.story(closed["id"])]
    assert after["db"]["physical_id"] == closed["successor"] != before["db"]["physical_id"]
    assert [after[name]["physical_id"] for name in ("api", "web")] == [
        before[name]["physical_id"] for name in ("api", "web")
    ]
    steps = ["mark", "preview", "converge", "follow", "prove"]
    assert kinds == [
        "incident.opened", "incident.admitted", "repair.admitted",
        *["repair.stepped"] * len(steps), "repair.ended", "incident.remediated", "incident.closed",
    ]  # fmt: skip
    with sqlite3.connect(house.folder / "state" / "state.sqlite") as store:
        runs = store.execute("SELECT health, symptom, count FROM observation_runs").fetchall()
    store.close()
    assert {("healthy", "ok"), ("unhealthy", "refused")} <= {(health, symptom) for health, symptom, _ in runs}
    assert max(count for *_, count in runs) > 1, "looks that said the same are one row"


async def test_nothing_of_it_goes_on_after_its_end_and_it_can_be_started_again(furnish: Furnish) -> None:
    house = await furnish()
    async with inside(house) as daemon:
        first = await daemon.healthy()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    async with inside(house) as daemon:
        assert await daemon.healthy() == first, "the daemon's end was an outage"


async def test_its_health_and_metrics_are_served_for_others(furnish: Furnish) -> None:
    async with inside(await furnish()) as daemon:
        await daemon.healthy()
        assert await daemon.http("GET", "/livez") == (200, '{"ok":true}\n')
        assert await daemon.http("GET", "/readyz") == (200, '{"ok":true}\n')
        status, text = await daemon.http("GET", "/metrics")
    assert status == 200
    assert 'healer_stack_resources{cloud="here",stack="shop",state="healthy"} 3.0' in text
    assert 'healer_cloud_up{cloud="here"} 1.0' in text


async def test_with_a_stop_file_nothing_is_called_and_without_it_what_was_held_is_healed(
    furnish: Furnish,
) -> None:
    house = await furnish(policy={"detect": {"settle_for": "1s"}})
    stop = house.folder / "state" / "STOP"
    async with inside(house) as daemon:
        before = await daemon.healthy()
        kill(before["db"])
        await daemon.incident("db", state="open")
        await daemon.ask(stop.touch)
        held = await daemon.incident("db", "stopped")
        assert str(stop) in held["refusal"]["sentence"]
        assert str(stop) in (await daemon.get("/v1/status"))["stopped"]
        (stack,) = (await daemon.get("/v1/stacks"))["stacks"]
        assert stack["status"] == "CREATE_COMPLETE", "an update was asked for"
        assert not [one for one in stack["resources"] if "CHECK" in one["status"]], "something is marked"
        await daemon.ask(stop.unlink)
        closed = await daemon.incident("db", outcome="healed")
        assert closed["id"] == held["id"]


async def test_what_is_paused_is_held_until_it_is_resumed_or_the_time_is_over(furnish: Furnish) -> None:
    async with inside(await furnish()) as daemon:
        before = await daemon.healthy()
        await daemon.post("/v1/pauses", {"scope": "all", "why": "we look at it"})
        await daemon.post("/v1/pauses", {"scope": "stack:shop", "why": "for a moment", "seconds": 2.5})
        kill(before["db"])
        held = await daemon.incident("db", "paused")
        assert held["refusal"]["sentence"].endswith("paused all: we look at it")
        await daemon.ask(daemon.client.delete, "/v1/pauses/all")
        (pause,) = (await daemon.get("/v1/status"))["pauses"]
        held = await daemon.incident("db", "paused")
        assert held["refusal"]["sentence"].endswith("paused stack:shop: for a moment")
        assert held["refusal"]["look_again"] == pause["until"]
        closed = await daemon.incident("db", outcome="healed")
        assert closed["id"] == held["id"]
        assert (await daemon.get("/v1/status"))["pauses"] == []


async def test_a_policy_that_observes_says_what_it_would_do_and_does_nothing(
    furnish: Furnish, capsys: pytest.CaptureFixture[str]
) -> None:
    async with inside(await furnish(policy={"mode": "observe"})) as daemon:
        before = await daemon.healthy()
        kill(before["db"])
        seen = await daemon.incident("db", state="would_heal")
        assert [one["resource"] for one in seen["plan"]["replaces"]] == ["db"]
        assert [(one["resource"], one["effect"]) for one in seen["plan"]["touches"]] == [("api", "updated")]
        socket = str(daemon.house.folder / "api.sock")
        assert await daemon.ask(main, ["show", "shop/db", "--socket", socket]) == 0
        shown = capsys.readouterr().out
        assert "\nheld      observe: the policy's mode is observe\n" in shown
        assert "\nplan      db is replaced; api is updated (wires refers to db)\n" in shown
        after = await daemon.resources()
        assert {name: one["physical_id"] for name, one in after.items()} == {
            name: one["physical_id"] for name, one in before.items()
        }


async def test_a_person_may_override_a_cooldown_and_that_is_named(furnish: Furnish) -> None:
    async with inside(
        await furnish(policy={"guardrails": {"cooldown": "1h", "attempts": {"within": "9h"}}})
    ) as daemon:
        before = await daemon.healthy()
        kill(before["db"])
        first = await daemon.incident("db", outcome="healed")
        kill((await daemon.healthy())["db"])
        held = await daemon.incident("db", "cooldown")
        assert held["id"] != first["id"]
        answer = await daemon.post("/v1/heals", {"stack": "shop", "resource": "db", "why": "it is needed"})
        assert answer["incident"]["id"] == held["id"]
        closed = await daemon.incident("db", outcome="healed", id=held["id"])
        kinds = [entry["kind"] for entry in await daemon.story(held["id"])]
    asked = closed["requested_by"]
    assert (asked["why"], asked["overrides"]) == ("it is needed", ["cooldown"])
    assert (
        kinds.index("incident.demanded")
        < kinds.index("incident.overridden")
        < kinds.index("incident.admitted")
    )


TIER = [{"get_param": "python"}, "-S", {"get_param": "tier"}]
SLOW_AND_WIDE = {
    "resources": {
        "slow": {
            "type": "OS::Heat::TestResource",
            "properties": {"action_wait_secs": {"create": 2}},
        },
        "sidecar": {
            "type": "Local::Process",
            "properties": {"command": [*TIER, "sidecar", {"get_attr": ["db", "port"]}]},
        },
    }
}
"""Its creation takes a while, and whoever replaces db replaces the sidecar, too."""


async def test_nobody_overrides_a_busy_stack_or_the_blast_radius(furnish: Furnish) -> None:
    house = await furnish(shop=SLOW_AND_WIDE, policy={"match": {"resource": "db"}})
    async with inside(house) as daemon:
        await daemon.until(lambda: _has(daemon, "db"), "db")
        wanted = {"stack": "shop", "resource": "db", "why": "I insist"}
        first = (await daemon.post("/v1/heals", wanted))["incident"]
        busy = await daemon.incident("db", "stack_busy")
        assert busy["id"] == first["id"]
        wide = await daemon.incident("db", "blast_radius")
        assert wide["id"] == first["id"]
        assert "sidecar" in wide["refusal"]["sentence"]
        before = await daemon.resources()
        assert before["db"]["physical_id"] == first["physical_id"]


async def _has(daemon: Inside, path: str) -> bool:
    found = await daemon.resources()
    return path in found and bool(found[path]["physical_id"])


async def test_a_state_file_that_is_taken_away_ends_the_daemon_so_that_it_is_started_anew(
    furnish: Furnish, log: list[Any]
) -> None:
    house = await furnish()
    daemon = Inside(house, App(await asyncio.to_thread(load, house.folder / "config.yaml"), housekeeping=0.1))

    async def take_it_away() -> None:
        await daemon.until(lambda: _listens(daemon), "the daemon")
        await daemon.ask((house.folder / "state" / "state.sqlite").unlink)

    code, _ = await asyncio.gather(daemon.app.run(), take_it_away())
    assert code == 1
    (broke,) = [line for line in log if line["event"] == "task.broke"]
    assert broke["task"] == "housekeeping"
    assert "state.sqlite was taken away" in broke["why"]


async def _listens(daemon: Inside) -> bool:
    try:
        return bool(await daemon.get("/v1/status"))
    except NoDaemonError:
        return False


async def test_a_cloud_that_cannot_be_reached_is_said_to_be_and_holds_up_no_other(furnish: Furnish) -> None:
    heat = {"engine": "heat", "cloud": "closed", "clouds_yaml": "clouds.yaml", "refresh": "200ms"}
    house = await furnish(config={"clouds": {"mine": heat}})
    (house.folder / "clouds.yaml").write_text(CLOUDS_YAML)
    async with inside(house) as daemon:
        before = await daemon.healthy()
        said = await daemon.until(lambda: _unreachable(daemon, "mine"), "the word that mine cannot be read")
        assert "127.0.0.1:9" in said
        stacks = await daemon.get("/v1/stacks")
        assert [stack["cloud"] for stack in stacks["stacks"]] == ["here"]
        assert [one["cloud"] for one in stacks["unreachable"]] == ["mine"]
        _, metrics = await daemon.http("GET", "/metrics")
        assert 'healer_cloud_up{cloud="mine"} 0.0' in metrics
        kill(before["web"])
        await daemon.incident("web", outcome="healed")


CLOUDS_YAML = """\
clouds:
  closed:
    auth_type: admin_token
    auth: {endpoint: "http://127.0.0.1:9", token: any}
"""
"""Nobody listens at the port of `discard`."""


async def _unreachable(daemon: Inside, name: str) -> str:
    """Why that cloud cannot be read, once that was tried."""
    clouds = {cloud["name"]: cloud["why"] or "" for cloud in (await daemon.get("/v1/status"))["clouds"]}
    return "" if "has not been read yet" in clouds[name] else str(clouds[name])


FIRING = (Path(__file__).parent / "payloads" / "alertmanager-0.33.1-firing.json").read_text()


def alarm(**labels: str) -> str:
    """A captured notification of one alert that names a resource of ours."""
    body = json.loads(FIRING)
    (alert,) = body["alerts"]
    alert["labels"] = {"alertname": "Down", **labels}
    alert["fingerprint"] = alert["fingerprint"][::-1]
    body["alerts"][0]["startsAt"] = BootClock().now().isoformat()  # after all was made
    return json.dumps(body)


async def test_an_alarm_heals_what_it_names_once_and_what_it_does_not_name_is_listed(
    furnish: Furnish,
) -> None:
    config = {"alarms": {"alertmanager": {}}, "listen": {"body_limit": 4096}}
    async with inside(await furnish(config=config)) as daemon:
        before = await daemon.healthy()

        async def send(body: str) -> tuple[int, dict[str, Any]]:
            status, said = await daemon.http("POST", "/v1/alarms/alertmanager", data=body)
            return status, json.loads(said)

        taken = {"accepted": 1, "duplicates": 0, "rejected": []}
        again = {"accepted": 0, "duplicates": 1, "rejected": []}
        assert await send(FIRING) == (202, taken)
        assert await send(FIRING) == (202, again)
        assert (await send(FIRING.ljust(4097)))[0] == 413
        ours = alarm(stack="shop", resource="web")
        assert await send(ours) == (202, taken)
        closed = await daemon.incident("web", outcome="healed")
        assert await send(ours) == (202, again)
        newest, other = (await daemon.get("/v1/alarms"))["alarms"]
        assert (newest["outcome"], newest["incident"]) == ("matched", closed["id"])
        assert (other["outcome"], other["incident"]) == ("unmatched", None)
        after = await daemon.healthy()
    assert [name for name in after if after[name]["physical_id"] != before[name]["physical_id"]] == ["web"]


async def test_what_a_sender_left_out_is_read_at_it_at_once(furnish: Furnish) -> None:
    """Otherwise it would be within a minute, which is longer than a test waits."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.json_response([])

    keeper = web.Application()
    keeper.router.add_get("/api/v2/{what}", answer)
    async with TestServer(keeper) as sender:
        pull = {"alertmanager": {"url": str(sender.make_url("/"))}}
        house = await furnish(config={"alarms": {"alertmanager": {"pull": pull}}})
        async with inside(house) as daemon:

            async def read(times: int) -> bool:
                return asked.count("/api/v2/alerts") >= times

            await daemon.until(lambda: read(1), "the reading at the start")
            body = json.loads(FIRING) | {"truncatedAlerts": 2}
            assert (await daemon.http("POST", "/v1/alarms/alertmanager", data=json.dumps(body)))[0] == 202
            await daemon.until(lambda: read(2), "a reading of what was left out")


@pytest.mark.parametrize("answers", [True, False])
async def test_until_what_is_silenced_has_been_read_or_cannot_be_nothing_is_begun(
    furnish: Furnish, log: list[Any], answers: bool
) -> None:
    asked = asyncio.Event()
    go_on = asyncio.Event()

    async def answer(_: web.Request) -> web.Response:
        asked.set()
        await go_on.wait()
        return web.json_response([]) if answers else web.Response(status=503)

    keeper = web.Application()
    keeper.router.add_get("/api/v2/{what}", answer)
    async with TestServer(keeper) as sender:
        pull = {"alertmanager": {"url": str(sender.make_url("/")), "receiver": None}}
        house = await furnish(config={"alarms": {"alertmanager": {"pull": pull}}})
        async with inside(house) as daemon:
            await asked.wait()
            before = await daemon.healthy()
            kill(before["db"])
            held = await daemon.incident("db", "silenced")
            assert held["refusal"]["sentence"] == "what is silenced at alertmanager has not been read yet"
            go_on.set()
            closed = await daemon.incident("db", outcome="healed")
            assert closed["id"] == held["id"]
    assert any(line["event"] == "alarms.unreadable" for line in log) is not answers


async def test_the_connection_by_which_senders_are_known_is_closed_at_the_end(furnish: Furnish) -> None:
    keystone = FakeKeystone()
    keystone.tokens[SECRET]["expires_at"] = "2999-01-01T00:00:00.000000Z"
    await keystone.start()
    try:
        way = {"cloud": "mine", "clouds_yaml": "clouds.yaml", "projects": [PROJECT]}
        house = await furnish(config={"alarms": {"alertmanager": {"auth": {"keystone": way}}}})
        (house.folder / "clouds.yaml").write_text(keystone.clouds_yaml())
        async with inside(house) as daemon:
            shown = {"X-Auth-Token": SECRET}
            taken = await daemon.http("POST", "/v1/alarms/alertmanager", data=FIRING, headers=shown)
            assert (taken[0], keystone.connections()) == (202, 1)

        async def closed() -> bool:
            return keystone.connections() == 0

        await daemon.until(closed, "the connection to be closed")
    finally:
        await keystone.stop()
