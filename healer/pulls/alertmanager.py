"""Asks Alertmanager what fires now (its API v2): what its webhook has cut off, or sent while nobody listened."""

from __future__ import annotations

import asyncio
import re
from base64 import b64encode
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, ClassVar, Self, TypeVar

import aiohttp
import msgspec
from pydantic import AfterValidator, ConfigDict, Field, model_validator
from yarl import URL

from healer import __version__
from healer.alarms import _bodies
from healer.alarms._alerts import EXPIRES_AFTER, Alert, alarm, moment
from healer.alarms._naming import Naming
from healer.core.model import Alarm, AlarmStatus
from healer.core.step import Failure
from healer.durations import PositiveDuration, spelled
from healer.names import Names
from healer.plugins import Plugin
from healer.ports import AlarmError, Batch, EngineError, Rejected

_T = TypeVar("_T")

ANSWER_LIMIT = 32 << 20
"""Bytes. 10,000 alerts have about 9 MB."""

_TRY_AGAIN = frozenset({408, 425, 429})
"""Of the answers 4xx, those that say nothing against the question."""
_FIRING = {"active": "true", "silenced": "false", "inhibited": "false"}
"""What is silenced or inhibited is not sent to anybody, and is not read either."""


class _Status(msgspec.Struct):
    state: str = "active"
    muted_by: list[str] = msgspec.field(name="mutedBy", default_factory=list)


class _Held(Alert, kw_only=True):
    status: _Status = msgspec.field(default_factory=_Status)


class _Receiver(msgspec.Struct):
    name: str


def _url(text: str) -> str:
    url = URL(text)
    if url.scheme not in {"http", "https"} or not url.host:
        raise ValueError("is no URL of an Alertmanager; expected something like http://127.0.0.1:9093")
    if url.user is not None or url.password is not None:
        raise ValueError("holds a user or a password, which would be shown with the URL; use `username`")
    if url.query_string or url.fragment:
        raise ValueError("has a query or a fragment; expected what stands before /api/v2/alerts")
    return text.rstrip("/")


class Alertmanager(Plugin):
    model_config = ConfigDict(json_schema_extra={"examples": [{"url": "http://127.0.0.1:9093"}]})

    every: ClassVar[timedelta] = timedelta(minutes=1)

    url: Annotated[str, AfterValidator(_url)]
    """What stands before `/api/v2/alerts`. No redirect is followed: a token would go with it."""
    receiver: Annotated[str, Field(min_length=1)] | None = "healer"
    """Name of the receiver by which Alertmanager sends to healer: its routes decide what may start a heal, also
    where they are asked. None reads whatever fires, for whomever."""
    labels: Naming = Naming()
    """Which labels of an alert name the resource: as in the source beside it."""
    expires_after: PositiveDuration | None = EXPIRES_AFTER
    """How long an alert counts that is not sent or read again: as in the source beside it."""
    timeout: PositiveDuration = timedelta(seconds=10)
    """For one question and the whole answer."""
    token_file: Path | None = None
    """File with a token that is sent as `Authorization: Bearer`; read each time, so that it can be renewed."""
    username: Annotated[str, Field(pattern=r"^[^:\x00-\x1f\x7f]+$")] | None = None
    """For basic authentication, which is what Alertmanager itself can ask for."""
    password_file: Path | None = None
    """File with the password that goes with `username`; read each time."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.token_file is not None and self.username is not None:
            raise ValueError("`token_file` and `username` cannot be used at the same time")
        if (self.username is None) != (self.password_file is None):
            raise ValueError("`username` and `password_file` go together")
        return self

    async def pull(self, source: str, now: datetime) -> Batch:
        connector = aiohttp.TCPConnector(
            resolver=Names(patience_s=self.timeout.total_seconds()), force_close=True
        )
        async with aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(self.timeout.total_seconds()),
            auto_decompress=False,  # a megabyte on the wire may be a gigabyte
            headers=await asyncio.to_thread(self._headers),
        ) as session:
            asked = _FIRING if self.receiver is None else _FIRING | {"receiver": _exactly(self.receiver)}
            body = await self._ask(session, "alerts", asked)
            batch = await asyncio.to_thread(self._batch, body, source, now)
            if not batch.alarms and self.receiver is not None:
                # Of a receiver that it does not have, Alertmanager says that nothing fires.
                _must_have(self.receiver, await self._ask(session, "receivers", {}))
        return batch

    async def stored(self) -> None:
        """Alertmanager forgets nothing for having been asked."""

    async def close(self) -> None:
        """Nothing is held between two questions."""

    async def _ask(self, session: aiohttp.ClientSession, what: str, query: Mapping[str, str]) -> bytes:
        url = URL(f"{self.url}/api/v2/{what}")
        try:
            async with session.get(url, params=query, allow_redirects=False) as response:
                _judge(url, response)
                body = bytearray()
                async for chunk in response.content.iter_any():
                    body += chunk
                    if len(body) > ANSWER_LIMIT:
                        raise EngineError(
                            Failure.REJECTED, f"{url} answered with more than {ANSWER_LIMIT} bytes"
                        )
                return bytes(body)
        except TimeoutError as error:
            said = f"{url} has not answered within {spelled(self.timeout)}"
            raise EngineError(Failure.UNREACHABLE, said) from error
        except (aiohttp.ClientError, OSError) as error:
            raise EngineError(Failure.UNREACHABLE, f"{url} cannot be reached: {error}") from error

    def _headers(self) -> dict[str, str]:
        headers = {"User-Agent": f"healer/{__version__}", "Accept-Encoding": "identity"}
        if self.token_file is not None:
            headers["Authorization"] = f"Bearer {_secret(self.token_file)}"
        if self.username is not None and self.password_file is not None:
            shown = f"{self.username}:{_secret(self.password_file)}".encode()
            headers["Authorization"] = f"Basic {b64encode(shown).decode()}"
        return headers

    def _batch(self, body: bytes, source: str, now: datetime) -> Batch:
        alarms: list[Alarm] = []
        rejected: list[Rejected] = []
        for index, raw in enumerate(_read(body, list[msgspec.Raw])):
            try:
                held = msgspec.json.decode(raw, type=_Held)
                if held.status.state != "suppressed" and not held.status.muted_by:
                    alarms.append(self._alarm(held, source, now))
            except _bodies.UNREADABLE as error:
                rejected.append(Rejected(index, _bodies.reason(error)))
        return Batch(tuple(alarms), tuple(rejected))

    def _alarm(self, alert: _Held, source: str, now: datetime) -> Alarm:
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
    names = [one.name for one in _read(body, list[_Receiver])]
    if receiver not in names:
        there = ", ".join(names[:10])
        raise EngineError(Failure.REJECTED, f"it has no receiver {receiver!r}; there are: {there}")


def _judge(url: URL, response: aiohttp.ClientResponse) -> None:
    status, encoding = response.status, response.headers.get("Content-Encoding", "identity")
    if status == 200 and encoding == "identity":
        return
    said = f"{url} answered {status}" + (f" in {encoding}" if status == 200 else "")
    try_again = status >= 500 or status in _TRY_AGAIN
    raise EngineError(Failure.UNREACHABLE if try_again else Failure.REJECTED, said)


def _read(body: bytes, kind: type[_T]) -> _T:
    try:
        return _bodies.decode(body, kind, "an answer of Alertmanager's API v2")
    except AlarmError as error:
        raise EngineError(Failure.REJECTED, str(error)) from error


def _secret(path: Path) -> str:
    """A file that cannot be read is tried again: it may just be being renewed."""
    try:
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise EngineError(Failure.UNREACHABLE, f"{path} cannot be read: {error}") from error
    if not secret.isprintable() or not secret:
        raise EngineError(Failure.UNREACHABLE, f"{path} holds no secret of one line")
    return secret
