"""Masakari's notifications, as masakari-monitors send them: to them, healer is the Masakari API."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Annotated, ClassVar, Literal

import msgspec
from pydantic import ConfigDict

from healer.alarms import _bodies, _loose
from healer.alarms._naming import text
from healer.core.model import Alarm, AlarmStatus, Selector
from healer.durations import PositiveDuration
from healer.plugins import Plugin
from healer.ports import AlarmError, Answer, Batch, Delivery

_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
_Scalar = str | int | float | bool | None
_IDS = uuid.UUID("7b2a1b39-6f0c-5a52-9d5e-3f6f3b8f0c11")
"""Names of what is answered are made under it: the same notification has the same uuid, whoever is asked."""


class _Notification(msgspec.Struct):
    type: Literal["COMPUTE_HOST", "VM", "PROCESS"]
    hostname: _Text
    generated_time: _Text
    payload: dict[str, _Scalar]


class _Envelope(msgspec.Struct):
    notification: _Notification


class Masakari(Plugin):
    model_config = ConfigDict(json_schema_extra={"examples": [{"cloud": "mine"}]})

    paths: ClassVar[tuple[str, ...]] = ("/masakari/v1/notifications",)

    cloud: str | None = None
    """The cloud that these monitors watch; None: whichever has the server or the host."""
    failures: tuple[str, ...] = (
        "STOPPED_FAILED",
        "IO_ERROR_REPORT",
        "IO_ERROR_PAUSE",
        "SUSPENDED_IOERROR",
        "SUSPENDED_WATCHDOG",
        "SUSPENDED_API_ERROR",
        "WATCHDOG_PAUSE",
        "WATCHDOG_POWEROFF",
    )
    """What libvirt says of a server (`vir_domain_event`) that has failed. The first two are those that Masakari
    recovers; after the others it stands still. All others (a shutdown, say) may be somebody's wish: unknown."""
    unconfirmed_host: Literal["unknown", "firing"] = "unknown"
    """What it is if a host has left its cluster and nobody could find out whether it is off (`host_status` not
    NORMAL). Its servers may still run and write; Masakari, too, does nothing then."""
    server_expires_after: PositiveDuration | None = timedelta(hours=1)
    """How long a server's failure counts after it came. Nobody will ever say that it is over."""

    def parse(self, delivery: Delivery) -> Batch:
        sent = _bodies.decode(delivery.body, _Envelope, "a Masakari notification").notification
        try:
            return Batch((self._alarm(sent, delivery),))
        except _bodies.UNREADABLE as error:
            raise AlarmError(f"not a Masakari notification: {_bodies.reason(error)}") from error

    def answer(self, batch: Batch, new: tuple[bool, ...]) -> Answer:
        """What the API answers: 202 with the notification, 409 for one that it has. The monitors take both."""
        if not batch.alarms:  # it was a sign of life or is passed over, and is not kept
            return Answer(HTTPStatus.ACCEPTED, {"notification": {}})
        [alarm] = batch.alarms
        if not all(new):
            said = "Notification received from host {hostname} of type {type} is duplicate."
            said = said.format(hostname=alarm.labels["hostname"], type=alarm.labels["type"])
            return Answer(HTTPStatus.CONFLICT, {"conflictingRequest": {"code": 409, "message": said}})
        payload = {name: said for name, said in alarm.labels.items() if name not in ("type", "hostname")}
        notification = {
            "notification_uuid": str(uuid.uuid5(_IDS, alarm.identity)),
            "source_host_uuid": str(uuid.uuid5(_IDS, alarm.labels["hostname"])),
            "type": alarm.labels["type"],
            "payload": payload,
            "status": "new",
            "generated_time": _naive(alarm.started_at),
            "created_at": _naive(alarm.received_at),
            "updated_at": None,
        }
        return Answer(HTTPStatus.ACCEPTED, {"notification": notification})

    def _alarm(self, sent: _Notification, delivery: Delivery) -> Alarm:
        payload = {text(name): _loose.word(value) for name, value in sent.payload.items()}
        host = text(sent.hostname)
        subject, selector = host, Selector(cloud=self.cloud)
        status = {"STOPPED": AlarmStatus.FIRING, "STARTED": AlarmStatus.CLEARED}.get(_upper(payload, "event"))
        expires_after = None
        match sent.type:
            case "COMPUTE_HOST":
                selector = Selector(cloud=self.cloud, host=host)
                if status is AlarmStatus.FIRING and _upper(payload, "host_status") != "NORMAL":
                    status = AlarmStatus(self.unconfirmed_host)
            case "VM":
                subject = payload.get("instance_uuid") or ""
                if not subject:
                    raise ValueError("a VM's notification must say its instance_uuid")
                selector = Selector(cloud=self.cloud, physical_id=subject)
                failed = _upper(payload, "vir_domain_event") in self.failures
                status = AlarmStatus.FIRING if failed else AlarmStatus.UNKNOWN
                expires_after = self.server_expires_after
            case "PROCESS":  # of the host; what it hosts may run on, so that nothing of it is meant
                subject = f"{host}/{payload.get('process_name', '')}"
        said = payload.get("vir_domain_event") or payload.get("event", "")
        return Alarm(
            source=delivery.source,
            key=f"{sent.type}/{subject}",
            status=status or AlarmStatus.UNKNOWN,
            started_at=_loose.moment(sent.generated_time),
            received_at=delivery.received_at,
            selector=selector,
            labels=payload | {"type": sent.type, "hostname": host},
            annotations={"summary": f"{sent.type} {subject}: {said}"},
            expires_at=delivery.received_at + expires_after if expires_after else None,
        )


def _upper(payload: dict[str, str], name: str) -> str:
    """The API's own documents have lower case where its monitors write capitals."""
    return payload.get(name, "").upper()


def _naive(at: datetime) -> str:
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
