"""Looks that say the same are one run, however often it is written down; a change of what they say begins another."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st

from healer.core.model import Health, Observation, Root, Symptom, Target
from healer.folding import Folding
from healer.ports import ObservationRun

START = datetime(2026, 1, 31, tzinfo=UTC)
SHOP = Root("here", "local", "shop-id", "shop")
BAD = (Health.UNHEALTHY, Symptom.REFUSED)
SLOW = (Health.UNHEALTHY, Symptom.TIMED_OUT)
GOOD = (Health.HEALTHY, Symptom.OK)
Saying = tuple[Health, Symptom]


def look(second: int, saying: Saying, path: str = "db", source: str = "probe:http") -> Observation:
    health, symptom = saying
    return Observation(Target(SHOP, path), source, health, symptom, START + timedelta(seconds=second))


def told(runs: Iterable[ObservationRun]) -> list[tuple[str, Symptom, int, int, int]]:
    """Path, symptom, first and last second, count; in the order of time."""
    rows = [
        (
            run.target.path,
            run.symptom,
            int((run.first_at - START).total_seconds()),
            int((run.last_at - START).total_seconds()),
            run.count,
        )
        for run in runs
    ]
    return sorted(rows, key=lambda row: (row[0], row[2]))


def test_what_says_the_same_is_one_run() -> None:
    folding = Folding()
    folding.add([look(0, GOOD), look(1, GOOD)])
    folding.add([look(2, GOOD)])
    assert told(folding.flush()) == [("db", Symptom.OK, 0, 2, 3)]


def test_another_symptom_is_another_run_though_the_health_is_the_same() -> None:
    folding = Folding()
    folding.add([look(0, BAD), look(1, SLOW), look(2, SLOW)])
    assert told(folding.flush()) == [("db", Symptom.REFUSED, 0, 0, 1), ("db", Symptom.TIMED_OUT, 1, 2, 2)]


def test_targets_and_sources_do_not_mix() -> None:
    folding = Folding()
    folding.add([look(0, GOOD), look(0, GOOD, "api"), look(0, GOOD, source="watcher:engine")])
    assert sorted(run.count for run in folding.flush()) == [1, 1, 1]


def test_only_what_is_new_is_written_down_and_its_beginning_is_remembered() -> None:
    folding = Folding()
    folding.add([look(0, GOOD), look(0, GOOD, "api")])
    folding.flush()
    assert folding.flush() == ()
    folding.add([look(7, GOOD)])
    assert told(folding.flush()) == [("db", Symptom.OK, 0, 7, 2)]


def test_a_run_that_ended_after_it_was_written_down_is_not_written_again() -> None:
    folding = Folding()
    folding.add([look(0, GOOD)])
    folding.flush()
    folding.add([look(1, BAD)])
    assert told(folding.flush()) == [("db", Symptom.REFUSED, 1, 1, 1)]


@given(st.lists(st.tuples(st.sampled_from([GOOD, BAD, SLOW]), st.booleans()), max_size=40))
def test_whenever_it_is_written_down_the_last_word_of_each_run_is_the_whole_of_it(
    looks: list[tuple[Saying, bool]],
) -> None:
    folding, kept = Folding(), dict[datetime, ObservationRun]()
    for second, (saying, flushes) in enumerate(looks):
        folding.add([look(second, saying)])
        if flushes:
            kept.update({run.first_at: run for run in folding.flush()})
    kept.update({run.first_at: run for run in folding.flush()})
    wanted = [(symptom, len(list(same))) for (_, symptom), same in groupby(saying for saying, _ in looks)]
    assert [(run.symptom, run.count) for _, run in sorted(kept.items())] == wanted
