"""What Alertmanager silences, inhibits and mutes, as silences of things that a stack may hold."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import msgspec
import re2

from healer.alarms import _bodies
from healer.alarms._alerts import Alert, moment
from healer.alarms._naming import Naming, clean, text
from healer.core.model import Selector
from healer.core.silence import Facet, Matcher, Silence
from healer.pulls._asking import read

_WHAT = "Alertmanager's list of silences"
_LASTING = {"active", "pending"}
WITHHELD_FOR = timedelta(hours=1)
"""At most, by one reading: an inhibition has no end, and that of its alarm may be in days. Ten times what Prometheus
gives an alert that it sends every minute."""
_ANY_PORT = "9100"
"""For a pattern that leaves the port open: that of the exporter which runs on nearly every server."""
_LONGEST = 200
"""Characters of a comment, or a name, that a sentence repeats."""


class Status(msgspec.Struct):
    state: str = "active"
    silenced_by: list[str] | None = msgspec.field(name="silencedBy", default=None)
    inhibited_by: list[str] | None = msgspec.field(name="inhibitedBy", default=None)
    muted_by: list[str] | None = msgspec.field(name="mutedBy", default=None)
    """Names of time intervals."""


class Held(Alert, kw_only=True):
    """An alert where Alertmanager is asked for it."""

    status: Status = msgspec.field(default_factory=Status)
    ends_at: str = msgspec.field(name="endsAt", default="")

    @property
    def is_withheld(self) -> bool:
        return self.status.state == "suppressed" or bool(self.status.muted_by)

    @property
    def name(self) -> str:
        return _short(self.labels.get("alertname", self.fingerprint))


class _Condition(msgspec.Struct):
    name: str
    value: str
    is_regex: bool = msgspec.field(name="isRegex", default=False)
    is_equal: bool = msgspec.field(name="isEqual", default=True)


class _State(msgspec.Struct):
    state: str


class _Listed(msgspec.Struct):
    id: str
    status: _State
    matchers: list[_Condition]
    starts_at: str = msgspec.field(name="startsAt")
    ends_at: str = msgspec.field(name="endsAt")
    created_by: str = msgspec.field(name="createdBy", default="")
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Word:
    """All that an Alertmanager says of silence at one time."""

    silences: tuple[Silence, ...]
    unreadable: Mapping[str, str]
    """Silences that mean nothing here, by id (or place in the list) → why they cannot be read."""


def word(body: bytes, alerts: Sequence[Held], naming: Naming, now: datetime) -> Word:
    """From its list of silences, and the alerts that it has. EngineError REJECTED where it is no such list.

    A silence whose matchers all speak of labels that name resources is about these, whether any alert fires; any
    other is about alerts, and counts by those that it withholds.
    """
    facets = _facets(naming)
    known: dict[str, Silence] = {}
    lasting: list[Silence] = []
    unreadable: dict[str, str] = {}
    for index, raw in enumerate(read(body, list[msgspec.Raw], _WHAT)):
        name = f"the one at place {index}"
        try:
            listed = msgspec.json.decode(raw, type=_Listed)
            name = _short(listed.id)
            known[name] = silence = _silence(listed)
            matchers = _matchers(listed.matchers, facets)
            if matchers and listed.status.state in _LASTING:
                lasting.append(replace(silence, means=matchers))
        except _bodies.UNREADABLE as error:
            unreadable[name] = _bodies.reason(error)
    names = {alert.fingerprint: alert.name for alert in alerts}
    for alert in alerts:
        means = naming.selector(clean(alert.labels)) if alert.is_withheld else Selector()
        if means.resource or means.physical_id or means.address or means.host:
            lasting += _withheld(alert, means, known, names, now)
    return Word(tuple(lasting), unreadable)


def _silence(listed: _Listed) -> Silence:
    return Silence(
        id=_short(listed.id),
        means=(),
        until=moment(listed.ends_at),
        who=_short(listed.created_by),
        why=_short(listed.comment),
        since=moment(listed.starts_at),
    )


def _withheld(
    alert: Held, means: Selector, known: Mapping[str, Silence], names: Mapping[str, str], now: datetime
) -> Iterator[Silence]:
    """One for each reason: it is withheld until the last of them is over."""
    status, until = alert.status, _end(alert, now)
    for name in map(_short, status.silenced_by or ()):
        # One that is not listed was made, or forgotten, between two questions.
        listed = known.get(name) or Silence(name, means, until, "", "")
        yield Silence(name, means, listed.until, listed.who, listed.why)
    why = []
    if status.inhibited_by:
        why.append(f"inhibited by {_several(names.get(one, one) for one in status.inhibited_by)}")
    if status.muted_by:
        why.append(f"muted in the time of {_several(status.muted_by)}")
    if why or not status.silenced_by:
        yield Silence(_short(alert.fingerprint), means, until, None, ", ".join([f"alarm {alert.name}", *why]))


def _end(alert: Held, now: datetime) -> datetime:
    """Of what has none: whatever withholds it, the alert itself is over by then, if nobody sends it again."""
    try:
        ends_at = moment(alert.ends_at)
    except (ValueError, OverflowError):
        return now + WITHHELD_FOR
    return ends_at if now < ends_at < now + WITHHELD_FOR else now + WITHHELD_FOR


def _facets(naming: Naming) -> dict[str, Facet]:
    """By label."""
    facets: dict[str, Facet] = {}
    for facet in Facet:
        for label in getattr(naming, facet):
            facets.setdefault(label, facet)
    return facets


def _matchers(conditions: Iterable[_Condition], facets: Mapping[str, Facet]) -> tuple[Matcher, ...]:
    """None at all where one of them speaks of something else. ValueError for a pattern that is none."""
    conditions = tuple(conditions)
    if any(condition.name not in facets for condition in conditions):
        return ()
    return tuple(_matcher(condition, facets[condition.name]) for condition in conditions)


def _matcher(condition: _Condition, facet: Facet) -> Matcher:
    value = text(condition.value)
    ports: Iterable[str]
    if condition.is_regex:
        _compiled(value)
        test: Any = _Pattern(value)
        ports = (*re.findall(r"(?<!\d)\d{1,5}(?!\d)", value)[:64], _ANY_PORT)
    else:
        test = _Is(value)
        ports = (value.rpartition(":")[2],)
    return Matcher(facet, test, not condition.is_equal, tuple(dict.fromkeys(ports)))


@dataclass(frozen=True, slots=True)
class _Is:
    value: str

    def __call__(self, value: str) -> bool:
        return value == self.value


@dataclass(frozen=True, slots=True)
class _Pattern:
    """A regular expression as Alertmanager understands it: RE2's, and held against the whole value."""

    pattern: str

    def __call__(self, value: str) -> bool:
        return _matches(self.pattern, value)


@lru_cache(maxsize=1 << 15)
def _matches(pattern: str, value: str) -> bool:
    """Remembered, for the same few stacks are held against every silence whenever something fails."""
    return _compiled(pattern).fullmatch(text(value)) is not None


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> Any:
    """By the one engine whose time is bounded, whoever wrote it: Python's own would hold the daemon for hours.

    ValueError where it is none.
    """
    options = re2.Options()
    options.log_errors = False  # it would write them to the daemon's standard error
    options.max_mem = 1 << 20
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        why = b"".join(part for part in error.args if isinstance(part, bytes)).decode(errors="replace")
        raise ValueError(f"no pattern of RE2: {why or error}") from error


def _several(names: Iterable[str]) -> str:
    every = sorted(map(_short, names))
    return ", ".join(every[:3]) + (f" and {len(every) - 3} more" if len(every) > 3 else "")


def _short(words: str) -> str:
    """One line, that a terminal shows as it is."""
    shown = " ".join("".join(each if each.isprintable() else " " for each in text(words)).split())
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}…"
