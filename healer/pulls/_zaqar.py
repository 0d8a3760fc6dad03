"""Zaqar's API v2: messages of a queue are claimed, and deleted with their claim."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Protocol, TypeVar
from urllib.parse import parse_qs, quote, urlsplit

import msgspec

from healer.alarms import _bodies
from healer.clouds.openstack import CloudError, OpenStack
from healer.core.step import Failure
from healer.ports import EngineError
from healer.pulls._asking import Asking

HEADERS = {"Client-ID": "2f1d0f0e-5c0b-5d4e-9a63-0b6b5f4d7c11", "Accept": "application/json"}
"""Zaqar insists on a Client-ID, and uses it to keep a client from its own messages: one that posts none."""
AT_ONCE = 20
"""Messages of one claim, and names of one page: Zaqar's own limits, where it is configured no other way."""
MOST_PAGES = 50

_T = TypeVar("_T")
_OBJECT_ID = re.compile(r"[0-9a-f]{24}")
"""As MongoDB gives them: the first eight digits are the second in which it was made."""
_REFUSED = {401: Failure.FORBIDDEN, 403: Failure.FORBIDDEN, 404: Failure.GONE}


class Message(msgspec.Struct):
    """One message of a claim."""

    id: str
    href: str
    """Its query names the claim."""
    age: Annotated[float, msgspec.Meta(ge=-1e9, le=1e9)]
    """Seconds since it was posted, by Zaqar's clock: whole ones, but on Swift."""
    body: Any = None

    @property
    def claim(self) -> str:
        return "".join(parse_qs(urlsplit(self.href).query).get("claim_id", ()))


class _Claimed(msgspec.Struct):
    messages: list[Message]


class _Edge(msgspec.Struct):
    href: str
    created: datetime

    @property
    def id(self) -> str:
        return self.href.rsplit("/", 1)[-1]


class _Held(msgspec.Struct):
    oldest: _Edge | None = None


class _Stats(msgspec.Struct):
    messages: _Held


class _Name(msgspec.Struct):
    name: str


class _Queues(msgspec.Struct):
    queues: list[_Name]


class _Queue(msgspec.Struct):
    encrypted: bool | None = msgspec.field(name="_enable_encrypt_messages", default=None)


class Call(Protocol):
    """One call, `path` with `/v2`: what a 2xx answer says. Raises EngineError, with a meaning as CloudError has."""

    async def __call__(self, method: str, path: str, body: Any = None) -> Any: ...


def in_cloud(session: OpenStack) -> Call:
    async def call(method: str, path: str, body: Any = None) -> Any:
        try:
            short = path.removeprefix("/v2")
            answer = await session.request("message", method, short, headers=HEADERS, body=body)
        except CloudError as error:
            if error.failure is not Failure.GONE:
                raise
            # An endpoint that clouds.yaml gives is taken as it stands there, and the version left out.
            answer = await session.request("message", method, path, headers=HEADERS, body=body)
        return answer.body

    return call


def at_url(peer: Asking, url: str) -> Call:
    async def call(method: str, path: str, body: Any = None) -> Any:
        status, said = await peer.send(method, url + path, body)
        answered = await asyncio.to_thread(_json, said)
        if 200 <= status < 300:
            return answered
        why = answered.get("description") if isinstance(answered, dict) else None
        detail = f"{method} {url}{path} was answered with {status}"
        raise EngineError(
            _REFUSED.get(status, Failure.REJECTED),
            f"{detail}: {_bodies.reason(ValueError(why))}" if why else detail,
        )

    return call


async def claim(call: Call, queue: str, ttl: timedelta, grace: timedelta, limit: int) -> Sequence[Message]:
    """Messages that nobody has claimed, the oldest first; none where there are none, or no such queue."""
    asked = {"ttl": round(ttl.total_seconds()), "grace": round(grace.total_seconds())}
    said = await call("POST", f"{_path(queue)}/claims?limit={limit}", asked)
    return () if said is None else _read(said, _Claimed).messages


async def posted(call: Call, queue: str, claimed: Sequence[Message]) -> Mapping[str, float]:
    """By its id, when each message of one claim was posted: seconds since 1970 by Zaqar's clock, the same each time.

    Ages are of whole seconds and end at some moment between two; but those of one answer end at the same, and of the
    oldest message of a queue Zaqar says when it was made. Empty where it does not, or counts age from the last claim,
    as it does on Swift.
    """
    if all(_OBJECT_ID.fullmatch(message.id) for message in claimed):
        return {message.id: int(message.id[:8], 16) for message in claimed}
    ages = {message.id: message.age for message in claimed}
    if not all(age.is_integer() for age in ages.values()):
        return {}
    first = claimed[0].id
    try:
        oldest = _read(await call("GET", f"{_path(queue)}/stats"), _Stats).messages.oldest
        if oldest is None:
            return {}
        told: Mapping[str, float] = ages
        if oldest.id not in ages:
            ids = f"ids={quote(oldest.id, safe='')}&ids={quote(first, safe='')}"
            answer = _read(await call("GET", f"{_path(queue)}/messages?{ids}"), _Claimed)
            told = {message.id: message.age for message in answer.messages}
        made = oldest.created.timestamp() + told[oldest.id] - told[first]
    except (EngineError, KeyError):  # an alarm that is news twice is better than none
        return {}
    return {one: made + ages[first] - age for one, age in ages.items()}


async def delete(call: Call, queue: str, message: Message) -> None:
    """Raises EngineError: GONE or REJECTED where its claim has ended, FORBIDDEN where somebody else has claimed it."""
    one, claim = quote(message.id, safe=""), quote(message.claim, safe="")
    await call("DELETE", f"{_path(queue)}/messages/{one}?claim_id={claim}")


async def must_be_readable(call: Call, queue: str) -> None:
    """EngineError REJECTED for a queue that is encrypted: what is claimed of it Zaqar hands out as it keeps it."""
    if _read(await call("GET", _path(queue)), _Queue).encrypted:
        raise EngineError(
            Failure.REJECTED, f"queue {queue!r} is encrypted, and Zaqar decrypts no claimed message"
        )


async def must_be_there(call: Call, queue: str) -> None:
    """EngineError REJECTED for a queue that is not: of one, Zaqar says the same as of an empty one."""
    names: list[str] = []
    for _ in range(MOST_PAGES):
        marker = f"&marker={quote(names[-1], safe='')}" if names else ""
        said = await call("GET", f"/v2/queues?limit={AT_ONCE}{marker}")
        page = [one.name for one in _read(said, _Queues).queues] if said is not None else []
        if queue in page:
            return
        if not page or page[-1] in names:
            break
        names += page
    else:
        return  # so many that it may well be among them
    there = ", ".join(names[:10]) or "none"
    detail = f"the project has no queue {queue!r} yet, it is made with its first message; there are: {there}"
    raise EngineError(Failure.REJECTED, detail)


def _path(queue: str) -> str:
    return f"/v2/queues/{queue}"


def _json(body: bytes) -> Any:
    """Zaqar takes and gives what only Python's own reader holds for JSON: NaN, and what is nested 900 deep."""
    try:
        return json.loads(body) if body else None
    except _bodies.UNREADABLE:
        return None


def _read(said: Any, kind: type[_T]) -> _T:
    try:
        return msgspec.convert(said, kind)
    except _bodies.UNREADABLE as error:
        detail = f"not an answer of Zaqar's API v2: {_bodies.reason(error)}"
        raise EngineError(Failure.REJECTED, detail) from error
