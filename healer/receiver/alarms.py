"""Takes alarms in, and shows metrics and liveness: what senders and Prometheus talk to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Protocol

import structlog
from aiohttp import web

from healer.core.model import NOTHING, Alarm, AlarmStatus
from healer.ports import (
    ALARMS_PATH,
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
    Rejected,
)
from healer.receiver.answers import RefusedError, answer, plain_errors, read_body

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Source:
    """One sender: how its bodies are read, and how it shows who it is."""

    parser: AlarmSource
    authentication: tuple[Authentication, ...] = ()
    """Any that admits is enough; none at all takes alarms from whoever can connect."""
    watchdog: str = ""
    """`alertname` of the alarm that always fires: a sign of life, and no alarm."""
    only: Mapping[str, str] = NOTHING
    """Labels that an alarm carries, all of them, or is passed over; the alarm that always fires need not."""


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


def application(intake: Intake, body_limit: int) -> web.Application:
    """`body_limit`: bytes that a request may bring."""
    app = web.Application(client_max_size=body_limit, middlewares=[plain_errors])
    app[_INTAKE] = intake
    desks = {name: _Desk(name, source, intake) for name, source in intake.sources.items()}
    app.router.add_route("*", ALARMS_PATH + "{source}", partial(_at_its_name, desks))
    for desk in desks.values():
        for path in desk.paths:
            app.router.add_route("*", path, desk.handle)
    app.router.add_get("/metrics", _metrics)
    app.router.add_get("/livez", _livez)
    app.router.add_get("/readyz", _readyz)
    return app


async def _at_its_name(desks: Mapping[str, _Desk], request: web.Request) -> web.StreamResponse:
    if desk := desks.get(request.match_info["source"]):
        return await desk.handle(request)
    # A name out of the path that nobody configured would be a series of the sender's choice.
    request.app[_INTAKE].telemetry.request("unknown", 404)
    # Which there are is not told: whoever asks has not shown who they are.
    raise RefusedError(404, "unknown_source", "no such alarm source is configured")


class _Desk:
    """Where one sender is served. What can be known of it beforehand is: this is walked through for every alarm."""

    def __init__(self, name: str, source: Source, intake: Intake) -> None:
        self._name = name
        self._parser = source.parser
        self._ways = source.authentication
        self._late = any(one.needs_body for one in source.authentication)
        """Only by its body can it be told who sent it. A stranger that the head alone gives away is not read."""
        self._watchdog = source.watchdog
        self._only = source.only
        self._answering = source.parser if isinstance(source.parser, Answering) else None
        self._greeting = source.parser if isinstance(source.parser, Greeting) else None
        self._intake = intake

    @property
    def paths(self) -> tuple[str, ...]:
        """Where it is served beside the path that has its name."""
        return self._parser.paths

    async def handle(self, request: web.Request) -> web.StreamResponse:
        response = await plain_errors(request, self._came)
        self._intake.telemetry.request(self._name, response.status)
        return response

    async def _came(self, request: web.Request) -> web.Response:
        if request.method == "POST":
            return await self._take(request)
        methods = self._greeting.methods if self._greeting else ()
        if self._greeting and request.method in methods:
            return _plain(self._greeting.greet(self._delivery(request, b"")))
        raise web.HTTPMethodNotAllowed(request.method, ("POST", *methods))

    def _delivery(self, request: web.Request, body: bytes) -> Delivery:
        return Delivery(
            self._name,
            body,
            self._intake.now(),
            headers=request.headers,
            query=request.query if request.query_string else NOTHING,
            path=request.path,
            method=request.method,
            peer=request.remote or "",
        )

    async def _take(self, request: web.Request) -> web.Response:
        """202 once all is stored that could be read. Never 429: Alertmanager gives an alarm up on any 4xx."""
        if self._ways and not self._late:
            await self._must_be_admitted(self._delivery(request, b""))
        if why := self._intake.ready():
            raise RefusedError(503, "not_ready", why)
        delivery = self._delivery(request, await read_body(request))
        if self._late:
            await self._must_be_admitted(delivery)
        try:
            batch = self._parser.parse(delivery)
        except AlarmError as error:
            raise RefusedError(400, "bad_body", str(error)) from error
        if self._watchdog:
            batch = self._less_signs_of_life(batch, delivery)
        if self._only:
            batch = batch.only(self._only)
        new = await self._intake.accept(batch.alarms) if batch.alarms else ()
        self._intake.telemetry.received(self._name, batch, new)
        if batch.confirmation is not None:
            self._intake.confirm(self._name, batch.confirmation)
        if batch.truncated or batch.rejected:
            self._tell(batch)
        if self._answering:
            return _plain(self._answering.answer(batch, new))
        rejected = [_named(one) for one in batch.rejected]
        return answer({"accepted": sum(new), "duplicates": len(new) - sum(new), "rejected": rejected}, 202)

    def _less_signs_of_life(self, batch: Batch, delivery: Delivery) -> Batch:
        if any(alarm.status is AlarmStatus.FIRING for alarm in batch.named(self._watchdog)):
            self._intake.telemetry.watchdog(self._name, delivery.received_at)
        return batch.without(self._watchdog)

    def _tell(self, batch: Batch) -> None:
        """The sender does not look at what it is answered: these lines are all that a person will ever see of it."""
        if batch.truncated:
            log.warning("alarms.cut_off", source=self._name, alarms=batch.truncated)
            self._intake.cut_off(self._name)
        if batch.rejected:
            some = [_named(one) for one in batch.rejected[:10]]
            log.warning("alarm.rejected", source=self._name, rejected=some, alarms=len(batch.rejected))

    async def _must_be_admitted(self, delivery: Delivery) -> None:
        """By any of the ways that its sender may take. Raises RefusedError."""
        unknown = None
        for way in self._ways:
            try:
                if await way.admits(delivery):
                    return
            except EngineError as error:
                unknown = error
        if unknown is not None:
            # Why is for the operator alone: there may be names and addresses of the cloud in it.
            log.warning("alarms.unauthenticated", source=self._name, why=unknown.detail)
            raise RefusedError(503, "cannot_tell", "who it is cannot be told now") from unknown
        raise RefusedError(401, "unauthorized", "the sender must show who it is, and this does not")


def _named(rejected: Rejected) -> dict[str, Any]:
    return {"index": rejected.index, "reason": rejected.reason}


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
