"""What is so once all has come to rest: all is well, or it is said why a person is needed, and nothing is left over."""

from __future__ import annotations

from collections.abc import Iterator

from healer.core.detector import is_alarm
from healer.core.incident import Incident, IncidentState, Refusal, Refused
from healer.core.model import Resource, Root, StackState, Target
from healer.core.planner import upstream
from healer.core.state import State
from healer.declarative.resource_types import PROCESS
from healer.engines.simulated import Simulated
from healer.simulation.daemon import INSTALLATION
from healer.simulation.invariants import BrokenInvariantError

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
    contradicted = incident.refusal.reason is Refusal.UNCONFIRMED and is_alarm(incident.source)
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


def assert_at_rest(engine: Simulated, root: Root, state: State) -> None:
    """Raises BrokenInvariantError where the stack is not as it should be left."""
    resources = engine.cloud.resources(root)
    for resource in resources:
        if resource.marked and resource.reason.startswith(f"healer:{INSTALLATION}/"):
            raise BrokenInvariantError(f"{resource.path} of {root} is left marked by us: {resource.reason}")
    for resource in resources:
        if resource.type == PROCESS:
            _assert_well(engine, root, resource, state)
    _assert_no_strays(engine, root, resources)


def _assert_well(engine: Simulated, root: Root, resource: Resource, state: State) -> None:
    world, physical_id, target = (
        engine.cloud.world(root),
        resource.incarnation.physical_id,
        Target(root, resource.path),
    )
    if state.incident_of(target) is not None:
        return
    if not world.is_well(physical_id, world.at):
        raise BrokenInvariantError(f"{target} is broken, and no incident says so")
    # An update that failed half way may not have told it; then another incident of the stack says what is to be done.
    told = state.incidents_of(root) and engine.cloud.state(root) is StackState.FAILED
    if engine.cloud.is_lost(root, physical_id) and not told:
        raise BrokenInvariantError(f"{target} was not told of what there is now, and no incident says so")


def _assert_no_strays(engine: Simulated, root: Root, resources: list[Resource]) -> None:
    listed = {resource.incarnation.physical_id for resource in resources}
    strays = engine.cloud.world(root).items.keys() - listed
    if strays and engine.cloud.state(root) is StackState.COMPLETE:
        raise BrokenInvariantError(f"{root} is complete, and there are strays: {sorted(strays)}")
