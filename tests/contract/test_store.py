"""What every store keeps to: ports.Store."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from healer import plugins
from healer.core.change import AlarmOutcome, AlarmsSettled, AttemptChanged, Change, PauseChanged
from healer.core.incident import IncidentState, Refusal, Refused
from healer.core.model import AlarmStatus, Health, Symptom, Target
from healer.core.repair import Ending
from healer.core.state import State
from healer.core.step import Failure, Step
from healer.ports import ObservationRun, PolicyRevision, Store, StoreError, Wanted, Write
from tests.plugged import example, fits
from tests.stores.samples import (
    BANK,
    PLAN,
    SHOP,
    alarm,
    at,
    attempt,
    closed,
    incident,
    pause,
    repair,
    stepped,
    told,
    ulid,
)


class Daemons:
    """One daemon after the other on the same state."""

    def __init__(self, name: str, directory: Path) -> None:
        self._kind = cast("Callable[..., Store]", plugins.find("stores", name))
        self._options = example("stores", name)
        if "directory" in self._options:
            self._options["directory"] = directory / "state"
        self._durable = bool(self._options)
        self.store: Store = self._kind(**self._options)
        self.epoch = self.store.acquire()

    def restart(self) -> Store:
        self.store.close()
        if self._durable:
            self.store = self._kind(**self._options)
        self.epoch = self.store.acquire()
        return self.store


@pytest.fixture(params=plugins.names("stores"))
def daemons(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Daemons]:
    daemons = Daemons(request.param, tmp_path)
    yield daemons
    daemons.store.close()


@pytest.fixture
def store(daemons: Daemons) -> Store:
    return daemons.store


def keep(store: Store, *changes: Change) -> None:
    store.commit([Write(changes)])


def kinds(store: Store, **wanted: Any) -> list[str]:
    return [entry.kind for entry in store.journal(**wanted)]


def test_it_fits_its_socket(store: Store) -> None:
    fits(store, "commit")


def test_at_first_there_is_nothing(store: Store) -> None:
    assert store.load() == State()
    assert not store.journal()
    assert not store.incidents()
    assert not store.alarms()
    assert store.commit([]) == ()


def test_each_daemon_has_a_later_epoch_than_the_one_before(daemons: Daemons) -> None:
    first = daemons.epoch
    daemons.restart()
    assert daemons.epoch > first


@pytest.mark.parametrize("name", plugins.names("stores"))
def test_what_was_not_acquired_cannot_be_used(name: str, tmp_path: Path) -> None:
    daemons = Daemons(name, tmp_path)
    store = daemons.store
    store.close()
    store.close()
    for call in (
        store.load,
        store.journal,
        store.incidents,
        store.alarms,
        lambda: store.find_incidents("0"),
        lambda: store.commit([Write()]),
        lambda: store.prune(at(0)),
    ):
        with pytest.raises(StoreError):
            call()


def test_open_incidents_come_back_whole_and_in_the_order_of_their_opening(daemons: Daemons) -> None:
    held = incident(
        2,
        target=Target(SHOP, "api"),
        state=IncidentState.HELD,
        refusal=Refused(Refusal.COOLDOWN, "it was healed a minute ago", at(600)),
        plan=PLAN,
    )
    keep(daemons.store, told(held, "held"), told(incident(1)))
    for loaded in (daemons.store.load().incidents, daemons.restart().load().incidents):
        assert list(loaded.values()) == [incident(1), held]
        assert loaded[held.id].target.root.name == "shop"
        assert loaded[held.id].opened_at.utcoffset() is not None


def test_the_last_word_counts_and_a_closed_incident_is_not_loaded(daemons: Daemons) -> None:
    one, other = incident(1), incident(2)
    keep(daemons.store, told(one), told(other), told(closed(one, 60), "closed"))
    keep(daemons.store, told(replace(other, rung=1), "climbed"))
    store = daemons.restart()
    assert store.load().incidents == {other.id: replace(other, rung=1)}
    assert store.incidents() == (replace(other, rung=1), closed(one, 60))
    assert store.incidents(open_only=True) == (replace(other, rung=1),)
    assert store.incidents(limit=1) == (replace(other, rung=1),)


def test_incidents_are_found_by_the_beginning_of_their_id(store: Store) -> None:
    keep(store, *(told(incident(number)) for number in range(1, 13)))
    assert store.find_incidents(ulid(7)) == (incident(7),)
    assert store.find_incidents(ulid(12)[:-1].lower()) == (incident(10), incident(11), incident(12))
    assert len(store.find_incidents("01j")) == 10
    assert len(store.find_incidents("")) == 10
    for no_wildcard in ("%", "_1JQ", "01JQ%", "*"):
        assert store.find_incidents(no_wildcard) == ()


def test_an_open_repair_comes_back_whole(daemons: Daemons) -> None:
    under_way = repair(
        1,
        step=Step.CONVERGE,
        attempt=4,
        plan=PLAN,
        baseline={"0f5a": frozenset({"wait", "lb"})},
        position="1712",
        began=(Step.INSPECT, Step.MARK, Step.PREVIEW, Step.CONVERGE),
        wake_at=at(90),
    )
    unwinding = repair(2, root=BANK, step=Step.UNMARK, ending=Ending(Failure.BUSY, "somebody else's update"))
    keep(daemons.store, stepped(under_way), stepped(unwinding, "unwinding"))
    assert daemons.restart().load().repairs == {under_way.id: under_way, unwinding.id: unwinding}
    keep(daemons.store, stepped(replace(under_way, closed_at=at(120), ending=Ending()), "ended"))
    assert daemons.restart().load().repairs == {unwinding.id: unwinding}


def test_a_second_open_repair_of_one_root_is_refused_and_all_that_came_with_it(store: Store) -> None:
    keep(store, stepped(repair(1)))
    together = [
        Write(changes=(told(incident(1)),), alarms=(alarm(1),)),
        Write(changes=(stepped(repair(2)),)),
    ]
    with pytest.raises(StoreError):
        store.commit(together)
    assert store.load() == State(repairs={ulid(1): repair(1)})
    assert kinds(store) == ["repair.stepped"]
    assert not store.alarms()
    keep(store, stepped(repair(2, root=BANK)))
    assert set(store.load().repairs) == {ulid(1), ulid(2)}


def test_a_root_may_be_repaired_again_when_its_repair_has_ended_even_at_once(store: Store) -> None:
    first = repair(1)
    keep(store, stepped(first), stepped(replace(first, step=Step.MARK)))
    keep(
        store,
        stepped(replace(first, closed_at=at(50)), "ended"),
        stepped(repair(2)),
        stepped(replace(repair(2), closed_at=at(60)), "ended"),
        stepped(repair(3)),
    )
    assert store.load().repairs == {ulid(3): repair(3)}


def test_attempts_are_counted_after_a_restart_and_those_withdrawn_are_not(daemons: Daemons) -> None:
    ended = attempt(1, ended_at=at(40), succeeded=True)
    keep(daemons.store, AttemptChanged(at(1), attempt(1)), AttemptChanged(at(2), attempt(2)))
    keep(daemons.store, AttemptChanged(at(40), ended), AttemptChanged(at(41), attempt(2), withdrawn=True))
    keep(daemons.store, AttemptChanged(at(3), attempt(3)), AttemptChanged(at(3), attempt(3), withdrawn=True))
    assert daemons.restart().load().attempts == {ended.id: ended}
    assert kinds(daemons.store) == []


def test_a_pause_holds_until_it_is_lifted(daemons: Daemons) -> None:
    release, night = pause(1, until=at(3600)), pause(2, scope="all")
    keep(daemons.store, PauseChanged(at(1), release), PauseChanged(at(2), night))
    assert daemons.restart().load().pauses == {release.id: release, night.id: night}
    keep(daemons.store, PauseChanged(at(3), release, lifted_by="bert"))
    assert daemons.restart().load().pauses == {night.id: night}
    last = daemons.store.journal()[-1]
    assert (last.kind, last.body["who"], last.body["lifted_by"]) == ("pause.lifted", "anna", "bert")


def test_an_alarm_is_new_once_however_often_it_is_sent(daemons: Daemons) -> None:
    late = replace(alarm(1), received_at=at(900), annotations={"summary": "still down"})
    assert daemons.store.commit(
        [Write(alarms=(alarm(1), alarm(2), late)), Write(), Write(alarms=(late,))]
    ) == (
        (True, True, False),
        (),
        (False,),
    )
    cleared = alarm(1, status=AlarmStatus.CLEARED)
    again = alarm(1, started_at=at(7200))
    assert daemons.restart().commit([Write(alarms=(late, cleared, again))]) == ((False, True, True),)
    assert list(daemons.store.load().alarms.values()) == [alarm(1), alarm(2), cleared, again]


def test_a_settled_alarm_is_not_asked_again_and_tells_what_became_of_it(daemons: Daemons) -> None:
    one, two, three = alarm(1), alarm(2), alarm(3)
    daemons.store.commit([Write(alarms=(one, two))])
    settled = AlarmsSettled(at(60), (one.identity,), AlarmOutcome.MATCHED, "shop/db", ulid(1))
    keep(daemons.store, settled)
    unmatched = AlarmsSettled(
        at(61), (three.identity,), AlarmOutcome.UNMATCHED, "there is no stack 'bank' here"
    )
    daemons.store.commit([Write((unmatched,), (three,))])
    store = daemons.restart()
    assert store.load().alarms == {two.identity: two}
    filed = store.alarms()
    assert [(one.alarm, one.outcome, one.incident) for one in filed] == [
        (three, AlarmOutcome.UNMATCHED, None),
        (two, None, None),
        (one, AlarmOutcome.MATCHED, ulid(1)),
    ]
    assert filed[0].detail == "there is no stack 'bank' here"
    assert store.alarms(limit=1) == filed[:1]
    assert kinds(store) == ["alarm.matched", "alarm.unmatched"]


def test_alarms_are_given_by_sender_by_what_became_of_them_and_by_age(daemons: Daemons) -> None:
    """In one commit and in several, for those of one commit may be kept together."""
    old, new = alarm(1), alarm(2)
    late = alarm(3, source="prometheus", received_at=at(9000))
    stale = alarm(4, source="grafana", received_at=at(9001))
    daemons.store.commit([Write(alarms=(old, new, late))])
    daemons.store.commit([Write(alarms=(stale,))])
    keep(daemons.store, AlarmsSettled(at(9002), (old.identity, late.identity), AlarmOutcome.UNMATCHED))
    keep(daemons.store, AlarmsSettled(at(9003), (stale.identity,), AlarmOutcome.STALE))
    store = daemons.restart()
    unmatched, pending = AlarmOutcome.UNMATCHED, None
    for wanted, found in (
        (Wanted(), [stale, late, new, old]),
        (Wanted(sources=frozenset({"alertmanager"})), [new, old]),
        (Wanted(sources=frozenset({"alertmanager", "grafana"})), [stale, new, old]),
        (Wanted(sources=frozenset({"aodh"})), []),
        (Wanted(outcomes=frozenset({unmatched})), [late, old]),
        (Wanted(outcomes=frozenset({pending})), [new]),
        (Wanted(outcomes=frozenset({pending, AlarmOutcome.STALE})), [stale, new]),
        (Wanted(since=at(32)), [stale, late, new]),
        (Wanted(since=at(9001)), [stale]),
        (Wanted(since=at(9002)), []),
        (Wanted(frozenset({"prometheus"}), frozenset({unmatched}), at(9000)), [late]),
        (Wanted(frozenset({"prometheus"}), frozenset({pending}), at(9000)), []),
    ):
        assert [filed.alarm for filed in store.alarms(wanted=wanted)] == found
        assert [filed.alarm for filed in store.alarms(1, wanted)] == found[:1]


def test_the_journal_is_told_in_order_and_from_any_number_on(daemons: Daemons) -> None:
    keep(daemons.store, told(incident(1), seconds=1), stepped(repair(1), "inspecting", 2))
    keep(daemons.store, stepped(repair(1, plan=PLAN), "admitted", 3), stepped(repair(1), "not_admitted", 4))
    store = daemons.restart()
    keep(store, told(closed(incident(1), 5), "closed", 5, outcome="healed"))
    entries = store.journal()
    assert [entry.kind for entry in entries] == ["incident.opened", "repair.admitted", "incident.closed"]
    assert [entry.at for entry in entries] == [at(1), at(3), at(5)]
    numbers = [entry.seq for entry in entries]
    assert numbers == sorted(set(numbers))
    assert store.journal(after=numbers[0]) == entries[1:]
    assert store.journal(after=numbers[-1]) == ()
    assert store.journal(limit=2) == entries[:2]
    for entry in entries:
        assert json.loads(json.dumps(entry.body)) == entry.body
    assert entries[1].body["plan"]["touched"][0]["via"] == "wires refers to db"
    assert entries[2].body["note"] == {"outcome": "healed"}


def test_the_story_of_an_incident_holds_its_repairs_and_not_another_incident(store: Store) -> None:
    mine, other, alone = incident(1), incident(2, target=Target(SHOP, "api")), incident(3)
    shared = repair(7, members=(mine.id, other.id))
    keep(store, told(mine), told(other), told(alone), stepped(shared, "inspecting"))
    # The other one was not admitted: from here on this repair is no story of its.
    narrowed = replace(shared, members=(mine.id,), plan=PLAN)
    keep(
        store,
        told(replace(other, state=IncidentState.HELD), "held"),
        told(replace(mine, state=IncidentState.REMEDIATING, repair=shared.id), "admitted"),
        stepped(narrowed, "admitted"),
        stepped(repair(8, root=BANK, members=(alone.id,)), "admitted"),
        AlarmsSettled(at(3), (alarm(1).identity,), AlarmOutcome.MATCHED, "shop/db", mine.id),
    )
    assert kinds(store, incident=mine.id) == [
        "incident.opened",
        "incident.admitted",
        "repair.admitted",
        "alarm.matched",
    ]
    assert kinds(store, incident=other.id) == ["incident.opened", "incident.held"]
    assert kinds(store, incident=alone.id) == ["incident.opened", "repair.admitted"]
    assert kinds(store, incident=ulid(99)) == []
    assert kinds(store, incident=mine.id, limit=1) == ["incident.opened"]


def test_a_repair_that_serves_two_is_in_both_stories_without_either_ones_own_lines(store: Store) -> None:
    mine, other = incident(1, repair=ulid(7)), incident(2, repair=ulid(7))
    keep(store, told(mine, "admitted"), told(other, "admitted"))
    keep(store, stepped(repair(7, members=(mine.id, other.id)), "admitted"))
    for one in (mine, other):
        story = store.journal(incident=one.id)
        assert [(entry.kind, entry.incident) for entry in story] == [
            ("incident.admitted", one.id),
            ("repair.admitted", None),
        ]


def test_what_was_loaded_is_the_callers_own(store: Store) -> None:
    everything = (
        told(incident(1)),
        stepped(repair(1)),
        AttemptChanged(at(1), attempt(1)),
        PauseChanged(at(1), pause(1)),
    )
    store.commit([Write(everything, alarms=(alarm(1),))])
    loaded = store.load()
    for held in (loaded.incidents, loaded.repairs, loaded.attempts, loaded.pauses, loaded.alarms):
        assert len(held) == 1
        held.clear()
    assert store.load() != loaded
    assert store.load().incidents == {ulid(1): incident(1)}


def test_runs_and_revisions_are_taken_and_may_come_again(store: Store) -> None:
    run = ObservationRun(Target(SHOP, "db"), "probe:http", Health.HEALTHY, Symptom.OK, at(0), at(10), count=3)
    revision = PolicyRevision("9f86d0", "tiers", "policy: tiers\n")
    for count in (3, 4):
        store.commit(
            [Write(runs=(replace(run, last_at=at(10 * count), count=count),), revisions=(revision,))]
        )
    assert store.load() == State()


def test_only_what_ended_before_is_forgotten(daemons: Daemons) -> None:
    old, fresh, still = incident(1), incident(2), incident(3, target=Target(BANK, "ledger"))
    done = replace(repair(1, members=(old.id,)), closed_at=at(90))
    # It ended long ago, and is part of the story of an incident that is open.
    first_try = replace(repair(2, root=BANK, members=(still.id,)), closed_at=at(95))
    daemons.store.commit(
        [
            Write(
                changes=(
                    told(old, "opened", 1),
                    told(fresh, "opened", 2),
                    told(still, "opened", 3),
                    stepped(repair(1, members=(old.id,)), "admitted", 10),
                    stepped(done, "ended", 90),
                    stepped(first_try, "ended", 95),
                    AttemptChanged(at(11), attempt(1, ended_at=at(90))),
                    AttemptChanged(at(12), attempt(2, incident=still.id, ended_at=at(90))),
                    PauseChanged(at(13), pause(1, until=at(50))),
                    PauseChanged(at(14), pause(2)),
                    AlarmsSettled(at(15), (alarm(1).identity,), AlarmOutcome.MATCHED, "shop/db", old.id),
                    AlarmsSettled(at(16), (alarm(2).identity,), AlarmOutcome.UNMATCHED, "nothing"),
                    told(closed(old, 100), "closed", 100),
                    told(closed(fresh, 5000), "closed", 5000),
                ),
                alarms=(alarm(1), alarm(2)),
            )
        ]
    )
    # What was kept together may be forgotten together only.
    daemons.store.commit([Write(alarms=(alarm(3), alarm(4)))])
    last = daemons.store.journal()[-1].seq
    assert daemons.store.prune(at(1000)) == len(
        ["opened", "admitted", "ended", "set", "set", "matched", "unmatched", "closed"]
    )
    store = daemons.restart()
    assert store.incidents() == (still, closed(fresh, 5000))
    assert kinds(store) == ["incident.opened", "incident.opened", "repair.ended", "incident.closed"]
    state = store.load()
    assert set(state.attempts) == {attempt(2).id}
    assert set(state.pauses) == {pause(2).id}
    assert [filed.alarm.key for filed in store.alarms()] == [alarm(4).key, alarm(3).key]
    assert store.prune(at(1000)) == 0
    keep(store, told(incident(9)))
    assert store.journal()[-1].seq > last


def test_a_number_of_the_journal_is_never_given_twice(daemons: Daemons) -> None:
    keep(daemons.store, PauseChanged(at(1), pause(1, until=at(2))))
    before = daemons.store.journal()[-1].seq
    assert daemons.store.prune(at(1000)) == 1
    store = daemons.restart()
    assert store.journal() == ()
    keep(store, PauseChanged(at(1001), pause(2)))
    assert store.journal(after=before) != ()


def test_an_alarm_that_is_still_sent_is_not_forgotten_and_so_never_new_again(store: Store) -> None:
    settled = AlarmsSettled(at(31), (alarm(1).identity,), AlarmOutcome.UNMATCHED, "nothing")
    store.commit([Write((settled,), (alarm(1),))])
    store.commit([Write(alarms=(replace(alarm(1), received_at=at(5000)),))])
    store.prune(at(1000))
    assert store.commit([Write(alarms=(replace(alarm(1), received_at=at(9000)),))]) == ((False,),)
    assert store.alarms()[0].alarm.received_at == alarm(1).received_at


def test_what_is_sent_for_days_is_still_known_after_a_restart(daemons: Daemons) -> None:
    day = 86_400
    settled = AlarmsSettled(at(31), (alarm(1).identity,), AlarmOutcome.UNMATCHED, "nothing")
    daemons.store.commit([Write((settled,), (alarm(1),))])
    for days in range(1, 8):
        again = replace(alarm(1), received_at=at(days * day + 100))
        assert daemons.store.commit([Write(alarms=(again,))]) == ((False,),)
        daemons.restart()
    daemons.store.prune(at(5 * day))
    assert daemons.store.commit([Write(alarms=(alarm(1),))]) == ((False,),)


def test_the_last_word_on_an_alarm_counts(daemons: Daemons) -> None:
    """One that meant nothing at first may be raised by its repetition."""
    daemons.store.commit([Write(alarms=(alarm(1), alarm(2)))])
    both = (alarm(1).identity, alarm(2).identity)
    keep(daemons.store, AlarmsSettled(at(1), both, AlarmOutcome.UNMATCHED, "nothing"))
    keep(daemons.store, AlarmsSettled(at(2), both[1:], AlarmOutcome.MATCHED, "shop/db", ulid(1)))
    store = daemons.restart()
    assert [(one.outcome, one.incident) for one in store.alarms()] == [
        (AlarmOutcome.MATCHED, ulid(1)),
        (AlarmOutcome.UNMATCHED, None),
    ]
    assert not store.load().alarms
    daemons.store.prune(at(1000))
    assert not store.alarms()


def test_what_was_taken_back_lately_is_loaded(daemons: Daemons) -> None:
    old, late = (
        alarm(number, status=AlarmStatus.CLEARED, received_at=at(moment))
        for number, moment in ((1, 0), (2, 1000))
    )
    daemons.store.commit([Write(alarms=(old,))])
    daemons.store.commit([Write(alarms=(alarm(2, received_at=at(999)), late))])
    assert daemons.restart().load().taken_back == {late.voice: late}


def test_nothing_is_wrong_with_what_is_in_its_place(store: Store) -> None:
    store.check()
