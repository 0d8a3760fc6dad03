from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import MultiDict
from pydantic import ValidationError

from healer.alarms.aodh import Aodh
from healer.core.model import NOTHING, Alarm, AlarmStatus, Selector
from healer.ports import AlarmError, Batch, Delivery
from tests.alarms import mutated

PAYLOADS = Path(__file__).parents[1] / "payloads"
BODIES = {path.stem.removeprefix("aodh-"): path.read_bytes() for path in PAYLOADS.glob("aodh-*.json")}
NOW = datetime(2026, 11, 22, 8, 0, 5, tzinfo=UTC)
UNKNOWN_START = datetime(1970, 1, 1, tzinfo=UTC)
ALARM_ID = "e8ff32f7-72d2-4b8a-9a3f-7ac1c0a6a31c"
SERVER = "96ab1c42-668c-4f2d-8689-afa3301d4ee9"
BODY = {
    "alarm_name": "cpu",
    "alarm_id": "a-1",
    "severity": "low",
    "previous": "ok",
    "current": "alarm",
    "reason": "Transition to alarm",
    "reason_data": {"type": "threshold", "disposition": "outside", "count": 1, "most_recent": 92.5},
}


def parse(body: Any, query: Mapping[str, str] = NOTHING, at: datetime = NOW, **options: Any) -> Batch:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Aodh.model_validate(options).parse(Delivery("aodh", text, at, query=query))


def alarm(query: Mapping[str, str] = NOTHING, **changes: Any) -> Alarm:
    [alarm] = parse(BODY | changes, query).alarms
    return alarm


def event(traits: Any, **changes: Any) -> dict[str, Any]:
    return {"reason_data": {"type": "event", "event": {"traits": traits} | changes}}


def composite(*rules: Any) -> dict[str, Any]:
    named = {f"rule{number}": rule for number, rule in enumerate(rules, 1)}
    return {
        "reason_data": {
            "type": "composite",
            "composition_form": "(rule1 or rule2)",
            "causative_rules": named,
        }
    }


def balancer(*members: Any, **changes: Any) -> dict[str, Any]:
    why = {"type": "loadbalancer_member_health", "unhealthy_members": list(members), "stack_id": "s-1"}
    return {"reason_data": why | changes}


def test_the_captured_bodies_are_here() -> None:
    assert sorted(BODIES) == ["alarm", "event", "loadbalancer-member", "ok", "trust-http"]


@pytest.mark.parametrize("name", ["alarm", "trust-http"])
def test_an_alarm_is_read_whole_with_the_resource_that_its_url_names(name: str) -> None:
    query = MultiDict({"cloud": "lab", "stack": "prod-web", "resource": "web_server_3", "sig": "secret"})
    assert parse(BODIES[name], query) == Batch(
        alarms=(
            Alarm(
                source="aodh",
                key=ALARM_ID,
                status=AlarmStatus.FIRING,
                started_at=NOW,
                received_at=NOW,
                selector=Selector(cloud="lab", stack="prod-web", resource="web_server_3"),
                labels={"alertname": "web_server_3_cpu_dead", "alarm_type": "threshold"},
                annotations={
                    "summary": "Transition to alarm due to 1 samples outside threshold, most recent: 92.5",
                    "previous": "ok",
                },
                severity="critical",
            ),
        )
    )


def test_the_end_of_an_alarm_has_its_key_and_resource() -> None:
    query = {"stack": "prod-web", "resource": "web_server_3"}
    [firing], [over] = parse(BODIES["alarm"], query).alarms, parse(BODIES["ok"], query).alarms
    assert (over.key, over.selector, over.labels) == (firing.key, firing.selector, firing.labels)
    assert over.status is AlarmStatus.CLEARED
    assert over.annotations == {
        "summary": "Transition to ok due to 1 samples inside threshold, most recent: 3.1",
        "previous": "alarm",
    }


def test_an_event_alarm_is_about_the_server_in_its_traits() -> None:
    [read] = parse(BODIES["event"]).alarms
    assert read == Alarm(
        source="aodh",
        key=ALARM_ID,
        status=AlarmStatus.FIRING,
        started_at=datetime(2026, 11, 22, 8, 0, 1, tzinfo=UTC),
        received_at=NOW,
        selector=Selector(physical_id=SERVER),
        labels={
            "instance_id": SERVER,
            "state": "error",
            "project_id": "5f2f7d1c3fd24d2a8d1e4f1a3b6c7d8e",
            "alertname": "web_server_3_cpu_dead",
            "alarm_type": "event",
            "event_type": "compute.instance.update",
        },
        annotations={
            "summary": json.loads(BODIES["event"])["reason"],
            "previous": "ok",
            "message_id": "2e2b4a5c-2a6c-4d2e-8f0f-0f2f3c1b7a10",
        },
        severity="critical",
        expires_at=NOW + timedelta(hours=1),
    )


def test_an_event_counts_for_a_while_and_what_ends_by_itself_until_then() -> None:
    """Aodh never says that an event is over."""
    at_once = event([], generated="2026-11-22T08:00:01")
    [short] = parse(BODY | at_once, event_expires_after="5m").alarms
    [endless] = parse(BODY | at_once, event_expires_after=None).alarms
    assert (short.expires_at, endless.expires_at) == (NOW + timedelta(minutes=5), None)
    assert alarm(current="ok", **at_once).expires_at is None
    assert alarm().expires_at is None


def test_a_load_balancer_s_alarm_is_about_the_address_of_the_member_that_fails() -> None:
    [read] = parse(BODIES["loadbalancer-member"]).alarms
    assert read == Alarm(
        source="aodh",
        key=ALARM_ID,
        status=AlarmStatus.FIRING,
        started_at=NOW,
        received_at=NOW,
        selector=Selector(stack="3095aefc-09fb-4bc7-b1f0-f21a304e864c", address="10.0.0.7:80"),
        labels={
            "alertname": "web_server_3_cpu_dead",
            "alarm_type": "loadbalancer_member_health",
            "pool_id": "4029d267-3983-4224-a3d0-afb3fe16a2cd",
            "stack_id": "3095aefc-09fb-4bc7-b1f0-f21a304e864c",
            "asg_id": "web_asg",
            "member_id": "957a1ace-1bd2-449b-8455-820b6e4b63f3",
            "address": "10.0.0.7",
            "protocol_port": "80",
            "operating_status": "ERROR",
        },
        annotations={
            "summary": "Transition to alarm due to 1 members unhealthy, most recent: {...}",
            "previous": "ok",
        },
        severity="critical",
    )


@pytest.mark.parametrize(
    ("current", "status"),
    [
        ("alarm", AlarmStatus.FIRING),
        ("ok", AlarmStatus.CLEARED),
        ("insufficient data", AlarmStatus.UNKNOWN),
    ],
)
def test_insufficient_data_is_neither_a_failure_nor_a_recovery(current: str, status: AlarmStatus) -> None:
    assert alarm(current=current, previous="?").status is status


@pytest.mark.parametrize("state", ["alarm", "ok", "insufficient data"])
def test_a_repeat_is_one_alarm_however_often_it_comes_and_older_than_any_heal(state: str) -> None:
    body = BODY | {"previous": state, "current": state}
    first, later = parse(body), parse(body, at=NOW + timedelta(hours=1))
    assert first.alarms[0].identity == later.alarms[0].identity
    assert first.alarms[0].started_at == UNKNOWN_START


def test_each_change_of_state_is_an_alarm_of_its_own() -> None:
    first, later = parse(BODY), parse(BODY, at=NOW + timedelta(hours=1))
    assert first.alarms[0].identity != later.alarms[0].identity


def test_an_event_is_one_alarm_however_often_it_is_told_and_the_next_event_another() -> None:
    """With `repeat_actions` each event is told as alarm → alarm, and is new evidence all the same."""
    one, two = (event([], generated=f"2026-11-22T08:00:0{second}") for second in (1, 2))
    assert alarm(**one).identity == alarm(previous="alarm", **one).identity
    assert alarm(**one).identity != alarm(previous="alarm", **two).identity


@pytest.mark.parametrize(
    ("generated", "started_at"),
    [
        ("2026-11-22T08:00:01.000000", datetime(2026, 11, 22, 8, 0, 1, tzinfo=UTC)),
        ("2026-11-22T10:00:01+02:00", datetime(2026, 11, 22, 8, 0, 1, tzinfo=UTC)),
        ("2026-11-22 08:00:01", datetime(2026, 11, 22, 8, 0, 1, tzinfo=UTC)),
        ("2031-01-01T00:00:00", NOW),
        ("soon", NOW),
        ("0001-01-01T00:00:00+23:59", NOW),
        ("", NOW),
        (None, NOW),
        (3, NOW),
        ([], NOW),
    ],
)
def test_the_time_of_an_event_counts_where_it_can_be_read_and_is_not_to_come(
    generated: Any, started_at: datetime
) -> None:
    assert alarm(**event([], generated=generated)).started_at == started_at


@pytest.mark.parametrize(
    ("query", "selector"),
    [
        ({"physical_id": "i-1"}, Selector(physical_id="i-1")),
        ({"address": "10.0.0.9:80", "cloud": "lab"}, Selector(cloud="lab", address="10.0.0.9:80")),
        ({"host": "cmp-7"}, Selector(host="cmp-7")),
        (
            {"stack": "shop", "resource": "group/0/server"},
            Selector(stack="shop", resource="group/0/server"),
        ),
        ({"stack": "shop", "resource": ""}, Selector(stack="shop", physical_id=SERVER)),
        ({"cloud": "lab"}, Selector(cloud="lab", physical_id=SERVER)),
        (
            {"token": "x", "aodh-alarm-ssl-verify": "0", "severity": "page"},
            Selector(physical_id=SERVER),
        ),
        ({"resource": "a\ud800\x00b"}, Selector(resource="a?\ufffdb")),
    ],
)
def test_what_the_url_names_goes_before_what_the_body_names(
    query: dict[str, str], selector: Selector
) -> None:
    [read] = parse(BODIES["event"], query).alarms
    assert read.selector == selector


@pytest.mark.parametrize(
    ("traits", "physical_id"),
    [
        ([["instance_id", 1, "i-1"], ["resource_id", 1, "r-1"]], "i-1"),
        ([["resource_id", 1, "r-1"], ["size", 2, 3], ["load", 3, 0.5]], "r-1"),
        ([["instance_id", "string", "i-1"], "x", [], ["a"], [1, 1, "b"], None], "i-1"),
        ([["instance_id", 1, None], ["instance_id", 1, {"deep": []}]], None),
        ({"instance_id": "i-1"}, None),
        (None, None),
        (7, None),
    ],
)
def test_traits_are_read_as_far_as_they_are_traits(traits: Any, physical_id: str | None) -> None:
    assert alarm(**event(traits)).selector == Selector(physical_id=physical_id)


def test_the_traits_of_an_event_are_labels_beside_what_the_alarm_is_called() -> None:
    read = alarm(**event([["size", 2, 3], ["load", 3, 0.5], ["alertname", 1, "mine"]], event_type="x.y"))
    assert read.labels == {
        "size": "3", "load": "0.5", "alertname": "cpu", "alarm_type": "event", "event_type": "x.y",
    }  # fmt: skip


def test_other_traits_can_be_made_to_name_the_resource() -> None:
    body = BODY | event([["uuid", 1, "i-1"], ["instance_id", 1, "i-2"]])
    [read] = parse(body, labels={"physical_id": "uuid"}).alarms
    assert read.selector == Selector(physical_id="i-1")


@pytest.mark.parametrize(
    ("rules", "physical_id"),
    [
        ([{"resource_id": "i-1", "metric": "cpu"}, {"resource_id": "i-1"}], "i-1"),
        ([{"resource_id": "i-1"}], "i-1"),
        ([{"resource_id": "i-1"}, {"resource_id": "i-2"}], None),
        ([{"resource_id": "i-1"}, {"metrics": ["m-1"]}], None),
        ([{"query": "up == 0", "type": "prometheus"}], None),
        ([{"resource_id": ["i-1"]}], None),
        (["rule", None], None),
        ([], None),
    ],
)
def test_a_composite_alarm_is_about_what_all_its_causes_measure(
    rules: list[Any], physical_id: str | None
) -> None:
    read = alarm(**composite(*rules))
    assert read.selector == Selector(physical_id=physical_id)
    assert read.labels == {"alertname": "cpu", "alarm_type": "composite"}


def test_each_member_that_fails_is_an_alarm_of_its_own_under_the_key_that_clears_them_all() -> None:
    members = [{"id": f"m-{n}", "address": f"10.0.0.{n}", "protocol_port": 80} for n in (7, 8)]
    first, second = parse(BODY | balancer(*members)).alarms
    assert [first.selector.address, second.selector.address] == ["10.0.0.7:80", "10.0.0.8:80"]
    assert first.key == second.key == "a-1"
    assert first.identity != second.identity
    over = alarm(current="ok", previous="alarm", **balancer(asg_id="asg"))
    assert over.key == first.key
    assert over.selector == Selector(stack="s-1", resource="asg")


@pytest.mark.parametrize(
    ("member", "address"),
    [
        ({"address": "10.0.0.7", "protocol_port": 80}, "10.0.0.7:80"),
        ({"address": "10.0.0.7"}, "10.0.0.7"),
        ({"address": "2001:db8::7", "protocol_port": 443}, "[2001:db8::7]:443"),
        ({"address": "2001:db8::7"}, "2001:db8::7"),
    ],
)
def test_a_member_s_address_is_written_with_its_port(member: dict[str, Any], address: str) -> None:
    assert alarm(**balancer(member)).selector == Selector(stack="s-1", address=address)


@pytest.mark.parametrize("member", [None, "m", {}, {"id": "m"}, {"address": ""}, {"address": []}, []])
def test_members_without_an_address_leave_the_group(member: Any) -> None:
    assert alarm(**balancer(member, asg_id="asg")).selector == Selector(stack="s-1", resource="asg")


def test_the_stack_of_the_url_is_that_of_each_member() -> None:
    assert alarm({"stack": "shop"}, **balancer({"address": "10.0.0.7"})).selector == Selector(
        stack="shop", address="10.0.0.7"
    )


def test_a_url_that_names_a_resource_makes_one_alarm_of_all_members() -> None:
    members = [{"address": "10.0.0.7"}, {"address": "10.0.0.8"}]
    [read] = parse(BODY | balancer(*members), {"resource": "web"}).alarms
    assert read.selector == Selector(resource="web")


@pytest.mark.parametrize("field", ["alarm_name", "severity", "reason", "previous", "reason_data"])
@pytest.mark.parametrize("how", ["missing", "null"])
def test_only_the_id_and_the_state_must_be_there(field: str, how: str) -> None:
    body = {name: value for name, value in BODY.items() if name != field}
    [read] = parse(body | ({field: None} if how == "null" else {})).alarms
    assert (read.key, read.status, read.started_at) == ("a-1", AlarmStatus.FIRING, NOW)


def test_fields_to_come_are_no_mistake() -> None:
    assert alarm(project_id="p", user={"deep": [1]}) == alarm()


@pytest.mark.parametrize("number", [b"1e999", b"9" * 10_000, b"0." + b"1" * 10_000])
def test_no_number_in_a_reason_is_too_large_to_be_passed_over(number: bytes) -> None:
    [read] = parse(json.dumps(BODY).encode().replace(b"92.5", number)).alarms
    assert read.key == "a-1"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"current": "pending"}, "Invalid enum value 'pending'"),
        ({"current": None}, "got `null`"),
        ({"alarm_id": ""}, "length >= 1"),
        ({"alarm_id": "a" * 256}, "length <= 255"),
        ({"alarm_id": 7}, "Expected `str`"),
        ({"alarm_name": []}, "Expected `str"),
    ],
)
def test_what_cannot_be_its_body_is_refused_with_the_reason(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(AlarmError, match=f"not the body of an Aodh alarm action: .*{said}"):
        parse(BODY | changes)


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{}", b'{"alarm_id":"a"', b"[" * 100_000, b"a=b"])
def test_what_is_not_its_body_at_all_is_refused(body: bytes) -> None:
    with pytest.raises(AlarmError, match="not the body of an Aodh alarm action"):
        parse(body)


@pytest.mark.parametrize("options", [{"labels": {"stak": "x"}}, {"resource": "x"}])
def test_a_mistake_in_the_options_is_an_error_at_load(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Aodh.model_validate(options)


@given(
    mutated.trees(BODIES.values()) | mutated.texts(BODIES.values()),
    st.dictionaries(
        st.sampled_from(["cloud", "stack", "resource", "address", "x"]), st.text(st.characters(), max_size=5)
    ),
)
@settings(max_examples=300, deadline=None)
def test_whatever_comes_is_a_batch_or_an_alarm_error(body: bytes, query: dict[str, str]) -> None:
    with suppress(AlarmError):
        batch = parse(body, query)
        assert batch.alarms
        mutated.holds(batch)
