"""CloudEvents: what one means is told by its `type`, and which alarm it is about by its `source` and `subject`.

The members of its data are the labels (`disk.used` of a nested one), beside its attributes, which are `ce_<name>`.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Annotated, ClassVar

import msgspec
from pydantic import AfterValidator, ConfigDict, Field

from healer.alarms import _bodies
from healer.alarms._events import Event, read
from healer.alarms._naming import LabelNames, Naming, first
from healer.core.model import Alarm, AlarmStatus, Selector
from healer.plugins import Plugin
from healer.ports import Answer, Batch, Delivery, Rejected

_ONE = ("resource", "physical_id", "address", "host")
_PLACES = ("cloud", "stack", *_ONE)
_PLACE = re.compile(r"\{(\w*)\}")
_VERSION = re.compile(r"\.v[0-9]+\Z")
_ORIGIN = re.compile(r"[A-Za-z0-9_.*:/\[\]-]{1,255}")
"""What a sender may call itself: nothing else is sent back to it."""
_ELSEWHERE = frozenset({"specversion", "id", "time", "datacontenttype", "dataschema"})
"""Attributes that are no labels."""
_LONGEST_KEY = 255

Patterns = tuple[Annotated[str, Field(min_length=1)], ...]


def _checked(subject: str) -> str:
    names = _PLACE.findall(subject)
    if len(set(names)) < len(names) or not set(names) <= set(_PLACES):
        raise ValueError(f"its places are {', '.join(f'{{{name}}}' for name in _PLACES)}, each once at most")
    if "}{" in subject:
        raise ValueError(
            "nobody knows where one place ends and the next begins: a text must stand between them"
        )
    return subject


class Cloudevents(Plugin):
    model_config = ConfigDict(json_schema_extra={"examples": [{}]})

    paths: ClassVar[tuple[str, ...]] = ()
    methods: ClassVar[tuple[str, ...]] = ("OPTIONS",)

    unknown: Patterns = ("*.unknown",)
    """Types, `*` and `?` standing for any characters, by which the sender says that it does not know (any more).

    A type is looked up with and without its version (`.v1`), first here, then in `cleared`, then in `firing`, so that
    `firing` may be what is left over. What is of none of them is no alarm, and is rejected.
    """
    cleared: Patterns = ("*.healthy", "*.resolved", "*.cleared")
    firing: Patterns = ("*.unhealthy", "*.firing")
    key: Annotated[Patterns, Field(min_length=1)] = ("ce_source", "ce_subject")
    """The labels that are the same in all events of one alarm. Where one lacks one of them, what it is about counts."""
    labels: Naming = Naming()
    """Which labels of an event name the resource; several may be given, and the first that is there counts."""
    subject: Annotated[str, AfterValidator(_checked)] = "{stack}/{resource}"
    """How a subject names it, read where no label does. Its last place takes all that is left (`group/0/server`)."""
    summary: LabelNames = ("summary", "message", "reason", "description", "data")
    """The label that says in a sentence what is the matter."""
    origins: Patterns = ("*",)
    """Who may ask whether it may send (`WebHook-Request-Origin`), as patterns. It shows who it is all the same."""
    rate: Annotated[int, Field(ge=1)] | None = None
    """Requests per minute that whoever asks is allowed; none is as many as it likes."""
    max_events: Annotated[int, Field(ge=1)] = 10_000
    """In one request."""

    def parse(self, delivery: Delivery) -> Batch:
        alarms: list[Alarm] = []
        rejected: list[Rejected] = []
        for index, event in enumerate(read(delivery, self.max_events)):
            if isinstance(event, Rejected):
                rejected.append(event)
                continue
            try:
                alarms.append(self._alarm(event, delivery))
            except _bodies.UNREADABLE as error:
                rejected.append(Rejected(index, _bodies.reason(error)))
        return Batch(tuple(alarms), tuple(rejected))

    def greet(self, delivery: Delivery) -> Answer:
        """Consent is in the headers, never in the status. A callback that it offers is not called."""
        allowed = {"Allow": "POST, OPTIONS"}
        origin = delivery.headers.get("WebHook-Request-Origin", "")
        if _ORIGIN.fullmatch(origin) and _is_like(origin.lower(), self.origins):
            allowed["WebHook-Allowed-Origin"] = origin
            allowed["WebHook-Allowed-Rate"] = str(self.rate or "*")
        return Answer(200, headers=allowed)

    def _alarm(self, event: Event, delivery: Delivery) -> Alarm:
        attributes = {
            f"ce_{name}": value for name, value in event.attributes.items() if name not in _ELSEWHERE
        }
        labels = {**event.data, **attributes}
        status = self._status(event.attributes["type"])
        selector = self._selector(labels, event.attributes.get("subject", ""))
        began, ends = (_time(event.attributes.get(name)) for name in ("time", "expirytime"))
        summary = first(labels, self.summary)
        return Alarm(
            source=delivery.source,
            key=self._key(labels, selector),
            status=status,
            started_at=began or delivery.received_at,
            received_at=delivery.received_at,
            selector=selector,
            labels=labels,
            annotations={"ce_id": event.attributes["id"], **({"summary": summary} if summary else {})},
            severity=self.labels.severity_of(labels) or event.attributes.get("severitytext", ""),
            expires_at=ends if status is AlarmStatus.FIRING else None,
        )

    def _status(self, kind: str) -> AlarmStatus:
        for status, patterns in (
            (AlarmStatus.UNKNOWN, self.unknown),
            (AlarmStatus.CLEARED, self.cleared),
            (AlarmStatus.FIRING, self.firing),
        ):
            if _is_like(kind, patterns) or _is_like(_VERSION.sub("", kind), patterns):
                return status
        raise ValueError(f"its type {kind!r} is none of the firing, cleared or unknown ones")

    def _selector(self, labels: dict[str, str], subject: str) -> Selector:
        """Labels go before the subject, which counts for nothing where it contradicts them."""
        selector = self.labels.selector(labels)
        if any(getattr(selector, name) for name in _ONE):
            return selector
        found = _pattern(self.subject).fullmatch(subject)
        parts = found.groupdict() if found else {}
        agree = all(getattr(selector, name) in {None, value} for name, value in parts.items())
        return replace(selector, **parts) if agree else selector

    def _key(self, labels: dict[str, str], selector: Selector) -> str:
        parts = [labels.get(name, "") for name in self.key]
        if not all(parts):
            named = [value for name in _PLACES if (value := getattr(selector, name))]
            if not named:
                raise ValueError(f"it has no {' or no '.join(self.key)}, and names nothing else")
            parts = [part for part in parts if part] + named
        key = " ".join(parts)
        if len(key) <= _LONGEST_KEY:
            return key
        digest = hashlib.sha256(key.encode()).hexdigest()
        return f"{key[: _LONGEST_KEY - len(digest) - 1]} {digest}"


def _is_like(name: str, patterns: Patterns) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _pattern(subject: str) -> re.Pattern[str]:
    """Each place ends at the text that follows it, so that nothing is tried twice."""
    before, *pieces = _PLACE.split(subject)
    pattern = re.escape(before)
    for name, after in zip(pieces[::2], pieces[1::2], strict=True):
        end = re.escape(after[:1])
        pattern += (f"(?P<{name}>[^{end}]+)" if end else f"(?P<{name}>.+)") + re.escape(after)
    return re.compile(pattern, re.DOTALL)


def _time(value: str | None) -> datetime | None:
    if value is None:
        return None
    at: datetime = msgspec.convert(value, Annotated[datetime, msgspec.Meta(tz=True)])
    return at.astimezone(UTC)
