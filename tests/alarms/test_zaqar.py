from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from multidict import CIMultiDict

from healer.alarms.zaqar import Zaqar
from healer.core.model import Alarm, AlarmStatus, Selector
from healer.ports import AlarmError, Batch, Confirmation, Delivery
from tests.alarms import mutated

PAYLOADS = Path(__file__).parents[1] / "payloads"
BODIES = {path.stem.removeprefix("zaqar-"): path.read_bytes() for path in PAYLOADS.glob("zaqar-*.json")}
NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
ASKED = json.loads(BODIES["subscription-confirmation"])
PATH = "/v2/queues/healer/subscriptions/b3826abf-397c-4d48-83c4-ec97fe8592ca/confirm"


def parse(body: Any, query: dict[str, str] | None = None, at: datetime = NOW, **options: Any) -> Batch:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Zaqar.model_validate(options).parse(Delivery("queue", text, at, CIMultiDict(), query or {}))


def notification(body: Any) -> dict[str, Any]:
    return {"ttl": 60, "body": body, "Message_Type": "Notification", "queue_name": "healer"}


def alarm(body: Any, **rest: Any) -> Alarm:
    batch = parse(notification(body), **rest)
    assert not batch.rejected
    [alarm] = batch.alarms
    return alarm


def test_an_alarm_of_aodh_in_a_message_is_read_whole() -> None:
    [read] = parse(BODIES["notification-aodh"]).alarms
    assert read == Alarm(
        source="queue",
        key="e8ff32f7-72d2-4b8a-9a3f-7ac1c0a6a31c",
        status=AlarmStatus.FIRING,
        started_at=NOW,
        received_at=NOW,
        selector=Selector(),
        labels={"alertname": "web_server_3_cpu_dead", "alarm_type": "threshold"},
        annotations={
            "summary": "Transition to alarm due to 1 samples outside threshold, most recent: 92.5",
            "previous": "ok",
        },
        severity="critical",
    )


@pytest.mark.parametrize(
    ("current", "status"),
    [("alarm", "firing"), ("ok", "cleared"), ("insufficient data", "unknown")],
)
def test_the_states_of_aodh(current: str, status: str) -> None:
    body = json.loads(BODIES["notification-aodh"])["body"]["body"] | {"current": current, "previous": None}
    assert alarm({"body": body}).status == status
    assert alarm(body).status == status
    assert alarm(json.dumps(body)).status == status


def test_a_plain_message_is_read_whole() -> None:
    [read] = parse(BODIES["notification-plain"]).alarms
    assert read == Alarm(
        source="queue",
        key=read.key,
        status=AlarmStatus.FIRING,
        started_at=NOW,
        received_at=NOW,
        selector=Selector(),
        labels={"resource_name": "web", "n": "2"},
    )
    assert len(read.key) == 32


def test_a_message_in_a_template_is_found_with_the_words_around_it() -> None:
    [read] = parse(BODIES["templated"]).alarms
    assert read.labels == {"source": "zaqar", "via": "presigned"}
    deep = {"stack": "shop", "list": [1, {"resource": "api", "in": json.loads(BODIES["templated"])}]}
    [read] = parse(deep).alarms
    assert read.selector == Selector(stack="shop", resource="api")


def test_a_template_may_say_what_an_alarm_of_aodh_does_not() -> None:
    message = json.loads(BODIES["notification-aodh"])
    [read] = parse({"stack": "shop", "resource": "api", "message": message}).alarms
    assert read.selector == Selector(stack="shop", resource="api")
    assert read.key == "e8ff32f7-72d2-4b8a-9a3f-7ac1c0a6a31c"


def test_the_address_of_the_subscription_may_name_the_resource() -> None:
    query = {"stack": "shop", "resource": "api", "sig": "secret", "token": "secret"}
    for name in ("notification-aodh", "notification-plain"):
        [read] = parse(BODIES[name], query).alarms
        assert read.selector == Selector(stack="shop", resource="api")
        assert "secret" not in read.labels.values()


def test_labels_and_times_of_a_script_count() -> None:
    read = alarm(
        {
            "id": "disk",
            "status": "OK",
            "started_at": "2026-11-22T07:00:00+01:00",
            "labels": {"server_id": "i-1", "severity": "high"},
            "more": {"a": [1]},
        }
    )
    assert (read.key, read.status) == ("disk", AlarmStatus.CLEARED)
    assert read.started_at == datetime(2026, 11, 22, 6, tzinfo=UTC)
    assert read.selector == Selector(physical_id="i-1")
    assert read.severity == "high"
    assert read.labels["more"] == '{"a":[1]}'
    assert "labels" not in read.labels


def test_what_has_no_name_is_named_by_what_it_says_whatever_its_state() -> None:
    down, up = alarm({"stack": "shop", "status": "down"}), alarm({"status": "up", "stack": "shop"})
    assert down.key == up.key
    assert (down.status, up.status) == (AlarmStatus.FIRING, AlarmStatus.CLEARED)
    assert alarm({"stack": "other", "status": "down"}).key != down.key


def test_one_bad_alarm_of_several_loses_no_other() -> None:
    batch = parse(
        notification([{"stack": "a"}, {"stack": "b", "status": "odd"}, 7, {"alarm_id": "", "current": "ok"}])
    )
    assert [each.selector.stack for each in batch.alarms] == ["a"]
    assert [each.index for each in batch.rejected] == [1, 2, 3]
    assert "'odd'" in batch.rejected[0].reason


def test_text_that_is_no_json_is_a_message() -> None:
    assert alarm("web is down").labels == {"message": "web is down"}


def test_a_confirmation_is_what_a_real_server_took() -> None:
    batch = parse(BODIES["subscription-confirmation"])
    assert batch == Batch(
        (),
        confirmation=Confirmation(
            path=PATH,
            headers={
                "URL-Signature": "ef51bce16321c62e5ac9efbe31a0d1d594b0dd3213cb4d9181543051b2010dda",
                "URL-Methods": "PUT",
                "URL-Paths": PATH,
                "URL-Expires": "2026-11-22T09:10:42",
                "X-Project-ID": "5f2f7d1c3fd24d2a8d1e4f1a3b6c7d8e",
                "Client-ID": "c53c1d57-4a39-5b3f-8a0e-31c9c5b1b1d4",
                "Content-Type": "application/json",
            },
            body=b'{"confirmed": true}',
            expires_at=datetime(2026, 11, 22, 9, 10, 42, tzinfo=UTC),
            method="PUT",
        ),
    )


def test_a_confirmation_that_has_expired_is_refused() -> None:
    assert parse(ASKED, at=NOW.replace(minute=10, second=41)).confirmation
    with pytest.raises(AlarmError, match="expired at 2026-11-22T09:10:42"):
        parse(ASKED, at=NOW.replace(minute=10, second=42))


@pytest.mark.parametrize(
    "changes",
    [
        {"URL-Paths": "/v2/queues/healer/messages"},
        {"URL-Paths": PATH + "/../../../../healer"},
        {"URL-Paths": "/v2/queues/a/../b/subscriptions/x/confirm"},
        {"URL-Paths": "http://elsewhere" + PATH},
        {"URL-Paths": f"{PATH},/v2/queues"},
        {"URL-Paths": PATH + "\n"},
        {"URL-Paths": [PATH]},
        {"URL-Paths": None},
        {"URL-Methods": "DELETE"},
        {"URL-Methods": "PUT,DELETE"},
        {"URL-Signature": "x"},
        {"URL-Signature": ASKED["URL-Signature"] + "\r\nHost: elsewhere"},
        {"X-Project-ID": "a\r\nb: c"},
        {"URL-Expires": "2026-11-22T09:10:42\n"},
        {"URL-Expires": "soon"},
        {"URL-Expires": "2026-99-22T09:10:42"},
        {"URL-Expires": None},
    ],
    ids=str,
)
def test_nothing_is_called_but_the_confirmation_of_a_subscription(changes: dict[str, Any]) -> None:
    with pytest.raises(AlarmError):
        parse(ASKED | changes)


def test_a_server_without_projects_has_its_subscription_confirmed() -> None:
    asked = parse(ASKED | {"X-Project-ID": None}).confirmation
    assert asked
    assert "X-Project-ID" not in asked.headers, "Zaqar takes none, and refuses an empty one"


def test_only_the_queues_that_are_named_are_confirmed() -> None:
    assert parse(ASKED, queues=["other", "healer"]).confirmation
    with pytest.raises(AlarmError, match="not among other"):
        parse(ASKED, queues=["other"])


def test_what_was_unsubscribed_is_not_confirmed_again() -> None:
    assert parse(ASKED | {"Message_Type": "UnsubscribeConfirmation"}) == Batch(())


def test_a_template_never_confirms() -> None:
    with pytest.raises(AlarmError, match="zaqar_message"):
        parse({"message": ASKED})


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"stack":"shop"}', b'{"Message_Type":"x"}', b"null"])
def test_what_is_not_from_a_queue_is_refused(body: bytes) -> None:
    with pytest.raises(AlarmError, match="Zaqar"):
        parse(body)


@given(mutated.trees(BODIES.values()) | mutated.texts(BODIES.values()))
@settings(max_examples=300, deadline=None)
def test_whatever_comes_is_a_batch_or_an_alarm_error(body: bytes) -> None:
    try:
        batch = parse(body)
    except AlarmError:
        return
    mutated.holds(batch)
