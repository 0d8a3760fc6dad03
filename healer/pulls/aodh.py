"""Asks Aodh how its alarms stand: each change of a state is sent once, and never again to whom it did not reach.

What is read becomes what the source `aodh` would have made of the notification, under the same key: it speaks of the
same failure, and heals it no second time. It is an alarm of its own all the same where both came, for a notification
does not say since when. That is in the alarm's history alone: `state_timestamp` is not touched by Aodh's evaluators.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self
from zlib import crc32

from pydantic import AfterValidator, ConfigDict, Field, PrivateAttr, model_validator
from yarl import URL

from healer.alarms import _bodies
from healer.alarms._alerts import EXPIRES_AFTER
from healer.alarms._loose import moment
from healer.alarms._naming import Naming, text
from healer.alarms.aodh import EVENT_EXPIRES_AFTER
from healer.alarms.aodh import Aodh as Source
from healer.authentication._secrets import Files
from healer.authentication.signed_url import SignedUrl
from healer.clouds.openstack import OpenStack, objection
from healer.core.model import NOTHING, Alarm, Selector
from healer.durations import PositiveDuration
from healer.plugins import Plugin
from healer.ports import ALARMS_PATH, AlarmError, Batch, Delivery, Rejected
from healer.pulls import _aodh
from healer.pulls._aodh import Ask, Change, Held, Known
from healer.pulls._aodh_rules import notification
from healer.pulls._asking import asking, base_url

_SCHEMES = ("http", "https", "trust+http", "trust+https")
_TOLD = ("alarm", "ok")
"""States of which it matters since when. `insufficient data` says nothing, and so not that either."""
_MEANWHILE = timedelta(minutes=2)
"""What has changed so lately may have changed between two questions."""

_AT_A_TIME = 100
"""Alarms whose URLs are read before others have their turn: some two milliseconds."""

_Meant = tuple[int, Held, list[Mapping[str, str]]]
"""An alarm that is healer's: its place in the answer, and what the URLs say to which it is sent."""


def _url(text: str) -> str:
    return base_url(text, "an Aodh", "http://127.0.0.1:8042", "/v2/alarms")


class Aodh(Plugin):
    model_config = ConfigDict(json_schema_extra={"examples": [{"cloud": "mine"}]})

    every: ClassVar[timedelta] = timedelta(minutes=1)
    reads: ClassVar[frozenset[str]] = frozenset({"aodh"})

    cloud: Annotated[str, Field(min_length=1)] | None = None
    """Its name in clouds.yaml, where healer's credentials are; a user who may read is enough."""
    clouds_yaml: Path | None = None
    """None is where openstacksdk looks: `OS_CLIENT_CONFIG_FILE`, the working directory, `~/.config/openstack`,
    `/etc/openstack`."""
    url: Annotated[str, AfterValidator(_url)] | None = None
    """Instead of `cloud`, what stands before `/v2/alarms` of an Aodh that asks no Keystone (`auth_mode = noauth`)."""
    project: Annotated[str, Field(pattern=r"^[\w-]+$")] | None = None
    """With `url`: the id of the project whose alarms are read."""
    all: bool = False
    """Whether alarms are read, too, of which no action's URL ends in the path of this source."""
    all_projects: bool = False
    """Whether those of every project are read, which only an administrator may."""
    key_files: Files | None = None
    """With which the URLs are signed, as of `signed_url` under `auth`: only those count then. Without a key, whoever
    may create an alarm that is read can have healed what its URL names."""
    labels: Naming = Naming()
    """Which traits of an event name the resource: as in the source beside it."""
    expires_after: PositiveDuration | None = EXPIRES_AFTER
    """How long an alarm counts that is not read again: one that was deleted or disabled is never over."""
    event_expires_after: PositiveDuration | None = EVENT_EXPIRES_AFTER
    """How long an event counts, from when Aodh saw it: as in the source beside it."""
    timeout: PositiveDuration = timedelta(seconds=10)
    """For one question and the whole answer."""

    _session: OpenStack | None = PrivateAttr(default=None)
    _signed: SignedUrl | None = PrivateAttr(default=None)
    _known: Mapping[str, Known] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.cloud is None) == (self.url is None):
            raise ValueError("exactly one of `cloud` and `url` says where Aodh is")
        if self.url is None and self.project is not None:
            raise ValueError("`project` goes with `url`; of a cloud, clouds.yaml says whose alarms are read")
        return self

    def model_post_init(self, _context: Any, /) -> None:
        if self.cloud is not None:
            self._session = OpenStack(self.cloud, self.clouds_yaml, self.timeout)
        if self.key_files is not None:
            self._signed = SignedUrl(key_files=self.key_files)

    def objections(self) -> Mapping[str, str]:
        found = objection(self.cloud, self.clouds_yaml) if self.cloud is not None else None
        return {"cloud": found} if found else {}

    async def pull(self, source: str, now: datetime) -> Batch:
        async with self._asking() as ask:
            held = await _aodh.alarms(ask, all_projects=self.all_projects)
            meant: list[_Meant] = []
            rejected: dict[int, str] = {}
            for index, one in enumerate(held):
                if index % _AT_A_TIME == 0:
                    await asyncio.sleep(0)
                if isinstance(one, str):
                    rejected[index] = one
                elif queries := await self._queries(one, source, now) or ([NOTHING] if self.all else []):
                    meant.append((index, one, queries))
            told = [one for _, one, _ in meant if one.state in _TOLD]
            self._known = await _aodh.changes(ask, told, self._known, now)
        return await asyncio.to_thread(self._batch, meant, rejected, source, now)

    async def stored(self) -> None:
        """Aodh forgets nothing for having been asked."""

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _queries(self, one: Held, source: str, now: datetime) -> list[Mapping[str, str]]:
        """What is said by the URLs that count."""
        return [url.query for url in _urls(one, source) if await self._admits(url, source, now)]

    async def _admits(self, url: URL, source: str, now: datetime) -> bool:
        # A proxy may put something before the path; what is signed is what healer sees.
        shown = Delivery(source, b"", now, query=url.query, path=ALARMS_PATH + source)
        return self._signed is None or await self._signed.admits(shown)

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[Ask]:
        if self._session is not None:
            yield _aodh.in_cloud(self._session)
            return
        headers = {"X-Roles": "admin,reader" if self.all_projects else "reader"}
        if self.project is not None:
            headers["X-Project-Id"] = self.project
        async with asking(self.timeout, headers) as peer:
            yield _aodh.at_url(peer, self.url or "")

    def _batch(self, meant: Iterable[_Meant], rejected: dict[int, str], source: str, now: datetime) -> Batch:
        alarms: list[Alarm] = []
        for index, one, queries in meant:
            try:
                alarms += self._alarms(one, queries, source, now)
            except (AlarmError, *_bodies.UNREADABLE) as error:
                rejected[index] = _bodies.reason(error)
        return Batch(tuple(alarms), tuple(Rejected(index, rejected[index]) for index in sorted(rejected)))

    def _alarms(
        self, one: Held, queries: Iterable[Mapping[str, str]], source: str, now: datetime
    ) -> Iterator[Alarm]:
        known = self._known.get(one.alarm_id)
        started_at = _since(one, known.change if known else None, now)
        if started_at is None:
            return
        expires_at = self._expires_at(one, started_at, now)
        if expires_at is not None and expires_at <= now:
            return
        reader, body = Source(labels=self.labels), notification(one)
        found: dict[Selector, Alarm] = {}
        for query in queries:
            for alarm in reader.parse(Delivery(source, body, now, query=query)).alarms:
                found.setdefault(alarm.selector, alarm)
        whose = {"project_id": text(one.project_id)} if one.project_id else {}
        for selector, alarm in found.items():
            yield replace(
                alarm,
                started_at=started_at + _apart(selector),
                expires_at=expires_at,
                labels={**whose, **alarm.labels},
            )

    def _expires_at(self, one: Held, started_at: datetime, now: datetime) -> datetime | None:
        if one.state != "alarm":
            return None
        if one.type == "event":
            # Its alarm stays as it is until a person sets it back.
            return started_at + self.event_expires_after if self.event_expires_after else None
        return now + self.expires_after if self.expires_after else None


def _apart(selector: Selector) -> timedelta:
    """Less than a millisecond: what shares a key differs by its start, as in the source.

    And so does what somebody means by it now, who wrote another URL while it fired.
    """
    return timedelta(microseconds=crc32(repr(selector).encode()) % 1000)


def _urls(one: Held, source: str) -> list[URL]:
    """To which Aodh would have sent this state, and for an end those that were sent the beginning."""
    own = {"ok": one.ok_actions, "insufficient data": one.insufficient_data_actions}.get(one.state)
    return [
        url
        for url in map(_parsed, [*(own or ()), *(one.alarm_actions or ())])
        if url is not None and url.scheme in _SCHEMES and url.path.endswith(ALARMS_PATH + source)
    ]


def _parsed(action: str) -> URL | None:
    try:
        return URL(action)
    except ValueError:
        return None


def _since(one: Held, change: Change | None, now: datetime) -> datetime | None:
    """When it came to stand as it does; None where it has changed while it was read, and will be read again."""
    set_at = moment(one.state_timestamp)
    changed_at = moment(change.timestamp) if change is not None else set_at
    if change is None or changed_at <= set_at:
        return min(set_at, now)
    if change.state != one.state and changed_at > now - _MEANWHILE:
        return None
    # A history that lags behind: since then at the most, and for one alarm it is always the same.
    return min(changed_at, now)
