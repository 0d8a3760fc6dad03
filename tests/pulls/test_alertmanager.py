from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from healer.alarms.alertmanager import Alertmanager as Webhook
from healer.core.model import AlarmStatus, Selector
from healer.core.step import Failure
from healer.ports import Batch, Delivery, EngineError
from healer.pulls import _asking
from healer.pulls.alertmanager import Alertmanager

PAYLOADS = Path(__file__).parents[1] / "payloads"
ANSWERS = {path.stem: path.read_bytes() for path in (PAYLOADS / "answers").glob("alertmanager-*.json")}
FIRING = ANSWERS["alertmanager-0.25.0-alerts"]
NOW = datetime(2026, 11, 24, 15, 52, tzinfo=UTC)
ALERT: dict[str, Any] = {
    "labels": {"alertname": "Down", "stack": "shop", "resource": "api"},
    "annotations": {"summary": "it is down"},
    "startsAt": "2026-11-22T08:00:01.590Z",
    "endsAt": "2026-11-22T08:05:01.590Z",
    "updatedAt": "2026-11-22T08:00:01.590Z",
    "fingerprint": "0f5cb11605ba9a4b",
    "receivers": [{"name": "healer"}],
    "status": {"state": "active", "silencedBy": [], "inhibitedBy": []},
}


@dataclass(slots=True)
class Peer:
    """Answers as an Alertmanager did, and remembers what it was asked."""

    alerts: bytes = FIRING
    receivers: bytes = ANSWERS["alertmanager-0.25.0-receivers"]
    silences: bytes = b"[]"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[web.Request] = field(default_factory=list)
    url: str = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request)
        answers = {"alerts": self.alerts, "receivers": self.receivers, "silences": self.silences}
        _, api, what = request.path.rpartition("/api/v2/")
        if not request.path.startswith(api) or (body := answers.get(what)) is None:
            return web.Response(status=404)
        headers = {"Content-Type": "application/json"} | self.headers
        return web.Response(status=self.status, body=body, headers=headers)


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    there, app = Peer(), web.Application()
    app.router.add_route("*", "/{path:.*}", there.answer)
    async with TestServer(app) as server:
        there.url = str(server.make_url("")).rstrip("/")
        yield there


async def pull(url: str, **options: Any) -> Batch:
    puller = Alertmanager.model_validate({"url": url} | options)
    try:
        return await puller.pull("alertmanager", NOW)
    finally:
        await puller.stored()
        await puller.close()


async def failure(url: str, **options: Any) -> EngineError:
    with pytest.raises(EngineError) as caught:
        await pull(url, **options)
    return caught.value


def written(alerts: Any) -> bytes:
    return json.dumps(alerts).encode()


async def test_it_asks_for_what_fires_and_is_sent_to_healer(peer: Peer) -> None:
    await pull(peer.url, silences=False)
    [asked] = peer.asked
    assert (asked.method, asked.path) == ("GET", "/api/v2/alerts")
    assert asked.query == {
        "active": "true",
        "silenced": "false",
        "inhibited": "false",
        "receiver": "healer",
    }
    assert asked.headers["User-Agent"].startswith("healer/")
    assert "Authorization" not in asked.headers


async def test_a_captured_answer_is_read_whole(peer: Peer) -> None:
    batch = await pull(peer.url)
    assert (len(batch.alarms), batch.rejected, batch.truncated) == (5, (), 0)
    assert {each.selector.resource for each in batch.alarms} == {f"web_server_{n}" for n in range(5)}
    first = batch.alarms[0]
    assert (first.source, first.key, first.status) == (
        "alertmanager",
        "01a79fd4814159d7",
        AlarmStatus.FIRING,
    )
    assert first.started_at == datetime(2026, 11, 24, 15, 51, 37, 568_000, tzinfo=UTC)
    assert (first.received_at, first.expires_at) == (NOW, NOW + timedelta(hours=25))
    assert first.selector == Selector("lab", "shop", "web_server_2", address="127.0.0.1:19199")
    assert first.annotations == {"summary": "web_server_2 of stack shop is unhealthy"}
    assert (first.severity, first.labels["severity"]) == ("critical", "critical")


async def test_what_is_pulled_is_what_was_sent_and_what_was_cut_off(peer: Peer) -> None:
    """Captured at once: Alertmanager sent three alerts and said of two that it had left them out."""
    sent = Webhook().parse(
        Delivery("alertmanager", (PAYLOADS / "alertmanager-0.25.0-firing.json").read_bytes(), NOW)
    )
    pulled = {each.identity: each for each in (await pull(peer.url)).alarms}
    assert sent.truncated == 2
    assert len(pulled) == len(sent.alarms) + sent.truncated
    for each in sent.alarms:
        assert pulled[each.identity] == each


async def test_a_newer_alertmanager_is_read_as_well(peer: Peer) -> None:
    peer.alerts = ANSWERS["alertmanager-0.33.1-alerts"]
    [alarm] = (await pull(peer.url, receiver=None)).alarms
    assert (alarm.key, alarm.labels) == ("9c0509fb45fa1781", {"alertname": "Lat", "i": "1"})


@pytest.mark.parametrize(
    ("status", "fires"),
    [
        ({"state": "active"}, True),
        ({"state": "unprocessed", "mutedBy": []}, True),
        ({}, True),
        ({"state": "suppressed", "silencedBy": ["c371bcd9"]}, False),
        ({"state": "active", "mutedBy": ["weekends"]}, False),
    ],
)
async def test_what_is_muted_does_not_fire(peer: Peer, status: dict[str, Any], fires: bool) -> None:
    peer.alerts = written([ALERT | {"status": status}])
    assert len((await pull(peer.url)).alarms) == fires


async def test_alertmanager_may_stand_behind_a_path(peer: Peer) -> None:
    error = await failure(f"{peer.url}/am/")
    assert [asked.path for asked in peer.asked] == ["/am/api/v2/alerts"]
    assert (error.failure, "answered 404" in str(error)) == (Failure.REJECTED, True)


async def test_a_receiver_is_meant_by_its_name_and_not_by_a_pattern(peer: Peer) -> None:
    """Alertmanager takes a regular expression: a dot would be any letter, and a bracket an error."""
    peer.receivers = written([{"name": "team.[1]"}])
    await pull(peer.url, receiver="team.[1]")
    assert peer.asked[0].query["receiver"] == r"team\.\[1\]"


async def test_without_a_receiver_all_that_fires_is_asked_for(peer: Peer) -> None:
    peer.alerts = b"[]"
    assert await pull(peer.url, receiver=None) == Batch((), silences=())
    asked = peer.asked[0]
    assert "receiver" not in asked.query


async def test_where_nothing_fires_the_receiver_must_exist(peer: Peer) -> None:
    """Of a receiver that is misspelt, Alertmanager says the same as where all is well."""
    peer.alerts = b"[]"
    assert await pull(peer.url) == Batch((), silences=())
    error = await failure(peer.url, receiver="haeler")
    assert error.failure is Failure.REJECTED
    assert str(error) == "it has no receiver 'haeler'; there are: healer"


async def test_other_labels_can_be_made_to_name_the_resource_and_the_end_can_be_another(peer: Peer) -> None:
    options = {"labels": {"stack": "job"}, "expires_after": "1h"}
    first = (await pull(peer.url, **options)).alarms[0]
    assert (first.selector.stack, first.expires_at) == ("demo", NOW + timedelta(hours=1))
    assert (await pull(peer.url, expires_after=None)).alarms[0].expires_at is None


async def test_a_token_is_read_each_time(peer: Peer, tmp_path: Path) -> None:
    token_file = tmp_path / "token"
    puller = Alertmanager(url=peer.url, token_file=token_file)
    for token in ("s3cr3t\n", "renewed"):
        await asyncio.to_thread(token_file.write_text, token)
        await puller.pull("alertmanager", NOW)
    shown = [asked.headers["Authorization"] for asked in peer.asked]
    assert shown == ["Bearer s3cr3t"] * 2 + ["Bearer renewed"] * 2


async def test_a_password_is_shown_as_alertmanager_itself_asks_for_it(peer: Peer, tmp_path: Path) -> None:
    password_file = tmp_path / "password"
    await asyncio.to_thread(password_file.write_text, "pä:ss\n", encoding="utf-8")
    await pull(peer.url, username="healer", password_file=password_file)
    assert peer.asked[0].headers["Authorization"] == "Basic aGVhbGVyOnDDpDpzcw=="


@pytest.mark.parametrize("content", [None, b"", b"\n", b"two\nlines", b"\xff"])
async def test_a_token_that_cannot_be_read_is_waited_for(
    peer: Peer, tmp_path: Path, content: bytes | None
) -> None:
    token_file = tmp_path / "token"
    if content is not None:
        await asyncio.to_thread(token_file.write_bytes, content)
    error = await failure(peer.url, token_file=token_file)
    assert (error.failure, peer.asked) == (Failure.UNREACHABLE, [])
    assert str(token_file) in str(error)


@pytest.mark.parametrize(
    ("status", "meant"),
    [
        (500, Failure.UNREACHABLE),
        (503, Failure.UNREACHABLE),
        (429, Failure.UNREACHABLE),
        (400, Failure.REJECTED),
        (401, Failure.REJECTED),
        (204, Failure.REJECTED),
    ],
)
async def test_another_answer_is_no_alarms_and_says_whether_to_ask_again(
    peer: Peer, status: int, meant: Failure
) -> None:
    peer.status = status
    error = await failure(peer.url)
    assert (error.failure, str(error)) == (meant, f"{peer.url}/api/v2/alerts answered {status}")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_no_redirect_is_followed(peer: Peer, tmp_path: Path, status: int) -> None:
    """A token would be shown to whoever it leads to."""
    await asyncio.to_thread((tmp_path / "token").write_text, "s3cr3t")
    peer.status, peer.headers = status, {"Location": f"{peer.url}/elsewhere"}
    error = await failure(peer.url, token_file=tmp_path / "token")
    assert error.failure is Failure.REJECTED
    assert [asked.path for asked in peer.asked] == ["/api/v2/alerts"]


@pytest.mark.parametrize("body", [b"", b"null", b"{}", b"<html>", b"[" * 100_000, b"\xff\xfe", FIRING[:-9]])
async def test_what_is_no_answer_of_alertmanager_is_said_so(peer: Peer, body: bytes) -> None:
    peer.alerts = body
    error = await failure(peer.url)
    assert error.failure is Failure.REJECTED
    assert "answer of Alertmanager's API v2" in str(error)


async def test_an_answer_that_is_packed_is_not_unpacked(peer: Peer) -> None:
    """It was asked not to be: what is small on the wire may be anything."""
    peer.alerts, peer.headers = gzip.compress(FIRING), {"Content-Encoding": "gzip"}
    error = await failure(peer.url)
    assert peer.asked[0].headers["Accept-Encoding"] == "identity"
    assert (error.failure, "answered 200 in gzip" in str(error)) == (Failure.REJECTED, True)


async def test_an_answer_without_an_end_is_given_up() -> None:
    sent = 0

    async def pour(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        while sent < 4 * _asking.ANSWER_LIMIT:
            await response.write(b" " * 65536)
            sent += 65536
        return response

    app = web.Application()
    app.router.add_get("/api/v2/alerts", pour)
    async with TestServer(app) as endless:
        error = await failure(str(endless.make_url("")), timeout="30s")
    assert error.failure is Failure.REJECTED
    assert f"more than {_asking.ANSWER_LIMIT} bytes" in str(error)
    assert sent < 2 * _asking.ANSWER_LIMIT


async def test_one_that_never_answers_is_unreachable_after_the_timeout() -> None:
    left = asyncio.Event()

    async def hang(_: web.Request) -> web.Response:
        await left.wait()
        return web.Response()

    app = web.Application()
    app.router.add_get("/api/v2/alerts", hang)
    async with TestServer(app) as silent:
        error = await failure(str(silent.make_url("")), timeout="100ms")
        left.set()
    assert error.failure is Failure.UNREACHABLE
    assert "within 100ms" in str(error)


async def test_one_that_is_not_there_or_hangs_up_is_unreachable() -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        errors = [await failure(f"http://127.0.0.1:{port}")]
    errors += [await failure(f"http://127.0.0.1:{port}"), await failure("http://nowhere.invalid:9093")]
    assert [error.failure for error in errors] == [Failure.UNREACHABLE] * 3


async def test_one_bad_alert_is_rejected_by_its_place_and_the_others_are_kept(peer: Peer) -> None:
    bad: list[dict[str, Any]] = [
        {"labels": {"stack": 1}},
        {"startsAt": "yesterday"},
        {"fingerprint": ""},
        {"status": "active"},
    ]
    peer.alerts = written([ALERT, *[ALERT | each for each in bad], None, ALERT])
    batch = await pull(peer.url)
    assert len(batch.alarms) == 2
    assert [each.index for each in batch.rejected] == [1, 2, 3, 4, 5]
    assert "no time of RFC 3339: 'yesterday'" in batch.rejected[1].reason


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
BODIES = (
    st.lists(
        JUNK | st.fixed_dictionaries({}, optional=dict.fromkeys(ALERT, JUNK)).map(lambda it: ALERT | it),
        max_size=4,
    ).map(written)
    | st.integers(0, len(FIRING)).map(lambda end: FIRING[:end])
    | st.binary(max_size=50)
)


async def test_whatever_is_answered_is_a_batch_or_an_engine_error(peer: Peer) -> None:
    loop = asyncio.get_running_loop()

    async def once(body: bytes) -> None:
        peer.alerts = body
        with contextlib.suppress(EngineError):
            batch = await pull(peer.url)
            assert all(each.started_at.tzinfo is UTC for each in batch.alarms)

    @given(BODIES)
    @settings(max_examples=150, deadline=None)
    def tried(body: bytes) -> None:
        asyncio.run_coroutine_threadsafe(once(body), loop).result(30)

    await asyncio.to_thread(tried)


@pytest.mark.parametrize(
    "options",
    [
        {"url": "127.0.0.1:9093"},
        {"url": "ftp://127.0.0.1"},
        {"url": "http://user:word@127.0.0.1:9093"},
        {"url": "http://127.0.0.1:9093/?filter=x"},
        {"receiver": ""},
        {"timeout": "0s"},
        {"expires_after": "0s"},
        {"token_file": "t", "username": "u", "password_file": "p"},
        {"username": "u"},
        {"password_file": "p"},
        {"username": "u:v", "password_file": "p"},
        {"labels": {"stak": "x"}},
        {"tokenfile": "x"},
    ],
)
def test_a_mistake_in_the_options_is_an_error_at_load(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Alertmanager.model_validate({"url": "http://127.0.0.1:9093"} | options)
