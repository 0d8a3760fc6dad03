from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from pydantic import ValidationError

from healer.alarms.grafana import Grafana
from healer.core.model import Alarm, AlarmStatus, Selector
from healer.ports import AlarmError, Batch, Delivery
from tests.alarms import mutated

PAYLOADS = Path(__file__).parents[1] / "payloads"
BODIES = {
    path.name.removeprefix("grafana-webhook-").partition(".")[0]: path.read_bytes()
    for path in PAYLOADS.glob("grafana-*.json")
}
NOW = datetime(2026, 11, 22, 8, 12, tzinfo=UTC)
ALERT = {
    "status": "firing",
    "labels": {"alertname": "Down", "stack": "shop", "resource": "api"},
    "annotations": {"summary": "it is down"},
    "startsAt": "2026-11-22T08:00:10Z",
    "fingerprint": "c6eadffa33fcdf37",
}


def parse(body: Any, **options: Any) -> Batch:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Grafana.model_validate(options).parse(Delivery("grafana", text, NOW))


def status(**changes: Any) -> AlarmStatus:
    batch = parse({"alerts": [ALERT | changes]})
    assert not batch.rejected
    [alarm] = batch.alarms
    return alarm.status


def test_the_bodies_are_here() -> None:
    assert sorted(BODIES) == ["firing", "hmac", "nodata", "resolved"]


@pytest.mark.parametrize("name", ["firing", "hmac"])
def test_an_alert_is_read_whole(name: str) -> None:
    batch = parse(BODIES[name])
    assert batch == Batch(
        alarms=(
            Alarm(
                source="grafana",
                key="c6eadffa33fcdf37",
                status=AlarmStatus.FIRING,
                started_at=datetime(2026, 11, 22, 8, 0, 10, tzinfo=UTC),
                received_at=NOW,
                selector=Selector(cloud="lab", stack="prod-web", resource="web_server_3"),
                labels={
                    "alertname": "Web server not answering",
                    "cloud": "lab",
                    "grafana_folder": "Heat",
                    "resource": "web_server_3",
                    "severity": "critical",
                    "stack": "prod-web",
                },
                annotations={
                    "description": "No HTTP answer for 2 minutes",
                    "runbook_url": "https://example.org/runbooks/web",
                    "summary": "web_server_3 of stack prod-web does not answer",
                },
                severity="critical",
                expires_at=NOW + timedelta(hours=25),
            ),
        )
    )


def test_firing_and_resolved_of_one_episode_differ_in_status_alone() -> None:
    [firing], [resolved] = parse(BODIES["firing"]).alarms, parse(BODIES["resolved"]).alarms
    assert (firing.key, firing.started_at, firing.selector) == (
        resolved.key,
        resolved.started_at,
        resolved.selector,
    )
    assert resolved.status is AlarmStatus.CLEARED
    assert resolved.expires_at is None


def test_a_rule_without_data_says_nothing_of_what_it_watches() -> None:
    [alarm] = parse(BODIES["nodata"]).alarms
    assert alarm == Alarm(
        source="grafana",
        key="a1b2c3d4e5f60718",
        status=AlarmStatus.UNKNOWN,
        started_at=datetime(2026, 11, 22, 8, 10, 10, tzinfo=UTC),
        received_at=NOW,
        selector=Selector(),
        labels={
            "alertname": "DatasourceNoData",
            "datasource_uid": "prom-uid",
            "grafana_folder": "Heat",
            "ref_id": "A",
            "rulename": "Web server not answering",
            "severity": "critical",
        },
        annotations={"summary": "web_server_3 of stack prod-web does not answer"},
        severity="critical",
    )


@pytest.mark.parametrize("alertname", ["DatasourceNoData", "DatasourceError"])
@pytest.mark.parametrize("sent", ["firing", "resolved"])
def test_neither_the_begin_nor_the_end_of_ignorance_is_evidence(alertname: str, sent: str) -> None:
    labels = {"alertname": alertname, "stack": "shop", "resource": "api"}
    assert status(labels=labels, status=sent) is AlarmStatus.UNKNOWN


@pytest.mark.parametrize(
    "reason",
    [
        "MissingSeries", "Paused", "NoData", "No Data", "Error", "RuleDeleted", "Updated", "NoData, KeepLast",
        "SomethingNew",
    ],
)  # fmt: skip
def test_what_is_resolved_for_another_reason_than_its_measure_has_not_recovered(reason: str) -> None:
    assert status(status="resolved", annotations={"grafana_state_reason": reason}) is AlarmStatus.UNKNOWN


@pytest.mark.parametrize("annotations", [None, {}, {"grafana_state_reason": ""}, {"summary": "NoData"}])
def test_what_is_resolved_for_no_other_reason_has_recovered(annotations: dict[str, str] | None) -> None:
    assert status(status="resolved", annotations=annotations) is AlarmStatus.CLEARED


@pytest.mark.parametrize("reason", ["NoData", "No Data", "Error", "Error, KeepLast"])
def test_a_rule_that_fires_where_it_has_no_data_has_seen_no_failure(reason: str) -> None:
    assert status(annotations={"grafana_state_reason": reason}) is AlarmStatus.UNKNOWN


@pytest.mark.parametrize("reason", ["", "Updated", "Erroneous"])
def test_a_failure_that_was_measured_is_one_whatever_else_is_said(reason: str) -> None:
    assert status(annotations={"grafana_state_reason": reason}) is AlarmStatus.FIRING


def test_the_status_of_each_alert_counts_and_that_of_the_group_does_not() -> None:
    body = {"status": "firing", "state": "alerting", "alerts": [ALERT | {"status": "resolved"}, ALERT]}
    assert [each.status for each in parse(body).alarms] == ["cleared", "firing"]


@pytest.mark.parametrize(
    ("sent", "read"), [(0, 0), (11, 11), (None, 0), ("7", 0), (-1, 0), (1.5, 0), (10**12, 100_000_000)]
)
def test_what_the_sender_cut_off_is_counted(sent: Any, read: int) -> None:
    batch = parse({"alerts": [ALERT], "truncatedAlerts": sent})
    assert len(batch.alarms) == 1
    assert batch.truncated == read


def test_other_labels_can_be_made_to_name_it() -> None:
    alert = ALERT | {"labels": {"heat_stack": "shop", "uuid": "i-1", "level": "page"}}
    naming = {"stack": "heat_stack", "physical_id": ["nope", "uuid"], "severity": "level"}
    [alarm] = parse({"alerts": [alert]}, labels=naming).alarms
    assert alarm.selector == Selector(stack="shop", physical_id="i-1")
    assert alarm.severity == "page"


@pytest.mark.parametrize(
    ("option", "ends"), [("6h", NOW + timedelta(hours=6)), (None, None), ("90s", NOW + timedelta(seconds=90))]
)
def test_it_can_be_said_how_long_an_alert_counts_that_is_not_sent_again(
    option: str | None, ends: datetime | None
) -> None:
    [alarm] = parse({"alerts": [ALERT]}, expires_after=option).alarms
    assert alarm.expires_at == ends


@pytest.mark.parametrize(
    "options", [{"labels": {"stak": "x"}}, {"max_alerts": 0}, {"secret": "x"}, {"expires_after": "0s"}]
)
def test_a_mistake_in_the_options_is_an_error_at_load(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Grafana.model_validate(options)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"status": "ok"}, "Invalid enum value 'ok'"),
        ({"status": None}, "got `null`"),
        ({"labels": []}, "Expected `object`"),
        ({"labels": {"stack": 1}}, "Expected `str`, got `int`"),
        ({"fingerprint": ""}, "length >= 1"),
        ({"startsAt": "2026-11-22T08:00:01"}, "timezone"),
        ({"startsAt": "0001-01-01T00:00:00+23:59"}, "out of range"),
        ({"annotations": {"summary": {}}}, "Expected `str`"),
        ({"annotations": "x" * 5000}, "Expected `object"),
    ],
)
def test_one_bad_alert_is_rejected_by_its_place_and_the_others_are_kept(
    changes: dict[str, Any], said: str
) -> None:
    batch = parse({"alerts": [ALERT, ALERT | changes, ALERT]})
    assert len(batch.alarms) == 2
    [rejected] = batch.rejected
    assert rejected.index == 1
    assert said in rejected.reason
    assert len(rejected.reason) <= 200


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{}", b'{"alerts":null}', b'{"alerts":[', b"a=b"])
def test_what_is_not_its_body_at_all_is_refused(body: bytes) -> None:
    with pytest.raises(AlarmError, match="not the body of a Grafana webhook"):
        parse(body)


def test_more_alerts_than_any_notification_has_are_refused() -> None:
    assert len(parse({"alerts": [ALERT] * 3}, max_alerts=3).alarms) == 3
    with pytest.raises(AlarmError, match="more than 3 alerts"):
        parse({"alerts": [ALERT] * 4}, max_alerts=3)


@given(mutated.trees(BODIES.values()) | mutated.texts(BODIES.values()))
@settings(max_examples=300, deadline=None)
def test_whatever_comes_is_a_batch_or_an_alarm_error(body: bytes) -> None:
    with suppress(AlarmError):
        mutated.holds(parse(body))
