"""Takes alarms in, and shows metrics and liveness: what senders and Prometheus talk to."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import structlog
from aiohttp import web

from healer.core.model import Alarm
from healer.ports import AlarmError, AlarmSource, Batch, Delivery
from healer.receiver.answers import RefusedError, answer, plain_errors, read_body

log = structlog.get_logger(__name__)

BODY_LIMIT = 256 * 1024
"""Bytes. A notification of 200 alarms has about 180 KB; more is an attack, or a group that should be split."""

PREFIX = "/v1/alarms/"


@dataclass(frozen=True, slots=True)
class Source:
    """One sender: how its bodies are read, and the token that it must show."""

    parser: AlarmSource
    token: bytes | None
    """SHA-256 of the bearer token; None takes alarms from whoever can connect."""


def hashed(token: str) -> bytes:
    """What is kept of a token: enough to know it again, and nothing to send."""
    return hashlib.sha256(token.encode()).digest()


Accept = Callable[[tuple[Alarm, ...]], Awaitable[tuple[bool, ...]]]


class Counts(Protocol):
    def request(self, source: str, code: int) -> None:
        """One request was answered."""
        ...

    def received(self, source: str, batch: Batch, new: tuple[bool, ...]) -> None:
        """One request's alarms are stored. `new`: for each that could be read, whether it came for the first time."""
        ...


@dataclass(frozen=True, slots=True)
class Intake:
    """What the listener needs of the daemon."""

    sources: Mapping[str, Source]
    accept: Accept
    """Stores alarms and says for each whether it was new; StoreError if they could not be stored."""
    now: Callable[[], datetime]
    metrics: Callable[[str], Awaitable[tuple[bytes, str]]]
    """Accept header → the text for Prometheus, and its content type."""
    alive: Callable[[], str | None]
    """Why the daemon should be restarted; None while it lives."""
    ready: Callable[[], str | None]
    """Why senders should wait; None while alarms can be stored."""
    telemetry: Counts


_INTAKE: web.AppKey[Intake] = web.AppKey("intake", Intake)


def application(intake: Intake) -> web.Application:
    app = web.Application(client_max_size=BODY_LIMIT, middlewares=[_count, plain_errors])
    app[_INTAKE] = intake
    app.router.add_post(PREFIX + "{source}", _take)
    app.router.add_get("/metrics", _metrics)
    app.router.add_get("/livez", _livez)
    app.router.add_get("/readyz", _readyz)
    return app


@web.middleware
async def _count(request: web.Request, handler: Any) -> web.StreamResponse:
    response: web.StreamResponse = await handler(request)
    if request.path.startswith(PREFIX):
        # A name out of the path that nobody configured would be a series of the sender's choice.
        intake, name = request.app[_INTAKE], request.path.removeprefix(PREFIX)
        intake.telemetry.request(name if name in intake.sources else "unknown", response.status)
    return response


async def _take(request: web.Request) -> web.Response:
    """202 once all is stored that could be read. Never 429: Alertmanager gives an alarm up on any 4xx."""
    intake, name = request.app[_INTAKE], request.match_info["source"]
    source = intake.sources.get(name)
    if source is None:
        known = ", ".join(sorted(intake.sources)) or "none"
        raise RefusedError(404, "unknown_source", f"no such alarm source is configured; there are: {known}")
    if source.token is not None and not _shows(request, source.token):
        raise RefusedError(401, "unauthorized", "a bearer token is needed, and this is not it")
    if why := intake.ready():
        raise RefusedError(503, "not_ready", why)
    body = await read_body(request)
    try:
        batch = source.parser.parse(
            Delivery(
                source=name,
                body=body,
                received_at=intake.now(),
                headers=request.headers,
                query=request.query,
                path=request.path,
                peer=request.remote or "",
            )
        )
    except AlarmError as error:
        raise RefusedError(400, "bad_body", str(error)) from error
    new = await intake.accept(batch.alarms) if batch.alarms else ()
    intake.telemetry.received(name, batch, new)
    rejected = [{"index": one.index, "reason": one.reason} for one in batch.rejected]
    if rejected:
        # The sender does not look at what it is answered: this is all that a person will ever see of it.
        log.warning("alarm.rejected", source=name, rejected=rejected[:10], alarms=len(rejected))
    return answer({"accepted": sum(new), "duplicates": len(new) - sum(new), "rejected": rejected}, 202)


def _shows(request: web.Request, token: bytes) -> bool:
    """Compared in constant time, as digests: neither length nor content can be guessed from the time taken."""
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    shown = hashlib.sha256(credentials.strip().encode("utf-8", "surrogateescape")).digest()
    return hmac.compare_digest(shown, token) and scheme.lower() == "bearer"


async def _metrics(request: web.Request) -> web.Response:
    text, content_type = await request.app[_INTAKE].metrics(request.headers.get("Accept", ""))
    return web.Response(body=text, headers={"Content-Type": content_type})


async def _livez(request: web.Request) -> web.Response:
    return _health(request.app[_INTAKE].alive())


async def _readyz(request: web.Request) -> web.Response:
    return _health(request.app[_INTAKE].ready())


def _health(why: str | None) -> web.Response:
    if why:
        raise RefusedError(503, "not_ok", why)
    return answer({"ok": True})
