from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from openstack.instance_ha.v1.notification import Notification
from pydantic import ValidationError

from healer.alarms.masakari import Masakari
from healer.core.model import Alarm, AlarmStatus, Selector
from healer.ports import AlarmError, Answering, Batch, Delivery
from tests.alarms import mutated

PAYLOADS = Path(__file__).parents[1] / "payloads"
BODIES = {path.stem.removeprefix("masakari-"): path.read_bytes() for path in PAYLOADS.glob("masakari-*.json")}
NOW = datetime(2026, 11, 22, 8, 2, 30, tzinfo=UTC)
SERVER = "96ab1c42-668c-4f2d-8689-afa3301d4ee9"


def parse(body: Any, **options: Any) -> Batch:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Masakari.model_validate(options).parse(Delivery("monitors", text, NOW))


def alarm(body: Any, **options: Any) -> Alarm:
    [alarm] = parse(body, **options).alarms
    return alarm


def changed(name: str, **payload: Any) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(BODIES[name])
    body["notification"]["payload"].update(payload)
    return body


def test_a_server_that_failed_is_read_whole() -> None:
    assert alarm(BODIES["notification-vm"], cloud="lab") == Alarm(
        source="monitors",
        key=f"VM/{SERVER}",
        status=AlarmStatus.FIRING,
        started_at=datetime(2026, 11, 22, 8, 0, 51, 523_726, tzinfo=UTC),
        received_at=NOW,
        selector=Selector(cloud="lab", physical_id=SERVER),
        labels={
            "type": "VM",
            "hostname": "compute-07",
            "instance_uuid": SERVER,
            "event": "LIFECYCLE",
            "vir_domain_event": "STOPPED_FAILED",
        },
        annotations={"summary": f"VM {SERVER}: STOPPED_FAILED"},
        expires_at=NOW + timedelta(hours=1),
    )


def test_a_host_that_is_off_is_read_whole() -> None:
    assert alarm(BODIES["host-off"]) == Alarm(
        source="monitors",
        key="COMPUTE_HOST/compute-07",
        status=AlarmStatus.FIRING,
        started_at=datetime(2026, 11, 22, 8, 0, 46, 331_207, tzinfo=UTC),
        received_at=NOW,
        selector=Selector(host="compute-07"),
        labels={
            "type": "COMPUTE_HOST",
            "hostname": "compute-07",
            "event": "STOPPED",
            "cluster_status": "OFFLINE",
            "host_status": "NORMAL",
        },
        annotations={"summary": "COMPUTE_HOST compute-07: STOPPED"},
    )


def test_a_host_of_which_nobody_knows_whether_it_is_off_is_not_known_to_be_down() -> None:
    """Its servers may still run; Masakari's own engine does nothing then either."""
    read = alarm(BODIES["notification-host"])
    assert read.status is AlarmStatus.UNKNOWN
    assert read.selector == Selector(host="compute-07")
    assert read.started_at == datetime(2026, 11, 22, 8, 0, 46, tzinfo=UTC)
    assert alarm(BODIES["notification-host"], unconfirmed_host="firing").status is AlarmStatus.FIRING


def test_a_host_that_is_back_takes_back_what_was_said_of_it() -> None:
    off, back = alarm(BODIES["host-off"]), alarm(BODIES["host-started"])
    assert (back.key, back.selector) == (off.key, off.selector)
    assert back.status is AlarmStatus.CLEARED


def test_a_process_of_a_host_is_about_no_server() -> None:
    read = alarm(BODIES["process"])
    assert read.key == "PROCESS/compute-07/nova-compute"
    assert read.status is AlarmStatus.FIRING
    assert read.selector == Selector()
    assert read.labels == {
        "type": "PROCESS",
        "hostname": "compute-07",
        "event": "STOPPED",
        "process_name": "nova-compute",
    }


@pytest.mark.parametrize(
    ("event", "detail", "status"),
    [
        ("LIFECYCLE", "STOPPED_FAILED", "firing"),
        ("QEMU_GUEST_AGENT_ERROR", "STOPPED_FAILED", "firing"),
        ("IO_ERROR", "IO_ERROR_REPORT", "firing"),
        ("LIFECYCLE", "SUSPENDED_IOERROR", "firing"),
        ("WATCHDOG", "WATCHDOG_POWEROFF", "firing"),
        ("LIFECYCLE", "STOPPED_SHUTDOWN", "unknown"),
        ("LIFECYCLE", "STOPPED_DESTROYED", "unknown"),
        ("LIFECYCLE", "SHUTDOWN_FINISHED", "unknown"),
        ("REBOOT", "UNKNOWN", "unknown"),
        ("WATCHDOG", "WATCHDOG_RESET", "unknown"),
        ("LIFECYCLE", None, "unknown"),
    ],
)
def test_what_may_be_somebody_s_wish_is_no_failure(event: str, detail: str | None, status: str) -> None:
    body = changed("notification-vm", event=event, vir_domain_event=detail)
    assert alarm(body).status == status


@pytest.mark.parametrize(
    ("name", "payload", "status"),
    [
        ("host-off", {"event": "stopped", "host_status": "normal"}, "firing"),
        ("host-off", {"cluster_status": None}, "firing"),
        ("host-off", {"host_status": "MAINTENANCE"}, "unknown"),
        ("host-off", {"host_status": None}, "unknown"),
        ("host-off", {"event": "REBOOTED"}, "unknown"),
        ("host-started", {"host_status": "UNKNOWN"}, "cleared"),
        ("process", {"event": "stopped"}, "firing"),
        ("process", {"event": "started"}, "cleared"),
        ("process", {"event": None}, "unknown"),
    ],
)
def test_words_of_a_host_and_of_its_processes(name: str, payload: dict[str, Any], status: str) -> None:
    assert alarm(changed(name, **payload)).status == status


def test_which_ends_of_a_server_are_failures_can_be_said() -> None:
    body = changed("notification-vm", vir_domain_event="STOPPED_DESTROYED")
    assert alarm(body, failures=["STOPPED_DESTROYED"]).status is AlarmStatus.FIRING
    assert alarm(BODIES["notification-vm"], failures=["STOPPED_DESTROYED"]).status is AlarmStatus.UNKNOWN
    assert alarm(BODIES["notification-vm"], server_expires_after=None).expires_at is None
    assert alarm(BODIES["notification-vm"], server_expires_after="5m").expires_at == NOW + timedelta(
        minutes=5
    )


def test_what_is_new_is_answered_as_the_api_does_and_its_client_reads_it() -> None:
    batch = parse(BODIES["notification-vm"])
    source = Masakari()
    assert isinstance(source, Answering)
    answer = source.answer(batch, (True,))
    assert answer.status == 202
    sent = json.loads(BODIES["notification-vm"])["notification"]
    read = Notification.existing(**json.loads(json.dumps(answer.body))["notification"])
    assert (read.type, read.status) == ("VM", "new")
    assert read.payload == sent["payload"]
    assert read.generated_time == sent["generated_time"]
    assert read.created_at == "2026-11-22T08:02:30.000000"
    assert len(read.notification_uuid) == len(read.source_host_uuid) == 36
    assert source.answer(batch, (True,)) == answer
    other = source.answer(parse(BODIES["process"]), (True,)).body["notification"]
    assert other["source_host_uuid"] == read.source_host_uuid
    assert other["notification_uuid"] != read.notification_uuid


def test_what_was_known_is_a_conflict_which_the_monitors_do_not_repeat() -> None:
    answer = Masakari().answer(parse(BODIES["host-off"]), (False,))
    assert answer.status == 409
    assert answer.body == {
        "conflictingRequest": {
            "code": 409,
            "message": "Notification received from host compute-07 of type COMPUTE_HOST is duplicate.",
        }
    }


def test_it_is_served_where_masakari_is() -> None:
    assert Masakari.paths == ("/masakari/v1/notifications",)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"type": "DISK"}, "DISK"),
        ({"type": None}, "null"),
        ({"hostname": ""}, "length"),
        ({"hostname": None}, "null"),
        ({"generated_time": "yesterday"}, "yesterday"),
        ({"generated_time": "9999-12-31T23:59:59-23:59"}, "out of range"),
        ({"payload": {"event": "LIFECYCLE"}}, "instance_uuid"),
        ({"payload": {"instance_uuid": ["x"]}}, "payload"),
        ({"payload": []}, "payload"),
        ({"payload": None}, "payload"),
    ],
)
def test_what_the_api_would_not_take_is_refused(changes: dict[str, Any], said: str) -> None:
    body = json.loads(BODIES["notification-vm"])
    body["notification"].update(changes)
    with pytest.raises(AlarmError, match=said):
        parse(body)


@pytest.mark.parametrize(
    "options", [{"unconfirmed_host": "cleared"}, {"server_expires_after": "0s"}, {"cloud": 1}]
)
def test_a_mistake_in_the_options_is_an_error_at_load(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Masakari.model_validate(options)


@given(mutated.trees(BODIES.values()) | mutated.texts(BODIES.values()))
@settings(max_examples=300, deadline=None)
def test_whatever_comes_is_a_batch_or_an_alarm_error(body: bytes) -> None:
    try:
        batch = parse(body)
    except AlarmError:
        return
    mutated.holds(batch)
    json.dumps(Masakari().answer(batch, (True,)).body)


def test_what_was_a_sign_of_life_alone_is_answered_too() -> None:
    """Whoever calls a server's failure by the name of the alarm that always fires must not break the answer."""
    assert Masakari().answer(Batch(()), ()).status == 202
