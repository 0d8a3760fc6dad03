"""What is so once all has come to rest: all is well, or it is said why a person is needed, and nothing is left over."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from healer.core.incident import Incident, IncidentState, Refusal, Refused
from healer.core.model import Resource, Root, StackState, Target
from healer.core.planner import upstream
from healer.core.state import State
from healer.core.step import Step
from healer.declarative.resource_types import PROCESS
from healer.simulation.daemon import INSTALLATION
from healer.simulation.house import House
from healer.simulation.invariants import BrokenInvariantError

WITHIN = timedelta(hours=4)
QUIET_S = 45.0
QUIETS = 2
"""How many such times in a row nothing may be going on."""
TOLD_FOR = timedelta(minutes=2)
"""Whoever has raised an alarm waits so long before another one is raised."""
FOR_A_PERSON = {
    Refusal.ATTEMPTS,
    Refusal.BLAST_RADIUS,
    Refusal.FOREIGN_CHANGES,
    Refusal.PREVIEW_MOVED,
    Refusal.REJECTED,
    Refusal.NO_POLICY,
}
"""Why an incident may wait for ever: each says what a person has to do about it."""


def unfinished(state: State) -> Iterator[str]:
    """What is still going on; nothing is where all has come to rest."""
    for repair in state.repairs.values():
        yield f"repair {repair.id} of {repair.root} is at {repair.step}: {repair.progress}"
    stuck = _all_stuck(state)
    for incident in state.incidents.values():
        if incident.target not in stuck:
            why = incident.refusal.sentence if incident.refusal else ""
            yield f"{incident.target} is {incident.state} {why}"


def _all_stuck(state: State) -> set[Target]:
    """What waits for a person, and whatever waits for that."""
    incidents = state.incidents.values()
    stuck = {incident.target for incident in incidents if is_stuck(incident)}
    while more := {i.target for i in incidents if i.target not in stuck and _waits_for(i, stuck, state)}:
        stuck |= more
    return stuck


def is_stuck(incident: Incident) -> bool:
    """Only a person can end it, or it ends by itself."""
    if incident.state in {IncidentState.EXHAUSTED, IncidentState.WOULD_HEAL}:
        return True
    if incident.state is not IncidentState.HELD or incident.refusal is None:
        return False
    # An alarm against what is seen healthy: two witnesses contradict each other, and the sentence says so.
    contradicted = incident.refusal.reason is Refusal.UNCONFIRMED and any(incident.alarms.values())
    return contradicted or incident.refusal.reason in FOR_A_PERSON


def _waits_for(incident: Incident, stuck: set[Target], state: State) -> bool:
    """Whether it is held for something else of its stack, which is stuck."""
    root = incident.target.root
    snapshot = state.snapshots.get(root)
    match incident.refusal:
        case Refused(Refusal.DEPENDENT_GONE):
            return any(target.root == root for target in stuck)
        case Refused(Refusal.UPSTREAM_FAILING | Refusal.UNCONFIRMED) if snapshot is not None:
            return any(Target(root, path) in stuck for path in upstream(snapshot, incident.target.path))
        case _:
            return False


def come_to_rest(house: House) -> None:
    """Until nothing has been going on for a while; people see to what the daemon cannot see, or may not touch.

    Raises BrokenInvariantError where it does not come to rest, or is not left as it should be.
    """
    latest = house.clock.at + WITHIN
    quiet = 0
    while quiet < QUIETS:
        house.agenda.run(QUIET_S)
        going_on = [*unfinished(house.state), *_updates(house), *_unseen(house)]
        quiet = 0 if going_on else quiet + 1
        if house.clock.at > latest:
            raise BrokenInvariantError(f"it does not come to rest: {'; '.join(going_on)}")
    for root in house.there():
        _assert_at_rest(house, root)
    for filed in house.around.store.alarms(limit=10_000):
        if filed.outcome is None:
            raise BrokenInvariantError(f"alarm {filed.alarm.identity} was accepted, and is not settled")


def _updates(house: House) -> Iterator[str]:
    """Stacks in progress. One that hangs, or that no healer may touch, a person updates."""
    state, cloud = house.state, house.cloud
    for root in house.there():
        repair, incidents = state.repair_of(root), state.incidents_of(root)
        hangs = cloud.hangs(root) and (repair is None or repair.step is Step.UNMARK)
        failed = repair is None and not cloud.busy(root) and cloud.state(root) is StackState.FAILED
        # Whoever looks after a stack sees that it is FAILED, though nothing in it fails.
        foreign = any(i.refusal and i.refusal.reason is Refusal.FOREIGN_CHANGES for i in incidents)
        if hangs or (failed and (foreign or not incidents)):
            house.note(f"a person updates {root}, which {'hangs' if hangs else 'was left FAILED'}")
            house.tally.finished += 1
            cloud.update_by_another(root)
        if cloud.busy(root):
            yield f"{root} is in progress"


def _unseen(house: House) -> Iterator[str]:
    """What is broken, and has no incident: somebody raises an alarm, which a daemon without probes must be told by."""
    for root in house.there():
        for resource in house.processes(root):
            target = Target(root, resource.path)
            if not _is_broken(house, root, resource) or house.state.incident_of(target):
                continue
            yield f"{target} is broken"
            of_it = [
                each for each in house.monitor.senders if (each.root, each.path) == (root, resource.path)
            ]
            if not any(not each.over and each.started_at > house.clock.at - TOLD_FOR for each in of_it[-1:]):
                house.invariants.damaged[resource.incarnation.physical_id] = house.clock.at
                house.monitor.fire(root, resource.path, 0)


def _is_broken(house: House, root: Root, resource: Resource) -> bool:
    """Itself, or in what it was told; not so what is only just coming up, or requires what is broken."""
    physical_id = resource.incarnation.physical_id
    well = house.cloud.world(root).is_well(physical_id, house.clock.at)
    return not well or house.cloud.is_lost(root, physical_id)


def _assert_at_rest(house: House, root: Root) -> None:
    """The stack is as it should be left."""
    resources = house.cloud.resources(root)
    for resource in resources:
        if resource.marked and resource.reason.startswith(f"healer:{INSTALLATION}/"):
            raise BrokenInvariantError(f"{resource.path} of {root} is left marked by us: {resource.reason}")
    for resource in resources:
        if resource.type == PROCESS:
            _assert_well(house, root, resource)
    _assert_no_strays(house, root, resources)


def _assert_well(house: House, root: Root, resource: Resource) -> None:
    world, physical_id, target = (
        house.cloud.world(root),
        resource.incarnation.physical_id,
        Target(root, resource.path),
    )
    if house.state.incident_of(target) is not None:
        return
    if not world.is_well(physical_id, world.at):
        raise BrokenInvariantError(f"{target} is broken, and no incident says so")
    # An update that failed half way may not have told it; then another incident of the stack says what is to be done.
    told = house.state.incidents_of(root) and house.cloud.state(root) is StackState.FAILED
    if house.cloud.is_lost(root, physical_id) and not told:
        raise BrokenInvariantError(f"{target} was not told of what there is now, and no incident says so")


def _assert_no_strays(house: House, root: Root, resources: list[Resource]) -> None:
    listed = {resource.incarnation.physical_id for resource in resources}
    strays = house.cloud.world(root).items.keys() - listed
    if strays and house.cloud.state(root) is StackState.COMPLETE:
        raise BrokenInvariantError(f"{root} is complete, and there are strays: {sorted(strays)}")
