"""What a sender may want beyond one POST to its name: a path of its own, an answer, a greeting, a call back."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, ClassVar

import aiohttp
import pytest
from structlog.testing import capture_logs

from healer.alarms.alertmanager import Alertmanager
from healer.alarms.masakari import Masakari
from healer.alarms.prometheus import Prometheus
from healer.core.step import Failure
from healer.ports import Answer, Batch, Confirmation, Delivery, EngineError
from healer.receiver.alarms import Source
from tests.receiver.desk import NOW, Desk, Word, opened

CONFIRMATION = Confirmation("/v2/confirm", {"URL-Signature": "f00"}, b"{}")


class Particular:
    """A sender that wants everything that one may want."""

    paths: ClassVar[tuple[str, ...]] = ("/its/own/path",)
    methods: ClassVar[tuple[str, ...]] = ("OPTIONS",)

    def __init__(self) -> None:
        self.came: list[Delivery] = []

    def parse(self, delivery: Delivery) -> Batch:
        self.came.append(delivery)
        if delivery.body == b"confirm":
            return Batch((), confirmation=CONFIRMATION)
        return Alertmanager().parse(delivery)

    def answer(self, batch: Batch, new: tuple[bool, ...]) -> Answer:
        return Answer(
            202 if all(new) else 409, {"known": len(new) - sum(new)}, {"X-Alarms": str(len(batch.alarms))}
        )

    def greet(self, delivery: Delivery) -> Answer:
        self.came.append(delivery)
        return Answer(200, headers={"WebHook-Allowed-Origin": delivery.headers["WebHook-Request-Origin"]})


class Signed:
    """Knows its sender by the body alone."""

    needs_body: ClassVar[bool] = True

    def __init__(self) -> None:
        self.asked: list[bytes] = []

    async def admits(self, delivery: Delivery) -> bool:
        self.asked.append(delivery.body)
        return delivery.body.startswith(b"{")


class Silent:
    """Must ask somebody who does not answer."""

    needs_body: ClassVar[bool] = False

    async def admits(self, delivery: Delivery) -> bool:
        raise EngineError(Failure.UNREACHABLE, f"Keystone says nothing of {delivery.source}")


def notification(*names: str, **more: Any) -> bytes:
    alerts = [
        {
            "status": "firing",
            "labels": {"alertname": name, "stack": "shop", "resource": "db"},
            "startsAt": "2030-05-06T08:01:30Z",
            "fingerprint": name,
        }
        | more
        for name in names
    ]
    return json.dumps({"alerts": alerts}).encode()


async def ask(
    desk: Desk, path: str, body: bytes = b"", method: str = "POST", **headers: str
) -> aiohttp.ClientResponse:
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, f"{desk.url}{path}", data=body or None, headers=headers) as answer,
    ):
        await answer.read()
        return answer


async def test_a_sender_that_cannot_be_told_where_to_post_is_served_where_it_does() -> None:
    parser = Particular()
    async with opened(sources={"particular": Source(parser)}) as desk:
        answer = await ask(desk, "/its/own/path?stack=shop", notification("down"))
        assert (answer.status, answer.headers["X-Alarms"]) == (202, "1")
        assert await answer.json() == {"known": 0}
        again = await ask(desk, "/v1/alarms/particular", notification("down"))
        assert (again.status, await again.json()) == (409, {"known": 1})
        [first, second] = parser.came
        assert (first.source, first.path, dict(first.query)) == (
            "particular",
            "/its/own/path",
            {"stack": "shop"},
        )
        assert (second.path, second.method, second.peer) == ("/v1/alarms/particular", "POST", "127.0.0.1")
        assert 'requests_total{code="202",source="particular"} 1.0' in await desk.metrics()


async def test_a_sender_that_asks_first_is_answered_and_any_other_method_is_not() -> None:
    parser = Particular()
    async with opened(sources={"particular": Source(parser), "plain": Source(Alertmanager())}) as desk:
        origin = {"WebHook-Request-Origin": "here"}
        greeted = await ask(desk, "/v1/alarms/particular", b"", "OPTIONS", **origin)
        assert (greeted.status, greeted.headers["WebHook-Allowed-Origin"]) == (200, "here")
        assert parser.came[0].method == "OPTIONS"
        for name, allowed in (("particular", "OPTIONS,POST"), ("plain", "POST")):
            refused = await ask(desk, f"/v1/alarms/{name}", method="PUT")
            assert (refused.status, refused.headers["Allow"]) == (405, allowed)


async def test_a_sender_that_wants_to_be_called_back_is_once_its_request_is_taken() -> None:
    called: list[tuple[str, Confirmation]] = []
    async with opened(
        sources={"particular": Source(Particular())}, confirm=lambda *call: called.append(call)
    ) as desk:
        assert (await ask(desk, "/v1/alarms/particular", b"confirm")).status == 202
        await ask(desk, "/v1/alarms/particular", notification("down"))
    assert called == [("particular", CONFIRMATION)]


async def test_the_alert_that_always_fires_is_a_sign_of_life_and_no_alarm() -> None:
    series = 'healer_watchdog_last_received_timestamp_seconds{source="alertmanager"}'
    sources = {"alertmanager": Source(Alertmanager(), watchdog="Watchdog")}
    async with opened(sources=sources) as desk:
        assert series not in await desk.metrics()
        await ask(desk, "/v1/alarms/alertmanager", notification("Watchdog", status="resolved"))
        assert series not in await desk.metrics()
        answer = await ask(desk, "/v1/alarms/alertmanager", notification("Watchdog", "Down"))
        assert (await answer.json())["accepted"] == 1
        [line] = [line for line in (await desk.metrics()).splitlines() if line.startswith(series)]
        assert float(line.split()[1]) == pytest.approx(NOW.timestamp(), abs=60)
        assert [one.alarm.labels["alertname"] for one in await desk.filed()] == ["Down"]


async def test_where_no_watchdog_is_expected_it_is_an_alarm_like_any_other() -> None:
    async with opened(sources={"alertmanager": Source(Alertmanager())}) as desk:
        await ask(desk, "/v1/alarms/alertmanager", notification("Watchdog"))
        assert len(await desk.filed()) == 1


async def test_what_lacks_a_label_that_is_asked_for_is_passed_over_and_its_sender_is_answered_as_ever() -> (
    None
):
    posted = [
        {"labels": {"alertname": name, "stack": "shop", "resource": "db", **labels}}
        for name, labels in {
            "Down": {"heal": "auto", "tier": "one"},
            "Other": {},
            "Differing": {"heal": "ask", "tier": "one"},
            "Half": {"heal": "auto"},
            "Watchdog": {},
        }.items()
    ]
    only = {"heal": "auto", "tier": "one"}
    sources = {"prometheus": Source(Prometheus(), watchdog="Watchdog", only=only)}
    async with opened(sources=sources) as desk:
        for body in (posted, posted[1:2]):
            answer = await ask(desk, "/alertmanager/api/v2/alerts", json.dumps(body).encode())
            assert (answer.status, await answer.text()) == (200, "")
        assert [one.alarm.labels["alertname"] for one in await desk.filed()] == ["Down"]
        shown = await desk.metrics()
        assert 'outcome="passed_over",source="prometheus",status="firing"} 4.0' in shown
        assert 'healer_watchdog_last_received_timestamp_seconds{source="prometheus"}' in shown


async def test_a_monitor_of_masakari_whose_notification_is_passed_over_is_answered_that_it_was_taken() -> (
    None
):
    payload = {"event": "STOPPED", "process_name": "nova-compute"}
    said = {"type": "PROCESS", "hostname": "c1", "generated_time": "2030-05-06T08:01:30", "payload": payload}
    async with opened(sources={"masakari": Source(Masakari(), only={"hostname": "c2"})}) as desk:
        answer = await ask(desk, "/masakari/v1/notifications", json.dumps({"notification": said}).encode())
        assert (answer.status, await answer.json()) == (202, {"notification": {}})
        assert await desk.filed() == ()


async def test_any_way_that_admits_is_enough_and_the_body_is_read_first_only_where_one_needs_it() -> None:
    signed = Signed()
    source = Source(Alertmanager(), (signed, Word("sesame")))
    async with opened(sources={"alertmanager": source}) as desk:
        for body, shown, status in (
            (notification("a"), {}, 202),
            (b"no", {"Authorization": "Bearer sesame"}, 400),
            (b"no", {}, 401),
        ):
            assert (await ask(desk, "/v1/alarms/alertmanager", body, **shown)).status == status
        assert signed.asked == [notification("a"), b"no", b"no"]


async def test_who_cannot_be_known_now_is_asked_to_come_again() -> None:
    source = Source(Alertmanager(), (Silent(),))
    async with opened(sources={"alertmanager": source}) as desk:
        with capture_logs() as logs:
            answer = await ask(desk, "/v1/alarms/alertmanager", notification("a"))
        assert answer.status == 503
        assert [line["why"] for line in logs] == ["Keystone says nothing of alertmanager"]
        assert (await answer.json())["error"]["message"] == "who it is cannot be told now"
        both = {"alertmanager": replace(source, authentication=(Silent(), Word("sesame")))}
    async with opened(sources=both) as desk:
        body = notification("a")
        assert (await ask(desk, "/v1/alarms/alertmanager", body, Authorization="Bearer sesame")).status == 202


async def test_what_a_sender_has_left_out_is_counted_and_told_and_read_at_it() -> None:
    told: list[str] = []
    async with opened(sources={"alertmanager": Source(Alertmanager())}, cut_off=told.append) as desk:
        with capture_logs() as logs:
            for body in (b'{"alerts": []}', b'{"alerts": [], "truncatedAlerts": 11}'):
                assert (await ask(desk, "/v1/alarms/alertmanager", body)).status == 202
        [line] = logs
        assert (line["event"], line["source"], line["alarms"]) == ("alarms.cut_off", "alertmanager", 11)
        assert 'healer_alarms_truncated_total{source="alertmanager"} 11.0' in await desk.metrics()
    assert told == ["alertmanager"]
