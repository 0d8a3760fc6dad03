"""A recorded sequence of steps on one root stack, as a table: what follows each end of each step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from healer.core.model import NOTHING, Root
from healer.core.planner import Plan
from healer.core.step import NATURE, Failed, Failure, Step

FIRST_RETRY = timedelta(seconds=1)
LAST_RETRY = timedelta(seconds=60)
RESUMPTIONS = 1
"""How often an update that did not end in time is asked for again: where that does not help, a person must."""
RECONVERGENCES = 2
"""How often an update that passed a mark by is asked for again: one was enough in every trial on a real Heat."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a repair ended: no failure is success."""

    failure: Failure | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Which steps an action takes, in order. Pure data: the kernel orders, the runner performs."""

    action: str
    steps: tuple[Step, ...]
    heals: bool = True
    """Whether it can end a failure at all; one that only tells somebody cannot."""
    replaces: bool = False
    """Whether the physical id changes, so that the dependents must be rewired and proven."""


NO_RECIPE = Recipe("", ())
"""Of an action that does not exist any more: its gate refuses."""


@dataclass(frozen=True, slots=True)
class Repair:
    id: str
    root: Root
    recipe: Recipe
    members: tuple[str, ...]
    """Ids of the incidents that it serves."""
    opened_at: datetime
    deadline: datetime
    step: Step = Step.INSPECT
    attempt: int = 1
    """Counts every time that any step is performed; an answer to an older attempt is late, and ignored."""
    tries: int = 0
    """How often the present step has failed in a row."""
    wake_at: datetime | None = None
    """When the present step is performed again; None while it is out."""
    plan: Plan | None = None
    baseline: Mapping[str, frozenset[str]] = NOTHING
    position: str = ""
    began: tuple[Step, ...] = ()
    """Steps whose intent was committed, in order, without repetition."""
    reconverged: int = 0
    resumed: int = 0
    """How often the update, begun and not ended in time, was asked for again."""
    progress: str = ""
    ending: Ending | None = None
    """Set while it unwinds, and when it is over."""
    closed_at: datetime | None = None

    @property
    def acted(self) -> bool:
        """Whether the thing itself may have been touched: then an attempt was made, whatever became of it."""
        return Step.CONVERGE in self.began or Step.POWER in self.began

    @property
    def expires(self) -> bool:
        """Whether the present step is given up once time is over: not while something may stay marked, or half done."""
        return self.step is not Step.UNMARK and not (self.resumed and self.step is Step.CONVERGE)

    @property
    def is_open(self) -> bool:
        return self.closed_at is None


class Then(StrEnum):
    """What follows a failure."""

    AGAIN = "again"
    RECONVERGE = "reconverge"
    RESUME = "resume"
    """Ask again for the update that is in progress: its engine may have died in the middle of it."""
    UNWIND = "unwind"
    """Take the marks back, then end."""
    END = "end"


_AGAIN_WHEN = {Failure.UNREACHABLE, Failure.NOT_BEGUN}

ON_FAILURE: Mapping[tuple[Step, Failure], Then] = {
    **{(Step.INSPECT, failure): Then.END for failure in NATURE[Step.INSPECT].failures},
    **{
        (step, failure): Then.AGAIN if failure in _AGAIN_WHEN else Then.UNWIND
        for step in (Step.MARK, Step.PREVIEW, Step.CONVERGE, Step.FOLLOW, Step.PROVE)
        for failure in NATURE[step].failures
    },
    # As long as something of ours may be marked, there is no giving up: it is tried until it is certain.
    **{(Step.UNMARK, failure): Then.AGAIN for failure in NATURE[Step.UNMARK].failures},
    (Step.UNMARK, Failure.STALE): Then.END,
    (Step.UNMARK, Failure.GONE): Then.END,
    **{
        (step, failure): Then.AGAIN if failure is Failure.UNREACHABLE else Then.END
        for step in (Step.POWER, Step.NOTIFY)
        for failure in NATURE[step].failures
    },
}
"""What follows each failure of each step; a success is followed by the recipe's next step."""


def on_failure(repair: Repair, failed: Failed, *, still_marked: bool = False) -> Then:
    """What follows a failed step. UNREACHABLE is tried again until the deadline, and the deadline unwinds."""
    then = ON_FAILURE[repair.step, failed.failure]
    if still_marked and failed.failure is Failure.UNPROVEN and repair.reconverged < RECONVERGENCES:
        return Then.RECONVERGE
    late = (repair.step, failed.failure) == (Step.FOLLOW, Failure.EXPIRED)
    if late and repair.resumed < RESUMPTIONS:
        return Then.RESUME
    if then is Then.UNWIND and Step.MARK not in repair.began:
        return Then.END
    return then


def next_step(repair: Repair) -> Step | None:
    """The recipe's step after the present one; None at its end, and after what was unwound."""
    if repair.step is Step.UNMARK:
        return None
    following = repair.recipe.steps.index(repair.step) + 1
    return repair.recipe.steps[following] if following < len(repair.recipe.steps) else None


def begin(repair: Repair, step: Step) -> Repair:
    """The intent to perform a step: to be committed before anything is done."""
    return replace(
        repair,
        step=step,
        attempt=repair.attempt + 1,
        tries=repair.tries if step is repair.step else 0,
        wake_at=None,
        began=repair.began if step in repair.began else (*repair.began, step),
    )


def wait(repair: Repair, until: datetime, progress: str = "", *, failed: bool = False) -> Repair:
    """The present step is to be performed again at `until`."""
    return replace(
        repair, wake_at=until, progress=progress or repair.progress, tries=repair.tries + 1 if failed else 0
    )


def back_off(tries: int) -> timedelta:
    """Doubling from one second to one minute."""
    return min(FIRST_RETRY * (1 << min(tries, 10)), LAST_RETRY)


def end(repair: Repair, at: datetime, ending: Ending | None = None) -> Repair:
    """The repair is over; what made it unwind stays its ending."""
    return replace(repair, closed_at=at, wake_at=None, ending=repair.ending or ending or Ending())
