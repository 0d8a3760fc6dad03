from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from pydantic import ValidationError

from healer.alarms.alertmanager import Alertmanager
from healer.core.model import Alarm, AlarmStatus, Selector
from healer.ports import AlarmError, Batch, Delivery
from tests.alarms import mutated

PAYLOADS = Path(__file__).parents[1] / "payloads"
BODIES = {
    path.stem.removeprefix("alertmanager-").removeprefix("0.33.1-"): path.read_bytes()
    for path in PAYLOADS.glob("alertmanager-*.json")
}
NOW = datetime(2026, 11, 22, 8, 2, tzinfo=UTC)
ALERT = {
    "status": "firing",
    "labels": {"alertname": "Down", "stack": "shop", "resource": "api"},
    "annotations": {"summary": "it is down"},
    "startsAt": "2026-11-22T08:00:01.59Z",
    "endsAt": "0001-01-01T00:00:00Z",
    "generatorURL": "http://prometheus.example/graph",
    "fingerprint": "0f5cb11605ba9a4b",
}


def parse(body: Any, **options: Any) -> Batch:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Alertmanager.model_validate(options).parse(Delivery("alertmanager", text, NOW))


def alarm(**changes: Any) -> Alarm:
    batch = parse({"alerts": [ALERT | changes]})
    assert not batch.rejected
    [alarm] = batch.alarms
    return alarm


def reason(**changes: Any) -> str:
    """Why an alert with these changes is rejected; those beside it must be kept."""
    batch = parse({"alerts": [ALERT, ALERT | changes, ALERT]})
    assert len(batch.alarms) == 2
    [rejected] = batch.rejected
    assert rejected.index == 1
    return rejected.reason


def test_all_the_captured_bodies_are_here() -> None:
    assert sorted(BODIES) == [
        "0.25.0-firing", "0.25.0-resolved",
        "firing", "grouped", "http-headers", "mixed", "repeated", "resolved", "truncated",
    ]  # fmt: skip


def test_a_captured_alert_is_read_whole() -> None:
    [read] = parse(BODIES["firing"]).alarms
    assert read == Alarm(
        source="alertmanager",
        key="abc8d93d3e816ca0",
        status=AlarmStatus.FIRING,
        started_at=datetime(2026, 11, 22, 7, 59, 29, 590_000, tzinfo=UTC),
        received_at=NOW,
        selector=Selector(cloud="lab", stack="prod-web", resource="web_server_3", address="127.0.0.1:19110"),
        severity="critical",
        expires_at=NOW + timedelta(hours=25),
        labels={
            "alertname": "HeatResourceUnhealthy",
            "cloud": "lab",
            "instance": "127.0.0.1:19110",
            "job": "healer",
            "prometheus": "lab",
            "region": "lab-1",
            "resource": "web_server_3",
            "resource_type": "OS::Nova::Server",
            "severity": "critical",
            "stack": "prod-web",
        },
        annotations={
            "description": "value=0",
            "runbook_url": "https://example.org/runbooks/heat-resource-unhealthy",
            "summary": "web_server_3 of stack prod-web is unhealthy",
        },
    )


def test_firing_and_resolved_of_one_episode_differ_in_status_alone() -> None:
    [firing], [resolved] = parse(BODIES["firing"]).alarms, parse(BODIES["resolved"]).alarms
    assert (firing.key, firing.started_at) == (resolved.key, resolved.started_at)
    assert resolved.status is AlarmStatus.CLEARED
    assert firing.identity != resolved.identity


def test_a_repeat_is_the_same_alarm_as_the_first() -> None:
    repeated = parse(BODIES["repeated"]).alarms
    assert len({each.identity for each in repeated}) == len(repeated)
    again = json.loads(BODIES["repeated"]) | {"externalURL": "http://peer", "groupKey": "x", "receiver": "y"}
    assert [each.identity for each in parse(again).alarms] == [each.identity for each in repeated]


def test_a_group_is_as_many_alarms_as_it_has_alerts_in_the_sender_s_order() -> None:
    batch = parse(BODIES["grouped"])
    sent = [alert["labels"]["resource"] for alert in json.loads(BODIES["grouped"])["alerts"]]
    assert [each.selector.resource for each in batch.alarms] == sent
    assert len(sent) == 12
    assert not batch.rejected


def test_the_status_of_each_alert_counts_and_that_of_the_group_does_not() -> None:
    sent = json.loads(BODIES["mixed"])
    assert sent["status"] == "firing"
    cleared = [each.selector.resource for each in parse(BODIES["mixed"]).alarms if each.status == "cleared"]
    assert cleared == [each["labels"]["resource"] for each in sent["alerts"] if each["status"] == "resolved"]
    assert cleared


def test_what_the_sender_cut_off_is_counted_and_not_passed_over() -> None:
    batch = parse(BODIES["truncated"])
    assert len(batch.alarms) == 3
    assert not batch.rejected
    assert batch.truncated == 11


def test_the_body_of_an_old_alertmanager_is_the_same_to_us() -> None:
    """0.25 gives no reason, and no count of what was cut off where `max_alerts` is not set."""
    old = json.loads(BODIES["firing"])
    del old["notification_reason"], old["truncatedAlerts"]
    assert parse(dict(sorted(old.items()))) == parse(BODIES["firing"])


def test_what_an_old_alertmanager_really_sent_is_read() -> None:
    firing, resolved = parse(BODIES["0.25.0-firing"]), parse(BODIES["0.25.0-resolved"])
    assert (firing.truncated, resolved.truncated) == (2, 3)
    for first, last in zip(firing.alarms, resolved.alarms, strict=True):
        assert (first.key, first.started_at, first.selector) == (last.key, last.started_at, last.selector)
        assert (first.status, last.status) == (AlarmStatus.FIRING, AlarmStatus.CLEARED)


def test_fields_and_versions_to_come_are_no_mistake() -> None:
    """As of 0.34 there are `routeLabels`; what else there will be is not known."""
    news = {"routeLabels": {"team": "web"}, "notification_reason": "none of those that are known"}
    body = {"version": "5", "alerts": [ALERT | {"news": [{"a": ["b"]}]}], "news": {"deep": [1]}} | news
    batch = parse(body)
    assert (len(batch.alarms), batch.rejected, batch.truncated) == (1, (), 0)


@pytest.mark.parametrize(
    ("count", "read"),
    [(7, 7), (0, 0), (-1, 0), (None, 0), ("7", 0), (7.5, 0), ([], 0), (10**30, 100_000_000)],
)
def test_the_count_of_what_was_cut_off_is_no_reason_to_lose_what_was_not(count: Any, read: int) -> None:
    batch = parse({"alerts": [ALERT], "truncatedAlerts": count})
    assert (len(batch.alarms), batch.truncated) == (1, read)


def test_what_is_never_resolved_counts_until_it_is_not_sent_again_any_more() -> None:
    later = NOW + timedelta(hours=4)
    [again] = Alertmanager().parse(Delivery("alertmanager", BODIES["firing"], later)).alarms
    [first] = parse(BODIES["firing"]).alarms
    assert first.identity == again.identity
    assert (first.expires_at, again.expires_at) == (
        NOW + timedelta(hours=25),
        later + timedelta(hours=25),
    )
    [short] = parse(BODIES["firing"], expires_after="10m").alarms
    assert short.expires_at == NOW + timedelta(minutes=10)
    [for_ever] = parse(BODIES["firing"], expires_after=None).alarms
    assert for_ever.expires_at is None


def test_what_is_resolved_has_no_end() -> None:
    assert [each.expires_at for each in parse(BODIES["resolved"]).alarms] == [None]


@pytest.mark.parametrize(
    ("labels", "severity"),
    [({"severity": "page"}, "page"), ({"priority": "P1"}, "P1"), ({"severity": "", "priority": ""}, "")],
)
def test_how_bad_it_is_stays_in_the_sender_s_own_words(labels: dict[str, str], severity: str) -> None:
    assert alarm(labels=labels).severity == severity


@pytest.mark.parametrize(
    ("labels", "selector"),
    [
        ({"server_id": "i-1"}, Selector(physical_id="i-1")),
        ({"instance_id": "i-2"}, Selector(physical_id="i-2")),
        ({"physical_id": "", "instance_id": "i-2", "server_id": "i-1"}, Selector(physical_id="i-1")),
        (
            {"cloud": "lab", "stack": "shop", "resource": "group/0/web"},
            Selector("lab", "shop", "group/0/web"),
        ),
        ({"alertname": "Watchdog"}, Selector()),
    ],
)
def test_the_usual_labels_name_the_resource(labels: dict[str, str], selector: Selector) -> None:
    assert alarm(labels=labels).selector == selector


def test_other_labels_can_be_made_to_name_it() -> None:
    labels = {"heat_stack": "shop", "uuid": "i-1", "cloud": "lab"}
    options = {"labels": {"stack": "heat_stack", "physical_id": ["nope", "uuid"]}}
    [read] = parse({"alerts": [ALERT | {"labels": labels}]}, **options).alarms
    assert read.selector == Selector(cloud="lab", stack="shop", physical_id="i-1")


@pytest.mark.parametrize(
    "options",
    [
        {"labels": {"stak": "x"}},
        {"labels": {"stack": ""}},
        {"labels": {"stack": 3}},
        {"max_alerts": 0},
        {"expires_after": "0s"},
        {"expires_after": 3600},
        {"tokenfile": "x"},
    ],
)
def test_a_mistake_in_the_options_is_an_error_at_load(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Alertmanager.model_validate(options)


def test_times_are_utc_whatever_zone_they_came_in() -> None:
    read = alarm(startsAt="2026-11-22T10:00:01+02:00").started_at
    assert (read, read.tzinfo) == (datetime(2026, 11, 22, 8, 0, 1, tzinfo=UTC), UTC)


@pytest.mark.parametrize("fraction", ["590", "59", "590123456", "590999999"])
def test_a_start_is_cut_to_what_alertmanager_tells_of_it_when_it_is_asked(fraction: str) -> None:
    """Notifications have nanoseconds, the API milliseconds: what is pulled is not to be a second alarm."""
    read = alarm(startsAt=f"2026-11-22T08:00:01.{fraction}Z").started_at
    assert read == datetime(2026, 11, 22, 8, 0, 1, 590_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"status": "pending"}, "Invalid enum value 'pending'"),
        ({"status": None}, "got `null`"),
        ({"status": "x" * 5000}, "Invalid enum value"),
        ({"labels": []}, "Expected `object`"),
        ({"labels": {"stack": 1}}, "Expected `str`, got `int`"),
        ({"labels": {"stack": None}}, "Expected `str`, got `null`"),
        ({"fingerprint": ""}, "length >= 1"),
        ({"fingerprint": "f" * 256}, "length <= 255"),
        ({"startsAt": "yesterday"}, "no time of RFC 3339"),
        ({"startsAt": "2026-11-22T08:00:01"}, "timezone"),
        ({"startsAt": "0001-01-01T00:00:00+23:59"}, "out of range"),
        ({"startsAt": "9999-12-31T23:59:59-23:59"}, "out of range"),
        ({"startsAt": "x" * 5000}, "no time of RFC 3339"),
        ({"startsAt": 1e308}, "Expected `str`, got `float`"),
        ({"annotations": {"summary": {}}}, "Expected `str`"),
    ],
)
def test_one_bad_alert_is_rejected_by_its_place_and_the_others_are_kept(
    changes: dict[str, Any], said: str
) -> None:
    why = reason(**changes)
    assert said in why
    assert len(why) <= 200


@pytest.mark.parametrize("field", ["status", "labels", "startsAt", "fingerprint"])
def test_an_alert_that_lacks_what_it_must_have_is_rejected(field: str) -> None:
    alert = {name: value for name, value in ALERT.items() if name != field}
    [rejected] = parse({"alerts": [alert]}).rejected
    assert field in rejected.reason


@pytest.mark.parametrize("alert", [None, 1, "x", [], True])
def test_what_is_no_alert_at_all_is_rejected(alert: Any) -> None:
    batch = parse({"alerts": [alert, ALERT]})
    assert [each.index for each in batch.rejected] == [0]
    assert len(batch.alarms) == 1


def test_annotations_may_be_missing() -> None:
    assert alarm(annotations=None).annotations == {}


def with_label(text: bytes) -> bytes:
    return json.dumps({"alerts": [ALERT, ALERT]}).encode().replace(b'"shop"', b'"' + text + b'"', 1)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (rb"a\ud800b", "a\ufffdb"),
        (rb"a\udc00b", "a\ufffdb"),
        (rb"\ud800\ud83d\ude00", "\ufffd\U0001f600"),
        (rb"\\ud800\uDBFF", "\\ud800\ufffd"),
        (b"a\xffb", "a\ufffdb"),
        (rb"a\u0000b", "a\ufffdb"),
        ("naïve".encode(), "naïve"),
    ],
)
def test_text_that_nobody_could_store_or_print_is_cleaned_and_loses_no_alert(text: bytes, clean: str) -> None:
    batch = parse(with_label(text))
    assert not batch.rejected
    assert [each.selector.stack for each in batch.alarms] == [clean, "shop"]
    assert batch.alarms[0].labels["stack"] == clean


def test_a_byte_order_mark_is_no_mistake() -> None:
    assert len(parse(b"\xef\xbb\xbf" + json.dumps({"alerts": [ALERT]}).encode()).alarms) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"alerts":null}',
        b'{"alerts":{}}',
        b'{"alerts":[',
        b'{"alerts":[]} trailing',
        b'{"alerts":[{"x":NaN}]}',
        b'{"alerts":' + b"[" * 100_000,
        b'{"alerts":[' + b"[" * 100_000 + b"]" * 100_000 + b"]}",
        b'{"alerts":["' + rb"\ud800" + b"]}",
        b"\xff\xfe\x00",
        b"status=firing",
    ],
    ids=range(14),
)
def test_what_is_not_its_body_at_all_is_refused(body: bytes) -> None:
    with pytest.raises(AlarmError, match="not the body of an Alertmanager webhook"):
        parse(body)


@pytest.mark.parametrize("number", ["1e999", "-1e999", "9" * 10_000, "0." + "1" * 10_000])
def test_no_number_is_too_large_to_be_passed_over(number: str) -> None:
    text = json.dumps({"alerts": [ALERT, ALERT]}).replace('"shop"', number, 1)
    batch = parse(text.replace('"endsAt": "0001-01-01T00:00:00Z"', f'"endsAt": {number}').encode())
    assert [each.index for each in batch.rejected] == [0]
    assert len(batch.alarms) == 1
    assert (
        len(parse(text.replace('{"alerts"', f'{{"truncatedAlerts": {number}, "alerts"').encode()).alarms) == 1
    )


def test_more_alerts_than_any_notification_has_are_refused() -> None:
    assert len(parse({"alerts": [ALERT] * 3}, max_alerts=3).alarms) == 3
    with pytest.raises(AlarmError, match="more than 3 alerts"):
        parse({"alerts": [ALERT] * 4}, max_alerts=3)


@given(mutated.trees(BODIES.values()) | mutated.texts(BODIES.values()))
@settings(max_examples=500, deadline=None)
def test_whatever_comes_is_a_batch_or_an_alarm_error(body: bytes) -> None:
    with suppress(AlarmError):
        mutated.holds(parse(body))
