"""What an operator wants done for which resources, and which policy owns a target."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from fnmatch import fnmatchcase

from healer.core.model import Resource, Snapshot


class Mode(StrEnum):
    """How far a policy goes. `observe` is the default: everything but act."""

    OBSERVE = "observe"
    AUTO = "auto"


class ProvedBy(StrEnum):
    """What ends a heal: the check that failed, or the engine's own proof."""

    CHECK = "check"
    ENGINE = "engine"


@dataclass(frozen=True, slots=True)
class Match:
    """Which resources a policy owns: all that is said must hold; globs are case-sensitive (`shop-*`)."""

    cloud: str = "*"
    stack: str = "*"
    """Glob over the root stack's name."""
    resource: str = "*"
    """Glob over the path within the root stack; `*` also matches `/`."""
    type: str = "*"
    tags: frozenset[str] = frozenset()
    """Tags that the root stack must carry, all of them."""

    def owns(self, snapshot: Snapshot, resource: Resource) -> bool:
        root = snapshot.root
        return (
            not resource.is_stack
            and fnmatchcase(resource.type, self.type)
            and fnmatchcase(resource.path, self.resource)
            and fnmatchcase(root.name, self.stack)
            and fnmatchcase(root.cloud, self.cloud)
            and self.tags <= snapshot.tags
        )


@dataclass(frozen=True, slots=True)
class Watch:
    """One active check of a policy, by probe or watcher. Its options are the plug-in's business, not the core's."""

    source: str
    """Name within the policy, e.g. `probe:http`; the source of its observations."""
    interval: timedelta
    timeout: timedelta


@dataclass(frozen=True, slots=True)
class Detect:
    """When looks add up to a failure, and when to a recovery."""

    watches: tuple[Watch, ...] = ()
    fail_after: int = 3
    recover_after: int = 2
    unhealthy_for: timedelta = timedelta(0)
    startup_grace: timedelta = timedelta(minutes=10)
    settle_for: timedelta = timedelta(seconds=5)

    @property
    def grace(self) -> timedelta:
        """The time of grace, and one more look: what was seen within it is not the last word on what came up in it."""
        looks = [watch.interval + watch.timeout for watch in self.watches if self.startup_grace]
        return self.startup_grace + max(looks, default=timedelta(0))


@dataclass(frozen=True, slots=True)
class Remediation:
    """One rung of the ladder."""

    action: str
    timeout: timedelta = timedelta(minutes=30)
    notifier: str = ""
    """Only for `notify`: which notifier; empty means every one that is configured."""


@dataclass(frozen=True, slots=True)
class Attempts:
    max: int = 3
    within: timedelta = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class BlastRadius:
    """What a heal may replace: types, and how many beyond what is marked."""

    may_replace: frozenset[str] | None = None
    """None takes the engine's `rebuildable`."""
    collateral: int = 0
    """How many resources beyond the marked ones may be replaced (`max: marked` is 0)."""


@dataclass(frozen=True, slots=True)
class Guardrails:
    attempts: Attempts = Attempts()
    cooldown: timedelta = timedelta(minutes=10)
    blast_radius: BlastRadius = BlastRadius()


@dataclass(frozen=True, slots=True)
class Verify:
    by: ProvedBy = ProvedBy.CHECK
    within: timedelta = timedelta(minutes=15)
    stable_for: timedelta = timedelta(minutes=3)


@dataclass(frozen=True, slots=True)
class Policy:
    name: str
    match: Match = Match()
    mode: Mode = Mode.OBSERVE
    detect: Detect = Detect()
    remediations: tuple[Remediation, ...] = (Remediation("replace"), Remediation("notify"))
    guardrails: Guardrails = Guardrails()
    verify: Verify = Verify()
    digest: str = field(default="", compare=False)
    """Of the policy's text, so that a story can name the revision it followed."""


@dataclass(frozen=True, slots=True)
class Owned:
    """Exactly one policy owns the resource."""

    policy: Policy


@dataclass(frozen=True, slots=True)
class Contested:
    """Two policies own one resource: neither may act, and a person must decide."""

    names: tuple[str, ...]


def owner(policies: Iterable[Policy], snapshot: Snapshot, resource: Resource) -> Owned | Contested | None:
    """The policy that owns the resource; None where none does."""
    owners = [policy for policy in policies if policy.match.owns(snapshot, resource)]
    if not owners:
        return None
    if len(owners) > 1:
        return Contested(tuple(sorted(policy.name for policy in owners)))
    return Owned(owners[0])
