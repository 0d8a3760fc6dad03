"""A policy as its file has it: every key, its words, its default, and what is not supported yet."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    Strict,
    WithJsonSchema,
)

from healer.config.keys import Section
from healer.config.settings import Name, Text
from healer.core.policy import Attempts, BlastRadius, Detect, Guardrails, Match, Remediation, Verify
from healer.durations import Duration, PositiveDuration

# The defaults are the core's own; each with its source there.
_MATCH, _DETECT, _VERIFY = Match(), Detect(), Verify()
_ATTEMPTS, _GUARDRAILS, _REMEDIATION = Attempts(), Guardrails(), Remediation("replace")

Count = Annotated[int, Strict(), Field(ge=1, le=1000)]


def _not_empty(match: MatchSection) -> MatchSection:
    if not match.model_fields_set:
        raise ValueError('says nothing; to own every resource of every stack, say so: {stack: "*"}')
    return match


def _collateral(value: Any) -> Any:
    if value == "marked":
        return 0
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise ValueError("expected `marked`, or how many more than the marked ones may be replaced")


class MatchSection(Section):
    """All that is said must hold. Globs are case-sensitive: `*`, `?`, `[ab]`."""

    type: Text = _MATCH.type
    """Glob over the resource's type, `OS::Nova::Server`."""
    stack: Text = _MATCH.stack
    """Glob over the root stack's name."""
    resource: Text = _MATCH.resource
    """Glob over the path within the root stack, `group/0/server`; `*` also matches `/`."""
    cloud: Text = _MATCH.cloud
    """Glob over the cloud's name in `clouds`."""
    tags: frozenset[Text] = _MATCH.tags
    """Tags that the root stack must carry, all of them."""


class ProbeSection(Section):
    """One more key names the probe and holds its options: `http: {url: ...}`."""

    model_config = ConfigDict(extra="allow")

    interval: PositiveDuration = timedelta(seconds=30)
    """How often it looks."""
    timeout: PositiveDuration = timedelta(seconds=5)
    """How long one look may take; at most the interval, so that a probe never overlaps itself. Not given, it is
    the interval where that is shorter."""


class DetectSection(Section):
    probes: tuple[ProbeSection, ...] = ()
    """Active checks of each resource that the policy owns. One key of each names the probe and holds its options:
    `http: {url: ...}`."""
    watchers: tuple[Any, ...] = ()
    """Looks at whole stacks, each by name: `engine` is what the engine itself says of its resources."""
    fail_after: Count = _DETECT.fail_after
    """Failed looks in a row before it counts as failing."""
    recover_after: Count = _DETECT.recover_after
    """Good looks in a row before it counts as recovered."""
    unhealthy_for: Duration = _DETECT.unhealthy_for
    """How long it must have been failing as well."""
    startup_grace: Duration = _DETECT.startup_grace
    """How long after its creation, or after a heal, failed looks are taken for starting up; ends at the first good
    one."""
    settle_for: Duration = _DETECT.settle_for
    """How long a failure waits for its cause, and for other failures of the same stack, before it is healed."""


class RemediationSection(Section):
    action: Text
    """What is done: a file of `healer/actions`."""
    timeout: PositiveDuration = _REMEDIATION.timeout
    """How long it may take before the next one is tried."""
    notifier: str = _REMEDIATION.notifier
    """For `notify`: which of `notifiers`; empty means every one."""


class AttemptsSection(Section):
    max: Count = _ATTEMPTS.max
    """How many remediations that act may be tried on one resource within that time; then it takes a person."""
    within: PositiveDuration = _ATTEMPTS.within
    """The time in which attempts are counted."""


class BlastRadiusSection(Section):
    may_replace: Annotated[frozenset[Text], Field(min_length=1)] | None = None
    """Types that may be given up. Not given, what the engine can rebuild without loss: OS::Nova::Server in Heat,
    Local::Process in the embedded engine."""
    max: Annotated[
        int,
        BeforeValidator(_collateral),
        PlainSerializer(lambda collateral: collateral or "marked"),
        WithJsonSchema({"anyOf": [{"const": "marked"}, {"type": "integer", "minimum": 0}]}),
        Field(json_schema_extra={"default": "marked"}),
    ] = BlastRadius().collateral
    """`marked`: nothing but the resource that is healed may be replaced; a number: so many more."""


class GuardrailsSection(Section):
    attempts: AttemptsSection = AttemptsSection()
    """What ends the healing of something that healing does not help."""
    cooldown: Duration = _GUARDRAILS.cooldown
    """How long a resource that was healed is left alone should it fail again."""
    blast_radius: BlastRadiusSection = BlastRadiusSection()
    """What a heal may give up."""


class VerifySection(Section):
    by: Literal["check", "engine"] = "check"
    """What ends a heal: `check` is the probe, watcher or alarm that failed; `engine` is the engine's own proof."""
    within: PositiveDuration = _VERIFY.within
    """How long after a heal the check may take to be good; then the next remediation is tried."""
    stable_for: Duration = _VERIFY.stable_for
    """How long it must have been good."""


class PolicySection(Section):
    version: Literal[1]
    """Of this file's format."""
    policy: Name
    """The policy's name, unique among all files."""
    mode: Literal["observe", "auto"] = "observe"
    """`observe` does everything but act, and says what it would have done; `auto` acts."""
    match: Annotated[MatchSection, AfterValidator(_not_empty)]
    """Which resources the policy owns. No resource may have two owners."""
    detect: DetectSection = DetectSection()
    """How a failure is noticed, and how much patience there is."""
    remediations: Annotated[tuple[RemediationSection, ...], Field(min_length=1)] = (
        RemediationSection(action="replace"),
        RemediationSection(action="notify"),
    )
    """A ladder: each is tried in turn, until one is verified."""
    guardrails: GuardrailsSection = GuardrailsSection()
    """What holds a heal back."""
    verify: VerifySection = VerifySection()
    """What makes a heal a success."""


NOT_YET = {
    "mode=approve": "nobody can be asked yet; use observe or auto",
    "alarms": "an alarm reaches the policy that owns its resource, and its labels cannot be matched yet",
    "match.matchers": "resources are matched by type, stack, resource, cloud and tags",
    "detect.window": "failures are counted in a row, by fail_after",
    "detect.flapping": "a resource that goes up and down is held by cooldown and attempts alone",
    "remediations[].scope": "the resource itself is replaced, never the member of the group that holds it",
    "guardrails.max_unhealthy": "how many may be failing at once is not counted yet",
    "guardrails.max_in_flight": "one repair runs at a time in each root stack, and nothing else limits them",
    "guardrails.rate": "attempts are counted for each resource alone, by attempts",
    "guardrails.storm_cooldown": "storms are not recognised yet",
    "guardrails.data": "what holds data is protected by blast_radius.may_replace alone",
    "guardrails.people": "what a person stopped cannot be told from what failed yet",
}
"""Keys, and values after a `=`, that are in the language of policies and in no release yet → why, or what instead."""

NOT_YET_PLUGINS = {
    "actions": frozenset({"mend", "fence", "power", "start", "rebuild", "unstick", "run"}),
    "probes": frozenset({"icmp", "dns", "tls", "grpc", "command"}),
    "watchers": frozenset({"openstack", "prometheus", "bus"}),
}
"""Plug-ins that are planned and not there: folder → names."""
