from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from healer.alarms.prometheus import Prometheus
from healer.core.model import Alarm, AlarmStatus, Selector
from healer.ports import AlarmError, Answer, Answering, Batch, Delivery, Rejected

PAYLOADS = Path(__file__).parents[1] / "payloads"
BODIES = {path.stem.split("-", 1)[1]: path.read_bytes() for path in PAYLOADS.glob("prometheus-*.json")}
NOW = datetime(2026, 11, 22, 8, 30, tzinfo=UTC)
"""Some seconds after the first captured post was sent."""
LATER = datetime(2026, 11, 24, 15, 51, 40, tzinfo=UTC)
"""Some seconds after the second and before the third."""
ALERT = {
    "labels": {"alertname": "Down", "stack": "shop", "resource": "api"},
    "annotations": {"summary": "it is down"},
    "startsAt": "2026-11-22T08:00:01.590Z",
    "endsAt": "2026-11-22T08:34:00Z",
    "generatorURL": "http://prometheus.example/graph",
}


def parse(body: Any, now: datetime = NOW, **options: Any) -> Batch:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Prometheus.model_validate(options).parse(Delivery("prometheus", text, now))


def alarm(now: datetime = NOW, **changes: Any) -> Alarm:
    batch = parse([{name: value for name, value in (ALERT | changes).items() if value is not ...}], now)
    assert not batch.rejected
    [alarm] = batch.alarms
    return alarm


def test_all_the_captured_bodies_are_here() -> None:
    assert sorted(BODIES) == ["2.42.0-firing", "2.42.0-resolved", "direct-firing"]


def test_a_captured_alert_is_read_whole() -> None:
    labels = {
        "alertname": "HeatResourceUnhealthy",
        "cloud": "lab",
        "instance": "127.0.0.1:19110",
        "job": "healer",
        "prometheus_replica": "a",
        "region": "lab-1",
        "resource": "web_server_3",
        "resource_type": "OS::Nova::Server",
        "severity": "critical",
        "stack": "prod-web",
    }
    [read] = parse(BODIES["direct-firing"]).alarms
    assert read == Alarm(
        source="prometheus",
        key="943cfbcd19f63242",
        status=AlarmStatus.FIRING,
        started_at=datetime(2026, 11, 22, 8, 29, 55, 202_000, tzinfo=UTC),
        received_at=NOW,
        selector=Selector(cloud="lab", stack="prod-web", resource="web_server_3", address="127.0.0.1:19110"),
        labels=labels,
        annotations={
            "description": "value=0",
            "runbook_url": "https://example.org/runbooks/heat-resource-unhealthy",
            "summary": "web_server_3 of stack prod-web is unhealthy",
        },
        severity="critical",
        expires_at=datetime(2026, 11, 22, 8, 30, 15, 202_000, tzinfo=UTC),
    )


def test_the_key_is_the_same_in_whichever_order_the_labels_come() -> None:
    labels = {"alertname": "Down", "stack": "shop", "resource": "web"}
    assert alarm(labels=dict(reversed(labels.items()))).key == alarm(labels=labels).key


def test_the_key_is_of_all_labels_however_long_and_in_whatever_script() -> None:
    keys = {
        alarm(labels=labels).key
        for labels in (
            {"a": "bc"},
            {"ab": "c"},
            {"a": "naïve"},
            {"a": "x" * 5000},
            {"a": "x" * 4999 + "y"},
            {"a": "x\x00"},
        )
    }
    assert len(keys) == 6


def test_what_is_over_differs_from_what_fired_in_status_alone_and_never_expires() -> None:
    firing = {each.key: each for each in parse(BODIES["2.42.0-firing"], LATER).alarms}
    after = LATER + timedelta(minutes=1)
    resolved = parse(BODIES["2.42.0-resolved"], after).alarms
    assert len(resolved) == len(firing) == 5
    for each in resolved:
        assert each.started_at == firing[each.key].started_at
        assert (firing[each.key].status, each.status) == (AlarmStatus.FIRING, AlarmStatus.CLEARED)
        assert firing[each.key].expires_at
        assert each.expires_at is None


def test_each_time_that_it_is_sent_again_it_is_the_same_alarm_and_stands_longer() -> None:
    first, second = alarm(), alarm(NOW + timedelta(minutes=1), endsAt="2026-11-22T08:35:00Z")
    assert first.identity == second.identity
    assert (first.expires_at, second.expires_at) == (NOW.replace(minute=34), NOW.replace(minute=35))


def test_what_is_over_is_known_again_for_as_long_as_it_is_sent() -> None:
    """Prometheus says so for 15 minutes."""
    ends_at = "2026-11-22T08:29:00Z"
    assert alarm(endsAt=ends_at).identity == alarm(NOW + timedelta(minutes=14), endsAt=ends_at).identity


@pytest.mark.parametrize(
    ("ends_at", "status"),
    [
        ("2026-11-22T08:30:00.001Z", AlarmStatus.FIRING),
        ("2026-11-22T08:30:00Z", AlarmStatus.CLEARED),
        ("2026-11-22T10:29:59+02:00", AlarmStatus.CLEARED),
        ("2026-11-22T07:30:01-01:00", AlarmStatus.FIRING),
        ("9999-12-31T23:59:59Z", AlarmStatus.FIRING),
    ],
)
def test_it_fires_until_its_end(ends_at: str, status: AlarmStatus) -> None:
    read = alarm(endsAt=ends_at)
    assert read.status is status
    assert read.expires_at is None or read.expires_at.tzinfo is UTC


@pytest.mark.parametrize("ends_at", [..., None, "0001-01-01T00:00:00Z"])
def test_without_an_end_it_counts_as_long_as_alertmanager_would_let_it(ends_at: Any) -> None:
    read = alarm(endsAt=ends_at)
    assert (read.status, read.expires_at) == (AlarmStatus.FIRING, NOW + timedelta(minutes=5))
    alert = {name: value for name, value in ALERT.items() if name != "endsAt"}
    [read] = parse([alert], resolve_timeout="1h").alarms
    assert read.expires_at == NOW + timedelta(hours=1)


@pytest.mark.parametrize("starts_at", [..., None, "0001-01-01T00:00:00Z"])
def test_without_a_start_it_began_when_it_came_and_one_that_is_over_when_it_ended(starts_at: Any) -> None:
    assert alarm(startsAt=starts_at).started_at == NOW
    assert alarm(startsAt=starts_at, endsAt=...).started_at == NOW
    over = alarm(startsAt=starts_at, endsAt="2026-11-22T08:29:00Z")
    assert over.started_at == NOW.replace(minute=29)


def test_a_start_is_cut_to_what_alertmanager_tells_of_it_when_it_is_asked() -> None:
    read = alarm(startsAt="2026-11-22T10:00:01.590999999+02:00")
    assert read.started_at == datetime(2026, 11, 22, 8, 0, 1, 590_000, tzinfo=UTC)
    assert read.started_at.tzinfo is UTC


@pytest.mark.parametrize(
    ("labels", "selector"),
    [
        ({"instance_id": "i-2", "instance": ""}, Selector(physical_id="i-2")),
        ({"instance": "10.0.0.4:9100"}, Selector(address="10.0.0.4:9100")),
        ({"hypervisor": "compute-1"}, Selector(host="compute-1")),
        ({"alertname": "Watchdog"}, Selector()),
    ],
)
def test_the_usual_labels_name_the_resource(labels: dict[str, str], selector: Selector) -> None:
    assert alarm(labels=labels).selector == selector


def test_other_labels_can_be_made_to_name_it() -> None:
    naming = {"stack": "heat_stack", "severity": "level"}
    [read] = parse([ALERT | {"labels": {"heat_stack": "shop", "level": "page"}}], labels=naming).alarms
    assert (read.selector, read.severity) == (Selector(stack="shop"), "page")


def test_an_empty_label_is_none_at_all() -> None:
    assert alarm(labels={"stack": "shop", "resource": ""}).labels == {"stack": "shop"}


def test_nothing_firing_is_no_mistake() -> None:
    assert parse([]) == Batch(())


def test_it_is_answered_as_alertmanager_answers() -> None:
    source = Prometheus()
    assert isinstance(source, Answering)
    batch = parse([ALERT, ALERT])
    assert source.answer(batch, (True, False)) == Answer(200)
    batch = Batch(batch.alarms, (Rejected(1, "it has no labels"),))
    said = {"rejected": [{"index": 1, "reason": "it has no labels"}]}
    assert source.answer(batch, (True, False)) == Answer(200, said)


def test_it_is_served_where_a_prometheus_posts_whose_path_prefix_is_alertmanager() -> None:
    came = json.loads((PAYLOADS / "headers" / "prometheus-2.42.0-firing.json").read_bytes())
    assert Prometheus.paths == (came["path"],)


@pytest.mark.parametrize(
    "options", [{"labels": {"stak": "x"}}, {"max_alerts": 0}, {"resolve_timeout": 300}, {"token": "x"}]
)
def test_a_mistake_in_the_options_is_an_error_at_load(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Prometheus.model_validate(options)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"labels": []}, "Expected `object`"),
        ({"labels": None}, "Expected `object`, got `null`"),
        ({"labels": {"stack": 1}}, "Expected `str`, got `int`"),
        ({"labels": {}}, "no labels"),
        ({"labels": {"alertname": ""}}, "no labels"),
        ({"startsAt": "yesterday"}, "no time of RFC 3339"),
        ({"startsAt": "2026-11-22T08:00:01"}, "timezone"),
        ({"startsAt": "0001-01-01T00:00:00+23:59"}, "out of range"),
        ({"endsAt": "9999-12-31T23:59:59-23:59"}, "out of range"),
        ({"endsAt": 1e308}, "Expected `str | null`"),
        ({"endsAt": "2026-11-22T08:00:01.589Z"}, "ends before it starts"),
        ({"annotations": {"summary": {}}}, "Expected `str`"),
    ],
)
def test_one_bad_alert_is_rejected_by_its_place_and_the_others_are_kept(
    changes: dict[str, Any], said: str
) -> None:
    batch = parse([ALERT, ALERT | changes, ALERT])
    assert len(batch.alarms) == 2
    [rejected] = batch.rejected
    assert rejected.index == 1
    assert said in rejected.reason
    assert len(rejected.reason) <= 200


@pytest.mark.parametrize(
    ("text", "clean"),
    [(rb"a\ud800b", "a\ufffdb"), (b"a\xffb", "a\ufffdb"), (rb"a\u0000b", "a\ufffdb"), (rb"\u00e9", "é")],
)
def test_text_that_nobody_could_store_or_print_is_cleaned_and_loses_no_alert(text: bytes, clean: str) -> None:
    batch = parse(json.dumps([ALERT, ALERT]).encode().replace(b'"shop"', b'"' + text + b'"', 1))
    assert not batch.rejected
    assert [each.selector.stack for each in batch.alarms] == [clean, "shop"]


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"{}", b'{"alerts":[]}', b"[", b"[] x", b"[NaN]", b"[" * 100_000, b"\xff\xfe\x00"],
    ids=range(9),
)
def test_what_is_not_its_body_at_all_is_refused(body: bytes) -> None:
    with pytest.raises(AlarmError, match="not the body of a post to Alertmanager's API v2"):
        parse(body)


@pytest.mark.parametrize("number", ["1e999", "-1e999", "9" * 10_000, "0." + "1" * 10_000])
def test_no_number_is_too_large_to_be_passed_over(number: str) -> None:
    text = json.dumps([ALERT, ALERT]).replace('"http://prometheus.example/graph"', number)
    assert len(parse(text.encode()).alarms) == 2
    assert [each.index for each in parse(text.replace('"shop"', number, 1).encode()).rejected] == [0]


def test_more_alerts_than_anybody_sends_at_once_are_refused() -> None:
    assert len(parse([ALERT] * 3, max_alerts=3).alarms) == 3
    with pytest.raises(AlarmError, match="more than 3 alerts"):
        parse([ALERT] * 4, max_alerts=3)


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=20)
    | st.sampled_from(
        ["2026-11-22T08:00:01Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59Z", "\ud800"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
FIELDS = ["labels", "annotations", "startsAt", "endsAt", "generatorURL"]
ALERTS = st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, JUNK)).map(lambda junk: ALERT | junk)


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """A real body of which a few bytes are others, more, or fewer."""
    body = bytearray(draw(st.sampled_from(sorted(BODIES.values()))))
    for _ in range(draw(st.integers(1, 5))):
        at = draw(st.integers(0, len(body)))
        body[at : at + draw(st.integers(0, 3))] = draw(
            st.binary(max_size=3) | st.sampled_from([b"\\", b'"', b"\\ud800", b"{", b"]", b",", b"\x00"])
        )
    return bytes(body)


@given(
    st.lists(ALERTS | JUNK, max_size=4).map(lambda alerts: json.dumps(alerts).encode(errors="replace"))
    | broken(),
    st.datetimes(datetime(2, 1, 1), datetime(9000, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - the zone is beside it
)
@settings(max_examples=500, deadline=None)
def test_whatever_comes_and_whenever_is_a_batch_or_an_alarm_error(body: bytes, now: datetime) -> None:
    try:
        batch = parse(body, now)
    except AlarmError:
        return
    for each in batch.alarms:
        assert each.started_at.tzinfo is UTC
        assert (each.expires_at is None) == (each.status is AlarmStatus.CLEARED)
        assert each.expires_at is None or each.expires_at > now
        texts = [each.key, *each.labels, *each.labels.values(), *each.annotations, *each.annotations.values()]
        assert all("\x00" not in text and text.encode() is not None for text in texts)
    assert [each.index for each in batch.rejected] == sorted({each.index for each in batch.rejected})
