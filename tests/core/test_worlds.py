"""Histories in a world that answers, whose next event is drawn from what may happen now; daemons die in between.

The invariants are looked at after each event, what is replaced is known to have failed or been asked for, and in
the end, with all trouble over, everything comes to rest and nothing stays marked.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from healer.core.change import IncidentChanged
from healer.core.event import Listed, PoliciesLoaded, Released, Reported, Resumed, Snapped, Unreachable, Woken
from healer.core.incident import Outcome
from healer.core.model import AlarmStatus, Health, Root, Selector, Snapshot, Target
from healer.core.policy import Attempts, Guardrails, Match, Mode, Policy, Remediation
from healer.core.step import NATURE, Done, Failure, Step
from tests.core.invariants import changes_nothing
from tests.core.playbook import POLICY, RECIPES, Called, Play
from tests.core.world import LAB, SHOP, TREE, TYPE, Fate

QUICK = Guardrails(Attempts(4, timedelta(minutes=30)), cooldown=timedelta(seconds=20))
LADDER = (
    Remediation("reboot", timedelta(minutes=2)),
    Remediation("replace", timedelta(minutes=5)),
    Remediation("replace", timedelta(minutes=5)),
    Remediation("notify", timedelta(minutes=1)),
)
AUTO = replace(POLICY, remediations=LADDER[1:], guardrails=QUICK)
POLICIES: tuple[tuple[Policy, ...], ...] = (
    (AUTO, replace(AUTO, name="labs", match=Match(stack="lab", type=TYPE), mode=Mode.OBSERVE)),
    (replace(AUTO, remediations=LADDER),),
    (replace(AUTO, remediations=LADDER[2:]),),
    (replace(AUTO, name="renamed", match=Match(type=TYPE)),),
    (AUTO, replace(AUTO, name="dbs", match=Match(resource="db"))),
    (),
)
paths = st.sampled_from(sorted(TREE))
roots = st.sampled_from([SHOP, SHOP, LAB])
HAT = (
    "it_is_woken_too_early",
    "a_late_answer_comes",
    "a_probe_errs",
    "time_is_lost",
    "another_hand_replaces_something",
    "another_hand_begins_or_ends_an_update",
    "another_hand_begins_or_ends_an_update",
    "somebody_asks",
    "somebody_pauses",
    "somebody_resumes",
    "somebody_resumes",
    "somebody_silences",
    "somebody_lets_go",
    "policies_change",
    "a_stack_is_read",
    "a_slow_reading_begins",
    "a_slow_reading_ends",
    "a_cloud_is_away_for_a_while",
    "the_daemon_dies",
    "the_daemon_dies",
)


def refusals(step: Step) -> list[Failure]:
    """How a call may end without having been carried out. Marks of ours are never said to be somebody else's."""
    never = {Failure.UNREACHABLE, Failure.GONE} | ({Failure.STALE} if step is Step.UNMARK else set())
    return sorted(NATURE[step].failures - never)


class Worlds(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.play = Play(POLICIES[0])
        self.overtaken: list[Snapshot] = []

    # What breaks, and what is seen of it.

    @rule(broken=st.lists(paths, min_size=1, max_size=3, unique=True), root=roots, noticed=st.booleans())
    def something_dies(self, broken: list[str], root: Root, noticed: bool) -> None:
        self.play.kills(*broken, root=root)
        if noticed:
            self.play.sees_what_is(2).passes(2)

    @precondition(lambda self: self.play.world.dead)
    @rule(data=st.data())
    def something_comes_back(self, data: st.DataObject) -> None:
        self.play.world.dead.discard(data.draw(st.sampled_from(sorted(self.play.world.dead))))

    @rule(times=st.integers(1, 5))
    def the_probes_look(self, times: int) -> None:
        self.play.sees_what_is(times)

    @rule(seconds=st.sampled_from([0.5, 1, 3, 10, 40, 400]))
    def time_passes(self, seconds: float) -> None:
        self.play.passes(seconds)

    @rule(
        path=paths,
        stack=st.sampled_from(["shop", "shop", "lab", None]),
        status=st.sampled_from(AlarmStatus),
        old=st.integers(0, 100),
        by_id=st.booleans(),
    )
    def somebody_sends_an_alarm(
        self, path: str, stack: str | None, status: AlarmStatus, old: int, by_id: bool
    ) -> None:
        physical_id = self.play.world.current(Target(SHOP, path)) if by_id and stack == "shop" else None
        selector = Selector(stack=stack, resource=path, physical_id=physical_id)
        key, since = f"{stack}/{path}", self.play.now - timedelta(seconds=old)
        begun = [alarm for alarm in self.play.accepted.values() if alarm.key == key]
        if status is AlarmStatus.CLEARED and begun:
            selector, since = begun[-1].selector, begun[-1].started_at
        elif begun and since <= begun[-1].started_at:
            return  # No alarm begins before its last one.
        self.play.alarms(status, selector, since=since, key=key)

    # Answers to what is out: most of them good, so that histories get somewhere.

    @rule(rounds=st.integers(1, 3))
    def all_goes_well_for_a_while(self, rounds: int) -> None:
        for _ in range(rounds):
            self.play.carries_out().sees_what_is(3).passes(2)

    @precondition(lambda self: self.play.out)
    @rule(how_many=st.integers(1, 4))
    def it_is_carried_out(self, how_many: int) -> None:
        for _ in range(how_many):
            if self.play.out:
                self.play.answers()

    @precondition(lambda self: self.play.out)
    @rule(which=st.integers(0, 9), fate=st.sampled_from(Fate))
    def it_is_carried_out_or_not(self, which: int, fate: Fate) -> None:
        called = Called(self.play, self.play.out[which % len(self.play.out)])
        called.ends(self.play.world.perform(called.command, fate))

    @precondition(lambda self: self.play.out)
    @rule(which=st.integers(0, 9))
    def it_is_refused(self, which: int) -> None:
        command = self.play.out[0]
        allowed = refusals(command.repair.step)
        if allowed:
            Called(self.play, command).fails(allowed[which % len(allowed)])

    @rule(root=roots, well=st.booleans(), passes_by=st.booleans())
    def an_update_of_ours_ends(self, root: Root, well: bool, passes_by: bool) -> None:
        self.play.world.finish(root, well=well, passes_by=passes_by)

    # All else that may come between; drawn from one hat, so that it does not drown what it comes between.

    @rule(data=st.data(), what=st.sampled_from(HAT))
    def something_comes_between(self, data: st.DataObject, what: str) -> None:
        getattr(self, what)(data)

    def it_is_woken_too_early(self, _: st.DataObject) -> None:
        wake = self.play.last.wake_at
        if wake is None or wake > self.play.now:
            event = Woken()
            changes_nothing(event, self.play.happens(event).last)

    def a_late_answer_comes(self, _: st.DataObject) -> None:
        for command in list(self.play.out):
            late = Reported(command.repair.id, command.repair.attempt - 1, Done())
            changes_nothing(late, self.play.happens(late).last)

    def a_probe_errs(self, data: st.DataObject) -> None:
        health = data.draw(st.sampled_from(Health))
        times = data.draw(st.integers(1, 3))
        self.play.sees(data.draw(paths), health, times, root=data.draw(roots))

    def time_is_lost(self, _: st.DataObject) -> None:
        self.play.now += timedelta(minutes=10)
        self.play.happens(Resumed(600))

    def another_hand_replaces_something(self, data: st.DataObject) -> None:
        root = data.draw(roots)
        if not self.play.world.snapshot(root).busy:
            self.play.world.replace(Target(root, data.draw(paths)))

    def another_hand_begins_or_ends_an_update(self, data: st.DataObject) -> None:
        root = data.draw(roots)
        if root in self.play.world.busy:
            self.play.world.busy.remove(root)
        elif not self.play.world.snapshot(root).busy:
            self.play.world.busy.add(root)

    def somebody_asks(self, data: st.DataObject) -> None:
        self.play.asks(data.draw(paths), data.draw(roots))

    def somebody_pauses(self, data: st.DataObject) -> None:
        scope = data.draw(st.sampled_from(["all", "stack:shop", "policy:shops", "cloud:there"]))
        self.play.pauses(scope, data.draw(st.sampled_from([None, self.play.now + timedelta(seconds=30)])))

    def somebody_resumes(self, _: st.DataObject) -> None:
        self.play.resumes()

    def somebody_silences(self, data: st.DataObject) -> None:
        """Or ends it: whatever was silenced before is not any more."""
        seconds = data.draw(st.sampled_from([0, 5, 600]))
        self.play.silences(data.draw(paths), self.play.now + timedelta(seconds=seconds))

    def somebody_lets_go(self, data: st.DataObject) -> None:
        if self.play.state.incidents:
            which = data.draw(st.sampled_from(sorted(self.play.state.incidents)))
            self.play.happens(Released(which, "alice"))

    def policies_change(self, data: st.DataObject) -> None:
        self.play.policies = data.draw(st.sampled_from(POLICIES))
        self.play.happens(PoliciesLoaded(self.play.policies, RECIPES))

    def a_stack_is_read(self, data: st.DataObject) -> None:
        self.play.reads(data.draw(roots))

    def a_slow_reading_begins(self, data: st.DataObject) -> None:
        self.overtaken.append(self.play.world.snapshot(data.draw(roots)))

    def a_slow_reading_ends(self, _: st.DataObject) -> None:
        if self.overtaken:
            self.play.happens(Snapped(self.overtaken.pop(0)))

    def a_cloud_is_away_for_a_while(self, data: st.DataObject) -> None:
        root = data.draw(roots)
        self.play.happens(Unreachable(root.cloud, "down")).passes(2)
        self.play.happens(Listed(root.cloud, frozenset({root})))

    def the_daemon_dies(self, _: st.DataObject) -> None:
        self.play.starts_again()

    # What must hold beyond the book.

    @invariant()
    def what_is_marked_is_in_somebody_s_hand(self) -> None:
        assert self.play.world.marks() <= set(self.play.state.repairs)

    @invariant()
    def nothing_is_replaced_but_what_an_attempt_was_made_on(self) -> None:
        assert set(self.play.world.replaced) <= {a.physical_id for a in self.play.state.attempts.values()}

    @invariant()
    def what_is_healed_was_healed_by_somebody(self) -> None:
        healed = [
            c.incident
            for c in self.play.last.changes
            if isinstance(c, IncidentChanged) and c.incident.outcome is Outcome.HEALED
        ]
        attempted = {attempt.incident for attempt in self.play.state.attempts.values()}
        assert {incident.id for incident in healed} <= attempted

    def teardown(self) -> None:
        self.play.policies = self.play.policies or POLICIES[0]
        self.play.happens(PoliciesLoaded(self.play.policies, RECIPES)).comes_to_rest()


TestWorlds = Worlds.TestCase
TestWorlds.settings = settings(
    max_examples=150,
    stateful_step_count=50,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
