"""Settings of a policy that defeat each other: each is well formed alone, and together they never work."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase

from healer.config.sections import PolicySection, ProbeSection, RemediationSection
from healer.core.model import NOTHING
from healer.core.repair import Recipe
from healer.core.step import Step
from healer.documents import Document, KeyPath, Problem, spelled
from healer.durations import spelled as lasting


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the rest of the configuration has, so far as a policy's sense depends on it."""

    refresh: Mapping[str, timedelta]
    """Cloud → how often it is read."""
    notifiers: frozenset[str]
    alarms: bool
    """Whether any alarm source is served."""
    certain: frozenset[str] = frozenset({"clouds", "notifiers"})
    """Of which it is known that they are complete; what was reported as wrong is not missed once more."""

    declared: Mapping[str, Mapping[str, frozenset[str]]] = NOTHING
    """Cloud → type → attributes of such a resource, for clouds whose engine has no other types than these."""

    def attributes(self, clouds: str, types: str) -> frozenset[str] | None:
        """What placeholders may name besides what every resource has; None where nobody can tell beforehand."""
        matched = [name for name in self.refresh if fnmatchcase(name, clouds)]
        if not matched or not self.declared.keys() >= set(matched):
            return None
        known = [self.declared[name] for name in matched]
        return frozenset().union(*(of[kind] for of in known for kind in of if fnmatchcase(kind, types)))

    def slowest_refresh(self, clouds: str) -> timedelta:
        """How long a watcher may have to wait for its next look at a cloud that this glob matches."""
        return max(
            (every for name, every in self.refresh.items() if fnmatchcase(name, clouds)), default=timedelta()
        )


@dataclass(frozen=True, slots=True)
class Defeat:
    """Two or more keys that defeat each other."""

    keys: tuple[KeyPath, ...]
    """All that are in it; it is reported at the first of them that is written down."""
    message: str
    """What is wrong with the first, and what was expected."""
    value: timedelta | int | None = None
    """Of the first, where the sentence is about it."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a rule reads: the policy, where its keys stand, and what is around it."""

    policy: PolicySection
    document: Document
    around: Surroundings
    recipes: Mapping[str, Recipe]
    """Of the actions that it names."""

    def cite(self, key: KeyPath, value: timedelta | int) -> str:
        """A key with its value and its line, for a sentence: `detect.startup_grace (10m, line 9)`."""
        where = f"line {self.document.line(key)}" if key in self.document.lines else "by default"
        return f"{spelled(key)} ({written(value)}, {where})"

    def acting(self) -> list[tuple[int, RemediationSection]]:
        """The remediations that touch something, with their position: what only tells is no attempt."""
        return [
            (index, rung)
            for index, rung in enumerate(self.policy.remediations)
            if (recipe := self.recipes.get(rung.action)) and recipe.heals
        ]


Rule = Callable[[Facts], Iterator[Defeat]]

_GRACE: KeyPath = ("detect", "startup_grace")
_RECOVER: KeyPath = ("detect", "recover_after")
_STABLE: KeyPath = ("verify", "stable_for")
_WITHIN: KeyPath = ("verify", "within")
_COOLDOWN: KeyPath = ("guardrails", "cooldown")
_MAX: KeyPath = ("guardrails", "attempts", "max")
_SPAN: KeyPath = ("guardrails", "attempts", "within")
_MAY: KeyPath = ("guardrails", "blast_radius", "may_replace")


def _noticed(facts: Facts) -> Iterator[Defeat]:
    detect = facts.policy.detect
    if not detect.probes and not detect.watchers and not facts.around.alarms:
        yield Defeat(
            (("detect",), ("policy",)),
            "nothing can ever be noticed, and no heal be verified: there is no probe, no watcher, and no alarm source"
            " in the configuration; expected one of them, for instance detect: {watchers: [engine]}",
        )


def _probe_in_time(facts: Facts) -> Iterator[Defeat]:
    for index, probe in enumerate(facts.policy.detect.probes):
        if timeout_of(probe) > probe.interval:
            timeout, interval = (
                ("detect", "probes", index, "timeout"),
                ("detect", "probes", index, "interval"),
            )
            yield Defeat(
                (timeout, interval),
                f"is longer than {facts.cite(interval, probe.interval)}: the probe would overlap itself;"
                " expected at most the interval",
                probe.timeout,
            )


def _verified_in_time(facts: Facts) -> Iterator[Defeat]:
    """The replacement may need the whole grace to come up; only then its time of being good begins to count."""
    policy = facts.policy
    if policy.verify.by != "check":
        return
    grace, stable = policy.detect.startup_grace, policy.verify.stable_for
    seldom = [probe.interval for probe in policy.detect.probes]
    if policy.detect.watchers:
        seldom.append(facts.around.slowest_refresh(policy.match.cloud))
    slowest = max(seldom, default=timedelta())
    looks = slowest * policy.detect.recover_after
    if policy.verify.within <= grace + stable:
        yield Defeat(
            (_WITHIN, _GRACE, _STABLE),
            f"is too short: what was healed may take {facts.cite(_GRACE, grace)} to come up, and must then stay good"
            f" for {facts.cite(_STABLE, stable)}; expected more than {lasting(grace + stable)}",
            policy.verify.within,
        )
    elif policy.verify.within <= looks + stable:
        yield Defeat(
            (_WITHIN, _RECOVER, _STABLE, ("detect", "probes")),
            f"is too short: {facts.cite(_RECOVER, policy.detect.recover_after)} good looks, one every"
            f" {lasting(slowest)}, and then {facts.cite(_STABLE, stable)}, take longer;"
            f" expected more than {lasting(looks + stable)}",
            policy.verify.within,
        )


def _verified_by_one(facts: Facts) -> Iterator[Defeat]:
    verify = facts.policy.verify
    for name in sorted({"within", "stable_for"} & verify.model_fields_set):
        if verify.by == "engine":
            yield Defeat(
                (("verify", name), ("verify", "by")),
                f"cannot be used together with verify.by: engine (line {facts.document.line(('verify', 'by'))}): the"
                " engine's proof ends the heal at once; expected one of them",
            )


def _booted_in_time(facts: Facts) -> Iterator[Defeat]:
    grace = facts.policy.detect.startup_grace
    for index, rung in enumerate(facts.policy.remediations):
        key = ("remediations", index, "timeout")
        recipe = facts.recipes.get(rung.action)
        if recipe and Step.POWER in recipe.steps and rung.timeout <= grace:
            yield Defeat(
                (key, _GRACE, ("remediations", index)),
                f"is too short for {rung.action}: a boot may take {facts.cite(_GRACE, grace)}, and would be given up"
                f" while it runs; expected more than {lasting(grace)}",
                rung.timeout,
            )


def _attempts_counted(facts: Facts) -> Iterator[Defeat]:
    policy, acting = facts.policy, facts.acting()
    attempts = policy.guardrails.attempts
    if not acting:
        return
    index, longest = max(acting, key=lambda rung: rung[1].timeout)
    key = ("remediations", index, "timeout")
    seen = policy.verify.within if policy.verify.by == "check" else timedelta()
    one = longest.timeout + seen + policy.guardrails.cooldown
    if attempts.within <= one * attempts.max:
        yield Defeat(
            (_SPAN, _MAX, key, _WITHIN, _COOLDOWN),
            f"is too short: {facts.cite(_MAX, attempts.max)} attempts, each of"
            f" {facts.cite(key, longest.timeout)} + {facts.cite(_WITHIN, seen)} +"
            f" {facts.cite(_COOLDOWN, policy.guardrails.cooldown)}, may not fall into it, so that the limit never"
            f" holds; expected more than {lasting(one * attempts.max)}",
            attempts.within,
        )


def _ladder_reached(facts: Facts) -> Iterator[Defeat]:
    rungs = len(facts.acting())
    most = facts.policy.guardrails.attempts.max
    if most < rungs:
        yield Defeat(
            (_MAX, ("remediations",)),
            f"ends the ladder before all of its {rungs} remediations that act have been tried"
            f" (line {facts.document.line(('remediations',))}); expected at least {rungs}",
            most,
        )


def _owned_may_go(facts: Facts) -> Iterator[Defeat]:
    may, owned = facts.policy.guardrails.blast_radius.may_replace, facts.policy.match.type
    replaces = any(recipe.replaces for recipe in facts.recipes.values())
    if may is not None and replaces and not set(owned) & set("*?[") and owned not in may:
        yield Defeat(
            (_MAY, ("match", "type")),
            f"{', '.join(sorted(may))} leaves out match.type ({owned}, line {facts.document.line(('match', 'type'))}):"
            f" what the policy owns could never be replaced; expected {owned} among them",
        )


RULES: tuple[Rule, ...] = (
    _noticed,
    _probe_in_time,
    _verified_in_time,
    _verified_by_one,
    _booted_in_time,
    _attempts_counted,
    _ladder_reached,
    _owned_may_go,
)


def defeats(facts: Facts, doubtful: AbstractSet[KeyPath]) -> Iterator[Problem]:
    """Every problem that the rules find. A rule that rests on a doubtful key (it is reported already) says nothing."""
    for rule in RULES:
        for defeat in rule(facts):
            if not any(_overlap(key, doubt) for key in defeat.keys for doubt in doubtful):
                yield _problem(facts, defeat)


def _problem(facts: Facts, defeat: Defeat) -> Problem:
    first, value = defeat.keys[0], defeat.value
    at = next((key for key in defeat.keys if key in facts.document.lines), first)
    if value is None:
        return facts.document.problem(at, defeat.message)
    subject = written(value) if at == first else facts.cite(first, value)
    return facts.document.problem(at, f"{subject} {defeat.message}")


def written(value: timedelta | int) -> str:
    return lasting(value) if isinstance(value, timedelta) else str(value)


def timeout_of(probe: ProbeSection) -> timedelta:
    """A default longer than the interval would be a mistake that nobody made."""
    if "timeout" in probe.model_fields_set:
        return probe.timeout
    return min(probe.timeout, probe.interval)


def _overlap(one: KeyPath, other: KeyPath) -> bool:
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]
