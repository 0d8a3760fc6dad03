"""Takes alarms in, and shows metrics and liveness: what senders and Prometheus talk to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, Protocol

import structlog
from aiohttp import web

from healer.core.model import Alarm, AlarmStatus
from healer.ports import (
    AlarmError,
    AlarmSource,
    Answer,
    Answering,
    Authentication,
    Batch,
    Confirmation,
    Delivery,
    EngineError,
    Greeting,
)
from healer.receiver.answers import RefusedError, answer, plain_errors, read_body

log = structlog.get_logger(__name__)

BODY_LIMIT = 256 * 1024
"""Bytes. A notification of 200 alarms has about 180 KB; more is an attack, or a group that should be split."""

PREFIX = "/v1/alarms/"


@dataclass(frozen=True, slots=True)
class Source:
    """One sender: how its bodies are read, and how it shows who it is."""

    parser: AlarmSource
    authentication: tuple[Authentication, ...] = ()
    """Any that admits is enough; none at all takes alarms from whoever can connect."""
    watchdog: str = ""
    """`alertname` of the alarm that always fires: a sign of life, and no alarm."""


Accept = Callable[[tuple[Alarm, ...]], Awaitable[tuple[bool, ...]]]


class Counts(Protocol):
    def request(self, source: str, code: int) -> None:
        """One request was answered."""
        ...

    def received(self, source: str, batch: Batch, new: tuple[bool, ...]) -> None:
        """One request's alarms are stored. `new`: for each that could be read, whether it came for the first time."""
        ...

    def watchdog(self, source: str, at: datetime) -> None:
        """The alarm that always fires has come: the way from its sender is open."""
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
    confirm: Callable[[str, Confirmation], None] = lambda _source, _confirmation: None
    """Calls a sender back that wants to be before it sends; returns at once."""
    cut_off: Callable[[str], None] = lambda _source: None
    """A sender has left alarms out: read them where it keeps them. Returns at once."""


_INTAKE: web.AppKey[Intake] = web.AppKey("intake", Intake)


_SOURCE: web.RequestKey[str] = web.RequestKey("source", str)


def application(intake: Intake) -> web.Application:
    app = web.Application(client_max_size=BODY_LIMIT, middlewares=[_count, plain_errors])
    app[_INTAKE] = intake
    app.router.add_route("*", PREFIX + "{source}", _at_its_name)
    for name, source in intake.sources.items():
        for path in source.parser.paths:
            app.router.add_route("*", path, partial(_at_its_path, name))
    app.router.add_get("/metrics", _metrics)
    app.router.add_get("/livez", _livez)
    app.router.add_get("/readyz", _readyz)
    return app


@web.middleware
async def _count(request: web.Request, handler: Any) -> web.StreamResponse:
    response: web.StreamResponse = await handler(request)
    if (name := request.get(_SOURCE)) is not None:
        request.app[_INTAKE].telemetry.request(name, response.status)
    return response


async def _at_its_name(request: web.Request) -> web.Response:
    name, sources = request.match_info["source"], request.app[_INTAKE].sources
    # A name out of the path that nobody configured would be a series of the sender's choice.
    request[_SOURCE] = name if name in sources else "unknown"
    if name not in sources:
        known = ", ".join(sorted(sources)) or "none"
        raise RefusedError(404, "unknown_source", f"no such alarm source is configured; there are: {known}")
    return await _came(request, name)


async def _at_its_path(name: str, request: web.Request) -> web.Response:
    request[_SOURCE] = name
    return await _came(request, name)


async def _came(request: web.Request, name: str) -> web.Response:
    intake = request.app[_INTAKE]
    source = intake.sources[name]
    delivery = Delivery(
        source=name,
        body=b"",
        received_at=intake.now(),
        headers=request.headers,
        query=request.query,
        path=request.path,
        method=request.method,
        peer=request.remote or "",
    )
    if request.method == "POST":
        return await _take(request, intake, source, delivery)
    if isinstance(source.parser, Greeting) and request.method in source.parser.methods:
        return _plain(source.parser.greet(delivery))
    methods = ("POST", *(source.parser.methods if isinstance(source.parser, Greeting) else ()))
    raise web.HTTPMethodNotAllowed(request.method, methods)


async def _take(request: web.Request, intake: Intake, source: Source, delivery: Delivery) -> web.Response:
    """202 once all is stored that could be read. Never 429: Alertmanager gives an alarm up on any 4xx."""
    name = delivery.source
    # Who can be known by the head alone is not read further where it is a stranger.
    late = any(one.needs_body for one in source.authentication)
    if not late:
        await _must_be_admitted(source, delivery)
    if why := intake.ready():
        raise RefusedError(503, "not_ready", why)
    delivery = replace(delivery, body=await read_body(request))
    if late:
        await _must_be_admitted(source, delivery)
    try:
        batch = source.parser.parse(delivery)
    except AlarmError as error:
        raise RefusedError(400, "bad_body", str(error)) from error
    if source.watchdog:
        signs = batch.named(source.watchdog)
        if any(alarm.status is AlarmStatus.FIRING for alarm in signs):
            intake.telemetry.watchdog(name, delivery.received_at)
        batch = batch.without(source.watchdog)
    new = await intake.accept(batch.alarms) if batch.alarms else ()
    intake.telemetry.received(name, batch, new)
    if batch.confirmation is not None:
        intake.confirm(name, batch.confirmation)
    # The sender does not look at what it is answered: these lines are all that a person will ever see of it.
    if batch.truncated:
        log.warning("alarms.cut_off", source=name, alarms=batch.truncated)
        intake.cut_off(name)
    rejected = [{"index": one.index, "reason": one.reason} for one in batch.rejected]
    if rejected:
        log.warning("alarm.rejected", source=name, rejected=rejected[:10], alarms=len(rejected))
    if isinstance(source.parser, Answering):
        return _plain(source.parser.answer(batch, new))
    return answer({"accepted": sum(new), "duplicates": len(new) - sum(new), "rejected": rejected}, 202)


async def _must_be_admitted(source: Source, delivery: Delivery) -> None:
    """By any of the ways that its sender may take. Raises RefusedError."""
    unknown = None
    for way in source.authentication:
        try:
            if await way.admits(delivery):
                return
        except EngineError as error:
            unknown = error
    if unknown is not None:
        # Why is for the operator alone: there may be names and addresses of the cloud in it.
        log.warning("alarms.unauthenticated", source=delivery.source, why=unknown.detail)
        raise RefusedError(503, "cannot_tell", "who it is cannot be told now") from unknown
    if source.authentication:
        raise RefusedError(401, "unauthorized", "the sender must show who it is, and this does not")


def _plain(wanted: Answer) -> web.Response:
    if wanted.body is None:
        return web.Response(status=wanted.status, headers=wanted.headers)
    response = answer(wanted.body, wanted.status)
    response.headers.update(wanted.headers)
    return response


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
