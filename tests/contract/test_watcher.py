"""What every watcher keeps to: ports.Watcher, out of one snapshot and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from healer.core.model import Health, Incarnation, Resource, Root, Snapshot, StackState
from tests.plugged import build, every, fits

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ROOT = Root("here", "local", "r1", "shop")


def snapshot(*resources: Resource) -> Snapshot:
    return Snapshot(ROOT, NOW, "UPDATE", StackState.COMPLETE, {each.path: each for each in resources})


def resource(path: str, action: str, state: StackState, condition: Health, *, is_stack: bool) -> Resource:
    incarnation = Incarnation("r1", path, f"id-{path}")
    return Resource(path, "X::Y", incarnation, action, state, condition=condition, is_stack=is_stack)


EVERY_KIND = [
    resource(f"{action}-{state}-{condition}-{is_stack}", action, state, condition, is_stack=is_stack)
    for action in ("INIT", "CREATE", "UPDATE", "CHECK", "DELETE", "SUSPEND", "SOMETHING_NEW")
    for state in StackState
    for condition in Health
    for is_stack in (False, True)
]


@every("watchers")
def test_it_fits_its_socket(name: str) -> None:
    fits(build("watchers", name), "watch")


@every("watchers")
def test_an_empty_stack_shows_nothing(name: str) -> None:
    assert list(build("watchers", name).watch(snapshot())) == []


@every("watchers")
def test_it_speaks_of_resources_that_are_there_as_of_when_they_were_read(name: str) -> None:
    whole = snapshot(*EVERY_KIND)
    seen = list(build("watchers", name).watch(whole))
    assert seen
    for observation in seen:
        there = whole.resources[observation.target.path]
        assert not there.is_stack
        assert observation.target.root == ROOT
        assert observation.physical_id == there.incarnation.physical_id
        assert observation.at == NOW
        assert observation.source == f"watcher:{name}"
        assert observation.detail
    assert len({observation.target for observation in seen}) == len(seen)


@every("watchers")
@pytest.mark.parametrize("kind", EVERY_KIND, ids=lambda kind: kind.path)
def test_it_is_pure(name: str, kind: Resource) -> None:
    watcher, one = build("watchers", name), snapshot(kind)
    assert list(watcher.watch(one)) == list(watcher.watch(one))
