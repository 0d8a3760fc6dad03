"""The declarative engine does what the real Heat did: the same scenarios, against what was recorded of it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, cast

import pytest

from tests.declarative.world import Stage
from tests.heat.play import Play
from tests.heat.scenarios import SCENARIOS

TRACES = Path(__file__).parents[1] / "traces"
NOT_HERE = {
    "replacement_fails_with_rollback": "there is no rollback",
    "engine_killed": "a crash loses nothing here, so there is nothing to recover from",
    "two_updates_at_once": "that one of two is dropped is the business of whoever takes them",
}


@pytest.mark.parametrize("name", [name for name in SCENARIOS if name not in NOT_HERE])
async def test_it_ends_as_in_heat_and_in_the_same_order_along_each_dependency(name: str) -> None:
    trace = json.loads((TRACES / f"{name}.json").read_text())
    stage = Stage()
    await SCENARIOS[name](cast("Play", stage))
    assert len(stage.steps) == len(trace["steps"])
    related = _related(trace)
    always: dict[str, list[str]] = {}
    """What a preview of Heat's calls replaced although nothing is marked: it tells only what moves."""
    for mine, heats in zip(stage.steps, trace["steps"], strict=True):
        if heats.get("do", "").startswith("preview"):
            answer = heats["answer"]["replaced"]
            before = always.setdefault(heats["do"], answer)
            assert mine["answer"] == {"replaced": [name for name in answer if name not in before]}
        elif "do" in heats:
            assert mine == heats
        else:
            _assert_same_end(mine, heats, related)


def _assert_same_end(mine: dict[str, Any], heats: dict[str, Any], related: set[tuple[str, str]]) -> None:
    assert mine["status"] == heats["status"]
    assert mine["exists"] == heats["exists"]
    assert mine["state"] == {
        path: {key: value for key, value in entry.items() if key != "told"}
        for path, entry in heats["state"].items()
    }
    assert Counter(map(_named, mine["events"])) == Counter(map(_named, heats["events"]))
    for pair in related:
        assert _along(mine["events"], pair) == _along(heats["events"], pair)


def test_what_is_left_out_is_there() -> None:
    assert set(NOT_HERE) <= set(SCENARIOS)


def _named(event: dict[str, Any]) -> tuple[str, str, str]:
    return event["path"], event["status"], event.get("id", "")


def _related(trace: dict[str, Any]) -> set[tuple[str, str]]:
    """Pairs of paths between which the order is not left to chance."""
    paths = {event["path"] for step in trace["steps"] for event in step.get("events", ())}
    within = {(outer, inner) for outer in paths for inner in paths if inner.startswith(outer) or not outer}
    return within | {(one, other) for one, other in trace["requires"]}


def _along(events: list[dict[str, Any]], pair: tuple[str, str]) -> list[tuple[str, str, str]]:
    # Where a replacement that never came to be is cleared away nothing waits for it.
    return [
        _named(event)
        for event in events
        if event["path"] in pair and (event.get("id") or not event["status"].startswith("DELETE"))
    ]
