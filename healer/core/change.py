"""What the kernel changed: each is one line of the journal, one line of the log, and a row to keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from healer.core.incident import Incident
from healer.core.model import NOTHING, Target
from healer.core.repair import Repair


class AlarmOutcome(StrEnum):
    """What became of an alarm that was accepted."""

    MATCHED = "matched"
    UNMATCHED = "unmatched"
    AMBIGUOUS = "ambiguous"
    STALE = "stale"
    UNOWNED = "unowned"
    """It means a resource that no policy owns."""
    NO_EVIDENCE = "no_evidence"
    """Its sender does not know: neither a failure nor a recovery."""


@dataclass(frozen=True, slots=True)
class Pause:
    """A person's word that nothing is to be touched; `scope` is `all`, `cloud:NAME`, `stack:NAME` or `policy:NAME`."""

    id: str
    scope: str
    who: str
    why: str
    at: datetime
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """A remediation that was begun: what cooldown and the number of attempts are counted from."""

    id: str
    """The repair's id and the target, so that one repair of several targets leaves several."""
    target: Target
    action: str
    incident: str
    began_at: datetime
    physical_id: str
    """The incarnation that it was about."""
    ended_at: datetime | None = None
    succeeded: bool = False
    """Proven by the engine; whether it was seen healthy is the incident's word."""


@dataclass(frozen=True, slots=True)
class IncidentChanged:
    at: datetime
    kind: str
    """Past participle: `opened`, `held`, `admitted`, `remediated`, `closed`, …"""
    incident: Incident
    note: Mapping[str, Any] = NOTHING


@dataclass(frozen=True, slots=True)
class RepairChanged:
    at: datetime
    kind: str
    repair: Repair
    note: Mapping[str, Any] = NOTHING


@dataclass(frozen=True, slots=True)
class AlarmsSettled:
    """What became of alarms, alike for all of them."""

    at: datetime
    identities: tuple[str, ...]
    outcome: AlarmOutcome
    detail: str = ""
    incident: str | None = None


@dataclass(frozen=True, slots=True)
class AttemptChanged:
    at: datetime
    attempt: Attempt
    withdrawn: bool = False
    """It turned out that nothing was done: the row goes."""


@dataclass(frozen=True, slots=True)
class PauseChanged:
    at: datetime
    pause: Pause
    lifted_by: str | None = None


Change = IncidentChanged | RepairChanged | AlarmsSettled | AttemptChanged | PauseChanged
