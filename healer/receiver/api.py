"""The daemon's own API, `/v1`, on a unix socket: what the command line and a page are made of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from healer.core.change import Pause
from healer.core.event import Event, Paused, Released, Requested, Unpaused
from healer.core.incident import Incident, IncidentState
from healer.core.inventory import Ambiguous, Found, resolve
from healer.core.kernel import Decision
from healer.core.model import Selector, Target
from healer.core.state import State
from healer.ports import Store
from healer.receiver import views
from healer.receiver.answers import answer, plain_errors, refusal
from healer.receiver.peers import Peer, Right, Rights

T = TypeVar("T")

LONGEST_WAIT = 60.0
"""Seconds that `?wait=` may ask for."""


@dataclass(frozen=True, slots=True)
class Daemon:
    """What the API needs of the daemon."""

    state: State
    """Only read here."""
    decide: Callable[[Event], Awaitable[Decision]]
    read: Callable[[Callable[[Store], Any]], Awaitable[Any]]
    """Runs a query on the store's own thread."""
    news: Callable[[float], Awaitable[None]]
    """Returns when something was decided, or after so many seconds."""
    now: Callable[[], datetime]
    new_id: Callable[[], str]
    status: Callable[[], Mapping[str, Any]]
    objection: Callable[[], str | None]
    """Why nothing can be decided now (the store refuses); asked before anything is handed in."""


class _Heal(msgspec.Struct, forbid_unknown_fields=True):
    stack: str
    resource: str
    why: str
    cloud: str | None = None


class _Pause(msgspec.Struct, forbid_unknown_fields=True):
    scope: str
    why: str
    seconds: float | None = None


_DAEMON: web.AppKey[Daemon] = web.AppKey("daemon", Daemon)
_RIGHTS: web.AppKey[Rights] = web.AppKey("rights", Rights)
_PEER: web.RequestKey[Peer] = web.RequestKey("peer", Peer)


def application(daemon: Daemon, rights: Rights) -> web.Application:
    app = web.Application(middlewares=[plain_errors, _authorise], client_max_size=64 * 1024)
    app[_DAEMON], app[_RIGHTS] = daemon, rights
    app.router.add_get("/v1/status", _status)
    app.router.add_get("/v1/stacks", _stacks)
    app.router.add_get("/v1/incidents", _incidents)
    app.router.add_get("/v1/incidents/{id}", _incident)
    app.router.add_post("/v1/incidents/{id}/release", _release)
    app.router.add_get("/v1/repairs", _repairs)
    app.router.add_get("/v1/journal", _journal)
    app.router.add_get("/v1/alarms", _alarms)
    app.router.add_post("/v1/heals", _heal)
    app.router.add_get("/v1/pauses", _pauses)
    app.router.add_post("/v1/pauses", _pause)
    app.router.add_delete("/v1/pauses/{id}", _resume)
    return app


@web.middleware
async def _authorise(request: web.Request, handler: Any) -> web.StreamResponse:
    peer = request.app[_RIGHTS].peer(request)
    needed = Right.READ if request.method == "GET" else Right.OPERATE
    if peer.right < needed:
        where = "api.operators" if needed is Right.OPERATE else "api.readers"
        return refusal(403, "forbidden", f"user {peer.name} may not do that; {where} would allow it")
    if needed is Right.OPERATE and (why := request.app[_DAEMON].objection()):
        return refusal(503, "not_stored", why)
    request[_PEER] = peer
    response: web.StreamResponse = await handler(request)
    return response


async def _status(request: web.Request) -> web.Response:
    return answer(request.app[_DAEMON].status())


async def _stacks(request: web.Request) -> web.Response:
    state = request.app[_DAEMON].state
    snapshots = sorted(state.snapshots.values(), key=lambda s: (s.root.cloud, s.root.name))
    unreachable = [{"cloud": cloud, "why": why} for cloud, why in sorted(state.unreachable.items())]
    return answer({"stacks": [views.stack(state, s) for s in snapshots], "unreachable": unreachable})


async def _incidents(request: web.Request) -> web.Response:
    open_only = request.query.get("open", "") in {"1", "true"}
    limit = _number(request, "limit", 100)
    found: tuple[Incident, ...] = await request.app[_DAEMON].read(
        lambda store: store.incidents(open_only=open_only, limit=limit)
    )
    present = request.app[_DAEMON].state.incidents
    return answer({"incidents": [views.incident(present.get(one.id, one)) for one in found]})


async def _incident(request: web.Request) -> web.Response:
    daemon = request.app[_DAEMON]
    found = await _find(request)
    if isinstance(found, web.Response):
        return found
    story = await daemon.read(lambda store: store.journal(incident=found.id))
    present = daemon.state.incidents.get(found.id, found)
    under_way = daemon.state.repairs.get(present.repair or "")
    return answer(
        {
            "incident": views.incident(present),
            "repair": views.repair(under_way) if under_way else None,
            "story": [views.entry(one) for one in story],
        }
    )


async def _find(request: web.Request) -> Incident | web.Response:
    prefix = request.match_info["id"]
    found: tuple[Incident, ...] = await request.app[_DAEMON].read(lambda store: store.find_incidents(prefix))
    if not found:
        return refusal(404, "unknown_incident", f"no incident's id begins with {prefix!r}")
    if len(found) > 1:
        ids = [one.id for one in found]
        return refusal(
            409, "ambiguous", f"more than one incident's id begins with {prefix!r}", candidates=ids
        )
    return found[0]


async def _release(request: web.Request) -> web.Response:
    daemon = request.app[_DAEMON]
    found = await _find(request)
    if isinstance(found, web.Response):
        return found
    present = daemon.state.incidents.get(found.id)
    if present is None:
        return refusal(409, "closed", f"incident {found.id} is closed already")
    if present.state is IncidentState.REMEDIATING:
        return refusal(
            409, "remediating", "it is being healed now; pause its stack, and it stops where it can"
        )
    await daemon.decide(Released(found.id, request[_PEER].name))
    return answer({"released": found.id})


async def _repairs(request: web.Request) -> web.Response:
    return answer({"repairs": [views.repair(one) for one in request.app[_DAEMON].state.repairs.values()]})


async def _journal(request: web.Request) -> web.Response:
    """Entries after a number; with `wait`, answers once there are some, or when the seconds are over."""
    daemon, after, limit = request.app[_DAEMON], _number(request, "after", 0), _number(request, "limit", 1000)
    until = daemon.now() + timedelta(seconds=min(_number(request, "wait", 0), LONGEST_WAIT))
    while True:
        entries = await daemon.read(lambda store: store.journal(after=after, limit=limit))
        left = (until - daemon.now()).total_seconds()
        if entries or left <= 0:
            return answer({"entries": [views.entry(one) for one in entries]})
        await daemon.news(left)


async def _alarms(request: web.Request) -> web.Response:
    limit = _number(request, "limit", 100)
    found = await request.app[_DAEMON].read(lambda store: store.alarms(limit=limit))
    return answer({"alarms": [views.alarm(one) for one in found]})


async def _heal(request: web.Request) -> web.Response:
    daemon = request.app[_DAEMON]
    try:
        wanted = msgspec.json.decode(await request.read(), type=_Heal)
    except (msgspec.MsgspecError, ValueError) as error:
        return refusal(400, "bad_body", str(error))
    selector = Selector(cloud=wanted.cloud, stack=wanted.stack, resource=wanted.resource)
    found = resolve(daemon.state.snapshots, selector, {})
    if isinstance(found, Ambiguous):
        names = [str(target) for target in found.candidates]
        return refusal(409, "ambiguous", "more than one resource is called so", candidates=names)
    if not isinstance(found, Found):
        return refusal(404, "unknown_resource", _unknown(daemon.state, wanted))
    return await _request(request, daemon, found.target, wanted.why)


async def _request(request: web.Request, daemon: Daemon, target: Target, why: str) -> web.Response:
    before = daemon.state.incident_of(target)
    if before and before.state in {IncidentState.REMEDIATING, IncidentState.VERIFYING}:
        return answer({"incident": views.incident(before), "already": True}, 200)
    await daemon.decide(Requested(target, request[_PEER].name, why))
    after = daemon.state.incident_of(target)
    return answer({"incident": views.incident(after) if after else None, "already": False}, 202)


def _unknown(state: State, wanted: _Heal) -> str:
    stacks = sorted(str(root) for root in state.snapshots)
    for snapshot in state.snapshots.values():
        if wanted.stack in {snapshot.root.name, snapshot.root.id}:
            paths = sorted(r.path for r in snapshot.resources.values() if not r.is_stack)
            return f"stack {wanted.stack} has no resource {wanted.resource!r}; it has: {', '.join(paths)}"
    return f"there is no stack {wanted.stack!r}; there are: {', '.join(stacks) or 'none'}"


async def _pauses(request: web.Request) -> web.Response:
    return answer({"pauses": [views.pause(one) for one in request.app[_DAEMON].state.pauses.values()]})


async def _pause(request: web.Request) -> web.Response:
    daemon = request.app[_DAEMON]
    try:
        wanted = msgspec.json.decode(await request.read(), type=_Pause)
    except (msgspec.MsgspecError, ValueError) as error:
        return refusal(400, "bad_body", str(error))
    kind, _, name = wanted.scope.partition(":")
    if wanted.scope != "all" and not (kind in {"cloud", "stack", "policy"} and name):
        return refusal(400, "bad_scope", "scope is all, cloud:NAME, stack:NAME or policy:NAME")
    now = daemon.now()
    until = None if wanted.seconds is None else now + timedelta(seconds=wanted.seconds)
    pause = Pause(daemon.new_id(), wanted.scope, request[_PEER].name, wanted.why, now, until)
    await daemon.decide(Paused(pause))
    return answer({"pause": views.pause(pause)}, 201)


async def _resume(request: web.Request) -> web.Response:
    """By id, a unique beginning of one, or scope (every pause of that scope)."""
    daemon, which = request.app[_DAEMON], request.match_info["id"]
    found = [p for p in daemon.state.pauses.values() if p.scope == which or p.id.startswith(which.upper())]
    if not found:
        return refusal(404, "unknown_pause", f"nothing is paused as {which!r}")
    for pause in found:
        await daemon.decide(Unpaused(pause.id, request[_PEER].name))
    return answer({"resumed": [views.pause(pause) for pause in found]})


def _number(request: web.Request, key: str, default: int) -> int:
    text = request.query.get(key, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 12 else default
