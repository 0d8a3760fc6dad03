from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict
from pydantic import ValidationError

from healer.alarms.cloudevents import Cloudevents
from healer.core.model import Alarm, AlarmStatus, Selector
from healer.ports import AlarmError, Answer, Batch, Delivery
from tests.alarms import mutated

PAYLOADS = Path(__file__).parents[1] / "payloads"
BODIES = {
    path.stem.removeprefix("cloudevents-"): path.read_bytes() for path in PAYLOADS.glob("cloudevents-*.json")
}
HEADERS = {
    name: dict(json.loads((PAYLOADS / "headers" / f"cloudevents-{name}.json").read_bytes())["headers"])
    for name in BODIES
}
NOW = datetime(2026, 11, 22, 8, 1, tzinfo=UTC)
STRUCTURED = {"Content-Type": "application/cloudevents+json"}
BATCH = {"content-type": "Application/CloudEvents-Batch+JSON; charset=utf-8"}
EVENT = {
    "specversion": "1.0",
    "id": "1",
    "source": "/monitor",
    "type": "shop.unhealthy",
    "subject": "shop/api",
    "time": "2026-11-22T08:00:12Z",
}
BINARY = {f"ce-{name}": value for name, value in EVENT.items()} | {"Content-Type": "application/json"}


def parse(body: Any, headers: Mapping[str, str] = STRUCTURED, **options: Any) -> Batch:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    source = Cloudevents.model_validate(options)
    return source.parse(Delivery("cloudevents", text, NOW, headers=CIMultiDict(headers)))


def alarm(body: Any = None, headers: Mapping[str, str] = STRUCTURED, **options: Any) -> Alarm:
    batch = parse(EVENT if body is None else body, headers, **options)
    assert not batch.rejected
    [read] = batch.alarms
    return read


def rejected(changes: Mapping[str, Any], **options: Any) -> str:
    """Why an event of a batch with these changes is rejected; those beside it are kept."""
    batch = parse([EVENT, {**EVENT, **changes}, EVENT], BATCH, **options)
    assert len(batch.alarms) == 2
    [one] = batch.rejected
    assert one.index == 1
    assert len(one.reason) <= 200
    return one.reason


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in EVENT.items() if name not in names}


@pytest.mark.parametrize("name", ["structured", "binary"])
def test_an_event_is_read_whole_in_either_mode(name: str) -> None:
    assert parse(BODIES[name], HEADERS[name]) == Batch(
        alarms=(
            Alarm(
                source="cloudevents",
                key="https://monitor.example.org/lab prod-web/web_server_3",
                status=AlarmStatus.FIRING,
                started_at=datetime(2026, 11, 22, 8, 0, 12, 187_000, tzinfo=UTC),
                received_at=NOW,
                selector=Selector(cloud="lab", stack="prod-web", resource="web_server_3"),
                labels={
                    "state": "unhealthy",
                    "cloud": "lab",
                    "stack": "prod-web",
                    "resource": "web_server_3",
                    "reason": "tcp check failed 3 times",
                    "ce_source": "https://monitor.example.org/lab",
                    "ce_type": "org.example.healer.resource.unhealthy.v1",
                    "ce_subject": "prod-web/web_server_3",
                },
                annotations={
                    "ce_id": "b25e2717-a470-45a0-8231-985a99aa9416",
                    "summary": "tcp check failed 3 times",
                },
            ),
        )
    )


def test_a_batch_is_as_many_alarms_as_it_has_events_in_the_sender_s_order() -> None:
    events = [EVENT | {"id": name, "subject": f"shop/{name}"} for name in "cab"]
    batch = parse(events, BATCH)
    assert [each.selector.resource for each in batch.alarms] == ["c", "a", "b"]
    assert not batch.rejected
    assert parse([], BATCH) == Batch(())


@pytest.mark.parametrize("body", [EVENT, [EVENT]])
@pytest.mark.parametrize("headers", [{}, {"Content-Type": "application/json"}])
def test_who_forgets_to_say_what_it_sends_is_understood_all_the_same(
    body: Any, headers: dict[str, str]
) -> None:
    assert alarm(body, headers) == alarm()


def test_the_content_type_goes_before_the_headers() -> None:
    """A gateway may copy attributes into headers and leave the event as it was."""
    assert alarm(EVENT, BINARY | STRUCTURED | {"ce-type": "x.healthy"}) == alarm()


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("org.example.unhealthy", AlarmStatus.FIRING),
        ("org.example.unhealthy.v1", AlarmStatus.FIRING),
        ("org.example.firing.v22", AlarmStatus.FIRING),
        ("org.example.healthy.v1", AlarmStatus.CLEARED),
        ("org.example.resolved", AlarmStatus.CLEARED),
        ("org.example.cleared", AlarmStatus.CLEARED),
        ("org.example.unknown.v1", AlarmStatus.UNKNOWN),
    ],
)
def test_the_type_says_what_it_means(kind: str, status: AlarmStatus) -> None:
    assert alarm(EVENT | {"type": kind}).status is status


@pytest.mark.parametrize(
    "kind", ["unhealthy", "a.unhealthy.b", "a.unhealthy.v", "a.Unhealthy", "a.unhealthyx"]
)
def test_a_type_that_nobody_named_is_no_alarm_and_is_said_to_be_none(kind: str) -> None:
    assert f"its type '{kind}' is none of" in rejected({"type": kind})


def test_which_types_mean_what_can_be_said_and_what_is_left_over_may_fire() -> None:
    options = {"unknown": ["vm.lost"], "cleared": ["vm.o?", "job.done.v2"], "firing": ["*"]}
    kinds = ["vm.lost", "vm.ok", "job.done.v2", "job.done.v1", "vm.down"]
    read = parse([EVENT | {"type": kind} for kind in kinds], BATCH, **options)
    assert [each.status for each in read.alarms] == ["unknown", "cleared", "cleared", "firing", "firing"]


def test_an_alarm_is_the_same_over_events_of_other_ids_types_and_times() -> None:
    changes = {"id": "2", "type": "shop.healthy", "time": "2026-11-22T08:30:00Z"}
    over = alarm(EVENT | changes)
    assert over.key == alarm().key == "/monitor shop/api"
    assert over.status is AlarmStatus.CLEARED
    assert over.selector == alarm().selector


def test_the_same_event_twice_is_the_same_alarm_and_another_time_another() -> None:
    assert alarm(EVENT).identity == alarm(EVENT).identity
    assert alarm(EVENT).identity != alarm(EVENT | {"time": "2026-11-22T08:00:13Z"}).identity


@pytest.mark.parametrize(
    ("changes", "options", "key"),
    [
        ({"source": "/other"}, {}, "/other shop/api"),
        ({"data": {"check": "disk"}}, {"key": ["ce_subject", "check"]}, "shop/api disk"),
        ({"data": {"check": {"id": 7}}}, {"key": ["check.id"]}, "7"),
        ({"group": "g"}, {"key": ["ce_group"]}, "g"),
        ({}, {"key": ["check"]}, "shop api"),
        ({"subject": "", "data": {"server_id": "i-1", "cloud": "lab"}}, {}, "/monitor lab i-1"),
    ],
)
def test_what_makes_an_alarm_the_same_can_be_said(
    changes: dict[str, Any], options: dict[str, Any], key: str
) -> None:
    assert alarm(EVENT | changes, **options).key == key


def test_a_key_that_no_store_could_index_is_cut_and_stays_its_own() -> None:
    long = [alarm(EVENT | {"subject": "shop/" + "x" * 5000 + end}).key for end in "ab"]
    assert len(set(long)) == 2
    assert all(len(key) == 255 for key in long)


def test_an_event_that_names_nothing_is_no_alarm() -> None:
    assert rejected({"subject": None}) == "it has no ce_source or no ce_subject, and names nothing else"


@pytest.mark.parametrize(
    ("subject", "options", "selector"),
    [
        ("shop/api", {}, Selector(stack="shop", resource="api")),
        ("shop/group/0/server", {}, Selector(stack="shop", resource="group/0/server")),
        ("shop", {}, Selector()),
        ("/api", {}, Selector()),
        ("shop/", {}, Selector()),
        (
            "lab:shop:api",
            {"subject": "{cloud}:{stack}:{resource}"},
            Selector("lab", "shop", "api"),
        ),
        ("servers/i-1", {"subject": "servers/{physical_id}"}, Selector(physical_id="i-1")),
        ("hosts/i-1", {"subject": "servers/{physical_id}"}, Selector()),
        ("vm i-1 (down)", {"subject": "vm {physical_id} (down)"}, Selector(physical_id="i-1")),
        ("10.0.0.7:80", {"subject": "{address}"}, Selector(address="10.0.0.7:80")),
        ("shop/api", {"subject": ""}, Selector()),
    ],
)
def test_a_subject_names_the_resource_as_it_is_said_to(
    subject: str, options: dict[str, Any], selector: Selector
) -> None:
    assert alarm(EVENT | {"subject": subject}, **options).selector == selector


@pytest.mark.parametrize(
    ("data", "selector"),
    [
        ({"cloud": "lab"}, Selector("lab", "shop", "api")),
        ({"stack": "shop"}, Selector(stack="shop", resource="api")),
        ({"stack": "other"}, Selector(stack="other")),
        ({"resource": "db"}, Selector(resource="db")),
        ({"server_id": "i-1"}, Selector(physical_id="i-1")),
        ({"instance": "10.0.0.7:80"}, Selector(address="10.0.0.7:80")),
        ({"hypervisor": "cmp-7"}, Selector(host="cmp-7")),
    ],
)
def test_what_the_data_names_goes_before_the_subject(data: dict[str, str], selector: Selector) -> None:
    assert alarm(EVENT | {"data": data}).selector == selector


def test_other_members_can_be_made_to_name_it() -> None:
    data = {"vm": {"uuid": "i-1", "zone": {"name": "lab"}}, "level": "page", "text": "it is down"}
    naming = {"physical_id": "vm.uuid", "cloud": ["nope", "vm.zone.name"], "severity": "level"}
    read = alarm(EVENT | {"data": data}, labels=naming, summary="text")
    assert read.selector == Selector(cloud="lab", physical_id="i-1")
    assert read.severity == "page"
    assert read.annotations["summary"] == "it is down"


def test_extensions_are_labels_and_those_that_healer_knows_mean_what_they_say() -> None:
    sent = {
        "severitytext": "ERROR",
        "expirytime": "2026-11-22T10:00:00+01:00",
        "partitionkey": "p",
        "sampledrate": 3,
        "urgent": True,
        "nothing": None,
        "datacontenttype": "application/json",
        "dataschema": "https://example.org/schema",
    }
    read = alarm(EVENT | sent)
    assert read.severity == "ERROR"
    assert read.expires_at == datetime(2026, 11, 22, 9, tzinfo=UTC)
    assert read.labels == {
        "ce_source": "/monitor",
        "ce_type": "shop.unhealthy",
        "ce_subject": "shop/api",
        "ce_severitytext": "ERROR",
        "ce_expirytime": "2026-11-22T10:00:00+01:00",
        "ce_partitionkey": "p",
        "ce_sampledrate": "3",
        "ce_urgent": "true",
    }
    assert alarm(EVENT | sent | {"type": "shop.healthy"}).expires_at is None


def test_plain_values_of_data_are_labels_by_the_names_that_lead_to_them() -> None:
    data = {
        "n": 92.50, "yes": True, "none": None, "list": [1], "": "x", "disk": {"used": 93, "io": {"wait": "1"}},
        "huge": 1, "ce_type": "forged.healthy",
    }  # fmt: skip
    body = json.dumps(EVENT | {"data": data}).replace('"huge": 1', '"huge": ' + "9" * 10_000)
    read = alarm(body.encode())
    assert read.status is AlarmStatus.FIRING
    assert {name: value for name, value in read.labels.items() if not name.startswith("ce_")} == {
        "n": "92.5", "yes": "true", "data": "x", "disk.used": "93", "disk.io.wait": "1",
    }  # fmt: skip
    assert read.labels["ce_type"] == "shop.unhealthy"


def test_data_that_lies_very_deep_is_left_where_it_is() -> None:
    deep: Any = "x"
    for _ in range(100):
        deep = {"a": deep}
    assert alarm(EVENT | {"data": {"deep": deep, "b": "1"}}).labels["b"] == "1"


@pytest.mark.parametrize(
    ("members", "summary"),
    [
        ({"data": "it is down"}, "it is down"),
        ({"data": "<down/>", "datacontenttype": "application/xml"}, "<down/>"),
        ({"data": "x" * 5000}, "x" * 1000),
        ({"data": 7}, "7"),
        ({"data": None}, None),
        ({"data": []}, None),
        ({"data_base64": base64.b64encode(b'{"reason":"down"}').decode()}, None),
        (
            {
                "data_base64": base64.b64encode(b' {"reason":"down"} ').decode(),
                "datacontenttype": "application/vnd.x+json; charset=utf-8",
            },
            "down",
        ),
        ({"data_base64": "AAEC", "datacontenttype": "application/protobuf"}, None),
        ({"data_base64": "?"}, None),
    ],
)
def test_data_may_be_anything(members: dict[str, Any], summary: str | None) -> None:
    assert alarm(EVENT | members).annotations.get("summary") == summary


@pytest.mark.parametrize(
    ("kind", "body", "summary"),
    [
        ("application/json; charset=utf-8", b' {"reason": "down"}', "down"),
        ("application/problem+json", b'{"reason": "down"}', "down"),
        ("application/json", b"", None),
        ("application/json", b"[1, 2]", None),
        ("application/json", b'"down"', "down"),
        ("text/plain", b"it is \xff down", "it is \ufffd down"),
        ("application/octet-stream", b"\x00\x01", None),
        ("", b'{"reason": "down"}', None),
    ],
)
def test_the_body_beside_headers_is_read_as_what_it_is_said_to_be(
    kind: str, body: bytes, summary: str | None
) -> None:
    read = alarm(body, BINARY | {"Content-Type": kind})
    assert read.annotations.get("summary") == summary
    assert read.selector == Selector(stack="shop", resource="api")


@pytest.mark.parametrize(
    ("sent", "subject"),
    [
        ("shop/na%C3%AFve%20api", "shop/naïve api"),
        ('"shop/an \\"old\\" one"', 'shop/an "old" one'),
        ('"', '"'),
        ("shop/100%25", "shop/100%"),
        ("shop/%2525", "shop/%25"),
        ("shop/%zz", "shop/%zz"),
        ("shop/%00%FF", "shop/\ufffd\ufffd"),
    ],
)
def test_headers_are_decoded_once(sent: str, subject: str) -> None:
    assert alarm(b"{}", BINARY | {"ce-subject": sent}).labels["ce_subject"] == subject


def test_the_letter_case_of_headers_does_not_matter_and_the_first_of_two_counts() -> None:
    headers = CIMultiDict({name.upper(): value for name, value in BINARY.items()})
    headers.add("Ce-Type", "shop.healthy")
    assert alarm(b"{}", headers) == alarm(b"{}", BINARY)


@pytest.mark.parametrize(
    ("time", "started_at"),
    [
        ("2026-11-22T10:00:12.187654321+02:00", datetime(2026, 11, 22, 8, 0, 12, 187_654, tzinfo=UTC)),
        ("2026-11-22t08:00:12z", datetime(2026, 11, 22, 8, 0, 12, tzinfo=UTC)),
        (None, NOW),
    ],
)
def test_an_event_is_as_old_as_it_says_and_else_as_its_coming(time: str | None, started_at: datetime) -> None:
    read = alarm(EVENT | {"time": time})
    assert read.started_at == started_at
    assert read.started_at.tzinfo is UTC


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"time": "yesterday"}, "RFC3339"),
        ({"time": "2026-11-22T08:00:12"}, "timezone"),
        ({"time": "0001-01-01T00:00:00+23:59"}, "out of range"),
        ({"time": 3}, "RFC3339"),
        ({"expirytime": ""}, "RFC3339"),
        ({"specversion": "0.3"}, "its specversion is '0.3', and 1.0 is read"),
        ({"specversion": None}, "its specversion is ''"),
        ({"id": ""}, "it has no id"),
        ({"source": None, "type": []}, "it has no source and no type"),
        ({"data_base64": "?", "datacontenttype": "text/json"}, "base64"),
        ({"data_base64": "e30", "datacontenttype": "text/json"}, "padding"),
        ({"data_base64": 7, "datacontenttype": "text/json"}, "Expected `str`"),
        ({"data_base64": "ew==", "datacontenttype": "text/json"}, "JSON data of a CloudEvent"),
    ],
)
def test_one_bad_event_of_a_batch_is_rejected_by_its_place_and_the_others_are_kept(
    changes: dict[str, Any], said: str
) -> None:
    assert said in rejected(changes)


@pytest.mark.parametrize("one", [None, 1, "x", [], True, {}])
def test_what_is_no_event_at_all_is_rejected(one: Any) -> None:
    batch = parse([one, EVENT], BATCH)
    assert [each.index for each in batch.rejected] == [0]
    assert len(batch.alarms) == 1


def test_a_lone_event_that_is_no_alarm_is_taken_and_rejected() -> None:
    """A broker sends all that it has; refused, it would send it again."""
    batch = parse(EVENT | {"type": "order.placed"})
    assert not batch.alarms
    assert [each.index for each in batch.rejected] == [0]


@pytest.mark.parametrize(
    ("body", "headers", "said"),
    [
        (without("id"), STRUCTURED, "it has no id"),
        ([EVENT], STRUCTURED, "Expected `object`"),
        (EVENT, BATCH, "Expected `array`"),
        (b"{}", BINARY | {"ce-specversion": "2.0"}, "its specversion is '2.0'"),
        (b"{}", BINARY | {"ce-id": ""}, "it has no id"),
        (b"{", BINARY, "JSON data"),
        (b"<e/>", {"Content-Type": "application/cloudevents+xml"}, r"cloudevents\+xml is not read"),
        (b"<e/>", {"Content-Type": "application/cloudevents-batch+proto"}, "is not read"),
        (b"", {}, "not the body of a CloudEvent"),
        (b"null", STRUCTURED, "not the body of a CloudEvent"),
        (b"[" * 100_000, BATCH, "not the body of a batch"),
        (b'{"data":' * 100_000, STRUCTURED, "not the body of a CloudEvent"),
        (b'{"data":' * 100_000, BINARY, "JSON data"),
        (b'{"specversion": NaN}', STRUCTURED, "not the body of a CloudEvent"),
    ],
    ids=range(14),
)
def test_what_is_no_event_is_refused_with_the_reason(body: Any, headers: dict[str, str], said: str) -> None:
    with pytest.raises(AlarmError, match=said):
        parse(body, headers)


def test_more_events_than_any_batch_has_are_refused() -> None:
    assert len(parse([EVENT] * 3, BATCH, max_events=3).alarms) == 3
    with pytest.raises(AlarmError, match="more than 3 events"):
        parse([EVENT] * 4, BATCH, max_events=3)


@pytest.mark.parametrize(
    ("text", "clean"),
    [(rb"a\ud800b", "a\ufffdb"), (b"a\xffb", "a\ufffdb"), (rb"a\u0000b", "a\ufffdb"), ("ï".encode(), "ï")],
)
def test_text_that_nobody_could_store_or_print_is_cleaned_and_loses_no_event(text: bytes, clean: str) -> None:
    body = json.dumps([EVENT, EVENT]).encode().replace(b"shop/api", b"shop/" + text, 1)
    batch = parse(body, BATCH)
    assert [each.selector.resource for each in batch.alarms] == [clean, "api"]


def greeting(headers: dict[str, str], **options: Any) -> Answer:
    source = Cloudevents.model_validate(options)
    delivery = Delivery("cloudevents", b"", NOW, headers=CIMultiDict(headers), method="OPTIONS")
    return source.greet(delivery)


def test_whoever_asks_whether_it_may_send_is_told_so() -> None:
    assert "OPTIONS" in Cloudevents.methods
    sent = HEADERS["structured"] | {"WebHook-Request-Rate": "120"}
    assert greeting(sent) == Answer(
        200,
        None,
        {
            "Allow": "POST, OPTIONS",
            "WebHook-Allowed-Origin": "monitor.example.org",
            "WebHook-Allowed-Rate": "*",
        },
    )


def test_a_rate_and_the_origins_can_be_bounded() -> None:
    options = {"rate": 600, "origins": ["*.example.org"]}
    granted = greeting({"webhook-request-origin": "Monitor.Example.org"}, **options).headers
    assert granted["WebHook-Allowed-Origin"] == "Monitor.Example.org"
    assert granted["WebHook-Allowed-Rate"] == "600"
    assert greeting({"webhook-request-origin": "evil.example.com"}, **options).headers == {
        "Allow": "POST, OPTIONS"
    }


@pytest.mark.parametrize("origin", [None, "", "a b", "x" * 256, "a\r\nSet-Cookie: x", "\udcff", "ï"])
def test_what_is_no_origin_gets_no_consent_and_is_never_sent_back(origin: str | None) -> None:
    headers = {} if origin is None else {"WebHook-Request-Origin": origin}
    assert greeting(headers) == Answer(200, None, {"Allow": "POST, OPTIONS"})


@pytest.mark.parametrize(
    "options",
    [
        {"subject": "{stack}/{thing}"},
        {"subject": "{stack}/{stack}"},
        {"subject": "{}"},
        {"subject": "{stack}{resource}"},
        {"key": []},
        {"key": [""]},
        {"firing": "x"},
        {"rate": 0},
        {"max_events": 0},
        {"labels": {"stak": "x"}},
        {"token": "x"},
    ],
)
def test_a_mistake_in_the_options_is_an_error_at_load(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Cloudevents.model_validate(options)


EXAMPLES = [json.dumps([json.loads(BODIES["structured"]), EVENT]).encode(), *BODIES.values()]


@given(
    mutated.trees(EXAMPLES) | mutated.texts(EXAMPLES),
    st.sampled_from([STRUCTURED, BATCH, BINARY, {}]),
    st.dictionaries(
        st.sampled_from(["ce-type", "ce-time", "ce-id", "ce-x"]), st.text(st.characters(), max_size=9)
    ),
)
@settings(max_examples=400, deadline=None)
def test_whatever_comes_is_a_batch_or_an_alarm_error(
    body: bytes, headers: dict[str, str], more: dict[str, str]
) -> None:
    with suppress(AlarmError):
        mutated.holds(parse(body, headers | more, firing=["*"]))
