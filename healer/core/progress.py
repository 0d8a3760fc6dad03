"""What a step's end means for its repair, and what a repair's end means for its incidents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import assert_never

from healer.core import admission
from healer.core.guardrails import LATER, MUCH_LATER, SOON
from healer.core.incident import Declined, Incident, Outcome, Refusal, Refused
from healer.core.maintenance import put_aside
from healer.core.model import Snapshot
from healer.core.planner import Plan, prove
from healer.core.repair import Ending, Repair, Then, back_off, begin, end, next_step, on_failure, wait
from healer.core.sighting import snapped
from healer.core.step import (
    NATURE,
    Done,
    Failed,
    Failure,
    Finished,
    Inspected,
    Marked,
    Pending,
    Previewed,
    Read,
    Report,
    Step,
)
from healer.core.turn import Turn
from healer.core.verification import climb, is_over, verify

WITHDRAWN: Mapping[Failure, tuple[Refusal, timedelta]] = {
    Failure.STOPPED: (Refusal.STOPPED, LATER),
    Failure.CANCELLED: (Refusal.UNCONFIRMED, SOON),
    Failure.STALE: (Refusal.STALE_INCARNATION, SOON),
    # A missing stack is believed only after a complete listing: until that, it is held, not closed.
    Failure.GONE: (Refusal.STALE_INCARNATION, LATER),
    Failure.BUSY: (Refusal.STACK_BUSY, SOON),
    Failure.FORBIDDEN: (Refusal.FORBIDDEN, MUCH_LATER),
    Failure.UNREACHABLE: (Refusal.CLOUD_UNREACHABLE, LATER),
    Failure.EXPIRED: (Refusal.CLOUD_UNREACHABLE, LATER),
    Failure.NOT_BEGUN: (Refusal.CLOUD_UNREACHABLE, LATER),
    Failure.REJECTED: (Refusal.REJECTED, MUCH_LATER),
    Failure.MOVED: (Refusal.PREVIEW_MOVED, MUCH_LATER),
}
"""A repair that ended before it touched anything holds its incidents, for this reason and so long."""

_CERTAIN = {
    Failure.STOPPED,
    Failure.CANCELLED,
    Failure.STALE,
    Failure.GONE,
    Failure.BUSY,
    Failure.FORBIDDEN,
    Failure.REJECTED,
}
"""Failures that prove that the call was not carried out."""


def reported(turn: Turn, repair: Repair, report: Report) -> None:
    match report:
        case Pending(again_after, detail, done, total):
            progress = f"{detail} ({done} of {total})" if total else detail
            waiting = wait(repair, turn.now + again_after, progress)
            turn.state.repairs[repair.id] = waiting
            if progress and progress != repair.progress:
                turn.keep_repair(waiting, "progressed", {"step": repair.step, "progress": progress})
        case Failed():
            failed(turn, repair, report)
        case Done(facts):
            _succeeded(turn, repair, facts)
        case _:
            assert_never(report)


def _succeeded(turn: Turn, repair: Repair, facts: Inspected | Marked | Previewed | Read | Finished) -> None:
    match facts:
        case Inspected():
            snapped(turn, facts.snapshot)
            admitted = admission.inspected(turn, repair, facts)
            if admitted is not None:
                proceed(turn, admitted)
        case Marked(position):
            proceed(turn, replace(repair, position=position))
        case Previewed(replaced):
            moved = _moved(repair, replaced)
            if moved:
                failed(
                    turn, repair, Failed(Failure.MOVED, f"the preview would also replace {', '.join(moved)}")
                )
            else:
                proceed(turn, repair)
        case Read(snapshot, wires):
            snapped(turn, snapshot)
            _judge(turn, repair, snapshot, wires)
        case Finished():
            proceed(turn, repair)
        case _:
            assert_never(facts)


def _moved(repair: Repair, replaced: Mapping[str, frozenset[str]]) -> list[str]:
    """What the preview calls replaced now, did not before the marks, and is not marked."""
    condemned = repair.plan.condemned if repair.plan else ()
    ours = {(c.incarnation.stack, c.incarnation.name) for c in condemned}
    return sorted(
        name
        for stack, names in replaced.items()
        for name in names - repair.baseline.get(stack, frozenset())
        if (stack, name) not in ours
    )


def _judge(turn: Turn, repair: Repair, after: Snapshot, wires: Mapping[str, Mapping[str, str]]) -> None:
    if after.busy:
        # Somebody else's update has begun since: what it reads meanwhile proves nothing.
        names = ", ".join(after.busy)
        failed(
            turn, repair, Failed(Failure.UNREACHABLE, f"an update by somebody else is in progress: {names}")
        )
        return
    proof = prove(repair.plan or Plan(repair.root, ()), after, wires)
    if proof.surprises:
        turn.keep_repair(repair, "surprised", {"what": list(proof.surprises)})
    if proof.failures:
        unproven = Failed(Failure.UNPROVEN, "; ".join(proof.failures))
        failed(turn, repair, unproven, still_marked=proof.still_marked)
    else:
        proceed(turn, repair)


def proceed(turn: Turn, repair: Repair) -> None:
    """The present step is done: begin the next one, or end."""
    following = next_step(repair)
    if following is None:
        _finish(turn, end(repair, turn.now))
        return
    _begin(turn, repair, following)


def _begin(turn: Turn, repair: Repair, step: Step) -> None:
    """Commit to a step; before one that mutates, look once more whether it is still wanted."""
    before, repair = repair, begin(repair, step)
    if step is Step.FOLLOW and repair.resumed:
        repair = replace(repair, deadline=admission.deadline(turn, turn.members(repair)))
    objection = _objection(turn, repair)
    if objection is not None:
        failed(turn, replace(repair, began=before.began), objection)
        return
    if repair.acted:
        admission.record_attempts(turn, repair)
    turn.perform(turn.keep_repair(repair, "stepped", {"step": step, "done": before.step}))


def _objection(turn: Turn, repair: Repair) -> Failed | None:
    """Why the present step may not be performed now, if it changes anything; un-mark always may."""
    if not NATURE[repair.step].mutates or repair.step is Step.UNMARK:
        return None
    for incident in turn.members(repair):
        aside = put_aside(turn.state, incident, turn.now)
        if aside is not None:
            return Failed(Failure.STOPPED, aside.sentence)
        # What is half done is finished, whoever answers by now.
        if not repair.resumed and is_over(turn, incident):
            return Failed(Failure.CANCELLED, f"{incident.target.path} came back by itself")
    return None


def failed(turn: Turn, repair: Repair, failure: Failed, *, still_marked: bool = False) -> None:
    repair = _untouched(turn, repair, failure.failure)
    then = on_failure(repair, failure, still_marked=still_marked)
    if then is Then.AGAIN and turn.now >= repair.deadline and repair.expires:
        expired = Failed(Failure.EXPIRED, f"out of time at {repair.step}: {failure.detail}")
        then, failure = on_failure(repair, expired), expired
    note = {"step": repair.step, "failure": failure.failure, "detail": failure.detail}
    match then:
        case Then.AGAIN:
            after = failure.retry_after or back_off(repair.tries)
            waiting = wait(repair, turn.now + after, failure.detail, failed=True)
            if repair.tries and failure.detail == repair.progress:
                turn.state.repairs[repair.id] = waiting  # The same as before is no news.
            else:
                turn.keep_repair(waiting, "stumbled", note)
        case Then.RECONVERGE:
            # From the mark on: marking again is idempotent, and gives the position that the new update follows. It is
            # another update: nothing is under way that could be asked for once more.
            again = begin(replace(repair, reconverged=repair.reconverged + 1, resumed=0), Step.MARK)
            kept = turn.keep_repair(again, "reconverging", note)
            turn.perform(kept, objection=_objection(turn, kept))
        case Then.RESUME:
            again = turn.keep_repair(replace(repair, resumed=repair.resumed + 1), "resuming", note)
            _begin(turn, again, Step.CONVERGE)
        case Then.UNWIND:
            unwinding = begin(replace(repair, ending=Ending(failure.failure, failure.detail)), Step.UNMARK)
            turn.perform(turn.keep_repair(unwinding, "unwinding", note))
        case Then.END:
            if repair.step is Step.UNMARK:
                _finish(turn, end(repair, turn.now))
            else:
                _finish(turn, end(repair, turn.now, Ending(failure.failure, failure.detail)))
        case _:
            assert_never(then)


def _untouched(turn: Turn, repair: Repair, failure: Failure) -> Repair:
    """A first call that was certainly not carried out leaves the thing untouched: no attempt was made."""
    first = repair.tries == repair.reconverged == repair.resumed == 0
    if repair.step not in {Step.CONVERGE, Step.POWER} or failure not in _CERTAIN or not first:
        return repair
    for identifier in repair.members:
        turn.withdraw_attempt(f"{repair.id}/{identifier}")
    return replace(repair, began=tuple(step for step in repair.began if step is not repair.step))


def woken(turn: Turn, repair: Repair) -> None:
    """A step that was put off is due again, or out of time."""
    if turn.now >= repair.deadline and repair.expires:
        so_far = f": {repair.progress}" if repair.progress else ""
        failed(turn, repair, Failed(Failure.EXPIRED, f"out of time at {repair.step}{so_far}"))
        return
    resume(turn, begin(repair, repair.step))


def resume(turn: Turn, repair: Repair) -> None:
    """The present step once more: it may have been done. Whatever has come between counts as before the first try."""
    turn.state.repairs[repair.id] = repair
    turn.perform(repair, resumed=True, objection=_objection(turn, repair))


def _finish(turn: Turn, repair: Repair) -> None:
    ending = repair.ending or Ending()
    # Whoever stopped it has not tried it in vain: it is the same rung's turn once it may go on.
    used_up = repair.acted and ending.failure not in {Failure.STOPPED, Failure.CANCELLED}
    turn.keep_repair(
        repair, "ended", {"failure": ending.failure, "detail": ending.detail, "acted": repair.acted}
    )
    _close_attempts(turn, repair, succeeded=ending.failure is None)
    for incident in turn.members(repair):
        if incident.repair != repair.id and ending.failure is not None:
            # It was only being inspected.
            admission.decline(turn, incident, _refused(turn, ending.failure, ending.detail))
        elif ending.failure is None and repair.recipe.heals:
            verify(turn, incident)
        elif ending.failure in {None, Failure.REJECTED} or used_up or not repair.recipe.heals:
            # REJECTED: the engine will never do this, so waiting would not help, and the next rung may.
            climb(turn, incident, ending.detail)
        else:
            _withdraw(turn, incident, ending.failure, ending.detail)


def _close_attempts(turn: Turn, repair: Repair, *, succeeded: bool) -> None:
    for identifier in repair.members:
        attempt = turn.state.attempts.get(f"{repair.id}/{identifier}")
        if attempt is not None:
            turn.keep_attempt(replace(attempt, ended_at=turn.now, succeeded=succeeded))


def _withdraw(turn: Turn, incident: Incident, failure: Failure, detail: str) -> None:
    if failure is Failure.CANCELLED and is_over(turn, incident):
        turn.close(incident, Outcome.RECOVERED, {"detail": detail})
        return
    refused = _refused(turn, failure, detail)
    turn.advance(incident, Declined(refused), "held", {"reason": refused.reason, "sentence": detail})


def _refused(turn: Turn, failure: Failure, detail: str) -> Refused:
    reason, after = WITHDRAWN[failure]
    return Refused(reason, detail, turn.now + after)
