"""Takes alarms in, and shows metrics and liveness: what senders and Prometheus talk to."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from aiohttp import web

from healer.core.model import Alarm
from healer.ports import AlarmError, AlarmSource, StoreError
from healer.receiver.answers import answer, plain_errors, refusal

BODY_LIMIT = 256 * 1024
"""Bytes. A notification of 200 alarms has about 180 KB; more is an attack, or a group that should be split."""


@dataclass(frozen=True, slots=True)
class Source:
    """One sender: how its bodies are read, and the token that it must show."""

    parser: AlarmSource
    token: bytes | None
    """SHA-256 of the bearer token; None takes alarms from whoever can connect."""


def hashed(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


Accept = Callable[[tuple[Alarm, ...]], Awaitable[tuple[bool, ...]]]


class Counts(Protocol):
    def request(self, source: str, code: int) -> None:
        """One request was answered."""
        ...

    def dropped(self, source: str, outcome: str, alarms: int) -> None:
        """So many alarms go no further: outcome is `duplicate` or `rejected`."""
        ...


@dataclass(frozen=True, slots=True)
class Intake:
    """What the listener needs of the daemon."""

    sources: Mapping[str, Source]
    accept: Accept
    """Stores alarms and says for each whether it was new; StoreError if they could not be stored."""
    now: Callable[[], datetime]
    metrics: Callable[[], Awaitable[bytes]]
    """The text for Prometheus."""
    alive: Callable[[], str | None]
    """Why the daemon should be restarted; None while it lives."""
    ready: Callable[[], str | None]
    """Why senders should wait; None while alarms can be stored."""
    telemetry: Counts


_INTAKE: web.AppKey[Intake] = web.AppKey("intake", Intake)


def application(intake: Intake) -> web.Application:
    app = web.Application(client_max_size=BODY_LIMIT, middlewares=[plain_errors])
    app[_INTAKE] = intake
    app.router.add_post("/v1/alarms/{source}", _take)
    app.router.add_get("/metrics", _metrics)
    app.router.add_get("/livez", _livez)
    app.router.add_get("/readyz", _readyz)
    return app


async def _take(request: web.Request) -> web.StreamResponse:
    intake, name = request.app[_INTAKE], request.match_info["source"]
    response = await _answer(request, intake, name)
    intake.telemetry.request(name if name in intake.sources else "unknown", response.status)
    return response


async def _answer(request: web.Request, intake: Intake, name: str) -> web.Response:
    source = intake.sources.get(name)
    if source is None:
        known = ", ".join(sorted(intake.sources)) or "none"
        return refusal(404, "unknown_source", f"no such alarm source is configured; there are: {known}")
    if source.token is not None and not _shows(request, source.token):
        return refusal(401, "unauthorized", "a bearer token is needed, and this is not it")
    if why := intake.ready():
        return refusal(503, "not_ready", why)
    try:
        batch = source.parser.parse(await request.read(), intake.now())
        new = await intake.accept(batch.alarms)
    except AlarmError as error:
        return refusal(400, "bad_body", str(error))
    except web.HTTPRequestEntityTooLarge:
        return refusal(413, "too_large", f"at most {BODY_LIMIT} bytes are taken")
    except StoreError as error:
        # 503 and never 429: Alertmanager gives up an alarm on any 4xx, and ignores Retry-After.
        return refusal(503, "not_stored", str(error))
    rejected = [{"index": one.index, "reason": one.reason} for one in batch.rejected]
    duplicates = len(new) - sum(new)
    intake.telemetry.dropped(name, "duplicate", duplicates)
    intake.telemetry.dropped(name, "rejected", len(rejected))
    return answer({"accepted": sum(new), "duplicates": duplicates, "rejected": rejected}, 202)


def _shows(request: web.Request, token: bytes) -> bool:
    """Compared in constant time, as digests: neither length nor content can be guessed from the time taken."""
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    shown = hashlib.sha256(credentials.strip().encode("utf-8", "surrogateescape")).digest()
    return scheme.lower() == "bearer" and hmac.compare_digest(shown, token)


async def _metrics(request: web.Request) -> web.StreamResponse:
    text = await request.app[_INTAKE].metrics()
    return web.Response(body=text, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})


async def _livez(request: web.Request) -> web.StreamResponse:
    return _health(request.app[_INTAKE].alive())


async def _readyz(request: web.Request) -> web.StreamResponse:
    return _health(request.app[_INTAKE].ready())


def _health(why: str | None) -> web.Response:
    return refusal(503, "not_ok", why) if why else answer({"ok": True})
