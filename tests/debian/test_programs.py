"""The real programs do what other tests take for granted: fire, deliver, and in the captured shape."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.debian.programs import Alertmanager, Launcher, Prometheus, Sink, ungrouped, until, watching

if TYPE_CHECKING:
    from collections.abc import Mapping

PAYLOADS = Path(__file__).parents[1] / "payloads"
FREE = {"labels", "annotations", "groupLabels", "commonLabels", "commonAnnotations"}
"""Maps whose keys are the user's, not the sender's."""
SINCE_0_33 = {"notification_reason"}


def shape(value: Any, name: str = "") -> Any:
    """The names and types of a body, without its values."""
    if name in FREE:
        return {type(key).__name__ + ":" + type(each).__name__ for key, each in value.items()}
    if isinstance(value, dict):
        return {key: shape(each, key) for key, each in value.items()}
    if isinstance(value, list):
        return [shape(each) for each in value]
    return type(value).__name__


def captured(name: str) -> Any:
    body = shape(json.loads((PAYLOADS / f"alertmanager-0.33.1-{name}.json").read_text()))
    return {key: value for key, value in body.items() if key not in SINCE_0_33}


def received(body: Mapping[str, Any]) -> Any:
    return {key: value for key, value in shape(dict(body)).items() if key not in SINCE_0_33}


@pytest.mark.debian("prometheus", "prometheus-alertmanager")
async def test_a_failing_exporter_reaches_the_receiver_through_both_programs_and_so_does_its_recovery(
    prometheus: Launcher[Prometheus], alertmanager: Launcher[Alertmanager], sink: Sink
) -> None:
    healthy = 1

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(text=f'resource_healthy{{stack="shop",resource="db"}} {healthy}\n')

    exporter = web.Application()
    exporter.router.add_get("/metrics", metrics)
    rule = {
        "alert": "ResourceUnhealthy",
        "expr": "resource_healthy == 0",
        "labels": {"severity": "critical", "cloud": "lab"},
        "annotations": {"summary": "{{ $labels.resource }} of {{ $labels.stack }} is unhealthy"},
    }
    async with TestServer(exporter) as server:
        second = await alertmanager(ungrouped(sink.url, token="a-token", group_interval="1s"))
        first = await prometheus(watching({"shop": f"{server.host}:{server.port}"}, [rule], second.url))
        await until(lambda: first.query("resource_healthy == 1"), "the exporter to be scraped")
        assert not sink.bodies

        healthy = 0
        fired = await sink.body(0)
        healthy = 1
        cleared = await sink.body(1)

    assert received(fired) == captured("firing")
    assert received(cleared) == captured("resolved")
    assert sink.headers[0]["Authorization"] == "Bearer a-token"
    before, after = fired["alerts"][0], cleared["alerts"][0]
    assert before["labels"]["stack"] == "shop"
    assert before["annotations"]["summary"] == "db of shop is unhealthy"
    assert (before["status"], after["status"]) == ("firing", "resolved")
    assert before["endsAt"] == "0001-01-01T00:00:00Z"
    assert {name: before[name] for name in ("fingerprint", "startsAt")} == {
        name: after[name] for name in ("fingerprint", "startsAt")
    }


@pytest.mark.debian("prometheus-alertmanager")
async def test_posted_alerts_arrive_one_by_one_and_again_after_a_503(
    alertmanager: Launcher[Alertmanager], sink: Sink
) -> None:
    program = await alertmanager(ungrouped(sink.url))
    await program.post(*({"labels": {"alertname": "Down", "resource": name}} for name in ("db", "api")))
    for number in range(2):
        assert len((await sink.body(number))["alerts"]) == 1
    assert {body["alerts"][0]["labels"]["resource"] for body in sink.bodies} == {"db", "api"}
    assert len(await program.alerts()) == 2

    sink.status = 503
    await program.post({"labels": {"alertname": "Down", "resource": "web"}})
    await sink.body(2)
    sink.status = 202
    assert (await sink.body(3))["alerts"] == sink.bodies[2]["alerts"]


@pytest.mark.debian("prometheus-alertmanager")
async def test_a_reload_changes_the_route_and_a_broken_one_is_refused(
    alertmanager: Launcher[Alertmanager], sink: Sink
) -> None:
    program = await alertmanager(ungrouped("http://127.0.0.1:1/nobody"))
    await program.reload(ungrouped(sink.url))
    await program.post({"labels": {"alertname": "Down"}})
    assert (await sink.body(0))["receiver"] == "healer"
    with pytest.raises(AssertionError, match="receiver"):
        await program.reload({"config.yml": {"route": {"receiver": "nobody"}, "receivers": []}})


@pytest.mark.debian("prometheus")
async def test_a_program_that_cannot_start_says_why_and_one_that_is_stopped_is_gone(
    prometheus: Launcher[Prometheus],
) -> None:
    with pytest.raises(pytest.fail.Exception, match="wrong_key"):
        await prometheus({"config.yml": {"wrong_key": 1}})
    program = await prometheus({"config.yml": {}})
    await program.stop()
    assert program.process.returncode == 0
    with pytest.raises(OSError, match="Connect"):
        await program.ready()
