from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import ValidationError

from healer.core.model import AlarmStatus, Selector
from healer.core.step import Failure
from healer.ports import Batch, EngineError
from healer.pulls import _zaqar
from healer.pulls.zaqar import Zaqar
from tests.authentication.senders import token

NOW = datetime(2026, 11, 24, 15, 52, tzinfo=UTC)
PROJECT = "8f23b7e6962941178a81f106a3e2fe86"
DISK = {"id": "disk", "stack": "shop", "resource": "db"}


@dataclass(slots=True)
class Peer:
    """A Zaqar and, under `/v3`, its Keystone: they answer as real ones did, and do as they are told once."""

    messages: dict[str, Any] = field(default_factory=dict)
    """Body by id. All of them are claimed each time that somebody claims, as if the last claim had just ended."""
    queues: list[str] = field(default_factory=lambda: ["healer"])
    metadata: dict[str, Any] = field(default_factory=dict)
    instead: dict[str, list[web.Response]] = field(default_factory=dict)
    """What is answered instead, by method and end of the path."""
    asked: list[str] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    tokens: int = 0
    """How often Keystone has given one."""
    revoked: set[str] = field(default_factory=set)
    keystone: bool = False
    """Whether a token is asked for."""
    versions: bool = True
    """Whether the versions are told of which there are."""
    endpoint: str = ""
    """What comes after its URL in the catalog."""
    age: float = 0
    clock: float = 0
    """Seconds since 1970, with which it tells of some messages when they were posted."""
    posted: dict[str, int] = field(default_factory=dict)
    """By id, when those were."""
    url: str = ""

    def next(self, method: str, end: str, *statuses: int, body: Any = None) -> None:
        self.instead[f"{method} {end}"] = [web.json_response(body, status=status) for status in statuses]

    async def answer(self, request: web.Request) -> web.Response:
        call = f"{request.method} {request.path}"
        if request.path.startswith("/v3"):
            return await self.log_in(request)
        if request.path in {"/", "/v2", "/v2/"}:
            versions = {
                "versions": [{"id": "2", "status": "CURRENT", "links": [{"rel": "self", "href": "/v2/"}]}]
            }
            return web.json_response(versions, status=300) if self.versions else web.Response(status=404)
        self.asked.append(call + (f"?{request.query_string}" if request.query_string else ""))
        self.headers.append(request.headers)
        if self.keystone and request.headers.get("X-Auth-Token") in {*self.revoked, None}:
            return web.Response(status=401)
        for what, answers in self.instead.items():
            if call.startswith(what.split()[0]) and call.endswith(what.split()[1]) and answers:
                return answers.pop(0)
        return self.queue(request)

    def queue(self, request: web.Request) -> web.Response:
        match request.method, request.path.split("/")[2:]:
            case "GET", ["queues"]:
                after = [name for name in sorted(self.queues) if name > request.query.get("marker", "")]
                return web.json_response({"queues": [{"name": name, "href": ""} for name in after[:20]]})
            case "GET", ["queues", _]:
                return web.json_response({"_enable_encrypt_messages": False} | self.metadata)
            case "POST", ["queues", name, "claims"]:
                found = self.shown(name, list(self.messages)[: int(request.query["limit"])])
                return web.json_response(found, status=201) if found["messages"] else web.Response(status=204)
            case "GET", ["queues", name, "messages"]:
                return web.json_response(self.shown(name, request.query.getall("ids")))
            case "GET", ["queues", name, "stats"] if oldest := next(iter(self.posted), ""):
                created = datetime.fromtimestamp(self.posted[oldest], UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
                edge = {"age": 0, "created": created, "href": f"/v2/queues/{name}/messages/{oldest}"}
                counts = {"claimed": 0, "free": 1, "total": 1}
                return web.json_response({"messages": counts | {"newest": edge, "oldest": edge}})
            case "DELETE", ["queues", _, "messages", one]:
                assert request.query["claim_id"] == "c1"
                self.messages.pop(one, None)
                return web.Response(status=204)
            case _:
                return web.Response(status=404)

    def shown(self, name: str, ids: list[str]) -> dict[str, list[Any]]:
        return {
            "messages": [
                {
                    "id": one,
                    "href": f"/v2/queues/{name}/messages/{one}?claim_id=c1",
                    "ttl": 300,
                    "age": int(self.clock) - self.posted[one] if one in self.posted else self.age,
                    "body": self.messages.get(one),
                }
                for one in ids
            ]
        }

    async def log_in(self, request: web.Request) -> web.Response:
        if request.method == "GET":
            link = [{"rel": "self", "href": f"{self.url}/v3/"}]
            return web.json_response({"version": {"id": "v3.14", "status": "stable", "links": link}})
        self.tokens += 1
        endpoint = {
            "interface": "public",
            "region_id": "r",
            "region": "r",
            "url": self.url + self.endpoint,
            "id": "e",
        }
        catalog = [{"type": "messaging", "name": "zaqar", "id": "s", "endpoints": [endpoint]}]
        described = token() | {"catalog": catalog, "expires_at": "2099-11-24T09:00:00.000000Z"}
        headers = {"X-Subject-Token": f"token-{self.tokens}"}
        return web.json_response({"token": described}, status=201, headers=headers)


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    there, app = Peer(), web.Application()
    app.router.add_route("*", "/{path:.*}", there.answer)
    async with TestServer(app) as server:
        there.url = str(server.make_url("")).rstrip("/")
        yield there


def at(peer: Peer, **options: Any) -> Zaqar:
    return Zaqar.model_validate({"url": peer.url, "project": PROJECT, "queue": "healer"} | options)


@pytest.fixture
async def cloud(peer: Peer, tmp_path: Path) -> AsyncIterator[Zaqar]:
    peer.keystone = True
    login = {"auth_url": f"{peer.url}/v3", "username": "u", "password": "sesame", "project_id": PROJECT}
    login |= {"user_domain_name": "d"}
    (tmp_path / "clouds.yaml").write_text(json.dumps({"clouds": {"mine": {"auth": login}}}))
    pull = Zaqar.model_validate(
        {"cloud": "mine", "clouds_yaml": tmp_path / "clouds.yaml", "queue": "healer", "timeout": "5s"}
    )
    yield pull
    await pull.close()


def keys(batch: Batch) -> list[str]:
    return [alarm.key for alarm in batch.alarms]


async def test_a_message_is_an_alarm_and_deleted_when_it_is_stored(peer: Peer) -> None:
    peer.messages = {"m1": DISK}
    peer.age = 90
    pull = at(peer)
    (alarm,) = (await pull.pull("zaqar", NOW)).alarms
    assert (alarm.source, alarm.status, alarm.selector) == (
        "zaqar",
        AlarmStatus.FIRING,
        Selector(stack="shop", resource="db"),
    )
    assert (alarm.started_at, alarm.received_at) == (NOW - timedelta(seconds=90), NOW)
    assert peer.messages
    await pull.stored()
    assert not peer.messages
    assert {headers["X-Project-ID"] for headers in peer.headers} == {PROJECT}
    assert len({headers["Client-ID"] for headers in peer.headers}) == 1


async def test_an_empty_queue_is_one_question_for_its_kind_and_one_claim(peer: Peer) -> None:
    pull = at(peer)
    await pull.pull("zaqar", NOW)
    await pull.stored()
    peer.asked.clear()
    assert await pull.pull("zaqar", NOW) == Batch(())
    await pull.stored()
    assert peer.asked == ["GET /v2/queues/healer", "POST /v2/queues/healer/claims?limit=20"]


async def test_what_the_queue_is_about_is_said_of_each_message(peer: Peer) -> None:
    peer.messages = {"m1": {"alarm_id": "a", "current": "alarm", "previous": "ok"}, "m2": {"resource": "db"}}
    batch = await at(peer, about={"stack": "shop", "cloud": "mine"}).pull("zaqar", NOW)
    assert [alarm.selector for alarm in batch.alarms] == [
        Selector(stack="shop", cloud="mine"),
        Selector(stack="shop", cloud="mine", resource="db"),
    ]


async def test_a_confirmation_in_a_queue_confirms_nothing(peer: Peer) -> None:
    peer.messages = {"m1": {"Message_Type": "SubscriptionConfirmation", "URL-Methods": "PUT"}}
    assert (await at(peer).pull("zaqar", NOW)).confirmation is None


async def test_what_was_over_before_it_was_read_is_no_alarm(peer: Peer) -> None:
    event = {
        "alarm_id": "a",
        "current": "alarm",
        "previous": "ok",
        "reason_data": {"type": "event", "event": {}},
    }
    peer.messages = {"m1": event}
    peer.age = 3599
    (alarm,) = (await at(peer).pull("zaqar", NOW)).alarms
    assert alarm.expires_at == NOW + timedelta(seconds=1)
    peer.age = 3600
    assert not (await at(peer).pull("zaqar", NOW)).alarms


async def test_what_cannot_be_read_is_told_and_deleted(peer: Peer) -> None:
    bad = [{"id": "x", "started_at": "the other day"}, DISK]
    peer.messages = {"m1": DISK, "m2": bad, "m3": {"id": "y"}}
    pull = at(peer)
    batch = await pull.pull("zaqar", NOW)
    assert keys(batch) == ["disk", "disk", "y"]
    assert [one.index for one in batch.rejected] == [1]
    await pull.stored()
    assert not peer.messages


async def test_what_was_not_stored_is_read_again(peer: Peer) -> None:
    peer.messages = {"m1": DISK}
    pull = at(peer)
    assert keys(await pull.pull("zaqar", NOW)) == ["disk"]
    assert keys(await pull.pull("zaqar", NOW)) == ["disk"]
    await pull.stored()
    assert not peer.messages


def over(one: Mapping[str, Any]) -> dict[str, Any]:
    return {**one, "status": "resolved"}


def told(batch: Batch) -> list[tuple[str, AlarmStatus]]:
    return [(alarm.key, alarm.status) for alarm in batch.alarms]


async def test_what_was_not_stored_goes_before_what_came_after_it(peer: Peer) -> None:
    """It is claimed still, so that Zaqar does not give it again."""
    pull = at(peer)
    peer.messages = {"m1": DISK}
    await pull.pull("zaqar", NOW)
    peer.messages = {"m2": over(DISK)}
    batch = await pull.pull("zaqar", NOW)
    assert told(batch) == [("disk", AlarmStatus.FIRING), ("disk", AlarmStatus.CLEARED)]
    peer.messages |= {"m1": DISK}  # its claim has ended
    again = await pull.pull("zaqar", NOW + timedelta(minutes=1))
    assert [alarm.identity for alarm in again.alarms] == [alarm.identity for alarm in batch.alarms]
    await pull.stored()
    assert not peer.messages
    assert await pull.pull("zaqar", NOW) == Batch(())


async def test_no_more_is_taken_while_none_of_it_can_be_stored(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("healer.pulls.zaqar.MOST_CLAIMS", 1)
    pull = at(peer)
    peer.messages = {f"m{number:02}": {"id": f"{number}"} for number in range(20)}
    await pull.pull("zaqar", NOW)
    peer.messages = {"n": {"id": "later"}}
    assert len(keys(await pull.pull("zaqar", NOW))) == 20
    await pull.stored()
    assert keys(await pull.pull("zaqar", NOW)) == ["later"]


async def test_an_older_word_on_an_alarm_is_no_news_once_a_later_one_is_stored(peer: Peer) -> None:
    """Somebody died who had claimed it."""
    made = int(NOW.timestamp()) - 30
    peer.clock, peer.posted = NOW.timestamp(), {"m0": made, "m1": made + 5, "m2": made, "m3": made + 5}
    peer.messages = {"m1": over(DISK)}
    pull = at(peer)
    assert told(await pull.pull("zaqar", NOW)) == [("disk", AlarmStatus.CLEARED)]
    await pull.stored()
    peer.messages = {"m0": DISK, "m2": DISK | {"resource": "web"}, "m3": DISK}
    batch = await pull.pull("zaqar", NOW)
    assert [(alarm.selector.resource, alarm.started_at.second) for alarm in batch.alarms] == [
        ("web", 30),
        ("db", 35),
    ]
    await pull.stored()
    assert not peer.messages


@pytest.mark.parametrize("others", [{}, {"theirs": 7}])
async def test_a_message_is_the_same_whenever_it_is_read(peer: Peer, others: dict[str, int]) -> None:
    """Its age is of whole seconds, and healer was killed before it could delete it."""
    made = int(NOW.timestamp()) - 30
    peer.messages = {"m1": DISK, "m2": over(DISK), "m3": DISK}
    peer.posted = {one: made - earlier for one, earlier in {**others, "m1": 0, "m2": 0, "m3": 0}.items()}
    read = set()
    for later in (0.0, 0.4, 0.99, 1.3, 61.7):
        peer.clock = NOW.timestamp() + later
        for behind in (-0.9, 0.0, 0.9):  # the clock of healer, and the time until Zaqar hears of it
            now = NOW + timedelta(seconds=later + behind)
            batch = await at(peer).pull("zaqar", now)
            read.add(tuple(alarm.identity for alarm in batch.alarms))
    (identities,) = read
    assert len(set(identities)) == 3
    assert f"{NOW - timedelta(seconds=30):%H:%M:%S}" in identities[0]


async def test_what_is_in_the_queue_before_it_is_deleted_after_it(peer: Peer) -> None:
    """Or what is left of one second when healer dies would be dated anew."""
    peer.messages = {"m1": DISK, "m2": over(DISK)}
    pull = at(peer)
    await pull.pull("zaqar", NOW)
    peer.asked.clear()
    await pull.stored()
    assert [call.partition("?")[0].rpartition("/")[2] for call in peer.asked] == ["m2", "m1"]


async def test_a_message_on_mongodb_was_made_when_its_id_says(peer: Peer) -> None:
    made = NOW - timedelta(seconds=30)
    peer.messages = {f"{int(made.timestamp()):08x}9a1b2c3d4e5f6071": DISK}
    for age, now in ((30, NOW), (29, NOW), (31, NOW + timedelta(milliseconds=900))):
        peer.age = age
        (alarm,) = (await at(peer).pull("zaqar", now)).alarms
        assert alarm.started_at == made
    assert not [call for call in peer.asked if "stats" in call]


async def test_a_clock_of_zaqar_s_that_is_minutes_wrong_makes_no_alarm_older(peer: Peer) -> None:
    peer.messages = {"m1": DISK}
    peer.clock, peer.posted = NOW.timestamp() - 602, {"m1": int(NOW.timestamp()) - 602 - 30}
    (alarm,) = (await at(peer).pull("zaqar", NOW)).alarms
    assert alarm.started_at == NOW - timedelta(seconds=32)


@pytest.mark.parametrize("age", [90, 90.4])
async def test_where_zaqar_tells_of_no_time_it_is_as_old_as_it_says(peer: Peer, age: float) -> None:
    """Who may not ask for it is answered 403; on Swift, a message is as old as its last claim."""
    peer.messages, peer.age = {"m1": DISK}, age
    peer.next("GET", "/stats", 403)
    (alarm,) = (await at(peer).pull("zaqar", NOW)).alarms
    assert alarm.started_at == NOW - timedelta(seconds=-(-age // 1))


async def test_what_is_stored_and_cannot_be_deleted_is_deleted_when_it_comes_back(peer: Peer) -> None:
    peer.messages = {"m1": DISK, "m2": {"id": "b"}, "m3": {"id": "c"}}
    pull = at(peer)
    await pull.pull("zaqar", NOW)
    peer.next("DELETE", "/m2", 503)
    with pytest.raises(EngineError) as raised:
        await pull.stored()
    assert raised.value.failure is Failure.UNREACHABLE
    assert peer.messages.keys() == {"m1", "m2"}
    peer.messages["m4"] = {"id": "new"}
    assert keys(await pull.pull("zaqar", NOW)) == ["new"]
    await pull.stored()
    assert not peer.messages


@pytest.mark.parametrize("status", [400, 404])
async def test_a_claim_that_has_ended_is_no_error(peer: Peer, status: int) -> None:
    peer.messages = {"m1": DISK, "m2": {"id": "b"}}
    pull = at(peer)
    await pull.pull("zaqar", NOW)
    peer.next("DELETE", "/m1", status)
    await pull.stored()
    assert peer.messages.keys() == {"m1"}
    assert keys(await pull.pull("zaqar", NOW)) == []
    await pull.stored()
    assert not peer.messages


async def test_what_was_deleted_need_not_be_remembered(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("healer.pulls.zaqar.MOST_REMEMBERED", 2)
    pull = at(peer)
    peer.messages = {"m1": DISK}
    await pull.pull("zaqar", NOW)
    peer.next("DELETE", "/m1", 400)
    await pull.stored()
    for number in range(5):
        peer.messages[f"n{number}"] = {"id": f"{number}"}
        assert keys(await pull.pull("zaqar", NOW)) == [f"{number}"]
        peer.next("DELETE", "/m1", 400)
        await pull.stored()
    assert peer.messages.keys() == {"m1"}


async def test_who_may_not_delete_is_told_so_and_the_rest_is_tried(peer: Peer) -> None:
    peer.messages = {"m1": DISK, "m2": {"id": "b"}}
    pull = at(peer)
    await pull.pull("zaqar", NOW)
    peer.next(
        "DELETE", "/m1", 403, body={"title": "Unable to delete", "description": "it is claimed by another"}
    )
    with pytest.raises(EngineError, match="403: it is claimed by another") as raised:
        await pull.stored()
    assert raised.value.failure is Failure.FORBIDDEN
    assert peer.messages.keys() == {"m1"}


async def test_what_is_claimed_twice_is_one_alarm_and_deleted_with_the_claim_that_holds(peer: Peer) -> None:
    """Of a Zaqar on Redis, where an older message that was delayed may be claimed only after it."""
    peer.messages = {"m1": DISK, "m2": {"id": "late"}}

    def claimed(claim: str, *ids: str) -> web.Response:
        path = "/v2/queues/healer/messages"
        found = [
            {"id": one, "href": f"{path}/{one}?claim_id={claim}", "age": 0, "body": peer.messages[one]}
            for one in ids
        ]
        return web.json_response({"messages": found}, status=201)

    peer.instead["POST /claims"] = [
        claimed("c0", "m1"),
        claimed("c1", "m2"),
        claimed("c1", "m1"),
        web.Response(status=204),
    ]
    pull = at(peer, at_once=1)
    assert keys(await pull.pull("zaqar", NOW)) == ["disk", "late"]
    await pull.stored()
    assert not peer.messages


async def test_a_reading_that_ends_half_way_keeps_what_it_has(peer: Peer) -> None:
    peer.messages = {"m1": DISK}
    pull = at(peer, at_once=1)
    peer.instead["POST /claims"] = []
    await pull.pull("zaqar", NOW)
    await pull.stored()
    peer.messages = {"m2": DISK}
    href = "/v2/queues/healer/messages/m2?claim_id=c1"
    first = {"messages": [{"id": "m2", "href": href, "age": 0, "body": DISK}]}
    peer.instead["POST /claims"] = [web.json_response(first, status=201), web.Response(status=503)]
    assert keys(await pull.pull("zaqar", NOW)) == ["disk"]
    await pull.stored()
    assert not peer.messages


@pytest.mark.parametrize(("status", "failure"), [(503, Failure.UNREACHABLE), (400, Failure.REJECTED)])
async def test_a_zaqar_that_refuses_is_asked_again_the_next_time(
    peer: Peer, status: int, failure: Failure
) -> None:
    pull = at(peer)
    peer.messages = {"m1": DISK}
    peer.next("POST", "/claims", status, body={"title": "no", "description": "Limit must be at least 1"})
    with pytest.raises(EngineError) as raised:
        await pull.pull("zaqar", NOW)
    assert raised.value.failure is failure
    assert keys(await pull.pull("zaqar", NOW)) == ["disk"]


async def test_a_zaqar_that_is_down_is_unreachable(unused_tcp_port: int) -> None:
    pull = Zaqar(url=f"http://127.0.0.1:{unused_tcp_port}", project=PROJECT, queue="healer")
    with pytest.raises(EngineError) as raised:
        await pull.pull("zaqar", NOW)
    assert raised.value.failure is Failure.UNREACHABLE


@pytest.mark.parametrize("body", [{}, [], "no", {"messages": [{"id": "m1"}]}, {"messages": {}}])
async def test_what_is_no_answer_of_zaqar_s_is_said(peer: Peer, body: Any) -> None:
    peer.next("POST", "/claims", 201, body=body)
    with pytest.raises(EngineError, match="not an answer of Zaqar's") as raised:
        await at(peer).pull("zaqar", NOW)
    assert raised.value.failure is Failure.REJECTED


async def test_a_redirect_is_not_followed(peer: Peer) -> None:
    peer.instead["GET /healer"] = [
        web.Response(status=302, headers={"Location": f"{peer.url}/v2/queues/other"})
    ]
    with pytest.raises(EngineError, match="302"):
        await at(peer).pull("zaqar", NOW)
    assert peer.asked == ["GET /v2/queues/healer"]


async def test_an_encrypted_queue_is_left_alone(peer: Peer) -> None:
    peer.metadata["_enable_encrypt_messages"] = True
    with pytest.raises(EngineError, match="'healer' is encrypted"):
        await at(peer).pull("zaqar", NOW)
    assert len(peer.asked) == 1


async def test_a_queue_that_is_not_there_is_said_until_it_is(peer: Peer) -> None:
    peer.queues = [f"q{number:02}" for number in range(45)]
    pull = at(peer, queue="q9")
    for _ in range(2):
        with pytest.raises(EngineError, match=r"no queue 'q9' yet.*q00, q01"):
            await pull.pull("zaqar", NOW)
    peer.queues.append("q9")
    assert await pull.pull("zaqar", NOW) == Batch(())
    peer.queues.clear()
    assert await pull.pull("zaqar", NOW) == Batch(())


async def test_among_too_many_queues_it_is_not_looked_for_for_ever(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_zaqar, "MOST_PAGES", 2)
    peer.queues = [f"q{number:02}" for number in range(45)]
    await at(peer, queue="q99").pull("zaqar", NOW)
    assert sum(call.startswith("GET /v2/queues?") for call in peer.asked) == 2


async def test_a_token_that_has_expired_is_replaced(peer: Peer, cloud: Zaqar) -> None:
    peer.messages = {"m1": DISK}
    await cloud.pull("zaqar", NOW)
    assert peer.tokens == 1
    peer.revoked.add("token-1")
    assert keys(await cloud.pull("zaqar", NOW)) == ["disk"]
    await cloud.stored()
    assert peer.tokens == 2
    assert not peer.messages


async def test_who_is_not_admitted_with_a_new_token_either_asks_for_no_third(
    peer: Peer, cloud: Zaqar
) -> None:
    await cloud.pull("zaqar", NOW)
    peer.revoked |= {"token-1", "token-2", "token-3"}
    with pytest.raises(EngineError, match="401") as raised:
        await cloud.pull("zaqar", NOW)
    assert raised.value.failure is Failure.FORBIDDEN
    assert peer.tokens == 2


async def test_an_endpoint_that_tells_no_versions_is_known_by_its_path(peer: Peer, cloud: Zaqar) -> None:
    peer.versions, peer.endpoint = False, "/v2"
    peer.messages = {"m1": DISK}
    assert keys(await cloud.pull("zaqar", NOW)) == ["disk"]
    await cloud.stored()
    assert not peer.messages


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"url": None}, "exactly one of `cloud` and `url`"),
        ({"cloud": "mine"}, "exactly one of `cloud` and `url`"),
        ({"project": None}, "`url` and `project` go together"),
        ({"url": None, "cloud": "mine"}, "`url` and `project` go together"),
        ({"url": "127.0.0.1:8888"}, "is no URL of a Zaqar"),
        ({"queue": "a/b"}, "queue"),
        ({"at_once": 21}, "at_once"),
        ({"claim": "59s"}, "claim"),
        ({"grace": "13h"}, "grace"),
        ({"about": {"colour": "red"}}, "about"),
    ],
)
def test_what_does_not_fit_together_is_refused(options: dict[str, Any], said: str) -> None:
    given = {"url": "http://127.0.0.1:8888", "project": PROJECT, "queue": "healer"} | options
    with pytest.raises(ValidationError) as raised:
        Zaqar.model_validate(given)
    assert said in str(raised.value)


def test_a_cloud_that_is_not_in_clouds_yaml_is_objected_to(tmp_path: Path) -> None:
    pull = Zaqar(cloud="mine", clouds_yaml=tmp_path / "clouds.yaml", queue="healer")
    assert "is not there" in pull.objections()["cloud"]
    assert not Zaqar(url="http://127.0.0.1:8888", project=PROJECT, queue="healer").objections()
