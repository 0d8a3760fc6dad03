"""The daemon's own API, `/v1`, on a unix socket: what the command line and a page are made of."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, TypeVar

import msgspec
from aiohttp import web

from healer.core.change import Pause
from healer.core.event import Event, Paused, Released, Requested, Unpaused
from healer.core.incident import Incident, IncidentState
from healer.core.inventory import Ambiguous, Found, resolve
from healer.core.kernel import Decision
from healer.core.model import Selector
from healer.core.policy import Owned
from healer.core.state import State
from healer.ports import Store
from healer.receiver import views
from healer.receiver.answers import RefusedError, answer, decoded, plain_errors, read_body
from healer.receiver.peers import Peer, Right, Rights
from healer.receiver.query import number, wanted

Named = TypeVar("Named", Incident, Pause)

BODY_LIMIT = 64 * 1024
"""Bytes."""
MOST = 2**63 - 1
LONGEST_WAIT = 60
"""Seconds that `?wait=` may ask for: less than the 90 s after which the command line gives up."""
LONGEST_PAGE = 10_000
"""Entries in one answer; some 5 MB."""
STORED_WITHIN = 10.0
"""Seconds that whoever asked for something waits until it is stored."""


@dataclass(frozen=True, slots=True)
class Daemon:
    """What the API needs of the daemon."""

    state: State
    """Only read here."""
    decide: Callable[[Event], Awaitable[Decision]]
    read: Callable[[Callable[[Store], Any]], Awaitable[Any]]
    """Runs a query on the store's own thread."""
    news: Callable[[], asyncio.Event]
    """The event that is set with the next decision; to be asked for before the journal is read."""
    now: Callable[[], datetime]
    new_id: Callable[[], str]
    status: Callable[[], Mapping[str, Any]]
    objection: Callable[[], str | None]
    """Why nothing can be decided now (the store refuses); asked before anything is handed in."""


_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
_Seconds = Annotated[float, msgspec.Meta(gt=0, le=366 * 86400)]


class _Heal(msgspec.Struct, forbid_unknown_fields=True):
    stack: _Text
    resource: _Text
    why: _Text
    cloud: _Text | None = None


class _Pause(msgspec.Struct, forbid_unknown_fields=True):
    scope: _Text
    why: _Text
    seconds: _Seconds | None = None


class _Empty(msgspec.Struct, forbid_unknown_fields=True):
    """Nothing more is to be said; what is said all the same must not seem to be heard."""


_DAEMON: web.AppKey[Daemon] = web.AppKey("daemon", Daemon)
_RIGHTS: web.AppKey[Rights] = web.AppKey("rights", Rights)
_PEER: web.RequestKey[Peer] = web.RequestKey("peer", Peer)


def application(daemon: Daemon, rights: Rights) -> web.Application:
    app = web.Application(middlewares=[plain_errors, _authorise], client_max_size=BODY_LIMIT)
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
    needed = Right.READ if request.method in {"GET", "HEAD"} else Right.OPERATE
    if peer.right < needed:
        what, key = ("look", "readers") if needed is Right.READ else ("change anything", "operators")
        sentence = f"user {peer.name} may not {what}; api.{key} in the configuration names who may"
        raise RefusedError(403, "forbidden", sentence)
    if needed is Right.OPERATE and (why := request.app[_DAEMON].objection()):
        raise RefusedError(503, "not_stored", why)
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
    open_only = bool(number(request, "open", 0, 1))
    limit = number(request, "limit", 100, LONGEST_PAGE)
    found: tuple[Incident, ...] = await request.app[_DAEMON].read(
        lambda store: store.incidents(open_only=open_only, limit=limit)
    )
    present = request.app[_DAEMON].state.incidents
    return answer({"incidents": [views.incident(present.get(one.id, one)) for one in found]})


async def _incident(request: web.Request) -> web.Response:
    daemon = request.app[_DAEMON]
    found = await _find(request)
    story = await daemon.read(lambda store: store.journal(incident=found.id, limit=LONGEST_PAGE))
    present = daemon.state.incidents.get(found.id, found)
    under_way = daemon.state.repairs.get(present.repair or "")
    return answer(
        {
            "incident": views.incident(present),
            "repair": views.repair(under_way) if under_way else None,
            "story": [views.entry(one) for one in story],
        }
    )


async def _find(request: web.Request) -> Incident:
    prefix = request.match_info["id"]
    found: tuple[Incident, ...] = await request.app[_DAEMON].read(lambda store: store.find_incidents(prefix))
    if not found:
        raise RefusedError(404, "unknown_incident", f"no incident's id begins with {prefix!r}")
    return _only(found, f"more than one incident's id begins with {prefix!r}")


def _only(found: Sequence[Named], otherwise: str) -> Named:
    """The one that was meant."""
    if len(found) > 1:
        raise RefusedError(409, "ambiguous", otherwise, candidates=[one.id for one in found])
    return found[0]


async def _release(request: web.Request) -> web.Response:
    daemon = request.app[_DAEMON]
    decoded(await read_body(request) or b"{}", _Empty)
    found = await _find(request)
    present = daemon.state.incidents.get(found.id)
    if present is None:
        raise RefusedError(409, "closed", f"incident {found.id} is closed already")
    if present.state is not IncidentState.REMEDIATING:
        await _decide(request, Released(found.id, request[_PEER].name))
    if found.id in daemon.state.incidents:
        raise RefusedError(
            409, "remediating", "it is being healed now; pause its stack, and it stops where it can"
        )
    return answer({"released": found.id})


async def _decide(request: web.Request, event: Event) -> Decision:
    """Raises RefusedError where it is not stored soon: it is decided by then, and carried out once it is stored."""
    daemon = request.app[_DAEMON]
    try:
        async with asyncio.timeout(STORED_WITHIN):
            return await daemon.decide(event)
    except TimeoutError:
        why = daemon.objection() or f"it took longer than {STORED_WITHIN:.0f} s"
        raise RefusedError(503, "not_stored", f"it is done as soon as it can be stored: {why}") from None


async def _repairs(request: web.Request) -> web.Response:
    return answer({"repairs": [views.repair(one) for one in request.app[_DAEMON].state.repairs.values()]})


async def _journal(request: web.Request) -> web.Response:
    """Entries after a number; with `wait`, answers once there are some, or when the seconds are over."""
    daemon = request.app[_DAEMON]
    after = number(request, "after", 0, MOST)
    limit = number(request, "limit", 1000, LONGEST_PAGE)
    until = daemon.now() + timedelta(seconds=number(request, "wait", 0, LONGEST_WAIT))
    while True:
        news = daemon.news()
        entries = await daemon.read(lambda store: store.journal(after=after, limit=limit))
        left = (until - daemon.now()).total_seconds()
        if entries or left <= 0:
            return answer({"entries": [views.entry(one) for one in entries]})
        with suppress(TimeoutError):
            async with asyncio.timeout(left):
                await news.wait()


async def _alarms(request: web.Request) -> web.Response:
    daemon = request.app[_DAEMON]
    limit, which = number(request, "limit", 100, LONGEST_PAGE), wanted(request, daemon.now())
    found = await daemon.read(lambda store: store.alarms(limit=limit, wanted=which))
    return answer({"alarms": [views.alarm(one) for one in found]})


async def _heal(request: web.Request) -> web.Response:
    state = request.app[_DAEMON].state
    wanted = decoded(await read_body(request), _Heal)
    selector = Selector(cloud=wanted.cloud, stack=wanted.stack, resource=wanted.resource)
    found = resolve(state.snapshots, selector, {})
    if isinstance(found, Ambiguous):
        names = [str(target) for target in found.candidates]
        raise RefusedError(409, "ambiguous", "more than one resource is called so", candidates=names)
    if not isinstance(found, Found):
        raise RefusedError(404, "unknown_resource", _unknown(state, wanted))
    [target] = found.targets
    before = state.incident_of(target)
    if before and before.state in {IncidentState.REMEDIATING, IncidentState.VERIFYING}:
        return answer({"incident": views.incident(before), "already": True})
    await _decide(request, Requested(target, request[_PEER].name, wanted.why))
    after = state.incident_of(target)
    return answer({"incident": views.incident(after) if after else None, "already": False}, 202)


def _unknown(state: State, wanted: _Heal) -> str:
    stacks = sorted(str(root) for root in state.snapshots)
    for snapshot in state.snapshots.values():
        if wanted.stack in {snapshot.root.name, snapshot.root.id}:
            paths = sorted(r.path for r in snapshot.resources.values() if not r.is_stack)
            return f"stack {wanted.stack} has no resource {wanted.resource!r}; it has: {', '.join(paths)}"
    return f"there is no stack {wanted.stack!r}; there are: {', '.join(stacks) or 'none'}"


async def _pauses(request: web.Request) -> web.Response:
    daemon = request.app[_DAEMON]
    standing = [one for one in daemon.state.pauses.values() if one.until is None or daemon.now() < one.until]
    return answer({"pauses": [views.pause(one) for one in standing]})


async def _pause(request: web.Request) -> web.Response:
    daemon = request.app[_DAEMON]
    wanted = decoded(await read_body(request), _Pause)
    kind, _, name = wanted.scope.partition(":")
    if wanted.scope != "all" and not (kind in {"cloud", "stack", "policy"} and name):
        raise RefusedError(400, "bad_scope", "scope is all, cloud:NAME, stack:NAME or policy:NAME")
    now = daemon.now()
    until = None if wanted.seconds is None else now + timedelta(seconds=wanted.seconds)
    pause = Pause(daemon.new_id(), wanted.scope, request[_PEER].name, wanted.why, now, until)
    await _decide(request, Paused(pause))
    return answer({"pause": views.pause(pause), "covers": _covered(daemon.state, kind, name)}, 201)


def _covered(state: State, kind: str, name: str) -> int:
    """How many resources that a policy owns are paused now: none may mean that the name is misspelt."""
    names = (
        {"cloud": {root.cloud}, "stack": {root.name, root.id}, "policy": {owner.policy.name}, "all": {""}}
        for root, owner in ((t.root, owner) for t, owner in state.owners.items() if isinstance(owner, Owned))
    )
    return sum(name in known[kind] for known in names)


async def _resume(request: web.Request) -> web.Response:
    """By scope (every pause of it), by id, or by a unique beginning of one."""
    daemon, which = request.app[_DAEMON], request.match_info["id"]
    decoded(await read_body(request) or b"{}", _Empty)
    found = [pause for pause in daemon.state.pauses.values() if pause.scope == which]
    if not found:
        found = [pause for pause in daemon.state.pauses.values() if pause.id.startswith(which.upper())]
        if not found:
            raise RefusedError(404, "unknown_pause", f"nothing is paused as {which!r}")
        found = [_only(found, f"more than one pause's id begins with {which!r}")]
    for pause in found:
        await _decide(request, Unpaused(pause.id, request[_PEER].name))
    return answer({"resumed": [views.pause(pause) for pause in found]})
