"""Reads the query of a request to the API: what cannot be what was meant is refused in words, and never guessed."""

from __future__ import annotations

from datetime import datetime, timedelta

from aiohttp import web

from healer.core.change import AlarmOutcome
from healer.ports import Wanted
from healer.receiver.answers import RefusedError

PENDING = "pending"
"""In the place of an outcome: what became of the alarm is not settled yet."""
LONGEST_AGO = 10 * 366 * 86400
"""Seconds."""


def number(request: web.Request, key: str, default: int, most: int) -> int:
    """A whole number from 0 to `most`. RefusedError where it is anything else."""
    text = request.query.get(key, str(default))
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most)) and int(text) <= most):
        raise RefusedError(400, "bad_query", f"{key} is a whole number from 0 to {most}")
    return int(text)


def wanted(request: web.Request, now: datetime) -> Wanted:
    """`source`, `outcome` (each may stand there several times) and `within`, in seconds. RefusedError."""
    outcomes: set[AlarmOutcome | None] = set()
    for text in request.query.getall("outcome", ()):
        try:
            outcomes.add(None if text == PENDING else AlarmOutcome(text))
        except ValueError:
            known = ", ".join((PENDING, *AlarmOutcome))
            raise RefusedError(400, "bad_query", f"an outcome is one of: {known}") from None
    ago = number(request, "within", 0, LONGEST_AGO)
    return Wanted(
        sources=frozenset(request.query.getall("source", ())),
        outcomes=frozenset(outcomes),
        since=now - timedelta(seconds=ago) if ago else None,
    )
