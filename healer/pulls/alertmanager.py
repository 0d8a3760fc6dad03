"""Asks Alertmanager what fires now (its API v2): what its webhook has cut off, or sent while nobody listened."""

from __future__ import annotations

import asyncio
import re
from base64 import b64encode
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, ClassVar, Self

import msgspec
import structlog
from pydantic import AfterValidator, ConfigDict, Field, PrivateAttr, model_validator

from healer.alarms import _bodies
from healer.alarms._alerts import EXPIRES_AFTER, alarm, moment
from healer.alarms._naming import Naming
from healer.core.model import Alarm, AlarmStatus
from healer.core.silence import Silence
from healer.core.step import Failure
from healer.durations import PositiveDuration
from healer.plugins import Plugin
from healer.ports import Batch, EngineError, Rejected
from healer.pulls import _silences
from healer.pulls._asking import asking, base_url, read
from healer.pulls._silences import Held

log = structlog.get_logger("healer")

_WHAT = "an answer of Alertmanager's API v2"
_FIRING = {"active": "true", "silenced": "false", "inhibited": "false"}
_WITHHELD = {"silenced": "true", "inhibited": "true"}
"""What is silenced or inhibited is not sent to anybody, and no alarm where it is read."""


class _Receiver(msgspec.Struct):
    name: str


def _url(text: str) -> str:
    return base_url(text, "an Alertmanager", "http://127.0.0.1:9093", "/api/v2/alerts")


class Alertmanager(Plugin):
    model_config = ConfigDict(json_schema_extra={"examples": [{"url": "http://127.0.0.1:9093"}]})

    every: ClassVar[timedelta] = timedelta(minutes=1)
    reads: ClassVar[frozenset[str]] = frozenset({"alertmanager"})

    url: Annotated[str, AfterValidator(_url)]
    """What stands before `/api/v2/alerts`. No redirect is followed: a token would go with it."""
    receiver: Annotated[str, Field(min_length=1)] | None = "healer"
    """Name of the receiver by which Alertmanager sends to healer: its routes decide what may start a heal, also
    where they are asked. None reads whatever fires, for whomever."""
    labels: Naming = Naming()
    """Which labels of an alert name the resource: as in the source beside it."""
    expires_after: PositiveDuration | None = EXPIRES_AFTER
    """How long an alert counts that is not sent or read again: as in the source beside it."""
    alerts: bool = True
    """Whether what fires is read. Not where all of it comes another way already, such as from Prometheus itself."""
    silences: bool = True
    """Whether nothing is begun on what is silenced there, or of which it withholds an alert."""
    timeout: PositiveDuration = timedelta(seconds=10)
    """For one question and the whole answer."""
    token_file: Path | None = None
    """File with a token that is sent as `Authorization: Bearer`; read each time, so that it can be renewed."""
    username: Annotated[str, Field(pattern=r"^[^:\x00-\x1f\x7f]+$")] | None = None
    """For basic authentication, which is what Alertmanager itself can ask for."""
    password_file: Path | None = None
    """File with the password that goes with `username`; read each time."""

    _told: set[str] = PrivateAttr(default_factory=set)
    """Silences of which has been said that they cannot be read."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.token_file is not None and self.username is not None:
            raise ValueError("`token_file` and `username` cannot be used at the same time")
        if (self.username is None) != (self.password_file is None):
            raise ValueError("`username` and `password_file` go together")
        if not (self.alerts or self.silences):
            raise ValueError(
                "neither `alerts` nor `silences` are to be read, which leaves nothing to ask for"
            )
        return self

    async def pull(self, source: str, now: datetime) -> Batch:
        asked = _FIRING | (_WITHHELD if self.silences else {})
        if self.receiver is not None:
            asked |= {"receiver": _exactly(self.receiver)}
        async with asking(self.timeout, await asyncio.to_thread(self._headers)) as peer:
            body = await peer.ask(f"{self.url}/api/v2/alerts", asked)
            silences = await peer.ask(f"{self.url}/api/v2/silences") if self.silences else None
            batch = await asyncio.to_thread(self._batch, body, silences, source, now)
            if not batch.alarms and self.receiver is not None:
                # Of a receiver that it does not have, Alertmanager says that nothing fires.
                _must_have(self.receiver, await peer.ask(f"{self.url}/api/v2/receivers"))
        return batch

    async def stored(self) -> None:
        """Alertmanager forgets nothing for having been asked."""

    async def close(self) -> None:
        """Nothing is held between two questions."""

    def _headers(self) -> dict[str, str]:
        headers: dict[str, str] = {}
        if self.token_file is not None:
            headers["Authorization"] = f"Bearer {_secret(self.token_file)}"
        if self.username is not None and self.password_file is not None:
            shown = f"{self.username}:{_secret(self.password_file)}".encode()
            headers["Authorization"] = f"Basic {b64encode(shown).decode()}"
        return headers

    def _batch(self, body: bytes, silences: bytes | None, source: str, now: datetime) -> Batch:
        alerts: list[Held] = []
        alarms: list[Alarm] = []
        rejected: list[Rejected] = []
        for index, raw in enumerate(read(body, list[msgspec.Raw], _WHAT)):
            try:
                held = msgspec.json.decode(raw, type=Held)
                if self.alerts and not held.is_withheld:
                    alarms.append(self._alarm(held, source, now))
                alerts.append(held)
            except _bodies.UNREADABLE as error:
                rejected.append(Rejected(index, _bodies.reason(error)))
        silenced = None if silences is None else self._silenced(silences, alerts, source, now)
        return Batch(tuple(alarms), tuple(rejected), silences=silenced)

    def _silenced(self, body: bytes, alerts: list[Held], source: str, now: datetime) -> tuple[Silence, ...]:
        word = _silences.word(body, alerts, self.labels, now)
        for silence in word.unreadable.keys() - self._told:
            log.warning("silence.unreadable", source=source, silence=silence, why=word.unreadable[silence])
        self._told.clear()
        self._told.update(word.unreadable)
        return word.silences

    def _alarm(self, alert: Held, source: str, now: datetime) -> Alarm:
        return alarm(
            self.labels,
            alert.labels,
            alert.annotations,
            source=source,
            key=alert.fingerprint,
            status=AlarmStatus.FIRING,
            started_at=moment(alert.started_at),
            received_at=now,
            expires_at=now + self.expires_after if self.expires_after else None,
        )


def _exactly(receiver: str) -> str:
    """Alertmanager takes a regular expression, and holds it against the whole name."""
    return re.escape(receiver)


def _must_have(receiver: str, body: bytes) -> None:
    names = [one.name for one in read(body, list[_Receiver], _WHAT)]
    if receiver not in names:
        there = ", ".join(names[:10])
        raise EngineError(Failure.REJECTED, f"it has no receiver {receiver!r}; there are: {there}")


def _secret(path: Path) -> str:
    """A file that cannot be read is tried again: it may just be being renewed."""
    try:
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise EngineError(Failure.UNREACHABLE, f"{path} cannot be read: {error}") from error
    if not secret.isprintable() or not secret:
        raise EngineError(Failure.UNREACHABLE, f"{path} holds no secret of one line")
    return secret
