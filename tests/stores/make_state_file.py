"""Writes a state file of the present version, in the middle of a repair, for every later version to migrate and finish.

    python -m tests.stores.make_state_file

Once for each version of the state, before that is released; never again for one that was. It is the real kernel that
has come so far: `db` of a shop was marked and previewed, and the update is to be asked for; `lb` waits until that
repair has ended; one alarm is settled, and one waits for a cloud that could not be read.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from healer.core.change import Pause
from healer.core.event import (
    Alarmed,
    Event,
    Listed,
    Observed,
    Paused,
    PoliciesLoaded,
    Reported,
    Snapped,
    Unreachable,
)
from healer.core.kernel import Kernel
from healer.core.model import (
    Alarm,
    AlarmStatus,
    Effect,
    Health,
    Incarnation,
    Observation,
    Reference,
    Resource,
    Root,
    Selector,
    Snapshot,
    StackState,
    Symptom,
    Target,
)
from healer.core.policy import Detect, Match, Mode, Policy, Watch
from healer.core.repair import Recipe
from healer.core.state import State
from healer.core.step import Done, Inspected, Marked, Previewed, Step
from healer.ports import ObservationRun, PolicyRevision, Write
from healer.stores import _migrations
from healer.stores.sqlite import Sqlite

DATA = Path(__file__).parent / "data"
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
SHOP = Root("here", "local", "0f5a1c", "shop")
REPLACE = Recipe(
    "replace",
    (Step.INSPECT, Step.MARK, Step.PREVIEW, Step.CONVERGE, Step.FOLLOW, Step.PROVE),
    replaces=True,
)
POLICY = Policy(
    name="tiers",
    match=Match(type="Local::Process"),
    mode=Mode.AUTO,
    detect=Detect(
        watches=(Watch("probe:http", timedelta(seconds=1), timedelta(seconds=1)),),
        fail_after=2,
        startup_grace=timedelta(0),
        settle_for=timedelta(0),
    ),
    digest="5e0c",
)
"""What a later version is given to finish the repair with."""


def process(path: str, number: int, *requires: str) -> Resource:
    return Resource(
        path=path,
        type="Local::Process",
        incarnation=Incarnation(SHOP.id, path, f"boot:{number}:900"),
        action="CREATE",
        state=StackState.COMPLETE,
        requires=requires,
        attributes={"address": "127.0.0.1", "port": str(40_000 + number)},
        created_at=START - timedelta(days=1),
    )


def shop(at: datetime) -> Snapshot:
    resources = (process("db", 41), process("api", 42, "db"), process("lb", 43))
    return Snapshot(
        root=SHOP,
        taken_at=at,
        action="CREATE",
        state=StackState.COMPLETE,
        resources={resource.path: resource for resource in resources},
        references=(Reference("api", "wires", "db", "port", Effect.UPDATED),),
        created_at=START - timedelta(days=1),
        rebuildable=frozenset({"Local::Process"}),
    )


def alarm(key: str, stack: str, at: datetime) -> Alarm:
    return Alarm(
        source="alertmanager",
        key=key,
        status=AlarmStatus.FIRING,
        started_at=at - timedelta(minutes=1),
        received_at=at,
        selector=Selector(stack=stack, resource="db"),
        labels={"alertname": "DbDown", "stack": stack},
        annotations={"summary": "db is down"},
    )


def refused(path: str, at: datetime) -> Observation:
    return Observation(
        Target(SHOP, path), "probe:http", Health.UNHEALTHY, Symptom.REFUSED, at, detail="connection refused"
    )


class Story:
    """A kernel and its store; whatever the kernel changes is committed."""

    def __init__(self, store: Sqlite) -> None:
        self.kernel = Kernel(State(), b"a state file of the first version")
        self.store = store
        self.now = START

    def happen(self, event: Event, *alarms: Alarm) -> None:
        self.now += timedelta(seconds=1)
        self.store.commit([Write(alarms=alarms)])
        self.store.commit([Write(self.kernel.handle(event, self.now).changes)])

    def fail(self, path: str) -> None:
        for _ in range(POLICY.detect.fail_after):
            self.happen(Observed((refused(path, self.now),)))

    def report(self, facts: Inspected | Marked | Previewed) -> None:
        (repair,) = self.kernel.state.repairs.values()
        self.happen(Reported(repair.id, repair.attempt, Done(facts)))


def tell(story: Story) -> None:
    """From the first reading of the stack to the intent to converge it."""
    known, unknown = alarm("db-of-the-shop", "shop", START), alarm("db-of-the-bank", "bank", START)
    story.happen(PoliciesLoaded((POLICY,), {"replace": REPLACE}))
    story.happen(Listed("here", frozenset({SHOP})))
    story.happen(Snapped(shop(story.now)))
    story.happen(Paused(Pause("01JQPAUSE", "stack:bank", "anna", "a release", story.now)))
    story.happen(Unreachable("there", "connection refused"))
    story.happen(Alarmed((unknown,)), unknown)
    story.fail("db")
    story.happen(Alarmed((known,)), known)
    story.report(Inspected(shop(story.now), {SHOP.id: frozenset()}))
    story.fail("lb")
    story.report(Marked("17"))
    story.report(Previewed({SHOP.id: frozenset({"db"})}))
    run = ObservationRun(Target(SHOP, "api"), "probe:http", Health.HEALTHY, Symptom.OK, START, story.now, 9)
    story.store.commit([Write(runs=(run,), revisions=(PolicyRevision("5e0c", "tiers", "policy: tiers\n"),))])


def make(directory: Path) -> Path:
    """A state file in `directory`; whole, with nothing beside it but the lock."""
    store = Sqlite(directory=directory)
    store.acquire()
    tell(Story(store))
    store.close()
    return store.path


if __name__ == "__main__":
    made = DATA / f"state-{_migrations.newest()}.sqlite"
    if made.exists():
        sys.exit(f"{made} is there already, and what a released version has written does not change")
    DATA.mkdir(exist_ok=True)
    make(DATA).rename(made)
    (DATA / "healer.lock").unlink()
