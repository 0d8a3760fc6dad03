"""What was seen, and what that means for targets and incidents: snapshots, listings, observations, demands."""

from __future__ import annotations

from dataclasses import replace

from healer.core import verification
from healer.core.detector import Track, is_alarm, observe
from healer.core.incident import WAITING, Demanded, Incident, IncidentState, Outcome, Refusal, Request
from healer.core.model import Health, Observation, Root, Snapshot, Symptom, Target
from healer.core.planner import upstream
from healer.core.policy import Owned, Policy, owner
from healer.core.turn import Turn

_ENDS_BY_ITSELF = {*WAITING, IncidentState.EXHAUSTED}


def snapped(turn: Turn, snapshot: Snapshot) -> None:
    """A complete reading: what was replaced, or is gone, ends its incident and forgets what was seen of it."""
    state, root = turn.state, snapshot.root
    before = state.snapshots.get(root)
    if before is not None and snapshot.taken_at < before.taken_at:
        return  # Somebody else began to read later, and was faster: what this one saw may be gone.
    state.snapshots[root] = snapshot
    assign_owners(turn, snapshot)
    for target in [t for t in state.tracks if t.root == root]:
        resource = snapshot.resources.get(target.path)
        previous = before.resources.get(target.path) if before else None
        if resource is None or (previous and previous.incarnation != resource.incarnation):
            incident = state.incident_of(target)
            if incident is None or incident.state is not IncidentState.REMEDIATING:
                del state.tracks[target]
    if before is not None and _was_changed(before, snapshot):
        for target in [t for t in state.tracks if t.root == root]:
            turn.reset_tracks(target, snapshot.taken_at)
    for incident in state.incidents_of(root):
        _compare(turn, incident, snapshot)
    outdated = {Refusal.CLOUD_UNREACHABLE, Refusal.CONTESTED, Refusal.NO_POLICY}
    turn.reconsider(root, *(outdated if snapshot.busy else outdated | {Refusal.STACK_BUSY}))


def _was_changed(before: Snapshot, after: Snapshot) -> bool:
    """Whether an update has ended since: what was seen meanwhile may have been mended by its end."""
    return not after.busy and (bool(before.busy) or before.updated_at != after.updated_at)


def _compare(turn: Turn, incident: Incident, snapshot: Snapshot) -> None:
    resource = snapshot.resources.get(incident.target.path)
    if resource is None:
        if incident.state is not IncidentState.REMEDIATING:
            turn.state.tracks.pop(incident.target, None)
            turn.close(incident, Outcome.GONE, {"detail": "the stack has no such resource any more"})
        return
    if resource.incarnation == incident.current or incident.state is IncidentState.REMEDIATING:
        return
    if not resource.incarnation.physical_id:
        # A replacement that is being made, or could not be: the place is empty, and the failure is none the less.
        emptied = replace(incident, incarnation=resource.incarnation, successor=None)
        turn.keep(emptied, "emptied", {"status": resource.status, "reason": resource.reason})
        turn.reconsider(incident.target.root, Refusal.UNCONFIRMED, Refusal.STARTUP_GRACE)
        return
    # What was seen of its predecessor must not hide that the successor fails as well.
    turn.state.tracks.pop(incident.target, None)
    turn.close(incident, Outcome.SUPERSEDED, {"successor": resource.incarnation.physical_id})


def assign_owners(turn: Turn, snapshot: Snapshot) -> None:
    owners = turn.state.owners
    for target in [t for t in owners if t.root == snapshot.root]:
        del owners[target]
    for resource in snapshot.resources.values():
        found = owner(turn.state.policies, snapshot, resource)
        if found is not None:
            owners[Target(snapshot.root, resource.path)] = found
    for incident in turn.state.incidents_of(snapshot.root):
        _adopt(turn, incident)


def _adopt(turn: Turn, incident: Incident) -> None:
    """What waits, and whose policy does not exist any more, is from now on the policy's that owns its target."""
    owned = turn.state.owners.get(incident.target)
    orphaned = incident.state in WAITING and turn.state.policy(incident.policy) is None
    if orphaned and isinstance(owned, Owned):
        adopted = replace(incident, policy=owned.policy.name, rung=0)
        turn.keep(adopted, "adopted", {"policy": owned.policy.name, "before": incident.policy})


def reassign(turn: Turn) -> None:
    """Other policies: who owns what is worked out anew, and what nobody looks for any more is forgotten."""
    state = turn.state
    for snapshot in state.snapshots.values():
        assign_owners(turn, snapshot)
    for target, tracks in state.tracks.items():
        owned = state.owners.get(target)
        wanted = {w.source for w in owned.policy.detect.watches} if isinstance(owned, Owned) else set()
        state.tracks[target] = {s: track for s, track in tracks.items() if s in wanted or is_alarm(s)}


def listed(turn: Turn, cloud: str, roots: frozenset[Root]) -> None:
    """A complete listing: a stack that is not in it is gone."""
    state = turn.state
    state.unreachable.pop(cloud, None)
    for root in [r for r in state.snapshots if r.cloud == cloud and r not in roots]:
        del state.snapshots[root]
        for target in [t for t in state.owners if t.root == root]:
            del state.owners[target]
        for target in [t for t in state.tracks if t.root == root]:
            del state.tracks[target]
    for incident in list(state.incidents.values()):
        root = incident.target.root
        if root.cloud == cloud and root not in roots and incident.state is not IncidentState.REMEDIATING:
            turn.close(incident, Outcome.GONE, {"detail": "there is no such stack any more"})
    for root in roots:
        turn.reconsider(root, Refusal.CLOUD_UNREACHABLE)


def observed(turn: Turn, seen: Observation) -> None:
    """One more look. Most say nothing new, and then nothing happens."""
    state, target = turn.state, seen.target
    owned = state.owners.get(target)
    if not isinstance(owned, Owned):
        return
    if not seen.judged and all(watch.source != seen.source for watch in owned.policy.detect.watches):
        return  # A look that another policy asked for.
    current = state.snapshots[target.root].resources[target.path].incarnation.physical_id
    if seen.physical_id is not None and seen.physical_id != current:
        return  # About an incarnation that is no more.
    tracks = state.tracks.setdefault(target, {})
    before = tracks.get(seen.source, Track())
    after = observe(before, seen, owned.policy.detect)
    if after is before:
        return
    tracks[seen.source] = after
    incident = state.incident_of(target)
    if incident is None:
        # What a person has let go of stays so until it has been healthy.
        if after.failing and not before.failing:
            open_incident(turn, target, owned.policy, seen)
    else:
        _review(turn, incident, seen)


def _review(turn: Turn, incident: Incident, seen: Observation) -> None:
    if incident.state is IncidentState.VERIFYING:
        verification.review(turn, incident)
    elif incident.state in _ENDS_BY_ITSELF and verification.is_over(turn, incident):
        cleared = seen.symptom is Symptom.CLEARED
        turn.close(incident, Outcome.CANCELLED if cleared else Outcome.RECOVERED, {"detail": seen.detail})
    else:
        turn.reconsider(incident.target.root, Refusal.UNCONFIRMED, Refusal.STARTUP_GRACE)


def open_incident(
    turn: Turn, target: Target, policy: Policy | None, seen: Observation, request: Request | None = None
) -> Incident:
    """One more failure. It settles first where a cause, or others of the stack, may still show themselves."""
    resource = turn.state.snapshots[target.root].resources[target.path]
    settle = policy.detect.settle_for if policy and not request and _has_company(turn, target) else None
    incident = Incident(
        id=turn.ids.new(turn.now),
        target=target,
        incarnation=resource.incarnation,
        type=resource.type,
        policy=policy.name if policy else "",
        source=seen.source,
        symptom=seen.symptom,
        detail=seen.detail,
        opened_at=turn.now,
        wake_at=turn.now + settle if settle else turn.now,
        request=request,
    )
    turn.reconsider(target.root)
    note = {"source": seen.source, "symptom": seen.symptom, "detail": seen.detail}
    return turn.keep(incident, "opened", note)


def _has_company(turn: Turn, target: Target) -> bool:
    """Whether anything that is looked after could be the cause, or fail by the same one."""
    others = (t for t in turn.state.owners if t.root == target.root and t != target)
    return any(True for _ in others) or bool(
        upstream(turn.state.snapshots[target.root], target.path) & {t.path for t in turn.state.owners}
    )


def requested(turn: Turn, target: Target, who: str, why: str) -> None:
    """An operator's demand. What is being healed already is left to it."""
    request = Request(who, why, turn.now)
    snapshot = turn.state.snapshots.get(target.root)
    resource = snapshot.resources.get(target.path) if snapshot else None
    if resource is None or resource.is_stack:
        return  # A group or a nested stack would be replaced whole: its members are asked for.
    incident = turn.state.incident_of(target)
    if incident is None:
        seen = Observation(
            target=target,
            source=f"operator:{who}",
            health=Health.UNHEALTHY,
            symptom=Symptom.REQUESTED,
            at=turn.now,
            detail=why,
            judged=True,
        )
        owned = turn.state.owners.get(target)
        open_incident(turn, target, owned.policy if isinstance(owned, Owned) else None, seen, request)
    elif incident.state in _ENDS_BY_ITSELF:
        turn.advance(incident, Demanded(request, turn.now), "demanded", {"who": who, "why": why})
        turn.reconsider(target.root)


def resumed(turn: Turn) -> None:
    """Time was lost: every track is unknown until it is looked at again."""
    for target in turn.state.tracks:
        turn.reset_tracks(target)
    verification.begin_anew(turn)
