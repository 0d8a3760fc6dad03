"""A test as a transcript: what is seen, what is asked for, what becomes of it; the invariants hold after each line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeVar

from healer.core.change import (
    AlarmOutcome,
    AlarmsSettled,
    Attempt,
    AttemptChanged,
    Change,
    IncidentChanged,
    Pause,
    PauseChanged,
    RepairChanged,
)
from healer.core.event import (
    Alarmed,
    Event,
    Listed,
    Observed,
    Paused,
    PoliciesLoaded,
    Released,
    Reported,
    Requested,
    Silenced,
    Snapped,
    Started,
    Unpaused,
    Woken,
)
from healer.core.incident import Incident, IncidentState, Outcome, Refusal
from healer.core.kernel import Decision, Kernel
from healer.core.model import (
    Alarm,
    AlarmStatus,
    Health,
    Observation,
    Root,
    Selector,
    Symptom,
    Target,
)
from healer.core.policy import (
    Attempts,
    Detect,
    Guardrails,
    Match,
    Mode,
    Policy,
    Remediation,
    Verify,
    Watch,
)
from healer.core.repair import Recipe, Repair
from healer.core.silence import Silence
from healer.core.state import State
from healer.core.step import Failed, Failure, Report, Step
from healer.core.turn import Perform
from tests.core.invariants import Witness
from tests.core.world import LAB, SHOP, START, TREE, TYPE, Fate, World

T = TypeVar("T", Incident, Repair)
HEALTHY, UNHEALTHY, UNKNOWN = Health.HEALTHY, Health.UNHEALTHY, Health.UNKNOWN
SYMPTOMS = {HEALTHY: Symptom.OK, UNHEALTHY: Symptom.REFUSED, UNKNOWN: Symptom.OBSERVER_LATE}
SECOND = timedelta(seconds=1)
PROBE = Watch("probe:http", SECOND, SECOND)
RECIPES = {
    recipe.action: recipe
    for recipe in (
        Recipe("reboot", (Step.INSPECT, Step.POWER)),
        Recipe(
            "replace",
            (Step.INSPECT, Step.MARK, Step.PREVIEW, Step.CONVERGE, Step.FOLLOW, Step.PROVE),
            replaces=True,
        ),
        Recipe("notify", (Step.NOTIFY,), heals=False),
    )
}
POLICY = Policy(
    name="shops",
    match=Match(stack="shop", type=TYPE),
    mode=Mode.AUTO,
    detect=Detect(
        watches=(PROBE,),
        fail_after=2,
        recover_after=2,
        startup_grace=4 * SECOND,
        settle_for=2 * SECOND,
    ),
    remediations=(Remediation("replace", timedelta(minutes=5)), Remediation("notify", timedelta(minutes=1))),
    guardrails=Guardrails(Attempts(3, timedelta(hours=1)), cooldown=timedelta(seconds=30)),
    verify=Verify(within=timedelta(minutes=1), stable_for=3 * SECOND),
)
REBOOTING = replace(POLICY, remediations=(Remediation("reboot", timedelta(minutes=2)), *POLICY.remediations))


FOR_A_PERSON = {Refusal.CONTESTED, Refusal.NO_POLICY, Refusal.BLAST_RADIUS, Refusal.FOREIGN_CHANGES}
"""What no event but a person's ends."""


@dataclass(frozen=True)
class Expectation:
    """What is expected of the latest incident of one target."""

    path: str
    state: IncidentState | None = None
    reason: Refusal | None = None
    outcome: Outcome | None = None
    rung: int | None = None

    def held(self, reason: Refusal) -> Expectation:
        return replace(self, state=IncidentState.HELD, reason=reason)

    def would_heal(self) -> Expectation:
        return replace(self, state=IncidentState.WOULD_HEAL)

    def remediating(self, rung: int = 0) -> Expectation:
        return replace(self, state=IncidentState.REMEDIATING, rung=rung)

    def verifying(self) -> Expectation:
        return replace(self, state=IncidentState.VERIFYING)

    def exhausted(self) -> Expectation:
        return replace(self, state=IncidentState.EXHAUSTED)

    def closed(self, outcome: Outcome) -> Expectation:
        return replace(self, state=IncidentState.CLOSED, outcome=outcome)


def incident(path: str) -> Expectation:
    return Expectation(path)


@dataclass
class Called:
    """A step that is out."""

    play: Play
    command: Perform

    def done(self) -> Play:
        """It is carried out and answered."""
        return self.ends(self.play.world.perform(self.command))

    def lost(self) -> Play:
        """It is carried out, and the answer is lost."""
        return self.ends(self.play.world.perform(self.command, Fate.LOST))

    def fails(self, failure: Failure, detail: str = "because") -> Play:
        """It is not carried out, and that is said."""
        return self.ends(Failed(failure, detail))

    def ends(self, report: Report) -> Play:
        self.play.out.remove(self.command)
        repair = self.command.repair
        return self.play.happens(Reported(repair.id, repair.attempt, report))


@dataclass
class Play:
    policies: tuple[Policy, ...] = (POLICY,)
    now: datetime = START
    state: State = field(default_factory=State)
    changes: list[Change] = field(default_factory=list)
    accepted: dict[str, Alarm] = field(default_factory=dict)
    """What the store has of alarms, by identity."""
    out: list[Perform] = field(default_factory=list)
    witness: Witness = field(default_factory=Witness)
    starts: int = 0
    last: Decision = field(default_factory=lambda: Decision((), (), None))

    def __post_init__(self) -> None:
        self.world = World(lambda: self.now)
        self.starts_again()

    # What happens.

    def happens(self, event: Event) -> Play:
        self.last = self.kernel.handle(event, self.now)
        self.changes += self.last.changes
        self.out += self.last.commands
        self.witness.saw(event, self.last, self.state, self.out, self.now)
        return self

    def starts_again(self) -> Play:
        """The daemon is killed; the next one has what was stored, and looks before it does anything."""
        self.dies()
        self.happens(PoliciesLoaded(self.policies, RECIPES))
        self.happens(Started())
        return self.reads(SHOP).reads(LAB)

    def dies(self) -> Play:
        self.starts += 1
        self.out.clear()
        self.witness.up = False
        self.state = stored(self.changes, self.accepted)
        self.state.unreachable = dict.fromkeys((SHOP.cloud, LAB.cloud), "it has not been read yet")
        self.kernel = Kernel(self.state, b"start %d" % self.starts)
        return self

    def reads(self, root: Root = SHOP) -> Play:
        self.happens(Listed(root.cloud, frozenset({root})))
        return self.happens(Snapped(self.world.snapshot(root)))

    def sees(self, path: str, health: Health, times: int = 1, root: Root = SHOP) -> Play:
        """One look a second, by the probe."""
        for _ in range(times):
            self.now += SECOND
            self.happens(Observed((self.look(Target(root, path), health),)))
        return self

    def look(self, target: Target, health: Health) -> Observation:
        current = self.world.current(target)
        return Observation(target, PROBE.source, health, SYMPTOMS[health], self.now, current)

    def sees_what_is(self, times: int = 1) -> Play:
        """Every probe looks, and tells the truth."""
        for _ in range(times):
            self.now += SECOND
            targets = [Target(root, path) for root in (SHOP, LAB) for path in TREE]
            looks = [self.look(t, HEALTHY if self.world.answers(t) else UNHEALTHY) for t in targets]
            self.happens(Observed(tuple(looks)))
        return self

    def kills(self, *paths: str, root: Root = SHOP) -> Play:
        self.world.dead |= {self.world.current(Target(root, path)) for path in paths}
        return self

    def passes(self, seconds: float) -> Play:
        """Time, in which the kernel is woken whenever it wants to be."""
        until = self.now + timedelta(seconds=seconds)
        for _ in range(1000):
            wake = self.last.wake_at
            if wake is None or wake > until:
                break
            self.now = max(self.now, wake)
            self.happens(Woken())
        else:
            raise AssertionError(f"it wants to be woken again and again, at {self.last.wake_at}")
        self.now = until
        return self.happens(Woken())

    def alarms(
        self,
        status: AlarmStatus,
        selector: Selector,
        *,
        since: datetime | None = None,
        key: str = "key",
    ) -> Play:
        alarm = Alarm("am", key, status, since or self.now, self.now, selector)
        if alarm.identity in self.accepted:
            return self  # The store has it: it is told nobody twice.
        self.accepted[alarm.identity] = alarm
        return self.happens(Alarmed((alarm,)))

    def asks(self, path: str, root: Root = SHOP) -> Play:
        return self.happens(Requested(Target(root, path), "alice", "now"))

    def pauses(self, scope: str = "all", until: datetime | None = None) -> Play:
        return self.happens(Paused(Pause("p", scope, "alice", "wait", self.now, until)))

    def resumes(self) -> Play:
        return self.happens(Unpaused("p", "alice"))

    def silences(self, path: str, until: datetime) -> Play:
        selector = Selector(stack="shop", resource=path)
        return self.happens(Silenced("am", (Silence("s", selector, until, "alice", "wait"),)))

    # What is asked for.

    def step(self, step: Step) -> Called:
        """The oldest step that is out, which must be this one."""
        assert [command.repair.step for command in self.out[:1]] == [step], self.out
        return Called(self, self.out[0])

    def until(self, step: Step) -> Play:
        """Let all that is out succeed, until this step is."""
        while self.out and self.out[0].repair.step is not step:
            self.answers()
        assert self.out, "nothing is out"
        return self

    def answers(self) -> Play:
        """The oldest step that is out succeeds, with all that the engine does for it."""
        command = self.out[0]
        if command.repair.step is Step.FOLLOW:
            self.world.finish(command.repair.root)
        return Called(self, command).done()

    def carries_out(self) -> Play:
        while self.out:
            self.answers()
        return self

    def expects(self, *expected: Expectation, root: Root = SHOP) -> Play:
        for one in expected:
            found = self.latest(one.path, root)
            assert found is not None, f"nothing ever failed at {one.path}"
            assert found.state is one.state, (
                f"{found.target} is {found.state}: {found.refusal or found.outcome}"
            )
            if one.reason:
                assert found.refusal is not None
                assert found.refusal.reason is one.reason, found.refusal
            assert one.outcome in {None, found.outcome}
            assert one.rung in {None, found.rung}
        return self

    def expects_nothing_out(self) -> Play:
        assert not self.out
        return self

    def expects_untouched(self, *paths: str, root: Root = SHOP) -> Play:
        for path in paths:
            assert self.world.current(Target(root, path)).endswith("-1")
        return self

    def comes_to_rest(self) -> Play:
        """All trouble is over, and everybody tells the truth: nothing goes on for ever, and nothing stays marked."""
        for pause in list(self.state.pauses):
            self.happens(Unpaused(pause, "alice"))
        self.happens(Silenced("am", ()))
        self.world.busy.clear()
        for _ in range(60):
            self.world.finish(SHOP)
            self.world.finish(LAB)
            self.reads(SHOP).reads(LAB).carries_out().sees_what_is(6)
            self.takes_back_alarms()
            for one in list(self.state.incidents.values()):
                if one.request is not None and not self.state.repairs and self.world.answers(one.target):
                    self.happens(Released(one.id, "alice"))
            if self.is_at_rest():
                break
            self.passes(90)
        assert self.is_at_rest(), [(str(i.target), i.state, i.refusal) for i in self.state.incidents.values()]
        assert not self.world.marks(), "marks are left"
        return self

    def is_at_rest(self) -> bool:
        waits = {one.target: one for one in self.state.incidents.values() if not _needs_a_person(one)}
        symptoms = [
            one
            for one in waits.values()
            if one.refusal is not None and one.refusal.reason is Refusal.UPSTREAM_FAILING
        ]
        causes = len(self.state.incidents) - len(waits) + len(self.witness.let_go)
        return not self.state.repairs and (not waits or (len(symptoms) == len(waits) and causes > 0))

    def takes_back_alarms(self) -> None:
        """What answers now has no alarm any more."""
        for alarm in [a for a in self.accepted.values() if a.status is AlarmStatus.FIRING]:
            path, stack = alarm.selector.resource, alarm.selector.stack
            meant = [Target(r, path) for r in (SHOP, LAB) if path in TREE and stack in {None, r.name}]
            if all(self.world.answers(target) for target in meant):
                self.alarms(AlarmStatus.CLEARED, alarm.selector, since=alarm.started_at, key=alarm.key)

    # What was.

    def latest(self, path: str, root: Root = SHOP) -> Incident | None:
        target = Target(root, path)
        known = [c.incident for c in self.changes if isinstance(c, IncidentChanged)]
        last = next((i for i in reversed(known) if i.target == target), None)
        return self.state.incidents.get(last.id, last) if last else None

    def settled(self) -> list[AlarmOutcome]:
        return [change.outcome for change in self.changes if isinstance(change, AlarmsSettled)]


def stored(changes: Sequence[Change], accepted: dict[str, Alarm]) -> State:
    """What a store that was given these changes gives back."""
    incidents: dict[str, Incident] = {}
    repairs: dict[str, Repair] = {}
    attempts: dict[str, Attempt] = {}
    pauses: dict[str, Pause] = {}
    alarms = dict(accepted)
    for change in changes:
        match change:
            case IncidentChanged(_, _, value, _):
                _keep(incidents, value, lambda i: i.state is IncidentState.CLOSED)
            case RepairChanged(_, _, repair, _):
                _keep(repairs, repair, lambda r: not r.is_open)
            case AttemptChanged(_, attempt, withdrawn):
                attempts[attempt.id] = attempt
                if withdrawn:
                    del attempts[attempt.id]
            case PauseChanged(_, pause, lifted_by):
                pauses[pause.id] = pause
                if lifted_by:
                    del pauses[pause.id]
            case AlarmsSettled(_, identities, _, _, _):
                for identity in identities:
                    alarms.pop(identity, None)
    return State(incidents, repairs, attempts, pauses, alarms)


def _keep(kept: dict[str, T], value: T, over: Callable[[T], bool]) -> None:
    kept[value.id] = value
    if over(value):
        del kept[value.id]


def _needs_a_person(one: Incident) -> bool:
    given_up = one.state in {IncidentState.EXHAUSTED, IncidentState.WOULD_HEAL}
    return given_up or (one.refusal is not None and one.refusal.reason in FOR_A_PERSON)
