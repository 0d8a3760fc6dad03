"""What healer reads of a queue of a real Zaqar, and what a subscription of it sends to healer's listener."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from structlog.testing import capture_logs

from healer.alarms.zaqar import Zaqar as Source
from healer.clock import BootClock
from healer.confirming import caller
from healer.core.model import AlarmStatus, Selector
from healer.ports import Batch, EngineError
from healer.pulling import Pulling
from healer.pulls.zaqar import MOST_CLAIMS
from healer.pulls.zaqar import Zaqar as Pull
from healer.receiver.alarms import Source as Door
from tests.receiver.desk import opened
from tests.rigs import environment
from tests.zaqar.real_zaqar import PROJECT, RealZaqar, real_zaqar, redis_server

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

WITHIN_S = 20.0
NOW = BootClock().now
TAKES = Path(__file__).parent / "takes.py"
AODH: dict[str, Any] = {
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
    there = environment("Zaqar")
    if redis_server(there) is None:
        pytest.skip("Zaqar needs a redis-server, of which there is no wheel for this Python; install one")
    return there


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def zaqar(venv: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RealZaqar]:
    redis = redis_server(venv)
    assert redis is not None
    async with real_zaqar(venv, redis, tmp_path_factory.mktemp("zaqar")) as running:
        yield running


def reader(zaqar: RealZaqar, queue: str, **options: Any) -> Pull:
    return Pull.model_validate({"url": zaqar.url, "project": PROJECT, "queue": queue} | options)


async def until(holds: Callable[[], bool], otherwise: str) -> None:
    deadline = asyncio.get_running_loop().time() + WITHIN_S
    while not holds():
        assert asyncio.get_running_loop().time() < deadline, otherwise
        await asyncio.sleep(0.02)


async def drained(zaqar: RealZaqar, pull: Pull, queue: str) -> list[Batch]:
    """All readings, each stored, until there is no message in the queue."""
    batches = []
    while await zaqar.held(queue) != (0, 0):
        batches.append(await pull.pull("zaqar", NOW()))
        await pull.stored()
    return batches


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


async def test_one_reading_takes_all_that_is_there_in_the_order_in_which_it_came(zaqar: RealZaqar) -> None:
    await zaqar.post("many", *({"id": f"{number:03}", "stack": "shop"} for number in range(130)))
    pull = reader(zaqar, "many")
    (batch,) = await drained(zaqar, pull, "many")
    assert [alarm.key for alarm in batch.alarms] == [f"{number:03}" for number in range(130)]


async def test_more_than_one_reading_may_take_waits_for_the_next(zaqar: RealZaqar) -> None:
    await zaqar.post("more", *({"id": f"{number}"} for number in range(MOST_CLAIMS + 3)))
    batches = await drained(zaqar, reader(zaqar, "more", at_once=1), "more")
    assert [len(batch.alarms) for batch in batches] == [MOST_CLAIMS, 3]


async def test_what_a_healer_took_that_was_killed_comes_back_when_the_claim_ends(zaqar: RealZaqar) -> None:
    await zaqar.post("killed", PLAIN, ttl=60)
    takes = await asyncio.create_subprocess_exec(
        *(sys.executable, TAKES, zaqar.url, PROJECT, "killed"), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert takes.stdout is not None
        async with asyncio.timeout(WITHIN_S):
            assert await takes.stdout.readline() == b"1\n"
    finally:
        takes.kill()
        await takes.wait()
    pull = reader(zaqar, "killed")
    assert not (await pull.pull("zaqar", NOW())).alarms
    await zaqar.later(61)  # longer than the message was to live, too: the grace keeps it
    (alarm,) = (await pull.pull("zaqar", NOW())).alarms
    assert alarm.key == "disk"
    assert timedelta(seconds=60) <= alarm.received_at - alarm.started_at <= timedelta(seconds=80)
    await pull.stored()
    assert await zaqar.held("killed") == (0, 0)


async def test_a_message_is_the_same_alarm_when_it_is_read_again(zaqar: RealZaqar) -> None:
    """By healers that die before they delete it, with the oldest of the queue and with it claimed by somebody else."""
    await zaqar.post("same", *({"id": "disk", "status": ("firing", "ok")[n % 2]} for n in range(22)))
    await asyncio.sleep(1.1)  # the ages that Zaqar tells are of whole seconds
    await zaqar.post("same", PLAIN)
    ahead = timedelta(0)

    async def read() -> list[str]:
        """As long after the last time as a claim holds."""
        nonlocal ahead
        batch = await reader(zaqar, "same").pull("zaqar", NOW() + ahead)
        await zaqar.later(61)
        ahead += timedelta(seconds=61)
        await asyncio.sleep(0.37)
        return [alarm.identity for alarm in batch.alarms]

    first = await read()
    assert len(set(first)) == 23
    for _ in range(3):
        assert await read() == first
        await zaqar.call("POST", "/v2/queues/same/claims?limit=20", {"ttl": 60, "grace": 3600})
        assert (await read())[-1] == first[-1]


async def test_what_could_not_be_stored_goes_before_what_ends_it(zaqar: RealZaqar) -> None:
    await zaqar.post("refused", PLAIN)
    pull = reader(zaqar, "refused")
    await pull.pull("zaqar", NOW())
    await zaqar.post("refused", PLAIN | {"status": "ok"})
    for _ in range(2):  # in the second, its claim has ended
        found = (await pull.pull("zaqar", NOW())).alarms
        assert [alarm.status for alarm in found] == [AlarmStatus.FIRING, AlarmStatus.CLEARED]
        await zaqar.later(61)
    await pull.pull("zaqar", NOW())
    await pull.stored()
    assert await zaqar.held("refused") == (0, 0)


async def test_what_was_stored_after_its_claim_had_ended_is_no_news_when_it_comes_back(
    zaqar: RealZaqar,
) -> None:
    await zaqar.post("slow", PLAIN, {"id": "other"})
    pull = reader(zaqar, "slow")
    assert len((await pull.pull("zaqar", NOW())).alarms) == 2
    await zaqar.later(61)
    await pull.stored()
    assert sum(await zaqar.held("slow")) == 2
    await zaqar.post("slow", {"id": "new"})
    (batch,) = await drained(zaqar, pull, "slow")
    assert [alarm.key for alarm in batch.alarms] == ["new"]


async def test_what_somebody_else_has_claimed_meanwhile_stays_his(zaqar: RealZaqar) -> None:
    await zaqar.post("shared", PLAIN, {"id": "other"})
    pull = reader(zaqar, "shared")
    assert len((await pull.pull("zaqar", NOW())).alarms) == 2
    await zaqar.later(61)
    (his,) = (await zaqar.call("POST", "/v2/queues/shared/claims?limit=1", {"ttl": 60, "grace": 60}))[
        "messages"
    ]
    await pull.stored()
    assert sum(await zaqar.held("shared")) == 2
    await zaqar.call("DELETE", his["href"])
    assert [batch.alarms for batch in await drained(zaqar, pull, "shared")] == [()]


async def test_beside_a_message_that_was_delayed_zaqar_gives_away_what_is_claimed(
    zaqar: RealZaqar,
) -> None:
    await zaqar.create("delayed", _default_message_delay=1)
    messages = [{"body": {"id": "late"}, "delay": 30}, {"body": PLAIN, "delay": 0}]
    await zaqar.call("POST", "/v2/queues/delayed/messages", {"messages": messages})
    first, second = reader(zaqar, "delayed"), reader(zaqar, "delayed")
    assert [alarm.key for alarm in (await first.pull("zaqar", NOW())).alarms] == ["disk"]
    await zaqar.later(31)
    given = [alarm.key for alarm in (await second.pull("zaqar", NOW())).alarms]
    assert given == ["late", "disk"], "Zaqar keeps to the claim of the first now"
    with pytest.raises(EngineError, match="403"):
        await first.stored()
    await second.stored()
    assert sum(await zaqar.held("delayed")) == 0


async def test_a_message_that_cannot_be_read_is_told_and_in_the_way_of_none(zaqar: RealZaqar) -> None:
    deep: Any = []
    for _ in range(500):
        deep = [deep]
    no_time = {"id": "x", "started_at": "the day before yesterday"}
    await zaqar.post("odd", no_time, {"id": "b", "n": float("nan")}, deep, PLAIN)
    (batch,) = await drained(zaqar, reader(zaqar, "odd"), "odd")
    assert [alarm.key for alarm in batch.alarms if alarm.key == "disk"] == ["disk"]
    assert [one.index for one in batch.rejected] == [0, 1]


async def test_a_message_that_was_deleted_meanwhile_is_none_to_delete(zaqar: RealZaqar) -> None:
    await zaqar.post("gone", PLAIN, PLAIN)
    pull = reader(zaqar, "gone")
    await pull.pull("zaqar", NOW())
    await zaqar.call("DELETE", "/v2/queues/gone")
    await pull.stored()
    assert await zaqar.held("gone") == (0, 0)


async def test_a_queue_that_is_encrypted_is_left_as_it_is(zaqar: RealZaqar) -> None:
    await zaqar.create("secret", _enable_encrypt_messages=True)
    await zaqar.post("secret", PLAIN)
    with pytest.raises(EngineError, match="'secret' is encrypted"):
        await reader(zaqar, "secret").pull("zaqar", NOW())
    assert await zaqar.held("secret") == (1, 0)
    claimed = await zaqar.call("POST", "/v2/queues/secret/claims", {"ttl": 60, "grace": 60})
    assert isinstance(claimed["messages"][0]["body"], str), "Zaqar decrypts it now: healer may read it"


async def test_the_daemon_s_reader_files_what_is_in_the_queue(zaqar: RealZaqar) -> None:
    await zaqar.create("filed")
    async with opened() as desk:
        pulling = Pulling("zaqar", reader(zaqar, "filed"), desk.runner.accept, NOW, desk.telemetry.received)
        await pulling.read()
        await zaqar.post("filed", PLAIN, "no JSON at all")
        await pulling.read()
        filed = [one.alarm for one in await desk.filed()]
        assert {alarm.labels.get("message", alarm.key) for alarm in filed} == {"disk", "no JSON at all"}
        assert await zaqar.held("filed") == (0, 0)


async def test_a_subscription_is_confirmed_and_then_sends(zaqar: RealZaqar) -> None:
    sources = {"zaqar": Door(Source(queues=("ours",)))}
    begun: list[asyncio.Task[None]] = []

    def spawn(coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        begun.append(asyncio.get_running_loop().create_task(coroutine, name=name))
        return begun[-1]

    confirm = caller({"zaqar": zaqar.url}, spawn)
    async with opened(sources=sources, now=NOW, confirm=confirm) as desk:
        await zaqar.create("ours")
        subscriber = {"subscriber": f"{desk.url}/v1/alarms/zaqar?stack=shop", "ttl": 3600}
        with capture_logs() as logs:
            await zaqar.call("POST", "/v2/queues/ours/subscriptions", subscriber)
            await until(lambda: any(task.done() for task in begun), "nobody asked to be confirmed")
        assert [line["event"] for line in logs if line["event"].startswith("alarms.")] == ["alarms.confirmed"]
        (subscription,) = (await zaqar.call("GET", "/v2/queues/ours/subscriptions"))["subscriptions"]
        assert subscription["confirmed"] is True
        await zaqar.post("ours", AODH)
        async with asyncio.timeout(WITHIN_S):
            while not (filed := await desk.filed()):
                await asyncio.sleep(0.02)
        assert [one.alarm.key for one in filed] == [AODH["body"]["alarm_id"]]
        assert [one.alarm.selector for one in filed] == [Selector(stack="shop")]
    # What was sent is in the queue all the same, for whoever reads that.
    (batch,) = await drained(zaqar, reader(zaqar, "ours"), "ours")
    assert [alarm.key for alarm in batch.alarms] == [AODH["body"]["alarm_id"]]


async def test_what_a_subscription_sends_in_vain_is_lost_and_what_is_read_is_not(zaqar: RealZaqar) -> None:
    came: list[str] = []

    async def refuse(request: web.Request) -> web.Response:
        came.append(str((await request.json())["Message_Type"]))
        return web.Response(status=204 if came[-1] == "SubscriptionConfirmation" else 503)

    app = web.Application()
    app.router.add_post("/", refuse)
    async with TestServer(app) as server:
        subscriber = {"subscriber": str(server.make_url("/")), "ttl": 3600}
        made = await zaqar.call("POST", "/v2/queues/busy/subscriptions", subscriber)
        await until(lambda: came == ["SubscriptionConfirmation"], "nobody asked to be confirmed")
        path = f"/v2/queues/busy/subscriptions/{made['subscription_id']}/confirm"
        await zaqar.call("PUT", path, {"confirmed": True})
        await zaqar.post("busy", PLAIN)
        await until(lambda: len(came) == 2, "nothing was sent")
        await zaqar.post("busy", {"id": "later"})
        await until(lambda: len(came) == 3, "nothing was sent")
    assert came[1:] == ["Notification", "Notification"], "a refused message is sent again now"
    (batch,) = await drained(zaqar, reader(zaqar, "busy"), "busy")
    assert [alarm.key for alarm in batch.alarms] == ["disk", "later"]
