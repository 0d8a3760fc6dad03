"""What must never happen, looked for after everything that does, and what must be so once all has come to rest."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from healer.core.change import AlarmsSettled, IncidentChanged, RepairChanged
from healer.core.event import Event
from healer.core.guardrails import CLOCKS_APART
from healer.core.incident import Incident, IncidentState, Outcome
from healer.core.kernel import Decision
from healer.core.maintenance import pause_on
from healer.core.model import Health, Incarnation, Root, StackState
from healer.core.planner import Plan, upstream
from healer.core.repair import Repair
from healer.core.state import State
from healer.core.step import Step
from healer.engines.simulated import Simulated
from healer.engines.simulated.clock import START
from healer.engines.simulated.trouble import Call
from healer.engines.simulated.world import World
from healer.simulation.looks import PROBE
from healer.simulation.senders import Monitor
from healer.simulation.surroundings import Surroundings

MUTATING = {
    Call.MARK: Step.MARK,
    Call.UNMARK: Step.UNMARK,
    Call.CONVERGE: Step.CONVERGE,
    Call.POWER: Step.POWER,
}
ON_ITS_WAY = timedelta(seconds=1)
"""A call that was sent before the stop came may arrive after it; within a second nothing does."""
SEEN_LATE = timedelta(seconds=25)
"""Between the moment at which something breaks and the one at which that can be known: two looks, and their way."""


class BrokenInvariantError(Exception):
    """What must never happen has happened."""


class Invariants:
    """The witness of one history. All that it knows of the things is the truth; the daemon must find it out."""

    def __init__(self, monitor: Monitor) -> None:
        self.damaged: dict[str, datetime] = {}
        """Physical id → when something was last done to it that it suffers from."""
        self.healed = 0
        self.updates = 0
        self.stopped_since: datetime | None = None
        self.awake_since = START
        """When the machine was last suspended, until then."""
        self.around: Surroundings
        self._monitor = monitor
        self._closed: set[str] = set()
        self._settled: set[str] = set()
        self._planned: set[str] = set()
        """Physical ids of all that some repair has said it would replace."""
        self._powered: set[tuple[str, str]] = set()
        self._converged: set[tuple[str, str]] = set()
        """Repairs that have asked for an update, by id and position."""
        self._gone: set[str] = set()
        """Physical ids of what an engine has deleted, and was to."""
        self._backed: dict[str, str] = {}
        """Key of a wrong alarm → the one incident that it led to."""

    @property
    def now(self) -> datetime:
        return self.around.agenda.clock.at

    # What the kernel decides.

    def decided(self, event: Event, decision: Decision) -> None:
        del event
        for change in decision.changes:
            match change:
                case IncidentChanged(_, kind, incident, note):
                    self._incident(kind, incident, note.get("by", ""))
                case RepairChanged(_, kind, repair, _):
                    self._repair(kind, repair)
                case AlarmsSettled(_, identities, _, _, _):
                    for identity in identities:
                        self._once(self._settled, identity, "an alarm is settled twice")
                case _:
                    continue

    def _incident(self, kind: str, incident: Incident, by: str) -> None:
        if incident.id in self._closed:
            raise BrokenInvariantError(f"{incident.target} is {kind} in an incident that was closed")
        match incident.state:
            case IncidentState.HELD | IncidentState.WOULD_HEAL:
                refused = incident.refusal
                if refused is None or not refused.sentence or refused.look_again.tzinfo is None:
                    raise BrokenInvariantError(f"{incident.target} is held without a reason: {refused}")
            case IncidentState.CLOSED:
                self._closed.add(incident.id)
                if incident.outcome is Outcome.HEALED:
                    self._is_healed(incident, by)
            case _:
                return

    def _is_healed(self, incident: Incident, by: str) -> None:
        """The thing that stands there is well; what has happened to it since it could last be seen does not count."""
        self.healed += 1
        root = incident.target.root
        physical_id = incident.current.physical_id
        recently = self.damaged.get(physical_id, self.now) > self.now - SEEN_LATE
        world = self._world(root)
        if world is None or (physical_id in self.damaged and recently):
            return
        self._taken(root)
        if physical_id not in world.items:
            seen = self.around.engine.tells or (by == "check" and self._can_see(incident))
            if physical_id not in self._gone and seen:
                raise BrokenInvariantError(
                    f"{incident.target} is healed ({by}), and {physical_id} is not there"
                )
        elif by == "check" and self._can_see(incident) and not world.is_well(physical_id, self.now):
            raise BrokenInvariantError(f"{incident.target} is healed by check, and {physical_id} is not well")

    def _can_see(self, incident: Incident) -> bool:
        """Whether whoever looks after it sees more than that it exists, and goes on looking."""
        policy = next((each for each in self.around.policies if each.name == incident.policy), None)
        return policy is not None and any(watch.source == PROBE for watch in policy.detect.watches)

    def _repair(self, kind: str, repair: Repair) -> None:
        if repair.plan is not None:
            self._planned |= given_up(repair.plan)
        if kind == "admitted":
            self._may_begin(repair)
        if kind == "ended":
            self._taken(repair.root)

    def _may_begin(self, repair: Repair) -> None:
        """No more is given up than its policies allow, and nobody else's half-done change is finished."""
        state = self.around.store.load()
        policies = {policy.name: policy for policy in self.around.policies}
        incidents = [state.incidents[each] for each in repair.members]
        bounds = [policies[each.policy].guardrails.blast_radius for each in incidents]
        planned = repair.plan
        if planned is not None:
            types = {one.type for one in planned.condemned} | {one.type for one in planned.collateral}
            for bound in bounds:
                allowed = Simulated.rebuildable if bound.may_replace is None else bound.may_replace
                if not types <= allowed or len(planned.collateral) > sum(b.collateral for b in bounds):
                    raise BrokenInvariantError(f"{repair.root}: more is given up than the policy allows")
        cloud = self.around.engine.cloud
        failed_at = cloud.left_failed_by_another(repair.root) if cloud.has(repair.root) else None
        if repair.recipe.heals and failed_at is not None and self._is_long_since(failed_at + ON_ITS_WAY):
            # One that began after a mark of ours and failed cannot be told from our own.
            ours = [
                a.ended_at
                for a in state.attempts.values()
                if a.target.root == repair.root and not a.succeeded
            ]
            if all(ended is None or ended + CLOCKS_APART < failed_at for ended in ours):
                raise BrokenInvariantError(f"{repair.root} is healed, and was left FAILED by somebody else")

    def _taken(self, root: Root) -> None:
        """Whatever the engine has deleted was to be: by a plan, by somebody else, or because it was broken."""
        world = self._world(root)
        if world is None:
            return
        others = self.around.engine.cloud.given_up_by_others(root)
        for physical_id in world.taken:
            if physical_id not in self._planned | others | self.damaged.keys():
                raise BrokenInvariantError(f"{physical_id} of {root} was replaced, and no plan said so")
            self._gone.add(physical_id)
        world.taken.clear()

    # What the daemon does.

    def called(self, call: Call, root: Root | None, which: Incarnation | None) -> None:
        step = MUTATING.get(call)
        if step is None or root is None:
            return
        state = self.around.store.load()
        repair = self._committed(state, root, step)
        if step is not Step.UNMARK:
            self._may_touch(state, repair, step)
        if which is None:
            return
        if step is Step.MARK:
            self._may_mark(state, repair, which)
        if step is Step.POWER:
            what = (repair.id, which.physical_id)
            self._once(self._powered, what, f"{which.physical_id} is restarted twice by one repair")
            self._is_at_fault(state, repair, which)

    def _committed(self, state: State, root: Root, step: Step) -> Repair:
        """The repair that takes this step: it is stored by then that it does."""
        repair = state.repair_of(root)
        if repair is None or step not in repair.began or repair.step is not step:
            raise BrokenInvariantError(f"{step} of {root} is performed, and stored is {repair}")
        if step is Step.CONVERGE:
            self._is_no_repetition(repair)
            self.updates += len(repair.members)
            attempted = {f"{repair.id}/{member}" for member in repair.members}
            if not attempted <= state.attempts.keys():
                raise BrokenInvariantError(f"{root} is updated, and no attempt is recorded")
        return repair

    def _is_no_repetition(self, repair: Repair) -> None:
        """Whoever asks for the second time has looked whether the first was heard.

        Where it is asked on purpose for what is in progress, it is the engine that does nothing twice.
        """
        asked = (repair.id, repair.position)
        began = self.around.engine.cloud.keeper(repair.root).begun_at(repair.position)
        heard = began is not None and self._is_long_since(began)
        if heard and asked in self._converged and not repair.resumed:
            raise BrokenInvariantError(f"{repair.root} is updated once more, and that had begun already")
        self._converged.add(asked)

    def _may_touch(self, state: State, repair: Repair, step: Step) -> None:
        stopped = self.stopped_since
        if stopped is not None and self._is_long_since(stopped):
            raise BrokenInvariantError(f"{step} of {repair.root} is performed while the stop file is there")
        for incident in (state.incidents[i] for i in repair.members if i in state.incidents):
            paused = pause_on(state, incident, self.now) is not None
            began = max((pause.at for pause in state.pauses.values()), default=self.now)
            since = began if paused else self.around.silenced_since(incident.target)
            if since is not None and self._is_long_since(since):
                raise BrokenInvariantError(f"{step} of {repair.root} is performed while that is put aside")

    def _is_long_since(self, moment: datetime) -> bool:
        """Longer than a call is on its way, that was sent before; while the machine is suspended nothing moves."""
        return self.now > max(moment, self.awake_since) + ON_ITS_WAY

    def _may_mark(self, state: State, repair: Repair, which: Incarnation) -> None:
        condemned = repair.plan.condemned if repair.plan else ()
        if which not in {each.incarnation for each in condemned}:
            raise BrokenInvariantError(f"{which} is marked, and not condemned by {repair.id}")
        self._is_at_fault(state, repair, which)

    def _is_at_fault(self, state: State, repair: Repair, which: Incarnation) -> None:
        """It is, or was, broken itself; or somebody was wrong about it, and then about this one alone."""
        physical_id = which.physical_id
        world = self._world(repair.root)
        if world is None or physical_id in self.damaged or physical_id not in world.items:
            return
        if world.items[physical_id].ailment is not None or physical_id in self._failed(repair.root):
            return
        if self.around.engine.cloud.is_lost(repair.root, physical_id):
            return
        if self._looks_at_fault(state, repair.root, which, world):
            return
        incidents = [state.incidents[each] for each in repair.members if each in state.incidents]
        for incident in incidents:
            asked = incident.request is not None
            if incident.current == which and (asked or self._is_backed(incident)):
                return
        raise BrokenInvariantError(
            f"{which.name} {physical_id} of {repair.root} is well, and is to be healed"
        )

    def _looks_at_fault(self, state: State, root: Root, which: Incarnation, world: World) -> bool:
        """It does not answer because of something that it requires, and of that nobody has said a word yet."""
        if world.sight(which.physical_id, self.now).health is Health.HEALTHY:
            return False
        snapshot = self.around.engine.cloud.keeper(root).snapshot()
        here = (each.path for each in snapshot.resources.values() if each.incarnation == which)
        required = frozenset(path for each in here for path in upstream(snapshot, each))
        known = {incident.target.path for incident in state.incidents_of(root)}
        there = [snapshot.resources[path] for path in required if path in snapshot.resources]
        ids = [resource.incarnation.physical_id for resource in there]
        return not known & required and any(not world.is_well(each, self.now) for each in ids)

    def _failed(self, root: Root) -> set[str]:
        """Physical ids of what is FAILED in the books: somebody has marked it, or an update of it has failed."""
        return {
            resource.incarnation.physical_id
            for resource in self.around.engine.cloud.resources(root)
            if resource.state is StackState.FAILED
        }

    def _is_backed(self, incident: Incident) -> bool:
        """By an alarm that was wrong; and that is good for one incident, however high it climbs."""
        for sender in self._monitor.senders:
            about = (sender.root, sender.path) == (incident.target.root, incident.target.path)
            wrong = sender.wrong_until is not None
            if about and wrong and self._backed.setdefault(sender.key, incident.id) == incident.id:
                return True
        return False

    def _world(self, root: Root) -> World | None:
        """The things of the stack, if there is such a stack."""
        return self.around.engine.cloud.world(root) if self.around.engine.cloud.has(root) else None

    @staticmethod
    def _once(seen: set[Any], what: Any, says: str) -> None:
        if what in seen:
            raise BrokenInvariantError(says)
        seen.add(what)


def given_up(plan: Plan) -> set[str]:
    """Physical ids of all that it says will be replaced."""
    return {plan.before[path] for path in plan.replaced}
