"""All that the kernel knows: what is kept in the store, and what is looked up anew after a restart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from healer.core.change import Attempt, Pause
from healer.core.detector import Track
from healer.core.incident import Incident
from healer.core.model import Alarm, Root, Snapshot, Target
from healer.core.policy import Contested, Owned, Policy
from healer.core.repair import Repair
from healer.core.silence import Silences


@dataclass(slots=True)
class State:
    # Kept: what a restarted kernel is given back.
    incidents: dict[str, Incident] = field(default_factory=dict)
    """Those that are not closed, by id."""
    repairs: dict[str, Repair] = field(default_factory=dict)
    """Those that are open, by id; at most one for each root."""
    attempts: dict[str, Attempt] = field(default_factory=dict)
    pauses: dict[str, Pause] = field(default_factory=dict)
    alarms: dict[str, Alarm] = field(default_factory=dict)
    """Accepted and not yet settled, by identity."""
    taken_back: dict[str, Alarm] = field(default_factory=dict)
    """The latest word of who said lately that it is over, by its voice: what it said before may come after it."""

    # Not kept: a restarted daemon first looks, then acts.
    policies: tuple[Policy, ...] = ()
    snapshots: dict[Root, Snapshot] = field(default_factory=dict)
    owners: dict[Target, Owned | Contested] = field(default_factory=dict)
    """Worked out anew with every snapshot and every set of policies."""
    stopped: str | None = None
    """Why nothing may be touched at all; None where it may."""
    silences: dict[str, Silences] = field(default_factory=dict)
    """What is silenced at each sender of alarms that says so, by the name under which it is configured."""
    awaited: dict[str, datetime] = field(default_factory=dict)
    """Until when nothing is begun because such a sender has not been read yet."""
    unreachable: dict[str, str] = field(default_factory=dict)
    """Cloud → why it cannot be read. A cloud that was not read yet is here from the start."""
    tracks: dict[Target, dict[str, Track]] = field(default_factory=dict)
    expiries: dict[str, dict[Target, datetime]] = field(default_factory=dict)
    """Until when an alarm stands that is not sent again, by source and target; an incident keeps those about it."""
    raised: dict[str, datetime] = field(default_factory=dict)
    """Voice of an alarm that counts → when it began, so that no end of an earlier one ends it."""

    def policy(self, name: str) -> Policy | None:
        return next((policy for policy in self.policies if policy.name == name), None)

    def incident_of(self, target: Target) -> Incident | None:
        """The open incident of the target: there is at most one."""
        return next((i for i in self.incidents.values() if i.target == target), None)

    def incidents_of(self, root: Root) -> tuple[Incident, ...]:
        """Open incidents of one root stack, in the order in which they were opened."""
        return tuple(i for i in self.incidents.values() if i.target.root == root)

    def repair_of(self, root: Root) -> Repair | None:
        return next((r for r in self.repairs.values() if r.root == root), None)

    def attempts_on(self, target: Target, since: datetime) -> tuple[Attempt, ...]:
        return tuple(a for a in self.attempts.values() if a.target == target and a.began_at > since)

    def last_attempt(self, targets: Iterable[Target]) -> Attempt | None:
        """The latest attempt on any of the targets."""
        wanted = set(targets)
        return max(
            (a for a in self.attempts.values() if a.target in wanted), key=lambda a: a.began_at, default=None
        )

    def last_attempt_in(self, root: Root) -> Attempt | None:
        return max(
            (a for a in self.attempts.values() if a.target.root == root),
            key=lambda a: a.began_at,
            default=None,
        )

    def replaced(self) -> dict[str, Target]:
        """Physical ids that were healed away, so that a late word about one of them is known to be late."""
        return {a.physical_id: a.target for a in self.attempts.values() if a.succeeded and a.physical_id}
