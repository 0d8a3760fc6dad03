"""From a failure to a repair that may start: which incidents wait, which gates refuse, which share one repair."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import datetime, timedelta

from healer.core.change import Attempt
from healer.core.guardrails import SOON, Case, Stage, is_gone, refusal
from healer.core.incident import (
    WAITING,
    Admitted,
    Declined,
    Incident,
    IncidentState,
    Outcome,
    Planned,
    Refusal,
    Refused,
)
from healer.core.model import Effect, Root, Snapshot
from healer.core.planner import Plan, plan
from healer.core.repair import Recipe, Repair, end
from healer.core.step import Inspected, Step
from healer.core.turn import Turn
from healer.core.verification import is_over

INSPECTION = timedelta(minutes=2)
"""How long reading a stack before it is repaired may take: twice the longest call to Heat (60 s, its RPC time-out)."""
_ENDED = frozenset({Refusal.STOPPED, Refusal.PREVIEW_MOVED, Refusal.FORBIDDEN, Refusal.REJECTED})
"""What no gate asks: a repair had begun and ended for it, and one that is joined would end likewise."""


def consider(turn: Turn, root: Root, outdated: AbstractSet[Refusal] = frozenset()) -> None:
    """Look at the waiting incidents of one root stack, and begin a repair for those that may start together.

    `outdated`: refusals that may no longer hold; what is held for one of them is asked before its time.
    """
    ready: list[tuple[Incident, Recipe]] = []
    for incident in turn.state.incidents_of(root):
        if not _is_due(turn, incident, outdated):
            continue
        if is_over(turn, incident):
            # It came back while it was not waiting: no later look is news, so nothing else would tell.
            turn.close(incident, Outcome.RECOVERED, {"detail": "it was seen healthy meanwhile"})
            continue
        case = turn.case(incident)
        refused, overridden = refusal(case, Stage.ADMISSION)
        asked = _override(turn, incident, overridden)
        if refused is not None:
            decline(turn, asked, refused)
        else:
            ready.append((asked, case.recipe))
    if ready:
        recipe = ready[0][1]
        _open_repair(turn, root, recipe, [incident for incident, other in ready if other == recipe])
        turn.reconsider(root)  # Those of another recipe wait for it, and say so.


def _is_due(turn: Turn, incident: Incident, outdated: AbstractSet[Refusal]) -> bool:
    repair = turn.state.repair_of(incident.target.root)
    if incident.state not in WAITING or (repair is not None and incident.id in repair.members):
        return False  # It is being healed, or inspected for it.
    if incident.wake_at is None or incident.wake_at <= turn.now:
        return True
    # One that was just opened has no refusal and settles first: its cause, or others, may still show themselves.
    return incident.refusal is not None and incident.refusal.reason in outdated


def _override(turn: Turn, incident: Incident, overridden: tuple[Refusal, ...]) -> Incident:
    request = incident.request
    new = [reason for reason in overridden if request and reason not in request.overrides]
    if not request or not new:
        return incident
    named = replace(incident, request=replace(request, overrides=(*request.overrides, *new)))
    return turn.keep(named, "overridden", {"who": request.who, "gates": [str(reason) for reason in new]})


def decline(turn: Turn, incident: Incident, refused: Refused) -> None:
    """Hold the incident. The same reason and sentence as before is no news: only the next look moves."""
    before = incident.refusal
    known = incident.state is IncidentState.HELD and before is not None
    if (
        known
        and before is not None
        and (before.reason, before.sentence) == (refused.reason, refused.sentence)
    ):
        turn.state.incidents[incident.id] = replace(incident, refusal=refused, wake_at=refused.look_again)
        return
    turn.advance(
        incident, Declined(refused), "held", {"reason": refused.reason, "sentence": refused.sentence}
    )


def _open_repair(turn: Turn, root: Root, recipe: Recipe, members: list[Incident]) -> None:
    repair = Repair(
        id=turn.ids.new(turn.now),
        root=root,
        recipe=recipe,
        members=tuple(incident.id for incident in members),
        opened_at=turn.now,
        deadline=turn.now + INSPECTION,
        step=recipe.steps[0],
        began=(recipe.steps[0],),
    )
    if repair.step is Step.INSPECT:
        turn.perform(turn.keep_repair(repair, "inspecting"))
        return
    for incident in members:
        turn.advance(incident, Admitted(repair.id, None), "admitted", {"action": recipe.action})
    repair = replace(repair, deadline=deadline(turn, members))
    turn.perform(turn.keep_repair(repair, "admitted"))


def deadline(turn: Turn, members: Sequence[Incident]) -> datetime:
    """The longest time-out that any member's rung allows."""
    rungs = [turn.rung(incident) for incident in members]
    return turn.now + max((rung.timeout for rung in rungs if rung), default=INSPECTION)


def inspected(turn: Turn, repair: Repair, facts: Inspected) -> Repair | None:
    """The gates once more, with facts; what passes them is admitted, with one plan for all. None: nothing did."""
    snapshot = turn.state.snapshots.get(repair.root, facts.snapshot)  # It may have been read once more since.
    asking = (turn.case(i) for i in (*turn.members(repair), *_joining(turn, repair, facts)))
    # What an operator, or a new policy, wants healed in another way by now is not healed in this one.
    cases = [case for case in asking if case.recipe == repair.recipe]
    admitted: list[Incident] = []
    for case, refused, overridden in _judge(cases, snapshot):
        asked = _override(turn, case.incident, overridden)
        if refused is None:
            admitted.append(asked)
        elif _settles(asked) and asked.id not in repair.members:
            continue  # Its own time to be judged has not come.
        elif refused.reason is Refusal.OBSERVE:
            # Those it was judged with are not healed with it: what would be done to them is part of the plan.
            _would_heal(turn, asked, _planned(case, snapshot, ()), refused)
        else:
            decline(turn, asked, refused)
    paths = [incident.target.path for incident in admitted]
    whole = plan(snapshot, paths) if paths and repair.recipe.replaces else None
    missing = _missing_dependents(whole, snapshot) if whole else ()
    for incident in admitted if missing else ():
        decline(turn, incident, _dependent_gone(turn, missing))
    if missing or not admitted:
        turn.keep_repair(end(repair, turn.now), "not_admitted")
        return None
    for incident in admitted:
        turn.advance(incident, Admitted(repair.id, whole), "admitted", {"action": repair.recipe.action})
    return turn.keep_repair(
        replace(
            repair,
            members=tuple(i.id for i in admitted),
            plan=whole,
            baseline=facts.baseline,
            deadline=deadline(turn, admitted),
        ),
        "admitted",
    )


def _judge(
    cases: Sequence[Case], snapshot: Snapshot
) -> Iterable[tuple[Case, Refused | None, tuple[Refusal, ...]]]:
    """What the gates say of each. Those that they let pass together are no collateral of each other."""
    judged: dict[str, tuple[Case, Refused | None, tuple[Refusal, ...]]] = {}
    left = list(cases)
    while True:
        together = {case.incident.target.path for case in left}
        for case in left:
            planned = _planned(case, snapshot, together)
            judged[case.incident.id] = (planned, *refusal(planned, Stage.INSPECTED))
        passed = [case for case in left if judged[case.incident.id][1] is None]
        if passed == left:
            return judged.values()
        left = passed


def _planned(case: Case, snapshot: Snapshot, together: Collection[str]) -> Case:
    path = case.incident.target.path
    if not case.recipe.replaces or path not in snapshot.resources:
        return case
    alone = plan(snapshot, [path])
    return replace(
        case, plan=replace(alone, touched=tuple(t for t in alone.touched if t.path not in together))
    )


def _joining(turn: Turn, repair: Repair, facts: Inspected) -> list[Incident]:
    """What was held, or settles still, and with these facts may be healed by the same update."""
    return [
        incident
        for incident in turn.state.incidents_of(repair.root)
        if (_settles(incident) or _may_go_on(incident))
        and incident.id not in repair.members
        and incident.incarnation.stack in facts.baseline
    ]


def _may_go_on(incident: Incident) -> bool:
    refusal = incident.refusal
    return incident.state is IncidentState.HELD and refusal is not None and refusal.reason not in _ENDED


def _settles(incident: Incident) -> bool:
    """It has been opened since those that the repair was begun for, and has not been considered yet."""
    return incident.state is IncidentState.OPEN and incident.refusal is None


def _missing_dependents(planned: Plan, snapshot: Snapshot) -> tuple[str, ...]:
    """What the update would change in place although it is not there: the update would fail on it."""
    return tuple(
        touched.path
        for touched in planned.touched
        if touched.effect is Effect.UPDATED and is_gone(snapshot.resources[touched.path])
    )


def _dependent_gone(turn: Turn, missing: tuple[str, ...]) -> Refused:
    names = ", ".join(missing)
    sentence = (
        f"{names} must be told of the successor and is gone itself: both are healed once that is noticed"
    )
    return Refused(Refusal.DEPENDENT_GONE, sentence, turn.now + SOON)


def _would_heal(turn: Turn, incident: Incident, case: Case, refused: Refused) -> None:
    if incident.state is IncidentState.WOULD_HEAL and incident.plan == case.plan:
        turn.state.incidents[incident.id] = replace(incident, refusal=refused, wake_at=refused.look_again)
        return
    turn.advance(incident, Planned(case.plan, refused), "would_heal", {"action": case.recipe.action})


def record_attempts(turn: Turn, repair: Repair) -> None:
    """From now on the thing itself may be touched: that counts, whatever comes of it."""
    for incident in turn.members(repair):
        identity = f"{repair.id}/{incident.id}"
        if identity not in turn.state.attempts:
            turn.keep_attempt(
                Attempt(
                    id=identity,
                    target=incident.target,
                    action=repair.recipe.action,
                    incident=incident.id,
                    began_at=turn.now,
                    physical_id=incident.current.physical_id,
                )
            )
