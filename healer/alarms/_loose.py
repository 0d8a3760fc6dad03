"""What is written without a schema: words, times and labels, read as whoever wrote them means them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import msgspec

from healer.alarms._naming import text
from healer.core.model import AlarmStatus

SCOPE = ("cloud", "stack", "resource", "physical_id", "address", "host")
"""What the address that a sender posts to may say, as its query, of the resource that is meant."""

FIRING = ("firing", "alarm", "alerting", "problem", "down", "failed")
CLEARED = ("cleared", "resolved", "recovered", "ok", "up")
UNKNOWN = (
    "unknown",
    "insufficient data",
    "insufficient_data",
    "no data",
    "nodata",
    "undetermined",
    "pending",
)
"""What most senders say, and a script should."""

_NOT_FILLED_IN = re.compile(r"\{[A-Z][A-Z0-9_.]*\}|\*UNKNOWN\*|\$[A-Z]+[0-9]*|\$[a-z_]+(?:\.[a-z_]+)+\$")
"""A macro of Zabbix, a placeholder of Healthchecks, a macro of Icinga: the sender had nothing to put there."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,20})?", re.ASCII)
_DATE = re.compile(r"([0-9]{4})[./-]([0-9]{2})[./-]([0-9]{2})(?=[T\s]|$)", re.ASCII)
_ZONE = re.compile(r"\s*(?:UTC|GMT|Z)$|\s+(?=[+-][0-9]{2}:?[0-9]{2}$)", re.ASCII)
_LONGEST_TIME = 64
_TAG_NAMES = ("tag", "name", "key", "label")


def word(value: Any) -> str:
    """A JSON scalar as a person would write it; empty where nothing is said. ValueError for a list or an object."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str():
            return "" if _NOT_FILLED_IN.fullmatch(value.strip()) else text(value).strip()
        case float() if value.is_integer():
            return str(int(value))
        case int() | float():
            return str(value)
        case _:
            raise ValueError(f"a text or a number is expected, not {_kind(value)}")


def labels(value: Any) -> dict[str, str]:
    """An object, a list of tags (`{"tag": …, "value": …}` or `name=value`), or a text that holds such things.

    Of two with one name the later counts; what is nested stays JSON; what says nothing is left out.
    """
    found: dict[str, str] = {}
    match value:
        case None:
            pass
        case str():
            found |= _labels_of_text(value.strip())
        case dict():
            found |= {text(name): said for name, inner in value.items() if (said := _leaf(inner))}
        case list():
            for part in value:
                found |= _tag(part) if isinstance(part, dict) else labels(part)
        case _:
            raise ValueError(f"labels are expected, not {_kind(value)}")
    return found


def moment(value: Any, zone: tzinfo = UTC) -> datetime:
    """A time as ISO 8601, as `2026.11.22 08:00:12`, or as seconds, milli-, micro- or nanoseconds since 1970.

    zone: of a time that names none. ValueError or OverflowError for what is no time.
    """
    said = word(value)
    if _NUMBER.fullmatch(said):
        seconds = float(said)
        while seconds >= 1e11:  # seconds until the year 5138; a thousand times as much is a finer unit
            seconds /= 1000
        return _EPOCH + timedelta(seconds=seconds)
    if len(said) > _LONGEST_TIME:
        raise ValueError("too long for a time")
    dashed = _DATE.sub(r"\1-\2-\3", said, count=1)
    at = datetime.fromisoformat(_ZONE.sub(lambda found: "+00:00" if found[0].strip() else "", dashed))
    return (at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(UTC)


def status(
    said: str,
    firing: tuple[str, ...] = FIRING,
    cleared: tuple[str, ...] = CLEARED,
    unknown: tuple[str, ...] = UNKNOWN,
) -> AlarmStatus:
    """Capitals or not. ValueError for a word that is in none of the lists: nothing is made of it."""
    for words, meant in (
        (firing, AlarmStatus.FIRING),
        (cleared, AlarmStatus.CLEARED),
        (unknown, AlarmStatus.UNKNOWN),
    ):
        if said.casefold() in (word.casefold() for word in words):
            return meant
    raise ValueError(f"the status {said[:40]!r} is none of those known to be firing, cleared or unknown")


def scope(query: Mapping[str, str]) -> dict[str, str]:
    """What the query says of the resource. Whatever else stands there, a signature say, is no label."""
    return {name: text(query[name]) for name in SCOPE if query.get(name)}


def _tag(part: dict[str, Any]) -> dict[str, str]:
    name = next((word(part[name]) for name in _TAG_NAMES if name in part), "")
    return {name: _leaf(part["value"])} if name and "value" in part else labels(part)


def _leaf(value: Any) -> str:
    if isinstance(value, dict | list):
        return text(msgspec.json.encode(value).decode())
    return word(value)


def _labels_of_text(value: str) -> dict[str, str]:
    if not word(value):
        return {}
    if value[0] in "[{":
        return labels(msgspec.json.decode(value))
    pairs = (re.split("[=:]", part, maxsplit=1) for part in re.split(r"[\s,]+", value) if part)
    return {text(name): word("".join(rest)) for name, *rest in pairs if name}


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return "an object"
    return "a list" if isinstance(value, list) else type(value).__name__
