"""Aodh's API v2: its alarms, page by page, and when the state of each changed last."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol, TypeVar
from urllib.parse import quote

import msgspec

from healer.alarms import _bodies
from healer.clouds.openstack import CloudError, OpenStack
from healer.core.model import NOTHING
from healer.core.step import Failure
from healer.ports import EngineError
from healer.pulls._asking import Asking, Query, read

PAGE = 500
"""Alarms of one answer; each has about 1.5 KB."""
MOST_PAGES = 100

_LAST_CHANGE = {"q.field": "type", "q.op": "eq", "q.value": "state transition", "limit": "1"}
_LOOKS_THE_SAME = timedelta(minutes=10)
"""After this, what looks as it did is asked when it changed all the same."""
_WHAT = "an answer of Aodh's API v2"
_T = TypeVar("_T")
_Rule = dict[str, Any] | None


class Held(msgspec.Struct):
    """An alarm as the API shows it; of its rules, it has the one that is called after its type."""

    alarm_id: str
    type: str
    state: Literal["alarm", "ok", "insufficient data"]
    state_timestamp: str
    """When a person set it; Aodh's evaluators change the state and leave this as it was."""
    name: str | None = None
    enabled: bool = True
    severity: str | None = None
    state_reason: str | None = None
    project_id: str | None = None
    alarm_actions: list[str] | None = None
    ok_actions: list[str] | None = None
    insufficient_data_actions: list[str] | None = None
    event_rule: _Rule = None
    composite_rule: _Rule = None
    loadbalancer_member_health_rule: _Rule = None
    gnocchi_resources_threshold_rule: _Rule = None
    gnocchi_aggregation_by_resources_threshold_rule: _Rule = None

    @property
    def shown(self) -> tuple[str, str | None, str]:
        """How it stands."""
        return self.state, self.state_reason, self.state_timestamp


class Change(msgspec.Struct):
    """One line of an alarm's history."""

    timestamp: str
    detail: str | None = None

    @property
    def state(self) -> str | None:
        """What the state became; None where that cannot be read."""
        try:
            said = msgspec.json.decode(self.detail or "")
        except _bodies.UNREADABLE:
            return None
        state = said.get("state") if isinstance(said, dict) else None
        return state if isinstance(state, str) else None


class Ask(Protocol):
    """One question: the list that is answered. Raises EngineError."""

    def __call__(self, path: str, params: Query = NOTHING) -> Awaitable[Sequence[Any]]: ...


def in_cloud(session: OpenStack) -> Ask:
    async def ask(path: str, params: Query = NOTHING) -> Sequence[Any]:
        try:
            try:
                answer = await session.request("alarm", "GET", path.removeprefix("/v2"), params=params)
            except CloudError as error:
                if error.failure is not Failure.GONE:
                    raise
                # The SDK found no version at the endpoint, and takes it as the catalog has it: without any.
                answer = await session.request("alarm", "GET", path, params=params)
        except CloudError as error:
            # What Keystone does not admit today, a person may mend there at any time.
            lasting = error.failure in {Failure.REJECTED, Failure.GONE}
            failure = Failure.REJECTED if lasting else Failure.UNREACHABLE
            raise EngineError(failure, error.detail, error.retry_after) from error
        if not isinstance(answer.body, list):
            raise EngineError(Failure.REJECTED, f"cloud {session.cloud}: GET {path}: no list is answered")
        return answer.body

    return ask


def at_url(peer: Asking, url: str) -> Ask:
    async def ask(path: str, params: Query = NOTHING) -> Sequence[Any]:
        body = await peer.ask(url + path, params)
        return await asyncio.to_thread(read, body, list[msgspec.Raw], _WHAT)

    return ask


async def alarms(ask: Ask, *, all_projects: bool) -> list[Held | str]:
    """All that are enabled, or why one of them cannot be read."""
    asked = {"enabled": "true"} | ({"all_projects": "true"} if all_projects else {})
    params: dict[str, str | Sequence[str]] = {
        "q.field": list(asked),
        "q.op": ["eq"] * len(asked),
        "q.value": list(asked.values()),
        "q.type": ["boolean"] * len(asked),
        "sort": "alarm_id:asc",
        "limit": str(PAGE),
    }
    found: list[Held | str] = []
    seen: set[str] = set()
    for _ in range(MOST_PAGES):
        page = [_one(each, Held) for each in await ask("/v2/alarms", params)]
        found += page
        ids = [one.alarm_id for one in page if isinstance(one, Held)]
        if len(page) != PAGE:
            return found
        if not ids or ids[-1] in seen:
            raise EngineError(Failure.REJECTED, "Aodh's pages of alarms do not go on from one to the next")
        seen.update(ids)
        params["marker"] = ids[-1]
    raise EngineError(Failure.REJECTED, f"Aodh has more than {MOST_PAGES * PAGE} alarms")


@dataclass(frozen=True, slots=True)
class Known:
    """What the history said last, and of what the alarm looked like then."""

    shown: tuple[str, str | None, str]
    at: datetime
    change: Change | None

    def still_holds(self, one: Held, now: datetime) -> bool:
        """Not of what fires: between two looks it may have ended and begun again, and look the same."""
        return one.state != "alarm" and self.shown == one.shown and now < self.at + _LOOKS_THE_SAME


async def changes(
    ask: Ask, held: Iterable[Held], known: Mapping[str, Known], now: datetime
) -> dict[str, Known]:
    """By alarm, the last change of its state: None where it never changed, or where no history is kept.

    One after the other. Aodh could be asked for all at once, and would leak a session of its database each time.
    """
    found: dict[str, Known] = {}
    for one in held:
        last = known.get(one.alarm_id)
        if last is None or not last.still_holds(one, now):
            rows = await ask(f"/v2/alarms/{quote(one.alarm_id, safe='')}/history", _LAST_CHANGE)
            told = [change for each in rows if isinstance(change := _one(each, Change), Change)]
            last = Known(one.shown, now, told[0] if told else None)
        found[one.alarm_id] = last
    return found


def _one(item: Any, kind: type[_T]) -> _T | str:
    try:
        if isinstance(item, msgspec.Raw):
            return msgspec.json.decode(item, type=kind)
        return msgspec.convert(item, kind)
    except _bodies.UNREADABLE as error:
        return _bodies.reason(error)
