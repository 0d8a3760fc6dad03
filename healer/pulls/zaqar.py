"""Reads a Zaqar queue: a message is claimed, and deleted only once what it says is stored.

A subscription of that queue sends each message once, to whoever listens just then. Here it waits in the queue, and
what was claimed by a reader that died is there again when the claim ends.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import AfterValidator, ConfigDict, Field, PrivateAttr, model_validator

from healer.alarms import _bodies
from healer.alarms._naming import Naming
from healer.alarms.zaqar import Zaqar as Source
from healer.clouds.openstack import OpenStack, objection
from healer.core.model import Alarm, Selector
from healer.core.step import Failure
from healer.durations import PositiveDuration, spelled
from healer.plugins import Plugin
from healer.ports import AlarmError, Batch, Delivery, EngineError, Rejected
from healer.pulls import _zaqar
from healer.pulls._asking import asking, base_url
from healer.pulls._zaqar import AT_ONCE, Call, Message

MOST_CLAIMS = 25
"""In one reading; what is in the queue after that waits for the next."""
MOST_REMEMBERED = 10_000
"""Ids of messages that are stored and could not be deleted: read again, they are no news. And of alarms, their last
word."""

_APART = timedelta(microseconds=100)
"""Between messages that were posted in one second; an Aodh alarm's members are apart by less."""
_MINUTE_S = 60.0

_CLAIM_HAS_ENDED = frozenset({Failure.GONE, Failure.REJECTED})


def _url(text: str) -> str:
    return base_url(text, "a Zaqar", "http://127.0.0.1:8888", "/v2/queues")


def _allowed(duration: timedelta) -> timedelta:
    if not timedelta(minutes=1) <= duration <= timedelta(hours=12):
        raise ValueError(f"is {spelled(duration)}; Zaqar takes from 1m to 12h")
    return duration


_About = tuple[str, Selector]
"""An alarm's key, and what it means: an alarm of events has one key for all of them."""
_Key = TypeVar("_Key")
_Word = TypeVar("_Word")
_Claim = Annotated[PositiveDuration, AfterValidator(_allowed)]
_Name = Annotated[str, Field(pattern=r"^[\w.-]{1,64}$")]
_Says = Literal["cloud", "stack", "resource", "physical_id", "address", "host"]


@dataclass(frozen=True, slots=True)
class _Taken:
    message: Message
    posted_at: datetime
    second: float | None
    """The one in which it was posted by Zaqar's clock, where it says so."""


class Zaqar(Plugin):
    model_config = ConfigDict(json_schema_extra={"examples": [{"cloud": "mine", "queue": "healer"}]})

    every: ClassVar[timedelta] = timedelta(seconds=10)
    reads: ClassVar[frozenset[str]] = frozenset({"zaqar"})

    queue: _Name
    """Its name. Nobody else should read it: each message is for one reader."""
    cloud: Annotated[str, Field(min_length=1)] | None = None
    """Its name in clouds.yaml, where healer's credentials are; the queue is in the project of these."""
    clouds_yaml: Path | None = None
    """None is where openstacksdk looks: `OS_CLIENT_CONFIG_FILE`, the working directory, `~/.config/openstack`,
    `/etc/openstack`."""
    url: Annotated[str, AfterValidator(_url)] | None = None
    """Instead of `cloud`, what stands before `/v2/queues` of a Zaqar that asks no Keystone."""
    project: Annotated[str, Field(pattern=r"^[\w-]+$")] | None = None
    """With `url`: the id of the project that has the queue."""
    labels: Naming = Naming()
    """Which labels of a message name the resource: as in the source beside it."""
    about: Mapping[_Says, Annotated[str, Field(min_length=1)]] = Field(default_factory=dict)
    """What every message of the queue is about, as the URL of a subscription would say it."""
    claim: _Claim = timedelta(minutes=1)
    """How long a message that was taken is nobody else's; what a healer that died had taken is read again then."""
    grace: _Claim = timedelta(hours=1)
    """How long a message whose own time ends while it is claimed is kept after that."""
    at_once: Annotated[int, Field(ge=1, le=AT_ONCE)] = AT_ONCE
    """Messages of one claim: not more than Zaqar's `max_messages_per_claim_or_pop`."""
    timeout: PositiveDuration = timedelta(seconds=10)
    """For one question and the whole answer."""

    _session: OpenStack | None = PrivateAttr(default=None)
    _there: bool = PrivateAttr(default=False)
    """Whether the queue was seen."""
    _taken: dict[str, _Taken] = PrivateAttr(default_factory=dict)
    """By its id, in the order of the queue, what is to be stored, and deleted then with the claim that holds: on Redis,
    Zaqar lets go of messages that are claimed when an older one that was delayed may be claimed too."""
    _last: datetime | None = PrivateAttr(default=None)
    """When the last message that was read had been posted."""
    _given: dict[_About, float] = PrivateAttr(default_factory=dict)
    """In which second, by Zaqar's clock, the last word on each alarm of this reading was posted."""
    _latest: dict[_About, float] = PrivateAttr(default_factory=dict)
    """The same, of what is stored."""
    _stored: dict[str, None] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.cloud is None) == (self.url is None):
            raise ValueError("exactly one of `cloud` and `url` says where Zaqar is")
        if (self.url is None) != (self.project is None):
            raise ValueError(
                "`url` and `project` go together; of a cloud, clouds.yaml says whose queue is read"
            )
        return self

    def model_post_init(self, _context: Any, /) -> None:
        if self.cloud is not None:
            self._session = OpenStack(self.cloud, self.clouds_yaml, self.timeout)

    def objections(self) -> Mapping[str, str]:
        found = objection(self.cloud, self.clouds_yaml) if self.cloud is not None else None
        return {"cloud": found} if found else {}

    async def pull(self, source: str, now: datetime) -> Batch:
        """What was taken and not stored is given once more, before what came after it."""
        async with self._calling() as call:
            await _zaqar.must_be_readable(call, self.queue)
            await self._take(call, now)
            if not self._taken and not self._there:
                await _zaqar.must_be_there(call, self.queue)
            self._there = True
        news = [taken for one, taken in self._taken.items() if one not in self._stored]
        return await asyncio.to_thread(self._batch, news, source, now)

    async def stored(self) -> None:
        """Deletes what was taken. What cannot be is remembered, and deleted when it comes back."""
        taken, self._taken = self._taken, {}
        if not taken:
            return
        _remember(self._stored, dict.fromkeys(taken))
        _remember(self._latest, self._given)
        refused: EngineError | None = None
        async with self._calling() as call:
            # The latest first: what is left when healer dies is dated as it was, by what stands before it.
            for message in reversed([one.message for one in taken.values()]):
                try:
                    await _zaqar.delete(call, self.queue, message)
                except EngineError as error:
                    if error.failure is Failure.UNREACHABLE:
                        raise
                    if error.failure not in _CLAIM_HAS_ENDED:  # then, if it is still there, it is read again
                        refused = error
                else:
                    self._stored.pop(message.id, None)
        if refused is not None:
            raise refused

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _take(self, call: Call, now: datetime) -> None:
        """Until the queue is empty. Where that takes longer than the first claim holds, it is no news the next time."""
        for _ in range(MOST_CLAIMS):
            if len(self._taken) >= MOST_CLAIMS * AT_ONCE:
                return  # none of it can be stored
            try:
                found = await _zaqar.claim(call, self.queue, self.claim, self.grace, self.at_once)
            except EngineError:
                if not self._taken:
                    raise
                return  # what was taken is not to wait for the rest; if that lasts, the next reading says it
            if found:
                self._keep(found, await _zaqar.posted(call, self.queue, found), now)
            if len(found) < self.at_once:
                return

    def _keep(self, found: Sequence[Message], posted: Mapping[str, float], now: datetime) -> None:
        """What is claimed anew stays where it was."""
        for message in found:
            if known := self._taken.get(message.id):
                self._taken[message.id] = replace(known, message=message)
                continue
            second, by_age = posted.get(message.id), now.timestamp() - message.age
            at = self._dated(by_age if second is None else second, by_age)
            self._taken[message.id] = _Taken(message, at, second)

    def _dated(self, posted: float, by_age: float) -> datetime:
        """The same each time that a message is read, and later than what stands before it in the queue.

        `by_age` is by the clock of healer: where Zaqar's is wrong, it is set right by whole minutes.
        """
        at_s = math.floor(posted + _MINUTE_S * round((by_age - posted) / _MINUTE_S))
        at = datetime.fromtimestamp(at_s, UTC)
        if self._last is not None and self._last.replace(microsecond=0) == at:
            at = self._last + _APART
        self._last = at
        return at

    @asynccontextmanager
    async def _calling(self) -> AsyncIterator[Call]:
        if self._session is not None:
            yield _zaqar.in_cloud(self._session)
            return
        async with asking(self.timeout, _zaqar.HEADERS | {"X-Project-ID": self.project or ""}) as peer:
            yield _zaqar.at_url(peer, self.url or "")

    def _batch(self, messages: Iterable[_Taken], source: str, now: datetime) -> Batch:
        alarms: list[Alarm] = []
        rejected: list[Rejected] = []
        given: dict[_About, float] = {}
        for index, taken in enumerate(messages):
            try:
                batch = self._read(taken, source)
            except (AlarmError, *_bodies.UNREADABLE) as error:
                rejected.append(Rejected(index, _bodies.reason(error)))
                continue
            rejected += [replace(one, index=index) for one in batch.rejected]
            for alarm in _received(batch.alarms, now):
                if taken.second is not None:
                    about = (alarm.key, alarm.selector)
                    if taken.second < self._latest.get(about, taken.second):
                        continue  # who had claimed it has died, or it was delayed, and a later word is stored
                    given[about] = taken.second
                alarms.append(alarm)
        self._given = given
        return Batch(tuple(alarms), tuple(rejected))

    def _read(self, taken: _Taken, source: str) -> Batch:
        """As the source reads what a subscription sends of it, at the time when it was posted."""
        body = f'{{"Message_Type": "Notification", "body": {json.dumps(taken.message.body)}}}'.encode()
        about = {str(name): said for name, said in self.about.items()}
        return Source(labels=self.labels).parse(Delivery(source, body, taken.posted_at, query=about))


def _received(alarms: Iterable[Alarm], now: datetime) -> Iterator[Alarm]:
    """What has waited in the queue until it was over is left there."""
    for alarm in alarms:
        if alarm.expires_at is None or alarm.expires_at > now:
            yield replace(alarm, received_at=now)


def _remember(known: dict[_Key, _Word], more: Mapping[_Key, _Word]) -> None:
    """The last MOST_REMEMBERED of them."""
    for one, word in more.items():
        known.pop(one, None)
        known[one] = word
    while len(known) > MOST_REMEMBERED:
        del known[next(iter(known))]
