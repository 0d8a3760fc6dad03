from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, ClassVar

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from healer.core.change import AlarmOutcome
from healer.core.model import Alarm
from healer.ports import AlarmError, Batch, Delivery, StoreError
from healer.receiver import answers
from healer.receiver.alarms import Source
from tests.receiver.desk import TOKEN, Desk, opened

PAYLOADS = Path(__file__).parents[1] / "payloads"
BODIES = {path.stem: path.read_bytes() for path in sorted(PAYLOADS.glob("alertmanager-*.json"))}
FIRING = BODIES["alertmanager-0.33.1-firing"]
SHOWN = {"Authorization": f"Bearer {TOKEN}"}


def alert(number: int, **changes: Any) -> dict[str, Any]:
    plain = {
        "status": "firing",
        "labels": {"alertname": "Down", "stack": "shop", "resource": "db"},
        "startsAt": "2030-05-06T08:01:30.59Z",
        "fingerprint": f"{number:016x}",
    }
    return plain | changes


def notification(*alerts: Any) -> bytes:
    return json.dumps({"version": "4", "status": "firing", "alerts": alerts}).encode()


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with opened() as there:
        yield there


async def post(
    desk: Desk,
    body: Any,
    source: str = "alertmanager",
    headers: dict[str, str] = SHOWN,
    method: str = "POST",
) -> tuple[int, Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.request(
            method, f"{desk.url}/v1/alarms/{source}", data=body, headers=headers, allow_redirects=False
        ) as answer,
    ):
        assert answer.content_type == "application/json"
        return answer.status, await answer.json()


def reason(answer: tuple[int, Any]) -> tuple[int, str]:
    status, body = answer
    assert body["error"]["message"]
    return status, body["error"]["reason"]


async def test_what_alertmanager_sends_is_taken_stored_and_thought_about(desk: Desk) -> None:
    taken = await post(desk, notification(alert(1), alert(2, status="resolved")))
    assert taken == (202, {"accepted": 2, "duplicates": 0, "rejected": []})
    cleared, firing = await desk.filed()
    assert (firing.alarm.key, firing.alarm.source) == (f"{1:016x}", "alertmanager")
    (incident,) = desk.runner.kernel.state.incidents.values()
    assert (firing.outcome, firing.incident) == (AlarmOutcome.MATCHED, incident.id)
    assert cleared.outcome is AlarmOutcome.MATCHED


@pytest.mark.parametrize("name", BODIES)
async def test_every_body_that_was_captured_is_taken(desk: Desk, name: str) -> None:
    status, body = await post(desk, BODIES[name])
    assert status == 202
    assert body["accepted"] == len(json.loads(BODIES[name])["alerts"])


async def test_the_same_delivery_twice_is_taken_once_and_answered_as_before(desk: Desk) -> None:
    """Alertmanager repeats what it is not told is done, and both of a pair deliver the same."""
    await post(desk, notification(alert(1)))
    again = await post(desk, notification(alert(1), alert(2), alert(2)))
    assert again == (202, {"accepted": 1, "duplicates": 2, "rejected": []})
    assert len(await desk.filed()) == 2


async def test_one_that_cannot_be_read_does_not_lose_the_rest_and_a_person_hears_of_it(desk: Desk) -> None:
    """Alertmanager throws the answer away: the log is where this is seen."""
    with capture_logs() as logs:
        status, body = await post(desk, notification(alert(1), alert(2, status="odd"), alert(3)))
    assert (status, body["accepted"]) == (202, 2)
    assert [one["index"] for one in body["rejected"]] == [1]
    assert "status" in body["rejected"][0]["reason"]
    (line,) = [line for line in logs if line["event"] == "alarm.rejected"]
    assert (line["source"], line["alarms"], line["log_level"]) == ("alertmanager", 1, "warning")


async def test_where_nothing_can_be_read_nothing_is_stored(desk: Desk) -> None:
    status, body = await post(desk, notification(alert(1, status="odd")))
    assert (status, body["accepted"], len(body["rejected"])) == (202, 0, 1)
    assert await desk.filed() == ()


async def test_it_is_answered_after_the_commit_and_never_before() -> None:
    stored = asyncio.Event()

    async def accept(alarms: tuple[Alarm, ...]) -> tuple[bool, ...]:
        await stored.wait()
        return (True,) * len(alarms)

    async with opened(accept=accept) as desk:
        sending = asyncio.gather(post(desk, notification(alert(1))))
        done, _ = await asyncio.wait([sending], timeout=0.2)
        assert not done
        stored.set()
        assert [status for status, _ in await sending] == [202]


async def test_what_cannot_be_stored_is_answered_503_so_that_it_is_sent_again() -> None:
    async def accept(alarms: tuple[Alarm, ...]) -> tuple[bool, ...]:
        raise StoreError(f"the disk is full, and {len(alarms)} lost")

    async with opened(accept=accept) as desk:
        status, body = await post(desk, notification(alert(1)))
        assert (status, body["error"]["reason"]) == (503, "not_stored")
        assert body["error"]["message"] == "the disk is full, and 1 lost"


async def test_while_the_store_refuses_nothing_is_read_and_readyz_says_why(desk: Desk) -> None:
    desk.unwell["ready"] = "the disk is full"
    assert reason(await post(desk, b"whatever")) == (503, "not_ready")
    assert await get(desk, "/readyz") == (503, "the disk is full")
    assert await get(desk, "/livez") == (200, None)
    desk.unwell = {}


async def get(desk: Desk, path: str) -> tuple[int, str | None]:
    async with aiohttp.ClientSession() as session, session.get(desk.url + path) as answer:
        body = await answer.json()
        return answer.status, body.get("error", {}).get("message")


async def test_a_daemon_that_is_dead_says_so(desk: Desk) -> None:
    desk.unwell["alive"] = "nothing was looked at for 31 s"
    assert await get(desk, "/livez") == (503, "nothing was looked at for 31 s")
    assert await get(desk, "/readyz") == (200, None)


async def test_a_source_without_a_token_takes_alarms_from_everybody(desk: Desk) -> None:
    assert (await post(desk, notification(alert(1)), "open", {}))[0] == 202


async def test_a_source_that_is_not_configured_is_not_served_and_none_that_is_is_told_to_a_stranger(
    desk: Desk,
) -> None:
    status, body = await post(desk, FIRING, "grafana")
    assert status == 404
    assert body["error"] == {
        "reason": "unknown_source",
        "message": "no such alarm source is configured",
    }


async def test_only_a_post_brings_alarms(desk: Desk) -> None:
    status, body = await post(desk, None, method="GET")
    assert (status, body["error"]["reason"], body["error"]["allowed"]) == (
        405,
        "method_not_allowed",
        ["POST"],
    )
    assert reason(await post(desk, b"", "x/y")) == (404, "not_found")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"alerts": 1}', b"\xff\xfe", b"[" * 100_000, b"null"])
async def test_what_is_no_notification_is_a_bad_request(desk: Desk, body: bytes) -> None:
    assert reason(await post(desk, body)) == (400, "bad_body")


async def test_whoever_goes_away_in_the_middle_leaves_no_trace(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    head = f"POST /v1/alarms/alertmanager HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
    with caplog.at_level(logging.INFO), capture_logs() as logs:
        for rest in ("Content-Length: 99\r\n\r\n{", "Transfer-Encoding: chunked\r\n\r\n9\r\n{", "Content-"):
            _, writer = await asyncio.open_connection("127.0.0.1", desk.port)
            writer.write((head + rest).encode())
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        assert (await post(desk, notification(alert(1))))[0] == 202
        await desk.thought()
    assert not caplog.records
    assert {line["event"] for line in logs} == {"incident.opened", "alarm.matched"}


async def test_chunks_that_turn_bad_on_the_way_are_not_waited_for(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """aiohttp does not tell: the body simply never ends."""
    monkeypatch.setattr(answers, "BODY_WITHIN", 0.2)
    head = f"POST /v1/alarms/alertmanager HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", desk.port)
    writer.write(f"{head}Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n".encode())
    with pytest.raises(TimeoutError):  # so far it is a body that comes slowly
        await asyncio.wait_for(reader.read(1), 0.05)
    writer.write(b"zzz\r\n")
    async with asyncio.timeout(5):
        assert (await reader.readline()).startswith(b"HTTP/1.1 503 ")
    writer.close()


class Broken:
    paths: ClassVar[tuple[str, ...]] = ()

    def parse(self, delivery: Delivery) -> Batch:
        raise KeyError(f"{len(delivery.body)} {delivery.received_at}")


async def test_a_mistake_of_ours_is_logged_and_answered_and_gives_nothing_away() -> None:
    async with opened(sources={"alertmanager": Source(Broken())}) as desk:
        with capture_logs() as logs:
            assert await post(desk, b"a secret", headers=SHOWN) == (
                500,
                {"error": {"reason": "broken", "message": "healer made a mistake; its log tells more"}},
            )
        (line,) = logs
        assert (line["event"], line["route"], line["log_level"]) == (
            "request.broke",
            "/v1/alarms/{source}",
            "error",
        )
        assert TOKEN not in str(line)
        assert 'healer_webhook_requests_total{code="500",source="alertmanager"} 1.0' in await desk.metrics()


async def test_a_parser_says_itself_what_is_wrong_with_a_body() -> None:
    class Picky:
        paths: ClassVar[tuple[str, ...]] = ()

        def parse(self, delivery: Delivery) -> Batch:
            raise AlarmError(f"no body of mine: {delivery.body!r} at {delivery.received_at:%H:%M}")

    async with opened(sources={"alertmanager": Source(Picky())}) as desk:
        status, body = await post(desk, b"hello")
        assert (status, body["error"]["message"]) == (400, "no body of mine: b'hello' at 08:02")


async def test_requests_are_counted_by_source_and_code_and_no_sender_chooses_a_label(desk: Desk) -> None:
    await post(desk, notification(alert(1)))
    await post(desk, b"{")
    for made_up in ("a", "b"):
        await post(desk, b"{", made_up)
    text = await desk.metrics()
    requests = [line for line in text.splitlines() if line.startswith("healer_webhook_requests_total{")]
    assert sorted(requests) == [
        'healer_webhook_requests_total{code="202",source="alertmanager"} 1.0',
        'healer_webhook_requests_total{code="400",source="alertmanager"} 1.0',
        'healer_webhook_requests_total{code="404",source="unknown"} 2.0',
    ]


async def test_each_alarm_is_counted_once_by_what_became_of_it(desk: Desk) -> None:
    await post(desk, notification(alert(1), alert(2, labels={"stack": "bank"}), alert(3, status="odd")))
    await post(desk, notification(alert(1), alert(1, status="resolved")))
    counted = {
        line.partition(" ")[0].partition("{")[2]: line.rpartition(" ")[2]
        for line in (await desk.metrics()).splitlines()
        if line.startswith("healer_alarms_received_total{") and not line.endswith(" 0.0")
    }
    assert counted == {
        'outcome="matched",source="alertmanager",status="firing"}': "1.0",
        'outcome="matched",source="alertmanager",status="cleared"}': "1.0",
        'outcome="unmatched",source="alertmanager",status="firing"}': "1.0",
        'outcome="duplicate",source="alertmanager",status="firing"}': "1.0",
        'outcome="rejected",source="alertmanager",status="unknown"}': "1.0",
    }


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("\xff;;version=x", "text/plain; version=0.0.4; charset=utf-8"),
        (
            "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ),
    ],
)
async def test_prometheus_gets_the_format_that_it_asks_for(desk: Desk, accept: str, kind: str) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{desk.url}/metrics", headers={"Accept": accept}) as answer,
    ):
        assert (answer.status, answer.headers["Content-Type"]) == (200, kind)
        text = await answer.text()
    assert "\nhealer_build_info{" in text
    assert text.endswith("# EOF\n") is accept.startswith("application")


# Whatever a sender can think of.


@contextmanager
def served() -> Iterator[int]:
    """The listener in a loop of its own, so that hypothesis can try many requests at one."""
    ready, over = threading.Event(), asyncio.Event()
    found: list[Any] = []

    async def serve() -> None:
        async with opened() as desk:
            found.extend((desk.port, asyncio.get_running_loop()))
            ready.set()
            await over.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(10)
        yield found[0]
    finally:
        found[1].call_soon_threadsafe(over.set)
        thread.join(10)


@st.composite
def spoilt(draw: st.DrawFn) -> bytes:
    """A body that was captured, with pieces of it changed, doubled, dropped or moved."""
    body = bytearray(draw(st.sampled_from(sorted(BODIES.values()))))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(body)))
        end = min(len(body), start + draw(st.integers(0, 40)))
        piece = draw(st.binary(max_size=12) | st.sampled_from(PIECES) | st.just(bytes(body[start:end]) * 2))
        body[start:end] = piece
    return bytes(body)


PIECES = [
    b'"',
    b"{",
    b"}",
    b"[",
    b"null",
    b"1e999",
    b"NaN",
    b'"\\ud800"',
    b"\\u0000",
    b"9" * 400,
    b"\xff",
    b"-",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=10,
)
FIELDS = st.sampled_from(["status", "labels", "annotations", "startsAt", "fingerprint", "endsAt"])


@st.composite
def misfilled(draw: st.DrawFn) -> bytes:
    """A notification whose fields hold anything that JSON can."""
    alerts = [
        alert(draw(st.integers(0, 9)), **draw(st.dictionaries(FIELDS, JSON, max_size=3)))
        for _ in range(draw(st.integers(0, 3)))
    ]
    whole = {"version": "4", "alerts": alerts, **draw(st.dictionaries(st.text(max_size=8), JSON, max_size=2))}
    return json.dumps(whole).encode()


def test_no_body_whatever_makes_a_mistake_of_ours() -> None:
    with served() as port:
        connection = HTTPConnection("127.0.0.1", port, timeout=10)

        @settings(max_examples=300, deadline=None)
        @given(spoilt() | misfilled() | st.binary(max_size=200))
        def try_it(body: bytes) -> None:
            connection.request("POST", "/v1/alarms/alertmanager", body, SHOWN)
            answer = connection.getresponse()
            told = json.loads(answer.read())
            assert answer.status in {202, 400}, told
            assert set(told) == (
                {"accepted", "duplicates", "rejected"} if answer.status == 202 else {"error"}
            )

        try_it()
        connection.close()
