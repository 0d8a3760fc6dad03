from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from healer.alarms.generic import Generic
from healer.core.model import Alarm, AlarmStatus, Selector
from healer.ports import AlarmError, Batch, Delivery
from tests.alarms import mutated

PAYLOADS = Path(__file__).parents[1] / "payloads"
SHIPPED = ("healthchecks", "icinga", "keep", "zabbix")
BODIES = {
    path.stem: path.read_bytes() for name in (*SHIPPED, "generic") for path in PAYLOADS.glob(f"{name}-*.json")
}
NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
BEGAN = datetime(2026, 11, 22, 8, 0, 12, tzinfo=UTC)
MINE = {"id": "id", "status": "status", "started": "since", "labels": "labels"}
ALARM = {"id": "1", "status": "firing", "since": "2026-11-22T08:00:12Z", "labels": {"stack": "shop"}}


def parse(body: Any, options: dict[str, Any], query: dict[str, str] | None = None) -> Batch:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Generic.model_validate(options).parse(Delivery("script", text, NOW, query=query or {}))


def alarm(body: Any, options: dict[str, Any], query: dict[str, str] | None = None) -> Alarm:
    batch = parse(body, options, query)
    assert not batch.rejected
    [alarm] = batch.alarms
    return alarm


def mapped(file: str, **changes: Any) -> Alarm:
    return alarm(json.loads(BODIES[file]) | changes, {"mapping": file.partition("-")[0]})


def test_every_mapping_that_is_shipped_has_its_bodies() -> None:
    assert {file.partition("-")[0] for file in BODIES} == {*SHIPPED, "generic"}
    with pytest.raises(ValidationError, match=f"known are {', '.join(SHIPPED)}"):
        Generic.model_validate({"mapping": "pingdom"})
    with pytest.raises(ValidationError, match="did you mean 'icinga'"):
        Generic.model_validate({"mapping": "icinga2"})


@pytest.mark.parametrize("name", ["zabix", 7, ""])
def test_a_mapping_that_there_is_not_is_one_mistake_and_not_three(name: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        Generic.model_validate({"mapping": name})
    assert [mistake["loc"] for mistake in caught.value.errors()] == [("mapping",)]


def test_a_problem_of_zabbix_is_read_whole() -> None:
    assert mapped("zabbix-problem") == Alarm(
        source="script",
        key="22001",
        status=AlarmStatus.FIRING,
        started_at=BEGAN,
        received_at=NOW,
        selector=Selector("lab", "prod-web", "web_server_3", address="10.0.0.13"),
        labels={
            "cloud": "lab",
            "stack": "prod-web",
            "resource": "web_server_3",
            "alertname": "web_server_3: HTTP service is down",
            "hostname": "web-server-3",
            "ip": "10.0.0.13",
            "event_id": "4711",
            "trigger_id": "22001",
        },
        annotations={"summary": "web_server_3: HTTP service is down"},
        severity="5",
    )


def test_zabbix_takes_back_what_it_raised() -> None:
    problem, recovery = mapped("zabbix-problem"), mapped("zabbix-recovery")
    assert (recovery.key, recovery.started_at) == (problem.key, problem.started_at)
    assert recovery.status is AlarmStatus.CLEARED


def test_an_acknowledgement_in_zabbix_is_the_alarm_that_is_known() -> None:
    assert mapped("zabbix-problem", update_status="1").identity == mapped("zabbix-problem").identity


def test_a_macro_that_zabbix_did_not_fill_in_says_nothing() -> None:
    read = mapped("zabbix-problem", tags_json="{EVENT.TAGSJSON}", host_ip="{HOST.IP}", host="*UNKNOWN*")
    assert read.selector == Selector()
    assert not {"ip", "hostname"} & read.labels.keys()


def test_times_of_zabbix_are_of_its_zone() -> None:
    read = alarm(BODIES["zabbix-problem"], {"mapping": "zabbix", "zone": "Europe/Prague"})
    assert read.started_at == BEGAN - timedelta(hours=1)


def test_a_notification_of_icinga_is_read_whole() -> None:
    assert mapped("icinga-notification") == Alarm(
        source="script",
        key="web-server-3!http",
        status=AlarmStatus.FIRING,
        started_at=BEGAN,
        received_at=NOW,
        selector=Selector(stack="prod-web", resource="web_server_3", address="10.0.0.13"),
        labels={
            "stack": "prod-web",
            "resource": "web_server_3",
            "alertname": "http",
            "hostname": "web-server-3",
            "service": "http",
            "address": "10.0.0.13",
        },
        annotations={"summary": "HTTP CRITICAL - Connection refused"},
    )
    recovery = mapped("icinga-notification-recovery")
    assert (recovery.key, recovery.status) == ("web-server-3!http", AlarmStatus.CLEARED)


def test_a_change_of_state_of_icinga_is_read_whole() -> None:
    assert mapped("icinga-state-change") == Alarm(
        source="script",
        key="web-server-3!http",
        status=AlarmStatus.FIRING,
        started_at=BEGAN + timedelta(seconds=0.25),
        received_at=NOW,
        selector=Selector(address="web-server-3"),
        labels={"alertname": "http", "hostname": "web-server-3", "service": "http"},
        annotations={"summary": "HTTP CRITICAL - Connection refused"},
    )


@pytest.mark.parametrize(
    ("file", "changes", "status"),
    [
        ("icinga-state-change", {"state": 2}, "firing"),
        ("icinga-state-change", {"state": 0.0}, "cleared"),
        ("icinga-state-change", {"state": 0, "state_type": 0}, "cleared"),
        ("icinga-state-change", {"state": 1.0}, "unknown"),
        ("icinga-state-change", {"state": 3.0}, "unknown"),
        ("icinga-state-change", {"state_type": 0.0}, "unknown"),
        ("icinga-state-change", {"service": None, "state": 1.0}, "firing"),
        ("icinga-state-change", {"service": "", "state": 1.0}, "firing"),
        ("icinga-state-change", {"service": None, "state": 1.0, "state_type": 0}, "unknown"),
        ("icinga-state-change", {"service": None, "state": 0}, "cleared"),
        ("icinga-state-change", {"downtime_depth": 1.0}, "unknown"),
        ("icinga-state-change", {"downtime_depth": 1, "state": 0}, "cleared"),
        ("icinga-state-change", {"acknowledgement": True}, "unknown"),
        ("icinga-notification", {"check_result": {"state": 1}}, "unknown"),
        ("icinga-notification", {"check_result": {"state": 3.0}}, "unknown"),
        ("icinga-notification", {"check_result": None}, "unknown"),
        ("icinga-notification", {"service": None, "check_result": {"state": 1}}, "firing"),
        ("icinga-notification", {"notification_type": "Problem"}, "firing"),
        ("icinga-notification", {"notification_type": "Recovery"}, "cleared"),
        ("icinga-notification", {"notification_type": "ACKNOWLEDGEMENT"}, "unknown"),
        ("icinga-notification", {"notification_type": "DowntimeStart"}, "unknown"),
        ("icinga-notification", {"notification_type": "FLAPPINGSTART"}, "unknown"),
    ],
)
def test_what_icinga_says_is_a_failure_only_where_it_is_sure_and_nobody_has_it(
    file: str, changes: dict[str, Any], status: str
) -> None:
    assert mapped(file, **changes).status == status


def test_a_host_of_icinga_is_named_by_itself() -> None:
    assert mapped("icinga-state-change", service=None).key == "web-server-3"
    assert mapped("icinga-notification", service="").key == "web-server-3"


def test_a_check_of_healthchecks_is_read_whole() -> None:
    down, up = mapped("healthchecks-down"), mapped("healthchecks-up")
    assert down == Alarm(
        source="script",
        key="0c8983c9-9d73-446f-adb5-0641fdacc9d4",
        status=AlarmStatus.FIRING,
        started_at=BEGAN,
        received_at=NOW,
        selector=Selector(stack="shop", resource="importer"),
        labels={
            "stack": "shop",
            "resource": "importer",
            "prod": "",
            "alertname": 'nightly "import"',
            "slug": "nightly-import",
        },
        annotations={"summary": 'nightly "import"'},
    )
    assert (up.key, up.status) == (down.key, AlarmStatus.CLEARED)


def test_an_alert_of_keep_is_read_whole() -> None:
    assert mapped("keep-alert") == Alarm(
        source="script",
        key="5f0f1ad0c9b2",
        status=AlarmStatus.FIRING,
        started_at=datetime(2026, 11, 22, 8, 0, 2, 500_000, tzinfo=UTC),
        received_at=NOW,
        selector=Selector(stack="shop", resource="api"),
        labels={
            "stack": "shop",
            "resource": "api",
            "team": "web",
            "alertname": "API latency",
            "environment": "production",
            "service": "shop-api",
        },
        annotations={"summary": "p99 over 2 s"},
        severity="critical",
    )


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("resolved", "cleared"),
        ("acknowledged", "unknown"),
        ("suppressed", "unknown"),
        ("pending", "unknown"),
        ("maintenance", "unknown"),
    ],
)
def test_what_somebody_has_taken_in_hand_in_keep_is_no_failure(said: str, status: str) -> None:
    assert mapped("keep-alert", status=said, firingStartTime=None).status == status


def test_several_alerts_of_keep_may_come_together() -> None:
    one = json.loads(BODIES["keep-alert"])
    assert len(parse({"alerts": [one, one | {"fingerprint": "2"}]}, {"mapping": "keep"}).alarms) == 2
    assert len(parse({"alert": one}, {"mapping": "keep"}).alarms) == 1


def test_what_is_written_beside_a_mapping_goes_before_it() -> None:
    options = {"mapping": "zabbix", "id": "event_id", "severity": None, "unknown": ["2"]}
    read = alarm(json.loads(BODIES["zabbix-problem"]) | {"value": 2}, options)
    assert (read.key, read.severity, read.status) == ("4711", "", AlarmStatus.UNKNOWN)
    assert read.labels["trigger_id"] == "22001"


def test_a_script_needs_two_expressions() -> None:
    read = alarm(BODIES["generic-script"], {"id": "check", "status": "state"})
    assert read == Alarm("script", "disk-full/web_server_3", AlarmStatus.FIRING, NOW, NOW, Selector())
    read = alarm(
        BODIES["generic-script"], {"id": "check", "status": "state", "started": "since", "labels": "@"}
    )
    assert read.selector == Selector(stack="prod-web", resource="web_server_3")
    assert read.started_at == BEGAN
    assert read.labels["used"] == "0.97"


def test_expressions_name_the_resource_before_labels_do() -> None:
    options = MINE | {
        "cloud": "where[0]",
        "stack": "where[1]",
        "resource": "where[2]",
        "physical_id": "uuid",
        "address": "at",
        "host": "hypervisor",
        "summary": "text",
        "severity": "level",
    }
    body = ALARM | {
        "where": ["lab", "shop", "api"],
        "uuid": "i-1",
        "at": "10.0.0.7:80",
        "hypervisor": "compute-07",
        "text": "it is down",
        "level": 4,
        "labels": {"stack": "other", "host": "x", "severity": "low"},
    }
    read = alarm(body, options)
    assert read.selector == Selector("lab", "shop", "api", "i-1", "10.0.0.7:80", "compute-07")
    assert (read.annotations, read.severity) == ({"summary": "it is down"}, "4")
    del body["where"]
    assert alarm(body, options).selector.stack == "other"


def test_labels_may_be_named_otherwise() -> None:
    body = ALARM | {"labels": {"heat_stack": "shop", "uuid": "i-1"}}
    read = alarm(body, MINE | {"naming": {"stack": "heat_stack", "physical_id": ["nope", "uuid"]}})
    assert read.selector == Selector(stack="shop", physical_id="i-1")


def test_the_address_that_is_posted_to_may_name_the_resource_and_says_no_secrets() -> None:
    query = {"stack": "till", "resource": "api", "token": "secret", "host": ""}
    read = alarm(ALARM, MINE, query)
    assert read.selector == Selector(stack="till", resource="api")
    assert read.labels == {"stack": "till", "resource": "api"}


@pytest.mark.parametrize(
    ("labels", "read"),
    [
        (None, {}),
        ({}, {}),
        ({"a": 1, "b": True, "c": None, "d": 1.5, "e": 2.0, "f": {"g": [1]}}, {
            "a": "1", "b": "true", "d": "1.5", "e": "2", "f": '{"g":[1]}',
        }),
        ({"name": "x", "value": "y"}, {"name": "x", "value": "y"}),
        ([{"name": "x", "value": "y"}, {"tag": "t", "value": 1}, {"key": "k", "value": ""}], {
            "x": "y", "t": "1", "k": "",
        }),
        ([{"a": "1"}, {"a": "2", "b": "3"}], {"a": "2", "b": "3"}),
        (["stack=shop", "resource:api", "prod"], {"stack": "shop", "resource": "api", "prod": ""}),
        ("stack=shop, url=http://x:80/a=b", {"stack": "shop", "url": "http://x:80/a=b"}),
        ('{"stack": "shop"}', {"stack": "shop"}),
        ('[{"tag": "a", "value": "b"}]', {"a": "b"}),
        ("$TAGS", {}),
        ({"nul": "a\x00b"}, {"nul": "a\ufffdb"}),
    ],
)  # fmt: skip
def test_labels_may_be_written_in_many_ways(labels: Any, read: dict[str, str]) -> None:
    assert alarm(ALARM | {"labels": labels}, MINE).labels == read


@pytest.mark.parametrize(
    "said",
    [
        "2026-11-22T08:00:12Z",
        "2026-11-22T08:00:12.000000000Z",
        "2026-11-22T09:00:12+01:00",
        "2026-11-22T09:00:12.000+0100",
        "2026-11-22 09:00:12 +01:00",
        "2026-11-22 08:00:12",
        "2026-11-22 08:00:12 UTC",
        "2026.11.22 08:00:12",
        "2026/11/22 08:00:12",
        1795334412,
        1795334412.0,
        "1795334412",
        "1795334412.0",
        1795334412000,
        "1795334412000",
        1795334412000000,
        1795334412000000000,
    ],
)
def test_times_may_be_written_in_many_ways(said: Any) -> None:
    assert alarm(ALARM | {"since": said}, MINE).started_at == BEGAN


@pytest.mark.parametrize("said", [None, "", "{EVENT.DATE}"])
def test_where_no_time_is_said_it_began_when_it_came(said: Any) -> None:
    assert alarm(ALARM | {"since": said}, MINE).started_at == NOW


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("Firing", "firing"), ("ALARM", "firing"), ("down", "firing"), ("OK", "cleared"), ("resolved", "cleared"),
        ("INSUFFICIENT_DATA", "unknown"), ("Undetermined", "unknown"),
    ],
)  # fmt: skip
def test_words_that_most_senders_say_need_not_be_listed(said: str, status: str) -> None:
    assert alarm(ALARM | {"status": said}, MINE).status == status


@pytest.mark.parametrize(
    ("said", "status"), [(1, "firing"), ("1", "firing"), (0.0, "cleared"), (True, "unknown")]
)
def test_a_status_may_be_a_number(said: Any, status: str) -> None:
    options = MINE | {"firing": ["1"], "cleared": ["0"], "unknown": ["true"]}
    assert alarm(ALARM | {"status": said}, options).status == status


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"id": None}, "an id of 1 to 255"),
        ({"id": ""}, "an id of 1 to 255"),
        ({"id": "x" * 256}, "an id of 1 to 255"),
        ({"id": ["1"]}, "not a list"),
        ({"status": "odd"}, "'odd' is none of those known"),
        ({"status": None}, "'' is none of those known"),
        ({"status": {}}, "not an object"),
        ({"since": "yesterday"}, "yesterday"),
        ({"since": "1" * 65}, "too long"),
        ({"since": "9999-12-31T23:59:59-23:59"}, "out of range"),
        ({"labels": 7}, "labels are expected"),
        ({"labels": "{not json"}, "malformed"),
    ],
)
def test_one_bad_alarm_is_rejected_by_its_place_and_the_others_are_kept(
    changes: dict[str, Any], said: str
) -> None:
    batch = parse([ALARM, ALARM | changes, ALARM | {"id": "2"}], MINE)
    assert [each.key for each in batch.alarms] == ["1", "2"]
    [rejected] = batch.rejected
    assert rejected.index == 1
    assert said in rejected.reason
    assert len(rejected.reason) <= 200


def test_an_expression_that_fails_on_one_alarm_loses_no_other() -> None:
    batch = parse([ALARM, ALARM | {"id": 7}], MINE | {"id": "join('', [id])"})
    assert [each.key for each in batch.alarms] == ["1"]
    assert "join()" in batch.rejected[0].reason


def test_alarms_may_stand_anywhere_even_in_a_text() -> None:
    inner = {"AlarmArn": "arn:1", "NewStateValue": "ALARM", "StateChangeTime": "2026-11-22T08:00:12.000+0000",
             "Trigger": {"Dimensions": [{"name": "InstanceId", "value": "i-1"}]}}  # fmt: skip
    sns = {"Type": "Notification", "MessageId": "m-1", "Message": json.dumps(inner)}
    options = {
        "alarms": "Message",
        "id": "AlarmArn",
        "status": "NewStateValue",
        "started": "StateChangeTime",
        "labels": "Trigger.Dimensions",
        "naming": {"physical_id": "InstanceId"},
    }
    read = alarm(sns, options)
    assert (read.key, read.status, read.started_at) == ("arn:1", AlarmStatus.FIRING, BEGAN)
    assert read.selector == Selector(physical_id="i-1")
    assert len(parse({"data": {"list": [ALARM]}}, MINE | {"alarms": "data.list[?status]"}).alarms) == 1


@pytest.mark.parametrize(
    "body", [b"null", b"7", b'"x"', b'{"a":1}', b'{"list":7}', b'{"list":"x"}', b'{"list":null}']
)
def test_a_body_without_alarms_is_refused(body: bytes) -> None:
    with pytest.raises(AlarmError, match="no alarms are found by 'list'"):
        parse(body, MINE | {"alarms": "list"})


@pytest.mark.parametrize("body", [b"", b"{", b"[NaN]", b"[" * 100_000, b"[1e999]", b"a=b", b"\xff\xfe"])
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(AlarmError, match="not the body of a sender of JSON"):
        parse(body, MINE)


def test_more_alarms_than_anybody_sends_are_refused() -> None:
    assert len(parse([ALARM] * 3, MINE | {"max_alarms": 3}).alarms) == 3
    with pytest.raises(AlarmError, match="more than 3 alarms"):
        parse([ALARM] * 4, MINE | {"max_alarms": 3})


def test_an_alarm_may_come_to_its_end_by_itself() -> None:
    assert alarm(ALARM, MINE).expires_at is None
    assert alarm(ALARM, MINE | {"expires_after": "10m"}).expires_at == NOW + timedelta(minutes=10)


@pytest.mark.parametrize(
    ("options", "key", "said"),
    [
        ({"id": "a["}, "id", "Incomplete expression"),
        ({"status": "a =="}, "status", "Incomplete expression"),
        ({"labels": "'"}, "labels", "Unclosed"),
        ({"started": ""}, "started", "cannot be empty"),
        ({"stack": "lower(a)"}, "stack", "no function lower()"),
        ({"stack": "a.b[?joi('', c)].d"}, "stack", "did you mean 'join'?"),
        ({"host": "join(a)"}, "host", "join() takes 2 arguments, not 1"),
        ({"host": "abs(a, b)"}, "host", "abs() takes 1 arguments, not 2"),
        ({"zone": "Mars/Olympus"}, "zone", "no time zone"),
        ({"zone": "../etc/passwd"}, "zone", "no time zone"),
        ({"firing": ["up"]}, "", "what up means"),
        ({"firing": ["x", "X"]}, "", "what x means"),
        ({"mapping": 7}, "mapping", "valid string"),
        ({"mapping": "../zabbix"}, "mapping", "no mapping"),
        ({"expires_after": "0s"}, "expires_after", "longer than 0s"),
        ({"naming": {"stak": "x"}}, "naming.stak", "Extra inputs"),
        ({"lables": "x"}, "lables", "Extra inputs"),
    ],
)
def test_a_mistake_in_the_options_is_told_at_its_key(options: dict[str, Any], key: str, said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Generic.model_validate(MINE | options)
    [mistake] = caught.value.errors()
    assert ".".join(str(part) for part in mistake["loc"]) == key
    assert said in mistake["msg"]
    assert "\n" not in mistake["msg"]


def test_functions_that_take_as_many_as_one_likes_are_no_mistake() -> None:
    Generic.model_validate(MINE | {"id": "not_null(a, b, c)", "labels": "merge(a, b, {c: d})"})


def test_without_a_mapping_an_id_and_a_status_must_be_said() -> None:
    for options in ({}, {"mapping": None}):
        with pytest.raises(ValidationError) as caught:
            Generic.model_validate(options)
        assert [mistake["loc"] for mistake in caught.value.errors()] == [("id",), ("status",)]


@given(st.sampled_from(SHIPPED), mutated.trees(BODIES.values()) | mutated.texts(BODIES.values()))
@settings(max_examples=500, deadline=None)
def test_whatever_comes_is_a_batch_or_an_alarm_error(mapping: str, body: bytes) -> None:
    try:
        batch = parse(body, {"mapping": mapping})
    except AlarmError:
        return
    mutated.holds(batch)


@given(
    mutated.JUNK,
    st.sampled_from(["@", "id", "labels", "sum(@)", "sort(@)", "max_by(@, &a)", "keys(@)", "&a", "@[0:1:0]"]),
)
@settings(max_examples=300, deadline=None)
def test_whatever_an_expression_gives_is_an_alarm_or_a_rejection(junk: Any, expression: str) -> None:
    options = dict.fromkeys(("id", "status", "started", "labels", "stack", "summary"), expression)
    try:
        batch = parse([junk], options | {"firing": ["firing", "0", "true"], "cleared": ["ok"]})
    except AlarmError:  # infinity, say, is no JSON
        return
    mutated.holds(batch)
