from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from healer.alarms.aodh import Aodh as Source
from healer.authentication.signed_url import SignedUrl
from healer.core.model import Alarm, AlarmStatus, Selector
from healer.core.step import Failure
from healer.ports import Batch, Delivery, EngineError
from healer.pulls import _aodh
from healer.pulls.aodh import Aodh
from tests.alarms import mutated
from tests.aodh.around import PROJECT, Around, around

ANSWERS = Path(__file__).parents[1] / "payloads" / "answers"
CAPTURED: list[dict[str, Any]] = json.loads((ANSWERS / "aodh-23.0.0-alarms.json").read_bytes())
HISTORIES: dict[str, Any] = json.loads((ANSWERS / "aodh-23.0.0-histories.json").read_bytes())
ALARMS = {alarm["name"]: alarm for alarm in CAPTURED}
NOW = datetime(2026, 11, 24, 19, 40, tzinfo=UTC)
SERVER = "96ab1c42-668c-4f2d-8689-afa3301d4ee9"
STACK = "3095aefc-09fb-4bc7-b1f0-f21a304e864c"
CREATED, CHANGED = "2026-11-24T10:00:00.123456", "2026-11-24T19:00:00.654321"
URL = "http://healer:9595/v1/alarms/aodh?stack=shop&resource=api"


def held(**changes: Any) -> dict[str, Any]:
    """What is created is set back by nobody: its state has its time in the history."""
    return {
        "alarm_id": "a-1",
        "name": "cpu",
        "type": "gnocchi_resources_threshold",
        "state": "alarm",
        "state_timestamp": CREATED,
        "state_reason": "Transition to alarm",
        "enabled": True,
        "severity": "low",
        "alarm_actions": [URL],
        "gnocchi_resources_threshold_rule": {"metric": "cpu", "resource_id": SERVER},
    } | changes


def transition(state: str = "alarm", at: str = CHANGED) -> dict[str, Any]:
    detail = json.dumps({"state": state, "transition_reason": "because"})
    return {"event_id": "e", "alarm_id": "a-1", "type": "state transition", "detail": detail, "timestamp": at}


@dataclass(slots=True)
class Peer:
    """Answers as an Aodh did, and remembers what it was asked."""

    alarms: Any = field(default_factory=lambda: CAPTURED)
    histories: dict[str, Any] = field(default_factory=lambda: dict(HISTORIES))
    history: bytes | None = None
    """Of every other alarm."""
    stuck: bool = False
    """Whether each page is the first one again."""
    instead: Callable[[], web.StreamResponse] | None = None
    versions: Any = None
    """What it says at its root."""
    asked: list[web.Request] = field(default_factory=list)
    url: str = ""

    def holds(self, *alarms: dict[str, Any], history: Any = None) -> None:
        self.alarms = list(alarms)
        told = [transition()] if history is None else history
        self.histories = {alarm["alarm_id"]: told for alarm in alarms}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        if self.instead is not None:
            return self.instead()
        match request.path.split("/"):
            case ["", ""] if self.versions:
                return _json(self.versions)
            case ["", "v2", "alarms"]:
                return _json(self._page(request))
            case ["", "v2", "alarms", alarm, "history"] if alarm in self.histories:
                return _json(self.histories[alarm])
            case ["", "v2", "alarms", _, "history"] if self.history is not None:
                return _json(self.history)
        return web.Response(status=404)

    def _page(self, request: web.Request) -> Any:
        if not isinstance(self.alarms, list) or "limit" not in request.query:
            return self.alarms
        ids = [each["alarm_id"] if isinstance(each, dict) else "" for each in self.alarms]
        if self.stuck:
            return self.alarms[: int(request.query["limit"])]
        begins = ids.index(request.query["marker"]) + 1 if "marker" in request.query else 0
        return self.alarms[begins : begins + int(request.query["limit"])]

    def histories_asked(self) -> list[str]:
        return [one.path.split("/")[3] for one in self.asked if one.path.endswith("/history")]


def _json(value: Any) -> web.Response:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return web.Response(body=body, headers={"Content-Type": "application/json"})


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    there, app = Peer(), web.Application()
    app.router.add_route("*", "/{path:.*}", there.answer)
    async with TestServer(app) as server:
        there.url = str(server.make_url("")).rstrip("/")
        yield there


async def pull(peer: Peer, at: datetime = NOW, **options: Any) -> Batch:
    puller = await asyncio.to_thread(Aodh.model_validate, {"url": peer.url} | options)
    try:
        return await puller.pull("aodh", at)
    finally:
        await puller.stored()
        await puller.close()


async def one(peer: Peer, alarm: dict[str, Any], history: Any = None, **options: Any) -> Alarm:
    peer.holds(alarm, history=history)
    [found] = (await pull(peer, **options)).alarms
    return found


async def failure(peer: Peer, **options: Any) -> EngineError:
    with pytest.raises(EngineError) as caught:
        await pull(peer, **options)
    return caught.value


async def test_it_asks_for_what_is_enabled_and_for_the_last_change_of_what_is_healer_s(peer: Peer) -> None:
    await pull(peer, project="p-1")
    first, *others = peer.asked
    assert (first.method, first.path) == ("GET", "/v2/alarms")
    assert dict(first.query) == {
        "q.field": "enabled",
        "q.op": "eq",
        "q.value": "true",
        "q.type": "boolean",
        "sort": "alarm_id:asc",
        "limit": "500",
    }
    assert (first.headers["X-Project-Id"], first.headers["X-Roles"]) == ("p-1", "reader")
    assert first.headers["User-Agent"].startswith("healer/")
    named = {alarm["alarm_id"]: alarm["name"] for alarm in CAPTURED}
    assert sorted(named[each.path.split("/")[3]] for each in others) == [
        "both_dead",
        "cpu_dead",
        "cpu_fine",
        "member_dead",
        "scoped_dead",
        "server_error",
    ]
    expected = {"q.field": "type", "q.op": "eq", "q.value": "state transition", "limit": "1"}
    assert all(dict(each.query) == expected for each in others)


async def test_captured_alarms_are_read_whole(peer: Peer) -> None:
    batch = await pull(peer)
    assert batch.rejected == ()
    found = {alarm.labels["alertname"]: alarm for alarm in batch.alarms}
    assert {name: (alarm.status, alarm.selector) for name, alarm in found.items()} == {
        "scoped_dead": (AlarmStatus.FIRING, Selector(stack="shop", resource="api")),
        "cpu_dead": (AlarmStatus.FIRING, Selector(physical_id=SERVER)),
        "cpu_fine": (AlarmStatus.CLEARED, Selector(stack="shop", resource="web")),
        "cpu_unknown": (AlarmStatus.UNKNOWN, Selector(stack="shop", resource="web")),
        "both_dead": (AlarmStatus.FIRING, Selector(physical_id=SERVER)),
        "server_error": (AlarmStatus.FIRING, Selector(physical_id=SERVER)),
        "member_dead": (AlarmStatus.FIRING, Selector(stack=STACK, address="10.0.0.7:80")),
        "searched": (AlarmStatus.UNKNOWN, Selector(physical_id=SERVER)),
    }
    dead, key = found["cpu_dead"], ALARMS["cpu_dead"]["alarm_id"]
    changed_at = datetime.fromisoformat(HISTORIES[key][0]["timestamp"]).replace(tzinfo=UTC)
    assert timedelta(0) <= dead.started_at - changed_at < timedelta(milliseconds=1)
    assert dead == Alarm(
        source="aodh",
        key=key,
        status=AlarmStatus.FIRING,
        started_at=dead.started_at,
        received_at=NOW,
        selector=Selector(physical_id=SERVER),
        labels={"alertname": "cpu_dead", "alarm_type": "threshold", "project_id": PROJECT},
        annotations={"summary": "Transition to alarm due to 1 samples outside threshold, most recent: 92.5"},
        severity="critical",
        expires_at=NOW + timedelta(hours=25),
    )
    assert changed_at > datetime.fromisoformat(ALARMS["cpu_dead"]["state_timestamp"]).replace(tzinfo=UTC)
    event = found["server_error"]
    assert event.expires_at is not None
    assert (
        timedelta(0) <= event.started_at + timedelta(hours=1) - event.expires_at < timedelta(milliseconds=1)
    )
    assert found["cpu_fine"].expires_at is None


async def test_what_is_read_has_the_key_and_the_words_of_what_was_sent(peer: Peer) -> None:
    body = {
        "alarm_id": "a-1",
        "alarm_name": "cpu",
        "severity": "low",
        "previous": "ok",
        "current": "alarm",
        "reason": "Transition to alarm",
        "reason_data": {"type": "threshold"},
    }
    query = {"stack": "shop", "resource": "api"}
    [sent] = Source().parse(Delivery("aodh", json.dumps(body).encode(), NOW, query=query)).alarms
    read = await one(peer, held())
    assert read == replace(
        sent,
        started_at=read.started_at,
        expires_at=read.expires_at,
        annotations={"summary": "Transition to alarm"},
    )


async def test_read_again_it_is_the_same_until_its_state_changes(peer: Peer) -> None:
    first = await one(peer, held())
    peer.alarms[0]["evaluate_timestamp"] = "2026-11-24T19:41:00"
    [again] = (await pull(peer, NOW + timedelta(minutes=1))).alarms
    assert again.identity == first.identity
    # It was well in between, which nobody saw, and says the same of itself.
    anew = await one(peer, held(), [transition(at="2026-11-24T19:39:30")])
    assert anew.identity != first.identity


@pytest.mark.parametrize(
    ("history", "began"),
    [
        ([], CREATED),
        ([transition(at="2026-11-24T09:00:00")], CREATED),  # set by a person since
        ([transition()], CHANGED),
        ([transition(at="2031-01-01T00:00:00")], NOW.isoformat()),
        # A history that lags behind: since then, at the most.
        ([transition("ok")], CHANGED),
        ([transition() | {"detail": "{"}], CHANGED),
        ([transition() | {"detail": None}], CHANGED),
        ([transition() | {"detail": "[]"}], CHANGED),
        ([transition() | {"detail": '{"state": 3}'}], CHANGED),
        (["not a change"], CREATED),
        ([{"timestamp": 3}], CREATED),
    ],
)
async def test_it_began_when_its_state_changed(peer: Peer, history: list[Any], began: str) -> None:
    at = datetime.fromisoformat(began)
    late = (await one(peer, held(), history)).started_at - at.replace(tzinfo=at.tzinfo or UTC)
    assert timedelta(0) <= late < timedelta(milliseconds=1)


async def test_what_a_person_has_it_mean_while_it_fires_is_news(peer: Peer) -> None:
    """First without a scope, then with one, then with one more: no order of the actions makes news of what is none."""
    base = "http://healer:9595/v1/alarms/aodh"
    first, second = f"{base}?stack=shop&resource=api", f"{base}?stack=shop&resource=web"
    seen: list[set[str]] = []
    for actions in ([base], [first], [second, first], [first, second]):
        peer.holds(held(alarm_actions=actions, gnocchi_resources_threshold_rule=None))
        seen.append({alarm.identity for alarm in (await pull(peer)).alarms})
    assert [len(each) for each in seen] == [1, 1, 2, 2]
    assert not seen[0] & seen[1]
    assert seen[1] < seen[2] == seen[3]


async def test_what_changed_while_it_was_read_is_read_again_the_next_time(peer: Peer) -> None:
    peer.holds(held(state="ok"), history=[transition("alarm", "2026-11-24T19:39:59")])
    assert (await pull(peer)) == Batch(())


async def test_a_history_is_asked_for_again_where_it_may_have_gone_on(peer: Peer) -> None:
    fires, fine = held(), held(alarm_id="a-2", state="ok")
    peer.holds(fires, fine, held(alarm_id="a-3", state="insufficient data"), history=[])
    puller = Aodh(url=peer.url)
    asked = []
    for minute in (0, 1, 9, 10, 11):
        if minute == 11:
            fine["state_reason"] = "Transition to ok"
        peer.asked.clear()
        await puller.pull("aodh", NOW + timedelta(minutes=minute))
        asked.append(peer.histories_asked())
    assert asked == [["a-1", "a-2"], ["a-1"], ["a-1"], ["a-1", "a-2"], ["a-1", "a-2"]]
    await puller.close()


@pytest.mark.parametrize(
    "url",
    [
        "http://healer:9595/v1/alarms/aodh?stack=shop&resource=api",
        "https://proxy.example.org/hooks/v1/alarms/aodh?resource=api&stack=shop&sig=abc",
        "trust+https://healer/v1/alarms/aodh?stack=shop&resource=api",
        "trust+http://8d29c083:delete@healer:9595/v1/alarms/aodh?stack=shop&resource=api",
    ],
)
async def test_the_url_of_its_action_says_what_it_is_about(peer: Peer, url: str) -> None:
    found = await one(peer, held(alarm_actions=["log://", url]))
    assert found.selector == Selector(stack="shop", resource="api")


@pytest.mark.parametrize(
    "url",
    [
        "zaqar://?topic=healer",
        "http://healer:9595/v1/alarms/aodh-2?stack=shop&resource=api",
        "http://healer:9595/v1/alarms/?source=aodh",
        "http://[::1/v1/alarms/aodh",
        "log:///v1/alarms/aodh",
        "",
    ],
)
async def test_what_is_sent_elsewhere_is_read_only_where_all_is_wanted(peer: Peer, url: str) -> None:
    peer.holds(held(alarm_actions=[url]), held(alarm_id="a-2", alarm_actions=None))
    assert (await pull(peer)).alarms == ()
    assert peer.histories_asked() == []
    alarms = (await pull(peer, all=True)).alarms
    assert [(one.key, one.selector) for one in alarms] == [
        ("a-1", Selector(physical_id=SERVER)),
        ("a-2", Selector(physical_id=SERVER)),
    ]


async def test_only_urls_that_are_signed_count_where_there_is_a_key(peer: Peer, tmp_path: Path) -> None:
    """Whoever may create an alarm must not be who chooses what is healed."""
    key, other = tmp_path / "key", tmp_path / "other"
    for file in (key, other):
        await asyncio.to_thread(file.write_text, f"{file.name}-of-sixteen-bytes-and-more")
    sign, forge = [(await asyncio.to_thread(SignedUrl, key_files=(file,))).sign for file in (key, other)]
    within = sign(URL.replace("api", "db"), NOW + timedelta(hours=1))
    actions = [
        sign(URL).replace("healer:9595", "proxy/hooks"),
        within,
        sign(URL, NOW - timedelta(seconds=1)),
        forge(URL),
        URL,
        sign(URL).replace("api", "web"),
    ]
    peer.holds(held(alarm_actions=actions), held(alarm_id="a-2"))
    options: dict[str, Any] = {"key_files": [str(key)]}
    alarms = (await pull(peer, **options)).alarms
    assert [(one.key, one.selector.resource) for one in alarms] == [("a-1", "api"), ("a-1", "db")]
    assert [one.selector.resource for one in (await pull(peer, all=True, **options)).alarms] == [
        "api",
        "db",
        None,
    ]


@pytest.mark.parametrize(
    ("state", "actions", "resources"),
    [
        ("alarm", {"alarm": ["a"]}, ["a"]),
        ("alarm", {"ok": ["a"], "insufficient_data": ["b"]}, []),  # nobody was to be told that
        ("alarm", {"alarm": ["a", "b", "a"]}, ["a", "b"]),
        ("ok", {"ok": ["a"]}, ["a"]),
        ("ok", {"alarm": ["a"]}, ["a"]),  # its end is not sent, and is read all the same
        ("ok", {"ok": ["a"], "alarm": ["b", "a"]}, ["a", "b"]),
        ("ok", {"insufficient_data": ["a"]}, []),
        ("insufficient data", {"insufficient_data": ["a"]}, ["a"]),
    ],
)
async def test_the_actions_of_its_state_count_and_an_end_is_that_of_what_began(
    peer: Peer, state: str, actions: dict[str, list[str]], resources: list[str]
) -> None:
    base = "http://healer:9595/v1/alarms/aodh?stack=shop&resource="
    lists = {f"{name}_actions": [base + each for each in named] for name, named in actions.items()}
    peer.holds(held(state=state, **({"alarm_actions": []} | lists)), history=[transition(state)])
    alarms = (await pull(peer)).alarms
    assert [alarm.selector.resource for alarm in alarms] == resources
    assert len({alarm.identity for alarm in alarms}) == len(alarms)
    assert len({alarm.key for alarm in alarms}) <= 1


UNSCOPED = {"alarm_actions": ["http://healer:9595/v1/alarms/aodh"]}


def composite(rule: Any) -> dict[str, Any]:
    return {"type": "composite", "composite_rule": rule}


def searched(query: Any) -> dict[str, Any]:
    kind = "gnocchi_aggregation_by_resources_threshold"
    return {"type": kind, f"{kind}_rule": {"query": query}, "gnocchi_resources_threshold_rule": None}


@pytest.mark.parametrize(
    ("rule", "physical_id"),
    [
        ({}, SERVER),
        ({"gnocchi_resources_threshold_rule": {"resource_id": ["x"]}}, None),
        ({"gnocchi_resources_threshold_rule": None}, None),
        ({"type": "prometheus", "prometheus_rule": {}, "gnocchi_resources_threshold_rule": None}, None),
        (composite({"or": [{"resource_id": "i"}, {"and": [{"resource_id": "i"}]}]}), "i"),
        (composite({"or": [{"resource_id": "i"}, {"resource_id": "j"}]}), None),
        (composite({"or": [{"resource_id": "i"}, {"query": "up"}, 3]}), None),
        (composite({"or": 3}), None),
        (composite({}), None),
        (composite(None), None),
        (searched('{"=": {"id": "i"}}'), "i"),
        (searched('{"and": [{"=": {"ended_at": null}}, {"and": [{"=": {"id": "i"}}]}]}'), "i"),
        (searched({"=": {"id": "i"}}), "i"),
        (searched('{"or": [{"=": {"id": "i"}}, {"=": {"id": "j"}}]}'), None),
        (searched('{"=": {"server_group": "i"}}'), None),
        (searched('{"=": "i"}'), None),
        (searched("[]"), None),
        (searched(None), None),
    ],
)
async def test_the_rule_says_which_resource_is_measured(
    peer: Peer, rule: dict[str, Any], physical_id: str | None
) -> None:
    assert (await one(peer, held(**UNSCOPED) | rule)).selector == Selector(physical_id=physical_id)


@pytest.mark.parametrize(
    ("query", "physical_id"),
    [
        ([{"field": "traits.instance_id", "op": "eq", "value": "i"}], "i"),
        ([{"field": "traits.instance_id", "value": "i"}, {"field": "message_id", "value": "m"}], "i"),
        ([{"field": "traits.instance_id", "op": "ne", "value": "i"}], None),
        ([{"field": "traits.instance_id", "op": "eq", "value": ["i"]}], None),
        ([{"field": 3}, "x", {}], None),
        ("x", None),
        (None, None),
    ],
)
async def test_what_an_event_s_rule_asks_for_is_what_the_event_had(
    peer: Peer, query: Any, physical_id: str | None
) -> None:
    rule = {"event_type": "compute.*", "query": query}
    found = await one(peer, held(**UNSCOPED, type="event", event_rule=rule))
    assert found.selector == Selector(physical_id=physical_id)
    assert "event_type" not in found.labels


async def test_other_traits_can_be_made_to_name_the_resource(peer: Peer) -> None:
    rule = {"event_type": "x.y", "query": [{"field": "traits.uuid", "value": "i"}]}
    alarm = held(**UNSCOPED, type="event", event_rule=rule)
    found = await one(peer, alarm, labels={"physical_id": "uuid"})
    assert (found.selector, found.labels["event_type"]) == (Selector(physical_id="i"), "x.y")


async def test_an_event_that_is_long_ago_is_no_evidence(peer: Peer) -> None:
    """Its alarm stays as it is until a person sets it back: a server may have been well for weeks."""
    alarm = held(type="event", event_rule={"event_type": "x"})
    ends = datetime(2026, 11, 24, 20, 0, 0, 654321, tzinfo=UTC)
    assert (await one(peer, alarm)).expires_at == ends
    assert (await pull(peer, event_expires_after="39m")).alarms == ()
    assert (await one(peer, alarm, event_expires_after=None)).expires_at is None


@pytest.mark.parametrize(("state", "expires"), [("alarm", True), ("ok", False), ("insufficient data", False)])
async def test_what_fires_and_is_not_read_again_is_over_some_day(
    peer: Peer, state: str, expires: bool
) -> None:
    found = await one(peer, held(state=state, ok_actions=[URL]), [], expires_after="2h")
    assert found.expires_at == (NOW + timedelta(hours=2) if expires else None)
    assert (await one(peer, held(state=state), [], expires_after=None)).expires_at is None


@pytest.mark.parametrize(
    ("reason", "selector"),
    [
        ("… most recent: {'address': '10.0.0.7', 'protocol_port': 80}", Selector("s", None, None)),
        ("{'address': '2001:db8::7', 'protocol_port': 443}", Selector("s", None, None)),
        ("{'address': '10.0.0.7'}", Selector("s", None, None)),
    ],
)
async def test_the_last_member_that_failed_is_in_the_reason(
    peer: Peer, reason: str, selector: Selector
) -> None:
    where = {"10.0.0.7', 'pr": "10.0.0.7:80", "2001": "[2001:db8::7]:443", "10.0.0.7'}": "10.0.0.7"}
    address = next(said for part, said in where.items() if part in reason)
    found = await one(peer, balancer(state_reason=reason))
    assert found.selector == replace(selector, cloud=None, stack="s", address=address)


def balancer(**changes: Any) -> dict[str, Any]:
    rule = {"pool_id": "p", "stack_id": "s", "autoscaling_group_id": "g"}
    kind = "loadbalancer_member_health"
    return held(**UNSCOPED, type=kind, **{f"{kind}_rule": rule}) | changes


@pytest.mark.parametrize(
    "changes",
    [
        {"state_reason": "Transition to alarm due to 3 members unhealthy, most recent: 3"},
        {"state_reason": None},
        {"state": "ok", "state_reason": "{'address': '10.0.0.7'}"},
    ],
)
async def test_without_a_member_a_balancer_s_alarm_is_about_its_group(
    peer: Peer, changes: dict[str, Any]
) -> None:
    found = await one(peer, balancer(**changes), [])
    assert found.selector == Selector(stack="s", resource="g")


async def test_one_that_cannot_be_read_loses_no_other(peer: Peer) -> None:
    bad = [held(alarm_id="b", state="pending"), held(alarm_id="c", state_timestamp="soon"), 3]
    peer.alarms, peer.histories = [bad[0], held(), *bad[1:]], {"a-1": [transition()], "c": []}
    batch = await pull(peer)
    assert [alarm.key for alarm in batch.alarms] == ["a-1"]
    assert [(one.index, bool(one.reason)) for one in batch.rejected] == [(0, True), (2, True), (3, True)]


async def test_all_pages_are_read(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_aodh, "PAGE", 2)
    peer.holds(*(held(alarm_id=f"a-{number}") for number in range(4)))
    assert [alarm.key for alarm in (await pull(peer)).alarms] == ["a-0", "a-1", "a-2", "a-3"]
    pages = [one.query.get("marker") for one in peer.asked if one.path == "/v2/alarms"]
    assert pages == [None, "a-1", "a-3"]
    monkeypatch.setattr(_aodh, "MOST_PAGES", 2)
    assert "has more than 4 alarms" in (await failure(peer)).detail
    peer.stuck = True
    assert "do not go on" in (await failure(peer)).detail


async def test_an_administrator_may_read_all_projects(peer: Peer) -> None:
    await pull(peer, all_projects=True)
    asked = peer.asked[0]
    assert asked.query.getall("q.field") == ["enabled", "all_projects"]
    assert asked.query.getall("q.value") == ["true", "true"]
    assert asked.headers["X-Roles"] == "admin,reader"


@pytest.mark.parametrize(
    ("instead", "failure_", "said"),
    [
        (lambda: web.Response(status=500), Failure.UNREACHABLE, "answered 500"),
        (lambda: web.Response(status=503), Failure.UNREACHABLE, "answered 503"),
        (lambda: web.Response(status=429), Failure.UNREACHABLE, "answered 429"),
        (lambda: web.Response(status=403), Failure.REJECTED, "answered 403"),
        (lambda: web.Response(status=404), Failure.REJECTED, "answered 404"),
        (
            lambda: web.Response(status=302, headers={"Location": "/v2/alarms"}),
            Failure.REJECTED,
            "answered 302",
        ),
        (lambda: _json(b"{}"), Failure.REJECTED, "an answer of Aodh's API v2"),
        (lambda: _json(b"[" * 100_000), Failure.REJECTED, "an answer of Aodh's API v2"),
        (lambda: _json(b"no"), Failure.REJECTED, "an answer of Aodh's API v2"),
    ],
)
async def test_an_answer_of_another_kind_is_said(
    peer: Peer, instead: Callable[[], web.StreamResponse], failure_: Failure, said: str
) -> None:
    peer.instead = instead
    error = await failure(peer)
    assert error.failure is failure_
    assert said in error.detail


async def test_whoever_is_not_there_or_does_not_answer_is_unreachable() -> None:
    gone = Peer(url="http://127.0.0.1:9")
    error = await failure(gone)
    assert (error.failure, "cannot be reached" in error.detail) == (Failure.UNREACHABLE, True)
    release = asyncio.Event()

    async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await release.wait()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    try:
        mute = Peer(url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        error = await failure(mute, timeout="100ms")
        assert error.failure is Failure.UNREACHABLE
        assert "has not answered within 100ms" in error.detail
    finally:
        release.set()
        server.close()


def versions(url: str) -> Any:
    """As Aodh 23 says it."""
    links = [
        {"href": f"{url}/v2", "rel": "self"},
        {"href": "https://docs.openstack.org/", "rel": "describedby"},
    ]
    return {"versions": {"values": [{"id": "v2", "links": links, "status": "stable"}]}}


@pytest.fixture
async def cloud(peer: Peer, tmp_path: Path) -> AsyncIterator[tuple[Around, dict[str, Any]]]:
    """Aodh behind a Keystone, and the options by which it is found there."""
    async with around() as there:
        there.aodh = peer.url
        peer.versions = versions(peer.url)
        clouds = tmp_path / "clouds.yaml"
        await asyncio.to_thread(clouds.write_text, there.clouds_yaml())
        yield there, {"url": None, "cloud": "mine", "clouds_yaml": str(clouds), "timeout": "5s"}


async def test_it_is_found_in_keystone_s_catalog(peer: Peer, cloud: tuple[Around, dict[str, Any]]) -> None:
    _, options = cloud
    assert await pull(peer, **options) == await pull(peer)


async def test_it_is_found_where_nobody_says_which_version_there_is(
    peer: Peer, cloud: tuple[Around, dict[str, Any]]
) -> None:
    """A proxy may let nothing through but what is below /v2."""
    _, options = cloud
    peer.versions = None
    assert len((await pull(peer, **options)).alarms) == 8


async def test_a_token_that_counts_no_more_is_renewed_once(cloud: tuple[Around, dict[str, Any]]) -> None:
    there, options = cloud
    puller = Aodh.model_validate(options)
    try:
        await puller.pull("aodh", NOW)
        there.tokens.clear()
        await puller.pull("aodh", NOW)
        assert there.given == 2
        there.refuses = True
        there.tokens.clear()
        with pytest.raises(EngineError, match=r"cloud mine: .*401") as caught:
            await puller.pull("aodh", NOW)
        assert caught.value.failure is Failure.UNREACHABLE
        assert there.given == 3
    finally:
        await puller.close()


@pytest.mark.parametrize(
    ("instead", "failure_", "said"),
    [
        (lambda: web.Response(status=500), Failure.UNREACHABLE, "500"),
        (lambda: web.Response(status=403), Failure.UNREACHABLE, "403"),
        (lambda: web.Response(status=400), Failure.REJECTED, "400"),
        (lambda: web.Response(status=404), Failure.REJECTED, "404"),
        (lambda: _json({"versions": []}), Failure.REJECTED, "no list is answered"),
        (lambda: _json(b"no"), Failure.REJECTED, "no list is answered"),
    ],
)
async def test_an_answer_of_another_kind_is_said_of_a_cloud_too(
    peer: Peer,
    cloud: tuple[Around, dict[str, Any]],
    instead: Callable[[], web.StreamResponse],
    failure_: Failure,
    said: str,
) -> None:
    _, options = cloud
    peer.instead = instead
    error = await failure(peer, **options)
    assert error.failure is failure_
    assert said in error.detail


def test_a_cloud_that_clouds_yaml_does_not_have_is_told_beforehand(known_clouds: Path) -> None:
    assert "no cloud named 'other'" in Aodh(cloud="other").objections()["cloud"]
    assert Aodh(cloud="mine").objections() == {}
    assert Aodh(url="http://127.0.0.1:8042").objections() == {}
    assert known_clouds.exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "exactly one of `cloud` and `url`"),
        ({"cloud": "c", "url": "http://a"}, "exactly one of `cloud` and `url`"),
        ({"cloud": "c", "project": "p"}, "`project` goes with `url`"),
        ({"cloud": ""}, "at least 1 character"),
        ({"url": "a:8042"}, "no URL of an Aodh"),
        ({"url": "http://u:p@a"}, "would be shown with the URL"),
        ({"url": "http://a/?x=1"}, "what stands before /v2/alarms"),
        ({"url": "http://a", "project": "p\r\nX-Roles: admin"}, "should match pattern"),
        ({"url": "http://a", "expires_after": "soon"}, "soon"),
        ({"url": "http://a", "key_files": ["not-there"]}, "not-there"),
        ({"url": "http://a", "key_files": []}, "at least 1"),
        ({"url": "http://a", "limit": 3}, "Extra inputs"),
    ],
)
def test_a_mistake_in_the_options_is_an_error_at_load(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Aodh.model_validate(options)


BODIES = [json.dumps(CAPTURED).encode()]
HISTORY = [json.dumps([transition()]).encode()]


async def test_whatever_is_answered_is_a_batch_or_an_engine_error(peer: Peer) -> None:
    loop = asyncio.get_running_loop()

    async def once(body: bytes, history: bytes) -> None:
        peer.alarms, peer.histories, peer.history = body, {}, history
        with contextlib.suppress(EngineError):
            mutated.holds(await pull(peer, all=True))

    @given(
        mutated.trees(BODIES) | mutated.texts(BODIES),
        st.sampled_from(HISTORY) | mutated.trees(HISTORY) | mutated.texts(HISTORY),
    )
    @settings(max_examples=150, deadline=None)
    def tried(body: bytes, history: bytes) -> None:
        asyncio.run_coroutine_threadsafe(once(body, history), loop).result(30)

    await asyncio.to_thread(tried)
