"""Reading CloudEvents 1.x out of HTTP requests, in whichever mode they come, with data that is JSON."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

import msgspec

from healer.alarms import _bodies
from healer.alarms._naming import clean
from healer.ports import AlarmError, Delivery, Rejected

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"

_WHAT = "a CloudEvent in JSON"
_REQUIRED = ("id", "source", "type")
_DEPTH = 8
"""Members of data that lie deeper are no labels."""
_LONGEST_NUMBER = 64
_LONGEST_DATA = 1000
"""Characters of data that is one text."""


@dataclass(frozen=True, slots=True)
class Event:
    attributes: Mapping[str, str]
    """By lower-case name, extensions too; those that must be there are."""
    data: Mapping[str, str]
    """Plain values by the names that lead to them, `disk.used`; data that is one plain value is called `data`."""


def read(delivery: Delivery, at_most: int) -> list[Event | Rejected]:
    """Raises AlarmError where the request holds no events, more than `at_most`, or one alone that is none."""
    media = _media(delivery.headers.get("Content-Type", ""))
    if media == BATCH or (media not in {STRUCTURED, BATCH} and _is_bare_list(delivery)):
        raws = _bodies.decode(delivery.body, list[msgspec.Raw], "a batch of CloudEvents in JSON")
        if len(raws) > at_most:
            raise AlarmError(f"more than {at_most} events in one request")
        return [_one_of_many(index, raw) for index, raw in enumerate(raws)]
    if media.startswith("application/cloudevents") and media != STRUCTURED:
        raise AlarmError(f"{media} is not read; {STRUCTURED} and {BATCH} are")
    try:
        if media != STRUCTURED and "ce-specversion" in delivery.headers:
            return [_of_headers(delivery, media)]
        return [_of_members(_bodies.decode(delivery.body, dict[str, msgspec.Raw], _WHAT))]
    except _bodies.UNREADABLE as error:
        raise AlarmError(f"not {_WHAT}: {_bodies.reason(error)}") from error


def _is_bare_list(delivery: Delivery) -> bool:
    """Sent by hand, or by somebody who forgot to say what it is."""
    return "ce-specversion" not in delivery.headers and delivery.body.lstrip()[:1] == b"["


def _one_of_many(index: int, raw: msgspec.Raw) -> Event | Rejected:
    try:
        return _of_members(msgspec.json.decode(raw, type=dict[str, msgspec.Raw]))
    except (AlarmError, *_bodies.UNREADABLE) as error:
        return Rejected(index, _bodies.reason(error))


def _of_members(members: Mapping[str, msgspec.Raw]) -> Event:
    """The structured mode: attributes and data are members of one object."""
    attributes = {
        name: value
        for name, raw in members.items()
        if name not in {"data", "data_base64"} and (value := _plain(raw)) is not None
    }
    media = _media(attributes.get("datacontenttype", ""))
    data: dict[str, str] = {}
    if "data" in members:
        _flatten(members["data"], "", data)
    elif "data_base64" in members and _is_json(media):
        text = base64.b64decode(msgspec.json.decode(members["data_base64"], type=str), validate=True)
        _flatten(_bodies.decode(text, msgspec.Raw, "JSON data of a CloudEvent"), "", data)
    return _event(attributes, data)


def _of_headers(delivery: Delivery, media: str) -> Event:
    """The binary mode: attributes are headers, the body is the data."""
    attributes: dict[str, str] = {}
    for name, value in delivery.headers.items():
        if name.lower().startswith("ce-"):
            attributes.setdefault(name[3:].lower(), _decoded(value))
    data: dict[str, str] = {}
    if _is_json(media) and delivery.body:
        _flatten(_bodies.decode(delivery.body, msgspec.Raw, "JSON data of a CloudEvent"), "", data)
    elif media.startswith("text/"):
        data["data"] = delivery.body.decode(errors="replace")[:_LONGEST_DATA]
    return _event(attributes, data)


def _event(attributes: Mapping[str, str], data: Mapping[str, str]) -> Event:
    version = attributes.get("specversion", "")
    if not version.startswith("1."):
        raise ValueError(f"its specversion is {version!r}, and 1.0 is read")
    if missing := [name for name in _REQUIRED if not attributes.get(name)]:
        raise ValueError(f"it has no {' and no '.join(missing)}")
    return Event(clean(attributes), clean(data))


def _flatten(raw: msgspec.Raw, name: str, into: dict[str, str], depth: int = 0) -> None:
    """Nothing is converted that will not be a label, so that no number is too large to be passed over."""
    if not bytes(raw).lstrip().startswith(b"{"):
        value = _plain(raw)
        if value is not None:
            into[name or "data"] = value if name else value[:_LONGEST_DATA]
    elif depth < _DEPTH:
        for member, inner in msgspec.json.decode(raw, type=dict[str, msgspec.Raw]).items():
            _flatten(inner, f"{name}.{member}" if name else member, into, depth + 1)


def _plain(raw: msgspec.Raw) -> str | None:
    """A text, number or truth value; None is a list, an object, null, or a number that nobody means."""
    text = bytes(raw).strip()
    match text[:1]:
        case b'"':
            return msgspec.json.decode(text, type=str)
        case b"[" | b"{" | b"n":
            return None
        case _:
            return text.decode() if len(text) <= _LONGEST_NUMBER else None


def _media(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _is_json(media: str) -> bool:
    return media.endswith(("/json", "+json"))


def _decoded(value: str) -> str:
    """One round of percent-decoding, after the quotes that older senders put around a value."""
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = re.sub(r"\\(.)", r"\1", value[1:-1])
    return unquote(value)
