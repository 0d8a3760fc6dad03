"""A state file of every version that was ever released, in the middle of a repair: it is migrated, and finished."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from healer.core.event import Event, Listed, Observed, PoliciesLoaded, Reported, Snapped, Started, Woken
from healer.core.incident import IncidentState, Outcome
from healer.core.kernel import Decision, Kernel
from healer.core.model import Health, Incarnation, Observation, Snapshot, Symptom, Target
from healer.core.step import Done, Facts, Finished, Read, Step
from healer.ports import Write
from healer.stores import _migrations
from healer.stores.sqlite import Sqlite
from tests.stores.make_state_file import DATA, POLICY, REPLACE, SHOP, START, make, shop

FILES = sorted(DATA.glob("state-*.sqlite"))


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sqlite]:
    shutil.copy(request.param, tmp_path / "state.sqlite")
    store = Sqlite(directory=tmp_path)
    store.acquire()
    yield store
    store.close()


def test_there_is_a_state_file_of_the_present_version() -> None:
    """Where this fails, a migration was added: see make_state_file.py."""
    assert DATA / f"state-{_migrations.newest()}.sqlite" in FILES


def test_a_state_file_of_the_present_version_can_be_made(tmp_path: Path) -> None:
    made = make(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["healer.lock", made.name]
    store = Sqlite(directory=tmp_path)
    store.acquire()
    (repair,) = store.load().repairs.values()
    assert repair.step is Step.CONVERGE
    store.close()


def test_all_that_was_open_is_there(store: Sqlite) -> None:
    state = store.load()
    (repair,) = state.repairs.values()
    db, lb = state.incidents.values()
    assert repair.step is Step.CONVERGE
    assert repair.members == (db.id,)
    assert repair.position == "17"
    assert repair.plan is not None
    assert repair.plan.condemned[0].attributes["port"] == "40041"
    assert (db.target, db.state, db.repair) == (Target(SHOP, "db"), IncidentState.REMEDIATING, repair.id)
    assert (lb.target.path, lb.state) == ("lb", IncidentState.HELD)
    assert [attempt.incident for attempt in state.attempts.values()] == [db.id]
    assert [pause.scope for pause in state.pauses.values()] == ["stack:bank"]
    assert [alarm.key for alarm in state.alarms.values()] == ["db-of-the-bank"]
    story = [entry.kind for entry in store.journal(incident=db.id)]
    assert story[0] == "incident.opened"
    assert "repair.stepped" in story


def healed(now_is: str = "boot:77:990") -> Snapshot:
    before = shop(START + timedelta(minutes=1))
    db = replace(
        before.resources["db"],
        incarnation=Incarnation(SHOP.id, "db", now_is),
        attributes={"address": "127.0.0.1", "port": "40077"},
        created_at=before.taken_at,
    )
    return replace(before, resources={**before.resources, "db": db}, action="UPDATE")


def test_the_repair_is_taken_up_and_finished(store: Sqlite) -> None:
    state = store.load()
    kernel, now = Kernel(state, b"a later daemon"), START + timedelta(minutes=1)

    def happen(event: Event) -> Decision:
        decision = kernel.handle(event, now)
        store.commit([Write(decision.changes)])
        return decision

    (repair,) = state.repairs.values()
    db = state.incidents[repair.members[0]]
    happen(PoliciesLoaded((POLICY,), {"replace": REPLACE}))
    happen(Listed("here", frozenset({SHOP})))
    happen(Snapped(shop(now)))
    (command,) = happen(Started()).commands
    assert (command.repair.id, command.repair.step, command.resumed) == (repair.id, Step.CONVERGE, True)
    read = Read(healed(), {"api": {"wires": '{"db": "127.0.0.1:40077"}'}})
    facts: tuple[Facts, ...] = (Finished(), Finished(), read)
    for step, found in zip((Step.CONVERGE, Step.FOLLOW, Step.PROVE), facts, strict=True):
        repair = state.repairs[repair.id]
        assert repair.step is step
        happen(Reported(repair.id, repair.attempt, Done(found)))
    assert repair.id not in store.load().repairs
    good = Observation(Target(SHOP, "db"), "probe:http", Health.HEALTHY, Symptom.OK, now)
    for _ in range(POLICY.detect.recover_after):
        now += timedelta(seconds=1)
        happen(Observed((replace(good, at=now),)))
    now += POLICY.verify.stable_for + timedelta(seconds=1)
    happen(Observed((replace(good, at=now),)))
    happen(Woken())
    (closed,) = store.find_incidents(db.id)
    assert (closed.state, closed.outcome) == (IncidentState.CLOSED, Outcome.HEALED)
