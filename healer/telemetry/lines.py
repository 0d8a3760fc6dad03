"""The log line of a change: its kind, the names that a person searches for, and what the kernel noted with it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import Enum
from typing import Any, assert_never

import structlog

from healer.core.change import (
    AlarmsSettled,
    AttemptChanged,
    Change,
    IncidentChanged,
    PauseChanged,
    RepairChanged,
)

log = structlog.get_logger("healer")

_LEVELS = {
    # Worth a row in the store, and no line for everybody.
    "repair.inspecting": logging.DEBUG,
    "repair.not_admitted": logging.DEBUG,
    "repair.progressed": logging.DEBUG,
    # A person is needed.
    "incident.exhausted": logging.WARNING,
    "pause.set": logging.WARNING,
    "pause.lifted": logging.WARNING,
    # The plan was wrong.
    "repair.surprised": logging.ERROR,
}
"""All else is at level info."""

_TAKEN = frozenset(
    {"action", "cloud", "event", "incident", "level", "policy", "repair", "stack", "target", "timestamp"}
)


def write(change: Change) -> None:
    """One line; an attempt has none, for its repair has told it."""
    match change:
        case IncidentChanged(_, "noted", _, _):
            return  # The line of the alarm has told it.
        case IncidentChanged(_, kind, incident, note):
            named = {
                "incident": incident.id,
                "target": str(incident.target),
                "cloud": incident.target.root.cloud,
                "policy": incident.policy or None,
            }
            _line(f"incident.{kind}", named | _noted(note))
        case RepairChanged(_, kind, repair, note):
            named = {
                "repair": repair.id,
                "stack": str(repair.root),
                "cloud": repair.root.cloud,
                "action": repair.recipe.action,
            }
            _line(f"repair.{kind}", named | _noted(note))
        case AlarmsSettled(_, identities, outcome, detail, incident):
            for (source, status), number in tally(identities).items():
                named = {"source": source, "status": status, "detail": detail, "incident": incident}
                _line(f"alarm.{outcome}", named | ({"alarms": number} if number > 1 else {}))
        case PauseChanged(_, pause, lifted_by):
            kind = "lifted" if lifted_by else "set"
            named = {"pause": pause.id, "scope": pause.scope, "who": lifted_by or pause.who, "why": pause.why}
            _line(f"pause.{kind}", named)
        case AttemptChanged():
            return
        case _:
            assert_never(change)


def tally(identities: Iterable[str]) -> Mapping[tuple[str, str], int]:
    """How many alarms of each source and status these are."""
    return Counter((one.partition("|")[0], one.rpartition("|")[2]) for one in identities)


def _line(kind: str, words: Mapping[str, Any]) -> None:
    log.log(_LEVELS.get(kind, logging.INFO), kind, **words)


def _noted(note: Mapping[str, Any]) -> dict[str, Any]:
    """What is noted, under names that are still free; nothing that is not there."""
    return {
        f"{key}_" if key in _TAKEN else key: _word(value) for key, value in note.items() if value is not None
    }


def _word(value: Any) -> Any:
    """An enum as its word, a moment as text; also within whatever holds them."""
    match value:
        case Enum():
            return value.value
        case datetime():
            return value.isoformat(timespec="milliseconds")
        case Mapping():
            return {str(key): _word(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_word(item) for item in value]
        case _:
            return value
