"""Reading JSON that somebody else wrote: what cannot be read is said in a sentence, and one bad text loses no other."""

from __future__ import annotations

import re
from collections.abc import Hashable
from functools import cache
from typing import Any, TypeVar, cast

import msgspec

from healer.ports import AlarmError

T = TypeVar("T")

UNREADABLE = (ValueError, OverflowError, RecursionError)
"""What one bad alarm of a batch may raise while it is read; msgspec's own errors are ValueErrors."""

_REASON_LENGTH = 200
_ESCAPE = re.compile(r"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|u[dD][89a-fA-F]..|.)", re.DOTALL)


def decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    """The one for this type: to make it takes longer than to read an alarm with it."""
    return _made(cast("Hashable", kind))


@cache
def _made(kind: Hashable) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(cast("Any", kind))


def decode(body: bytes, kind: type[T], what: str) -> T:
    """The body as this type. Raises AlarmError, naming `what` it was to be.

    NaN, infinities and numbers that no float holds are no JSON; what is nested too deep is refused.
    """
    words = body.decode("utf-8-sig", errors="replace")
    try:
        try:
            return decoder(kind).decode(words)
        except msgspec.DecodeError:  # one half of a surrogate pair in one text would lose all the alarms
            return decoder(kind).decode(_ESCAPE.sub(_whole, words))
    except UNREADABLE as error:
        raise AlarmError(f"not the body of {what}: {reason(error)}") from error


def reason(error: BaseException) -> str:
    """Short enough for an answer and a log line, whatever the sender put into it."""
    return str(error)[:_REASON_LENGTH]


def _whole(escape: re.Match[str]) -> str:
    return "\\ufffd" if len(escape[0]) == 6 else escape[0]
